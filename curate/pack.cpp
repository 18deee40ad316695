#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>

#include <nlohmann/json.hpp>

#include "curate/clips.h"
#include "curate/facts.h"
#include "curate/parallel.h"
#include "curate/pipeline.h"
#include "curate/protect.h"
#include "curate/worker.pb.h"
#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/shard.h"
#include "ledger/shard_facts.h"
#include "ledger/titles.h"

namespace cleared::curate {
namespace fs = std::filesystem;
namespace {

// A clip on its way into a shard, as the ledger has it.
struct PackedClip {
  std::string id, source, path, caption;              // id and source in hex
  uint64_t start_us = 0, end_us = 0, size_bytes = 0;  // the size is its source's
  double aspect = 1;                                  // width / height of its source
  bool lost_caption = false;                          // it had one that is on record as deleted
  size_t series = 0;                                  // where a new one belongs
};

// What the samples of a series of shards have in common.
struct Series {
  std::string prefix;  // of the shards' names: PREFIX-000000.tar
  uint32_t width = 0, height = 0, frames = 0;
};

struct PlannedShard {
  std::string name;
  std::string root;  // hex; empty: a new one
  bool revoked = false;
  std::string deleted;  // the record that says so; empty: none does
  size_t series = 0;
  std::vector<PackedClip> clips;
};

// Neighbouring clips of one source, not too many: decoded in one pass.
struct CutTask {
  std::string source, path;
  size_t series = 0;
  std::vector<PackedClip> clips;
};

// A film is decoded once for so many pixels that are encoded: more often where that is a small part
// of the work, and never so many that the time of a worker does not do (VP9 takes some 3 million a
// second of one core, AV1 five times as long).
uint64_t most_pixels_a_task(ShardCodec codec) {
  return codec == AV1 ? 800'000'000 : 4'000'000'000;
}

// A film that cannot be cut.
struct CannotBeCut {
  std::string source, path, why;
};

constexpr const char* kClipColumns =
    "SELECT c.id, s.digest, s.path, c.caption, c.start_us, c.end_us, "
    "s.width, s.height, s.size_bytes, c.caption <> '' AND EXISTS "
    "(SELECT 1 FROM deletion d WHERE d.source = s.seq AND d.what = 'CAPTION') "
    "FROM clip c JOIN source s ON s.seq = c.source ";

PackedClip clip_of(const ledger::Statement& row) {
  const bool lost_caption = row.integer(9) != 0;
  return {.id = row.text(0),
          .source = row.text(1),
          .path = row.text(2),
          .caption = lost_caption ? "" : row.text(3),
          .start_us = row.unsigned_integer(4),
          .end_us = row.unsigned_integer(5),
          .size_bytes = row.unsigned_integer(8),
          .aspect = double(std::max<int64_t>(row.integer(6), 1)) /
                    double(std::max<int64_t>(row.integer(7), 1)),
          .lost_caption = lost_caption};
}

// One for each size and each length, in the order of the config.
std::vector<Series> series_of(const Config& config) {
  std::vector<Series> out;
  const Shards& shards = config.shards();
  const auto add = [&](const std::string& name, uint32_t width, uint32_t height) {
    const auto add_length = [&](uint32_t frames) {
      const std::string length =
          config.clips().longer_size() == 0 ? "" : "-" + std::to_string(frames) + "f";
      out.push_back({.prefix = name + length, .width = width, .height = height, .frames = frames});
    };
    add_length(config.clips().frames());
    for (const uint32_t frames : config.clips().longer()) add_length(frames);
  };
  for (const Bucket& bucket : shards.bucket()) {
    add(shards.name() + "-" + bucket.name(), bucket.width(), bucket.height());
  }
  if (out.empty()) add(shards.name(), shards.width(), shards.height());
  return out;
}

Digest digest_of(const std::string& hex) {
  const auto digest = parse_digest(hex);
  CLEARED_CHECK(digest.has_value());
  return *digest;
}

class Pack {
 public:
  Pack(const PackOptions& options, const Config& config,
       const std::function<void(const ShardReport&)>& report,
       const std::function<void(const std::string&, const std::string&)>& left_out)
      : options_(options),
        config_(config),
        series_(series_of(config)),
        report_(report),
        left_out_(left_out),
        store_(options.ledger, options.dry_run ? ledger::Access::read : ledger::Access::append),
        rights_(store_),
        protected_(protected_works(store_)) {
    if (!options.dry_run) record_works(store_, protected_);
    if (protected_.size() > 0) index_ = read_index(store_);
  }

