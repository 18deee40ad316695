// The picture runs through in strips of kStrip rows, so that what is in use stays in the cache:
//   bytes -> [rows] first box along x -> ring of rows -> first box along y -> strip
//   strip, turned -> second box along x, kept at 64 places -> second box along y -> 64 x 64.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/pdq.cpp"
#include "kernels/pdq.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include <hwy/foreach_target.h>  // compiles this file once a target
#include <hwy/highway.h>

#include "kernels/parts.h"

HWY_BEFORE_NAMESPACE();
namespace cleared::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr int kStrip = 16;       // rows that move along x together
constexpr int kWidestSum = 257;  // bytes of 255 whose sum fits 16 bits
constexpr int kSide = kPdqSide, kWaves = kPdqWaves;
using Floats = hn::CappedTag<float, kStrip>;  // divides the strip and the side

// A box of `window` places over `count`, cut off at both ends: the mean at `i` is over [first,
// end).
struct Box {
  int window, ahead, count;
  Box(int size, int places) : window(size), ahead((size + 2) / 2 - 1), count(places) {}
  bool takes_in(int i) const { return i + ahead < count; }
  bool drops(int i) const { return i + ahead >= window; }
  int size(int i) const {
    return std::min(i + ahead + 1, count) - std::max(0, i + ahead + 1 - window);
  }
};

int window_of(int size) {
  return (size + 2 * kSide - 1) / (2 * kSide);
}

bool is_power_of_two(int n) {
  return (n & (n - 1)) == 0;
}

// x / n, to the bit: dividing by a power of two is multiplying by its inverse, and faster.
template <class D, class V>
HWY_INLINE V divided(D d, V x, int n) {
  return is_power_of_two(n) ? hn::Mul(x, hn::Set(d, 1.0f / static_cast<float>(n)))
                            : hn::Div(x, hn::Set(d, static_cast<float>(n)));
}

// First box along one row of bytes. Sums of whole numbers are exact in any order.
void row_of_bytes(const uint8_t* in, const Box& box, float* out) {
  int x = 0;
  const auto slow = [&](int end) {
    for (; x < end; ++x) {
      int sum = 0;
      for (int i = std::max(0, x + box.ahead + 1 - box.window);
           i < std::min(x + box.ahead + 1, box.count); ++i) {
        sum += in[i];
      }
      out[x] = static_cast<float>(sum) / static_cast<float>(box.size(x));
    }
  };
  slow(std::min(box.count, box.window));
  const Floats d;
  const hn::Rebind<uint16_t, Floats> d16;
  const hn::Rebind<uint8_t, Floats> d8;
  const hn::Rebind<int32_t, Floats> d32;
  const int lanes = static_cast<int>(hn::Lanes(d));
  if (box.window <= kWidestSum) {
    for (; x + lanes + box.ahead <= box.count; x += lanes) {
      const uint8_t* first = in + x + box.ahead + 1 - box.window;
      auto sum = hn::Zero(d16);
      for (int i = 0; i < box.window; ++i) {
        sum = hn::Add(sum, hn::PromoteTo(d16, hn::LoadU(d8, first + i)));
      }
      const auto wide = hn::ConvertTo(d, hn::PromoteTo(d32, sum));
      hn::StoreU(divided(d, wide, box.window), d, out + x);
    }
  }
  slow(box.count);
}

