// Where a picture may lie inside of this one: rectangles, wherever and however large, whose sides
// are steps of brightness or the picture's own. What is found needs no picture in it: it is asked
// about (curate/looks.h), and costs a question. One object per thread.
#pragma once

#include <array>
#include <vector>

#include "kernels/luma.h"

namespace cleared::curate {

struct InsetBox {  // in lines and places of the small picture
  double line = 0, line_end = 0, place = 0, place_end = 0;
  bool operator==(const InsetBox&) const = default;
  bool empty() const { return line == line_end; }
};

inline constexpr size_t kFoundInsets = 4;

class InsetFinder {
 public:
  // The best of this picture. One that was in the picture before keeps its number, so that each
  // number is a series in time; numbers without one are empty.
  const std::array<InsetBox, kFoundInsets>& find(const kernels::SmallLuma& small);

 private:
  // Steps between two neighbouring lines, or places, that are one side of something.
  struct Steps {
    int count = 0, along = 0;  // lines, places; or the other way round
    std::vector<uint8_t>
        lasting;  // [line][place]: 255 for a step, and half of what was there before
    std::vector<uint16_t> until;  // [line][place]: steps from line - 1 to line before place
    std::vector<int> best;        // lines with the longest sides, and the two ends
    void sum(const kernels::SmallLuma& small, bool across_lines);
    double share(int line, int from, int to) const;
  };
  struct Found {
    InsetBox box;
    double score;
  };
  void consider(int top, int bottom, int left, int right, std::vector<Found>& found) const;

  Steps lines_, places_;
  std::array<InsetBox, kFoundInsets> boxes_;
};

}  // namespace cleared::curate
