// A ledger with several licences of one sample-packed shard each, and runs that consume what a test
// says: for questions about what became of footage.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "ledger/attestation.h"
#include "tests/ledger/world.h"

namespace cleared::ledger {

// Passes and first step of each sample of a shard, from its first.
using Eaten = std::vector<std::pair<uint32_t, uint64_t>>;

struct RunOf {
  std::string name, permit;
  uint64_t step = 0;
  std::string parent;                    // digest in hex of what it continues from; may be empty
  std::string vae;                       // of what its autoencoder is from; may be empty
  std::string text_encoder;              // of what its text encoder began with; may be empty
  std::vector<std::string> checkpoints;  // digests in hex
};

struct RunWorld : World {
  std::function<void(Fact&)> before_append;          // of what a span records
  static constexpr uint64_t kSampleUs = 2'000'003;   // an odd length shows what is rounded
  static constexpr uint64_t kMachineUs = 7'000'000;  // of each span

  // Licence ids with the number of samples; `terms` changes a licence before it is signed. With
  // `same_first` the first samples of all shards are the same bytes.
  using Change = std::function<void(size_t licence, LicenceText& terms)>;
  explicit RunWorld(const std::vector<std::pair<std::string, size_t>>& licences,
                    const Change& terms = nullptr,
                    const std::vector<const SignerKey*>& more_licensors = {},
                    bool same_first = false);

  // A permit for all shards and these weights from elsewhere, for what is consumed from here on;
  // for a run that goes on when one is named.
  void permit(const std::vector<Foreign>& foreign = {}, const std::string& resumes = {});
  // Goes on from a checkpoint when one is named.
  RunOf begin_run(const std::string& name, const std::string& parent = {});
  // Receipt, consumption and checkpoint of the steps up to `end`. By index of the shard.
  void span(RunOf& run, uint64_t end, const std::map<size_t, Eaten>& eaten);
  // A shard of latents of the clips of a licence's shard, approved; its root in hex.
  std::string add_latents(size_t licence);
  void approve(std::vector<Digest> roots);  // of shards
  void sign() { Store(ledger, Access::append).sign_head(log); }
  std::string clip_hex(size_t licence, size_t sample) const {
    return to_hex(manifests[licence].samples[sample].clip);
  }

  std::vector<Manifest> manifests;               // of each licence's shard
  std::vector<TrainingStatement::File> claimed;  // as foreign, by the statements of checkpoints

 private:
  void add_footage(size_t number, const std::string& ref, size_t samples, bool same_first);
  std::string permit_;
  std::map<std::string, uint64_t> steps_;  // of checkpoints, by digest
};

}  // namespace cleared::ledger