  PackSummary run() {
    read_conflicted();
    for (PlannedShard& shard : recorded_shards()) plan_again(std::move(shard));
    find_new();
    plan_new();
    if (options_.dry_run) {
      for (const PlannedShard& shard : planned_)
        tell(shard.name, shard.root, shard.clips.size(), 0, false);
      return summary_;
    }
    make_folders(options_.out);
    while (const auto film = make_planned()) leave_out(*film);
    sign_if_keyed(store_, options_.log_key);
    return summary_;
  }

 private:
  // Up to the first film that cannot be cut: that one. What was made stays made, and the rest is to
  // be planned without it.
  std::optional<CannotBeCut> make_planned() {
    const std::vector<CutTask> tasks = cut_tasks();
    size_t made = 0;
    std::optional<CannotBeCut> failed;
    std::vector<ledger::SampleMembers> samples;
    try {
      in_order(
          tasks.size(), options_.jobs, [&](size_t i) { return cut_clips(tasks[i]); },
          [&](size_t, std::vector<ledger::SampleMembers> cut) {
            for (ledger::SampleMembers& sample : cut) {
              samples.push_back(std::move(sample));
              if (samples.size() < planned_[made].clips.size()) continue;
              finish(planned_[made++], samples);
              samples.clear();
            }
          });
    } catch (const CannotBeCut& film) {
      failed = film;
    }
    planned_.erase(planned_.begin(), planned_.begin() + static_cast<ptrdiff_t>(made));
    return failed;
  }

  void leave_out(const CannotBeCut& film) {
    store_.append({refusal_fact("curate", film.path, digest_of(film.source), "uncut", film.why)});
    ++summary_.left_out;
    left_out_(printable(film.path), film.why);
    const auto is_of_it = [&](const PackedClip& clip) { return clip.source == film.source; };
    std::erase_if(planned_, [&](const PlannedShard& shard) {
      if (shard.root.empty()) return true;  // planned anew below
      const bool lost = std::any_of(shard.clips.begin(), shard.clips.end(), is_of_it);
      if (lost) left_out_(shard.name, "is not made again: " + printable(film.path) + " is in it");
      return lost;
    });
    for (auto& clips : new_clips_) {
      std::erase_if(clips, [&](const PackedClip& clip) {
        return is_of_it(clip) || packed_.contains(clip.id);
      });
    }
    plan_new();
  }

  void read_conflicted() {
    ledger::Statement row(store_.db(),
                          "SELECT id FROM clip WHERE seq IN (SELECT clip FROM conflicted_clip)");
    while (row.next()) conflicted_.insert(row.text(0));
  }

  // Shards of the config's name that the ledger has, in the order in which they were made.
  std::vector<PlannedShard> recorded_shards() const {
    std::vector<PlannedShard> shards;
    ledger::Statement row(
        store_.db(),
        "SELECT name, root, seq, EXISTS (SELECT 1 FROM revocation r WHERE r.shard = h.seq), "
        "COALESCE((SELECT MIN(d.seq) FROM deletion d WHERE d.shard = h.seq), '') "
        "FROM shard h ORDER BY seq");
    ledger::Statement clips(store_.db(), std::string(kClipColumns) +
                                             "JOIN sample p ON p.clip = c.seq WHERE p.shard = ? "
                                             "ORDER BY p.position");
    while (row.next()) {
      PlannedShard shard{.name = row.text(0),
                         .root = row.text(1),
                         .revoked = row.integer(3) != 0,
                         .deleted = row.text(4),
                         .clips = {}};
      const std::string prefix = shard.name.substr(0, shard.name.rfind('-'));
      const auto series = std::find_if(series_.begin(), series_.end(),
                                       [&](const Series& s) { return s.prefix == prefix; });
      if (series == series_.end()) continue;
      shard.series = static_cast<size_t>(series - series_.begin());
      for (clips.with(row.integer(2)); clips.next();) shard.clips.push_back(clip_of(clips));
      shards.push_back(std::move(shard));
    }
    return shards;
  }

