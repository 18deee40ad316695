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

#if HWY_TARGET == HWY_SCALAR
HWY_INLINE int32_t sum_of_pairs(const int16_t* a, ptrdiff_t a_step, const int16_t* b,
                                ptrdiff_t b_step, int pairs) {
  int32_t sum = 0;
  for (int i = 0; i < pairs; ++i, a += a_step, b += b_step) sum += a[0] * b[0] + a[1] * b[1];
  return sum;
}
#endif

HWY_NOINLINE void Along(const int16_t* pixels, ptrdiff_t stride, int fours, const int16_t* weights,
                        int pairs, int32_t* out) {
  for (int four = 0; four < fours; ++four, pixels += 4 * stride, out += 2 * kWaves) {
#if HWY_TARGET == HWY_SCALAR
    for (int k = 0; k < kWaves; ++k) {
      int32_t sums[4];
      for (int line = 0; line < 4; ++line) {
        const int32_t sum =
            sum_of_pairs(pixels + line * stride, 2, weights + 2 * k, 2 * kWaves, pairs);
        sums[line] = (sum + (1 << (kShift - 1))) >> kShift;
      }
      for (int half = 0; half < 2; ++half) {
        out[half * kWaves + k] =
            static_cast<int32_t>((static_cast<uint32_t>(sums[2 * half]) & 0xffff) |
                                 static_cast<uint32_t>(sums[2 * half + 1]) << 16);
      }
    }
#else
    const hn::CappedTag<int16_t, 32> d;
    const hn::Repartition<int32_t, decltype(d)> d32;
    const int lanes = static_cast<int>(hn::Lanes(d32));
    for (int k = 0; k < kWaves; k += lanes) {
      auto a = hn::Zero(d32), b = a, c = a, e = a, a1 = a, b1 = a, c1 = a, e1 = a;
      const int16_t *p = pixels, *w = weights + 2 * k;
      for (int i = 0; i < pairs; ++i, p += 2, w += 2 * kWaves) {
        const auto weight = hn::LoadU(d, w);
        const auto pair = [&](ptrdiff_t at)
                              HWY_ATTR { return hn::BitCast(d, hn::Set(d32, pair_at(p + at))); };
        a = hn::ReorderWidenMulAccumulate(d32, pair(0), weight, a, a1);
        b = hn::ReorderWidenMulAccumulate(d32, pair(stride), weight, b, b1);
        c = hn::ReorderWidenMulAccumulate(d32, pair(2 * stride), weight, c, c1);
        e = hn::ReorderWidenMulAccumulate(d32, pair(3 * stride), weight, e, e1);
      }
      const auto half = hn::Set(d32, 1 << (kShift - 1)), low = hn::Set(d32, 0xffff);
      const auto scaled = [&](auto x, auto x1) HWY_ATTR {
        return hn::ShiftRight<kShift>(hn::Add(hn::RearrangeToOddPlusEven(x, x1), half));
      };
      const auto two = [&](auto even, auto odd)
                           HWY_ATTR { return hn::Or(hn::And(even, low), hn::ShiftLeft<16>(odd)); };
      hn::StoreU(two(scaled(a, a1), scaled(b, b1)), d32, out + k);
      hn::StoreU(two(scaled(c, c1), scaled(e, e1)), d32, out + kWaves + k);
    }
#endif
  }
}

