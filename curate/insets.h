// Where a picture may lie inside of this one: rectangles, wherever and however large, whose sides
// are steps of brightness or the picture's own. What is found needs no picture in it: it is asked
// about (curate/looks.h), and costs a question. One object per thread.
#pragma once

#include <array>
#include <vector>

#include "kernels/sides.h"

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
  // Those of one direction.
  struct Steps {
    kernels::Sides sides;
    std::vector<int> best;       // where the longest sides are, and the two ends
    std::vector<double> shares;  // [side][end][end]: of it between two of the others that is a step
    void choose(int along);
    template <class IsStep>
    void count(const std::vector<int>& others, const IsStep& is_step);
    // Is the side a step, or the picture's own? Adds its length.
    bool support(size_t side, size_t from, size_t to, const std::vector<int>& others,
                 double& length) const;
  };
  struct Found {
    InsetBox box;
    double score;
  };

  Steps lines_, places_;
  std::array<InsetBox, kFoundInsets> boxes_;
};

}  // namespace cleared::curate
