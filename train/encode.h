// Latent shards: every sample of the permitted shards, encoded once by a trained autoencoder, so
// that runs of the transformer decode no video. Each sample is still of its clip, so it inherits
// the clip's terms; its `json` says which sample of which shard it was made from and by which
// codec.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "train/check.h"

namespace cleared::train {

struct EncodeOptions {
  std::filesystem::path checkpoint;  // of an AUTOENCODER run, or of any run with that codec
  GatePaths gate;                    // permit for that run's config that says ENCODE, and the
                                     // shards to encode
  std::filesystem::path out;         // folder for the new shards, and their bundle in out/outbox
  std::filesystem::path curate;      // program that decodes
  int threads = 1;
  std::function<void(uint64_t samples, uint64_t all)> progress;
};

struct EncodeReport {
  uint64_t shards = 0;
  uint64_t present = 0;  // of them, written by an earlier call
  uint64_t samples = 0;
  uint64_t size_bytes = 0;    // of the new shards
  uint64_t source_bytes = 0;  // of the old ones' samples
  // Mean over the new samples, of the clip against its decoded latent: measured where the permit
  // says EVALUATE.
  std::optional<double> psnr_db;
  std::string codec;             // digest of the codec's tensors
  std::filesystem::path bundle;  // for `ledger append`
};

// One thread. Throws ledger::Refused when the gate says no, Error{corrupt} for a damaged
// checkpoint. A shard that is already there is not made again; killed and started again it writes
// the same bytes.
EncodeReport encode(const EncodeOptions& options);

}  // namespace cleared::train
