#include "curate/places.h"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

namespace cleared::curate {
namespace {

using Part = Looks::Part;

// Luma at a point of the whole picture, both from 0 to 1.
double world(double u, double v, int time) {
  double value = 110 + 40 * std::sin(9 * u + 2 * v) + 30 * std::cos(14 * v - 5 * u * u);
  value += std::hypot(u - 0.3 - 0.05 * time, v - 0.6) < 0.17 ? 60 : 0;
  value -= std::abs(u - 0.7) + std::abs(v - 0.3 - 0.04 * time) < 0.2 ? 70 : 0;
  return std::clamp(value + 12 * std::sin(40 * u) * std::cos(33 * v), 0.0, 255.0);
}

kernels::SmallLuma picture(const Part& crop, bool mirrored, int time) {
  kernels::SmallLuma out{
      .lines = 144, .places = 192, .stride = 192, .by_column = false, .pixels = {}};
  for (int y = 0; y < out.lines; ++y) {
    for (int x = 0; x < out.places; ++x) {
      double u = (x + 0.5) / out.places;
      if (mirrored) u = 1 - u;
      const double v = (y + 0.5) / out.lines;
      out.pixels.push_back(
          static_cast<uint8_t>(world(crop.x + u * crop.width, crop.y + v * crop.height, time)));
    }
  }
  out.pixels.resize(out.pixels.size() + 64);
  return out;
}

Squares squares_of_crop(const Part& crop, bool mirrored) {
  Squares out;
  Looks looks;
  for (int time = 0; time < 4; ++time) {
    const kernels::SmallLuma small = picture(crop, mirrored, time);
    looks.take(small, {.turns = false, .insets = false});
    EXPECT_TRUE(looks.square(small, out.luma));
    out.pts_us.push_back(static_cast<uint64_t>(time) * kLookUs);
  }
  return out;
}

// The square is the picture: PDQ of all of it is what the look says.
TEST(Places, AreInASquareThatIsThePicture) {
  const Part all{0, 0, 1, 1};
  Looks looks;
  const auto& taken = looks.take(picture(all, false, 2), {});
  const Squares squares = squares_of_crop(all, false);
  PlacePrinter printer;
  printer.open(squares, 2);
  EXPECT_LE(distance(printer.print(all, false).bits, taken.kept[kept_all].bits), 8);
  EXPECT_LE(distance(printer.print(all, true).bits, taken.turns[1].bits), 8);
  EXPECT_LE(
      distance(printer.print({0.1, 0.1, 0.8, 0.8}, false).bits, taken.kept[kept_middle_80].bits),
      10);
  std::vector<Fingerprint> prints;
  printer.print_all(prints);
  ASSERT_EQ(prints.size(), places().size());
  for (const size_t i : {size_t{0}, size_t{1}, prints.size() / 2, prints.size() - 1}) {
    EXPECT_EQ(prints[i].bits, printer.print(places()[i].part, places()[i].mirrored).bits);
  }
}

// Of a picture that was cropped anywhere some place is roughly right, and moved until it fits.
TEST(Places, AreFoundAndFitted) {
  Looks looks;
  const Looks::Taken kept = looks.take(picture({0, 0, 1, 1}, false, 2), {});
  for (const Part& crop :
       {Part{0.1, 0.1, 0.9, 0.9}, Part{0, 0, 0.8, 0.8}, Part{0.11, 0.03, 0.85, 0.85},
        Part{0.07, 0.2, 0.75, 0.75}, Part{0.15, 0, 0.85, 1}, Part{0, 0, 1, 0.82},
        Part{0.03, 0.11, 0.87, 0.87}}) {
    for (const bool mirrored : {false, true}) {
      const Squares squares = squares_of_crop(crop, mirrored);
      PlacePrinter printer;
      printer.open(squares, 2);
      std::vector<Fingerprint> prints;
      printer.print_all(prints);
      int best = 256;
      KeptPlace place{};
      for (size_t i = 0; i < prints.size(); ++i) {
        const int bits = distance(prints[i].bits, kept.kept[places()[i].kept].bits);
        if (bits < best) place = places()[i];
        best = std::min(best, bits);
      }
      EXPECT_EQ(place.mirrored, mirrored);
      EXPECT_LE(best, 66) << crop.x << ' ' << crop.y << ' ' << crop.width;
      const Pdq& of = kept.kept[place.kept].bits;
      // Where none of the kept parts is whole in the crop what is made up beyond it costs bits.
      const int most = std::min(crop.width, crop.height) > 0.8 ? 28 : 40;
      EXPECT_LE(fit(squares, {{2, of}}, place), most)
          << crop.x << ' ' << crop.y << ' ' << crop.width;
      EXPECT_LE(distance(track_at(squares, place).prints[2].bits, of), most);
    }
  }
}

// A bar that does not end with the picture, as where a filter rounds: it is one all the same.
TEST(Places, AreInASquareWithoutABarThatLeavesARim) {
  const Part above{0, 0, 1, 0.8125};
  kernels::SmallLuma barred = picture({0, 0, 1, 1}, false, 2);
  const int first = 117, rim = barred.lines - 2;
  std::fill(barred.pixels.begin() + first * barred.stride,
            barred.pixels.begin() + rim * barred.stride, uint8_t{16});
  Looks looks;
  Squares squares{.pts_us = {0}, .luma = {}, .rough = {}};
  looks.take(barred, {});
  ASSERT_TRUE(looks.square(barred, squares.luma));
  PlacePrinter printer;
  printer.open(squares, 0);
  const Fingerprint cut = printer.print({0, 0, 1, 1}, false);
  const auto& taken = looks.take(picture(above, false, 2), {});
  EXPECT_LE(distance(cut.bits, taken.kept[kept_all].bits), 20);
}

// Where one kept look lies, the others are known to lie.
TEST(Places, OfOtherLooksFollowFromOne) {
  const Part crop{0.1, 0.1, 0.9, 0.9};
  for (const bool mirrored : {false, true}) {
    const auto in_crop = [&](KeptLook look) {
      const Part of = kept_part(look);
      Part out{(of.x - crop.x) / crop.width, (of.y - crop.y) / crop.height, of.width / crop.width,
               of.height / crop.height};
      if (mirrored) out.x = 1 - out.x - out.width;
      return out;
    };
    const KeptPlace beyond{in_crop(kept_middle_85), kept_middle_85, mirrored};
    EXPECT_FALSE(lies_inside(beyond.part));
    std::vector<KeptLook> looks;
    for (const KeptPlace& other : other_looks(beyond)) {
      const Part part = in_crop(other.kept);
      EXPECT_EQ(other.mirrored, mirrored);
      EXPECT_NEAR(other.part.x, part.x, 1e-9);
      EXPECT_NEAR(other.part.y, part.y, 1e-9);
      EXPECT_NEAR(other.part.width, part.width, 1e-9);
      EXPECT_NEAR(other.part.height, part.height, 1e-9);
      looks.push_back(other.kept);
    }
    EXPECT_EQ(looks, (std::vector<KeptLook>{kept_middle_80, kept_middle_75, kept_middle_70}));
  }
}

TEST(Places, AreAskedMoreOftenInAShortFilm) {
  Squares squares;
  const Squares one = squares_of_crop({0, 0, 1, 1}, false);
  for (size_t i = 0; i < 400; ++i) {
    squares.pts_us.push_back(i * kLookUs);
    squares.luma += one.luma.substr(i % 4 * kSquareBytes, kSquareBytes);
  }
  EXPECT_NEAR(double(rough_pictures(squares).size()), 50, 1);
  squares.pts_us.resize(20);
  squares.luma.resize(20 * kSquareBytes);
  EXPECT_NEAR(double(rough_pictures(squares).size()), 16, 1);
  EXPECT_TRUE(rough_pictures({}).empty());
}

}  // namespace
}  // namespace cleared::curate
