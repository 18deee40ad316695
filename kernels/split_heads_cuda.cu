#include "kernels/block_sum.cuh"
#include "kernels/split_heads.h"
#include "kernels/wide.cuh"

namespace cleared::kernels {
namespace device {

constexpr int64_t kWarps = kThreads / 32;
constexpr int64_t kRows = 8;  // of a block, forward

// Of the arrays of an operation by a part that is not known when this is compiled.
template <class T>
__device__ __forceinline__ T pick(const T (&all)[kMostParts], int part) {
  return part == 0 ? all[0] : part == 1 ? all[1] : all[2];
}

// How a warp shares rows of one head: G lanes a row, each with groups of W neighbours of it.
template <int W, int G>
struct Share {
  static constexpr int kHeld = W == 4 ? 1 : static_cast<int>(kMostDepth / (W * G));
  static constexpr int64_t kAtOnce = 32 / G;  // rows

  static __device__ int lane() { return threadIdx.x % G; }
  static __device__ int64_t row() { return threadIdx.x % 32 / G; }

  static __device__ __forceinline__ float sum(float value) {  // over a row's lanes
    for (int step = G / 2; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffU, value, step);
    return value;
  }
  // Calls f(h, i) for this lane's groups: the h-th starts at value i.
  template <class F>
  static __device__ __forceinline__ void each(int64_t depth, const F& f) {
#pragma unroll
    for (int h = 0; h < kHeld; ++h) {
      const int64_t i = (h * G + lane()) * W;
      if (i < depth) f(h, i);
    }
  }
};

// One head of one part, in the rows that a warp goes through.
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

// u = x + bias, and for a part with norm 1 / sqrt(mean(u^2) + eps).
template <int W, int G, class T>
__device__ float read_head(const SplitHeads<T>& op, const Head<T>& head, Wide<W>* u) {
  float squares = 0;
  Share<W, G>::each(op.depth, [&](int h, int64_t i) {
    const Wide<W> bias = load_or<W>(op.bias_PHD, head.at + i);
    u[h] = load<W>(op.x_RPHD + head.x + i);
#pragma unroll
    for (int k = 0; k < W; ++k) {
      u[h].v[k] += bias.v[k];
      squares = fmaf(u[h].v[k], u[h].v[k], squares);
    }
  });
  return 1.0F / sqrtf(Share<W, G>::sum(squares) / static_cast<float>(op.depth) + op.eps);
}

template <int W, class T>
__device__ __forceinline__ Wide<W> turned(const SplitHeads<T>& op, const Head<T>& head, int64_t i,
                                          const Wide<W>& p, float sign) {
  if (op.rope_SD == nullptr) return p;
  const Wide<W> angle = load<W>(op.rope_SD + head.row * op.depth + i);
  Wide<W> q;
#pragma unroll
  for (int k = 0; k < W; k += 2) {
    const float cos = angle.v[k], sin = sign * angle.v[k + 1], a = p.v[k], b = p.v[k + 1];
    q.v[k] = fmaf(a, cos, -(b * sin));
    q.v[k + 1] = fmaf(b, cos, a * sin);
  }
  return q;
}

// A warp has one head of some rows.
template <class T, int W, int G>
__global__ void split_heads(SplitHeads<T> op) {
  using S = Share<W, G>;
  const int64_t which = blockIdx.y * kWarps + threadIdx.x / 32;
  if (which >= op.parts * op.heads) return;
  Head<T> head(op, which);
  T* const outs = pick(op.out_BHSD, head.part) + head.head * op.head_stride;
  const int64_t first = int64_t{blockIdx.x} * kRows, all = op.items * op.rows;
#pragma unroll 2
  for (int64_t step = 0; step < kRows; step += S::kAtOnce) {
    const int64_t r = first + step + S::row();
    head.go_to(op, r < all ? r : all - 1);  // all lanes take part in sums
    Wide<W> u[S::kHeld];
    const float scale = read_head<W, G>(op, head, u);
    if (r >= all) continue;
    T* out = outs + head.item * op.item_stride + head.row * op.row_stride;
    S::each(op.depth, [&](int h, int64_t i) {
      if (head.norm != nullptr) {
        const Wide<W> weight = load<W>(head.norm + i);
#pragma unroll
        for (int k = 0; k < W; ++k) u[h].v[k] *= scale * weight.v[k];
        u[h] = turned(op, head, i, u[h], 1);
      }
      store(u[h], out + i);
    });
  }
}

// A warp has one head of every row of a chunk, so nobody else adds to its sums.
template <class T, int W, int G>
__global__ void split_heads_grad(SplitHeadsGrad<T> grad) {
  using S = Share<W, G>;
  const SplitHeads<T>& op = grad.forward;
  const int64_t which = blockIdx.y * kWarps + threadIdx.x / 32;
  if (which >= op.parts * op.heads) return;
  Head<T> head(op, which);
  const HeadGrad<T> from = pick(grad.d_out, head.part);
  const float* norm = head.norm;
  const int64_t first = int64_t{blockIdx.x} * kHeadChunk, all = op.items * op.rows;
  Wide<W> d_bias[S::kHeld] = {}, d_norm[S::kHeld] = {};
#pragma unroll 2
  for (int64_t step = 0; step < kHeadChunk; step += S::kAtOnce) {
    const int64_t r = first + step + S::row();
    const bool there = r < all;
    head.go_to(op, there ? r : all - 1);  // all lanes take part in sums
    const T* d_out = from.d_out + head.item * from.item_stride + head.head * from.head_stride +
                     head.row * from.row_stride;
    Wide<W> u[S::kHeld], d[S::kHeld];
    const float scale = norm != nullptr ? read_head<W, G>(op, head, u) : 1.0F;
    float along = 0;
    S::each(op.depth, [&](int h, int64_t i) {
      d[h] = load<W>(d_out + i);
      if (norm == nullptr) return;
      d[h] = turned(op, head, i, d[h], -1);
      const Wide<W> weight = load<W>(norm + i);
#pragma unroll
      for (int k = 0; k < W; ++k) {
        if (there) d_norm[h].v[k] = fmaf(d[h].v[k] * u[h].v[k], scale, d_norm[h].v[k]);
        d[h].v[k] *= weight.v[k];
        along = fmaf(d[h].v[k], u[h].v[k], along);
      }
    });
    if (norm != nullptr) along = S::sum(along);
    if (!there) continue;
    const float pull = along * scale * scale / static_cast<float>(op.depth);
    S::each(op.depth, [&](int h, int64_t i) {
#pragma unroll
      for (int k = 0; k < W; ++k) {
        if (norm != nullptr) d[h].v[k] = fmaf(-u[h].v[k], pull, d[h].v[k]) * scale;
        d_bias[h].v[k] += d[h].v[k];
      }
      store(d[h], grad.d_x_RPHD + head.x + i);
    });
  }
  float* parts = grad.d_parts_C2PHD + int64_t{blockIdx.x} * 2 * op.width() + which * op.depth;
#pragma unroll
  for (int h = 0; h < S::kHeld; ++h) {
    for (int lanes = G; lanes < 32; lanes *= 2) {
#pragma unroll
      for (int k = 0; k < W; ++k) {
        d_bias[h].v[k] += __shfl_xor_sync(0xffffffffU, d_bias[h].v[k], lanes);
        d_norm[h].v[k] += __shfl_xor_sync(0xffffffffU, d_norm[h].v[k], lanes);
      }
    }
  }
  if (S::row() != 0) return;
  S::each(op.depth, [&](int h, int64_t i) {
    store(d_bias[h], parts + i);
    store(d_norm[h], parts + op.width() + i);
  });
}

static dim3 grid(int64_t rows, int64_t rows_of_block, int64_t heads) {
  return {static_cast<unsigned>((rows + rows_of_block - 1) / rows_of_block),
          static_cast<unsigned>((heads + kWarps - 1) / kWarps)};
}

template <class T>
void launch(const SplitHeads<T>& op, Stream stream) {
  const dim3 blocks = grid(op.items * op.rows, kRows, op.parts * op.heads);
  const bool by_four = (op.depth | op.item_stride | op.head_stride | op.row_stride) % 4 == 0;
  if (by_four && op.depth <= 64) split_heads<T, 4, 16><<<blocks, kThreads, 0, stream>>>(op);
  else if (by_four && op.depth <= 128) split_heads<T, 4, 32><<<blocks, kThreads, 0, stream>>>(op);
  else split_heads<T, 2, 32><<<blocks, kThreads, 0, stream>>>(op);
}

template <class T>
void launch(const SplitHeadsGrad<T>& grad, Stream stream) {
  const SplitHeads<T>& op = grad.forward;
  const dim3 blocks = grid(op.items * op.rows, kHeadChunk, op.parts * op.heads);
  int64_t strides = op.depth;
  for (const HeadGrad<T>& from : grad.d_out) {
    strides |= from.item_stride | from.head_stride | from.row_stride;
  }
  const bool by_four = strides % 4 == 0;
  if (by_four && op.depth <= 64) split_heads_grad<T, 4, 16><<<blocks, kThreads, 0, stream>>>(grad);
  else if (by_four && op.depth <= 128)
    split_heads_grad<T, 4, 32><<<blocks, kThreads, 0, stream>>>(grad);
  else split_heads_grad<T, 2, 32><<<blocks, kThreads, 0, stream>>>(grad);
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
