// Perceptual fingerprints of frames that are in memory, to compare what a model makes with what it
// saw. The same arithmetic as the fingerprints of `curate` (kernels/pdq.h), on small RGB frames.
// Pure; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/pdq.h"

namespace cleared::train {

using Look = std::array<uint8_t, 32>;

// Of each of the frames behind one another, laid down eight ways (kernels::pdq_turn), the first as
// it is. `rgb` is frames x height x width x 3; sides at least 5.
using TurnedLooks = std::array<Look, kernels::kPdqTurns>;
std::vector<TurnedLooks> turned_looks(std::span<const uint8_t> rgb, int width, int height);

struct NearestLook {
  uint32_t distance = 257;  // bits that differ; random pairs lie around 128
  size_t frame = 0;         // of those that were looked at
  size_t known = 0;         // which of the known
};
// The nearest that a frame, whichever way it is laid down, comes to one of `known`; the first of
// several.
NearestLook nearest_look(std::span<const TurnedLooks> frames, std::span<const Look> known);

}  // namespace cleared::train