// [row][x] to [x][row], kStrip rows; `to` holds `count` times kStrip values.
void turn(const float* from, int count, float* to) {
#if HWY_TARGET == HWY_SCALAR
  for (int y = 0; y < kStrip; ++y) {
    for (int x = 0; x < count; ++x) to[x * kStrip + y] = from[y * count + x];
  }
#else
  const hn::FixedTag<float, 4> d;
  const hn::Repartition<double, decltype(d)> d64;
  for (int y = 0; y < kStrip; y += 4) {
    const float* row = from + static_cast<ptrdiff_t>(y) * count;
    int x = 0;
    for (; x + 4 <= count; x += 4) {
      const auto a = hn::LoadU(d, row + x), b = hn::LoadU(d, row + count + x);
      const auto c = hn::LoadU(d, row + 2 * count + x), e = hn::LoadU(d, row + 3 * count + x);
      const auto ab = hn::BitCast(d64, hn::InterleaveLower(d, a, b));
      const auto ce = hn::BitCast(d64, hn::InterleaveLower(d, c, e));
      const auto ab2 = hn::BitCast(d64, hn::InterleaveUpper(d, a, b));
      const auto ce2 = hn::BitCast(d64, hn::InterleaveUpper(d, c, e));
      float* out = to + static_cast<ptrdiff_t>(x) * kStrip + y;
      hn::StoreU(hn::BitCast(d, hn::InterleaveLower(d64, ab, ce)), d, out);
      hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(d64, ab, ce)), d, out + kStrip);
      hn::StoreU(hn::BitCast(d, hn::InterleaveLower(d64, ab2, ce2)), d, out + 2 * kStrip);
      hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(d64, ab2, ce2)), d, out + 3 * kStrip);
    }
    for (; x < count; ++x) {
      for (int i = 0; i < 4; ++i) to[x * kStrip + y + i] = row[i * count + x];
    }
  }
#endif
}

// A box along a strip that lies turned, in place after place; emit(i, lane, mean) for every place.
template <class Emit>
HWY_INLINE void box_along(const float* in, const Box& box, const Emit& emit) {
  const Floats d;
  const size_t lanes = hn::Lanes(d);
  for (size_t lane = 0; lane < kStrip; lane += 2 * lanes) {  // two at a time: sums have to wait
    const bool pair = lane + lanes < kStrip;
    const size_t next = pair ? lane + lanes : lane;
    auto a = hn::Zero(d), b = hn::Zero(d);
    for (int i = 0; i < box.ahead; ++i) {
      a = hn::Add(a, hn::LoadU(d, in + i * kStrip + lane));
      b = hn::Add(b, hn::LoadU(d, in + i * kStrip + next));
    }
    for (int i = 0; i < box.count; ++i) {
      if (box.takes_in(i)) {
        const float* place = in + (i + box.ahead) * kStrip;
        a = hn::Add(a, hn::LoadU(d, place + lane));
        b = hn::Add(b, hn::LoadU(d, place + next));
      }
      if (box.drops(i)) {
        const float* place = in + (i + box.ahead - box.window) * kStrip;
        a = hn::Sub(a, hn::LoadU(d, place + lane));
        b = hn::Sub(b, hn::LoadU(d, place + next));
      }
      emit(i, lane, a);
      if (pair) emit(i, next, b);
    }
  }
}

// kStrip rows of RGB, luma as pdqhash computes it, after the first box along x.
void strip_of_colours(const PdqPicture& in, int y, int rows, const Box& box, float* turned,
                      float* out) {
  for (int r = 0; r < kStrip; ++r) {
    const uint8_t* p = in.pixels + (y + std::min(r, rows - 1)) * in.stride;
    for (int x = 0; x < in.width; ++x, p += 3) {
      turned[x * kStrip + r] = static_cast<float>(p[0] * 0.299 + p[1] * 0.587 + p[2] * 0.114);
    }
  }
  const Floats d;
  box_along(turned, box, [&](int x, size_t lane, auto sum) {
    alignas(64) float means[kStrip];
    hn::StoreU(divided(d, sum, box.size(x)), d, means + lane);
    for (size_t r = lane; r < lane + hn::Lanes(d); ++r) {
      out[static_cast<ptrdiff_t>(r) * in.width + x] = means[r];
    }
  });
}

