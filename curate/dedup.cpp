#include "curate/dedup.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <map>
#include <optional>
#include <tuple>
#include <utility>

#include "curate/sound.h"
#include "curate/worker.pb.h"
#include "ledger/base/check.h"

namespace cleared::curate {
namespace {

constexpr uint64_t kQueryStepUs = 100'000;  // frames looked up: ten a second are enough
constexpr int kStillBits = 4;               // pictures that differ in no more are one still
constexpr size_t kAskedOfStill = 100;       // pictures; of looks a third
constexpr size_t kMostHits = 256;           // of a picture in a source
constexpr size_t kMostVotes = 1 << 18;      // of all pictures, but for a few of each: a loop has
constexpr size_t kLeastHits = 8;            // as many as it has pictures, squared
constexpr size_t kAskedAtOnce = 1024;       // looks: their hits are in memory
constexpr double kSoundAgrees = 0.8;        // share of equal bits; unrelated sound has about 0.5
constexpr double kSoundWindowUs = 2.6e6;    // that the last item of a run covers
// Of pictures whose place is known by their sound: far apart, but more alike there than elsewhere.
constexpr double kHeardDistance = 72, kHeardWeight = 1;
constexpr double kMoves = 0.5;  // weight: less is a still
constexpr double kEditedDistance = 34, kEditedWeight = 1.5, kEditedLikeness = 0.8;
// Of what is further apart than kNear, without its sound. Measured: copies have 0.90 and 1.4 at
// least, other seconds of one fixed camera up to 0.92 where they have 0.85 (docs/accuracy.md).
constexpr double kAlikeLikeness = 0.88, kAlikeWeight = 1, kSameLikeness = 0.95;
// Or what speaks against chance so much that who is like whom may be blurred, as it is where the
// pictures of the two lie half a step apart in time. Strangers had a weight of 1.3 at most.
constexpr double kSureWeight = 2, kSureLikeness = 0.78;
constexpr size_t kSurePictures = 6;
// Two or three pictures are always like their moments, or against it.
constexpr size_t kLeastPictures = 4;
// At another speed chance had as many tries as there are speeds, and at a place that was fitted
// some more: strangers came down to 24.3 bits.
constexpr double kSpedDistance = 23, kPlacedSpedDistance = 20;
constexpr size_t kPlacedSpedPictures = 10;
constexpr size_t kEditedPictures = 12;  // a few pictures correlate by chance
// Or fewer that change so much, and so much together, as no strangers did: 5.3 and 0.967.
constexpr size_t kStrongPictures = 8;
constexpr double kStrongWeight = 8, kStrongLikeness = 0.97;
// Beyond it another source that has these seconds by so much nearer is the better answer.
constexpr double kOnlyAlike = 16, kMuchNearer = 8;
constexpr size_t kStarts = 4, kMostStarted = 16, kFitted = 8;  // places of a source, sources; pairs
// Beside a copy: pictures that are looked at, and how many in a row may be unlike.
constexpr size_t kMostGrown = 400, kUnlike = 2;
constexpr int kPlaced = 80;          // bits: further apart no place is moved until it fits
constexpr double kRoughPairs = 5e8;  // compared for a second of film: about 0.1 s of one core
// Of what is found beside other things, when chance had more tries.
constexpr double kNear = 8;        // bits: only coded again
constexpr size_t kMostPassed = 2;  // stretches that are passed over: each costs what the first did

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

// The kept picture turned each way, for footage whose turns nobody took: it comes from a ledger or
// from a fingerprint file. None where the turns are there, or nothing is kept.
std::vector<Track> turns_of_kept(const Footage& footage) {
  if (footage.kept.empty()) return {};
  const bool taken = !footage.asked.empty() && !footage.asked[0].prints.empty();
  std::vector<Track> out(taken ? 0 : kTurns, footage.kept[kept_all]);
  for (size_t turn = 0; turn < out.size(); ++turn) {
    for (Fingerprint& print : out[turn].prints) {
      print.bits = turned(print.bits, static_cast<Turn>(turn));
    }
  }
  return out;
}

size_t least_items(const Duplicates& rules) {
  const double items = (rules.min_sound_ms() * 1e3 - kSoundWindowUs) / kChromaprintItemUs;
  return static_cast<size_t>(std::max(1.0, items));
}

Match sound_span(const SoundRun& run) {
  const auto us = [](size_t item) {
    return static_cast<uint64_t>(double(item) * kChromaprintItemUs);
  };
  const auto length = us(run.count) + static_cast<uint64_t>(kSoundWindowUs);
  return {.of = run.source,
          .start_us = us(run.at),
          .end_us = us(run.at) + length,
          .of_start_us = us(run.of),
          .of_end_us = us(run.of) + length,
          .distance = -1,
          .audio_match = run.agreement,
          .how = "sound"};
}

// The sound is the same: are the pictures, under whatever lies over them?
std::optional<Match> copy_by_sound(const Track& track, const Track& of, const SoundRun& run,
                                   const Duplicates& rules, const Aside& aside) {
  Match out = sound_span(run);
  const auto found = compare(track, of, double(out.of_start_us) - double(out.start_us),
                             out.start_us, out.end_us, aside);
  if (!found || found->distance > kHeardDistance || found->weight < kHeardWeight ||
      found->pictures < kEditedPictures ||
      found->end_us - found->start_us < uint64_t{rules.min_run_ms()} * 1000) {
    return std::nullopt;
  }
  out.start_us = found->start_us;
  out.end_us = found->end_us + frame_us(track.pts_us);
  out.of_start_us = found->of_start_us;
  out.of_end_us = found->of_end_us + frame_us(of.pts_us);
  out.distance = found->distance;
  out.weight = found->weight;
  out.how = "edited";
  return out;
}

// What the pictures cannot show: they stand still, or are too few.
Match same_bytes(size_t of, const Footage& footage) {
  const uint64_t end_us = footage.pts_us.back() + frame_us(footage.pts_us);
  return {.of = of,
          .start_us = 0,
          .end_us = end_us,
          .of_start_us = 0,
          .of_end_us = end_us,
          .how = "the same bytes"};
}

bool by_two_pictures(const std::vector<Vote>& votes) {
  return std::any_of(votes.begin(), votes.end(),
                     [&](const Vote& vote) { return vote.at != votes.front().at; });
}

// Votes as the index gives them, in no order and `of` without featureless pictures, for Alignment.
std::vector<Vote> votes_in(const Track& of, std::vector<Vote> votes) {
  std::vector<uint32_t> places;
  for (uint32_t i = 0; i < of.prints.size(); ++i) {
    if (of.prints[i].quality >= kFeatureless) places.push_back(i);
  }
  std::erase_if(votes, [&](const Vote& vote) { return vote.of >= places.size(); });
  for (Vote& vote : votes) vote.of = places[vote.of];
  std::sort(votes.begin(), votes.end(), [](const Vote& a, const Vote& b) {
    return std::tie(a.at, a.of) < std::tie(b.at, b.of);
  });
  return votes;
}

// Pictures to ask with: of what stands still for long only some, evenly, its ends among them. A
// still says nothing, and two long ones would cost the product of their lengths.
std::vector<uint32_t> worth_asking(const Track& track, size_t most) {
  std::vector<uint32_t> out;
  for (size_t first = 0, end = 0; first < track.prints.size(); first = end) {
    while (end < track.prints.size() &&
           distance(track.prints[end].bits, track.prints[first].bits) <= kStillBits) {
      ++end;
    }
    const size_t asked = std::min(end - first, most);
    for (size_t i = 0; i < asked; ++i) {
      out.push_back(
          static_cast<uint32_t>(first + (asked == 1 ? 0 : i * (end - first - 1) / (asked - 1))));
    }
  }
  return out;
}

// Of what looks like one of so many pictures in one source, in order of time, the nearest; of those
// that are equally near some, evenly.
template <class Hit>
void keep_nearest(std::vector<Hit>& hits, size_t pictures) {
  const size_t most = std::clamp(kMostVotes / std::max<size_t>(pictures, 1), kLeastHits, kMostHits);
  if (hits.size() <= most) return;
  std::stable_sort(hits.begin(), hits.end(),
                   [](const Hit& a, const Hit& b) { return a.distance < b.distance; });
  const int last = hits[most - 1].distance;
  const auto is_nearer = [&](const Hit& hit) { return hit.distance < last; };
  const auto from =
      static_cast<size_t>(std::partition_point(hits.begin(), hits.end(), is_nearer) - hits.begin());
  size_t end = from;
  while (end < hits.size() && hits[end].distance == last) ++end;
  const size_t rest = most - from;
  for (size_t i = 0; i < rest; ++i) hits[from + i] = hits[from + i * (end - from) / rest];
  hits.resize(most);
}

bool is_long(const Match& match, const Duplicates& rules) {
  return std::min(match.end_us - match.start_us, match.of_end_us - match.of_start_us) >=
         uint64_t{rules.min_run_ms()} * 1000;
}

bool is_copy(const Match& match, const Stretch& found, const Duplicates& rules, bool placed) {
  if (!is_long(match, rules) || match.weight < kMoves) return false;
  const bool sound_agrees = match.audio_match >= kSoundAgrees;
  if (sound_agrees && match.distance <= rules.max_distance_with_sound()) return true;
  if (match.distance <= kNear && !placed) return match.distance <= rules.max_distance();
  if (found.pictures < kLeastPictures) return false;
  if (placed && found.speed != 1 && found.pictures < kPlacedSpedPictures) return false;
  double limit = rules.max_distance();
  if (found.speed != 1) limit = std::min(limit, placed ? kPlacedSpedDistance : kSpedDistance);
  if (match.distance > limit) {
    // Not at another speed: of so many one fits the gestures of two takes by chance.
    const bool many = match.weight >= kEditedWeight && found.likeness >= kEditedLikeness &&
                      found.pictures >= kEditedPictures;
    const bool strong = match.weight >= kStrongWeight && found.likeness >= kStrongLikeness &&
                        found.pictures >= kStrongPictures;
    return match.distance <= kEditedDistance && (many || strong) && found.speed == 1;
  }
  // Pictures that are only alike, as those of a fixed camera are: copies change together, too.
  return (found.likeness >= kAlikeLikeness &&
          (match.weight >= kAlikeWeight || found.likeness >= kSameLikeness)) ||
         (found.likeness >= kSureLikeness && match.weight >= kSureWeight &&
          found.pictures >= kSurePictures);
}

// How much of the first span lies in the second.
double share(uint64_t start, uint64_t end, uint64_t of_start, uint64_t of_end) {
  const uint64_t from = std::max(start, of_start), to = std::min(end, of_end);
  return to > from ? double(to - from) / double(end - start) : 0;
}

// Are these seconds, on either side, those of a copy that is much nearer? A film that moves little
// is a bit like all of itself.
bool is_worse_answer(const Match& match, std::span<const Match> copies) {
  return std::any_of(copies.begin(), copies.end(), [&](const Match& copy) {
    return match.distance > copy.distance + kNear / 2 &&
           std::max(share(match.start_us, match.end_us, copy.start_us, copy.end_us),
                    share(match.of_start_us, match.of_end_us, copy.of_start_us, copy.of_end_us)) >
               0.5;
  });
}

}  // namespace

Duplicates no_looser(const Duplicates& rules) {
  const Duplicates usual;
  Duplicates out = rules;
  if (!(out.max_distance() >= usual.max_distance())) out.clear_max_distance();
  if (!(out.max_distance_with_sound() >= usual.max_distance_with_sound())) {
    out.clear_max_distance_with_sound();
  }
  if (out.min_run_ms() > usual.min_run_ms()) out.clear_min_run_ms();
  if (out.min_sound_ms() > usual.min_sound_ms()) out.clear_min_sound_ms();
  return out;
}

// The tracks of ours that pairs of looks ask with.
struct DuplicateIndex::Question {
  const Footage& footage;
  const std::vector<Track> turns = turns_of_kept(footage);  // instead of the asked ones

