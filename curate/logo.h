// A logo burnt into a corner: its lines stay where they are while everything else moves. Lines that
// point the same way in many pictures of moving footage add up, all others cancel out (Dekel and
// others, "On the effectiveness of visible watermarks", 2017, find watermarks so). Works on the
// second picture of kernels/luma.h. One object per thread and source.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/luma.h"

namespace cleared::curate {

inline constexpr uint64_t kLogoUs = 500'000;           // how often a picture is looked at
inline constexpr uint64_t kLogoWindowUs = 30'000'000;  // a logo has to stay for most of one

// Where, as shares of the upright picture.
struct LogoPlace {
  uint64_t start_us = 0, end_us = 0;
  double left = 0, top = 0, right = 0, bottom = 0;
  float still = 0;  // [0, 1], how much its lines agree
};

class LogoFinder {
 public:
  // Pictures in order, about kLogoUs apart. Bars are no logo: nothing is looked for in `black`
  // shares of the picture at its left, top, right and bottom.
  void take(uint64_t pts_us, const kernels::SmallLuma& small, const double (&black)[4]);
  // Places in order of start, at most four at a time.
  std::vector<LogoPlace> finish(uint64_t end_us);

 private:
  struct Window {
    uint64_t start_us = 0;
    int pictures = 0;
    double black[4] = {1, 1, 1, 1};           // the least that was seen
    std::vector<int32_t> along, across, all;  // sums of slopes, and of their sizes
  };
  struct Still;
  struct Patch {
    int from_x = 0, from_y = 0, to_x = 0, to_y = 0, pixels = 0;
    double agreement = 0;  // sum over its pixels
  };
  static Patch largest_patch(const Still& still, int left, int top);
  void end_window(uint64_t end_us);
  void add_place(const Still& still, int corner, uint64_t end_us);
  bool moved(const kernels::SmallLuma& small) const;

  kernels::SmallLuma last_;
  Window window_;
  std::vector<LogoPlace> places_;
};

}  // namespace cleared::curate
