#include "kernels/block_sum.cuh"
#include "kernels/split_heads.h"
#include "kernels/wide.cuh"

namespace cleared::kernels {
namespace device {

using Pair = Wide<2>;
constexpr int kHeld = kMostDepth / 64;  // pairs that a lane keeps
constexpr int64_t kWarps = kThreads / 32;
constexpr int64_t kRows = 4;  // of a block, forward

// Of the arrays of an operation by a part that is not known when this is compiled.
template <class T>
__device__ __forceinline__ T pick(const T (&all)[kMostParts], int part) {
  return part == 0 ? all[0] : part == 1 ? all[1] : all[2];
}

// One head of one part, for one warp, which goes through rows; a lane has pairs of neighbours.
template <class T>
struct Head {
  __device__ Head(const SplitHeads<T>& op, int64_t which)
      : part(static_cast<int>(which / op.heads)),
        head(which % op.heads),
        at(which * op.depth),
        norm(pick(op.norm_D, part)) {}
  __device__ void go_to(const SplitHeads<T>& op, int64_t r) {
    const auto all = static_cast<uint32_t>(r), rows = static_cast<uint32_t>(op.rows);
    item = all / rows, row = all % rows;
    x = r * op.width() + at;
  }
  int part;
  int64_t head;
  int64_t at;  // its first value in bias_PHD
  const float* norm;
  uint32_t item = 0, row = 0;
  int64_t x = 0;  // its first value in x_RPHD
};

// Calls f(h, i) for this lane's pairs: the h-th starts at value i.
template <class F>
__device__ __forceinline__ void for_pairs(int64_t depth, const F& f) {
#pragma unroll
  for (int h = 0; h < kHeld; ++h) {
    const int64_t i = 64 * h + 2 * (threadIdx.x % 32);
    if (i < depth) f(h, i);
  }
}

// u = x + bias, and for a part with norm 1 / sqrt(mean(u^2) + eps).
template <class T>
__device__ float read_head(const SplitHeads<T>& op, const Head<T>& head, Pair* u) {
  float squares = 0;
  for_pairs(op.depth, [&](int h, int64_t i) {
    const Pair bias = load_or<2>(op.bias_PHD, head.at + i);
    u[h] = load<2>(op.x_RPHD + head.x + i);
    u[h].v[0] += bias.v[0], u[h].v[1] += bias.v[1];
    squares = fmaf(u[h].v[0], u[h].v[0], fmaf(u[h].v[1], u[h].v[1], squares));
  });
  return 1.0F / sqrtf(warp_sum(squares) / static_cast<float>(op.depth) + op.eps);
}

template <class T>
__device__ __forceinline__ Pair turned(const SplitHeads<T>& op, const Head<T>& head, int64_t i,
                                       Pair p, float sign) {
  if (op.rope_SD == nullptr) return p;
  const Pair angle = load<2>(op.rope_SD + head.row * op.depth + i);
  const float cos = angle.v[0], sin = sign * angle.v[1];
  return {fmaf(p.v[0], cos, -(p.v[1] * sin)), fmaf(p.v[1], cos, p.v[0] * sin)};
}

// A warp has one head of some rows.
template <class T>
__global__ void split_heads(SplitHeads<T> op) {
  const int64_t which = blockIdx.y * kWarps + threadIdx.x / 32;
  if (which >= op.parts * op.heads) return;
  Head<T> head(op, which);
  const int64_t first = int64_t{blockIdx.x} * kRows, all = op.items * op.rows;
  const int64_t end = first + kRows < all ? first + kRows : all;
  for (int64_t r = first; r < end; ++r) {
    head.go_to(op, r);
    T* out = pick(op.out_BHSD, head.part) +
             ((head.item * op.heads + head.head) * op.rows + head.row) * op.depth;
    Pair u[kHeld];
    const float scale = read_head(op, head, u);
    for_pairs(op.depth, [&](int h, int64_t i) {
      Pair p = u[h];
      if (head.norm != nullptr) {
        const Pair weight = load<2>(head.norm + i);
        p = {p.v[0] * scale * weight.v[0], p.v[1] * scale * weight.v[1]};
        p = turned(op, head, i, p, 1);
      }
      store(p, out + i);
    });
  }
}

// A warp has one head of every row of a chunk, so nobody else adds to its sums.
template <class T>
__global__ void split_heads_grad(SplitHeadsGrad<T> grad) {
  const SplitHeads<T>& op = grad.forward;
  const int64_t which = blockIdx.y * kWarps + threadIdx.x / 32;
  if (which >= op.parts * op.heads) return;
  Head<T> head(op, which);
  const HeadGrad<T> from = pick(grad.d_out, head.part);
  const float* norm = head.norm;
  const int64_t first = int64_t{blockIdx.x} * kHeadChunk, all = op.items * op.rows;
  const int64_t end = first + kHeadChunk < all ? first + kHeadChunk : all;
  Pair d_bias[kHeld] = {}, d_norm[kHeld] = {};
  for (int64_t r = first; r < end; ++r) {
    head.go_to(op, r);
    const T* d_out = from.d_out + head.item * from.item_stride + head.head * from.head_stride +
                     head.row * from.row_stride;
    Pair u[kHeld], d[kHeld];
    const float scale = norm != nullptr ? read_head(op, head, u) : 1.0F;
    float along = 0;
    for_pairs(op.depth, [&](int h, int64_t i) {
      d[h] = load<2>(d_out + i);
      if (norm == nullptr) return;
      d[h] = turned(op, head, i, d[h], -1);
      const Pair weight = load<2>(norm + i);
      for (int k = 0; k < 2; ++k) {
        d_norm[h].v[k] = fmaf(d[h].v[k] * u[h].v[k], scale, d_norm[h].v[k]);
        d[h].v[k] *= weight.v[k];
        along = fmaf(d[h].v[k], u[h].v[k], along);
      }
    });
    const float pull = warp_sum(along) * scale * scale / static_cast<float>(op.depth);
    for_pairs(op.depth, [&](int h, int64_t i) {
      for (int k = 0; k < 2; ++k) {
        if (norm != nullptr) d[h].v[k] = fmaf(-u[h].v[k], pull, d[h].v[k]) * scale;
        d_bias[h].v[k] += d[h].v[k];
      }
      store(d[h], grad.d_x_RPHD + head.x + i);
    });
  }
  float* parts = grad.d_parts_C2PHD + int64_t{blockIdx.x} * 2 * op.width() + which * op.depth;
  for_pairs(op.depth, [&](int h, int64_t i) {
    store(d_bias[h], parts + i);
    store(d_norm[h], parts + op.width() + i);
  });
}

template <class T>
void launch(const SplitHeads<T>& op, Stream stream) {
  const dim3 blocks(static_cast<unsigned>((op.items * op.rows + kRows - 1) / kRows),
                    static_cast<unsigned>((op.parts * op.heads + kWarps - 1) / kWarps));
  split_heads<<<blocks, kThreads, 0, stream>>>(op);
}

template <class T>
void launch(const SplitHeadsGrad<T>& op, Stream stream) {
  const int64_t heads = op.forward.parts * op.forward.heads;
  const dim3 blocks(static_cast<unsigned>(op.forward.chunks()),
                    static_cast<unsigned>((heads + kWarps - 1) / kWarps));
  split_heads_grad<<<blocks, kThreads, 0, stream>>>(op);
}

}  // namespace device

void split_heads_cuda(const SplitHeads<float>& op, Stream stream) {
  device::launch(op, stream);
}
void split_heads_cuda(const SplitHeads<Bf16>& op, Stream stream) {
  device::launch(op, stream);
}
void split_heads_grad_cuda(const SplitHeadsGrad<float>& op, Stream stream) {
  device::launch(op, stream);
}
void split_heads_grad_cuda(const SplitHeadsGrad<Bf16>& op, Stream stream) {
  device::launch(op, stream);
}

}  // namespace cleared::kernels
