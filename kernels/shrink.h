// A plane of samples made smaller by a whole factor: each output pixel is the mean of a square,
// rounded to the nearest. Enough for what is measured of a picture, and far cheaper than a
// scaler. Pure; safe from any thread. Sizes are the caller's to check.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace cleared::kernels {

struct Shrink {
  const uint8_t* plane;  // top left sample
  ptrdiff_t stride;      // bytes from row to row
  int width, height;     // of the output: the plane has `factor` times as many samples each way
  int factor;            // [1, 64]
  int bytes;             // of a sample: 1, or 2 little-endian
  int depth;             // bits of a sample that count, from 8 to 16
  int black, white;      // of the input, at 8 bits: become 0 and 255, what is beyond is clipped
  uint8_t* out;          // width x height, without gaps
};

// `sums` grows as needed and may be kept between calls.
void shrink(const Shrink& op, std::vector<uint32_t>& sums);

}  // namespace cleared::kernels
