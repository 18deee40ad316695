// What a run config means in terms of the model, and frames in terms of tensors. Pure; any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "train/data/decoder.h"
#include "train/model/dist.h"
#include "train/model/model.h"
#include "train/model/optim.h"
#include "train/model/tensor.h"

namespace cleared::train {

class RunConfig;

at::ScalarType precision_of(const RunConfig& config);
ModelConfig model_config(const RunConfig& config);
// Of the run's text encoder where that learns alone.
TextConfig text_config(const RunConfig& config);
// [C, T, H, W] of a latent of the config's clip.
std::vector<int64_t> latent_sizes(const RunConfig& config);
Schedule schedule_of(const RunConfig& config);
// Whether the tensor of that name learns: all do but those of a text encoder whose
// learning_rate_share is 0. And those of `model` that do.
bool learns(const RunConfig& config, std::string_view name);
TensorMap learning(const RunConfig& config, TensorMap model);
AdamWOptions adamw_options(const RunConfig& config);
GradientOptions gradient_options(const RunConfig& config);

// RGB24 frames to video_BCTHW in [-1, 1], a batch of `count`, and back (the first of the batch).
Tensor to_video(std::span<const Frames* const> frames, const RunConfig& config);
Frames to_frames(const Tensor& video_BCTHW);

}  // namespace cleared::train
