#include "kernels/block_sum.cuh"
#include "kernels/elements-inl.h"

namespace cleared::kernels {
namespace device {

static __global__ void gelu(Gelu op) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= op.rows * op.n) return;
  const float u = op.x_RN[i] + op.bias_N[i % op.n];
  op.out_RN[i] = u * gelu_gate(OneLane(), u);
}

// A block has one chunk of rows, a thread some of its columns.
static __global__ void gelu_grad(GeluGrad grad) {
  const Gelu& op = grad.forward;
  const int64_t chunk = blockIdx.x, first = chunk * kGeluChunk;
  const int64_t end = first + kGeluChunk < op.rows ? first + kGeluChunk : op.rows;
  for (int64_t i = threadIdx.x; i < op.n; i += kThreads) {
    float d_bias = 0;
    for (int64_t r = first; r < end; ++r) {
      const float u = op.x_RN[r * op.n + i] + op.bias_N[i];
      const float d = grad.d_out_RN[r * op.n + i] * gelu_slope(OneLane(), u);
      grad.d_x_RN[r * op.n + i] = d;
      d_bias += d;
    }
    grad.d_bias_CN[chunk * op.n + i] = d_bias;
  }
}

}  // namespace device

void gelu_cuda(const Gelu& op, Stream stream) {
  device::gelu<<<device::blocks_for(op.rows * op.n), device::kThreads, 0, stream>>>(op);
}

void gelu_grad_cuda(const GeluGrad& op, Stream stream) {
  const auto chunks = static_cast<unsigned>(op.forward.chunks());
  device::gelu_grad<<<chunks, device::kThreads, 0, stream>>>(op);
}

}  // namespace cleared::kernels
