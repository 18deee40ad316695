#include "curate/insets.h"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace cleared::curate
