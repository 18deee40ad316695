// Down first, over whole rows as they lie in memory; some rows of the result are then turned, so
// that vectors hold the same place of all of them while sums run along x:
//   bytes -> weighted or plain sums of rows -> sixteen rows, turned -> sums along x -> column by
//   column of the small picture.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/luma.cpp"
#include "kernels/luma.h"

#include <algorithm>
#include <cmath>

#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>  // compiles this file once a target
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace cleared::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr int kRows = 16;          // turned together
constexpr ptrdiff_t kAhead = 512;  // bytes of a row that are fetched before they are needed

// Where the vectors over a row start: one after the other, and the last overlaps.
HWY_INLINE int next_start(int x, int step, int width) {
  return x + step == width ? width : std::min(x + step, width - step);
}

// out = sum of rows times their weights, which add up to 256.
HWY_NOINLINE void WeighRows(const uint8_t* rows, ptrdiff_t stride, const uint16_t* weights,
                            int count, int width, uint16_t* out) {
  const hn::ScalableTag<uint16_t> d16;
  const hn::Rebind<uint8_t, decltype(d16)> d8;
  const int lanes = static_cast<int>(hn::Lanes(d16)), step = 4 * lanes;
  int x = 0;
  for (; width >= step && x < width; x = next_start(x, step, width)) {
    auto a = hn::Zero(d16), b = a, c = a, e = a;
    // So many rows at once are more than what fetches ahead by itself can follow. Beyond the end of
    // these rows come as many below them.
    const ptrdiff_t ahead = kAhead + (x + kAhead < width ? 0 : count * stride - width);
    const uint8_t* p = rows + x;
    for (int r = 0; r < count; ++r, p += stride) {
      for (int at = 0; at < step; at += 64) hwy::Prefetch(p + ahead + at);
      const auto weight = hn::Set(d16, weights[r]);
      a = hn::Add(a, hn::Mul(hn::PromoteTo(d16, hn::LoadU(d8, p)), weight));
      b = hn::Add(b, hn::Mul(hn::PromoteTo(d16, hn::LoadU(d8, p + lanes)), weight));
      c = hn::Add(c, hn::Mul(hn::PromoteTo(d16, hn::LoadU(d8, p + 2 * lanes)), weight));
      e = hn::Add(e, hn::Mul(hn::PromoteTo(d16, hn::LoadU(d8, p + 3 * lanes)), weight));
    }
    hn::StoreU(a, d16, out + x);
    hn::StoreU(b, d16, out + x + lanes);
    hn::StoreU(c, d16, out + x + 2 * lanes);
    hn::StoreU(e, d16, out + x + 3 * lanes);
  }
  for (; x < width; ++x) {
    unsigned sum = 0;
    for (int r = 0; r < count; ++r) sum += rows[r * stride + x] * unsigned{weights[r]};
    out[x] = static_cast<uint16_t>(sum);
  }
}

// n / d, rounded, for n below 2^16 in u16: (n + d / 2) * inverse >> 16.
struct Divisor {
  uint16_t half, inverse;
  explicit Divisor(int d)
      : half(static_cast<uint16_t>(d / 2)), inverse(static_cast<uint16_t>(65536 / d + 1)) {}
};

