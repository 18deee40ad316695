#include <algorithm>

#include "kernels/block_sum.cuh"
#include "kernels/elements-inl.h"
#include "kernels/residual_norm.h"
#include "kernels/wide.cuh"

namespace cleared::kernels {
namespace device {

constexpr int kHeld = 2;  // groups of W values of a row that a thread keeps

// A block has one row.
template <class T, int W>
__global__ void residual_norm(ResidualNorm<T> op) {
  const int64_t row = blockIdx.x, item = row / op.rows, at = row * op.n;
  const float* gate = op.gate_BN != nullptr ? op.gate_BN + item * op.gate_stride : nullptr;
  Wide<W> x[kHeld];
  float all = 0;
#pragma unroll
  for (int h = 0; h < kHeld; ++h) {
    const int64_t i = (int64_t{h} * blockDim.x + threadIdx.x) * W;
    if (i >= op.n) continue;
    x[h] = load<W>(op.x_RN + at + i);
    if (op.branch_RN != nullptr) {
      const Wide<W> branch = load<W>(op.branch_RN + at + i), g = load_or<W>(gate, i, 1);
      const Wide<W> bias = load_or<W>(op.branch_bias_N, i);
#pragma unroll
      for (int k = 0; k < W; ++k) x[h].v[k] = fmaf(g.v[k], branch.v[k] + bias.v[k], x[h].v[k]);
      store(x[h], op.sum_RN + at + i);
    }
#pragma unroll
    for (int k = 0; k < W; ++k) all += x[h].v[k];
  }
  const float part = 1.0F / static_cast<float>(op.n);
  const float mean = block_sum(all) * part;
  float squares = 0;
#pragma unroll
  for (int h = 0; h < kHeld; ++h) {
    if ((int64_t{h} * blockDim.x + threadIdx.x) * W >= op.n) continue;
#pragma unroll
    for (int k = 0; k < W; ++k) {
      squares = fmaf(x[h].v[k] - mean, x[h].v[k] - mean, squares);
    }
  }
  const float scatter = 1.0F / sqrtf(block_sum(squares) * part + op.eps);
#pragma unroll
  for (int h = 0; h < kHeld; ++h) {
    const int64_t i = (int64_t{h} * blockDim.x + threadIdx.x) * W;
    if (i >= op.n) continue;
    const Wide<W> scale = load<W>(op.scale_BN + item * op.mod_stride + i);
    const Wide<W> shift = load<W>(op.shift_BN + item * op.mod_stride + i);
#pragma unroll
    for (int k = 0; k < W; ++k) {
      x[h].v[k] = modulate(OneLane(), op.scale_offset, (x[h].v[k] - mean) * scatter, scale.v[k],
                           shift.v[k]);
    }
    store(x[h], op.out_RN + at + i);
  }
  if (threadIdx.x == 0) op.mean_R[row] = mean, op.scatter_R[row] = scatter;
}

// The two means over a row that its norm's gradient needs, by one warp.
template <class T, int W>
__device__ float2 means_of_row(const ResidualNormGrad<T>& grad, int64_t row, const float* scales) {
  const ResidualNorm<T>& op = grad.forward;
  const float mean = op.mean_R[row], scatter = op.scatter_R[row];
  float first = 0, second = 0;
  for (int64_t i = threadIdx.x % 32 * W; i < op.n; i += 32 * W) {
    const Wide<W> sum = load<W>(op.sum_RN + row * op.n + i), scale = load<W>(scales + i);
    const Wide<W> d = load<W>(grad.d_out_RN + row * op.n + i);
#pragma unroll
    for (int k = 0; k < W; ++k) {
      const float d_normed = d.v[k] * (scale.v[k] + op.scale_offset);
      first += d_normed;
      second = fmaf(d_normed, (sum.v[k] - mean) * scatter, second);
    }
  }
  const float part = 1.0F / static_cast<float>(op.n);
  return {warp_sum(first) * part, warp_sum(second) * part};
}

// A block has one chunk of rows of an item: first its warps take a row each, then its threads W
// columns of every row, so that nobody else adds to their sums.
template <class T, int W>
__global__ void residual_norm_grad(ResidualNormGrad<T> grad) {
  __shared__ float2 means[kNormChunk];
  const ResidualNorm<T>& op = grad.forward;
  const int64_t item = blockIdx.x / op.chunks_of_item();
  const int64_t from = blockIdx.x % op.chunks_of_item() * kNormChunk;
  const int64_t rows = op.rows - from < kNormChunk ? op.rows - from : kNormChunk;
  const int64_t first = item * op.rows + from;
  const float* scales = op.scale_BN + item * op.mod_stride;
  const float* gate = op.gate_BN != nullptr ? op.gate_BN + item * op.gate_stride : nullptr;
  const bool joins = op.branch_RN != nullptr;
  for (int64_t r = threadIdx.x / 32; r < rows; r += kThreads / 32) {
    const float2 mean = means_of_row<T, W>(grad, first + r, scales);
    if (threadIdx.x % 32 == 0) means[r] = mean;
  }
  __syncthreads();

  float* parts = grad.d_parts_C4N + int64_t{blockIdx.x} * 4 * op.n;
  for (int64_t i = int64_t{threadIdx.x} * W; i < op.n; i += kThreads * W) {
    const Wide<W> scale = load<W>(scales + i), g = load_or<W>(gate, i, 1);
    const Wide<W> bias = load_or<W>(op.branch_bias_N, i);
    Wide<W> d_scale = {}, d_shift = {}, d_gate = {}, d_bias = {};
#pragma unroll 2
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t at = (first + r) * op.n + i;
      const float mean = op.mean_R[first + r], scatter = op.scatter_R[first + r];
      const Wide<W> sum = load<W>(op.sum_RN + at), d_out = load<W>(grad.d_out_RN + at);
      const Wide<W> branch = load_or<W>(gate != nullptr ? op.branch_RN : nullptr, at);
      Wide<W> d = load_or<W>(grad.d_sum_RN, at), d_branch;
#pragma unroll
      for (int k = 0; k < W; ++k) {
        const float normed = (sum.v[k] - mean) * scatter;
        const float d_normed = d_out.v[k] * (scale.v[k] + op.scale_offset);
        d_scale.v[k] = fmaf(d_out.v[k], normed, d_scale.v[k]);
        d_shift.v[k] += d_out.v[k];
        d.v[k] += fmaf(-normed, means[r].y, d_normed - means[r].x) * scatter;
        d_branch.v[k] = d.v[k] * g.v[k];
        d_gate.v[k] = fmaf(d.v[k], branch.v[k] + bias.v[k], d_gate.v[k]);
        d_bias.v[k] += d_branch.v[k];
      }
      store(d, grad.d_x_RN + at);
      if (grad.d_branch_RN != nullptr) store(d_branch, grad.d_branch_RN + at);
    }
    store(d_scale, parts + i);
    store(d_shift, parts + op.n + i);
    store(gate != nullptr && joins ? d_gate : Wide<W>{}, parts + 2 * op.n + i);
    store(joins ? d_bias : Wide<W>{}, parts + 3 * op.n + i);
  }
}

template <class T>
void launch(const ResidualNorm<T>& op, Stream stream) {
  const auto rows = static_cast<unsigned>(op.items * op.rows);
  const auto threads = [&](int64_t width) {
    const int64_t wanted = (op.n + width - 1) / width;
    return static_cast<unsigned>(std::min<int64_t>(kMostThreads, (wanted + 31) / 32 * 32));
  };
  if (op.n % 4 == 0) residual_norm<T, 4><<<rows, threads(4), 0, stream>>>(op);
  else residual_norm<T, 1><<<rows, threads(1), 0, stream>>>(op);
}

// A narrow row is better shared by more threads than read by wider accesses.
template <class T>
void launch(const ResidualNormGrad<T>& op, Stream stream) {
  const auto chunks = static_cast<unsigned>(op.forward.chunks());
  if (op.forward.n % 4 == 0 && op.forward.n >= 2 * kThreads) {
    residual_norm_grad<T, 4><<<chunks, kThreads, 0, stream>>>(op);
  } else {
    residual_norm_grad<T, 1><<<chunks, kThreads, 0, stream>>>(op);
  }
}

}  // namespace device

void residual_norm_cuda(const ResidualNorm<float>& op, Stream stream) {
  device::launch(op, stream);
}
void residual_norm_cuda(const ResidualNorm<Bf16>& op, Stream stream) {
  device::launch(op, stream);
}
void residual_norm_grad_cuda(const ResidualNormGrad<float>& op, Stream stream) {
  device::launch(op, stream);
}
void residual_norm_grad_cuda(const ResidualNormGrad<Bf16>& op, Stream stream) {
  device::launch(op, stream);
}

}  // namespace cleared::kernels
