#include <algorithm>

#include "kernels/gelu.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/gelu_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/elements-inl.h"
#include "kernels/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace cleared::kernels::HWY_NAMESPACE {

template <class T>
void gelu(const Gelu<T>& op, int64_t first_chunk, int64_t end_chunk) {
  const int64_t end = std::min(op.rows, end_chunk * kGeluChunk);
  for (int64_t r = first_chunk * kGeluChunk; r < end; ++r) {
    const T* x = op.x_RN + r * op.n;
    T* out = op.out_RN + r * op.n;
    for_lanes(op.n, [&](auto o, int64_t i) {
      const auto u = o.add(o.load(x + i), o.load(op.bias_N + i));
      o.store(o.mul(u, gelu_gate(o, u)), out + i);
    });
  }
}

template <class T>
void gelu_grad(const GeluGrad<T>& grad, int64_t first_chunk, int64_t end_chunk) {
  const Gelu<T>& op = grad.forward;
  for (int64_t c = first_chunk; c < end_chunk; ++c) {
    float* d_bias = grad.d_bias_CN + c * op.n;
    std::fill_n(d_bias, op.n, 0.0F);
    const int64_t end = std::min(op.rows, (c + 1) * kGeluChunk);
    for (int64_t r = c * kGeluChunk; r < end; ++r) {
      const T* x = op.x_RN + r * op.n;
      const T* d_out = grad.d_out_RN + r * op.n;
      T* d_x = grad.d_x_RN + r * op.n;
      for_lanes(op.n, [&](auto o, int64_t i) {
        const auto u = o.add(o.load(x + i), o.load(op.bias_N + i));
        const auto d = o.mul(o.load(d_out + i), gelu_slope(o, u));
        o.store(d, d_x + i);
        o.store(o.add(o.load(d_bias + i), d), d_bias + i);
      });
    }
  }
}

CLEARED_FOR_A_TARGET(gelu, Gelu)
CLEARED_FOR_A_TARGET(gelu_grad, GeluGrad)

}  // namespace cleared::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cleared::kernels {
CLEARED_FOR_ALL_TARGETS(gelu, Gelu)
CLEARED_FOR_ALL_TARGETS(gelu_grad, GeluGrad)
}  // namespace cleared::kernels
#endif
