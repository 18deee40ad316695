#include "kernels/block_sum.cuh"
#include "kernels/elements-inl.h"

namespace cleared::kernels {
namespace device {

static __global__ void adamw(AdamWPass op) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < op.count) adamw_at(OneLane(), op, i);
}

static __global__ void squares(Squares op) {
  const int64_t first = int64_t{blockIdx.x} * kSquaresChunk;
  double sum = 0;
  for (int64_t i = threadIdx.x; i < kSquaresChunk && first + i < op.count; i += kThreads) {
    sum += static_cast<double>(op.x_M[first + i]) * op.x_M[first + i];
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) op.sum_C[blockIdx.x] = sum;
}

}  // namespace device

void adamw_cuda(const AdamWPass& op, Stream stream) {
  device::adamw<<<device::blocks_for(op.count), device::kThreads, 0, stream>>>(op);
}

void squares_cuda(const Squares& op, Stream stream) {
  device::squares<<<static_cast<unsigned>(op.chunks()), device::kThreads, 0, stream>>>(op);
}

}  // namespace cleared::kernels