  void plan_again(PlannedShard shard) {
    ++made_before_[shard.series];
    for (const PackedClip& clip : shard.clips) packed_.insert(clip.id);
    const fs::path tar = options_.out / shard.name;
    if (fs::exists(tar)) {
      const ledger::Manifest manifest = ledger::read_manifest(tar);
      if (to_hex(ledger::shard_root(manifest)) != shard.root ||
          fs::file_size(tar) != manifest.size_bytes) {
        throw Error(Errc::corrupt, "shard ", tar.string(),
                    ": is not the one that the ledger has under this name; move it away and run "
                    "this again to make it anew");
      }
      require_samples(tar, manifest, series_[shard.series]);
      tell(shard.name, shard.root, shard.clips.size(), manifest.size_bytes, true);
      if (!shard.deleted.empty()) {
        ++summary_.left_out;
        left_out_(shard.name,
                  "is there, though record " + shard.deleted + " says that it was deleted");
      }
      look_again(shard);
      return;
    }
    if (shard.revoked || !shard.deleted.empty()) {  // it is not there, and that is as it should be
      left_out_(shard.name, "is not made again: " +
                                (shard.revoked ? std::string("it was taken back")
                                               : "it was deleted, record " + shard.deleted));
      return;
    }
    const auto all = [&](const auto& is) {
      return std::all_of(shard.clips.begin(), shard.clips.end(), is);
    };
    bool whole = all([&](const PackedClip& clip) {
      return !conflicted_.contains(clip.id) && !clip.lost_caption && usable(clip) && cleared(clip);
    });
    if (whole) locate(shard.clips);
    whole = whole && all([&](const PackedClip& clip) { return is_here(clip); });
    if (whole) {
      planned_.push_back(std::move(shard));
    } else {
      left_out_(shard.name, "is not made again: some of what was in it may not be used now");
    }
  }

  // A run is given all shards of a series, so all have samples of one kind.
  void require_samples(const fs::path& tar, const ledger::Manifest& manifest,
                       const Series& series) const {
    if (manifest.samples.empty()) return;
    const ledger::ManifestSample& first = manifest.samples.front();
    const std::string bytes = read_range(tar, first.offset, first.size_bytes);
    if (ledger::sha256(bytes) != first.digest) {
      throw Error(Errc::corrupt, "shard ", tar.string(),
                  ": its first sample is damaged; move it away and run this again to make it anew");
    }
    const auto said =
        nlohmann::json::parse(ledger::parse_sample(bytes, first.key)["json"], nullptr, false);
    const auto value = [&](const char* name) {
      return said.is_object() ? said.value(name, nlohmann::json()).dump() : "?";
    };
    const auto text = [](const auto& width, const auto& height, const auto& frames,
                         const auto& fps) {
      return width + " x " + height + ", " + frames + " frames at " + fps + " a second";
    };
    const std::string there = text(value("width"), value("height"), value("frames"), value("fps"));
    const std::string here =
        text(std::to_string(series.width), std::to_string(series.height),
             std::to_string(series.frames), std::to_string(config_.clips().fps()));
    if (there == here) return;
    throw Error(Errc::config, "shard ", tar.string(), ": its samples are ", there,
                ", and those of this config ", here,
                ": give its shards another name, shards.name or the bucket's, and they are packed "
                "beside these");
  }

  // It is there, and what it shows or sounds like may have been protected since.
  void look_again(const PlannedShard& shard) {
    if (shard.revoked) return;
    for (const PackedClip& clip : shard.clips) {
      const std::string why = shown_in(clip.source);
      if (why.empty()) {
        if (!works_in(clip.source).empty()) cleared(clip);
        continue;
      }
      ++summary_.left_out;
      return left_out_(shard.name,
                       "is there, and holds " + printable(clip.path) + ": protected: " + why +
                           "; take it back: " + take_back(options_.ledger, shard.name, shard.root));
    }
  }

