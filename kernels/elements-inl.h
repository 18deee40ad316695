// The arithmetic of one element of each kernel of a model, one text for a float, a vector and a
// CUDA thread (see lanes.h). A processor's target reaches only what is compiled for it, so the host
// includes this once a target, after <hwy/highway.h>; CUDA includes it once.
#if defined(__CUDACC__) || defined(CLEARED_KERNELS_ELEMENTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef CLEARED_KERNELS_ELEMENTS_INL_H_
#undef CLEARED_KERNELS_ELEMENTS_INL_H_
#else
#define CLEARED_KERNELS_ELEMENTS_INL_H_
#endif

#include "kernels/adamw.h"
#include "kernels/flow_mix.h"
#include "kernels/gelu.h"
#include "kernels/lanes.h"

#ifdef __CUDACC__
#define CLEARED_ELEMENT \
  template <class O>    \
  __device__ __forceinline__
namespace cleared::kernels::device {
#else
#define CLEARED_ELEMENT \
  template <class O>    \
  HWY_INLINE
HWY_BEFORE_NAMESPACE();
namespace cleared::kernels::HWY_NAMESPACE {
#endif

// gelu.h: 1 / (1 + exp(-2 y)) of u.
CLEARED_ELEMENT typename O::V gelu_gate(const O& o, typename O::V u) {
  const auto minus_2y =
      o.mul(u, o.fma(o.mul(u, u), o.set(-2 * kGeluRate * kGeluCube), o.set(-2 * kGeluRate)));
  return o.div(o.set(1), o.add(o.set(1), o.exp(minus_2y)));
}

// d out / d u.
CLEARED_ELEMENT typename O::V gelu_slope(const O& o, typename O::V u) {
  const auto s = gelu_gate(o, u);
  const auto twice_dy = o.fma(o.mul(u, u), o.set(6 * kGeluRate * kGeluCube), o.set(2 * kGeluRate));
  return o.mul(s, o.fma(o.mul(u, twice_dy), o.sub(o.set(1), s), o.set(1)));
}

// residual_norm.h: out of a value already normed.
CLEARED_ELEMENT typename O::V modulate(const O& o, float scale_offset, typename O::V normed,
                                       typename O::V scale, typename O::V shift) {
  return o.fma(normed, o.add(scale, o.set(scale_offset)), shift);
}

// flow_mix.h
CLEARED_ELEMENT void mix_at(const O& o, const FlowMix& op, int64_t i, float t) {
  const auto x = o.load(op.x_BM + i);
  o.store(o.fma(o.set(t), o.sub(o.load(op.noise_BM + i), x), x), op.z_BM + i);
}

CLEARED_ELEMENT typename O::V flow_error(const O& o, const FlowLoss& op, int64_t i) {
  return o.sub(o.load(op.v_M + i), o.sub(o.load(op.noise_M + i), o.load(op.x_M + i)));
}

// adamw.h
CLEARED_ELEMENT void adamw_at(const O& o, const AdamWPass& op, int64_t i) {
  const AdamWRates& r = op.rates;
  const auto g = o.mul(o.load(op.grad_M + i), o.set(r.scale));
  const auto m_was = o.load(op.m_M + i);
  const auto m = o.fma(o.sub(g, m_was), o.set(1 - r.beta1), m_was);
  const auto v = o.fma(o.mul(g, g), o.set(1 - r.beta2), o.mul(o.load(op.v_M + i), o.set(r.beta2)));
  const auto below = o.add(o.div(o.sqrt(v), o.set(r.root)), o.set(r.eps));
  const auto kept = o.mul(o.load(op.p_M + i), o.set(r.keep));
  const auto p = o.fnma(o.set(r.rate), o.div(m, below), kept);
  o.store(m, op.m_M + i);
  o.store(v, op.v_M + i);
  o.store(p, op.p_M + i);
  if (op.ema_M == nullptr) return;
  const auto ema_was = o.load(op.ema_M + i);
  o.store(o.fma(o.sub(p, ema_was), o.set(r.follow), ema_was), op.ema_M + i);
}

#ifdef __CUDACC__
}  // namespace cleared::kernels::device
#else
}  // namespace cleared::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
#endif  // once a target
