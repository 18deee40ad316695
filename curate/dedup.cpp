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

constexpr uint64_t kQueryStepUs = 100'000;  // frames looked up: ten a second are enough
constexpr int kLookAlike = 40;              // bits: parts are never cut out twice in the same place
constexpr double kSoundAgrees = 0.8;        // share of equal bits; unrelated sound has about 0.5
constexpr double kMoves = 0.5;              // weight: less is a still
constexpr double kEditedDistance = 34, kEditedWeight = 1.5, kEditedLikeness = 0.8;
constexpr size_t kEditedPictures = 10;  // a few pictures correlate by chance

uint64_t frame_us(const std::vector<uint64_t>& pts_us) {
  const size_t n = pts_us.size();
  return n < 2 ? 0 : (pts_us.back() - pts_us.front()) / (n - 1);
}

// Frames of a source at most ten times a second, without the featureless ones.
Track thinned(const Footage& footage) {
  Track out;
  uint64_t next_us = 0;
  for (size_t i = 0; i < footage.prints.size(); ++i) {
    if (footage.prints[i].quality < kFeatureless || footage.pts_us[i] < next_us) continue;
    next_us = footage.pts_us[i] + kQueryStepUs;
    out.pts_us.push_back(footage.pts_us[i]);
    out.prints.push_back(footage.prints[i]);
  }
  return out;
}

// The track of ours that a pair of looks asks with.
const Track& asked_track(const Footage& footage, LookPair pair) {
  return pair.asked < kAskedLooks ? footage.asked[pair.asked]
                                  : footage.kept[pair.asked - kAskedLooks];
}

bool is_copy(const Match& match, const Stretch& found, const Duplicates& rules) {
  const uint64_t run_us =
      std::min(match.end_us - match.start_us, match.of_end_us - match.of_start_us);
  if (run_us < uint64_t{rules.min_run_ms()} * 1000) return false;
  if (match.weight < kMoves) return false;
  const bool sound_agrees = match.audio_match >= kSoundAgrees;
  const double limit = sound_agrees ? rules.max_distance_with_sound() : rules.max_distance();
  // Not at another speed too: of so many speeds one fits the gestures of two takes by chance.
  const bool edited = match.distance <= kEditedDistance && match.weight >= kEditedWeight &&
                      found.likeness >= kEditedLikeness && found.pictures >= kEditedPictures &&
                      found.speed == 1;
  return match.distance <= limit || edited;
}

}  // namespace

// Votes by earlier source and then by pair of looks; whole frames come before all pairs.
struct DuplicateIndex::Voting {
  static constexpr size_t kWhole = SIZE_MAX;
  std::map<uint32_t, std::map<size_t, std::vector<Vote>>> votes;
};

void DuplicateIndex::enter(const Footage& footage, std::vector<Pdq>& prints) {
  CLEARED_CHECK(footage.pts_us.size() == footage.prints.size());
  CLEARED_CHECK(footage.kept.empty() || footage.kept.size() == kKeptLooks);
  const auto number = static_cast<uint32_t>(footage_.size());
  for (size_t frame = 0; frame < footage.prints.size(); ++frame) {
    if (footage.prints[frame].quality < kFeatureless) continue;
    entries_.push_back({number, static_cast<uint32_t>(frame)});
    prints.push_back(footage.prints[frame].bits);
  }
  for (size_t look = 0; look < footage.kept.size(); ++look) {
    const Track& track = footage.kept[look];
    for (size_t i = 0; i < track.prints.size(); ++i) {
      if (track.prints[i].quality < kFeatureless) continue;
      looks_[look].prints.push_back(track.prints[i].bits);
      looks_[look].entries.push_back({number, static_cast<uint32_t>(i)});
    }
  }
}

void DuplicateIndex::add(Footage footage) {
  std::vector<Pdq> prints;
  enter(footage, prints);
  for (const Pdq& print : prints) frames_.add(print);
  footage.asked.clear();
  footage_.push_back(std::move(footage));
}

