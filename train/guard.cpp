#include "train/guard.h"

#include <algorithm>
#include <string>
#include <vector>

#include "ledger/digest.h"
#include "train/looks.h"

namespace cleared::train {
namespace {

// Clips are made of the middle of a picture: the part of it, or of the clip, that both show.
double shown(const ledger::FootagePictures& of, int width, int height) {
  const double a = double(of.width) * height, b = double(of.height) * width;
  return std::min(a, b) / std::max({a, b, 1.0});
}

ledger::Verdict judge_shape(const ledger::Footage& footage, int width, int height) {
  for (auto first = footage.begin(); first != footage.end();) {
    const auto end = std::find_if(first, footage.end(),
                                  [&](const auto& of) { return of.source != first->source; });
    if (std::none_of(first, end,
                     [&](const auto& of) { return shown(of, width, height) >= kLeastShown; })) {
      const auto& largest = *std::prev(end);
      return ledger::no("similarity_unknown",
                        "clips of " + std::to_string(width) + " x " + std::to_string(height) +
                            " show too little of pictures of " + std::to_string(largest.width) +
                            " x " + std::to_string(largest.height) +
                            " to be compared with the fingerprints of source " +
                            ledger::digest_name(first->source));
    }
    first = end;
  }
  return ledger::yes();
}

}  // namespace

ledger::Verdict judge_clip(const ledger::SimilarityLimit& limit, std::span<const uint8_t> rgb,
                           int width, int height) {
  if (auto verdict = judge_shape(limit.footage, width, height); !verdict.cleared) return verdict;
  const std::vector<TurnedLooks> frames = turned_looks(rgb, width, height);
  NearestLook nearest;
  const ledger::FootagePictures* nearest_of = nullptr;
  for (const ledger::FootagePictures& of : limit.footage) {
    const NearestLook found = nearest_look(frames, of.prints);
    if (found.distance < nearest.distance) nearest = found, nearest_of = &of;
  }
  if (nearest_of == nullptr || !ledger::too_alike(nearest.distance, limit.most)) {
    return ledger::yes();
  }
  return ledger::no("similarity_exceeded",
                    "frame " + std::to_string(nearest.frame) + " of the clip differs by " +
                        std::to_string(nearest.distance) + " of 256 bits from a frame of source " +
                        ledger::digest_name(nearest_of->source) + ", and licences allow a " +
                        "similarity of at most " + std::to_string(limit.most));
}

}  // namespace cleared::train
