// The discriminator of a run of stage AUTOENCODER that has one (train/model/discriminator.h): how
// it learns beside the autoencoder, and where a checkpoint keeps it. Its tensors are like all
// others, under names of their own: "model.discriminator.*", moments "m.discriminator.*" and
// "v.discriminator.*", and "discriminator.steps". It has no average, for nobody uses it afterwards.
// One thread per rank.
#pragma once

#include <memory>
#include <string>

#include "train/checkpoint.h"
#include "train/model/discriminator.h"
#include "train/model/dist.h"
#include "train/model/optim.h"

namespace cleared::train {

class RunConfig;

struct Adversary {
  Discriminator discriminator;
  DataParallel parallel;
  AdamW optimiser;
  AdversarialOptions options;
};

// None where the config has none. Its weights come from the seed when the run does.
std::unique_ptr<Adversary> make_adversary(World& world, const RunConfig& config,
                                          const CheckpointTensors& tensors);

// The run's optimiser, without averages and without a guard: the autoencoder's guards both.
AdamWOptions adversary_options(const RunConfig& config);

// The discriminator's part of a checkpoint, with `steps` under that name, and what is left.
struct Parted {
  CheckpointTensors discriminator, rest;
};
Parted part(const CheckpointTensors& tensors);

// Adds the discriminator's weights and what AdamW::state() says of it.
void add_adversary(CheckpointTensors& tensors, const TensorMap& weights, const TensorMap& state);

// Is a tensor of a model, or of an optimiser, the discriminator's?
bool of_adversary(const std::string& name);

// The discriminator's tensors are there where the config has one, all of them, and no others:
// else Error{corrupt} names the first, of `where`.
void check_adversary(const RunConfig& config, const CheckpointTensors& tensors,
                     const std::string& where);

}  // namespace cleared::train