HWY_NOINLINE void Across(const int32_t* along, const int16_t* weights, int pairs, int32_t* out) {
  for (int j = 0; j < kWaves; ++j, weights += 2, out += kWaves) {
#if HWY_TARGET == HWY_SCALAR
    for (int k = 0; k < kWaves; ++k) {
      out[k] = sum_of_pairs(reinterpret_cast<const int16_t*>(along + k), 2 * kWaves, weights,
                            2 * kWaves, pairs);
    }
#else
    const hn::CappedTag<int16_t, 32> d;
    const hn::Repartition<int32_t, decltype(d)> d32;
    const int lanes = static_cast<int>(hn::Lanes(d32));
    for (int k = 0; k < kWaves; k += lanes) {
      auto sum = hn::Zero(d32), sum1 = sum;
      for (int i = 0; i < pairs; ++i) {
        const auto value = hn::BitCast(d, hn::LoadU(d32, along + i * kWaves + k));
        const auto weight =
            hn::BitCast(d, hn::Set(d32, pair_at(weights + ptrdiff_t{2} * kWaves * i)));
        sum = hn::ReorderWidenMulAccumulate(d32, value, weight, sum, sum1);
      }
      hn::StoreU(hn::RearrangeToOddPlusEven(sum, sum1), d32, out + k);
    }
#endif
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
    // Halved now and then: numbers that lie in a heap would be crept up to.
    const int64_t middle = turn % 4 == 0 ? low + (high - low) / 2
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
HWY_EXPORT(Median);
HWY_EXPORT(Bits);

namespace {

constexpr double kPi = 3.14159265358979323846;
constexpr int kOne = 1 << 11;  // what a weight of one is

void resize(PartPicture& out, int lines, int places) {
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

}  // namespace

void widen(const SmallLuma& in, PartPicture& out) {
  resize(out, in.lines, in.places);
  for (int l = 0; l < in.lines; ++l) {
    const uint8_t* from = in.pixels.data() + static_cast<ptrdiff_t>(l) * in.stride;
    int16_t* to = out.pixels.data() + static_cast<ptrdiff_t>(l) * out.stride;
    for (int p = 0; p < in.places; ++p) to[p] = static_cast<int16_t>(from[p] - 128);
  }
}

void halve(const SmallLuma& in, PartPicture& out) {
  resize(out, in.lines / 2, in.places / 2);
  for (int l = 0; l < out.lines; ++l) {
    const uint8_t* a = in.pixels.data() + static_cast<ptrdiff_t>(2 * l) * in.stride;
    const uint8_t* b = a + in.stride;
    int16_t* to = out.pixels.data() + static_cast<ptrdiff_t>(l) * out.stride;
    for (int p = 0; p < out.places; ++p) {
      const int sum = a[2 * p] + a[2 * p + 1] + b[2 * p] + b[2 * p + 1];
      to[p] = static_cast<int16_t>((sum + 2) / 4 - 128);
    }
  }
}

PartAxis part_axis(double start, double end, int size) {
  std::vector<double> weights(static_cast<size_t>(size + 2) * kPdqWaves);
  static const std::vector<double> cosines = [] {
    std::vector<double> table;
    for (int i = 0; i < kPdqSide * kPdqWaves; ++i) {
      table.push_back(std::cos(kPi / kPdqSide * (i % kPdqWaves + 1) * (i / kPdqWaves + 0.5)));
    }
    return table;
  }();
  int first = size, last = 0;
  const double step = (end - start) / kPdqSide;
  for (int i = 0; i < kPdqSide; ++i) {
    sample(start + i * step, start + (i + 1) * step, size, [&](int p, double share) {
      if (share <= 0) return;
      first = std::min(first, p);
      last = std::max(last, p);
      for (int k = 0; k < kPdqWaves; ++k) {
        weights[static_cast<size_t>(p * kPdqWaves + k)] +=
            share * cosines[static_cast<size_t>(i * kPdqWaves + k)];
      }
    });
  }
  PartAxis out;
  out.first = first / 2 * 2;
  out.pairs = (last - out.first) / 2 + 1;
  for (int pair = 0; pair < out.pairs; ++pair) {
    for (int k = 0; k < kPdqWaves; ++k) {
      for (int side = 0; side < 2; ++side) {
        const auto at = static_cast<size_t>((out.first + 2 * pair + side) * kPdqWaves + k);
        out.weights.push_back(static_cast<int16_t>(std::lround(weights[at] * kOne)));
      }
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