std::vector<std::string> DuplicateIndex::load(std::vector<Footage> all,
                                              const std::filesystem::path& folder) {
  CLEARED_CHECK(footage_.empty());
  std::vector<Pdq> prints;
  for (Footage& footage : all) {
    enter(footage, prints);
    footage_.push_back(std::move(footage));
  }
  return frames_.load(folder, prints);
}

void DuplicateIndex::vote_whole(const Track& track, Voting& voting) const {
  std::vector<Near> alike;
  for (uint32_t i = 0; i < track.prints.size(); ++i) {
    frames_.near(track.prints[i].bits, alike);
    for (const Near& near : alike) {
      const Entry& entry = entries_[near.id];
      voting.votes[entry.footage][Voting::kWhole].push_back({i, entry.frame});
    }
  }
}

void DuplicateIndex::vote_looks(const Footage& footage, Voting& voting) const {
  if (footage.kept.empty()) return;
  for (size_t p = 0; p < look_pairs().size(); ++p) {
    const LookPair pair = look_pairs()[p];
    if (pair.asked < kAskedLooks && footage.asked.empty()) continue;
    const Track& track = asked_track(footage, pair);
    std::vector<Pdq> queries;
    std::vector<uint32_t> positions;
    for (uint32_t i = 0; i < track.prints.size(); ++i) {
      if (track.prints[i].quality < kFeatureless) continue;
      queries.push_back(track.prints[i].bits);
      positions.push_back(i);
    }
    const LookBase& base = looks_[pair.kept];
    const auto near = near_of_all(queries, base.prints, kLookAlike);
    for (size_t q = 0; q < queries.size(); ++q) {
      for (const Near& one : near[q]) {
        const Entry& entry = base.entries[one.id];
        voting.votes[entry.footage][p].push_back({positions[q], entry.frame});
      }
    }
  }
}

std::vector<Match> DuplicateIndex::find(const Footage& footage, const Duplicates& rules,
                                        Self self) const {
  CLEARED_CHECK(footage.pts_us.size() == footage.prints.size());
  const Track whole = thinned(footage);
  Voting voting;
  vote_whole(whole, voting);
  vote_looks(footage, voting);

  std::vector<Match> out;
  for (const auto& [of, by_pair] : voting.votes) {
    const Footage& earlier = footage_[of];
    if (self == Self::never && earlier.digest == footage.digest) continue;
    std::optional<Match> best;
    double best_score = 0;
    for (const auto& [p, votes] : by_pair) {
      const bool is_whole = p == Voting::kWhole;
      const Track& track = is_whole ? whole : asked_track(footage, look_pairs()[p]);
      const auto found = is_whole ? align(track, {earlier.pts_us, earlier.prints}, votes)
                                  : align(track, earlier.kept[look_pairs()[p].kept], votes);
      if (!found) continue;
      Match match{.of = of,
                  .start_us = found->start_us,
                  .end_us = found->end_us + frame_us(track.pts_us),
                  .of_start_us = found->of_start_us,
                  .of_end_us = found->of_end_us + frame_us(earlier.pts_us),
                  .distance = found->distance,
                  .audio_match = -1,
                  .speed = found->speed,
                  .weight = found->weight,
                  .how = is_whole ? "whole" : describe(look_pairs()[p])};
      if (found->speed == 1) {
        match.audio_match = sound_match(footage.sound, match.start_us, earlier.sound,
                                        match.of_start_us, match.end_us - match.start_us);
      }
      // Of explanations that are about as good the plain one: nothing was done to the picture.
      const double score = found->score * double(frame_us(track.pts_us)) * (is_whole ? 1.25 : 1);
      if (!is_copy(match, *found, rules) || score <= best_score) continue;
      best = match;
      best_score = score;
    }
    if (best) out.push_back(*best);
  }
  std::stable_sort(out.begin(), out.end(), [](const Match& a, const Match& b) {
    return a.end_us - a.start_us > b.end_us - b.start_us;
  });
  return out;
}

}  // namespace cleared::curate
