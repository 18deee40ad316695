#include "train/trainee.h"

#include <algorithm>

#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/stack.h>

#include "ledger/base/error.h"
#include "train/config.pb.h"
#include "train/latent.h"
#include "train/model/flow.h"
#include "train/model/random.h"
#include "train/model/text.h"
#include "train/setup.h"

namespace cleared::train {
namespace {

// The part of a codec's state that is about text.
TensorMap pairs_of(const TensorMap& state) {
  const auto found = state.find(kPairs);
  return found == state.end() ? TensorMap{} : TensorMap{{kPairs, found->second}};
}

std::unique_ptr<Codec> codec_on(at::Device device, const RunConfig& config,
                                const TensorMap& state) {
  auto codec = make_codec(config, state);
  codec->to(device);
  return codec;
}

Model build_model(World& world, const RunConfig& config, const TensorMap& weights) {
  Model model(model_config(config), config.seed());
  model.to(world.device());
  if (!weights.empty()) copy_tensors(weights, model.parameters(), "checkpoint");
  for (const auto& [name, tensor] : model.parameters()) {
    if (learns(config, name)) continue;  // else the ranks share it as they share gradients
    world.broadcast(tensor.detach());
    tensor.requires_grad_(false);
  }
  return model;
}

}  // namespace

void CodecFit::add(const Item& item, size_t shape) {
  const Frames* frames = &item.frames;
  fit_.add(to_video({&frames, 1}, shapes_[shape]));
}

Trainee::Trainee(World& world, const RunConfig& config, const CheckpointTensors& tensors)
    : Trainee(world, config, tensors, share_codec(world, config, tensors.codec)) {}

Trainee::Trainee(World& world, const RunConfig& config, const CheckpointTensors& tensors,
                 const TensorMap& codec)
    : world_(world),
      config_(config),
      shapes_(by_shape(config)),
      codec_(codec_on(world.device(), config, codec)),
      pairs_(pairs_of(codec)),
      bpe_(read_pairs(pairs_)),
      codec_name_(codec_digest(codec_->state())),
      model_(build_model(world, config, tensors.model)),
      parallel_(world, learning(config, model_.parameters()), gradient_options(config)),
      optimiser_(share_optimiser(world, adamw_options(config),
                                 learning(config, model_.parameters()), tensors)),
      schedule_(schedule_of(config)) {
  if (!learns(config, "text.")) states_.emplace(model_, bpe_);
}

// Latents are read as they are; frames are encoded here.
void Trainee::prepare(const Batch& batch) {
  const bool latents = std::any_of(batch.items.begin(), batch.items.end(),
                                   [](const Item& item) { return !item.latent.empty(); });
  const RunConfig& config = shapes_[batch.shape];
  if (latents && config_.has_vary()) {
    throw Error(Errc::config,
                "vary: there are latents among the samples, each of one part of its "
                "clip: permit the clips' own shards, or leave vary out");
  }
  if (!latents) {
    // By micro-batches: the bits of a product may depend on how many samples it is of.
    std::vector<Tensor> parts;
    for (const Tensor& part : video_of(batch, config).chunk(parallel_.rounds())) {
      parts.push_back(codec_->encode(part));
    }
    latent_BCTHW_ = at::cat(parts);
    return;
  }
  const std::vector<int64_t> shape = latent_sizes(config);
  std::vector<Tensor> all;
  for (const Item& item : batch.items) {
    if (item.latent.empty()) {
      const Frames* one = &item.frames;
      all.push_back(codec_->encode(to_video({&one, 1}, config)).to(at::kCPU).select(0, 0));
    } else {
      all.push_back(parse_latent(item.latent, codec_name_, shape, to_hex(item.digest)));
    }
  }
  latent_BCTHW_ = at::stack(all);
}

// Noise, times and captions are drawn by slot, so they do not depend on who has the slot.
FlowBatch Trainee::micro_batch(const Batch& batch, uint32_t first_slot, size_t first,
                               size_t count) {
  std::vector<std::string> captions;
  std::vector<Draw> noise, time;
  for (size_t i = first; i < first + count; ++i) {
    Draw draw{.seed = config_.seed(),
              .step = batch.step,
              .sample = first_slot + i,
              .purpose = Purpose::caption_drop};
    const bool dropped = uniform(draw) < config_.text().dropout();
    captions.push_back(dropped ? "" : batch.items[i].caption);
    draw.purpose = Purpose::noise;
    noise.push_back(draw);
    draw.purpose = Purpose::time;
    time.push_back(draw);
  }
  const at::Device device = world_.device();
  return {
      .x_BCTHW = latent_BCTHW_.narrow(0, static_cast<int64_t>(first), static_cast<int64_t>(count))
                     .to(device),
      .noise_BCTHW = normal(noise, latent_BCTHW_.sizes().slice(1)).to(device),
      .t_B = logit_normal(time, shapes_[batch.shape].flow().shift()).to(device),
      .states_BLN =
          states_ ? states_->of(captions)
                  : model_.read(tokenize(captions, model_.config().dit.text_len, bpe_).to(device))};
}

Learned Trainee::learn(const Batch& batch, uint32_t first_slot) {
  return descend(batch, parallel_, optimiser_, schedule_, [&](size_t first, size_t count) {
    return flow_loss(model_, micro_batch(batch, first_slot, first, count));
  });
}

CheckpointTensors Trainee::tensors() const {
  CheckpointTensors tensors;
  tensors.model = model_.parameters();
  tensors.codec = codec_->state();
  tensors.codec.insert(pairs_.begin(), pairs_.end());
  split_optimiser_state(optimiser_.state(), tensors);
  add_unlearned(config_, tensors);
  return tensors;
}

// The model of previews is made once: only one thread at a time makes a preview.
Preview Trainee::preview(CheckpointTensors copied) {
  return [this, ema = std::move(copied.ema)](const AskGate& ask) -> std::vector<Gif> {
    if (!config_.has_preview()) return {};
    if (!averaged_) {
      averaged_.emplace(model_config(config_), config_.seed());
      averaged_->to(world_.device());
    }
    copy_tensors(ema, averaged_->parameters(), "averaged weights");
    std::vector<Gif> gifs;
    GenerateOptions options = preview_options(config_);
    options.progress = [&](int) { ask(); };
    for (const std::string& caption : config_.preview().caption()) {
      ask();
      options.caption = caption;
      gifs.push_back(generate_gif(*averaged_, *codec_, bpe_, config_, options));
    }
    return gifs;
  };
}

}  // namespace cleared::train
