// Are two series of fingerprints the same pictures in the same order, and when? Pure; safe from any
// thread.
//
// A copy plays at some speed from some moment on: of-time = speed * time + offset. Pairs of
// fingerprints that are alike vote for such lines; along each line that many vote for, the stretch
// that agrees best is taken. What was cut apart or put into another order has several: each time
// what was found is set aside, and Alignment finds the next.
//
// Agreement alone is no evidence: two takes of one room agree all the time, and so does a title
// card with itself. What counts is that a picture agrees with the one at its moment better than
// with the others of the stretch: its distance is compared with the median of its distances to them
// all. The difference, in units of the spread that unlike pictures have, is the weight of a
// picture; a still, black or featureless stretch has none, however long.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "curate/pdq.h"

namespace cleared::curate {

struct Track {
  std::vector<uint64_t> pts_us;  // increasing
  std::vector<Fingerprint> prints;
};

// Pictures of two sources are of one moment when they are no further apart.
inline constexpr uint64_t kNearUs = 140'000;

// From one picture to the next, on average; 0: there are none.
uint64_t frame_us(const std::vector<uint64_t>& pts_us);

struct Vote {
  uint32_t at = 0, of = 0;  // positions in the two tracks
};

struct Stretch {
  uint64_t start_us = 0, end_us = 0, of_start_us = 0, of_end_us = 0;  // first and last picture
  double speed = 1;     // seconds of `of` that pass in one of ours
  double distance = 0;  // mean, of 256 bits
  double weight = 0;    // mean over the pictures, in spreads; above about 1 it is no chance
  double likeness = 0;  // [-1, 1] correlation of who is like whom in the copy and in the original
  size_t pictures = 0;
  double score = 0;  // agreement times seconds of ours: for stretches of one pair of sources
};

// Seconds of one source, in parts that neither touch nor overlap.
class Seconds {
 public:
  void add(uint64_t start_us, uint64_t end_us);
  bool has(uint64_t us) const;  // both ends belong to a part
  uint64_t length_us(uint64_t start_us = 0, uint64_t end_us = UINT64_MAX) const;  // between these
  bool empty() const { return end_of_.empty(); }

 private:
  std::map<uint64_t, uint64_t> end_of_;  // by start
};

// What nobody need look at again.
class Aside {
 public:
  // The same: a pair of pictures still counts where one of the two is in no such stretch.
  void put_found(const Stretch& stretch);
  // No copy: its seconds of the one with its seconds of the other.
  void put_refused(const Stretch& stretch) { refused_.push_back(stretch); }
  bool empty() const { return ours_.empty() && refused_.empty(); }
  bool has(uint64_t us, uint64_t of_us) const;

 private:
  Seconds ours_, theirs_;
  std::vector<Stretch> refused_;
};

// The pictures of the two from `start_us` to `end_us`, however much they differ, where it is known
// from elsewhere that `of` is `offset_us` later, at the same speed. Nothing without pictures.
std::optional<Stretch> compare(const Track& track, const Track& of, double offset_us,
                               uint64_t start_us, uint64_t end_us, const Aside& aside);

// What two tracks have in common, stretch by stretch. The tracks have to stay. What is found or
// refused is set aside and costs no more than what it touches: the lines are counted and followed
// once, and again only where a stretch of theirs lost pictures. One thread.
class Alignment {
 public:
  // In order of `at`.
  Alignment(const Track& track, const Track& of, std::vector<Vote> votes);
  // The best stretch beside what is set aside, or nothing when no two pictures are alike.
  std::optional<Stretch> best();
  // True when fewer pictures vote now.
  bool put_found(const Stretch& stretch);
  bool put_refused(const Stretch& stretch);

 private:
  // The best of one line.
  struct BinStretch {
    double offset_us = 0, score = 0;
    uint64_t start_us = 0, end_us = 0, of_start_us = 0, of_end_us = 0;
    bool known = false;
  };
  // Three lines, half a bin apart, and how many pictures vote for them.
  struct Bin {
    int64_t bin = 0;
    uint32_t pictures = 0;
    std::vector<BinStretch> stretches = {};  // none: it was never asked
  };
  struct Lines {
    double speed = 1;
    std::vector<Bin> bins;                               // in order
    std::vector<std::pair<uint32_t, uint32_t>> popular;  // heap: pictures, place in `bins`
    std::vector<size_t> asked = {};                      // places
  };
  int64_t bin(const Vote& vote, double speed) const;
  Lines make_lines(double speed) const;
  static std::vector<size_t> most_popular(Lines& lines);
  bool forget(const Stretch& stretch);
  void count(uint32_t vote, int change);

  const Track &track_, &of_;
  std::vector<Vote> votes_;
  std::vector<bool> gone_;       // of the votes
  std::vector<uint32_t> by_of_;  // the votes in order of `of`
  std::vector<Lines> lines_;     // by speed
  Aside aside_;
};

}  // namespace cleared::curate
