// Where one shot ends and the next begins, from the measures of curate/decode.h. Pure; any
// thread.
#pragma once

#include <cstddef>
#include <vector>

namespace cleared::curate {

class Analysis;

enum class Transition { none, cut, dissolve, fade };  // none: the file begins

constexpr size_t kMostShots = 20'000;  // of one file

struct Shot {
  size_t first = 0, end = 0;  // frames [first, end)
  Transition begins = Transition::none;
};

// In order. Frames that mix two shots, and black between them, belong to neither; all others are in
// a shot. Bars that nearly all of the file has are looked past.
//
// A cut is where a picture is another one at once and for good (curate/likeness.h): more of it than
// its take makes by itself, as the pictures on either side show, is neither what moved nor other
// light; and no picture of half a second before is like one of half a second after, as where
// something flashes or passes before the camera. What is laid over a picture, a page that is
// scrolled, and a camera that swings are no cuts. Up to four frames of nothing, or of
// both, ever more of the next, between two shots belong to neither. A gap of time in the container
// is a cut too. Where a rate was raised by showing pictures again, up to 6 times, only the first of
// each is looked at.
//
// A dissolve of 6 to 80 frames is found by what it is: each frame a mixture of its first and its
// last picture, the share of the last growing evenly. A fade is black between two pictures that are
// not alike, or for half a second; the frames on the way to black stay with their shot.
//
// Error{unsupported} for more than kMostShots: that is no film, and each costs the ledger a record.
std::vector<Shot> find_shots(const Analysis& analysis);

}  // namespace cleared::curate
