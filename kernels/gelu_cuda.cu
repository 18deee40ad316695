#include "kernels/block_sum.cuh"
#include "kernels/elements-inl.h"
#include "kernels/wide.cuh"

namespace cleared::kernels {
namespace device {

constexpr int64_t kRows = 8;  // of a block, forward

// A thread has W columns of some rows.
template <class T, int W>
__global__ void gelu(Gelu<T> op) {
  const int64_t i = (int64_t{blockIdx.y} * kThreads + threadIdx.x) * W, first = blockIdx.x * kRows;
  if (i >= op.n) return;
  const int64_t end = first + kRows < op.rows ? first + kRows : op.rows;
  const Wide<W> bias = load<W>(op.bias_N + i);
#pragma unroll 4
  for (int64_t r = first; r < end; ++r) {
    Wide<W> x = load<W>(op.x_RN + r * op.n + i);
#pragma unroll
    for (int k = 0; k < W; ++k) {
      const float u = x.v[k] + bias.v[k];
      x.v[k] = u * gelu_gate(OneLane(), u);
    }
    store(x, op.out_RN + r * op.n + i);
  }
}

// Of one chunk of rows, so that nobody else adds to its sums.
template <class T, int W>
__global__ void gelu_grad(GeluGrad<T> grad) {
  const Gelu<T>& op = grad.forward;
  const int64_t i = (int64_t{blockIdx.y} * kThreads + threadIdx.x) * W;
  const int64_t first = int64_t{blockIdx.x} * kGeluChunk;
  if (i >= op.n) return;
  const int64_t end = first + kGeluChunk < op.rows ? first + kGeluChunk : op.rows;
  const Wide<W> bias = load<W>(op.bias_N + i);
  Wide<W> d_bias = {};
#pragma unroll 4
  for (int64_t r = first; r < end; ++r) {
    const Wide<W> x = load<W>(op.x_RN + r * op.n + i);
    Wide<W> d = load<W>(grad.d_out_RN + r * op.n + i);
#pragma unroll
    for (int k = 0; k < W; ++k) {
      d.v[k] *= gelu_slope(OneLane(), x.v[k] + bias.v[k]);
      d_bias.v[k] += d.v[k];
    }
    store(d, grad.d_x_RN + r * op.n + i);
  }
  store(d_bias, grad.d_bias_CN + blockIdx.x * op.n + i);
}

static dim3 gelu_grid(int64_t rows, int64_t rows_of_block, int64_t columns) {
  return {static_cast<unsigned>((rows + rows_of_block - 1) / rows_of_block), blocks_for(columns)};
}

template <class T>
void launch(const Gelu<T>& op, Stream stream) {
  if (op.n % 4 == 0) gelu<T, 4><<<gelu_grid(op.rows, kRows, op.n / 4), kThreads, 0, stream>>>(op);
  else gelu<T, 1><<<gelu_grid(op.rows, kRows, op.n), kThreads, 0, stream>>>(op);
}

template <class T>
void launch(const GeluGrad<T>& op, Stream stream) {
  const int64_t rows = op.forward.rows, n = op.forward.n;
  if (n % 4 == 0) {
    gelu_grad<T, 4><<<gelu_grid(rows, kGeluChunk, n / 4), kThreads, 0, stream>>>(op);
  } else {
    gelu_grad<T, 1><<<gelu_grid(rows, kGeluChunk, n), kThreads, 0, stream>>>(op);
  }
}

}  // namespace device

void gelu_cuda(const Gelu<float>& op, Stream stream) {
  device::launch(op, stream);
}
void gelu_cuda(const Gelu<Bf16>& op, Stream stream) {
  device::launch(op, stream);
}
void gelu_grad_cuda(const GeluGrad<float>& op, Stream stream) {
  device::launch(op, stream);
}
void gelu_grad_cuda(const GeluGrad<Bf16>& op, Stream stream) {
  device::launch(op, stream);
}

}  // namespace cleared::kernels