// out = mean of the rows, in quarters. At most 64 rows. The mean of one is that of it twice.
HWY_NOINLINE void MeanOfRows(const uint8_t* rows, ptrdiff_t stride, int count, int width,
                             uint16_t* out) {
  const hn::ScalableTag<uint16_t> d16;
  const hn::Rebind<uint8_t, decltype(d16)> d8;
  const int lanes = static_cast<int>(hn::Lanes(d16)), step = 4 * lanes;
  if (count == 1) {
    count = 2;
    stride = 0;
  }
  const Divisor by(count);
  const auto half = hn::Set(d16, by.half), inverse = hn::Set(d16, by.inverse);
  int x = 0;
  for (; width >= step && x < width; x = next_start(x, step, width)) {
    auto a = hn::Zero(d16), b = a, c = a, e = a;
    const uint8_t* p = rows + x;
    for (int r = 0; r < count; ++r, p += stride) {
      a = hn::Add(a, hn::PromoteTo(d16, hn::LoadU(d8, p)));
      b = hn::Add(b, hn::PromoteTo(d16, hn::LoadU(d8, p + lanes)));
      c = hn::Add(c, hn::PromoteTo(d16, hn::LoadU(d8, p + 2 * lanes)));
      e = hn::Add(e, hn::PromoteTo(d16, hn::LoadU(d8, p + 3 * lanes)));
    }
    a = hn::MulHigh(hn::Add(hn::ShiftLeft<2>(a), half), inverse);
    b = hn::MulHigh(hn::Add(hn::ShiftLeft<2>(b), half), inverse);
    c = hn::MulHigh(hn::Add(hn::ShiftLeft<2>(c), half), inverse);
    e = hn::MulHigh(hn::Add(hn::ShiftLeft<2>(e), half), inverse);
    hn::StoreU(a, d16, out + x);
    hn::StoreU(b, d16, out + x + lanes);
    hn::StoreU(c, d16, out + x + 2 * lanes);
    hn::StoreU(e, d16, out + x + 3 * lanes);
  }
  for (; x < width; ++x) {
    unsigned sum = 0;
    for (int r = 0; r < count; ++r) sum += rows[r * stride + x];
    out[x] = static_cast<uint16_t>((4 * sum + by.half) * by.inverse >> 16);
  }
}

#if HWY_TARGET != HWY_SCALAR
// Eight places of rows, `stride` values apart, turned: eight rows, or all sixteen where a vector
// holds as many. `to` has kRows values a place.
template <class D>
HWY_INLINE void turn_block(D d, const uint16_t* p, ptrdiff_t stride, uint16_t* to) {
  const hn::Repartition<uint32_t, D> d32;
  const hn::Repartition<uint64_t, D> d64;
  const auto wide = [&](auto v) HWY_ATTR { return hn::BitCast(d32, v); };
  const auto widest = [&](auto v) HWY_ATTR { return hn::BitCast(d64, v); };
  const auto row = [&](int r) HWY_ATTR {
    const uint16_t* from = p + r * stride;
    if constexpr (hn::MaxLanes(D()) == kRows) {
      const hn::Half<D> half;
      return hn::Combine(d, hn::LoadU(half, from + 8 * stride), hn::LoadU(half, from));
    } else {
      return hn::LoadU(d, from);
    }
  };
  const auto r0 = row(0), r1 = row(1), r2 = row(2), r3 = row(3);
  const auto r4 = row(4), r5 = row(5), r6 = row(6), r7 = row(7);
  const auto a0 = wide(hn::InterleaveLower(d, r0, r1)), a1 = wide(hn::InterleaveUpper(d, r0, r1));
  const auto b0 = wide(hn::InterleaveLower(d, r2, r3)), b1 = wide(hn::InterleaveUpper(d, r2, r3));
  const auto c0 = wide(hn::InterleaveLower(d, r4, r5)), c1 = wide(hn::InterleaveUpper(d, r4, r5));
  const auto e0 = wide(hn::InterleaveLower(d, r6, r7)), e1 = wide(hn::InterleaveUpper(d, r6, r7));
  const auto store = [&](auto ab, auto ce, int at) HWY_ATTR {
    hn::StoreU(hn::BitCast(d, hn::InterleaveLower(d64, widest(ab), widest(ce))), d,
               to + at * kRows);
    hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(d64, widest(ab), widest(ce))), d,
               to + (at + 1) * kRows);
  };
  store(hn::InterleaveLower(d32, a0, b0), hn::InterleaveLower(d32, c0, e0), 0);
  store(hn::InterleaveUpper(d32, a0, b0), hn::InterleaveUpper(d32, c0, e0), 2);
  store(hn::InterleaveLower(d32, a1, b1), hn::InterleaveLower(d32, c1, e1), 4);
  store(hn::InterleaveUpper(d32, a1, b1), hn::InterleaveUpper(d32, c1, e1), 6);
}
#endif

