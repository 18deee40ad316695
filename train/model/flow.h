// Rectified flow: z = (1 - t) x + t noise, and the model learns v = noise - x. Sources: Liu, Gong
// and Liu, Flow Straight and Fast, ICLR 2023; Ho and Salimans, Classifier-Free Diffusion Guidance,
// 2022; Esser and others, Scaling Rectified Flow Transformers, 2024 (timestep shift).
#pragma once

#include <cstdint>
#include <functional>

#include "train/model/model.h"
#include "train/model/tensor.h"

namespace cleared::train {

struct FlowBatch {
  Tensor x_BCTHW;      // latents
  Tensor noise_BCTHW;  // random.h, Purpose::noise
  Tensor t_B;          // random.h, logit_normal
  Tensor states_BLN;   // of the captions: Model::read
};

// z of the batch; no gradient flows through it.
Tensor flow_mix(const Tensor& x, const Tensor& noise, const Tensor& t_B);

// Mean squared error of the velocity, a scalar to call backward() on.
Tensor flow_loss(const Model& model, const FlowBatch& batch);

struct SampleOptions {
  int steps = 30;         // at least 1; two evaluations each
  double guidance = 3.0;  // 1 is no guidance
  double shift = 1.0;     // as in logit_normal; above 1 spends more steps near the noise
  std::function<void(int step)> progress = {};
};

// From noise (t = 1) to a latent (t = 0) with Euler steps. No gradient is kept.
Tensor sample(const Model& model, const Tensor& noise_BCTHW, const Tensor& tokens_BL,
              const SampleOptions& options);

}  // namespace cleared::train
