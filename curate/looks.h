// What a picture may have become, and what it may have been: fingerprints of its parts and turns. A
// copy is often cropped, mirrored, put into a frame or half covered by a bar, and PDQ of the whole
// picture says little then. Four times a second a few parts of the picture are fingerprinted to be
// kept (what a copy may show of it). Asked with are its turns, twice as often, so that some of them
// are near in time to what was kept, and the places where it may lie as an inset, half as often:
// some around the middle, and those that curate/insets.h finds, each as it is and mirrored. They
// are made from the second picture of kernels/luma.h by kernels/parts.h: the bits are those of PDQ
// over 64 x 64 samples of the part, and the quality is how much its waves move, on about the scale
// of PDQ's. One object per thread.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "curate/insets.h"
#include "curate/pdq.h"
#include "kernels/parts.h"

namespace cleared::curate {

inline constexpr uint64_t kLookUs = 250'000, kTurnUs = 125'000, kInsetUs = 500'000;

// Kept: the picture without flat borders; its middle, the number being its share each way; its
// middle in width alone; and what is left when a bar or a logo covers one side.
enum KeptLook : uint8_t {
  kept_all,
  kept_middle_95,
  kept_middle_90,
  kept_middle_85,
  kept_middle_80,
  kept_middle_75,
  kept_middle_70,
  kept_narrow_75,
  kept_narrow_56,
  kept_top,
  kept_bottom,
  kept_left,
  kept_right,
  kKeptLooks,
};

// Asked: the picture without flat borders turned each of eight ways, then places of an inset.
inline constexpr size_t kMiddleInsets = 5;
inline constexpr size_t kInsets = kMiddleInsets + 2 * kFoundInsets;
inline constexpr size_t kAskedLooks = kTurns + kInsets;

inline constexpr int kSquareSide = 64;

// Of a part's waves after flips of the picture: bit 0 along the lines, bit 1 across them.
Fingerprint print_of_waves(const kernels::PartWaves& waves, size_t flips);

class Looks {
 public:
  struct What {
    bool kept = true, turns = true, insets = true;
  };
  struct Taken {  // what was wanted; the rest is of an earlier picture
    std::array<Fingerprint, kKeptLooks> kept;
    std::array<Fingerprint, kTurns> turns;
    std::array<Fingerprint, kInsets> insets;  // quality 0 where there is none
  };
  const Taken& take(const kernels::SmallLuma& small, What what);
  // Of the picture just taken: upright, without flat borders, those with a thin rim of picture
  // beside them among them; means over kSquareSide x kSquareSide boxes, appended row by row.
  // False, and nothing, where the picture is too small.
  bool square(const kernels::SmallLuma& small, std::string& out) const;

  struct Part {
    double x, y, width, height;  // shares of the picture
  };

 private:
  using Box = InsetBox;
  struct Wanted {
    size_t look;
    Box box;
  };
  // Parts of one picture, those with a range of places in common behind one another.
  struct Plan {
    struct Range {
      kernels::PartAxis axis;
      int first_line, end_line;
    };
    struct Part {
      size_t range, look;
      kernels::PartAxis axis;
    };
    std::vector<Range> ranges;
    std::vector<Part> parts;
  };
  static Plan make_plan(const std::vector<Wanted>& wanted, const kernels::PartPicture& picture,
                        double scale);
  static Box trimmed(const kernels::SmallLuma& small, int rim);
  Box box_of(const Part& part, const Box& frame) const;
  void plan(const kernels::SmallLuma& small);
  void plan_middles(const kernels::SmallLuma& small);
  void take_found(const kernels::SmallLuma& small);
  double scale() const { return half_.lines < lines_ ? 0.5 : 1; }
  // Of a part's waves, upright, after flips of the upright picture (0: none).
  Fingerprint print_of(const kernels::PartWaves& waves, size_t flips = 0) const;
  template <class Put>
  void run(const Plan& plan, const kernels::PartPicture& picture, const Put& put);

  int lines_ = 0, places_ = 0;  // what the plans are for
  bool by_column_ = true, planned_middles_ = false;
  Box box_{};
  Plan kept_, all_, middles_;
  InsetFinder finder_;
  std::array<Box, kFoundInsets> found_{};  // what the plans are for
  std::array<Plan, kFoundInsets> found_plans_;
  kernels::PartPicture whole_, half_;
  std::vector<int32_t> along_;
  Taken taken_;
};

// What a kept look shows.
Looks::Part kept_part(KeptLook look);

// A pair of looks that shows the same when one picture is a copy of the other. `asked` counts the
// asked looks and then the kept ones.
struct LookPair {
  uint8_t asked, kept;
};
const std::vector<LookPair>& look_pairs();
// "mirrored", "cropped", "inset"...; for people.
const char* describe(LookPair pair);

}  // namespace cleared::curate
