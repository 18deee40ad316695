#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/parts.cpp"
#include "kernels/parts.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include <hwy/foreach_target.h>  // compiles this file once a target
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace cleared::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr int kWaves = kPdqWaves, kShift = 11;

HWY_INLINE int32_t pair_at(const int16_t* p) {
  int32_t out;
  std::memcpy(&out, p, sizeof out);
  return out;
}

// Sums of products of pairs, for four rows of `a` and each wave of `b`:
//   put(k, s0, s1, s2, s3), sum = over i: a[row][i] . b[i][k], for the waves from k on.
// Of `a` a row and a pair are `row` and `step` numbers from the next; `b` has 2 kWaves a pair.
#if HWY_TARGET == HWY_SCALAR
template <class Put>
HWY_INLINE void four_rows(const int16_t* a, ptrdiff_t row, ptrdiff_t step, const int16_t* b,
                          int pairs, const Put& put) {
  for (int k = 0; k < kWaves; ++k) {
    int32_t sums[4] = {};
    for (ptrdiff_t i = 0; i < pairs; ++i) {
      const int16_t* right = b + 2 * (i * kWaves + k);
      for (ptrdiff_t r = 0; r < 4; ++r) {
        const int16_t* left = a + r * row + i * step;
        sums[r] += left[0] * right[0] + left[1] * right[1];
      }
    }
    put(k, sums[0], sums[1], sums[2], sums[3]);
  }
}
#else
using Shorts = hn::CappedTag<int16_t, 32>;
using Ints = hn::Repartition<int32_t, Shorts>;

template <class Put>
HWY_INLINE void four_rows(const int16_t* a, ptrdiff_t row, ptrdiff_t step, const int16_t* b,
                          int pairs, const Put& put) {
  const Shorts d;
  const Ints d32;
  const int lanes = static_cast<int>(hn::Lanes(d32));
  // Where a vector does not hold all waves, two at a time share what is taken from `a`.
  constexpr bool two = hn::MaxLanes(Ints()) < kWaves;
  for (int k = 0; k < kWaves; k += two ? 2 * lanes : lanes) {
    const auto none = hn::Zero(d32);
    auto s0 = none, s1 = none, s2 = none, s3 = none, t0 = none, t1 = none, t2 = none, t3 = none;
    auto u0 = none, u1 = none, u2 = none, u3 = none, v0 = none, v1 = none, v2 = none, v3 = none;
    const int16_t *left = a, *right = b + 2 * k;
    for (int i = 0; i < pairs; ++i, left += step, right += 2 * kWaves) {
      const auto first = hn::LoadU(d, right);
      const auto second = two ? hn::LoadU(d, right + 2 * lanes) : first;
      const auto add = [&](ptrdiff_t at, auto& s, auto& t, auto& u, auto& v) HWY_ATTR {
        const auto pair = hn::BitCast(d, hn::Set(d32, pair_at(left + at)));
        s = hn::ReorderWidenMulAccumulate(d32, pair, first, s, t);
        if (two) u = hn::ReorderWidenMulAccumulate(d32, pair, second, u, v);
      };
      add(0, s0, t0, u0, v0);
      add(row, s1, t1, u1, v1);
      add(2 * row, s2, t2, u2, v2);
      add(3 * row, s3, t3, u3, v3);
    }
    const auto all = [](auto s, auto t) HWY_ATTR { return hn::RearrangeToOddPlusEven(s, t); };
    put(k, all(s0, t0), all(s1, t1), all(s2, t2), all(s3, t3));
    if (two) put(k + lanes, all(u0, v0), all(u1, v1), all(u2, v2), all(u3, v3));
  }
}
#endif

HWY_NOINLINE void Along(const int16_t* pixels, ptrdiff_t stride, int fours, const int16_t* weights,
                        int pairs, int32_t* out) {
  for (int four = 0; four < fours; ++four, pixels += 4 * stride, out += 2 * kWaves) {
#if HWY_TARGET == HWY_SCALAR
    const auto two = [&](int k, int32_t even, int32_t odd, int32_t* to) {
      const auto scaled = [](int32_t sum) {
        return static_cast<uint32_t>((sum + (1 << (kShift - 1))) >> kShift);
      };
      to[k] = static_cast<int32_t>((scaled(even) & 0xffff) | scaled(odd) << 16);
    };
#else
    const Ints d32;
    const auto half = hn::Set(d32, 1 << (kShift - 1)), low = hn::Set(d32, 0xffff);
    const auto two = [&](int k, auto even, auto odd, int32_t* to) HWY_ATTR {
      const auto scaled = [&](auto sum)
                              HWY_ATTR { return hn::ShiftRight<kShift>(hn::Add(sum, half)); };
      hn::StoreU(hn::Or(hn::And(scaled(even), low), hn::ShiftLeft<16>(scaled(odd))), d32, to + k);
    };
#endif
    four_rows(pixels, stride, 2, weights, pairs,
              [&](int k, auto a, auto b, auto c, auto e) HWY_ATTR {
                two(k, a, b, out);
                two(k, c, e, out + kWaves);
              });
  }
}