// [row][x] to [x][row]: kRows rows, `stride` values apart.
HWY_NOINLINE void Turn(const uint16_t* in, ptrdiff_t stride, int width, uint16_t* out) {
  int x = 0;
#if HWY_TARGET != HWY_SCALAR
  const hn::CappedTag<uint16_t, kRows> d;
  constexpr ptrdiff_t lanes = hn::MaxLanes(hn::CappedTag<uint16_t, kRows>());
  for (; x + 8 <= width; x += 8) {
    for (ptrdiff_t r = 0; r < kRows; r += lanes) {
      turn_block(d, in + r * stride + x, stride, out + ptrdiff_t{x} * kRows + r);
    }
  }
#endif
  for (; x < width; ++x) {
    for (int r = 0; r < kRows; ++r) out[x * kRows + r] = in[r * stride + x];
  }
}

// kRows values of each tent along x. `in` is 256 times the picture.
HWY_NOINLINE void TentsAlong(const uint16_t* in, const LumaShrinker::Axis& axis, float* out) {
  const hn::CappedTag<float, kRows> d;
  const hn::Rebind<uint16_t, decltype(d)> d16;
  const hn::Rebind<int32_t, decltype(d)> d32;
  const size_t lanes = hn::Lanes(d);
  constexpr bool two = hn::MaxLanes(hn::CappedTag<float, kRows>()) < kRows;  // vectors at a time
  for (const LumaShrinker::Tent& tent : axis.tents) {
    for (size_t lane = 0; lane < kRows; lane += two ? 2 * lanes : lanes) {
      auto a = hn::Zero(d), b = a;
      const uint16_t* p = in + static_cast<ptrdiff_t>(tent.first) * kRows + lane;
      const auto value = [&](const uint16_t* at) HWY_ATTR {
        return hn::ConvertTo(d, hn::PromoteTo(d32, hn::LoadU(d16, at)));
      };
      for (const float number : tent.sum_1) {
        const auto weight = hn::Set(d, number);
        a = hn::Add(a, hn::Mul(value(p), weight));
        if (two) b = hn::Add(b, hn::Mul(value(p + lanes), weight));
        p += kRows;
      }
      hn::StoreU(hn::Mul(a, hn::Set(d, 1.0f / 256)), d, out + lane);
      if (two) hn::StoreU(hn::Mul(b, hn::Set(d, 1.0f / 256)), d, out + lane + lanes);
    }
    out += kPdqSide;
  }
}

// kRows bytes of each box along x; `in` is in quarters.
HWY_NOINLINE void BoxesAlong(const uint16_t* in, const std::vector<int>& ends, bool limited,
                             ptrdiff_t stride, uint8_t* out) {
  const hn::CappedTag<uint16_t, kRows> d;
  const hn::Rebind<uint8_t, decltype(d)> d8;
  const hn::RebindToSigned<decltype(d)> di;
  const size_t lanes = hn::Lanes(d);
  // Boxes are of two sizes at most, one pixel apart.
  const int narrow = ends.front();
  const std::array<Divisor, 3> divisors = {Divisor(4 * std::max(narrow - 1, 1)),
                                           Divisor(4 * narrow), Divisor(4 * (narrow + 1))};
  int x = 0;
  for (const int end : ends) {
    const Divisor& by = divisors[static_cast<size_t>(end - x - narrow + 1)];
    for (size_t lane = 0; lane < kRows; lane += lanes) {
      auto sum = hn::Zero(d);
      for (int at = x; at < end; ++at) sum = hn::Add(sum, hn::LoadU(d, in + at * kRows + lane));
      auto mean = hn::MulHigh(hn::Add(sum, hn::Set(d, by.half)), hn::Set(d, by.inverse));
      if (limited) {  // times 255 / 219
        mean = hn::SaturatedSub(mean, hn::Set(d, 16));
        const auto more = hn::Add(hn::Mul(mean, hn::Set(d, 42)), hn::Set(d, 128));
        mean = hn::Min(hn::Add(mean, hn::ShiftRight<8>(more)), hn::Set(d, 255));
      }
      hn::StoreU(hn::DemoteTo(d8, hn::BitCast(di, mean)), d8, out + lane);
    }
    x = end;
    out += stride;
  }
}