// Second box along x over a finished strip, kept where the picture is sampled.
void sample_along(float* strip, float* turned, const Box& box, const std::array<int, kSide>& places,
                  float* out) {
  turn(strip, box.count, turned);
  const Floats d;
  int next = 0;
  box_along(turned, box, [&](int x, size_t lane, auto sum) {
    if (x == 0) next = 0;
    while (next < kSide && places[static_cast<size_t>(next)] < x) ++next;
    int at = next;
    if (at == kSide || places[static_cast<size_t>(at)] != x) return;
    alignas(64) float means[kStrip];
    hn::StoreU(divided(d, sum, box.size(x)), d, means + lane);
    for (; at < kSide && places[static_cast<size_t>(at)] == x; ++at) {
      for (size_t r = lane; r < lane + hn::Lanes(d); ++r) {
        out[r * kSide + static_cast<size_t>(at)] = means[r];
      }
    }
  });
}

// One step of a box down all columns: `sums` is brought up to row i, which is written to `out`
// unless that is null.
HWY_INLINE void step_down(const Box& box, int i, const float* below, const float* above, int width,
                          float* sums, float* out) {
  const Floats d;
  const int lanes = static_cast<int>(hn::Lanes(d)), n = box.size(i);
  const bool adds = box.takes_in(i), drops = box.drops(i);
  for (int x = 0; x < width; x += lanes) {  // every row has room for a whole vector more
    auto sum = hn::LoadU(d, sums + x);
    if (adds) sum = hn::Add(sum, hn::LoadU(d, below + x));
    if (drops) sum = hn::Sub(sum, hn::LoadU(d, above + x));
    hn::StoreU(sum, d, sums + x);
    if (out != nullptr) hn::StoreU(divided(d, sum, n), d, out + x);
  }
}

HWY_NOINLINE void Filter(const PdqPicture& in, std::vector<float>& scratch, float* out) {
  const int w = in.width, h = in.height;
  const Box across(window_of(w), w), down(window_of(h), h);
  const size_t row = static_cast<size_t>(w);
  const int ring_rows = (down.window + down.ahead + kStrip + kStrip) / kStrip * kStrip;
  const size_t ring_size = row * static_cast<size_t>(ring_rows) + kStrip;
  const size_t strip_size = row * kStrip + kStrip;
  const size_t narrow_size = static_cast<size_t>(h + kStrip) * kSide;
  scratch.resize(ring_size + 2 * strip_size + row + kStrip + narrow_size);
  float* ring = scratch.data();
  float* strip = ring + ring_size;
  float* turned = strip + strip_size;
  float* sums = turned + strip_size;
  float* narrow = sums + row + kStrip;
  std::array<int, kSide> columns{}, rows{};
  for (int i = 0; i < kSide; ++i) {
    columns[static_cast<size_t>(i)] = static_cast<int>((i + 0.5) * w / kSide);
    rows[static_cast<size_t>(i)] = static_cast<int>((i + 0.5) * h / kSide);
  }
  const auto ring_row = [&](int y) { return ring + static_cast<ptrdiff_t>(y % ring_rows) * w; };

  int read = 0;  // rows of the picture that went through the first box
  const auto read_up_to = [&](int end) {
    while (read < std::min(end, h)) {
      if (in.channels == 1) {
        row_of_bytes(in.pixels + read * in.stride, across, ring_row(read));
        ++read;
      } else {
        const int rows_here = std::min(kStrip, h - read);
        strip_of_colours(in, read, rows_here, across, turned, ring_row(read));
        read += rows_here;
      }
    }
  };
  std::fill(sums, sums + w, 0.0f);
  read_up_to(down.ahead);
  for (int y = 0; y < down.ahead; ++y) {
    for (int x = 0; x < w; ++x) sums[x] += ring_row(y)[x];
  }
  for (int y = 0; y < h; y += kStrip) {
    const int here = std::min(kStrip, h - y);
    for (int r = 0; r < here; ++r) {
      const int at = y + r;
      read_up_to(at + down.ahead + 1);
      step_down(down, at, down.takes_in(at) ? ring_row(at + down.ahead) : nullptr,
                down.drops(at) ? ring_row(at + down.ahead - down.window) : nullptr, w, sums,
                strip + static_cast<ptrdiff_t>(r) * w);
    }
    sample_along(strip, turned, across, columns, narrow + static_cast<ptrdiff_t>(y) * kSide);
  }

  std::array<float, kSide> last{};
  const auto narrow_row = [&](int y) { return narrow + static_cast<ptrdiff_t>(y) * kSide; };
  for (int y = 0; y < down.ahead; ++y) {
    for (int x = 0; x < kSide; ++x) last[static_cast<size_t>(x)] += narrow_row(y)[x];
  }
  size_t next = 0;
  for (int y = 0; y < h; ++y) {
    const bool wanted = next < kSide && rows[next] == y;
    step_down(down, y, down.takes_in(y) ? narrow_row(y + down.ahead) : nullptr,
              down.drops(y) ? narrow_row(y + down.ahead - down.window) : nullptr, kSide,
              last.data(), wanted ? out + next * kSide : nullptr);
    if (!wanted) continue;
    for (++next; next < kSide && rows[next] == y; ++next) {
      std::copy_n(out + (next - 1) * kSide, kSide, out + next * kSide);
    }
  }
}

