#include "curate/dedup.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>

#include "curate/sound.h"
#include "curate/worker.pb.h"
#include "ledger/base/check.h"

namespace cleared::curate {
namespace {

constexpr uint64_t kQueryStepUs = 100'000;  // frames looked up: ten a second are enough to vote
constexpr int64_t kOffsetBinUs = 50'000;    // votes for about the same offset
constexpr uint64_t kNearUs = 60'000;        // frames that are compared along an offset
constexpr uint64_t kGapUs = 1'000'000;      // a run survives so long without alike frames
constexpr double kSoundAgrees = 0.8;        // share of equal bits; unrelated sound has about 0.5

uint64_t frame_us(const Footage& footage) {
  const size_t n = footage.pts_us.size();
  return n < 2 ? 0 : (footage.pts_us.back() - footage.pts_us.front()) / (n - 1);
}

// The frame of `footage` shown nearest to `at_us`, when it is near.
std::optional<size_t> frame_near(const Footage& footage, int64_t at_us) {
  if (at_us < -static_cast<int64_t>(kNearUs)) return std::nullopt;
  const auto& pts = footage.pts_us;
  const auto target = static_cast<uint64_t>(std::max<int64_t>(at_us, 0));
  auto it = std::lower_bound(pts.begin(), pts.end(), target);
  if (it == pts.end() || (it != pts.begin() && *it - target > target - *(it - 1))) --it;
  const uint64_t off = *it > target ? *it - target : target - *it;
  if (off > std::max(kNearUs, frame_us(footage))) return std::nullopt;
  return static_cast<size_t>(it - pts.begin());
}

struct Votes {
  int count = 0;
  int64_t distance = 0;
  int64_t offset_us = 0;  // sum: of - later
};

// The best run of alike frames of `later` and `earlier` along `offset_us`.
std::optional<Match> longest_run(const Footage& later, const Footage& earlier, int64_t offset_us) {
  struct Run {
    size_t first = 0, last = 0, of_first = 0, of_last = 0;
    int alike = 0, compared = 0;
    int64_t bits = 0;
    uint64_t length_us(const Footage& in) const { return in.pts_us[last] - in.pts_us[first]; }
  };
  std::optional<Run> run, best;
  const auto close_run = [&] {
    const bool counts = run && run->alike * 10 >= run->compared * 8;  // most of it really is alike
    if (counts && (!best || run->length_us(later) > best->length_us(later))) best = run;
    run.reset();
  };
  int compared_since = 0;
  for (size_t i = 0; i < later.pts_us.size(); ++i) {
    if (later.prints[i].quality < kFeatureless) continue;
    const auto j = frame_near(earlier, static_cast<int64_t>(later.pts_us[i]) + offset_us);
    if (!j || earlier.prints[*j].quality < kFeatureless) continue;
    ++compared_since;
    const int bits = distance(later.prints[i].bits, earlier.prints[*j].bits);
    if (bits > kAlike) continue;
    if (run && later.pts_us[i] - later.pts_us[run->last] > kGapUs) close_run();
    if (!run) run = Run{.first = i, .last = i, .of_first = *j, .of_last = *j};
    run->compared += run->alike == 0 ? 1 : compared_since;
    run->last = i;
    run->of_last = *j;
    ++run->alike;
    run->bits += bits;
    compared_since = 0;
  }
  close_run();
  if (!best) return std::nullopt;
  return Match{.of = 0,
               .start_us = later.pts_us[best->first],
               .end_us = later.pts_us[best->last] + frame_us(later),
               .of_start_us = earlier.pts_us[best->of_first],
               .of_end_us = earlier.pts_us[best->of_last] + frame_us(earlier),
               .distance = double(best->bits) / best->alike,
               .audio_match = -1};
}

}  // namespace

void DuplicateIndex::add(Footage footage) {
  CLEARED_CHECK(footage.pts_us.size() == footage.prints.size());
  for (size_t frame = 0; frame < footage.prints.size(); ++frame) {
    if (footage.prints[frame].quality < kFeatureless) continue;
    entries_.push_back({static_cast<uint32_t>(footage_.size()), static_cast<uint32_t>(frame)});
    frames_.add(footage.prints[frame].bits);
  }
  footage_.push_back(std::move(footage));
}

std::vector<Match> DuplicateIndex::find(const Footage& footage, const Duplicates& rules) const {
  CLEARED_CHECK(footage.pts_us.size() == footage.prints.size());
  std::map<std::pair<uint32_t, int64_t>, Votes> votes;  // by earlier source and offset
  uint64_t next_us = 0;
  std::vector<Near> alike;
  for (size_t frame = 0; frame < footage.prints.size(); ++frame) {
    if (footage.prints[frame].quality < kFeatureless || footage.pts_us[frame] < next_us) continue;
    next_us = footage.pts_us[frame] + kQueryStepUs;
    frames_.near(footage.prints[frame].bits, alike);
    for (const Near& near : alike) {
      const Entry& entry = entries_[near.id];
      const Footage& earlier = footage_[entry.footage];
      if (earlier.digest == footage.digest) continue;
      const int64_t offset = static_cast<int64_t>(earlier.pts_us[entry.frame]) -
                             static_cast<int64_t>(footage.pts_us[frame]);
      const int64_t bin = offset >= 0 ? offset / kOffsetBinUs : (offset + 1) / kOffsetBinUs - 1;
      Votes& at = votes[{entry.footage, bin}];
      ++at.count;
      at.distance += near.distance;
      at.offset_us += offset;
    }
  }

  // Per earlier source the bin with the most votes; of equals the one whose frames are closer.
  std::map<uint32_t, Votes> winners;
  for (const auto& [key, at] : votes) {
    Votes& best = winners[key.first];
    const bool closer = at.count == best.count && at.distance < best.distance;
    if (at.count > best.count || closer) best = at;
  }
  std::vector<Match> out;
  for (const auto& [of, at] : winners) {
    auto match = longest_run(footage, footage_[of], at.offset_us / at.count);
    if (!match) continue;
    match->of = of;
    const uint64_t length_us = match->end_us - match->start_us;
    match->audio_match = sound_match(footage.sound, match->start_us, footage_[of].sound,
                                     match->of_start_us, length_us);
    const bool sound_agrees = match->audio_match >= kSoundAgrees;
    const double limit = sound_agrees ? rules.max_distance_with_sound() : rules.max_distance();
    if (length_us >= uint64_t{rules.min_run_ms()} * 1000 && match->distance <= limit) {
      out.push_back(*match);
    }
  }
  std::stable_sort(out.begin(), out.end(), [](const Match& a, const Match& b) {
    return a.end_us - a.start_us > b.end_us - b.start_us;
  });
  return out;
}

}  // namespace cleared::curate
