// From a linear layer's output to what attention takes: bias added, queries and keys normed head by
// head (QK-norm: Dehghani and others, Scaling Vision Transformers to 22 Billion Parameters, 2023;
// RMS as Zhang and Sennrich, 2019) and turned by their position (RoPE: Su and others, RoFormer,
// 2021), each head's rows side by side. For u = x + bias of one head's D values:
//   y = norm u / sqrt(mean(u^2) + eps),
//   out[2i] = y[2i] cos_i - y[2i+1] sin_i,  out[2i+1] = y[2i+1] cos_i + y[2i] sin_i;
// a part without norm is passed on as it is.
//
// Row-major, contiguous: B items of S rows, R = B S; P parts (query, key, value) of H heads of D
// values, D even. Work is in chunks of kHeadChunk rows of all items together, so that what threads
// share is a range of chunks and sums over rows do not depend on how many threads there are. Sizes
// and pointers are the caller's to check. Safe from any thread on disjoint chunks.
#pragma once

#include <cstdint>

#include "kernels/device.h"

namespace cleared::kernels {

inline constexpr int64_t kHeadChunk = 32;
inline constexpr int kMostParts = 3;

struct SplitHeads {
  int64_t items, rows, heads, depth;  // B, S, H, D
  int parts;                          // P, 1 to kMostParts
  const float* x_RPHD;
  const float* bias_PHD;            // null: none
  const float* norm_D[kMostParts];  // null: the part is passed on
  const float* rope_SD;             // D / 2 pairs (cos, sin) a row, for normed parts; null: none
  float eps;
  float* out_BHSD[kMostParts];

  CLEARED_HD int64_t width() const { return parts * heads * depth; }  // of a row of x
  CLEARED_HD int64_t chunks() const { return (items * rows + kHeadChunk - 1) / kHeadChunk; }
};

// One part's gradient may have its heads and rows in any order; its D values are contiguous.
struct HeadGrad {
  const float* d_out;
  int64_t item_stride, head_stride, row_stride;
};

struct SplitHeadsGrad {
  SplitHeads forward;  // its out_BHSD are not used
  HeadGrad d_out[kMostParts];
  float* d_x_RPHD;
  float* d_parts_C2PHD;  // a chunk's part of the gradients of bias, and of norm for each head
};

void split_heads_cpu(const SplitHeads& op, int64_t first_chunk, int64_t end_chunk);
void split_heads_grad_cpu(const SplitHeadsGrad& op, int64_t first_chunk, int64_t end_chunk);
void split_heads_cuda(const SplitHeads& op, Stream stream);  // queued; not finished on return
void split_heads_grad_cuda(const SplitHeadsGrad& op, Stream stream);

}  // namespace cleared::kernels