HWY_NOINLINE void Across(const int32_t* along, const int16_t* weights, int pairs, int32_t* out) {
  const auto* values = reinterpret_cast<const int16_t*>(along);
  for (int j = 0; j < kWaves; j += 4, weights += 8, out += 4 * kWaves) {
    const auto store = [&](int k, auto a, auto b, auto c, auto e) HWY_ATTR {
#if HWY_TARGET == HWY_SCALAR
      const int32_t sums[4] = {a, b, c, e};
      for (int r = 0; r < 4; ++r) out[r * kWaves + k] = sums[r];
#else
      const Ints d32;
      hn::StoreU(a, d32, out + k);
      hn::StoreU(b, d32, out + kWaves + k);
      hn::StoreU(c, d32, out + 2 * kWaves + k);
      hn::StoreU(e, d32, out + 3 * kWaves + k);
#endif
    };
    four_rows(weights, 2, 2 * kWaves, values, pairs, store);
  }
}

// Bytes to numbers less 128.
HWY_NOINLINE void Widen(const uint8_t* in, int count, int16_t* out) {
  const hn::ScalableTag<int16_t> d;
  const hn::Rebind<uint8_t, decltype(d)> d8;
  const int lanes = static_cast<int>(hn::Lanes(d));
  int at = 0;
  for (; at + lanes <= count; at += lanes) {
    hn::StoreU(hn::Sub(hn::PromoteTo(d, hn::LoadU(d8, in + at)), hn::Set(d, 128)), d, out + at);
  }
  for (; at < count; ++at) out[at] = static_cast<int16_t>(in[at] - 128);
}

// Means of two by two, less 128.
HWY_NOINLINE void Halve(const uint8_t* a, const uint8_t* b, int count, int16_t* out) {
  int at = 0;
#if HWY_TARGET != HWY_SCALAR
  const hn::ScalableTag<int16_t> d;
  const hn::RebindToUnsigned<decltype(d)> d16;
  const hn::Repartition<uint8_t, decltype(d)> d8;
  const int lanes = static_cast<int>(hn::Lanes(d));
  const auto pairs = [&](const uint8_t* p) HWY_ATTR {
    const auto both = hn::BitCast(d16, hn::LoadU(d8, p));
    return hn::Add(hn::And(both, hn::Set(d16, 0xff)), hn::ShiftRight<8>(both));
  };
  for (; at + lanes <= count; at += lanes) {
    const auto sum = hn::Add(hn::Add(pairs(a + 2 * at), pairs(b + 2 * at)), hn::Set(d16, 2));
    hn::StoreU(hn::Sub(hn::BitCast(d, hn::ShiftRight<2>(sum)), hn::Set(d, 128)), d, out + at);
  }
#endif
  for (; at < count; ++at) {
    const int sum = a[2 * at] + a[2 * at + 1] + b[2 * at] + b[2 * at + 1];
    out[at] = static_cast<int16_t>((sum + 2) / 4 - 128);
  }
}

// How many of the values are at most `limit`.
HWY_INLINE int count_to(const int32_t* values, int32_t limit) {
  const hn::CappedTag<int32_t, 16> d;
  const auto most = hn::Set(d, limit);
  auto more = hn::Zero(d);
  for (size_t i = 0; i < PartWaves().size(); i += hn::Lanes(d)) {
    more = hn::Add(more, hn::VecFromMask(d, hn::Gt(hn::LoadU(d, values + i), most)));
  }
  return static_cast<int>(PartWaves().size()) + hn::GetLane(hn::SumOfLanes(d, more));
}

// The least value that is at least `low`, and the greatest that is at most `high`.
HWY_INLINE int32_t least_from(const int32_t* values, int32_t low) {
  const hn::CappedTag<int32_t, 16> d;
  const auto limit = hn::Set(d, low), none = hn::Set(d, INT32_MAX);
  auto least = none;
  for (size_t i = 0; i < PartWaves().size(); i += hn::Lanes(d)) {
    const auto value = hn::LoadU(d, values + i);
    least = hn::Min(least, hn::IfThenElse(hn::Lt(value, limit), none, value));
  }
  return hn::GetLane(hn::MinOfLanes(d, least));
}
HWY_INLINE int32_t greatest_to(const int32_t* values, int32_t high) {
  const hn::CappedTag<int32_t, 16> d;
  const auto limit = hn::Set(d, high), none = hn::Set(d, INT32_MIN);
  auto most = none;
  for (size_t i = 0; i < PartWaves().size(); i += hn::Lanes(d)) {
    const auto value = hn::LoadU(d, values + i);
    most = hn::Max(most, hn::IfThenElse(hn::Gt(value, limit), none, value));
  }
  return hn::GetLane(hn::MaxOfLanes(d, most));
}

