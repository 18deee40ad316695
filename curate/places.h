// Copies that were cropped off the middle, mirrored and cropped, or mirrored under a bar. Nothing
// more is kept for them: a part that is kept of the original (curate/looks.h) lies somewhere inside
// the copy, at one of some hundred places. So small pictures of what is asked are held until it was
// asked, four a second; some are asked at every place, roughly, and where an answer comes from, the
// place is moved until it fits. Pure but for PlacePrinter: one per thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "curate/align.h"
#include "curate/looks.h"
#include "kernels/parts.h"

namespace cleared::curate {

inline constexpr size_t kSquareBytes = size_t{kSquareSide} * kSquareSide;
// Beyond so many every second one is left out, so that long films have them less often.
inline constexpr size_t kMostSquares = 8192;

// What a picture shows at one of places().
struct RoughPrint {
  uint32_t picture, place;
  Pdq bits;
};

// Pictures without their flat borders, stretched to squares (Looks::square).
struct Squares {
  std::vector<uint64_t> pts_us;   // increasing
  std::string luma;               // kSquareBytes a picture, row by row
  std::vector<RoughPrint> rough;  // rough_prints() of it, where it will be asked about
};

// Where a kept part may lie: it may reach a little beyond the picture, whose last pixels go on.
struct KeptPlace {
  Looks::Part part;
  KeptLook kept;
  bool mirrored = false;
};
// Asked, each as it is and mirrored but for those of `kept_all`: then the original is what was cut
// out of a larger picture.
const std::vector<KeptPlace>& places();
// Is all of a part in the picture?
bool lies_inside(const Looks::Part& part);
// Where the other kept looks are if this one is there: those that lie in the picture whole.
std::vector<KeptPlace> other_looks(const KeptPlace& place);

// Fingerprints of parts of one picture after the other.
class PlacePrinter {
 public:
  struct Axes {  // of a part: made once for many pictures
    kernels::PartAxis across, down;
    explicit Axes(const Looks::Part& part);
  };
  void open(const Squares& squares, size_t picture);
  Fingerprint print(const Axes& axes, bool mirrored);
  Fingerprint print(const Looks::Part& part, bool mirrored) { return print(Axes(part), mirrored); }
  // Of all places(), in order.
  void print_all(std::vector<Fingerprint>& out);

 private:
  Fingerprint print(const kernels::PartAxis& down, bool mirrored) const;
  void go_along(const kernels::PartAxis& across);
  kernels::PartPicture picture_;
  std::vector<int32_t> along_;
};

// The pictures that are asked roughly: of each stretch of at most two seconds, shorter ones in a
// short film, the one of most detail.
std::vector<size_t> rough_pictures(const Squares& squares);
// Of those, at all places; featureless ones are left out.
std::vector<RoughPrint> rough_prints(const Squares& squares);

// A picture of ours and one that is kept, which show the same if the place is right.
struct PlacedPair {
  size_t picture;
  Pdq of;
  size_t at = 0;  // of `of` in its track
};
// Moves the place until the pairs differ least. Returns in how many bits, mean.
double fit(const Squares& squares, const std::vector<PlacedPair>& pairs, KeptPlace& place);

// The part at that place in each picture.
Track track_at(const Squares& squares, const KeptPlace& place);

}  // namespace cleared::curate
