// GELU of a linear layer's output, the layer's bias included, in the form with tanh:
//   u = x + bias,  out = u / (1 + exp(-2 y)),  y = sqrt(2 / pi) (u + 0.044715 u^3),
// which is u (1 + tanh(y)) / 2 with one exponential. Source: Hendrycks and Gimpel, Gaussian Error
// Linear Units, 2016.
//
// Row-major, contiguous: R rows of N values of type T, float or Bf16. Work is in chunks of
// kGeluChunk rows, so that what threads share is a range of chunks and sums over rows do not depend
// on how many threads there are. Sizes and pointers are the caller's to check. Safe from any thread
// on disjoint chunks.
#pragma once

#include <cstdint>

#include "kernels/bf16.h"
#include "kernels/device.h"

namespace cleared::kernels {

inline constexpr int64_t kGeluChunk = 32;
inline constexpr float kGeluRate = 0.7978845608028654F;  // sqrt(2 / pi)
inline constexpr float kGeluCube = 0.044715F;

template <class T>
struct Gelu {
  int64_t rows, n;
  const T* x_RN;
  const float* bias_N;
  T* out_RN;

  CLEARED_HD int64_t chunks() const { return (rows + kGeluChunk - 1) / kGeluChunk; }
};

template <class T>
struct GeluGrad {
  Gelu<T> forward;  // its out_RN is not used
  const T* d_out_RN;
  T* d_x_RN;         // may be d_out_RN
  float* d_bias_CN;  // a chunk's part of the bias' gradient
};

void gelu_cpu(const Gelu<float>& op, int64_t first_chunk, int64_t end_chunk);
void gelu_cpu(const Gelu<Bf16>& op, int64_t first_chunk, int64_t end_chunk);
void gelu_grad_cpu(const GeluGrad<float>& op, int64_t first_chunk, int64_t end_chunk);
void gelu_grad_cpu(const GeluGrad<Bf16>& op, int64_t first_chunk, int64_t end_chunk);
void gelu_cuda(const Gelu<float>& op, Stream stream);  // queued; not finished on return
void gelu_cuda(const Gelu<Bf16>& op, Stream stream);
void gelu_grad_cuda(const GeluGrad<float>& op, Stream stream);
void gelu_grad_cuda(const GeluGrad<Bf16>& op, Stream stream);

}  // namespace cleared::kernels
