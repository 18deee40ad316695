// Looks against plain arithmetic in doubles: samples of the part, cosine waves, the median. Written
// from the definition in kernels/parts.h and not from its code.
#include "curate/looks.h"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "kernels/targets.h"

namespace cleared::curate {
namespace {

struct Grey {
  int width, height;
  std::vector<uint8_t> pixels;
  uint8_t at(int x, int y) const { return pixels[static_cast<size_t>(y * width + x)]; }
};

// Blobs of light: what a picture of the world is like at this size.
Grey scene(int width, int height) {
  Grey out{width, height, {}};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const double u = double(x) / width, v = double(y) / height;
      double value = 110 + 40 * std::sin(9 * u + 2 * v) + 30 * std::cos(14 * v - 5 * u * u);
      value += std::hypot(u - 0.3, v - 0.6) < 0.17 ? 60 : 0;
      value -= std::abs(u - 0.75) + std::abs(v - 0.3) < 0.2 ? 70 : 0;
      out.pixels.push_back(static_cast<uint8_t>(std::clamp(value, 0.0, 255.0)));
    }
  }
  return out;
}

Grey turned_picture(const Grey& in, unsigned turn) {
  const bool swap = (turn & 4) != 0;
  Grey out{swap ? in.height : in.width, swap ? in.width : in.height, {}};
  for (int y = 0; y < out.height; ++y) {
    for (int x = 0; x < out.width; ++x) {
      int u = swap ? y : x, v = swap ? x : y;
      if ((turn & (swap ? 2 : 1)) != 0) u = in.width - 1 - u;
      if ((turn & (swap ? 1 : 2)) != 0) v = in.height - 1 - v;
      out.pixels.push_back(in.at(u, v));
    }
  }
  return out;
}

kernels::SmallLuma small_of(const Grey& in, bool by_column) {
  kernels::SmallLuma out;
  out.by_column = by_column;
  out.lines = by_column ? in.width : in.height;
  out.places = by_column ? in.height : in.width;
  out.stride = out.places + 3;
  out.pixels.assign(static_cast<size_t>(out.lines) * static_cast<size_t>(out.stride) + 64, 77);
  for (int y = 0; y < in.height; ++y) {
    for (int x = 0; x < in.width; ++x) {
      const int line = by_column ? x : y, place = by_column ? y : x;
      out.pixels[static_cast<size_t>(line * out.stride + place)] = in.at(x, y);
    }
  }
  return out;
}

// Bits of the middle `share` of the picture.
Pdq plain(const Grey& in, double share) {
  constexpr int n = 64, waves = 16;
  std::vector<double> samples;
  const auto cut = [&](int i, int size) {
    return size * ((1 - share) / 2 + share * (i + 0.5) / n);
  };
  for (int y = 0; y < n; ++y) {
    for (int x = 0; x < n; ++x) {
      // The mean over the sample, by many points.
      const double w = in.width * share / n, h = in.height * share / n;
      double sum = 0;
      for (int k = 0; k < 64; ++k) {
        const double u = cut(x, in.width) + w * ((k % 8 + 0.5) / 8 - 0.5);
        const double v = cut(y, in.height) + h * ((k / 8 + 0.5) / 8 - 0.5);
        sum += in.at(std::min(in.width - 1, int(u)), std::min(in.height - 1, int(v)));
      }
      samples.push_back(sum / 64);
    }
  }
  std::vector<double> out;
  for (int j = 1; j <= waves; ++j) {
    for (int k = 1; k <= waves; ++k) {
      double sum = 0;
      for (int y = 0; y < n; ++y) {
        for (int x = 0; x < n; ++x) {
          sum += samples[static_cast<size_t>(y * n + x)] * std::cos(M_PI / n * j * (y + 0.5)) *
                 std::cos(M_PI / n * k * (x + 0.5));
        }
      }
      out.push_back(sum);
    }
  }
  auto sorted = out;
  std::nth_element(sorted.begin(), sorted.begin() + 127, sorted.end());
  Pdq bits{};
  for (size_t k = 0; k < out.size(); ++k) {
    if (out[k] > sorted[127]) bits[31 - k / 8] |= static_cast<uint8_t>(1u << (k % 8));
  }
  return bits;
}

