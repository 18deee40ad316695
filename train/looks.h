// Perceptual fingerprints of frames that are in memory, to compare what a model makes with what it
// saw. The same arithmetic as the fingerprints of `curate` (kernels/pdq.h), on small RGB frames.
// Pure; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/pdq.h"
#include "kernels/search_block.h"

namespace cleared::train {

using Look = std::array<uint8_t, 32>;

// `rgb` is height x width x 3; sides at least 5.
Look look_of(std::span<const uint8_t> rgb, int width, int height);

// To compare with what `curate` recorded of pictures of any size: of each of the frames behind one
// another, laid down eight ways (kernels::pdq_turn), the first as it is.
using TurnedLooks = std::array<Look, kernels::kPdqTurns>;
std::vector<TurnedLooks> turned_looks(std::span<const uint8_t> rgb, int width, int height);

// Bits that differ.
inline uint32_t distance(const Look& a, const Look& b) {
  return static_cast<uint32_t>(kernels::bits_between(a.data(), b.data()));
}

}  // namespace cleared::train
