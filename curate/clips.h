// Which spans of a source become clips, and whether each is worth keeping. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ledger/base/bytes.h"

namespace cleared::curate {

class Analysis;
class Clips;
class Quality;
struct Shot;

struct Clip {
  uint64_t start_us = 0, end_us = 0;  // from the first frame of the source; whole frames
  uint32_t shot = 0;
  float luma = 0, sharpness = 0, motion = 0;  // means; motion without the clip's first frame
  std::string verdict = "kept";               // "kept" "black" "frozen" "blurred"
};

// Clips of the lengths that `clips` says, one after the other from the start of each shot, each the
// longest that still fits: what is left at the end of a shot is too short and stays out. `shots`
// are those of find_shots().
std::vector<Clip> choose_clips(const Analysis& analysis, const std::vector<Shot>& shots,
                               const Clips& clips, const Quality& quality);

// Is it, to a frame, one of the lengths that `clips` says? Not where another config made it.
bool has_length(const Clips& clips, uint64_t duration_us);

// The identity of a clip in the ledger: ClipRecord.id.
Digest clip_id(const Digest& source, const Clip& clip);

}  // namespace cleared::curate
