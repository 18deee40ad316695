#include "kernels/block_sum.cuh"
#include "kernels/elements-inl.h"

namespace cleared::kernels {
namespace device {

static __global__ void flow_mix(FlowMix op) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < op.b * op.m) mix_at(OneLane(), op, i, op.t_B[i / op.m]);
}

static __global__ void flow_loss(FlowLoss op) {
  const int64_t first = int64_t{blockIdx.x} * kFlowChunk;
  float squares = 0;
  for (int64_t i = threadIdx.x; i < kFlowChunk && first + i < op.m; i += kThreads) {
    const float error = flow_error(OneLane(), op, first + i);
    squares = fmaf(error, error, squares);
    op.error_M[first + i] = error;
  }
  const double sum = block_sum(static_cast<double>(squares));
  if (threadIdx.x == 0) op.squares_C[blockIdx.x] = sum;
}

}  // namespace device

void flow_mix_cuda(const FlowMix& op, Stream stream) {
  device::flow_mix<<<device::blocks_for(op.b * op.m), device::kThreads, 0, stream>>>(op);
}

void flow_loss_cuda(const FlowLoss& op, Stream stream) {
  device::flow_loss<<<static_cast<unsigned>(op.chunks()), device::kThreads, 0, stream>>>(op);
}

}  // namespace cleared::kernels
