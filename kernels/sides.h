// Sides of things in a small picture: steps of brightness between two neighbouring lines, or
// between two neighbouring places, that last from picture to picture (curate/insets.h looks for
// rectangles of them). Whole numbers: the same on every processor. A picture has at most 255 lines
// and places (kSmallPixels are fewer), and 64 readable bytes behind its last line.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/luma.h"

namespace cleared::kernels {

inline constexpr int kSideStep = 7;      // of luma from pixel to pixel: less is no step
inline constexpr int kSideLasting = 90;  // a step now, or one in each of the two pictures before
inline constexpr int kSideGap = 3;       // places without a step that a side may have in a row

// Keeps from picture to picture what lasts; pictures of another shape begin anew.
struct Sides {
  int lines = 0, places = 0;
  int words = 0;                 // of each line's bits; its bytes are 64 a word
  std::vector<uint8_t> lasting;  // [line][place]: 255 for a step, and half of what was there before
  std::vector<uint64_t> steps;   // [line][place], a bit each
  std::vector<int> length;       // of the longest side there

  bool step(int line, int place) const {
    return steps[static_cast<size_t>(line * words + place / 64)] >> place % 64 & 1;
  }
};

// steps[l][p]: between [l - 1][p] and [l][p]; none in the first line. length[l].
void sides_between_lines(const SmallLuma& small, Sides& out);
// steps[l][p]: between [l][p] and [l][p + 1]; behind those there may be anything. length[p] of the
// side before place p; none before the first.
void sides_between_places(const SmallLuma& small, Sides& out);

}  // namespace cleared::kernels
