// One pass over a parameter and all that belongs to it: the gradient is scaled (clipping), AdamW
// moves the weights (Loshchilov and Hutter, Decoupled Weight Decay Regularization, 2019), and their
// exponential moving average follows. And the sum of squares that clipping needs, over pieces of
// kSquaresChunk values, so that it does not depend on how many threads or ranks share the work.
//
//   g = scale grad;  m += (1 - beta1) (g - m);  v = beta2 v + (1 - beta2) g^2
//   p = keep p - rate m / (sqrt(v) / root + eps);  ema += follow (p - ema)
// with keep = 1 - learning_rate weight_decay, rate = learning_rate / (1 - beta1^t), root =
// sqrt(1 - beta2^t). Contiguous; grad is not changed. Sizes and pointers are the caller's to check.
// Safe from any thread on disjoint ranges.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/device.h"

namespace cleared::kernels {

struct AdamWRates {
  float scale, beta1, beta2, keep, rate, root, eps, follow;
};

struct AdamWPass {
  AdamWRates rates;
  const float* grad_M;
  float *p_M, *m_M, *v_M, *ema_M;  // ema_M null: no average
  int64_t count;                   // M
};

void adamw_cpu(const AdamWPass& op, int64_t first, int64_t end);
void adamw_cuda(std::span<const AdamWPass> ops, Stream stream);  // queued; not finished on return

inline constexpr int64_t kSquaresChunk = 16384;

struct Squares {
  const float* x_M;
  double* sum_C;  // of the squares of each chunk
  int64_t count;  // M
  CLEARED_HD int64_t chunks() const { return (count + kSquaresChunk - 1) / kSquaresChunk; }
};

void squares_cpu(const Squares& op, int64_t first_chunk, int64_t end_chunk);
void squares_cuda(std::span<const Squares> ops, Stream stream);  // queued; not finished on return

}  // namespace cleared::kernels
