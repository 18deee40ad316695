#include "train/foreign.h"

#include <map>

#include <ATen/core/Tensor.h>

#include "ledger/base/error.h"
#include "ledger/digest.h"
#include "ledger/gate.h"
#include "train/adversary.h"
#include "train/codec.h"
#include "train/config.pb.h"
#include "train/model/masking.h"
#include "train/model/model.h"
#include "train/model/safetensors.h"
#include "train/model/vae.h"
#include "train/setup.h"

namespace cleared::train {
namespace {

TensorMap seeded_weights(const RunConfig& config) {
  if (config.stage() == RunConfig::AUTOENCODER) {
    TensorMap weights = Vae(vae_config(config), config.seed()).parameters();
    if (config.has_discriminator()) {
      const Discriminator discriminator(config.discriminator().dim(), config.seed());
      add_with_prefix(weights, "", discriminator.parameters());
    }
    return weights;
  }
  if (config.stage() == RunConfig::TEXT_ENCODER) {
    return MaskedText(text_config(config), config.seed()).parameters();
  }
  return Model(model_config(config), config.seed()).parameters();
}

TensorMap part_of(const TensorMap& all, RunConfig::Foreign::Part part) {
  TensorMap some;
  for (const auto& [name, tensor] : all) {
    if (of_adversary(name)) continue;  // always from the seed
    if (part == RunConfig::Foreign::WHOLE ||
        name.starts_with("text.") == (part == RunConfig::Foreign::TEXT_ENCODER)) {
      some.emplace(name, tensor.detach());
    }
  }
  return some;
}

}  // namespace

TensorMap initial_weights(const RunConfig& config, const std::vector<std::filesystem::path>& files,
                          const TensorMap& text) {
  std::map<std::string, RunConfig::Foreign::Part> wanted;
  for (const RunConfig::Foreign& foreign : config.foreign()) {
    wanted.emplace(foreign.weights(), foreign.part());
  }
  TensorMap weights = seeded_weights(config);
  for (auto& [name, tensor] : weights) tensor = tensor.detach();
  if (config.text().trained()) {
    copy_tensors(text, part_of(weights, RunConfig::Foreign::TEXT_ENCODER), "text encoder");
  }
  for (const std::filesystem::path& file : files) {
    const Safetensors read = read_safetensors(file);
    const std::string digest = ledger::digest_name(read.digest);
    const auto found = wanted.find(digest);
    if (found == wanted.end()) {
      throw ledger::Refused(ledger::no(
          "foreign_changed", file.string() + " is " + digest + ", which the config does not name"));
    }
    copy_tensors(read.tensors, part_of(weights, found->second), "foreign " + file.string());
    wanted.erase(found);
  }
  if (!wanted.empty()) {
    throw Error(Errc::config, "foreign: the config starts from ", wanted.begin()->first,
                ": give its file with --foreign");
  }
  return weights;
}

void record_foreign(const RunConfig& config, const std::vector<State::Foreign>& brought,
                    State& state) {
  state.clear_foreign();
  for (const RunConfig::Foreign& named : config.foreign()) {
    State::Foreign& foreign = *state.add_foreign();
    foreign.set_weights(named.weights());
    foreign.set_part(RunConfig::Foreign::Part_Name(named.part()));
  }
  state.mutable_foreign()->Add(brought.begin(), brought.end());
}

std::vector<std::string> foreign_of(const State& state) {
  std::vector<std::string> weights;
  for (const State::Foreign& foreign : state.foreign()) weights.push_back(foreign.weights());
  return weights;
}

}  // namespace cleared::train
