// The inner loops of looking for fingerprints (curate/search.h, train/guard.h), compiled once for
// each instruction set and picked when the program runs. Pure; safe from any thread. Sizes are the
// caller's to check.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cleared::kernels {

// What a list of the index says of one fingerprint.
struct Listed {
  uint32_t sketch[3];  // the six chunks after the list's own
  uint32_t id;         // position in the run
};
static_assert(sizeof(Listed) == 16);

struct Hit {
  uint32_t id;
  int32_t distance;
};

// Of the `count` entries of a list those within `radius` bits of `query` (4 words). `sketch` is the
// query's own; `prints` has the fingerprints by position, 4 words each, `size` of them: an id that
// is not below it is skipped. `hits` has room for `count`. Returns how many.
size_t hits_of_list(const Listed* list, size_t count, const uint32_t* sketch, const uint64_t* query,
                    const uint64_t* prints, size_t size, int radius, Hit* hits);

// Bits that differ between two fingerprints of 32 bytes.
int bits_between(const uint8_t* a, const uint8_t* b);

struct NearestPrint {
  size_t at;     // position, the first of several
  int distance;  // bits
};
// Of `count` fingerprints of 32 bytes, one behind the other, that which is nearest to `query`.
NearestPrint nearest_print(const uint8_t* query, const uint8_t* prints, size_t count);

inline constexpr size_t kBlock = 8;  // fingerprints of a block, two words each: [2][8]

// Numbers of the blocks in which some fingerprint may be within `radius` bits of `query`, judged by
// its first two words: every block that has one, and seldom another while the radius is below 32.
// `hits` has room for `blocks`. Returns how many.
size_t blocks_with_hits(const uint64_t* query, const uint64_t* words, size_t blocks, int radius,
                        uint32_t* hits);

}  // namespace cleared::kernels
