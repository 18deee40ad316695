// Every fingerprint within 31 bits of a query, and never one less: multi-index hashing for single
// queries, blocked brute force for batches. Norouzi, Punjani and Fleet, "Fast exact search in
// Hamming space with multi-index hashing", 2014, with chunks of different radius.
//
// The 256 bits are cut into 11 chunks; chunk i is looked up with up to t_i bits changed, t = 2 for
// ten of them and 1 for the last. Nothing is missed: a fingerprint that no look-up finds differs in
// at least t_i + 1 bits of every chunk, so in at least 10 * 3 + 2 = 32 bits. Everything found is
// then compared in full, so nothing is added either.
//
// Reading is safe from any thread; add() is not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "curate/pdq.h"

namespace cleared::curate {

inline constexpr int kAlike = 31;  // bits of 256

struct Near {
  uint32_t id = 0;   // position in order of add(), or in `base`
  int distance = 0;  // bits, [0, kAlike]
  bool operator==(const Near&) const = default;
};

// A fixed set. About 80 to 120 bytes a fingerprint above 100,000 of them, itself included.
class SearchRun {
 public:
  explicit SearchRun(std::vector<Pdq> prints);
  // Appends what is near, positions counted from `first`, ascending.
  void near(const Pdq& query, uint32_t first, std::vector<Near>& out) const;
  const std::vector<Pdq>& prints() const { return prints_; }
  uint64_t size_bytes() const;

 private:
  struct Chunk {
    int bit = 0, width = 0, shift = 0;  // bits [bit, bit + width); its bucket is key >> shift
    std::vector<uint64_t> present;      // one bit for each key of the chunk, folded for small runs
    std::vector<uint32_t> begin;        // of each bucket in `order`, and the end
    std::vector<uint32_t> order;        // positions, by bucket
  };
  uint32_t folded(const Chunk& chunk, uint32_t key) const;

  std::vector<Pdq> prints_;
  std::vector<Chunk> chunks_;
};

// A growing set: a tail that is compared one by one, and runs of which two neighbours of about the
// same size are merged, so that n calls of add() cost O(n log n).
class SearchIndex {
 public:
  void add(const Pdq& print);
  void near(const Pdq& query, std::vector<Near>& out) const;  // replaces `out`; ids ascending
  size_t size() const { return sealed_ + tail_.size(); }
  uint64_t size_bytes() const;

 private:
  std::vector<SearchRun> runs_;  // oldest and largest first
  std::vector<Pdq> tail_;
  size_t sealed_ = 0;
};

// Of each query what is near in `base`, ids ascending: every pair is looked at.
std::vector<std::vector<Near>> near_of_all(std::span<const Pdq> queries, std::span<const Pdq> base);

}  // namespace cleared::curate
