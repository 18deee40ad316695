// Cosine waves of many parts of one small picture (curate/looks.h): what PDQ (kernels/pdq.h) makes
// of a part stretched to kPdqSide x kPdqSide samples. Stretching and waves are both linear and
// separable, so each is one weighted sum along the lines and one across them, and parts that share
// a range along the lines share the first sum. Whole numbers, so the result is the same to the bit
// on every processor. Pure; safe from any thread. Sizes are the caller's to check.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "kernels/luma.h"

namespace cleared::kernels {

// Luma less 128, [line][place]; lines and places beyond the picture are zeros.
struct PartPicture {
  int lines = 0, places = 0, stride = 0;
  std::vector<int16_t> pixels;
};
void widen(const SmallLuma& in, PartPicture& out);
void halve(const SmallLuma& in, PartPicture& out);  // means of 2 x 2; an odd last one is left out

// The kPdqWaves waves over the samples of a range of lines or of places.
struct PartAxis {
  int first = 0, pairs = 0;      // two at a time, from an even one on
  std::vector<int16_t> weights;  // [pair][wave][2]
};
PartAxis part_axis(double start, double end, int size);

using PartWaves = std::array<int32_t, size_t{kPdqWaves} * kPdqWaves>;

// Sums along the lines [first, first + 4 * n): `out` gets [n * 2][wave], two lines in one number.
void waves_along(const PartPicture& in, int first, int n, const PartAxis& axis, int32_t* out);
// Then across, from the line `first` of `along` on: [wave across][wave along].
PartWaves waves_across(const int32_t* along, int first, const PartAxis& axis);

int32_t lower_median(const PartWaves& waves);

// As PDQ writes them: the bit of the first wave is the lowest of the last byte.
struct WaveBits {
  std::array<uint8_t, 32> bits;  // which waves are above `limit`
  int64_t sum;                   // of all waves, without their signs
};
WaveBits bits_above(const PartWaves& waves, int32_t limit);

}  // namespace cleared::kernels
