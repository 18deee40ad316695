#include "train/adversary.h"

#include <string>

#include "ledger/base/error.h"
#include "train/config.pb.h"
#include "train/learner.h"
#include "train/setup.h"

namespace cleared::train {
namespace {

const std::string kPrefix = kDiscriminatorPrefix;

Discriminator build(World& world, const RunConfig& config, const CheckpointTensors& all) {
  Discriminator discriminator(config.discriminator().dim(), config.seed());
  discriminator.to(world.device());
  if (!all.model.empty()) {
    copy_tensors(part(all).discriminator.model, discriminator.parameters(), "checkpoint");
  }
  return discriminator;
}

}  // namespace

AdamWOptions adversary_options(const RunConfig& config) {
  AdamWOptions options = adamw_options(config);
  options.ema_decays.clear();
  options.guard_steps = 0;
  return options;
}

std::unique_ptr<Adversary> make_adversary(World& world, const RunConfig& config,
                                          const CheckpointTensors& tensors) {
  if (!config.has_discriminator()) return nullptr;
  Discriminator discriminator = build(world, config, tensors);
  const TensorMap parameters = discriminator.parameters();
  return std::unique_ptr<Adversary>(
      new Adversary{.discriminator = std::move(discriminator),
                    .parallel = DataParallel(world, parameters, gradient_options(config)),
                    .optimiser = share_optimiser(world, adversary_options(config), parameters,
                                                 part(tensors).discriminator),
                    .options = {.weight = config.discriminator().weight(),
                                .features = config.discriminator().feature_loss()}});
}

Parted part(const CheckpointTensors& tensors) {
  Parted parted;
  parted.rest = tensors;
  const auto move = [&](TensorMap& from, TensorMap& to) {
    for (auto it = from.begin(); it != from.end();) {
      if (!of_adversary(it->first)) {
        ++it;
        continue;
      }
      const bool steps = it->first == kPrefix + "steps";
      to.emplace(steps ? "steps" : it->first, it->second);
      it = from.erase(it);
    }
  };
  move(parted.rest.model, parted.discriminator.model);
  move(parted.rest.optimiser, parted.discriminator.optimiser);
  return parted;
}

void add_adversary(CheckpointTensors& tensors, const TensorMap& weights, const TensorMap& state) {
  add_with_prefix(tensors.model, "", weights);
  for (const auto& [name, tensor] : state) {
    tensors.optimiser.emplace(name == "steps" ? kPrefix + name : name, tensor);
  }
}

bool of_adversary(const std::string& name) {
  return name.starts_with(kPrefix) || name.find("." + kPrefix) == 1;
}

void check_adversary(const RunConfig& config, const CheckpointTensors& tensors,
                     const std::string& where) {
  CheckpointTensors wanted;
  if (config.has_discriminator()) {
    const Discriminator discriminator(1, 0);  // its names are those of all
    add_adversary(wanted, discriminator.parameters(),
                  AdamW(discriminator.parameters(), adversary_options(config)).state());
  }
  const auto compare = [&](const TensorMap& have, const TensorMap& want, const char* prefix) {
    for (const auto& [name, tensor] : want) {
      if (have.contains(name)) continue;
      throw Error(Errc::corrupt, where, ": tensor ", prefix, name,
                  " is missing: it is not what a run wrote; get the folder again");
    }
    for (const auto& [name, tensor] : have) {
      if (!of_adversary(name) || want.contains(name)) continue;
      throw Error(Errc::corrupt, where, ": tensor ", prefix, name,
                  " does not belong to it: it is not what a run wrote; get the folder again");
    }
  };
  compare(tensors.model, wanted.model, "model.");
  compare(tensors.optimiser, wanted.optimiser, "");
}

}  // namespace cleared::train