  // What no shard holds yet, by series.
  void find_new() {
    ledger::Statement row(store_.db(), std::string(kClipColumns) + "WHERE " +
                                           ledger::standing_sql() +
                                           " = 'kept' ORDER BY s.path, s.digest, c.start_us");
    std::vector<PackedClip> kept;
    new_clips_.resize(series_.size());
    while (row.next()) {
      kept.push_back(clip_of(row));
      kept.back().series = series_for(kept.back());
    }
    std::erase_if(kept, [&](const PackedClip& clip) {  // judging may append: all was read before
      return packed_.contains(clip.id) || !usable(clip) || !is_of_a_length(clip) || !cleared(clip);
    });
    locate(kept);
    for (PackedClip& clip : kept) {
      if (is_here(clip)) new_clips_[clip.series].push_back(std::move(clip));
    }
  }

  void plan_new() {
    for (size_t series = 0; series < series_.size(); ++series) {
      plan_series(series, new_clips_[series]);
    }
  }

  void plan_series(size_t series, const std::vector<PackedClip>& clips) {
    const size_t each = config_.shards().samples_per_shard();
    size_t number = made_before_[series];
    for (size_t first = 0; first < clips.size(); first += each, ++number) {
      const std::string digits = std::to_string(number);
      const std::string padding(digits.size() < 6 ? 6 - digits.size() : 0, '0');
      const size_t end = std::min(first + each, clips.size());
      planned_.push_back({.name = series_[series].prefix + "-" + padding + digits + ".tar",
                          .root = "",
                          .deleted = "",
                          .series = series,
                          .clips = {clips.begin() + static_cast<ptrdiff_t>(first),
                                    clips.begin() + static_cast<ptrdiff_t>(end)}});
    }
  }

  double frames_of(const PackedClip& clip) const {
    return double(clip.end_us - clip.start_us) * config_.clips().fps() / 1e6;
  }

  // Clips that were made by a config of other lengths would be cut short, or stand still at the
  // end. Said once a source.
  bool is_of_a_length(const PackedClip& clip) {
    if (has_length(config_.clips(), clip.end_us - clip.start_us)) return true;
    if (other_length_.insert(clip.source).second) {
      ++summary_.left_out;
      left_out_(printable(clip.path),
                "its clips last " + std::to_string(std::lround(frames_of(clip))) + " frames at " +
                    std::to_string(config_.clips().fps()) +
                    " a second, which is no length of this config: pack them with the config that "
                    "they were ingested with");
    }
    return false;
  }

  // Of the shape and the length that are nearest to the clip's; of two, the first.
  size_t series_for(const PackedClip& clip) const {
    const double frames = frames_of(clip);
    const auto off = [&](const Series& series) {
      return std::make_pair(std::abs(std::log(clip.aspect * series.height / series.width)),
                            std::abs(frames - series.frames));
    };
    const auto nearest =
        std::min_element(series_.begin(), series_.end(),
                         [&](const Series& a, const Series& b) { return off(a) < off(b); });
    return static_cast<size_t>(nearest - series_.begin());
  }

  // May the source of this clip be encoded now? Asked once a source.
  bool usable(const PackedClip& clip) {
    const auto [it, first] = usable_.try_emplace(clip.source, false);
    if (!first) return it->second;
    const ledger::SourceVerdict rights =
        rights_.judge_source(clip.path, digest_of(clip.source), ledger::ENCODE);
    ledger::Verdict verdict = rights.verdict;
    const std::string shown = shown_in(clip.source);
    if (verdict.cleared && !shown.empty()) verdict = ledger::no("protected", shown);
    std::string why;
    if (!verdict.cleared) {
      why = verdict.rule + ": " + verdict.fact;
      if (!options_.dry_run) {
        store_.append({refusal_fact("curate", clip.path, digest_of(clip.source), verdict.rule,
                                    verdict.recorded())});
      }
    }
    if (!why.empty()) {
      ++summary_.left_out;
      left_out_(printable(clip.path), why);
    }
    licences_[clip.source] = rights.licences;
    return it->second = why.empty();
  }

  bool is_here(const PackedClip& clip) const { return !files_.at(clip.source).empty(); }

