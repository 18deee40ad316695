// Black bars around the picture: letterbox, pillarbox or both. Where the black ends is measured on
// frames at full size; what of it is a bar is decided over a whole shot, because a dark scene ends
// in black too, but not at the same place in every frame, nor on both sides alike, nor sharply.
// Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "curate/picture.h"
#include "curate/shots.h"
#include "kernels/luma.h"

namespace cleared::curate {

// How often frames are looked at for bars.
inline constexpr uint64_t kEdgesUs = 250'000;

// Pixels of black at each side.
struct Edges {
  enum Side : unsigned { left, top, right, bottom };
  int black[4] = {};   // by Side
  unsigned clear = 0;  // bit `side`: the picture begins sharply there
};

// Of a frame as stored. Nothing when it is too dark to tell: black as far as its middle.
std::optional<Edges> find_edges(const kernels::Luma& luma);
// `edges` of a stored frame of width x height, for one laid down upright at another size.
struct EdgeSize {
  int width, height;
};
Edges upright(const Edges& edges, Orientation orientation, EdgeSize stored, EdgeSize shown);

// Are these bars, as far as one frame can tell? Of a picture of `size`.
bool look_like_bars(const Edges& edges, EdgeSize size);

// For each shot the bars that all of it has, in pixels as displayed: none of its pictures is cut
// by them. Sides without one are 0.
std::vector<std::optional<Edges>> bars_of_shots(const Analysis& analysis,
                                                const std::vector<Shot>& shots);
const char* bars_name(const Edges& bars);  // "letterbox" "pillarbox" "windowbox"

}  // namespace cleared::curate
