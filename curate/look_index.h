// Whose pictures have a part that looks like this? The kept looks (curate/looks.h) of many sources,
// each of the thirteen searched like whole pictures: every one within kAlike bits, and never one
// less. Beside a ledger it is files that are mapped into memory (docs/formats/index.md); what is in
// memory for good is some 84 bytes a source.
//
// Sources gather until they have 4096 pictures, compared one by one; then they become a run, and
// two neighbouring runs of about the same size are merged. Reading is safe from any thread;
// everything else is not.
#pragma once

#include <array>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "curate/align.h"
#include "curate/looks.h"
#include "curate/search.h"
#include "ledger/base/bytes.h"

namespace cleared::curate {

// May files of an index folder be written?
enum class Runs { read, write };

class LookIndex {
 public:
  // Once, before all else, for an index that is not to stay in memory: the runs of `folder` as far
  // as they hold `sources`, in this order, and the rest from the sources' own files. Returns what
  // was wrong with runs that were not used, a line each.
  std::vector<std::string> load(const std::filesystem::path& folder,
                                std::span<const Digest> sources, Runs runs);
  // Before load(): the looks of this source, counted from 0, are about to be others than those in
  // the runs of `folder`, which are removed as far as they hold it.
  static void forget(const std::filesystem::path& folder, size_t source);
  // One track a look, or none. Beside a ledger the source's own file is there already.
  void add(const Digest& source, std::vector<Track> kept);
  // What has gathered becomes a run; nothing without a folder to write to.
  void save();

  struct Hit {
    uint32_t query = 0, source = 0;
    uint32_t at = 0;  // in the track of the source, those below kFeatureless not counted
    int distance = 0;
    bool operator==(const Hit&) const = default;
  };
  // Of the look `look` what is near each query; appended, in no order.
  void near(size_t look, std::span<const Pdq> queries, std::vector<Hit>& out) const;

  // For looking closer: of each source the nearest pictures, far beyond kAlike, though seldom by
  // chance; at most `most`, of different queries; appended. Every `every`th picture is compared.
  struct RoughLimits {
    size_t every = 1, most = 1;
  };
  void roughly(size_t look, std::span<const Pdq> queries, RoughLimits limits,
               std::vector<Hit>& out) const;

  std::vector<Track> kept(size_t source) const;    // from its file, where there is a folder
  std::vector<Track> insets(size_t source) const;  // as read_insets(); none without a folder
  uint64_t pictures(size_t look) const;
  size_t size() const { return sealed_ + tail_.sources.size(); }
  uint64_t size_bytes() const;

 private:
  using Counts = std::array<uint32_t, kKeptLooks>;
  std::vector<uint32_t> tail_ends(size_t look) const;  // of the sources of tail_, by their pictures
  struct Run {
    std::vector<Digest> sources;
    std::vector<Counts> counts;  // pictures of each source, look by look
    std::array<std::optional<SearchRun>, kKeptLooks> parts;
    std::array<std::vector<uint32_t>, kKeptLooks> ends;  // of each source, in its part

    static Run open(const std::filesystem::path& path);
    void write(const std::filesystem::path& path,
               const std::function<SearchRun(size_t)>& part) const;
    uint64_t prints() const;
    void count_ends();
  };
  struct Tail {
    std::vector<Digest> sources;
    std::vector<Counts> counts;
    std::array<std::vector<Pdq>, kKeptLooks> prints;
  };
  void gather(const Digest& source, std::span<const Track> kept);
  void seal();

  std::filesystem::path folder_;  // empty: all of it stays in memory
  Runs keep_ = Runs::read;
  std::vector<Run> runs_;  // oldest and largest first
  size_t sealed_ = 0;      // sources in them
  Tail tail_;
  std::vector<std::vector<Track>> kept_;  // without a folder
  std::vector<Digest> sources_;           // with one
};

}  // namespace cleared::curate
