// OneLane's shape on the vectors of the processor that runs, and loops over them. Included once a
// target, inside no namespace, after <hwy/highway.h>: see gelu_cpu.cpp.
#if defined(CLEARED_KERNELS_LANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef CLEARED_KERNELS_LANES_INL_H_
#undef CLEARED_KERNELS_LANES_INL_H_
#else
#define CLEARED_KERNELS_LANES_INL_H_
#endif

#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include "kernels/lanes.h"

HWY_BEFORE_NAMESPACE();
namespace cleared::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

struct Lanes {
  using D = hn::ScalableTag<float>;
  using V = hn::Vec<D>;
  using Bits = hn::RebindToUnsigned<D>;
  using Half = hn::Rebind<uint16_t, D>;
  HWY_INLINE V set(float x) const { return hn::Set(D(), x); }
  HWY_INLINE V load(const float* p) const { return hn::LoadU(D(), p); }
  HWY_INLINE V load(const Bf16* p) const {
    const auto half = hn::LoadU(Half(), reinterpret_cast<const uint16_t*>(p));
    return hn::BitCast(D(), hn::ShiftLeft<16>(hn::PromoteTo(Bits(), half)));
  }
  HWY_INLINE void store(V x, float* p) const { hn::StoreU(x, D(), p); }
  HWY_INLINE void store(V x, Bf16* p) const {  // as to_bf16()
    const Bits d;
    const auto bits = hn::BitCast(d, x);
    const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(d, 1U));
    const auto rounded = hn::ShiftRight<16>(hn::Add(bits, hn::Add(odd, hn::Set(d, 0x7FFFU))));
    const auto none = hn::RebindMask(d, hn::IsNaN(x));
    const auto upper = hn::IfThenElse(none, hn::Set(d, 0x7FC0U), rounded);
    const auto half = hn::DemoteTo(Half(), hn::BitCast(hn::RebindToSigned<Bits>(), upper));
    hn::StoreU(half, Half(), reinterpret_cast<uint16_t*>(p));
  }
  HWY_INLINE V add(V a, V b) const { return hn::Add(a, b); }
  HWY_INLINE V sub(V a, V b) const { return hn::Sub(a, b); }
  HWY_INLINE V mul(V a, V b) const { return hn::Mul(a, b); }
  HWY_INLINE V div(V a, V b) const { return hn::Div(a, b); }
  HWY_INLINE V fma(V a, V b, V c) const { return hn::MulAdd(a, b, c); }
  HWY_INLINE V fnma(V a, V b, V c) const { return hn::NegMulAdd(a, b, c); }
  HWY_INLINE V sqrt(V x) const { return hn::Sqrt(x); }
  // Beyond the range of a float's exponent the result is at its limit instead of rubbish.
  HWY_INLINE V exp(V x) const { return hn::Exp(D(), hn::Min(hn::Max(x, set(-87.3F)), set(88.3F))); }
};

// A sum over lanes, for both of for_lanes' types.
struct Sum {
  Lanes::V lanes;
  float rest;
  HWY_INLINE Sum() : lanes(hn::Zero(Lanes::D())), rest(0) {}
  HWY_INLINE void add(Lanes, Lanes::V x) { lanes = hn::Add(lanes, x); }
  HWY_INLINE void add(OneLane, float x) { rest += x; }
  HWY_INLINE void add_product(Lanes, Lanes::V x, Lanes::V y) { lanes = hn::MulAdd(x, y, lanes); }
  HWY_INLINE void add_product(OneLane o, float x, float y) { rest = o.fma(x, y, rest); }
  HWY_INLINE float total() const { return hn::GetLane(hn::SumOfLanes(Lanes::D(), lanes)) + rest; }
};

// Calls `f(o, i)` for the elements [0, n): with vectors from i on while they fit, then one by one.
template <class F>
HWY_INLINE void for_lanes(int64_t n, const F& f) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(Lanes::D()));
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) f(Lanes(), i);
  for (; i < n; ++i) f(OneLane(), i);
}

}  // namespace cleared::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

// The two versions of a kernel that is a template of its type, and name##_cpu of both, which calls
// that of the processor's target.
#define CLEARED_FOR_A_TARGET(name, Op)                                  \
  void name##_floats(const Op<float>& op, int64_t first, int64_t end) { \
    name(op, first, end);                                               \
  }                                                                     \
  void name##_bf16s(const Op<Bf16>& op, int64_t first, int64_t end) {   \
    name(op, first, end);                                               \
  }
#define CLEARED_FOR_ALL_TARGETS(name, Op)                            \
  HWY_EXPORT(name##_floats);                                         \
  HWY_EXPORT(name##_bf16s);                                          \
  void name##_cpu(const Op<float>& op, int64_t first, int64_t end) { \
    HWY_DYNAMIC_DISPATCH(name##_floats)(op, first, end);             \
  }                                                                  \
  void name##_cpu(const Op<Bf16>& op, int64_t first, int64_t end) {  \
    HWY_DYNAMIC_DISPATCH(name##_bf16s)(op, first, end);              \
  }
#endif  // once a target
