#include "ledger/publish.h"

#include <algorithm>
#include <charconv>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "ledger/base/folder.h"
#include "ledger/entries.h"
#include "ledger/merkle.h"
#include "ledger/tile_reader.h"
#include "ledger/tiles.h"
#include "ledger/tree.h"

namespace cleared::ledger {
namespace fs = std::filesystem;
namespace {

// Files on their way, inside the published folder: a rename does not cross file systems.
constexpr const char* kStaging = ".publish";
constexpr const char* kStagedHead = ".publish/checkpoint";
// The size from which partial tiles that are full by now may still lie about, in decimal.
constexpr const char* kTidyFrom = ".publish/tidy-from";
constexpr size_t kMostNamed = 20;

// Files that wait in kStaging until everything has been checked.
class Staging {
 public:
  // Without a folder (a dry run, the first time) everything is new.
  Staging(Folder* folder, bool dry_run) : folder_(folder), dry_run_(dry_run) {}

  // Nothing to do when `name` has these bytes already.
  void add(const std::string& name, const std::string& bytes) {
    if (folder_ != nullptr && folder_->exists(name)) {
      if (!holds(name, bytes)) differ_.push_back(name);
      return;
    }
    if (!dry_run_) {
      folder_->write(kStaging + ("/" + std::to_string(names_.size())), bytes);
      names_.push_back(name);
    }
    ++files_;
    bytes_ += bytes.size();
  }

  void require_no_differences(const fs::path& where) const {
    if (differ_.empty()) return;
    std::string names;
    for (size_t i = 0; i < std::min(differ_.size(), kMostNamed); ++i) names += " " + differ_[i];
    throw Error(Errc::corrupt, "publish ", where.string(), ": ", differ_.size(),
                " files there are damaged or not of this log:", names,
                differ_.size() > kMostNamed ? " ..." : "",
                "; move them away and run again with --all");
  }

  void place() {
    for (size_t i = 0; i < names_.size(); ++i) {
      folder_->move(kStaging + ("/" + std::to_string(i)), names_[i]);
    }
    folder_->sync();
  }

  uint64_t files() const { return files_; }
  uint64_t bytes() const { return bytes_; }

 private:
  bool holds(const std::string& name, const std::string& bytes) const try {
    return folder_->read(name, bytes.size()) == bytes;
  } catch (const Error& error) {
    if (error.code() == Errc::corrupt) return false;
    throw;
  }