  // Nothing for a place of an inset that nobody looked at.
  const Track* track(LookPair pair) const {
    if (pair.asked >= kAskedLooks) return &footage.kept[pair.asked - kAskedLooks];
    if (pair.asked < turns.size()) return &turns[pair.asked];
    return footage.asked.empty() ? nullptr : &footage.asked[pair.asked];
  }
};

// Votes by earlier source and then by pair of looks; whole frames come after all pairs.
struct DuplicateIndex::Voting {
  static constexpr size_t kWhole = SIZE_MAX;
  std::map<uint32_t, std::map<size_t, std::vector<Vote>>> votes;
};

void DuplicateIndex::enter(Footage& footage, std::vector<Pdq>& prints) {
  CLEARED_CHECK(footage.pts_us.size() == footage.prints.size());
  const auto number = static_cast<uint32_t>(footage_.size());
  sounds_.add(std::move(footage.sound));
  footage.sound.clear();
  for (size_t frame = 0; frame < footage.prints.size(); ++frame) {
    if (footage.prints[frame].quality < kFeatureless) continue;
    entries_.push_back({number, static_cast<uint32_t>(frame)});
    prints.push_back(footage.prints[frame].bits);
  }
}

void DuplicateIndex::add(Footage footage) {
  std::vector<Pdq> prints;
  enter(footage, prints);
  for (const Pdq& print : prints) frames_.add(print);
  looks_.add(footage.digest, std::move(footage.kept));
  footage.kept.clear();
  footage.asked.clear();
  footage.squares = {};
  footage_.push_back(std::move(footage));
}

std::vector<std::string> DuplicateIndex::load(std::vector<Footage> all,
                                              const std::filesystem::path& folder, Runs runs) {
  CLEARED_CHECK(footage_.empty());
  std::vector<Pdq> prints;
  std::vector<Digest> sources;
  for (Footage& footage : all) {
    enter(footage, prints);
    sources.push_back(footage.digest);
    footage_.push_back(std::move(footage));
  }
  std::vector<std::string> problems = frames_.load(folder, prints);
  for (std::string& problem : looks_.load(folder, sources, runs)) {
    problems.push_back(std::move(problem));
  }
  return problems;
}

void DuplicateIndex::save(const std::filesystem::path& folder) {
  frames_.save(folder);
  looks_.save();
}

Footage DuplicateIndex::whole_footage(size_t index) const {
  Footage out = footage_[index];
  out.sound = sounds_.of(index);
  out.kept = looks_.kept(index);
  out.asked = looks_.insets(index);
  return out;
}

void DuplicateIndex::vote_whole(const Track& track, Voting& voting) const {
  std::vector<Near> alike, few;
  const std::vector<uint32_t> asked = worth_asking(track, kAskedOfStill);
  for (const uint32_t i : asked) {
    frames_.near(track.prints[i].bits, alike);
    for (size_t from = 0, end = 0; from < alike.size(); from = end) {
      const uint32_t of = entries_[alike[from].id].footage;
      while (end < alike.size() && entries_[alike[end].id].footage == of) ++end;
      few.assign(alike.begin() + static_cast<ptrdiff_t>(from),
                 alike.begin() + static_cast<ptrdiff_t>(end));
      keep_nearest(few, asked.size());
      for (const Near& near : few) {
        voting.votes[of][Voting::kWhole].push_back({i, entries_[near.id].frame});
      }
    }
  }
}

void DuplicateIndex::vote_looks(const Question& question, Voting& voting) const {
  if (question.footage.kept.empty()) return;
  struct Asked {
    uint32_t pair, at;
  };
  std::vector<LookIndex::Hit> hits, few;
  for (size_t look = 0; look < kKeptLooks; ++look) {
    std::vector<Pdq> queries;
    std::vector<Asked> asked;
    for (uint32_t p = 0; p < look_pairs().size(); ++p) {
      const LookPair pair = look_pairs()[p];
      const Track* track = pair.kept == look ? question.track(pair) : nullptr;
      if (track == nullptr) continue;
      for (const uint32_t i : worth_asking(*track, kAskedOfStill / 3)) {
        if (track->prints[i].quality < kFeatureless) continue;
        queries.push_back(track->prints[i].bits);
        asked.push_back({p, i});
      }
    }
    for (size_t first = 0; first < queries.size(); first += kAskedAtOnce) {
      const auto some =
          std::span(queries).subspan(first).first(std::min(kAskedAtOnce, queries.size() - first));
      hits.clear();
      looks_.near(look, some, hits);
      std::sort(hits.begin(), hits.end(), [](const LookIndex::Hit& a, const LookIndex::Hit& b) {
        return std::tie(a.query, a.source, a.at) < std::tie(b.query, b.source, b.at);
      });
      for (size_t from = 0, end = 0; from < hits.size(); from = end) {
        const auto [query, source, at, bits] = hits[from];
        while (end < hits.size() && hits[end].query == query && hits[end].source == source) ++end;
        few.assign(hits.begin() + static_cast<ptrdiff_t>(from),
                   hits.begin() + static_cast<ptrdiff_t>(end));
        keep_nearest(few, question.footage.kept[look].prints.size());
        const Asked& by = asked[first + query];
        for (const LookIndex::Hit& hit : few) {
          voting.votes[source][by.pair].push_back({by.at, hit.at});
        }
      }
    }
  }
}

// Where looking closer may be worth it: a picture at a place is roughly one of an earlier source.
struct DuplicateIndex::Start {
  size_t picture = 0, place = 0;
  uint32_t at = 0;  // as Vote::of from the index
  int distance = 0;
};

// By source, of each the nearest first.
std::map<size_t, std::vector<DuplicateIndex::Start>> DuplicateIndex::starts(
    const Footage& footage) const {
  std::map<size_t, std::vector<Start>> out;
  struct Asked {
    size_t picture, place;
  };
  std::array<std::vector<Pdq>, kKeptLooks> queries;
  std::array<std::vector<Asked>, kKeptLooks> asked;
  for (const auto& [picture, place, bits] : footage.squares.rough) {
    queries[places()[place].kept].push_back(bits);
    asked[places()[place].kept].push_back({picture, place});
  }
  double pairs = 0;
  for (size_t look = 0; look < kKeptLooks; ++look) {
    pairs += double(queries[look].size()) * double(looks_.pictures(look));
  }
  const double seconds = footage.pts_us.empty() ? 1 : 1 + double(footage.pts_us.back()) / 1e6;
  const auto every = static_cast<size_t>(1 + pairs / (seconds * kRoughPairs));
  std::vector<LookIndex::Hit> found;
  for (size_t look = 0; look < kKeptLooks; ++look) {
    found.clear();
    looks_.roughly(look, queries[look], {.every = every, .most = kStarts}, found);
    for (const LookIndex::Hit& one : found) {
      const Asked& by = asked[look][one.query];
      out[one.source].push_back({by.picture, by.place, one.at, one.distance});
    }
  }
  std::vector<std::pair<int, size_t>> nearest;
  for (auto& [source, all] : out) {
    std::sort(all.begin(), all.end(),
              [](const Start& a, const Start& b) { return a.distance < b.distance; });
    nearest.emplace_back(all.front().distance, source);
  }
  std::sort(nearest.begin(), nearest.end());
  for (size_t i = kMostStarted; i < nearest.size(); ++i) out.erase(nearest[i].second);
  return out;
}

// The part at a place that fits, and where it is alike.
struct DuplicateIndex::Placed {
  KeptPlace place;
  Track track;
  std::vector<Vote> votes;

