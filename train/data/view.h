// Which part of a sample a slot of a step sees, where the sample is longer than the clip or, scaled
// to cover it, larger: a pure function of seed, step and slot, so that any rank, and any replay,
// takes the same. Any thread.
#pragma once

#include <cstdint>
#include <vector>

namespace cleared::train {

class RunConfig;

// Shares of the room there is, in 2^-32 of it: 0 is the first frame, the left edge, the top.
struct View {
  static constexpr uint32_t kMiddle = 0x7fffffff;
  uint32_t start = 0, across = kMiddle, down = kMiddle;
  bool mirror = false;  // left for right
  bool whole = false;   // all frames of the sample, and not so many from `start` on
  bool operator==(const View&) const = default;
};

// What the config lets vary is drawn; the rest is as View says by itself. `step` is below 2^32.
View view_of(const RunConfig& config, uint64_t step, uint32_t slot);

// What a codec is fitted to of a sample: its first frames, or where the start varies some parts
// spread evenly over all of it.
std::vector<View> views_to_fit(const RunConfig& config);

// What is compared with clips that are made: all that the run may have seen of a sample, but for
// mirroring. Pictures that are cut anywhere are compared in 17 places, of which two neighbours are
// alike enough to recognise what lies between, unless there is more room than a clip is wide.
std::vector<View> views_to_compare(const RunConfig& config);

}  // namespace cleared::train