TEST(Looks, AreWavesOfParts) {
  for (const auto& [width, height] : {std::pair{192, 108}, {108, 192}, {191, 143}, {96, 96}}) {
    for (const bool by_column : {true, false}) {
      const Grey picture = scene(width, height);
      Looks looks;
      const auto& taken = looks.take(small_of(picture, by_column), {});
      EXPECT_LE(distance(taken.kept[kept_all].bits, plain(picture, 1)), 20) << width;
      EXPECT_LE(distance(taken.kept[kept_middle_80].bits, plain(picture, 0.8)), 20) << width;
      EXPECT_LE(distance(taken.insets[0].bits, plain(picture, 0.5)), 20) << width;
      EXPECT_GE(distance(taken.kept[kept_middle_70].bits, plain(picture, 1)), 40) << width;
      EXPECT_GT(taken.kept[kept_all].quality, kFeatureless);
    }
  }
}

TEST(Looks, TurnsAreThoseOfTheTurnedPicture) {
  const Grey picture = scene(192, 108);
  Looks looks;
  const Looks::Taken asked = looks.take(small_of(picture, true), {.insets = false});
  for (unsigned turn = 0; turn < kTurns; ++turn) {
    Looks of_turned;
    const auto& taken = of_turned.take(small_of(turned_picture(picture, turn), true), {});
    EXPECT_LE(distance(asked.turns[turn].bits, taken.kept[kept_all].bits), 8) << turn;
    // Of what was kept, without the picture.
    const Pdq made = turned(asked.kept[kept_all].bits, static_cast<Turn>(turn));
    EXPECT_LE(distance(made, taken.kept[kept_all].bits), 12) << turn;
  }
}

TEST(Looks, LeaveBordersOut) {
  const Grey picture = scene(192, 108);
  Grey boxed{192, 144, std::vector<uint8_t>(size_t{192} * 144, 16)};
  std::copy(picture.pixels.begin(), picture.pixels.end(), boxed.pixels.begin() + 192 * 18);
  Looks a, b;
  const Pdq alone = a.take(small_of(picture, true), {}).kept[kept_all].bits;
  EXPECT_LE(distance(alone, b.take(small_of(boxed, true), {}).kept[kept_all].bits), 20);
}

TEST(Looks, AreTheSameOnEveryProcessor) {
  for (const auto& [width, height] : {std::pair{192, 108}, {61, 192}}) {
    const auto small = small_of(scene(width, height), true);
    const Looks::Taken first = Looks().take(small, {});
    for (const std::string& target : kernels::targets()) {
      kernels::use_target(target);
      Looks looks;
      for (const bool again : {false, true}) {  // buffers are kept
        const Looks::Taken& taken = looks.take(small, {});
        for (size_t i = 0; i < kKeptLooks; ++i) {
          EXPECT_EQ(taken.kept[i].bits, first.kept[i].bits) << target << i << again;
          EXPECT_EQ(taken.kept[i].quality, first.kept[i].quality) << target << i;
        }
        for (size_t i = 0; i < kTurns; ++i) {
          EXPECT_EQ(taken.turns[i].bits, first.turns[i].bits) << target << i << again;
        }
        for (size_t i = 0; i < kInsets; ++i) {
          EXPECT_EQ(taken.insets[i].bits, first.insets[i].bits) << target << i << again;
        }
      }
    }
    kernels::use_target("");
  }
}

TEST(Looks, SeeNothingInFlatAndTinyPictures) {
  Looks looks;
  Grey flat{192, 108, std::vector<uint8_t>(size_t{192} * 108, 90)};
  EXPECT_EQ(looks.take(small_of(flat, true), {}).kept[kept_all].quality, 0);
  for (const auto& [width, height] : {std::pair{1, 1}, {4, 300}, {300, 2}, {7, 7}}) {
    const auto& taken = looks.take(small_of(scene(width, height), true), {});
    EXPECT_EQ(taken.kept[kept_all].quality, 0) << width;
    EXPECT_EQ(taken.insets.back().quality, 0) << width;
  }
}

TEST(Parts, LowerMedianIsThatOfSorting) {
  uint32_t random = 1;
  const auto next = [&] { return random = random * 1664525U + 1013904223U; };
  for (int kind = 0; kind < 600; ++kind) {
    kernels::PartWaves waves;
    for (int32_t& value : waves) {
      const auto any = static_cast<int32_t>(next());
      value = kind % 6 == 0   ? any
              : kind % 6 == 1 ? any >> (next() >> 27)           // in a heap around zero
              : kind % 6 == 2 ? any % 3                         // hardly any different ones
              : kind % 6 == 3 ? (any < 0 ? INT32_MIN : any)     // half of them at the end
              : kind % 6 == 4 ? (any % 8 == 0 ? INT32_MAX : 7)  // few others
                              : kind;
    }
    auto sorted = waves;
    std::sort(sorted.begin(), sorted.end());
    ASSERT_EQ(kernels::lower_median(waves), sorted[127]) << kind;
  }
}

}  // namespace
}  // namespace cleared::curate
