// Muon: the step of a matrix in the direction of its momentum, with all of that direction's
// singular values brought to about one by five Newton-Schulz iterations, so that no few of them
// decide. Scaled to the root mean square of an AdamW step, so that one learning rate serves both.
// Sources: Jordan and others, Muon, 2024 (the iteration and its coefficients); Liu and others, Muon
// is Scalable for LLM Training, 2025 (decay, the scale). In float32, where PyTorch's takes
// bfloat16: some 1 % of a step apart, and nothing here depends on a processor that has it.
//
// One thread. The bits depend on its threads and processor, as those of every product do.
#pragma once

#include <string>

#include "train/model/tensor.h"

namespace cleared::train {

// A matrix inside a transformer: weights of a layer that is one of several of its kind. Embeddings,
// norms, biases, modulations, the first layers and the last one are not.
bool is_hidden_matrix(const std::string& name, const Tensor& parameter);

// `direction_RC` with singular values of about 1 (most of 0.7 to 1.2). A matrix of zeros stays one.
Tensor newton_schulz(const Tensor& direction_RC);

struct MuonRates {
  double learning_rate = 0;
  double keep = 1;         // of the weights: 1 - learning rate times weight decay
  double momentum = 0.95;  // [0, 1), in Nesterov's form
};

// Changes the parameter and its momentum in place.
void muon_step(const Tensor& parameter_RC, const Tensor& gradient_RC, const Tensor& momentum_RC,
               const MuonRates& rates);

}  // namespace cleared::train
