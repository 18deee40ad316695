// A boosted cascade of multi-block local binary patterns (curate/faces.h), asked about windows side
// by side at once. Sums of floats are in one order, so every processor gives the same answer;
// vectors of whatever width it has, chosen when the program runs. Pure; safe from any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace cleared::kernels {

struct Cascade {
  struct Stump {
    // Where the 4 x 4 corners of the 3 x 3 blocks lie in the sums, from the window on: corner
    // (i, j) at down[i] + right[j].
    std::array<ptrdiff_t, 4> down, right;
    // What it adds, of 256 patterns: which blocks around the middle one are at least as bright,
    // from the upper left clockwise, the first in the highest bit.
    const float* leaf;
  };
  struct Stage {
    size_t end;  // its stumps follow those of the stage before, up to here
    float threshold;
  };
  std::vector<Stump> stumps;
  std::vector<Stage> stages;
};
inline constexpr size_t kCascadeRoom = 16;  // sums are read so many places beyond the last window

// found[i] = 1 when the window that begins at sums[i] passes every stage. Sums of all pixels above
// and to the left, below 2^31.
void cascade_windows(const Cascade& cascade, const uint32_t* sums, size_t count, uint8_t* found);

}  // namespace cleared::kernels