  // Finds the bytes of their usable sources below the delivery: by path, and by size and digest
  // where they were moved or are changed there. Once a source, several at a time.
  void locate(const std::vector<PackedClip>& clips) {
    std::vector<std::pair<PackedClip, std::vector<fs::path>>> sources;
    for (const PackedClip& clip : clips) {
      if (files_.try_emplace(clip.source).second) sources.push_back({clip, places_of(clip)});
    }
    in_order(
        sources.size(), options_.jobs,
        [&](size_t i) {
          const auto& [clip, places] = sources[i];
          const auto found = std::find_if(places.begin(), places.end(), [&](const fs::path& file) {
            return has_digest(file, clip.source);
          });
          return found == places.end() ? fs::path() : *found;
        },
        [&](size_t i, fs::path file) {
          const PackedClip& clip = sources[i].first;
          if (file.empty()) {
            ++summary_.left_out;
            left_out_(printable(clip.path),
                      fs::exists(options_.delivery / clip.path)
                          ? "its bytes have changed since it was ingested: restore the file"
                          : "is not below " + options_.delivery.string() +
                                ": name the folder that it came in");
          }
          files_[clip.source] = std::move(file);
        });
  }

  // Where a file of its size is, first by the path on record, and by no path where other licences
  // would count as well.
  std::vector<fs::path> places_of(const PackedClip& clip) {
    if (!by_size_) {
      by_size_.emplace();
      for (DeliveredFile& file : list_delivery(options_.delivery)) {
        std::error_code none;
        const auto size = fs::is_regular_file(file.file, none) ? fs::file_size(file.file, none) : 0;
        (*by_size_)[size].push_back(std::move(file));
      }
    }
    std::vector<fs::path> out;
    for (const DeliveredFile& file : (*by_size_)[clip.size_bytes]) {
      const auto here = rights_.licences_at(file.path, digest_of(clip.source));
      const auto& judged = licences_.at(clip.source);
      if (file.path == clip.path) {
        out.insert(out.begin(), file.file);
      } else if (std::includes(judged.begin(), judged.end(), here.begin(), here.end())) {
        out.push_back(file.file);
      }
    }
    return out;
  }

  static bool has_digest(const fs::path& file, const std::string& digest) {
    try {
      return to_hex(open_source(file).digest) == digest;
    } catch (const Error& error) {
      if (error.code() == Errc::io) throw;  // the machine, not the file
      return false;
    }
  }

  // May this clip of a usable source be encoded? It may be stricter than its licence.
  bool cleared(const PackedClip& clip) {
    const std::vector<ledger::ClipFinding> findings = findings_of(clip);
    const Digest source = digest_of(clip.source);
    const auto copies = rights_.copies_of(source, clip.start_us, clip.end_us);
    if (findings.empty() && copies.empty()) return true;
    const ledger::Verdict verdict =
        rights_.judge_source(clip.path, source, ledger::Act{ledger::ENCODE}, {}, findings, copies)
            .verdict;
    if (verdict.cleared) return true;
    if (!options_.dry_run) {
      store_.append({refusal_fact("curate", clip.path, digest_of(clip.source), verdict.rule,
                                  "clip " + clip.id + ": " + verdict.recorded())});
    }
    ++summary_.left_out;
    left_out_(printable(clip.path) + " clip " + clip.id.substr(0, 16),
              verdict.rule + ": " + verdict.fact);
    return false;
  }

  // What is on record, and the sound of works that were protected since.
  std::vector<ledger::ClipFinding> findings_of(const PackedClip& clip) {
    const auto recorded = rights_.findings_of(clip.id);
    std::vector<ledger::ClipFinding> out(recorded.begin(), recorded.end());
    for (const ProtectedMatch& one : works_in(clip.source)) {
      if (clip.start_us >= one.match.end_us || one.match.start_us >= clip.end_us) continue;
      const auto heard = sound_finding({one.match, "the protected work " + one.name});
      const bool known = std::any_of(recorded.begin(), recorded.end(), [&](const auto& finding) {
        return finding.reason == heard.reason && finding.origin == heard.origin;
      });
      if (known) continue;
      out.push_back(heard);
      if (!options_.dry_run) store_.append({clearance_fact(digest_of(clip.id), heard, "")});
    }
    return out;
  }

