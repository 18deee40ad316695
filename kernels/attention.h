// Softmax attention of short sequences in float32: what Vaswani and others (Attention Is All You
// Need, 2017) wrote, without a mask. For each item and head
//   P = softmax(scale Q K^T),  out = P V.
// All scores of some queries fit in the second-level cache, so that nothing of them goes to memory:
// for the gradient P is computed again from the logarithm of each row's sum, as in FlashAttention
// (Dao and others, 2022).
//
// Row-major: B items of H heads, S queries and L keys of D values. Work is in pairs of an item and
// a head, pair b H + h, so that what threads share is a range of pairs, and no sum depends on how
// many threads there are. Sizes and pointers are the caller's to check. Safe from any thread on
// disjoint pairs; a thread keeps what it computes in for its next call.
#pragma once

#include <cstdint>

namespace cleared::kernels {

inline constexpr int64_t kAttentionDepth = 16;  // D is a multiple of it
inline constexpr int64_t kMostKeys = 1024;      // of more, scores do not fit in the cache: slow

struct Attention {
  int64_t items, heads, queries, keys, depth;  // B, H, S, L, D
  float scale;
  const float *q_BHSD, *k_BHLD, *v_BHLD;  // contiguous
  float* out_BSHD;                        // contiguous: as the next product takes it
  float* log_sums_BHS;  // of each query's exp(score), natural; the gradient needs them

  int64_t pairs() const { return items * heads; }
};

struct AttentionGrad {
  Attention forward;  // as it was filled
  const float* d_out_BSHD;
  float *d_q_BHSD, *d_k_BHLD, *d_v_BHLD;
};

void attention_cpu(const Attention& op, int64_t first_pair, int64_t end_pair);
void attention_grad_cpu(const AttentionGrad& op, int64_t first_pair, int64_t end_pair);

}  // namespace cleared::kernels
