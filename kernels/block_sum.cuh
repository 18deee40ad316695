// Sums over the threads of a block, in one fixed order. Blocks are of kThreads threads.
#pragma once

#include <cstdint>

namespace cleared::kernels::device {

inline constexpr int kThreads = 256;

// Every thread gets the sum of all threads' values; all must call it.
template <class T>
__device__ T block_sum(T value) {
  __shared__ T warps[kThreads / 32];
  for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffU, value, step);
  __syncthreads();  // the sum before has been read
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = value;
  __syncthreads();
  T sum = 0;
  for (const T& warp : warps) sum += warp;
  return sum;
}

inline unsigned blocks_for(int64_t count) {
  return static_cast<unsigned>((count + kThreads - 1) / kThreads);
}

}  // namespace cleared::kernels::device
