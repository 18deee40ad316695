// Finds footage that the ledger has already: the same pictures in the same order, whatever became
// of their size, encoding and length. One thread.
//
// Two frames look alike when their fingerprints differ in at most 31 bits. The index finds every
// such pair: of the 16 words of 16 bits at least one differs in at most one bit (pigeonhole), so 16
// x 17 look-ups cover the ball. Norouzi, Punjani and Fleet, "Fast exact search in Hamming space
// with multi-index hashing", 2014. Alike frames vote for an offset between two sources; along the
// best offset, the frames of both are then compared one by one.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "curate/pdq.h"
#include "ledger/base/bytes.h"

namespace cleared::curate {

class Duplicates;

inline constexpr int kAlike = 31;  // bits of 256

// Everything of a source that is compared.
struct Footage {
  Digest digest;
  std::vector<uint64_t> pts_us;  // increasing
  std::vector<Fingerprint> prints;
  std::vector<uint32_t> sound;  // Chromaprint items; may be empty
};

// A span that two sources have in common.
struct Match {
  size_t of = 0;                            // index of the earlier source, in order of add()
  uint64_t start_us = 0, end_us = 0;        // in the later one
  uint64_t of_start_us = 0, of_end_us = 0;  // in the earlier one
  double distance = 0;                      // mean over the aligned frames, of 256 bits
  double audio_match = -1;                  // as sound_match()
};

class DuplicateIndex {
 public:
  DuplicateIndex();
  void add(Footage footage);
  // The longest common run with each earlier source; the longest first. A source is never compared
  // with itself. Featureless frames (PDQ quality below 50) neither match nor speak against a match.
  std::vector<Match> find(const Footage& footage, const Duplicates& rules) const;

  const Footage& footage(size_t index) const { return footage_[index]; }

 private:
  static constexpr size_t kWords = 16;
  struct Entry {
    uint32_t footage = 0, frame = 0;
  };
  template <class Visit>
  void alike(const Pdq& bits, const Visit& visit) const;

  std::vector<Footage> footage_;
  std::vector<Entry> entries_;
  // Chains of entries with the same word: the newest entry, and for each entry the one before it.
  std::vector<uint32_t> newest_;                      // [word][value]
  std::vector<std::array<uint32_t, kWords>> before_;  // [entry][word]
};

}  // namespace cleared::curate
