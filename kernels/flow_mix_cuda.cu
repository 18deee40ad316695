// One thread per value.
#include "kernels/flow_mix.h"

static __global__ void flow_mix(cleared::kernels::FlowMix op) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < op.b * op.m) op.at(i);
}

void cleared::kernels::flow_mix_cuda(const FlowMix& op, Stream stream) {
  constexpr int kThreads = 256;
  const int64_t blocks = (op.b * op.m + kThreads - 1) / kThreads;
  flow_mix<<<static_cast<unsigned>(blocks), kThreads, 0, stream>>>(op);
}
