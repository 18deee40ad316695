// Finds footage that the ledger has already: the same pictures in the same order, whatever became
// of their size, encoding and length. One thread.
//
// Two frames look alike when their fingerprints differ in at most 31 bits; curate/search.h finds
// every such pair. Alike frames vote for an offset between two sources; along the best offset, the
// frames of both are then compared one by one.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "curate/pdq.h"
#include "curate/search.h"
#include "ledger/base/bytes.h"

namespace cleared::curate {

class Duplicates;

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
  void add(Footage footage);
  // The longest common run with each earlier source; the longest first. A source is never compared
  // with itself. Featureless frames (PDQ quality below 50) neither match nor speak against a match.
  std::vector<Match> find(const Footage& footage, const Duplicates& rules) const;

  const Footage& footage(size_t index) const { return footage_[index]; }

 private:
  struct Entry {
    uint32_t footage = 0, frame = 0;
  };
  std::vector<Footage> footage_;
  std::vector<Entry> entries_;  // by position in frames_
  SearchIndex frames_;
};

}  // namespace cleared::curate
