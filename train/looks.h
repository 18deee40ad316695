// Perceptual fingerprints of frames that are in memory, to compare what a model makes with what it
// saw. The same arithmetic as the fingerprints of `curate` (kernels/pdq.h), on small RGB frames.
// Pure; any thread.
#pragma once

#include <bitset>
#include <cstdint>
#include <span>

namespace cleared::train {

using Look = std::bitset<256>;

// `rgb` is height x width x 3; sides at least 5.
Look look_of(std::span<const uint8_t> rgb, int width, int height);

// Bits that differ.
inline uint32_t distance(const Look& a, const Look& b) {
  return static_cast<uint32_t>((a ^ b).count());
}

}  // namespace cleared::train
