#include "train/learner.h"

#include <ATen/core/Tensor.h>

#include "ledger/base/error.h"
#include "train/autoencoder.h"
#include "train/config.pb.h"
#include "train/setup.h"
#include "train/trainee.h"

namespace cleared::train {

AdamW share_optimiser(World& world, const AdamWOptions& options, const TensorMap& parameters,
                      const CheckpointTensors& tensors) {
  AdamW optimiser(parameters, options);
  if (world.broadcast(tensors.optimiser.empty() ? "seed" : "checkpoint") == "seed") {
    return optimiser;
  }
  if (world.first()) {
    TensorMap state = tensors.optimiser;
    add_with_prefix(state, "ema.", tensors.ema);
    add_with_prefix(state, "", tensors.more_ema);
    optimiser.load(state);
  }
  TensorMap state = optimiser.state();
  for (auto& [name, tensor] : state) {
    tensor = tensor.clone();
    world.broadcast(tensor);
  }
  optimiser.load(state);
  return optimiser;
}

Tensor video_of(const Batch& batch, const RunConfig& config) {
  std::vector<const Frames*> frames;
  for (const Item& item : batch.items) {
    if (item.frames.empty()) {
      throw Error(Errc::corrupt, "sample ", to_hex(item.digest),
                  ": it is a latent, and this run learns from video: permit the clips' own shards");
    }
    frames.push_back(&item.frames);
  }
  return to_video(frames, config);
}

std::unique_ptr<Learner> make_learner(World& world, const RunConfig& config,
                                      const CheckpointTensors& tensors) {
  if (config.stage() == RunConfig::AUTOENCODER) {
    return std::make_unique<AutoencoderTrainee>(world, config, tensors);
  }
  return std::make_unique<Trainee>(world, config, tensors);
}

}  // namespace cleared::train