// kPdqSide x kPdqSide values to full range, [x][y] to [y][x] unless they are `upright`.
HWY_NOINLINE void Finish(const float* in, float black, float scale, bool upright, float* out) {
  constexpr ptrdiff_t kSide = kPdqSide;
  constexpr float kWhite = 255;
#if HWY_TARGET == HWY_SCALAR
  for (ptrdiff_t y = 0; y < kSide; ++y) {
    for (ptrdiff_t x = 0; x < kSide; ++x) {
      const float value = in[upright ? y * kSide + x : x * kSide + y];
      out[y * kSide + x] = std::clamp((value - black) * scale, 0.0f, kWhite);
    }
  }
#else
  const hn::FixedTag<float, 4> d;
  const hn::Repartition<double, decltype(d)> d64;
  const auto least = hn::Set(d, black), times = hn::Set(d, scale), most = hn::Set(d, kWhite);
  const auto full = [&](const float* p) HWY_ATTR {
    const auto value = hn::Mul(hn::Sub(hn::LoadU(d, p), least), times);
    return hn::Min(hn::Max(value, hn::Zero(d)), most);
  };
  if (upright) {
    for (ptrdiff_t i = 0; i < kSide * kSide; i += 4) hn::StoreU(full(in + i), d, out + i);
    return;
  }
  for (ptrdiff_t x = 0; x < kSide; x += 4) {
    for (ptrdiff_t y = 0; y < kSide; y += 4) {
      const float* p = in + x * kSide + y;
      const auto a = full(p), b = full(p + kSide), c = full(p + 2 * kSide), e = full(p + 3 * kSide);
      const auto ab = hn::BitCast(d64, hn::InterleaveLower(d, a, b));
      const auto ce = hn::BitCast(d64, hn::InterleaveLower(d, c, e));
      const auto ab2 = hn::BitCast(d64, hn::InterleaveUpper(d, a, b));
      const auto ce2 = hn::BitCast(d64, hn::InterleaveUpper(d, c, e));
      float* to = out + y * kSide + x;
      hn::StoreU(hn::BitCast(d, hn::InterleaveLower(d64, ab, ce)), d, to);
      hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(d64, ab, ce)), d, to + kSide);
      hn::StoreU(hn::BitCast(d, hn::InterleaveLower(d64, ab2, ce2)), d, to + 2 * kSide);
      hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(d64, ab2, ce2)), d, to + 3 * kSide);
    }
  }
#endif
}

// Each sum in the order of rows.
HWY_NOINLINE void Thumb(const float* in, uint8_t* out) {
  for (int y = 0; y < kThumbSide; ++y, in += 4 * kPdqSide, out += kThumbSide) {
    std::array<float, kThumbSide> sums{};
#if HWY_TARGET == HWY_SCALAR
    for (int i = 0; i < 4 * kPdqSide; ++i) {
      sums[static_cast<size_t>(i % kPdqSide / 4)] += in[i];
    }
#else
    const hn::FixedTag<float, 4> d;
    for (size_t x = 0; x < kThumbSide; x += 4) {
      auto sum = hn::Zero(d), a = sum, b = sum, c = sum, e = sum;
      for (int row = 0; row < 4; ++row) {
        hn::LoadInterleaved4(d, in + row * kPdqSide + 4 * x, a, b, c, e);
        sum = hn::Add(hn::Add(hn::Add(hn::Add(sum, a), b), c), e);
      }
      hn::StoreU(sum, d, sums.data() + x);
    }
#endif
    for (size_t x = 0; x < kThumbSide; ++x) {
      out[x] = static_cast<uint8_t>(sums[x] / 16 + 0.5f);
    }
  }
}