  // Which protected work the source shows, and where; empty: none.
  std::string shown_in(const std::string& source) {
    const auto& works = works_in(source);
    if (works.empty() || works.front().match.sound_alone()) return "";
    return describe(works.front().match, works.front().name);
  }

  // Works are asked again: one that was protected since this source was ingested keeps it out from
  // now on. Asked once a source.
  const std::vector<ProtectedMatch>& works_in(const std::string& source) {
    const auto [it, first] = works_in_.try_emplace(source);
    for (size_t i = 0; first && i < index_.size(); ++i) {
      if (index_.footage(i).digest != digest_of(source)) continue;
      it->second = protected_.find(index_.whole_footage(i), config_.duplicates());
    }
    return it->second;
  }

  std::vector<CutTask> cut_tasks() const {
    std::vector<CutTask> tasks;
    for (const PlannedShard& shard : planned_) {
      const Series& series = series_[shard.series];
      const uint64_t pixels = uint64_t{series.width} * series.height * series.frames;
      const size_t most =
          std::max<uint64_t>(1, most_pixels_a_task(config_.shards().codec()) / pixels);
      for (const PackedClip& clip : shard.clips) {
        const bool joins = !tasks.empty() && tasks.back().source == clip.source &&
                           tasks.back().series == shard.series &&
                           tasks.back().clips.size() < most &&
                           tasks.back().clips.back().end_us <= clip.start_us;
        if (!joins) {
          tasks.push_back(
              {.source = clip.source, .path = clip.path, .series = shard.series, .clips = {}});
        }
        tasks.back().clips.push_back(clip);
      }
    }
    return tasks;
  }

  // On any thread. Throws CannotBeCut for what is the film's own.
  std::vector<ledger::SampleMembers> cut_clips(const CutTask& task) const {
    Cuttings cuttings;
    try {
      cuttings = cuttings_of(task);
    } catch (const Error& error) {
      if (error.code() == Errc::io) throw;  // the machine, not the film
      throw CannotBeCut{task.source, task.path, std::string("cannot be cut: ") + error.what()};
    }
    std::vector<ledger::SampleMembers> samples;
    for (size_t i = 0; i < task.clips.size(); ++i) {
      samples.push_back(
          sample_of(task.clips[i], series_[task.series], cuttings.webm(static_cast<int>(i))));
    }
    return samples;
  }

  Cuttings cuttings_of(const CutTask& task) const {
    const OpenedSource opened = open_source(files_.at(task.source));
    if (to_hex(opened.digest) != task.source) {
      throw Error(Errc::corrupt,
                  "changed while it was packed; run this again when it stands still");
    }
    try {
      Reply reply = run_worker(request_for(task), opened.fd, options_.worker);
      require_unchanged(opened);
      if (static_cast<size_t>(reply.cuttings().webm_size()) != task.clips.size()) {
        throw Error(Errc::corrupt, task.clips.size(), " clips were asked for and ",
                    reply.cuttings().webm_size(), " came back");
      }
      return std::move(*reply.mutable_cuttings());
    } catch (const Error&) {
      require_unchanged(opened);  // a better reason, where it is one
      throw;
    }
  }

  Request request_for(const CutTask& task) const {
    Request request;
    Limits& limits = *request.mutable_limits();
    limits = config_.limits();  // which is for decoding a film; encoding comes on top
    limits.set_cpu_s(limits.cpu_s() * 2);
    limits.set_wall_s(limits.wall_s() * 2);
    Cut& cut = *request.mutable_cut();
    *cut.mutable_clips() = config_.clips();
    *cut.mutable_shards() = config_.shards();
    const Series& series = series_[task.series];
    cut.mutable_clips()->set_frames(series.frames);
    cut.mutable_shards()->set_width(series.width);
    cut.mutable_shards()->set_height(series.height);
    for (const PackedClip& clip : task.clips) {
      Cut::Span& span = *cut.add_span();
      span.set_start_us(clip.start_us);
      span.set_end_us(clip.end_us);
    }
    return request;
  }