  const char* how() const {
    if (place.kept == kept_all) return "uncropped";
    return place.mirrored ? "mirrored, cropped" : "cropped";
  }
  bool is_about(const KeptPlace& other) const {
    const auto &a = place.part, &b = other.part;
    return place.kept == other.kept && place.mirrored == other.mirrored &&
           std::max({std::abs(a.x - b.x), std::abs(a.y - b.y), std::abs(a.width - b.width),
                     std::abs(a.height - b.height)}) < 0.01;
  }

  // The nearest picture of `of` to each of ours that is alike, the best of them first.
  static std::vector<PlacedPair> pairs(const Track& track, const Track& of,
                                       std::vector<Vote>* votes) {
    std::vector<Pdq> ours, theirs;
    std::vector<uint32_t> at, of_at;
    for (const uint32_t i : worth_asking(track, kAskedOfStill)) {
      if (track.prints[i].quality < kFeatureless) continue;
      ours.push_back(track.prints[i].bits);
      at.push_back(i);
    }
    for (uint32_t i = 0; i < of.prints.size(); ++i) {
      if (of.prints[i].quality < kFeatureless) continue;
      theirs.push_back(of.prints[i].bits);
      of_at.push_back(i);
    }
    auto near = near_of_all(ours, theirs);
    std::vector<std::pair<int, PlacedPair>> found;
    for (size_t i = 0; i < near.size(); ++i) {
      const auto best =
          std::min_element(near[i].begin(), near[i].end(),
                           [](const Near& a, const Near& b) { return a.distance < b.distance; });
      if (best == near[i].end()) continue;
      found.push_back({best->distance, {at[i], theirs[best->id], of_at[best->id]}});
      keep_nearest(near[i], ours.size());
      for (const Near& one : near[i]) {
        if (votes != nullptr) votes->push_back({at[i], of_at[one.id]});
      }
    }
    std::stable_sort(found.begin(), found.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    std::vector<PlacedPair> out;
    for (const auto& [bits, pair] : found) out.push_back(pair);
    return out;
  }

  // The place at which those pairs differ least. A look that reaches beyond the picture was asked
  // for because it is the largest: another one that lies in it whole may say more.
  static KeptPlace by_whole_look(const Squares& squares, const std::vector<Track>& kept,
                                 std::vector<PlacedPair> pairs, KeptPlace place) {
    double bits = fit(squares, pairs, place);
    if (place.kept == kept_all || lies_inside(place.part)) return place;
    for (const KeptPlace& other : other_looks(place)) {
      KeptPlace at = other;
      for (PlacedPair& pair : pairs) pair.of = kept[at.kept].prints[pair.at].bits;
      const double other_bits = fit(squares, pairs, at);
      if (other_bits >= bits) continue;
      bits = other_bits;
      place = at;
    }
    return place;
  }

  static std::vector<Placed> from(const std::vector<Start>& starts, const Footage& footage,
                                  const std::vector<Track>& kept) {
    std::vector<Placed> out;
    for (size_t i = 0; i < std::min(starts.size(), kStarts); ++i) {
      const Start& start = starts[i];
      KeptPlace place = places()[start.place];
      const Track& of = kept[place.kept];
      std::vector<Vote> at = votes_in(of, {{0, start.at}});
      if (at.empty() || fit(footage.squares, {{start.picture, of.prints[at[0].of].bits, at[0].of}},
                            place) > kAlike) {
        continue;
      }
      const auto known = [&] {
        return std::any_of(out.begin(), out.end(),
                           [&](const Placed& one) { return one.is_about(place); });
      };
      if (known()) continue;
      std::vector<PlacedPair> pairs = Placed::pairs(track_at(footage.squares, place), of, nullptr);
      if (pairs.size() < 2) continue;
      pairs.resize(std::min<size_t>(pairs.size(), kFitted));
      place = by_whole_look(footage.squares, kept, pairs, place);
      if (known()) continue;
      Placed one{place, track_at(footage.squares, place), {}};
      Placed::pairs(one.track, kept[place.kept], &one.votes);
      if (by_two_pictures(one.votes)) out.push_back(std::move(one));
    }
    return out;
  }
};

// A track of ours and one of an earlier source, and the best copy in them that is not set aside.
struct DuplicateIndex::Comparison {
  const Track& track;
  const Track& of;
  Alignment alignment;
  const char* how;
  bool whole;
  bool placed = false;  // the place was chosen so that they are alike
  size_t passed = 0;    // stretches that are set aside and no copies
  bool asked = false;
  std::optional<Stretch> answer = {};
  Match match = {};
  double score = 0;  // 0: no copy