HWY_NOINLINE void Narrow(const uint8_t* in, int depth, int width, uint8_t* out) {
  const auto* pixels = reinterpret_cast<const uint16_t*>(in);
  const hn::ScalableTag<uint16_t> d;
  const hn::RebindToSigned<decltype(d)> di;
  const hn::Rebind<uint8_t, decltype(d)> d8;
  const int lanes = static_cast<int>(hn::Lanes(d)), shift = depth - 8;
  int x = 0;
  for (; width >= lanes && x < width; x = next_start(x, lanes, width)) {
    const auto v = hn::ShiftRightSame(hn::LoadU(d, pixels + x), shift);
    hn::StoreU(hn::DemoteTo(d8, hn::BitCast(di, v)), d8, out + x);
  }
  for (; x < width; ++x) out[x] = static_cast<uint8_t>(std::min(pixels[x] >> shift, 255));
}

// Sum of all pixels and of their absolute differences to another picture's.
HWY_INLINE void sum_lines(const SmallLuma& small, const uint8_t* before, uint64_t& sum,
                          uint64_t& changed) {
  const uint8_t* line = small.pixels.data();
#if HWY_TARGET == HWY_SCALAR
  for (int l = 0; l < small.lines; ++l, line += small.stride, before += small.stride) {
    for (int at = 0; at < small.places; ++at) {
      sum += line[at];
      changed += static_cast<uint64_t>(std::abs(line[at] - before[at]));
    }
  }
#else
  const hn::CappedTag<uint8_t, 32> d;
  const hn::Repartition<uint64_t, decltype(d)> d64;
  const int lanes = static_cast<int>(hn::Lanes(d));
  auto sums = hn::Zero(d64), changes = hn::Zero(d64);
  for (int l = 0; l < small.lines; ++l, line += small.stride, before += small.stride) {
    for (int at = 0; at < small.places; at += lanes) {  // lines have room for a whole vector more
      const auto inside = hn::FirstN(d, static_cast<size_t>(std::min(small.places - at, lanes)));
      const auto a = hn::IfThenElseZero(inside, hn::LoadU(d, line + at));
      const auto b = hn::IfThenElseZero(inside, hn::LoadU(d, before + at));
      sums = hn::Add(sums, hn::SumsOf8(a));
      changes = hn::Add(changes, hn::SumsOf8(hn::Sub(hn::Max(a, b), hn::Min(a, b))));
    }
  }
  sum = hn::GetLane(hn::SumOfLanes(d64, sums));
  changed = hn::GetLane(hn::SumOfLanes(d64, changes));
#endif
}

// Sums of the Laplacian and of its square over the inside of a line.
HWY_INLINE void laplacian_line(const uint8_t* line, ptrdiff_t stride, int places, int64_t& sum,
                               int64_t& squares) {
  int at = 1;
#if HWY_TARGET != HWY_SCALAR
  const hn::CappedTag<int16_t, 16> d;
  const hn::Rebind<uint8_t, decltype(d)> d8;
  const hn::Repartition<int32_t, decltype(d)> d32;
  const int lanes = static_cast<int>(hn::Lanes(d));
  const auto one = hn::Set(d, 1);
  auto sum0 = hn::Zero(d32), sum1 = hn::Zero(d32), square0 = sum0, square1 = sum0;
  const auto load = [&](const uint8_t* p) HWY_ATTR { return hn::PromoteTo(d, hn::LoadU(d8, p)); };
  for (; at + 1 < places; at += lanes) {  // lines have room for a whole vector more
    const uint8_t* p = line + at;
    const auto around =
        hn::Add(hn::Add(load(p - 1), load(p + 1)), hn::Add(load(p - stride), load(p + stride)));
    const auto inside = hn::FirstN(d, static_cast<size_t>(std::min(places - 1 - at, lanes)));
    const auto edge = hn::IfThenElseZero(inside, hn::Sub(hn::ShiftLeft<2>(load(p)), around));
    sum0 = hn::ReorderWidenMulAccumulate(d32, edge, one, sum0, sum1);
    square0 = hn::ReorderWidenMulAccumulate(d32, edge, edge, square0, square1);
  }
  sum += hn::GetLane(hn::SumOfLanes(d32, hn::Add(sum0, sum1)));
  squares += hn::GetLane(hn::SumOfLanes(d32, hn::Add(square0, square1)));
#endif
  for (; at + 1 < places; ++at) {
    const uint8_t* p = line + at;
    const int edge = 4 * p[0] - p[-1] - p[1] - p[-stride] - p[stride];
    sum += edge;
    squares += edge * edge;
  }
}

