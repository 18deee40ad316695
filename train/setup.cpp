#include "train/setup.h"

#include <cstring>

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include "ledger/base/check.h"
#include "train/config.pb.h"
#include "train/data/codec_shape.h"
#include "train/data/config.h"

namespace cleared::train {

at::ScalarType precision_of(const RunConfig& config) {
  return config.precision() == RunConfig::BF16 ? at::kBFloat16 : at::kFloat;
}

ModelConfig model_config(const RunConfig& config) {
  ModelConfig model;
  model.dit.dim = config.model().dim();
  model.dit.layers = config.model().layers();
  model.dit.heads = config.model().heads();
  model.dit.ffn = config.model().ffn();
  const LatentShape latent = latent_shape(config);
  const auto size = [](uint64_t n) { return static_cast<int64_t>(n); };
  model.dit.channels = size(latent.channels);
  for (const RunConfig& shape : by_shape(config)) {
    const LatentShape one = latent_shape(shape);
    model.dit.latents.push_back({size(one.frames), size(one.height), size(one.width)});
  }
  model.dit.latent = model.dit.latents.front();
  model.dit.patch = {1, config.model().patch(), config.model().patch()};
  model.dit.precision = precision_of(config);
  model.dit.text_len = config.text().length();
  model.dit.text_dim = config.text().dim();
  model.dit.recompute = config.model().recompute();
  model.text_layers = config.text().layers();
  model.vocabulary = size(vocabulary_of(config));
  return model;
}

TextConfig text_config(const RunConfig& config) {
  const RunConfig::Text& text = config.text();
  return {.length = text.length(),
          .dim = text.dim(),
          .layers = text.layers(),
          .heads = heads_of_text(text.dim()),
          .vocabulary = static_cast<int64_t>(vocabulary_of(config)),
          .precision = precision_of(config)};
}

std::vector<int64_t> latent_sizes(const RunConfig& config) {
  const LatentShape latent = latent_shape(config);
  const auto size = [](uint64_t n) { return static_cast<int64_t>(n); };
  return {size(latent.channels), size(latent.frames), size(latent.height), size(latent.width)};
}

Schedule schedule_of(const RunConfig& config) {
  return {.peak = config.optimiser().learning_rate(),
          .warmup_steps = static_cast<int64_t>(config.optimiser().warmup_steps()),
          .total_steps = static_cast<int64_t>(config.steps()),
          .decay_steps = static_cast<int64_t>(config.optimiser().decay_steps())};
}

GradientOptions gradient_options(const RunConfig& config) {
  if (config.gradients() == RunConfig::REDUCER) return {.micro_batches = 0};
  return {.micro_batches = micro_batches_of(config)};
}

bool learns(const RunConfig& config, std::string_view name) {
  return config.text().learning_rate_share() > 0 || !name.starts_with("text.");
}

TensorMap learning(const RunConfig& config, TensorMap model) {
  std::erase_if(model, [&](const auto& entry) { return !learns(config, entry.first); });
  return model;
}

AdamWOptions adamw_options(const RunConfig& config) {
  return {.beta1 = config.optimiser().beta1(),
          .beta2 = config.optimiser().beta2(),
          .weight_decay = config.optimiser().weight_decay(),
          .max_norm = config.optimiser().clip_norm(),
          .ema_decays = {config.optimiser().ema().begin(), config.optimiser().ema().end()},
          .guard_steps = config.optimiser().guard().steps(),
          .guard_above = config.optimiser().guard().above(),
          .muon_momentum = config.optimiser().muon_momentum(),
          .text_share = config.text().learning_rate_share()};
}

Tensor to_video(std::span<const Frames* const> frames, const RunConfig& config) {
  const auto count = static_cast<int64_t>(frames.size());
  const RunConfig::Clip& clip = config.clip();
  const int64_t t = clip.frames(), h = clip.height(), w = clip.width();
  const Tensor rgb_BTHWC = at::empty({count, t, h, w, 3}, at::kByte);
  const auto size_bytes = static_cast<size_t>(t * h * w * 3);
  for (size_t i = 0; i < frames.size(); ++i) {
    CLEARED_CHECK(frames[i]->size() == size_bytes);
    std::memcpy(rgb_BTHWC.data_ptr<uint8_t>() + i * size_bytes, frames[i]->data(), size_bytes);
  }
  return rgb_BTHWC.permute({0, 4, 1, 2, 3}).to(at::kFloat).div_(127.5).sub_(1.0).contiguous();
}

Frames to_frames(const Tensor& video_BCTHW) {
  const Tensor rgb_THWC = video_BCTHW.select(0, 0)
                              .to(at::kCPU)
                              .permute({1, 2, 3, 0})
                              .add(1.0)
                              .mul_(127.5)
                              .round_()
                              .clamp_(0, 255)
                              .to(at::kByte)
                              .contiguous();
  const auto* data = rgb_THWC.const_data_ptr<uint8_t>();
  return {data, data + rgb_THWC.numel()};
}

}  // namespace cleared::train