  void put_found(const Stretch& found) {
    const bool touched =
        answer &&
        ((answer->start_us <= found.end_us && found.start_us <= answer->end_us) ||
         (answer->of_start_us <= found.of_end_us && found.of_start_us <= answer->of_end_us));
    if (alignment.put_found(found) || touched) asked = false;
  }
};

// What stands still for long is passed over: it would hide every copy that is shorter.
void DuplicateIndex::ask(Comparison& one, size_t of, const Footage& footage,
                         const Duplicates& rules, std::span<const Match> before) const {
  one.asked = true;
  one.score = 0;
  while ((one.answer = one.alignment.best())) {
    const Stretch& found = *one.answer;
    Match& match = one.match = {.of = of,
                                .start_us = found.start_us,
                                .end_us = found.end_us + frame_us(one.track.pts_us),
                                .of_start_us = found.of_start_us,
                                .of_end_us = found.of_end_us + frame_us(footage_[of].pts_us),
                                .distance = found.distance,
                                .audio_match = -1,
                                .speed = found.speed,
                                .weight = found.weight,
                                .how = one.how};
    if (found.speed == 1) {
      match.audio_match = sound_match(footage.sound, match.start_us, sounds_.of(of),
                                      match.of_start_us, match.end_us - match.start_us);
    }
    const bool copy = is_copy(match, found, rules, one.placed);
    const bool near =
        match.distance <= kNear || (match.weight >= kEditedWeight && match.speed == 1);
    if (copy && (near || one.passed == 0) && !is_worse_answer(match, before)) {
      // Of explanations that are about as good the plain one: nothing was done to the picture, and
      // no place was chosen for it.
      const double plain = one.whole ? 1.25 : one.placed ? 0.8 : 1;
      one.score = found.score * plain;
      return;
    }
    const bool still = is_long(match, rules) && match.weight < kMoves;
    if ((!copy && !still) || one.passed == kMostPassed) return;
    ++one.passed;
    one.alignment.put_refused(found);
  }
}

// The pictures beside a copy, as far as each is one of the other's at its moment, wherever it lies
// there: flat borders come and go in a dark film, and what the looks show goes with them.
struct DuplicateIndex::Grower {
  const Squares& squares;
  const std::vector<Track>& kept;
  const Aside& aside;
  PlacePrinter printer = {};
  std::vector<Fingerprint> prints = {};
  PlacePrinter::Axes all_of_it{{0, 0, 1, 1}};