HWY_NOINLINE uint64_t Changed(const SmallLuma& before, const SmallLuma& small) {
  uint64_t sum = 0, changed = 0;
  sum_lines(small, before.pixels.data(), sum, changed);
  return changed;
}

HWY_NOINLINE SmallMeasures Measure(const SmallLuma& small, const SmallLuma* before) {
  SmallMeasures out;
  const uint8_t* pixels = small.pixels.data();
  sum_lines(small, before == nullptr ? pixels : before->pixels.data(), out.sum, out.changed);
  int64_t edges = 0, squares = 0;
  uint32_t tables[4][64] = {};
  int lines = 0;
  for (int l = 0; l < small.lines; ++l) {
    const ptrdiff_t at = static_cast<ptrdiff_t>(l) * small.stride;
    if (l % 2 == 1 && l + 1 < small.lines) {
      laplacian_line(pixels + at, small.stride, small.places, edges, squares);
      ++lines;
    }
    if (l % 4 != 0) continue;
    int i = 0;  // neighbours are alike: each counts in a table of its own
    for (; i + 4 <= small.places; i += 4) {
      ++tables[0][pixels[at + i] / 4];
      ++tables[1][pixels[at + i + 1] / 4];
      ++tables[2][pixels[at + i + 2] / 4];
      ++tables[3][pixels[at + i + 3] / 4];
    }
    for (; i < small.places; ++i) ++tables[0][pixels[at + i] / 4];
  }
  for (size_t i = 0; i < out.bands.size(); ++i) {
    out.bands[i] = tables[0][i] + tables[1][i] + tables[2][i] + tables[3][i];
  }
  if (lines > 0 && small.places > 2) {
    const double count = double(lines) * (small.places - 2);
    const double mean = double(edges) / count;
    out.sharpness = std::max(0.0, double(squares) / count - mean * mean);
  }
  return out;
}

}  // namespace cleared::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cleared::kernels {
HWY_EXPORT(WeighRows);
HWY_EXPORT(MeanOfRows);
HWY_EXPORT(Turn);
HWY_EXPORT(TentsAlong);
HWY_EXPORT(BoxesAlong);
HWY_EXPORT(Narrow);
HWY_EXPORT(Measure);
HWY_EXPORT(Changed);
HWY_EXPORT(Thumb);
HWY_EXPORT(Finish);

