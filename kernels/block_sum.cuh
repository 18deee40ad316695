// Sums over the threads of a warp or a block, in one fixed order.
#pragma once

#include <cstdint>

namespace cleared::kernels::device {

inline constexpr int kThreads = 256;
inline constexpr int kMostThreads = 1024;

// Every lane gets the sum of all lanes' values; all must call it.
template <class T>
__device__ __forceinline__ T warp_sum(T value) {
  for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffU, value, step);
  return value;
}

// Every thread gets the sum of all threads' values; all must call it. Whole warps.
template <class T>
__device__ T block_sum(T value) {
  __shared__ T warps[kMostThreads / 32];
  value = warp_sum(value);
  __syncthreads();  // the sum before has been read
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = value;
  __syncthreads();
  T sum = 0;
  for (unsigned warp = 0; warp < blockDim.x / 32; ++warp) sum += warps[warp];
  return sum;
}

inline unsigned blocks_for(int64_t count) {
  return static_cast<unsigned>((count + kThreads - 1) / kThreads);
}

}  // namespace cleared::kernels::device