  ledger::SampleMembers sample_of(const PackedClip& clip, const Series& series,
                                  const std::string& webm) const {
    const nlohmann::json json = {{"clip", clip.id},
                                 {"source", clip.source},
                                 {"path", clip.path},
                                 {"start_us", clip.start_us},
                                 {"end_us", clip.end_us},
                                 {"width", series.width},
                                 {"height", series.height},
                                 {"frames", series.frames},
                                 {"fps", config_.clips().fps()},
                                 {"licence", licences_.at(clip.source)},
                                 {"caption", clip.caption}};
    return {.key = clip.id.substr(0, 16),
            .members = {{"webm", webm}, {"json", json.dump() + "\n"}, {"txt", clip.caption}},
            .clip = digest_of(clip.id),
            .duration_us = clip.end_us - clip.start_us};
  }

  // The file first, then its record: killed in between, the file is written again to the same
  // bytes.
  void finish(const PlannedShard& shard, const std::vector<ledger::SampleMembers>& samples) {
    std::set<std::string> licences;
    for (const PackedClip& clip : shard.clips) {
      const auto& of_source = licences_.at(clip.source);
      licences.insert(of_source.begin(), of_source.end());
    }
    const ledger::Manifest manifest =
        ledger::write_shard(options_.out, shard.name, samples, {licences.begin(), licences.end()});
    const Digest root = ledger::shard_root(manifest);
    if (!shard.root.empty() && to_hex(root) != shard.root) {
      throw Error(Errc::corrupt, "shard ", shard.name, ": made again it has another root (",
                  to_hex(root), ", recorded ", shard.root,
                  "); the config or the video libraries are not those it was made with");
    }
    if (shard.root.empty()) {
      require_new(shard, root);
      store_.append(ledger::shard_facts(manifest, root));
      for (const PackedClip& clip : shard.clips) packed_.insert(clip.id);
      ++made_before_[shard.series];
    }
    ++summary_.made;
    summary_.samples += samples.size();
    tell(shard.name, to_hex(root), samples.size(), manifest.size_bytes, false);
  }

  // A shard is what its root says, by one name.
  void require_new(const PlannedShard& shard, const Digest& root) const {
    ledger::Statement row(store_.db(), "SELECT name FROM shard WHERE root = ?");
    if (!row.with(to_hex(root)).next()) return;
    for (const char* end : {"", ".manifest"}) fs::remove(options_.out / (shard.name + end));
    throw Error(Errc::config, "shard ", shard.name, ": holds what ", row.text(0),
                " holds, to the byte, and cannot be on record twice: give only buckets that "
                "changed another name");
  }

  void tell(const std::string& name, const std::string& root, size_t samples, uint64_t size_bytes,
            bool present) {
    ++summary_.shards;
    summary_.present += present;
    summary_.size_bytes += size_bytes;
    report_({.name = name,
             .root = root,
             .samples = samples,
             .size_bytes = size_bytes,
             .present = present});
  }

  const PackOptions& options_;
  const Config& config_;
  const std::vector<Series> series_;
  const std::function<void(const ShardReport&)>& report_;
  const std::function<void(const std::string&, const std::string&)>& left_out_;
  ledger::Store store_;
  ledger::Rights rights_;
  const ProtectedWorks protected_;
  DuplicateIndex index_;  // empty while no work is protected
  std::vector<PlannedShard> planned_;
  std::vector<std::vector<PackedClip>> new_clips_;               // that no shard holds, by series
  std::map<size_t, size_t> made_before_;                         // shards, by series
  std::set<std::string> packed_;                                 // clips in recorded shards
  std::set<std::string> other_length_;                           // sources
  std::set<std::string> conflicted_;                             // clips that two licensors claim
  std::map<std::string, bool> usable_;                           // by source
  std::map<std::string, std::vector<ProtectedMatch>> works_in_;  // by source
  std::map<std::string, std::vector<std::string>> licences_;     // by source
  std::map<std::string, fs::path> files_;                        // by source; empty: not here
  std::optional<std::map<uint64_t, std::vector<DeliveredFile>>> by_size_;
  PackSummary summary_;
};

}  // namespace

PackSummary pack(const PackOptions& options, const Config& config,
                 const std::function<void(const ShardReport&)>& report,
                 const std::function<void(const std::string&, const std::string&)>& left_out) {
  return Pack(options, config, report, left_out).run();
}

}  // namespace cleared::curate