struct Cosines {
  float down[kWaves][kSide];    // [wave][place]
  float across[kSide][kWaves];  // [place][wave]
};

Cosines make_cosines() {
  Cosines out{};
  const auto scale = static_cast<float>(std::sqrt(2.0 / kSide));
  for (int i = 0; i < kWaves; ++i) {
    for (int j = 0; j < kSide; ++j) {
      out.down[i][j] = out.across[j][i] = static_cast<float>(
          scale * std::cos(3.14159265358979323846 / 2.0 / kSide * (i + 1) * (2 * j + 1)));
    }
  }
  return out;
}

HWY_NOINLINE void Waves(const float* picture, float* out) {
  static const Cosines cosines = make_cosines();
  const Floats d;
  const int lanes = static_cast<int>(hn::Lanes(d));
  float half[kWaves][kSide];
  for (int i = 0; i < kWaves; ++i) {
    for (int j = 0; j < kSide; j += 4 * lanes) {  // four sums at a time, each in its order
      auto a = hn::Zero(d), b = a, c = a, e = a;
      for (int k = 0; k < kSide; ++k) {
        const auto wave = hn::Set(d, cosines.down[i][k]);
        const float* row = picture + k * kSide + j;
        a = hn::Add(a, hn::Mul(wave, hn::LoadU(d, row)));
        b = hn::Add(b, hn::Mul(wave, hn::LoadU(d, row + lanes)));
        c = hn::Add(c, hn::Mul(wave, hn::LoadU(d, row + 2 * lanes)));
        e = hn::Add(e, hn::Mul(wave, hn::LoadU(d, row + 3 * lanes)));
      }
      hn::StoreU(a, d, &half[i][j]);
      hn::StoreU(b, d, &half[i][j + lanes]);
      hn::StoreU(c, d, &half[i][j + 2 * lanes]);
      hn::StoreU(e, d, &half[i][j + 3 * lanes]);
    }
  }
  for (int i = 0; i < kWaves; i += 4) {
    for (int j = 0; j < kWaves; j += lanes) {
      auto a = hn::Zero(d), b = a, c = a, e = a;
      for (int k = 0; k < kSide; ++k) {
        const auto wave = hn::LoadU(d, &cosines.across[k][j]);
        a = hn::Add(a, hn::Mul(hn::Set(d, half[i][k]), wave));
        b = hn::Add(b, hn::Mul(hn::Set(d, half[i + 1][k]), wave));
        c = hn::Add(c, hn::Mul(hn::Set(d, half[i + 2][k]), wave));
        e = hn::Add(e, hn::Mul(hn::Set(d, half[i + 3][k]), wave));
      }
      hn::StoreU(a, d, out + i * kWaves + j);
      hn::StoreU(b, d, out + (i + 1) * kWaves + j);
      hn::StoreU(c, d, out + (i + 2) * kWaves + j);
      hn::StoreU(e, d, out + (i + 3) * kWaves + j);
    }
  }
}

