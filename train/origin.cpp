#include "train/origin.h"

#include <ATen/core/Tensor.h>

#include "ledger/base/error.h"
#include "train/checkpoint.h"
#include "train/codec.h"
#include "train/data/config.h"

namespace cleared::train {
namespace fs = std::filesystem;
namespace {

// What is needed of either kind: `same` says whether the checkpoint's config has that `what`.
template <class Same>
std::pair<Checkpoint, RunConfig> read(const fs::path& path,
                                      const std::vector<ledger::PublicKey>& trusted,
                                      const std::string& field, const std::string& what,
                                      const char* flag, const Same& same) {
  if (path.empty()) {
    throw Error(Errc::config, field, ": this config begins with ", what,
                "; give a checkpoint of the run that trained it with ", flag);
  }
  Checkpoint checkpoint = read_checkpoint(path, trusted);
  RunConfig theirs = parse_config(checkpoint.text.config, (path / "config.textproto").string());
  if (!same(theirs)) {
    throw Error(Errc::config, field, ": that of ", path.string(),
                " is another than this config has; give a checkpoint with it");
  }
  return {std::move(checkpoint), std::move(theirs)};
}

Origin origin_of(Checkpoint& checkpoint, TensorMap tensors, const char* part) {
  Origin origin{.weights = checkpoint.state.weights(),
                .tensors = std::move(tensors),
                .pairs = {},
                .totals = std::move(checkpoint.text.totals),
                .foreign = {}};
  for (const State::Foreign& foreign : checkpoint.state.foreign()) {
    origin.foreign.push_back(foreign);
    origin.foreign.back().set_part(part);
  }
  return origin;
}

}  // namespace

Origin read_autoencoder(const RunConfig& config, const Origins& origins) {
  if (config.stage() != RunConfig::TRANSFORMER || !config.codec().has_vae()) return {};
  auto [checkpoint, theirs] = read(origins.vae, origins.trusted, "codec.vae", "an autoencoder",
                                   "--vae", [&](const RunConfig& other) {
                                     return other.codec().vae().SerializeAsString() ==
                                            config.codec().vae().SerializeAsString();
                                   });
  return origin_of(checkpoint, codec_of(checkpoint.tensors, theirs), "codec");
}

Origin read_text_encoder(const RunConfig& config, const Origins& origins) {
  if (!config.text().trained()) return {};
  auto [checkpoint, theirs] = read(origins.text, origins.trusted, "text", "a trained text encoder",
                                   "--text", [&](const RunConfig& other) {
                                     const RunConfig::Text &a = other.text(), &b = config.text();
                                     return other.has_text() && a.length() == b.length() &&
                                            a.dim() == b.dim() && a.layers() == b.layers() &&
                                            a.vocabulary() == b.vocabulary();
                                   });
  TensorMap weights;
  for (const auto& [name, tensor] : checkpoint.tensors.ema) {
    if (name.starts_with("text.")) weights.emplace(name, tensor);
  }
  Origin origin = origin_of(checkpoint, std::move(weights), "text");
  const auto pairs = checkpoint.tensors.codec.find(kPairs);
  if (pairs != checkpoint.tensors.codec.end()) origin.pairs.insert(*pairs);
  return origin;
}

}  // namespace cleared::train
