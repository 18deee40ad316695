// From a linear layer's output to what attention takes: bias added, queries and keys normed head by
// head (QK-norm: Dehghani and others, Scaling Vision Transformers to 22 Billion Parameters, 2023;
// RMS as Zhang and Sennrich, 2019) and turned by their position (RoPE: Su and others, RoFormer,
// 2021), each head's rows side by side. For u = x + bias of one head's D values:
//   y = norm u / sqrt(mean(u^2) + eps),
//   out[2i] = y[2i] cos_i - y[2i+1] sin_i,  out[2i+1] = y[2i+1] cos_i + y[2i] sin_i;
// a part without norm is passed on as it is.
//
// x and out are of type T, float or Bf16. Row-major, contiguous: B items of S rows, R = B S; P
// parts (query, key, value) of H heads of D values, D even. Work is in chunks of kHeadChunk rows of
// all items together, so that what threads share is a range of chunks and sums over rows do not
// depend on how many threads there are. Sizes and pointers are the caller's to check. Safe from any
// thread on disjoint chunks.
#pragma once

#include <cstdint>

#include "kernels/bf16.h"
#include "kernels/device.h"

namespace cleared::kernels {

inline constexpr int64_t kHeadChunk = 32;
inline constexpr int kMostParts = 3;
inline constexpr int64_t kMostDepth = 256;  // of the CUDA half

template <class T>
struct SplitHeads {
  int64_t items, rows, heads, depth;  // B, S, H, D
  int parts;                          // P, 1 to kMostParts
  const T* x_RPHD;
  const float* bias_PHD;            // null: none
  const float* norm_D[kMostParts];  // null: the part is passed on
  const float* rope_SD;             // D / 2 pairs (cos, sin) a row, for normed parts; null: none
  float eps;
  T* out_BHSD[kMostParts];  // D values contiguous; the rest in any order, the same for all parts:
  int64_t item_stride, head_stride, row_stride;  // values from one to the next

  CLEARED_HD int64_t width() const { return parts * heads * depth; }  // of a row of x
  CLEARED_HD int64_t chunks() const { return (items * rows + kHeadChunk - 1) / kHeadChunk; }
};

// One part's gradient may have its heads and rows in any order; its D values are contiguous.
template <class T>
struct HeadGrad {
  const T* d_out;
  int64_t item_stride, head_stride, row_stride;
};

template <class T>
struct SplitHeadsGrad {
  SplitHeads<T> forward;  // its out_BHSD are not used
  HeadGrad<T> d_out[kMostParts];
  T* d_x_RPHD;
  float* d_parts_C2PHD;  // a chunk's part of the gradients of bias, and of norm for each head
};

void split_heads_cpu(const SplitHeads<float>& op, int64_t first_chunk, int64_t end_chunk);
void split_heads_cpu(const SplitHeads<Bf16>& op, int64_t first_chunk, int64_t end_chunk);
void split_heads_grad_cpu(const SplitHeadsGrad<float>& op, int64_t first_chunk, int64_t end_chunk);
void split_heads_grad_cpu(const SplitHeadsGrad<Bf16>& op, int64_t first_chunk, int64_t end_chunk);
void split_heads_cuda(const SplitHeads<float>& op, Stream stream);  // queued; not finished
void split_heads_cuda(const SplitHeads<Bf16>& op, Stream stream);
void split_heads_grad_cuda(const SplitHeadsGrad<float>& op, Stream stream);
void split_heads_grad_cuda(const SplitHeadsGrad<Bf16>& op, Stream stream);

}  // namespace cleared::kernels
