#include "train/encode.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/bundle.h"
#include "ledger/digest.h"
#include "ledger/shard.h"
#include "ledger/shard_facts.h"
#include "ledger/trust.h"
#include "train/codec.h"
#include "train/data/config.h"
#include "train/data/loader.h"
#include "train/foreign.h"
#include "train/latent.h"
#include "train/model/klt.h"
#include "train/model/machine.h"
#include "train/model/peak.h"
#include "train/setup.h"
#include "train/start.h"

namespace cleared::train {
namespace fs = std::filesystem;
namespace {

// How the `json` of a latent begins: its codec, and the shard it was made from.
std::string derived_from(const std::string& shard, const std::string& codec) {
  return "{\"codec\":\"" + codec + "\",\"derived_from\":{\"shard\":\"" + shard + "\",";
}

// What the sample was made from, around what its source said of itself.
std::string derived_json(const ledger::Permit::Shard& shard, const ledger::ClearedSample& sample,
                         const std::string& codec) {
  std::string source = sample.member("json");
  while (!source.empty() && source.back() == '\n') source.pop_back();
  return derived_from(shard.root(), codec) + "\"sample\":\"" +
         ledger::digest_name(sample.digest()) + "\"},\"source\":" + source + "}\n";
}

// The gate of a permit that says ENCODE, whatever the config declares for its run.
ledger::GateOptions encoding(const LoadedConfig& loaded, const GatePaths& paths) {
  ledger::GateOptions options = gate_options(loaded, paths);
  ledger::declare(options.purpose, ledger::ENCODE);
  return options;
}

class Encoding {
 public:
  explicit Encoding(const EncodeOptions& options)
      : options_(options),
        checkpoint_(
            read_checkpoint(options.checkpoint, ledger::read_trust(options.gate.trust).keys)),
        loaded_(load_config(options.checkpoint / "config.textproto")),
        gate_(encoding(loaded_, options.gate)),
        shapes_(by_shape(loaded_.config)),
        decoders_(decoder_options(options.curate, loaded_.config)) {
    if (const auto verdict = gate_.judge_foreign(foreign_of(checkpoint_.state)); !verdict.cleared) {
      throw ledger::Refused(verdict);
    }
    if (!loaded_.config.codec().has_vae()) {
      throw Error(Errc::config, "encode: checkpoint ", options.checkpoint.string(),
                  " has no autoencoder, which latents are made by: give one of a run with it");
    }
    const TensorMap state = codec_of(checkpoint_.tensors, loaded_.config);
    codec_ = make_codec(loaded_.config, state);
    codec_->to(first_device());
    report_.codec = codec_digest(state);
    make_folders(options.out);
  }

  EncodeReport run() {
    for (int i = 0; i < gate_.permit().shard_size(); ++i) encode_shard(static_cast<size_t>(i));
    report_.bundle = ledger::write_bundle(options_.out / "outbox", facts_);
    if (measured_ > 0) report_.psnr_db = psnr_db_ / static_cast<double>(measured_);
    return report_;
  }

 private:
  // With buckets after the shard it comes from, so that a config can tell latents by shape.
  std::string name_of(size_t number) const {
    if (shapes_.size() > 1) return "latent-" + gate_.shard_name(number);
    char name[32];
    std::snprintf(name, sizeof name, "latent-%06zu.tar", number);
    return name;
  }

  void encode_shard(size_t number) {
    const std::string name = name_of(number);
    const auto& shard = gate_.permit().shard(static_cast<int>(number));
    const bool present = fs::exists(options_.out / (name + ".manifest"));
    if (present) ++report_.present;
    const ledger::Manifest manifest =
        present ? read_shard(name, shard) : make_shard(number, name, shard);
    Digest root = ledger::shard_root(manifest);
    for (auto& fact : ledger::shard_facts(manifest, root)) facts_.push_back(std::move(fact));
    ++report_.shards;
    report_.samples += manifest.samples.size();
    report_.size_bytes += manifest.size_bytes;
  }

  // One that is there: shards are written whole, so its first sample says what all were made from.
  ledger::Manifest read_shard(const std::string& name, const ledger::Permit::Shard& shard) const {
    const fs::path path = options_.out / name;
    ledger::Manifest manifest = ledger::read_manifest(path);
    std::string json;
    if (!manifest.samples.empty()) {
      const ledger::ManifestSample& first = manifest.samples.front();
      json =
          ledger::parse_sample(read_range(path, first.offset, first.size_bytes), first.key)["json"];
    }
    if (!json.starts_with(derived_from(shard.root(), report_.codec))) {
      throw Error(Errc::corrupt, "encode: ", path.string(), " is there and was not made of shard ",
                  shard.root(), " by codec ", report_.codec, ": give another --out");
    }
    return manifest;
  }

  ledger::Manifest make_shard(size_t number, const std::string& name,
                              const ledger::Permit::Shard& shard) {
    std::vector<ledger::SampleMembers> samples;
    for (size_t i = 0; i < gate_.samples().size(); ++i) {
      if (gate_.samples()[i].shard != number) continue;
      samples.push_back(encode_sample(i, shard));
      if (options_.progress) options_.progress(i + 1, gate_.samples().size());
    }
    std::vector<std::string> licences(shard.licence().begin(), shard.licence().end());
    std::sort(licences.begin(), licences.end());
    return ledger::write_shard(options_.out, name, samples, std::move(licences));
  }

  ledger::SampleMembers encode_sample(size_t i, const ledger::Permit::Shard& shard) {
    // Like a step, it is refused from the moment that the permit no longer holds.
    if (const auto verdict = gate_.holds(); !verdict.cleared) throw ledger::Refused(verdict);
    const ledger::ClearedSample cleared = gate_.clear(i, 1);
    const size_t shape = shape_of(loaded_.config, gate_, i);
    const Frames frames = decoders_.of(shape).decode(cleared);
    const Frames* one = &frames;
    const Tensor video = to_video({&one, 1}, shapes_[shape]);
    const Tensor latent = codec_->encode(video);
    if (ledger::declares(gate_.permit().purpose(), ledger::EVALUATE)) {
      psnr_db_ += psnr_db(codec_->decode(latent), video);
      ++measured_;
    }
    report_.source_bytes += cleared.member("webm").size();
    return {
        .key = cleared.key(),
        .members = {{kLatentMember, latent_member(latent.select(0, 0).to(at::kCPU), report_.codec)},
                    {"json", derived_json(shard, cleared, report_.codec)},
                    {"txt", cleared.member("txt")}},
        .clip = cleared.clip(),
        .duration_us = cleared.duration_us()};
  }

  const EncodeOptions& options_;
  Checkpoint checkpoint_;
  LoadedConfig loaded_;
  ledger::Gate gate_;
  const std::vector<RunConfig> shapes_;
  Decoders decoders_;
  std::unique_ptr<Codec> codec_;
  std::vector<ledger::Fact> facts_;
  double psnr_db_ = 0;  // of all that are measured
  uint64_t measured_ = 0;
  EncodeReport report_;
};

}  // namespace

EncodeReport encode(const EncodeOptions& options) {
  prepare_machine(options.threads);
  return Encoding(options).run();
}

}  // namespace cleared::train
