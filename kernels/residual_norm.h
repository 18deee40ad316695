// What stands between two halves of a transformer block, in one pass: the last half's output joins
// the stream, and the stream is normed and modulated for the next half.
//   sum = x + gate (branch + branch_bias),  out = norm(sum) (scale_offset + scale) + shift,
// norm being LayerNorm without weights. With gate, scale and shift for each item this is adaLN
// (Peebles and Xie, Scalable Diffusion Models with Transformers, 2023; scale_offset 1); with
// shared ones and scale_offset 0 it is the usual LayerNorm with weight and bias.
//
// Row-major, contiguous: B items of S rows, R = B S, N values a row. What comes from one product
// and goes to the next, branch and out, is of type T, float or Bf16; the stream is of floats. Work
// is in chunks of kNormChunk rows of one item, so that what threads share is a range of chunks and
// sums over rows do not depend on how many threads there are. Sizes and pointers are the caller's
// to check. Safe from any thread on disjoint chunks.
#pragma once

#include <cstdint>

#include "kernels/bf16.h"
#include "kernels/device.h"

namespace cleared::kernels {

inline constexpr int64_t kNormChunk = 32;
inline constexpr int64_t kMostNormed = 2048;  // of the CUDA half, N; 4 times that where 4 divides N

template <class T>
struct ResidualNorm {
  int64_t items, rows, n;  // B, S, N
  const float* x_RN;
  const T* branch_RN;          // null: sum is x, and sum_RN is not written
  const float* branch_bias_N;  // null: none
  const float* gate_BN;        // null: 1
  const float* scale_BN;
  const float* shift_BN;
  int64_t gate_stride;  // floats from one item's gate to the next one's
  int64_t mod_stride;   // the same of scale and shift; 0: all items share them
  float scale_offset;
  float eps;
  float* sum_RN;
  T* out_RN;
  float* mean_R;     // of sum, for the gradient
  float* scatter_R;  // 1 / sqrt(variance + eps)

  CLEARED_HD int64_t chunks_of_item() const { return (rows + kNormChunk - 1) / kNormChunk; }
  CLEARED_HD int64_t chunks() const { return items * chunks_of_item(); }
};

// From the gradients of sum and out those of all that went in.
template <class T>
struct ResidualNormGrad {
  ResidualNorm<T> forward;  // x_RN is not used; sum_RN is x_RN where there is no branch
  const float* d_sum_RN;    // null: zero
  const T* d_out_RN;
  float* d_x_RN;
  T* d_branch_RN;      // null: there is no branch, or its gradient is d_x as it is
  float* d_parts_C4N;  // a chunk's part of the gradients of scale, shift, gate, branch_bias
};

void residual_norm_cpu(const ResidualNorm<float>& op, int64_t first_chunk, int64_t end_chunk);
void residual_norm_cpu(const ResidualNorm<Bf16>& op, int64_t first_chunk, int64_t end_chunk);
void residual_norm_grad_cpu(const ResidualNormGrad<float>& op, int64_t first_chunk,
                            int64_t end_chunk);
void residual_norm_grad_cpu(const ResidualNormGrad<Bf16>& op, int64_t first_chunk,
                            int64_t end_chunk);
void residual_norm_cuda(const ResidualNorm<float>& op, Stream stream);  // queued; not finished
void residual_norm_cuda(const ResidualNorm<Bf16>& op, Stream stream);
void residual_norm_grad_cuda(const ResidualNormGrad<float>& op, Stream stream);
void residual_norm_grad_cuda(const ResidualNormGrad<Bf16>& op, Stream stream);

}  // namespace cleared::kernels
