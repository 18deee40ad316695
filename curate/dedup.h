// Finds footage that is there already: the same pictures in the same order, whatever became of
// their size, encoding, speed and length, and also when they were cropped, turned, mirrored, put
// into a frame or partly covered. One thread.
//
// Frames vote: whole pictures that differ in at most 31 bits (curate/search.h finds every such
// pair), and parts and turns of pictures (curate/looks.h). curate/align.h follows the votes to the
// stretches that two sources have in common; here it is judged whether that is a copy. Where the
// sound is the same (curate/sound_index.h), pictures that nobody would vote for are compared, too.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "curate/align.h"
#include "curate/look_index.h"
#include "curate/pdq.h"
#include "curate/places.h"
#include "curate/search.h"
#include "curate/sound_index.h"
#include "ledger/base/bytes.h"

namespace cleared::curate {

class Duplicates;

// Everything of a source that is compared.
struct Footage {
  Digest digest;
  std::vector<uint64_t> pts_us;  // increasing
  std::vector<Fingerprint> prints;
  std::vector<uint32_t> sound;  // Chromaprint items; may be empty
  std::vector<Track> kept;      // one a look, or none: then only whole pictures are compared
  std::vector<Track> asked;     // of use to find() alone; without turns it makes them of `kept`
  Squares squares = {};         // the same; without them crops off the middle are not looked for
};

// A span that two sources have in common.
struct Match {
  size_t of = 0;                            // index of the earlier source, in order of add()
  uint64_t start_us = 0, end_us = 0;        // in the later one
  uint64_t of_start_us = 0, of_end_us = 0;  // in the earlier one
  double distance = 0;  // mean over the aligned frames, of 256 bits; -1: only the sound is the same
  double audio_match = -1;    // as sound_match()
  double speed = 1;           // of the earlier one, as Stretch
  double weight = 0;          // as Stretch: what speaks against chance
  const char* how = "whole";  // as describe(LookPair), "sound" alone, or "the same bytes"

  // No copy, but a question for a person.
  bool sound_alone() const { return distance < 0; }
  // As the earlier one has it.
  Match reversed() const {
    Match out = *this;
    std::swap(out.start_us, out.of_start_us);
    std::swap(out.end_us, out.of_end_us);
    out.speed = 1 / speed;
    return out;
  }
};

// Whether a source may match itself. Recording: no. For a question about a file: yes, and then the
// very same bytes are a match of the whole, whatever they show.
enum class Self { never, also };

// `rules`, and no looser than the defaults: a config decides about a licensor's own footage, and
// not about what is refused for the sake of others.
Duplicates no_looser(const Duplicates& rules);

class DuplicateIndex {
 public:
  void add(Footage footage);
  // All of a ledger at once, with the runs of an index folder as SearchIndex::load(). Its looks
  // stay in their files and need not be given.
  std::vector<std::string> load(std::vector<Footage> all, const std::filesystem::path& folder,
                                Runs runs);
  void save(const std::filesystem::path& folder);

  // The common stretches with each earlier source, the longest first; then where only the sound is
  // that of an earlier source. Featureless frames (PDQ quality below 50) neither match nor speak
  // against a match, and a stretch in which nothing moves is no match.
  std::vector<Match> find(const Footage& footage, const Duplicates& rules,
                          Self self = Self::never) const;
  // The same for a person who asks, who may be the source itself: without matches that are only
  // alike where another source has those seconds by far nearer. What is recorded keeps them, for
  // who delivers a copy twice could else take its match away.
  std::vector<Match> answer(const Footage& footage, const Duplicates& rules) const;

  // Of these pictures, how many look like one of each earlier source: within 31 bits.
  std::vector<uint64_t> pictures_alike(std::span<const Fingerprint> prints) const;

  const Footage& footage(size_t index) const { return footage_[index]; }  // pictures alone
  Footage whole_footage(size_t index) const;
  size_t size() const { return footage_.size(); }

 private:
  struct Entry {
    uint32_t footage = 0, frame = 0;
  };
  struct Question;
  struct Voting;
  struct Comparison;
  struct Start;
  struct Placed;
  struct Grower;
  void enter(Footage& footage, std::vector<Pdq>& prints);
  void vote_whole(const Track& track, Voting& voting) const;
  void vote_looks(const Question& question, Voting& voting) const;
  std::map<size_t, std::vector<Start>> starts(const Footage& footage) const;
  void ask(Comparison& one, size_t of, const Footage& footage, const Duplicates& rules,
           std::span<const Match> before) const;
  std::vector<Match> copies(std::vector<Comparison> all, size_t of, const Footage& footage,
                            const std::vector<Track>& kept, const Duplicates& rules,
                            Aside& aside) const;

  std::vector<Footage> footage_;
  std::vector<Entry> entries_;  // by position in frames_
  SearchIndex frames_;
  LookIndex looks_;
  SoundIndex sounds_;
};

}  // namespace cleared::curate