// By narrowing a range of numbers to where the 128th must lie if they were spread evenly, and at
// its ends from value to value: no order is needed.
HWY_NOINLINE int32_t Median(const int32_t* values) {
  constexpr int kWanted = 128, kFew = 3;
  const auto all = static_cast<int>(PartWaves().size());
  int64_t low = least_from(values, INT32_MIN), high = greatest_to(values, INT32_MAX);
  int below = 0, up_to = all;  // how many values are less than `low`, and at most `high`
  for (int turn = 1; low < high; ++turn) {
    if (kWanted - below <= kFew) {
      const int32_t value = least_from(values, static_cast<int32_t>(low));
      below = count_to(values, value);
      if (below >= kWanted) return value;
      low = int64_t{value} + 1;
      continue;
    }
    if (up_to - kWanted < kFew) {
      const int32_t value = greatest_to(values, static_cast<int32_t>(high));
      up_to = value == INT32_MIN ? 0 : count_to(values, value - 1);
      if (up_to < kWanted) return value;
      high = int64_t{value} - 1;
      continue;
    }
    // Waves lie about 0. Halved now and then: numbers in a heap would be crept up to.
    const int64_t middle = turn == 1 ? 0
                           : turn % 4 == 0
                               ? low + (high - low) / 2
                               : low + (high - low) * (kWanted - below) / (up_to - below);
    const int64_t at = std::clamp(middle, low, high - 1);
    const int count = count_to(values, static_cast<int32_t>(at));
    if (count >= kWanted) {
      high = at;
      up_to = count;
    } else {
      low = at + 1;
      below = count;
    }
  }
  return static_cast<int32_t>(low);
}

// A bit a wave, and the sum of all without their signs.
HWY_NOINLINE int64_t Bits(const int32_t* values, int32_t limit, uint8_t* bits) {
  int64_t sum = 0;
#if HWY_TARGET == HWY_SCALAR
  for (size_t i = 0; i < PartWaves().size(); i += 8) {
    unsigned byte = 0;
    for (size_t b = 0; b < 8; ++b) {
      byte |= static_cast<unsigned>(values[i + b] > limit) << b;
      sum += std::abs(int64_t{values[i + b]});
    }
    bits[i / 8] = static_cast<uint8_t>(byte);
  }
#else
  const hn::FixedTag<int32_t, 4> d;
  const hn::Repartition<uint64_t, decltype(d)> d64;
  const auto most = hn::Set(d, limit);
  const auto low = hn::Set(d64, 0xffffffff);
  auto sums = hn::Zero(d64);
  for (size_t i = 0; i < PartWaves().size(); i += 8) {
    unsigned byte = 0;
    for (size_t half = 0; half < 8; half += 4) {
      const auto value = hn::LoadU(d, values + i + half);
      uint8_t four[8];
      hn::StoreMaskBits(d, hn::Gt(value, most), four);
      byte |= unsigned{four[0]} << half;
      const auto sizes = hn::BitCast(d64, hn::Abs(value));
      sums = hn::Add(sums, hn::Add(hn::And(sizes, low), hn::ShiftRight<32>(sizes)));
    }
    bits[i / 8] = static_cast<uint8_t>(byte);
  }
  sum = static_cast<int64_t>(hn::GetLane(hn::SumOfLanes(d64, sums)));
#endif
  return sum;
}

}  // namespace cleared::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cleared::kernels {
HWY_EXPORT(Along);
HWY_EXPORT(Across);
HWY_EXPORT(Widen);
HWY_EXPORT(Halve);
HWY_EXPORT(Median);
HWY_EXPORT(Bits);

namespace {

constexpr double kPi = 3.14159265358979323846;
constexpr int kOne = 1 << 11;  // what a weight of one is

// Zeros, where it was of another size: what lies beyond the picture is never written.
void resize(PartPicture& out, int lines, int places) {
  if (out.lines == lines && out.places == places) return;
  out.lines = lines;
  out.places = places;
  out.stride = (places + 1) / 2 * 2;
  out.pixels.assign(static_cast<size_t>(out.stride) * static_cast<size_t>((lines + 3) / 4 * 4 + 4),
                    0);
}

// Weights of the pixels in one sample, which covers [start, end): shares of the area, or linear
// between the middles of two when it is smaller than a pixel.
template <class Put>
void sample(double start, double end, int size, const Put& put) {
  if (end - start < 1) {
    const double at = std::clamp((start + end) / 2 - 0.5, 0.0, size - 1.0);
    const int left = static_cast<int>(at), right = std::min(left + 1, size - 1);
    put(left, left + 1 - at);
    put(right, at - left);
    return;
  }
  for (int p = std::max(0, static_cast<int>(start)); p < size && p < end; ++p) {
    put(p,
        std::max(0.0, std::min<double>(end, p + 1) - std::max<double>(start, p)) / (end - start));
  }
}

// As std::lround(), which is a call for each number.
int16_t rounded(double value) {
  const int whole = static_cast<int>(value);
  const double rest = value - whole;
  return static_cast<int16_t>(whole + (rest >= 0.5) - (rest <= -0.5));
}

}  // namespace

