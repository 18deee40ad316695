// The inner loop of near_of_all(), compiled once for each instruction set and picked when it runs.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cleared::curate {

inline constexpr size_t kBlock = 8;  // fingerprints of a block, their words side by side: [4][8]

// Numbers of the blocks in which some fingerprint may be within `radius` bits of `query`: every
// block that has one, and seldom another. `hits` has room for `blocks`. Returns how many.
size_t blocks_with_hits(const uint64_t* query, const uint64_t* words, size_t blocks, int radius,
                        uint32_t* hits);

}  // namespace cleared::curate
