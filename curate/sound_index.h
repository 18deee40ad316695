// Whose sound is this? Chromaprint items of many sources in memory, 8 bytes an item, some 64 a
// second. Items of two sources that are equal vote for how far one is behind the other, as in
// curate/align.h; along the shifts with most votes the run whose bits agree best is taken, and then
// the next best beside it. The speed is the same: played faster, sound has other items.
//
// Music that repeats itself may be found at another of its repetitions. Reading is safe from any
// thread; everything else is not.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace cleared::curate {

struct SoundRun {
  size_t source = 0;
  size_t at = 0, of = 0, count = 0;  // items of ours and of the source
  double agreement = 0;              // share of equal bits, [0, 1]
};

class SoundIndex {
 public:
  void add(std::vector<uint32_t> items);  // of the next source; may be empty
  // The runs with each source, of `least` items or more, the best one first; each has items of ours
  // or of the source that no better one has. Never one that is silent or a tone: at least a quarter
  // of its items have to differ from one another.
  std::vector<SoundRun> find(std::span<const uint32_t> items, size_t least) const;

  const std::vector<uint32_t>& of(size_t source) const { return sounds_[source]; }

 private:
  struct Entry {
    uint32_t item, id;  // counted over all sources
    auto operator<=>(const Entry&) const = default;
  };
  std::vector<std::vector<uint32_t>> sounds_;
  std::vector<uint32_t> ends_;          // of each source, as ids
  std::vector<Entry> entries_, fresh_;  // both in order; the few of the newest sources apart
};

}  // namespace cleared::curate