void widen(const SmallLuma& in, PartPicture& out) {
  resize(out, in.lines, in.places);
  for (ptrdiff_t l = 0; l < in.lines; ++l) {
    HWY_DYNAMIC_DISPATCH(Widen)
    (in.pixels.data() + l * in.stride, in.places, out.pixels.data() + l * out.stride);
  }
}

void halve(const SmallLuma& in, PartPicture& out) {
  resize(out, in.lines / 2, in.places / 2);
  for (ptrdiff_t l = 0; l < out.lines; ++l) {
    const uint8_t* from = in.pixels.data() + 2 * l * in.stride;
    HWY_DYNAMIC_DISPATCH(Halve)
    (from, from + in.stride, out.places, out.pixels.data() + l * out.stride);
  }
}

PartAxis part_axis(double start, double end, int size) {
  static const std::vector<double> cosines = [] {
    std::vector<double> table;
    for (int i = 0; i < kPdqSide * kPdqWaves; ++i) {
      table.push_back(std::cos(kPi / kPdqSide * (i % kPdqWaves + 1) * (i / kPdqWaves + 0.5)));
    }
    return table;
  }();
  // Samples reach a pixel beyond the part; pairs of pixels begin at even ones.
  const int from = std::clamp(static_cast<int>(start) - 1, 0, size - 1) / 2 * 2;
  const int until = std::clamp(static_cast<int>(end) + 3, from + 2, size + 2);
  std::vector<double> weights(static_cast<size_t>(until - from) * kPdqWaves);
  int first = size, last = 0;
  const double step = (end - start) / kPdqSide;
  for (int i = 0; i < kPdqSide; ++i) {
    const double* cosine = &cosines[static_cast<size_t>(i * kPdqWaves)];
    sample(start + i * step, start + (i + 1) * step, size, [&](int p, double share) {
      if (share <= 0) return;
      first = std::min(first, p);
      last = std::max(last, p);
      double* __restrict weight = &weights[static_cast<size_t>((p - from) * kPdqWaves)];
      for (int k = 0; k < kPdqWaves; ++k) weight[k] += share * cosine[k];
    });
  }
  PartAxis out;
  out.first = first / 2 * 2;
  out.pairs = (last - out.first) / 2 + 1;
  out.weights.resize(static_cast<size_t>(out.pairs) * 2 * kPdqWaves);
  int16_t* to = out.weights.data();
  for (int pair = 0; pair < out.pairs; ++pair) {
    const double* two = &weights[static_cast<size_t>((out.first - from + 2 * pair) * kPdqWaves)];
    for (int k = 0; k < kPdqWaves; ++k) {
      *to++ = rounded(two[k] * kOne);
      *to++ = rounded(two[kPdqWaves + k] * kOne);
    }
  }
  return out;
}

void waves_along(const PartPicture& in, int first, int n, const PartAxis& axis, int32_t* out) {
  HWY_DYNAMIC_DISPATCH(Along)
  (in.pixels.data() + static_cast<ptrdiff_t>(first) * in.stride + axis.first, in.stride, n,
   axis.weights.data(), axis.pairs, out);
}

PartWaves waves_across(const int32_t* along, int first, const PartAxis& axis) {
  PartWaves out;
  HWY_DYNAMIC_DISPATCH(Across)
  (along + static_cast<ptrdiff_t>((axis.first - first) / 2) * kPdqWaves, axis.weights.data(),
   axis.pairs, out.data());
  return out;
}

int32_t lower_median(const PartWaves& waves) {
  return HWY_DYNAMIC_DISPATCH(Median)(waves.data());
}

WaveBits bits_above(const PartWaves& waves, int32_t limit) {
  std::array<uint8_t, 32> bits;
  WaveBits out;
  out.sum = HWY_DYNAMIC_DISPATCH(Bits)(waves.data(), limit, bits.data());
  std::reverse_copy(bits.begin(), bits.end(), out.bits.begin());
  return out;
}

}  // namespace cleared::kernels
#endif  // HWY_ONCE
