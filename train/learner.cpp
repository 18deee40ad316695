#include "train/learner.h"

#include <ATen/core/Tensor.h>

#include "ledger/base/error.h"
#include "train/autoencoder.h"
#include "train/codec.h"
#include "train/config.pb.h"
#include "train/setup.h"
#include "train/text_encoder.h"
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
    std::erase_if(state, [&](const auto& entry) {
      const std::string& name = entry.first;
      return name.starts_with("ema") && !parameters.contains(name.substr(name.find('.') + 1));
    });
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

Learned descend(const Batch& batch, DataParallel& parallel, AdamW& optimiser,
                const Schedule& schedule,
                const std::function<Tensor(size_t first, size_t count)>& loss) {
  const auto rounds = static_cast<size_t>(parallel.rounds());
  const size_t size = batch.items.size() / rounds;
  std::vector<Tensor> losses;
  for (size_t round = 0; round < rounds; ++round) {
    const Tensor one = loss(round * size, size);
    parallel.backward(one);
    losses.push_back(one.detach());
  }
  parallel.finish();
  Learned learned;
  learned.learning_rate = schedule.at(static_cast<int64_t>(batch.step));
  const StepResult result = optimiser.step(learned.learning_rate);
  learned.gradient_norm = result.gradient_norm;
  learned.applied = result.applied;
  learned.loss = parallel.mean(losses).item<double>();
  return learned;
}

TensorMap share_codec(World& world, const RunConfig& config, TensorMap state) {
  if (!world.first()) state = blank_codec(config);
  for (const auto& [name, tensor] : state) world.broadcast(tensor);
  return state;
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
  if (config.stage() == RunConfig::TEXT_ENCODER) {
    return std::make_unique<TextTrainee>(world, config, tensors);
  }
  return std::make_unique<Trainee>(world, config, tensors);
}

}  // namespace cleared::train
