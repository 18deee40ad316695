// AdamW with gradient clipping, and exponential moving averages of the weights, all in float32;
// where it is asked for, hidden matrices step by Muon (train/model/muon.h) instead.
// Sources: Loshchilov and Hutter, Decoupled Weight Decay Regularization, 2019; Hu and others,
// MiniCPM, 2024 (warm-up, stable, decay). One thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

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
  std::vector<double> ema_decays = {0.999};  // reached by (1 + n) / (10 + n) after n steps
  // A step whose gradient is more than guard_above times as long as the median of the guard_steps
  // steps before is an outlier and not applied; 0: there is none. Its length still counts for the
  // median, so that a change that lasts is followed.
  int64_t guard_steps = 0;
  double guard_above = 0;
  double muon_momentum = 0;  // of hidden matrices; 0: they are as all others
  double text_share = 1;     // of the learning rate, for what is named "text."
};

struct StepResult {
  double gradient_norm = 0;  // before clipping
  bool applied = false;      // false: the norm was not finite, or an outlier; nothing was changed
};

// How the names of an average's tensors begin.
std::string ema_prefix(size_t average);

class AdamW {
 public:
  // Shares the parameters' storage; their averages start as copies.
  AdamW(const TensorMap& parameters, const AdamWOptions& options);

  // Takes the gradients that backward() left, applies them and clears them. A parameter without a
  // gradient is a bug.
  StepResult step(double learning_rate);

  // Of those that backward() left, before clipping; nothing is changed.
  double gradient_norm() const;
  // Clears them.
  void skip();

  int64_t steps() const { return steps_; }  // that were applied

  // "m.NAME", "v.NAME", "ema.NAME" of the first average and "ema2.NAME" and so on of others,
  // "steps" (int64, one value) and with a guard "norms" (double): what a checkpoint needs besides
  // the weights. They share storage with the optimiser, as far as they can. What Muon steps has no
  // "v.".
  TensorMap state() const;
  void load(const TensorMap& state);  // Error{corrupt}

  const TensorMap& ema() const { return ema_.front(); }  // the first, if there is one

 private:
  std::vector<Tensor> gradients() const;
  AdamWOptions options_;
  bool is_outlier(double norm) const;

  TensorMap parameters_, m_, v_;
  std::vector<TensorMap> ema_;  // by decay
  Tensor norms_;                // of the last steps, the newest last; -1: of none
  int64_t steps_ = 0;
};

}  // namespace cleared::train
