#include "train/trainee.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include "train/config.pb.h"
#include "train/model/flow.h"
#include "train/model/random.h"
#include "train/model/text.h"
#include "train/setup.h"

namespace cleared::train {
namespace {

constexpr int64_t kLatentChannels = 16;

// Rank 0's codec on every rank.
KltCodec share_codec(World& world, TensorMap state) {
  if (!world.first()) {
    state = {{"mean", at::zeros({kPatchValues})},
             {"basis", at::zeros({kLatentChannels, kPatchValues})},
             {"deviation", at::zeros({kLatentChannels})}};
  }
  for (const auto& [name, tensor] : state) world.broadcast(tensor);
  return KltCodec(state);
}

Model build_model(World& world, const RunConfig& config, const TensorMap& weights) {
  Model model(model_config(config), config.seed());
  model.to(world.device());
  if (!weights.empty()) copy_tensors(weights, model.parameters(), "checkpoint");
  return model;
}

// Rank 0's moments on every rank; there are none when the run starts from the seed.
AdamW build_optimiser(World& world, const RunConfig& config, const Model& model,
                      const CheckpointTensors& tensors) {
  AdamW optimiser(model.parameters(), adamw_options(config));
  if (world.broadcast(tensors.optimiser.empty() ? "seed" : "checkpoint") == "seed") {
    return optimiser;
  }
  if (world.first()) {
    TensorMap state = tensors.optimiser;
    add_with_prefix(state, "ema.", tensors.ema);
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

}  // namespace

void CodecFit::add(const Item& item) {
  const Frames* frames = &item.frames;
  fit_.add(to_video({&frames, 1}, config_));
}

Trainee::Trainee(World& world, const RunConfig& config, const CheckpointTensors& tensors)
    : world_(world),
      config_(config),
      codec_(share_codec(world, tensors.codec)),
      model_(build_model(world, config, tensors.model)),
      parallel_(world, model_.parameters()),
      optimiser_(build_optimiser(world, config, model_, tensors)),
      schedule_(schedule_of(config)) {}

Learned Trainee::learn(const Batch& batch, uint32_t first_slot) {
  std::vector<const Frames*> frames;
  std::vector<std::string> captions;
  std::vector<Draw> noise, time;
  for (size_t i = 0; i < batch.items.size(); ++i) {
    Draw draw{.seed = config_.seed(),
              .step = batch.step,
              .sample = first_slot + i,
              .purpose = Purpose::caption_drop};
    const bool dropped = uniform(draw) < config_.text().dropout();
    captions.push_back(dropped ? "" : batch.items[i].caption);
    frames.push_back(&batch.items[i].frames);
    draw.purpose = Purpose::noise;
    noise.push_back(draw);
    draw.purpose = Purpose::time;
    time.push_back(draw);
  }
  const at::Device device = world_.device();
  const DitConfig& dit = model_.config().dit;
  const FlowBatch flow{
      .x_BCTHW = codec_.encode(to_video(frames, config_)).to(device),
      .noise_BCTHW =
          normal(noise, {dit.channels, dit.latent[0], dit.latent[1], dit.latent[2]}).to(device),
      .t_B = logit_normal(time).to(device),
      .tokens_BL = tokenize(captions, dit.text_len).to(device)};

  const Tensor loss = flow_loss(model_, flow);
  parallel_.backward(loss);
  Learned learned;
  learned.learning_rate = schedule_.at(static_cast<int64_t>(batch.step));
  const StepResult result = optimiser_.step(learned.learning_rate);
  learned.gradient_norm = result.gradient_norm;
  learned.applied = result.applied;

  const Tensor mean = loss.detach().to(at::kCPU, at::kDouble).reshape({1}).clone();
  world_.all_reduce(mean);
  learned.loss = mean.item<double>() / world_.size();
  return learned;
}

CheckpointTensors Trainee::tensors() const {
  CheckpointTensors tensors;
  tensors.model = model_.parameters();
  tensors.codec = codec_.state();
  for (const auto& [name, tensor] : optimiser_.state()) {
    if (name.starts_with("ema.")) tensors.ema.emplace(name.substr(4), tensor);
    else tensors.optimiser.emplace(name, tensor);
  }
  return tensors;
}

Gif Trainee::preview() {
  if (!averaged_) {
    averaged_.emplace(model_config(config_), config_.seed());
    averaged_->to(world_.device());
  }
  copy_tensors(optimiser_.ema(), averaged_->parameters(), "averaged weights");
  return generate_gif(*averaged_, codec_, config_, preview_options(config_));
}

}  // namespace cleared::train