  void grow(Stretch& found, Match& match) {
    if (squares.pts_us.empty() || kept.empty()) return;
    const auto after = static_cast<size_t>(
        std::upper_bound(squares.pts_us.begin(), squares.pts_us.end(), found.end_us) -
        squares.pts_us.begin());
    const auto before = static_cast<size_t>(
        std::lower_bound(squares.pts_us.begin(), squares.pts_us.end(), found.start_us) -
        squares.pts_us.begin());
    const Stretch first = found;
    grow(before, -1, first, found.start_us, found.of_start_us);
    grow(after, 1, first, found.end_us, found.of_end_us);
    match.start_us -= first.start_us - found.start_us;
    match.of_start_us -= first.of_start_us - found.of_start_us;
    match.end_us += found.end_us - first.end_us;
    match.of_end_us += found.of_end_us - first.of_end_us;
  }

 private:
  // From the picture `at` on, or from the one before it back, as long as they are alike.
  void grow(size_t at, int step, const Stretch& line, uint64_t& us, uint64_t& of_us) {
    const Track& all = kept[kept_all];
    const auto& theirs = all.pts_us;
    const double from_us = double(step < 0 ? line.start_us : line.end_us);
    const double of_from_us = double(step < 0 ? line.of_start_us : line.of_end_us);
    size_t unlike = 0;
    for (size_t n = 0; n < kMostGrown && unlike <= kUnlike; ++n) {
      const size_t i = step < 0 ? at - 1 - n : at + n;
      if (i >= squares.pts_us.size()) return;
      const double of = of_from_us + (double(squares.pts_us[i]) - from_us) * line.speed;
      const auto next =
          std::lower_bound(theirs.begin(), theirs.end(), static_cast<uint64_t>(std::max(of, 0.0)));
      auto j = static_cast<size_t>(next - theirs.begin());
      if (j == theirs.size() || (j > 0 && double(theirs[j]) - of > of - double(theirs[j - 1]))) {
        if (j == 0) return;
        --j;
      }
      if (std::abs(double(theirs[j]) - of) > double(kNearUs) ||
          aside.has(squares.pts_us[i], theirs[j])) {
        return;
      }
      if (!alike(i, j)) {
        ++unlike;
        continue;
      }
      unlike = 0;
      us = squares.pts_us[i];
      of_us = theirs[j];
    }
  }

