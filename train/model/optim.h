// AdamW with gradient clipping, and an exponential moving average of the weights, all in float32;
// where it is asked for, hidden matrices step by Muon (train/model/muon.h) instead.
// Sources: Loshchilov and Hutter, Decoupled Weight Decay Regularization, 2019; Hu and others,
// MiniCPM, 2024 (warm-up, stable, decay). One thread.
#pragma once

#include <cstdint>

#include "train/model/tensor.h"

namespace cleared::train {

// Learning rate by step: linear warm-up, constant, then linear to `final_share` of the peak. A
// rewind to any step before the decay needs no change of schedule.
struct Schedule {
  double peak = 2e-3;
  int64_t warmup_steps = 20;
  int64_t total_steps = 200;
  int64_t decay_steps = 40;
  double final_share = 0.1;       // [0, 1]
  double at(int64_t step) const;  // step from 0
};

struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.95;
  double eps = 1e-8;
  double weight_decay = 0.01;  // not on vectors: biases, norms
  double max_norm = 1.0;       // gradients are scaled down to this global norm; 0: never
  double ema_decay = 0.999;    // reached by (1 + n) / (10 + n) after n steps
  double muon_momentum = 0;    // of hidden matrices; 0: they are as all others
};

struct StepResult {
  double gradient_norm = 0;  // before clipping
  bool applied = false;      // false: the norm was not finite, and nothing was changed
};

class AdamW {
 public:
  // Shares the parameters' storage; their average starts as a copy.
  AdamW(const TensorMap& parameters, const AdamWOptions& options);

  // Takes the gradients that backward() left, applies them and clears them. A parameter without a
  // gradient is a bug.
  StepResult step(double learning_rate);

  int64_t steps() const { return steps_; }  // that were applied

  // "m.NAME", "v.NAME", "ema.NAME" and "steps" (int64, one value): what a checkpoint needs besides
  // the weights. They share storage with the optimiser, as far as they can. What Muon steps has no
  // "v.".
  TensorMap state() const;
  void load(const TensorMap& state);  // Error{corrupt}

  const TensorMap& ema() const { return ema_; }

 private:
  AdamWOptions options_;
  TensorMap parameters_, m_, v_, ema_;
  int64_t steps_ = 0;
};

}  // namespace cleared::train