  Folder* folder_;
  bool dry_run_;
  std::vector<std::string> names_, differ_;
  uint64_t files_ = 0, bytes_ = 0;
};

std::string encode(const std::vector<std::string>& records) {
  const std::vector<std::string_view> views(records.begin(), records.end());
  return encode_entries(views);
}

// Stages tiles and bundles of the records from edge.size() up to `size`, and takes `edge` there.
void stage_records(Staging& staging, TileEdge& edge, uint64_t size, const LogSource& source,
                   const PublishOptions& options) {
  const uint64_t first_new = edge.size();
  const uint64_t begin = first_new - first_new % kFullTileWidth;
  const std::string leaves_there = edge.partial().empty() ? "" : edge.partial()[0];
  std::vector<std::string> bundle;
  uint64_t seq = begin;
  const auto full = [&](unsigned level, uint64_t index, const std::string& digests) {
    staging.add(tile_path(level, index, kFullTileWidth), digests);
  };
  source.records(begin, size, [&](std::string_view record) {
    const Digest leaf = leaf_digest(as_bytes(record));
    if (seq >= first_new) {
      edge.append(leaf, full);
    } else if (leaf.text() != leaves_there.substr((seq - begin) * sizeof(Digest), sizeof(Digest))) {
      throw Error(Errc::corrupt, "publish: record ", seq, " is not the one that was published");
    }
    bundle.emplace_back(record);
    if (bundle.size() == kFullTileWidth) {
      staging.add(entries_path(seq / kFullTileWidth, kFullTileWidth), encode(bundle));
      bundle.clear();
      options.progress(seq + 1 - begin, size - begin);
    }
    ++seq;
  });
  if (!bundle.empty()) {
    staging.add(entries_path(size / kFullTileWidth, static_cast<unsigned>(bundle.size())),
                encode(bundle));
  }
  for (unsigned level = 0; level < edge.partial().size(); ++level) {
    const std::string& tile = edge.partial()[level];
    if (tile.empty()) continue;
    const auto width = static_cast<unsigned>(tile.size() / sizeof(Digest));
    staging.add(tile_path(level, size >> 8 * level >> 8, width), tile);
  }
  options.progress(size - begin, size - begin);
}

std::string with_signatures_of(const std::string& note, const std::string& more) {
  return format_note(with_signatures_of(parse_note(note), parse_note(more)));
}

// The note with the quorum that the policy asks for.
std::string with_quorum(const std::string& note, const TreeHead& head,
                        const PublishOptions& options) {
  if (options.policy == nullptr || quorum_gap(*options.policy, note).empty()) return note;
  const std::string more = options.cosign ? with_signatures_of(note, options.cosign(note)) : note;
  const std::string gap = quorum_gap(*options.policy, more);
  if (gap.empty()) return more;
  throw Error(Errc::busy, "publish: the tree head of ", head.size,
              " records is not published, it lacks its quorum: ", gap);
}

uint64_t tidy_from(const Folder& folder, uint64_t size_there) {
  if (!folder.exists(kTidyFrom)) return size_there;
  const std::string text = folder.read(kTidyFrom, 32);
  uint64_t size = 0;
  std::from_chars(text.data(), text.data() + text.size(), size);  // what is no number: from 0
  return std::min(size, size_there);
}

// Removes the partial tiles or bundles in a folder of them, and nothing else that lies there.
void remove_partials(Folder& folder, const std::string& name) {
  for (const std::string& file : folder.list(name)) {
    const std::string path = name + "/" + file;
    if (parse_tile_path(path) || parse_entries_path(path)) folder.remove(path);
  }
  folder.remove_empty_folder(name);
}

// Once the full ones are published the partial ones may go, says C2SP tlog-tiles.
void tidy(Folder& folder, uint64_t from, uint64_t size) {
  for (const TileName& tile : new_tiles(from, size)) {
    if (tile.width == kFullTileWidth) remove_partials(folder, tile_path(tile) + ".p");
  }
  for (const BundleName& bundle : new_bundles(from, size)) {
    if (bundle.width == kFullTileWidth) remove_partials(folder, entries_path(bundle) + ".p");
  }
  folder.sync();
  folder.remove(kTidyFrom);
  folder.remove_empty_folder(kStaging);
  folder.sync();
}

void empty_staging(Folder& folder) {
  for (const std::string& name : folder.list(kStaging)) {
    const std::string path = kStaging + ("/" + name);
    if (path != kTidyFrom) folder.remove(path);
  }
}

// Replaces `checkpoint` in one step; what is renamed is on the disk, and so is all it vouches for.
void place_head(Folder& folder, const std::string& note, uint64_t tidy_size) {
  folder.write(kTidyFrom, std::to_string(tidy_size));
  folder.write(kStagedHead, note);
  folder.sync();
  folder.move(kStagedHead, kHeadFile);
  folder.sync();
}

// Why the head may not follow the one that lies there; empty when it may.
std::string contradiction(const TreeHead& there, const TreeHead& head, const LogSource& source) {
  if (there.size > head.size) {
    return "it holds " + std::to_string(there.size) + " records and this log has only " +
           std::to_string(head.size) + " under a signed tree head: this log was rolled back";
  }
  if (there.size > 0 && source.root(there.size) != there.root) {
    return "its first " + std::to_string(there.size) +
           " records are not those of this log: one of the two was forked";
  }
  return "";
}

// The partial tiles of the head that lies there, from which to go on.
TileEdge edge_there(const Folder& folder, const fs::path& path, const TreeHead& there) try {
  return TileReader(
             [&](const std::string& name, uint64_t limit) { return folder.read(name, limit); },
             there)
      .edge();
} catch (const Error& error) {
  if (error.code() != Errc::corrupt && error.code() != Errc::not_found) throw;
  throw Error(Errc::corrupt, "publish ", path.string(), ": ", error.what(),
              "; run with --all to see what is damaged there");
}

TreeHead head_there(const std::string& note, std::span<const VerifierKey> log_keys,
                    const fs::path& path) try {
  return open_head(note, log_keys, (path / kHeadFile).string());
} catch (const NotProven& error) {
  throw Error(Errc::corrupt, error.what(), "; a log has a folder of its own");
}

std::unique_ptr<Folder> open_folder(const fs::path& path, const PublishOptions& options) {
  std::error_code ignored;  // opening says it better
  if (!fs::exists(path, ignored)) {
    if (options.dry_run) return nullptr;
    make_folders(path);
    Folder(path.has_parent_path() ? path.parent_path() : fs::path(".")).sync();
  }
  auto folder = std::make_unique<Folder>(path);
  if (!options.dry_run) folder->lock();
  return folder;
}

}  // namespace

std::string quorum_gap(const WitnessPolicy& policy, const std::string& note) {
  const QuorumAnswer answer = quorum_met(policy, parse_note(note));
  if (answer.met) return "";
  std::string bad;
  for (const std::string& name : answer.bad) bad += (bad.empty() ? "" : ", ") + name;
  if (!bad.empty()) return "lines that do not verify: " + bad;
  if (!policy.logs.empty() && answer.log.empty()) return "no log of the policy has signed it";
  std::string missing;
  for (const auto& witness : policy.witnesses) {
    const bool there = std::any_of(answer.cosigned.begin(), answer.cosigned.end(),
                                   [&](const auto& c) { return c.witness == witness.name; });
    if (!there) missing += (missing.empty() ? "" : ", ") + witness.name;
  }
  return "no cosignature of " + missing;
}

LogSource source_of(const Store& store) {
  LogSource source{store.log_keys(), store.newest_head_note(), {}, {}};
  if (source.head_note.empty()) {
    throw Error(Errc::not_found, store.path().string(),
                ": has no signed tree head yet; sign one with ledger sign-head");
  }
  source.root = [&store](uint64_t size) { return Tree(store.db()).root(size); };
  source.records = [&store](uint64_t begin, uint64_t end,
                            const std::function<void(std::string_view)>& each) {
    const Tree tree(store.db());
    Entries(store.db()).scan(begin, end, [&](uint64_t seq, std::string_view record) {
      if (leaf_digest(as_bytes(record)) != tree.leaf(seq)) {
        throw Error(Errc::corrupt, store.path().string(), ": record ", seq,
                    " is not what its leaf says; run ledger verify");
      }
      each(record);
    });
  };
  return source;
}

PublishReport publish(const fs::path& path, const LogSource& source,
                      const PublishOptions& options) {
  PublishReport report;
  report.note = source.head_note;
  report.head = open_head(source.head_note, source.log_keys, "the tree head to publish");
  const std::unique_ptr<Folder> folder = open_folder(path, options);
  if (folder != nullptr && folder->exists(kHeadFile)) {
    report.note_there = folder->read(kHeadFile, kMaxHeadFileBytes);
    report.there = head_there(report.note_there, source.log_keys, path);
  }
  report.refusal = contradiction(report.there, report.head, source);
  if (!report.refusal.empty()) return report;

  if (!options.dry_run) empty_staging(*folder);
  TileEdge edge;
  if (report.there.size > 0 && !options.all) {
    edge = edge_there(*folder, path, report.there);
  }
  Staging staging(folder.get(), options.dry_run);
  // The partial tiles of the head that lies there are still owed to its readers.
  for (const uint64_t size : {report.there.size, report.head.size}) {
    if (edge.size() < size) stage_records(staging, edge, size, source, options);
  }
  if (edge.root() != report.head.root) {
    throw Error(Errc::corrupt, "publish ", path.string(),
                ": the records do not give the root that "
                "is signed for ",
                report.head.size, " of them; run ledger verify");
  }
  staging.require_no_differences(path);
  if (!options.dry_run) staging.place();

  if (report.there.size == report.head.size && !report.note_there.empty()) {
    report.note = with_signatures_of(report.note, report.note_there);
  }
  if (!options.dry_run) report.note = with_quorum(report.note, report.head, options);
  const bool same = report.note == report.note_there;
  report.files = staging.files() + (same ? 0 : 1);
  report.bytes = staging.bytes() + (same ? 0 : report.note.size());
  if (options.dry_run) return report;
  const uint64_t untidy = tidy_from(*folder, report.there.size);
  if (!same) place_head(*folder, report.note, untidy);
  tidy(*folder, untidy, report.head.size);
  return report;
}

}  // namespace cleared::ledger