namespace {

constexpr int kGrid = 512, kStep = kGrid / kPdqSide, kRowsAtOnce = 16, kRoom = 64;

// PDQ's two boxes over the grid, where it samples them: weights of the grid's cells.
std::vector<double> tent_of_grid(int index) {
  constexpr int window = kGrid / (2 * kPdqSide), ahead = (window + 2) / 2 - 1;
  std::vector<double> out(kGrid);
  const auto each = [](int i, const auto& body) {
    const int first = std::max(0, i + ahead + 1 - window), end = std::min(kGrid, i + ahead + 1);
    for (int at = first; at < end; ++at) body(at, 1.0 / (end - first));
  };
  each(kStep * index + kStep / 2, [&](int outer, double share) {
    each(outer, [&](int inner, double part) { out[static_cast<size_t>(inner)] += share * part; });
  });
  return out;
}

LumaShrinker::Tent make_tent(int index, int size, bool flip) {
  const std::vector<double> cells = tent_of_grid(index);
  const double cell = double(size) / kGrid;
  std::vector<double> weights(static_cast<size_t>(size));
  for (int c = 0; c < kGrid; ++c) {
    const double share = cells[static_cast<size_t>(c)];
    if (cell < 1) {  // enlarged: linear between the middles of pixels
      const double at = std::clamp((c + 0.5) * cell - 0.5, 0.0, size - 1.0);
      const int left = static_cast<int>(at), right = std::min(left + 1, size - 1);
      weights[static_cast<size_t>(flip ? size - 1 - left : left)] += share * (left + 1 - at);
      weights[static_cast<size_t>(flip ? size - 1 - right : right)] += share * (at - left);
      continue;
    }
    const double start = c * cell, end = (c + 1) * cell;
    for (int p = static_cast<int>(start); share > 0 && p < size && p < end; ++p) {
      const double overlap = std::min<double>(end, p + 1) - std::max<double>(start, p);
      const int at = flip ? size - 1 - p : p;
      weights[static_cast<size_t>(at)] += share * std::max(0.0, overlap) / cell;
    }
  }
  LumaShrinker::Tent out;
  const auto present = [](double w) { return w > 1e-9; };
  const auto first = std::find_if(weights.begin(), weights.end(), present);
  const auto last = std::find_if(weights.rbegin(), weights.rend(), present).base();
  out.first = static_cast<int>(first - weights.begin());
  double whole = 0;
  int given = 0;
  for (auto w = first; w != last; ++w) {
    whole += 256 * *w;  // what one weight loses in rounding, the next ones gain
    const int until = static_cast<int>(std::lround(whole));
    out.sum_256.push_back(static_cast<uint16_t>(until - given));
    out.sum_1.push_back(static_cast<float>(*w));
    given = until;
  }
  return out;
}

LumaShrinker::Axis make_axis(int size, int boxes, bool flip) {
  LumaShrinker::Axis out;
  for (int i = 0; i < kPdqSide; ++i) {
    out.tents[static_cast<size_t>(i)] = make_tent(i, size, flip);
  }
  for (int i = 1; i <= boxes; ++i) {
    out.ends.push_back(static_cast<int>(int64_t{i} * size / boxes));
  }
  return out;
}

int boxes_of(int size, int longest) {
  if (longest <= kSmallPixels) return size;
  return std::max(1, static_cast<int>((int64_t{size} * kSmallPixels + longest / 2) / longest));
}

}  // namespace

LumaShrinker::LumaShrinker(int width, int height, LumaTurn turn) : width_(width), turn_(turn) {
  const int longest = std::max(width, height);
  x_ = make_axis(width, boxes_of(width, longest), turn.flip_x);
  y_ = make_axis(height, boxes_of(height, longest), turn.flip_y);
  rows_.resize(static_cast<size_t>(width) * kRowsAtOnce);
  means_.resize(static_cast<size_t>(width) * kRowsAtOnce);
  turned_.resize(static_cast<size_t>(width) * kRowsAtOnce);
}

Luma narrowed(const Luma& in, int depth, std::vector<uint8_t>& bytes) {
  bytes.resize(static_cast<size_t>(in.width) * static_cast<size_t>(in.height));
  for (int y = 0; y < in.height; ++y) {
    HWY_DYNAMIC_DISPATCH(Narrow)
    (in.pixels + y * in.stride, depth, in.width,
     bytes.data() + static_cast<ptrdiff_t>(y) * in.width);
  }
  return {bytes.data(), in.width, in.width, in.height, in.limited};
}

// Row j of the filtered picture. Every sixteenth completes the rows before it.
void LumaShrinker::filter_row(const Luma& in, int j, float* columns) {
  const Tent& tent = y_.tents[static_cast<size_t>(j)];
  HWY_DYNAMIC_DISPATCH(WeighRows)
  (in.pixels + tent.first * in.stride, in.stride, tent.sum_256.data(),
   static_cast<int>(tent.sum_256.size()), width_, row_of(rows_, j));
  if (j % kRowsAtOnce + 1 < kRowsAtOnce) return;
  HWY_DYNAMIC_DISPATCH(Turn)(rows_.data(), width_, width_, turned_.data());
  HWY_DYNAMIC_DISPATCH(TentsAlong)(turned_.data(), x_, columns + j + 1 - kRowsAtOnce);
}

