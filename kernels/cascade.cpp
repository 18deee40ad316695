#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cascade.cpp"
#include "kernels/cascade.h"

#include <algorithm>

#include <hwy/foreach_target.h>  // compiles this file once a target
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace cleared::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Numbers = hn::CappedTag<int32_t, kCascadeRoom>;
using Floats = hn::Rebind<float, Numbers>;

// What a stump says of the windows at `sums`.
HWY_INLINE hn::Vec<Floats> ask(const Cascade::Stump& stump, const int32_t* sums) {
  const Numbers d;
  const auto row = [&](size_t i, auto& left, auto& middle, auto& right) HWY_ATTR {
    const int32_t* at = sums + stump.down[i];
    const auto a = hn::LoadU(d, at + stump.right[0]), b = hn::LoadU(d, at + stump.right[1]);
    const auto c = hn::LoadU(d, at + stump.right[2]), e = hn::LoadU(d, at + stump.right[3]);
    left = hn::Sub(b, a);
    middle = hn::Sub(c, b);
    right = hn::Sub(e, c);
  };
  auto l0 = hn::Zero(d), m0 = l0, r0 = l0, l1 = l0, m1 = l0, r1 = l0, l2 = l0, m2 = l0, r2 = l0,
       l3 = l0, m3 = l0, r3 = l0;
  row(0, l0, m0, r0);
  row(1, l1, m1, r1);
  row(2, l2, m2, r2);
  row(3, l3, m3, r3);
  const auto centre = hn::Sub(m2, m1);
  auto pattern = hn::Zero(d);
  const auto add = [&](auto block, int32_t bit) HWY_ATTR {
    pattern = hn::Or(pattern, hn::IfThenZeroElse(hn::Lt(block, centre), hn::Set(d, bit)));
  };
  add(hn::Sub(l1, l0), 128);
  add(hn::Sub(m1, m0), 64);
  add(hn::Sub(r1, r0), 32);
  add(hn::Sub(r2, r1), 16);
  add(hn::Sub(r3, r2), 8);
  add(hn::Sub(m3, m2), 4);
  add(hn::Sub(l3, l2), 2);
  add(hn::Sub(l2, l1), 1);
  return hn::GatherIndex(Floats(), stump.leaf, pattern);
}

HWY_NOINLINE void Windows(const Cascade& cascade, const uint32_t* sums, size_t count,
                          uint8_t* found) {
  const Floats d;
  const size_t lanes = hn::Lanes(d);
  for (size_t x = 0; x < count; x += lanes) {
    const auto* at = reinterpret_cast<const int32_t*>(sums + x);
    auto passes = hn::FirstN(d, std::min(lanes, count - x));
    size_t stump = 0;
    for (const Cascade::Stage& stage : cascade.stages) {
      auto sum = hn::Zero(d);
      for (; stump < stage.end; ++stump) sum = hn::Add(sum, ask(cascade.stumps[stump], at));
      passes = hn::And(passes, hn::Ge(sum, hn::Set(d, stage.threshold)));
      if (hn::AllFalse(d, passes)) break;
    }
    alignas(64) float ones[kCascadeRoom];
    hn::StoreU(hn::IfThenElseZero(passes, hn::Set(d, 1.0f)), d, ones);
    for (size_t i = 0; i < std::min(lanes, count - x); ++i) found[x + i] = ones[i] > 0 ? 1 : 0;
  }
}

}  // namespace cleared::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cleared::kernels {
HWY_EXPORT(Windows);

void cascade_windows(const Cascade& cascade, const uint32_t* sums, size_t count, uint8_t* found) {
  HWY_DYNAMIC_DISPATCH(Windows)(cascade, sums, count, found);
}

}  // namespace cleared::kernels
#endif  // HWY_ONCE