HWY_NOINLINE int Gradient(const float* picture) {
  const Floats d;
  const hn::RebindToSigned<Floats> di;
  const int lanes = static_cast<int>(hn::Lanes(d));
  const auto hundred = hn::Set(d, 100.0f), white = hn::Set(d, 255.0f);
  const auto step = [&](auto a, auto b) HWY_ATTR {
    return hn::Abs(hn::ConvertTo(di, hn::Div(hn::Mul(hn::Sub(a, b), hundred), white)));
  };
  auto sum = hn::Zero(di);
  int edge = 0;
  for (int y = 0; y < kSide; ++y) {
    const float* row = picture + y * kSide;
    for (int x = 0; x < kSide; x += lanes) {
      const auto here = hn::LoadU(d, row + x);
      if (y + 1 < kSide) sum = hn::Add(sum, step(here, hn::LoadU(d, row + kSide + x)));
      if (x + lanes < kSide) sum = hn::Add(sum, step(here, hn::LoadU(d, row + x + 1)));
    }
    for (int x = kSide - lanes; x + 1 < kSide; ++x) {
      edge += std::abs(static_cast<int>((row[x] - row[x + 1]) * 100 / 255));
    }
  }
  return edge + hn::GetLane(hn::SumOfLanes(di, sum));
}

}  // namespace cleared::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
// Debian's libhwy measures the clock for 3 ms whenever it is loaded, for a benchmark of its own. A
// program's definition goes before a library's.
namespace hwy::platform {
uint64_t TimerResolution() {
  return 1;
}
}  // namespace hwy::platform

namespace cleared::kernels {
HWY_EXPORT(Filter);
HWY_EXPORT(Waves);
HWY_EXPORT(Gradient);

void pdq_filter(const PdqPicture& in, std::vector<float>& scratch, float* out) {
  if (in.width != kPdqSide || in.height != kPdqSide) {
    HWY_DYNAMIC_DISPATCH(Filter)(in, scratch, out);
    return;
  }
  for (int y = 0; y < kPdqSide; ++y) {
    const uint8_t* p = in.pixels + y * in.stride;
    for (int x = 0; x < kPdqSide; ++x, p += in.channels) {
      *out++ = in.channels == 1 ? static_cast<float>(*p)
                                : static_cast<float>(p[0] * 0.299 + p[1] * 0.587 + p[2] * 0.114);
    }
  }
}

void pdq_waves(const float* picture, float* out) {
  HWY_DYNAMIC_DISPATCH(Waves)(picture, out);
}

// Where a wave is odd along an axis, turning the picture over along it changes its sign.
void pdq_turn(const float* waves, size_t turn, float* out) {
  constexpr size_t kSide = kPdqWaves;
  for (size_t k = 0; k < kSide * kSide; ++k) {
    const size_t y = k / kSide, x = k % kSide;  // wave numbers less one: even is odd
    const bool negated = ((turn & 1) != 0 && x % 2 == 0) != ((turn & 2) != 0 && y % 2 == 0);
    const float wave = waves[(turn & 4) != 0 ? x * kSide + y : k];
    out[k] = negated ? -wave : wave;
  }
}

// By numbers in the order of the floats, so that the median of the ones is that of the others.
std::array<uint8_t, 32> pdq_bits(const float* waves) {
  PartWaves numbers;
  for (size_t k = 0; k < numbers.size(); ++k) {
    const auto bits = std::bit_cast<int32_t>(waves[k] + 0.0F);  // -0 is 0
    numbers[k] = bits ^ (bits >> 31 & INT32_MAX);
  }
  return bits_above(numbers, lower_median(numbers)).bits;
}

int pdq_gradient(const float* picture) {
  return HWY_DYNAMIC_DISPATCH(Gradient)(picture);
}
}  // namespace cleared::kernels
#endif  // HWY_ONCE
