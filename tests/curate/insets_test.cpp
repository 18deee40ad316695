#include "curate/insets.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include <gtest/gtest.h>

#include "kernels/sides.h"
#include "kernels/targets.h"
#include "tests/curate/media.h"

namespace cleared::curate {
namespace {

kernels::SmallLuma small_of(const Picture& in, bool by_column) {
  kernels::SmallLuma out;
  out.by_column = by_column;
  out.lines = by_column ? in.width : in.height;
  out.places = by_column ? in.height : in.width;
  out.stride = out.places + 5;
  out.pixels.assign(static_cast<size_t>(out.lines) * static_cast<size_t>(out.stride) + 64, 0);
  for (int y = 0; y < in.height; ++y) {
    for (int x = 0; x < in.width; ++x) {
      const int line = by_column ? x : y, place = by_column ? y : x;
      out.pixels[static_cast<size_t>(line * out.stride + place)] =
          in.pixels[static_cast<size_t>(in.channels * (y * in.width + x))];
    }
  }
  return out;
}

struct Rectangle {
  int x, y, width, height;
};

// Blobs that move, as in a film; in the rectangle other ones.
Picture with_inset(int frame, const Rectangle& at) {
  Picture out = testing::draw(8, frame, 192, 144);
  const auto depth = static_cast<size_t>(out.channels);
  for (int y = 0; y < out.height; ++y) {
    for (int x = 0; x < out.width; ++x) {
      const bool in = x >= at.x && x < at.x + at.width && y >= at.y && y < at.y + at.height;
      const double u = x * (in ? 0.13 : 0.07) + frame * 0.3, v = y * (in ? 0.11 : 0.05);
      const double value = (in ? 150 : 100) + 35 * std::sin(u + 2 * std::cos(v)) +
                           25 * std::cos(v * 1.7 - frame * 0.2);
      std::fill_n(&out.pixels[depth * static_cast<size_t>(y * out.width + x)], depth,
                  static_cast<uint8_t>(value));
    }
  }
  return out;
}

// To the pixel, in the middle and in a corner, and under one number from picture to picture.
TEST(Insets, AreFoundByTheirSides) {
  for (const Rectangle& at : {Rectangle{60, 18, 86, 64}, Rectangle{4, 84, 58, 44},
                              Rectangle{96, 0, 96, 72}, Rectangle{0, 0, 80, 90}}) {
    for (const bool by_column : {true, false}) {
      InsetFinder finder;
      std::array<int, kFoundInsets> seen{};
      for (int frame = 0; frame < 10; ++frame) {
        const auto& boxes = finder.find(small_of(with_inset(frame, at), by_column));
        for (size_t i = 0; i < kFoundInsets; ++i) {
          InsetBox box = boxes[i];
          if (!by_column) box = {box.place, box.place_end, box.line, box.line_end};
          seen[i] += box == InsetBox{double(at.x), double(at.x + at.width), double(at.y),
                                     double(at.y + at.height)};
        }
      }
      EXPECT_GE(*std::max_element(seen.begin(), seen.end()), 5) << at.x << ' ' << by_column;
    }
  }
}

TEST(Insets, AreNotFoundInAFlatOrTinyPicture) {
  for (const auto& [width, height] : {std::pair{192, 108}, {8, 8}, {8, 192}}) {
    Picture flat = testing::draw(1, 0, width, height);
    std::fill(flat.pixels.begin(), flat.pixels.end(), uint8_t{90});
    InsetFinder finder;
    for (const InsetBox& box : finder.find(small_of(flat, true))) EXPECT_TRUE(box.empty());
  }
}

// kernels/sides.h pixel by pixel, of one direction: step (side, at) is between the pixels before
// and behind that side.
struct PlainSides {
  int sides, along;  // sides are numbered from 1
  std::vector<int> lasting = std::vector<int>(static_cast<size_t>(sides * along), 0);
  std::vector<int> length = std::vector<int>(static_cast<size_t>(sides), 0);
  bool step(int side, int at) const {
    return lasting[static_cast<size_t>(side * along + at)] >= kernels::kSideLasting;
  }
  template <class Pixel>
  void take(const Pixel& pixel) {
    for (int side = 1; side < sides; ++side) {
      int most = 0, first = -1, last = -1;  // of the side that goes on
      for (int at = 0; at < along; ++at) {
        int& here = lasting[static_cast<size_t>(side * along + at)];
        const int apart = std::abs(pixel(side, at) - pixel(side - 1, at));
        here = (here + (apart >= kernels::kSideStep ? 255 : 0)) / 2;
        if (!step(side, at)) continue;
        if (last < 0 || at - last > kernels::kSideGap + 1) first = at;
        last = at;
        most = std::max(most, last - first + 1);
      }
      length[static_cast<size_t>(side)] = most;
    }
  }
};

// Blocks that jitter, noise below a step, and nothing: steps of every kind, some that last.
kernels::SmallLuma blocks(int lines, int places, unsigned seed) {
  kernels::SmallLuma out;
  out.lines = lines;
  out.places = places;
  out.stride = places + static_cast<int>(seed % 3);
  out.pixels.assign(static_cast<size_t>(lines) * static_cast<size_t>(out.stride) + 64, 200);
  uint32_t random = seed;
  for (int l = 0; l < lines; ++l) {
    for (int p = 0; p < places; ++p) {
      random = random * 1664525U + 1013904223U;
      const unsigned noise = random >> 24;
      const bool bright = (l / 9 + p / 13) % 2 == 0;
      out.pixels[static_cast<size_t>(l * out.stride + p)] = static_cast<uint8_t>(
          noise < 20 ? noise * 12 : 60 + (bright ? 30 : 0) + (noise % (5 + seed % 5)));
    }
  }
  return out;
}

TEST(Sides, AreThoseOfEveryPixelOnEveryProcessor) {
  for (const auto& [lines, places] : std::vector<std::pair<int, int>>{{1, 1},
                                                                      {1, 9},
                                                                      {2, 2},
                                                                      {7, 192},
                                                                      {192, 108},
                                                                      {108, 192},
                                                                      {61, 64},
                                                                      {64, 65},
                                                                      {129, 128},
                                                                      {255, 255}}) {
    for (const std::string& target : kernels::targets()) {
      kernels::use_target(target);
      kernels::Sides between_lines, between_places;
      PlainSides by_line{lines, places}, by_place{places, lines};
      for (unsigned frame = 0; frame < 4; ++frame) {
        const kernels::SmallLuma small = blocks(lines, places, frame + 1);
        const auto pixel = [&](int line, int place) -> int {
          return small.pixels[static_cast<size_t>(line * small.stride + place)];
        };
        kernels::sides_between_lines(small, between_lines);
        kernels::sides_between_places(small, between_places);
        by_line.take(pixel);
        by_place.take([&](int place, int line) { return pixel(line, place); });
        const std::string where = target + " " + std::to_string(lines) + " x " +
                                  std::to_string(places) + ", " + std::to_string(frame);
        ASSERT_EQ(between_lines.length, by_line.length) << where;
        ASSERT_EQ(between_places.length, by_place.length) << where;
        for (int l = 0; l < lines; ++l) {
          for (int p = 0; p < places; ++p) {
            if (l > 0) {
              ASSERT_EQ(between_lines.step(l, p), by_line.step(l, p)) << where;
            }
            if (p > 0) {
              ASSERT_EQ(between_places.step(l, p - 1), by_place.step(p, l)) << where;
            }
          }
        }
      }
    }
  }
  kernels::use_target("");
}

// A side of every pixel in the largest picture: no count runs over.
TEST(Sides, MayBeAsLongAsThePicture) {
  kernels::SmallLuma small;
  small.lines = small.places = small.stride = 255;
  small.pixels.assign(size_t{255} * 255 + 64, 0);
  for (size_t i = 0; i < size_t{255} * 255; ++i) small.pixels[i] = (i / 255 + i % 255) % 2 * 99;
  kernels::Sides sides;
  kernels::sides_between_lines(small, sides);
  EXPECT_EQ(sides.length[9], 255);
  kernels::Sides others;
  kernels::sides_between_places(small, others);
  EXPECT_EQ(others.length[9], 255);
}

}  // namespace
}  // namespace cleared::curate