// One place of every line of the small picture. Every sixteenth, and the last, completes those
// before it.
void LumaShrinker::shrink_row(const Luma& in, int place, SmallLuma& small) {
  const int y = place == 0 ? 0 : y_.ends[static_cast<size_t>(place - 1)];
  const int end = y_.ends[static_cast<size_t>(place)];
  HWY_DYNAMIC_DISPATCH(MeanOfRows)
  (in.pixels + y * in.stride, in.stride, end - y, width_, row_of(means_, place));
  const int first = place / kRowsAtOnce * kRowsAtOnce;
  if (place + 1 < std::min(first + kRowsAtOnce, small.places)) return;
  HWY_DYNAMIC_DISPATCH(Turn)(means_.data(), width_, width_, turned_.data());
  HWY_DYNAMIC_DISPATCH(BoxesAlong)
  (turned_.data(), x_.ends, in.limited, small.stride, small.pixels.data() + first);
}

uint16_t* LumaShrinker::row_of(std::vector<uint16_t>& rows, int row) const {
  return rows.data() + static_cast<ptrdiff_t>(row % kRowsAtOnce) * width_;
}

void LumaShrinker::finish(const Luma& in, const float* columns, float* filtered) const {
  const float black = in.limited ? 16 : 0, scale = in.limited ? 255.0f / 219 : 1;
  HWY_DYNAMIC_DISPATCH(Finish)(columns, black, scale, turn_.swap, filtered);
}

void LumaShrinker::filter(const Luma& in, float* filtered) {
  Columns columns;
  for (int j = 0; j < kPdqSide; ++j) filter_row(in, j, columns.data());
  finish(in, columns.data(), filtered);
}

void LumaShrinker::shrink(const Luma& in, float* filtered, SmallLuma& small) {
  small.lines = static_cast<int>(x_.ends.size());
  small.places = static_cast<int>(y_.ends.size());
  small.stride = (small.places + kRowsAtOnce - 1) / kRowsAtOnce * kRowsAtOnce;
  small.by_column = !turn_.swap;
  small.pixels.resize(static_cast<size_t>(small.lines) * static_cast<size_t>(small.stride) + kRoom);
  Columns columns;
  int place = 0;
  // Both go through the rows side by side, so that each is fetched once.
  for (int j = 0; j < kPdqSide; ++j) {
    filter_row(in, j, columns.data());
    const auto until = static_cast<int>(int64_t{in.height} * (j + 1) / kPdqSide);
    while (place < small.places && y_.ends[static_cast<size_t>(place)] <= until) {
      shrink_row(in, place++, small);
    }
  }
  finish(in, columns.data(), filtered);
  // Lines and places run as the pixels lie; upright they run the other way.
  for (int l = 0; turn_.flip_y && l < small.lines; ++l) {
    const auto line = small.pixels.begin() + static_cast<ptrdiff_t>(l) * small.stride;
    std::reverse(line, line + small.places);
  }
  for (int l = 0; turn_.flip_x && l < small.lines / 2; ++l) {
    const auto line = small.pixels.begin() + static_cast<ptrdiff_t>(l) * small.stride;
    std::swap_ranges(
        line, line + small.places,
        small.pixels.begin() + static_cast<ptrdiff_t>(small.lines - 1 - l) * small.stride);
  }
}

void make_thumb(const float* filtered, uint8_t* out) {
  HWY_DYNAMIC_DISPATCH(Thumb)(filtered, out);
}

uint64_t changed_since(const SmallLuma& before, const SmallLuma& small) {
  return HWY_DYNAMIC_DISPATCH(Changed)(before, small);
}

SmallMeasures measure_small(const SmallLuma& small, const SmallLuma* before) {
  return HWY_DYNAMIC_DISPATCH(Measure)(small, before);
}

}  // namespace cleared::kernels
#endif  // HWY_ONCE
