// W neighbouring values of memory as floats, in one access of up to 16 bytes. Addresses are
// multiples of W values.
#pragma once

#include <cuda_bf16.h>

#include "kernels/bf16.h"

namespace cleared::kernels::device {

template <int W>
struct Wide {
  float v[W];
};

template <class T, int W>
struct alignas(sizeof(T) * W) Stored {
  T v[W];
};

static __device__ __forceinline__ float as_float(float x) {
  return x;
}
static __device__ __forceinline__ float as_float(Bf16 x) {
  return to_float(x);
}
static __device__ __forceinline__ void assign(float& to, float x) {
  to = x;
}
static __device__ __forceinline__ void assign(Bf16& to, float x) {  // as to_bf16(), one instruction
  to.bits = __bfloat16_as_ushort(__float2bfloat16_rn(x));
}

template <int W, class T>
__device__ __forceinline__ Wide<W> load(const T* p) {
  const auto stored = *reinterpret_cast<const Stored<T, W>*>(p);
  Wide<W> x;
#pragma unroll
  for (int i = 0; i < W; ++i) x.v[i] = as_float(stored.v[i]);
  return x;
}

// The same value everywhere where there is nothing.
template <int W, class T>
__device__ __forceinline__ Wide<W> load_or(const T* p, int64_t at, float otherwise = 0) {
  if (p != nullptr) return load<W>(p + at);
  Wide<W> x;
#pragma unroll
  for (int i = 0; i < W; ++i) x.v[i] = otherwise;
  return x;
}

template <int W, class T>
__device__ __forceinline__ void store(const Wide<W>& x, T* p) {
  Stored<T, W> stored;
#pragma unroll
  for (int i = 0; i < W; ++i) assign(stored.v[i], x.v[i]);
  *reinterpret_cast<Stored<T, W>*>(p) = stored;
}

}  // namespace cleared::kernels::device