  bool alike(size_t picture, size_t of) {
    printer.open(squares, picture);
    printer.print_all(prints);
    KeptPlace best{{0, 0, 1, 1}, kept_all};
    int least = 257;
    const auto compare = [&](const Fingerprint& print, const KeptPlace& place) {
      const Fingerprint& other = kept[place.kept].prints[of];
      if (print.quality < kFeatureless || other.quality < kFeatureless) return;
      const int bits = distance(print.bits, other.bits);
      if (bits < least) best = place;
      least = std::min(least, bits);
    };
    for (size_t i = 0; i < prints.size(); ++i) compare(prints[i], places()[i]);
    for (const bool mirrored : {false, true}) {
      const Fingerprint whole = printer.print(all_of_it, mirrored);
      for (uint8_t look = kept_all; look < kKeptLooks; ++look) {
        compare(whole, {{0, 0, 1, 1}, static_cast<KeptLook>(look), mirrored});
      }
    }
    return least <= kAlike ||
           (least <= kPlaced &&
            fit(squares, {{picture, kept[best.kept].prints[of].bits, of}}, best) <= kAlike);
  }
};

// Every copy, the best one first: each that is found may leave others to be found beside it.
std::vector<Match> DuplicateIndex::copies(std::vector<Comparison> all, size_t of,
                                          const Footage& footage, const std::vector<Track>& kept,
                                          const Duplicates& rules, Aside& aside) const {
  std::vector<Match> out;
  while (true) {
    const Comparison* best = nullptr;
    for (Comparison& one : all) {
      if (!one.asked) ask(one, of, footage, rules, out);
      if (one.score > (best == nullptr ? 0 : best->score)) best = &one;
    }
    if (best == nullptr) return out;
    out.push_back(best->match);
    Stretch found = *best->answer;
    Grower{footage.squares, kept, aside}.grow(found, out.back());
    aside.put_found(found);
    for (Comparison& one : all) one.put_found(found);
  }
}

std::vector<Match> DuplicateIndex::find(const Footage& footage, const Duplicates& rules,
                                        Self self) const {
  CLEARED_CHECK(footage.pts_us.size() == footage.prints.size());
  const Track whole = thinned(footage);
  const Question question{footage};
  Voting voting;
  vote_whole(whole, voting);
  vote_looks(question, voting);
  std::map<size_t, std::vector<SoundRun>> heard;
  for (const SoundRun& run : sounds_.find(footage.sound, least_items(rules))) {
    heard[run.source].push_back(run);
    voting.votes[static_cast<uint32_t>(run.source)];
  }
  for (size_t of = 0; self == Self::also && of < footage_.size(); ++of) {
    if (footage_[of].digest == footage.digest) voting.votes[static_cast<uint32_t>(of)];
  }

  const auto started = starts(footage);
  for (const auto& [of, all] : started) voting.votes[static_cast<uint32_t>(of)];

  std::vector<Match> out, sounds;
  for (auto& [of, by_pair] : voting.votes) {
    if (self == Self::never && footage_[of].digest == footage.digest) continue;
    std::optional<Track> pictures;  // both made where there is something to compare
    std::optional<std::vector<Track>> kept;
    std::vector<Comparison> comparisons;
    for (auto& [p, votes] : by_pair) {
      if (!by_two_pictures(votes)) continue;
      if (p == Voting::kWhole) {
        pictures = Track{footage_[of].pts_us, footage_[of].prints};
        comparisons.push_back(
            {whole, *pictures, Alignment(whole, *pictures, std::move(votes)), "whole", true});
        continue;
      }
      if (!kept) kept = looks_.kept(of);
      if (kept->empty()) continue;
      const LookPair pair = look_pairs()[p];
      const Track& look = (*kept)[pair.kept];
      const Track& track = *question.track(pair);
      comparisons.push_back({track, look, Alignment(track, look, votes_in(look, std::move(votes))),
                             describe(pair), false});
    }
    std::vector<Placed> placed;
    if (const auto at = started.find(of); at != started.end()) {
      if (!kept) kept = looks_.kept(of);
      if (!kept->empty()) placed = Placed::from(at->second, footage, *kept);
    }
    for (Placed& one : placed) {
      const Track& look = (*kept)[one.place.kept];
      comparisons.push_back({one.track, look, Alignment(one.track, look, std::move(one.votes)),
                             one.how(), false, true});
    }
    Aside aside;
    static const std::vector<Track> nothing;
    std::vector<Match> found =
        copies(std::move(comparisons), of, footage, kept ? *kept : nothing, rules, aside);
    for (const SoundRun& run : heard[of]) {
      if (!pictures) pictures = Track{footage_[of].pts_us, footage_[of].prints};
      const auto copy = copy_by_sound(whole, *pictures, run, rules, aside);
      if (copy) found.push_back(*copy);
    }
    if (found.empty() && footage_[of].digest == footage.digest) {
      found.push_back(same_bytes(of, footage));
    }
    Seconds ours, theirs;
    for (const Match& match : found) {
      ours.add(match.start_us, match.end_us);
      theirs.add(match.of_start_us, match.of_end_us);
    }
    for (const SoundRun& run : heard[of]) {
      const Match match = sound_span(run);
      const uint64_t told_us = std::min(ours.length_us(match.start_us, match.end_us),
                                        theirs.length_us(match.of_start_us, match.of_end_us));
      if (double(match.end_us - match.start_us - told_us) > kSoundWindowUs) sounds.push_back(match);
    }
    out.insert(out.end(), found.begin(), found.end());
  }
  const auto longest_first = [](const Match& a, const Match& b) {
    return a.end_us - a.start_us > b.end_us - b.start_us;
  };
  std::stable_sort(out.begin(), out.end(), longest_first);
  std::stable_sort(sounds.begin(), sounds.end(), longest_first);
  out.insert(out.end(), sounds.begin(), sounds.end());
  return out;
}

// Two people who do the same in one room look like copies of one another from afar.
std::vector<Match> DuplicateIndex::answer(const Footage& footage, const Duplicates& rules) const {
  const std::vector<Match> all = find(footage, rules, Self::also);
  const auto is_far_nearer = [&](const Match& other, const Match& match) {
    return other.of != match.of && footage_[other.of].digest != footage.digest &&
           !other.sound_alone() && other.distance + kMuchNearer < match.distance &&
           share(match.start_us, match.end_us, other.start_us, other.end_us) > 0.5;
  };
  std::vector<Match> out;
  for (const Match& match : all) {
    const bool only_alike = match.distance > kOnlyAlike && match.audio_match < kSoundAgrees;
    const bool known_better = std::any_of(
        all.begin(), all.end(), [&](const Match& other) { return is_far_nearer(other, match); });
    if (!only_alike || !known_better) out.push_back(match);
  }
  return out;
}

std::vector<uint64_t> DuplicateIndex::pictures_alike(std::span<const Fingerprint> prints) const {
  std::vector<uint64_t> out(footage_.size());
  std::vector<size_t> counted(footage_.size(), SIZE_MAX);  // the picture that was last
  std::vector<Near> alike;
  for (size_t i = 0; i < prints.size(); ++i) {
    if (prints[i].quality < kFeatureless) continue;
    frames_.near(prints[i].bits, alike);
    for (const Near& near : alike) {
      const uint32_t of = entries_[near.id].footage;
      if (std::exchange(counted[of], i) != i) ++out[of];
    }
  }
  return out;
}

}  // namespace cleared::curate
