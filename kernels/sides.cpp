#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/sides.cpp"
#include "kernels/sides.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include <hwy/foreach_target.h>  // compiles this file once a target
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace cleared::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Bytes = hn::CappedTag<uint8_t, 64>;

// Is there a step that lasts from `a` to `b`? Brings `last` up to date.
template <class D>
HWY_INLINE auto steps_of(D d, const uint8_t* a, const uint8_t* b, uint8_t* last) {
  const auto x = hn::LoadU(d, a), y = hn::LoadU(d, b), before = hn::LoadU(d, last);
  const auto apart = hn::Sub(hn::Max(x, y), hn::Min(x, y));
  const auto now = hn::VecFromMask(d, hn::Gt(apart, hn::Set(d, kSideStep - 1)));
  // Half of the sum, rounded down: what AverageRound() rounds up has an odd sum.
  const auto odd = hn::And(hn::Xor(before, now), hn::Set(d, 1));
  const auto lasting = hn::Sub(hn::AverageRound(before, now), odd);
  hn::StoreU(lasting, d, last);
  return hn::Gt(lasting, hn::Set(d, kSideLasting - 1));
}

template <class D, class M>
HWY_INLINE void put_bits(D d, M mask, int at, uint64_t* words) {
  uint8_t bits[8] = {};
  hn::StoreMaskBits(d, mask, bits);
  if (hn::Lanes(d) < 8) {
    words[at / 64] |= uint64_t{bits[0]} << at % 64;
  } else {
    std::memcpy(reinterpret_cast<uint8_t*>(words) + at / 8, bits, hn::Lanes(d) / 8);
  }
}

HWY_NOINLINE void BetweenLines(const uint8_t* a, const uint8_t* b, int places, uint8_t* last,
                               uint64_t* words) {
  const Bytes d;
  const int lanes = static_cast<int>(hn::Lanes(d));
  for (int at = 0; at < places; at += lanes) {
    put_bits(d, steps_of(d, a + at, b + at, last + at), at, words);
  }
}

// One line of the sides between all places. Of each side: places without a step up to here, places
// since its first step, and the longest that there was.
HWY_NOINLINE void BetweenPlaces(const uint8_t* line, int sides, uint8_t* last, uint64_t* words,
                                uint8_t* gap, uint8_t* run, uint8_t* most) {
  const Bytes d;
  const int lanes = static_cast<int>(hn::Lanes(d));
  const auto one = hn::Set(d, 1);
  for (int at = 0; at < sides; at += lanes) {
    const auto is_step = steps_of(d, line + at, line + at + 1, last + at);
    put_bits(d, is_step, at, words);
    const auto g = hn::IfThenZeroElse(is_step, hn::SaturatedAdd(hn::LoadU(d, gap + at), one));
    const auto ends = hn::Gt(g, hn::Set(d, kSideGap));
    const auto r = hn::IfThenZeroElse(ends, hn::SaturatedAdd(hn::LoadU(d, run + at), one));
    hn::StoreU(g, d, gap + at);
    hn::StoreU(r, d, run + at);
    hn::StoreU(hn::Max(hn::LoadU(d, most + at), hn::SaturatedSub(r, g)), d, most + at);
  }
}

}  // namespace cleared::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cleared::kernels {
HWY_EXPORT(BetweenLines);
HWY_EXPORT(BetweenPlaces);

namespace {

// From the first to the last of the most bits that have no gap above kSideGap between them: each
// fills the gap behind it, and what is filled is counted.
int longest(const uint64_t* bits, int words) {
  int most = 0, run = 0;
  uint64_t before = 0;
  for (int w = 0; w <= words; ++w) {  // filled gaps reach beyond the last word
    const uint64_t word = w < words ? bits[w] : 0;
    uint64_t filled = word;
    for (int i = 1; i <= kSideGap; ++i) filled |= word << i | before >> (64 - i);
    before = word;
    if (filled == ~uint64_t{0}) {
      run += 64;
      continue;
    }
    const int ones = std::countr_one(filled);
    most = std::max(most, run + ones);
    run = std::countl_one(filled);
    for (uint64_t rest = filled >> ones; rest != 0;) {
      rest >>= std::countr_zero(rest);
      const int more = std::countr_one(rest);
      most = std::max(most, more);
      rest >>= more;
    }
  }
  return std::max(0, most - kSideGap);
}

void begin(const SmallLuma& small, int sides, Sides& out) {
  out.words = (small.places + 63) / 64;
  const size_t words = static_cast<size_t>(small.lines) * static_cast<size_t>(out.words);
  if (out.lines != small.lines || out.places != small.places) out.lasting.assign(words * 64, 0);
  out.lines = small.lines;
  out.places = small.places;
  out.steps.assign(words, 0);
  out.length.assign(static_cast<size_t>(sides), 0);
}

}  // namespace

void sides_between_lines(const SmallLuma& small, Sides& out) {
  begin(small, small.lines, out);
  for (ptrdiff_t l = 1; l < small.lines; ++l) {
    const uint8_t* line = small.pixels.data() + l * small.stride;
    uint64_t* steps = out.steps.data() + l * out.words;
    HWY_DYNAMIC_DISPATCH(BetweenLines)
    (line - small.stride, line, small.places, out.lasting.data() + l * out.words * 64, steps);
    if (small.places % 64 != 0) steps[out.words - 1] &= (uint64_t{1} << small.places % 64) - 1;
    out.length[static_cast<size_t>(l)] = longest(steps, out.words);
  }
}

void sides_between_places(const SmallLuma& small, Sides& out) {
  begin(small, small.places, out);
  const auto row = static_cast<size_t>(out.words) * 64;
  std::vector<uint8_t> gap(row, kSideGap), run(row), most(row);
  for (ptrdiff_t l = 0; l < small.lines; ++l) {
    HWY_DYNAMIC_DISPATCH(BetweenPlaces)
    (small.pixels.data() + l * small.stride, small.places - 1,
     out.lasting.data() + l * out.words * 64, out.steps.data() + l * out.words, gap.data(),
     run.data(), most.data());
  }
  std::copy_n(most.begin(), std::max(0, small.places - 1), out.length.begin() + 1);
}

}  // namespace cleared::kernels
#endif  // HWY_ONCE
