#include "ledger/verify/log.h"

#include <algorithm>
#include <bit>
#include <map>
#include <optional>
#include <span>
#include <string_view>

#include <google/protobuf/arena.h>

#include "ledger/base/error.h"
#include "ledger/base/parallel.h"
#include "ledger/entries.h"
#include "ledger/merkle.h"
#include "ledger/tree.h"

namespace cleared::ledger {
namespace {

constexpr uint64_t kTaskBundles = 16;
constexpr uint64_t kLeavesPerTile = kBundleRecords;

// What the records [begin, end) say, found by one task.
struct TaskResult {
  std::vector<Digest> tile_roots;  // of full tiles
  std::string last_tile;           // digests of the tile that is not full
  std::vector<uint64_t> in_order;  // records that are not plain
  std::vector<MapEntry> also;      // further keys of records
  std::vector<MapEntry> pending;   // keys of records that no run of the map holds yet
  std::vector<Reference> references;
  std::vector<std::pair<uint64_t, uint64_t>> moments;  // record, time: where the second changes
  uint64_t last_at_us = 0;
  std::vector<std::pair<uint64_t, std::string>> series;  // record, source: where one begins
  ClipSeries newest;
  uint64_t subjects = 0;
  uint64_t rows = 0;
};

class PlainSink : public RowSink {
 public:
  PlainSink(Context& context, TaskResult& result, const KeyPrint& print)
      : context_(context), result_(result), print_(print) {}
  void row(TableId table, std::span<const RowCell> cells) override {
    const auto seq = static_cast<uint64_t>(cells[0].integer);
    TableCursor& cursor = context_.cursors[static_cast<size_t>(
        std::find(std::begin(kPlainTables), std::end(kPlainTables), table) -
        std::begin(kPlainTables))];
    cursor.expect(cells, [&](const RowCell& cell, int64_t stored, int column) {
      // Neighbours refer to the same source again and again: the first of them says it all.
      if (cell.refers == RowCell::Refers::one && *cell.subject == last_subject_ &&
          stored == last_stored_) {
        return;
      }
      if (cell.refers == RowCell::Refers::one) {
        last_subject_ = *cell.subject;
        last_stored_ = stored;
      }
      result_.references.push_back({seq, stored, print_(*cell.subject),
                                    cell.refers == RowCell::Refers::first_of_equals, table,
                                    column});
    });
  }

 private:
  Context& context_;
  TaskResult& result_;
  const KeyPrint& print_;
  Digest last_subject_;
  int64_t last_stored_ = -1;
};

class LogReader {
 public:
  LogReader(const Database& db, Contexts& contexts, Trees& trees, Findings& findings,
            LogReading& log)
      : db_(db), contexts_(contexts), trees_(trees), findings_(findings), log_(log) {}

  // A range of bundles a task. Beside them the trees, the longest task first.
  void read() {
    const uint64_t bundles = end_of("bundle", "number", 0);
    log_.records =
        std::max(bundles * kLeavesPerTile, end_of("leaf", "seq", bundles * kLeavesPerTile));
    if (log_.records == 0) findings_.add("log", "is empty");
    log_.mapped =
        static_cast<uint64_t>(db_.integer("SELECT COALESCE(MAX(run) + 1, 0) FROM map_run"));
    log_.prints.assign(log_.records, 0);
    const uint64_t all = (log_.records + kLeavesPerTile - 1) / kLeavesPerTile;
    const size_t tasks = std::max<uint64_t>(1, (all + kTaskBundles - 1) / kTaskBundles);
    std::vector<TaskResult> results(tasks);
    trees_.plan(log_.records);
    const std::vector<std::string> checks = trees_.checks();
    parallel_for(checks.size() + tasks, [&](size_t i) {
      if (i < checks.size()) return trees_.check(checks[i]);
      const size_t task = i - checks.size();
      const auto context = contexts_.take();
      findings_.guarded("log", [&] {
        const uint64_t first = task * kTaskBundles;
        const uint64_t end = std::min(first + kTaskBundles, all);
        for (TableCursor& cursor : context->cursors) {
          cursor.begin(
              task == 0 ? INT64_MIN : static_cast<int64_t>(first * kLeavesPerTile),
              task + 1 == tasks ? INT64_MAX : static_cast<int64_t>(end * kLeavesPerTile) - 1);
        }
        PlainSink sink(*context, results[task], log_.print);
        for (uint64_t number = first; number < end; ++number) {
          read_bundle(*context, number, number < bundles, sink, results[task]);
        }
        for (TableCursor& cursor : context->cursors) {
          cursor.finish();
          results[task].rows += cursor.rows();
        }
      });
    });
    trees_.check_planned(tasks);
    merge(std::move(results));
    Statement stray(db_, "SELECT seq FROM leaf WHERE seq < ? LIMIT 20");
    stray.with(bundles * kLeavesPerTile);
    while (stray.next()) {
      findings_.add(record_name(stray.integer(0)) + ", leaf", "does not belong to the log");
    }
    Statement early(db_, "SELECT number FROM bundle WHERE number < 0 LIMIT 20");
    while (early.next()) findings_.add("bundle " + early.text(0), "does not belong to the log");
  }

 private:
  // One more than the greatest number in a table whose numbers rise by one from `first`. Numbers
  // far beyond what its rows can be are findings, and not counted up to.
  uint64_t end_of(const std::string& table, const std::string& column, uint64_t first) {
    constexpr uint64_t kSlack = 4096;
    const auto rows = static_cast<uint64_t>(db_.integer("SELECT COUNT(*) FROM " + table));
    const uint64_t bound = first + 2 * rows + kSlack;
    Statement beyond(db_, "SELECT " + column + " FROM " + table + " WHERE " + column + " >= ?");
    beyond.with(bound);
    for (int i = 0; i < 20 && beyond.next(); ++i) {
      findings_.add((table == "leaf" ? record_name(beyond.integer(0)) + ", leaf"
                                     : "bundle " + beyond.text(0)),
                    "does not belong to the log");
    }
    Statement last(db_, "SELECT MAX(" + column + ") FROM " + table + " WHERE " + column + " < ?");
    last.with(bound);
    return last.next() && last.type(0) != ValueType::null && last.integer(0) >= 0
               ? last.unsigned_integer(0) + 1
               : 0;
  }

  // The records of a bundle: what is stored of them, which may be fewer than there should be.
  struct Stored {
    std::vector<std::string> leaves;  // that are not in a bundle yet
    std::vector<std::string_view> records;
  };
  Stored stored_in(Context& context, uint64_t number, bool full, uint64_t begin, uint64_t end) {
    Stored stored;
    if (!full) {
      for (uint64_t seq = begin; seq < end && context.leaves.with(seq).next(); ++seq) {
        stored.leaves.push_back(context.leaves.text(0));
        if (stored.leaves.back().size() <= kMaxRecordBytes) continue;
        findings_.add(record_name(seq) + ", leaf.bytes", "are more than a record may have");
      }
      stored.records.assign(stored.leaves.begin(), stored.leaves.end());
      if (stored.records.size() < end - begin) {
        findings_.add(record_name(begin + stored.records.size()), "is missing from the log");
        log_.complete = false;
      }
      return stored;
    }
    if (!context.bundles.with(number).next()) {
      findings_.add(record_name(begin),
                    "is missing from the log, with its bundle " + std::to_string(number));
      log_.complete = false;
      return stored;
    }
    const std::string where =
        "record " + std::to_string(begin) + " to " + std::to_string(end - 1) + ", bundle.entries";
    findings_.guarded(where, [&] {
      stored.records = split_bundle(context.bundles.view(0), "bundle " + std::to_string(number));
    });
    if (stored.records.size() != end - begin) {
      findings_.add(where,
                    "hold " + std::to_string(stored.records.size()) + " records and not 256");
      stored.records.resize(std::min<size_t>(stored.records.size(), end - begin));
    }
    return stored;
  }

  void read_bundle(Context& context, uint64_t number, bool full, PlainSink& sink,
                   TaskResult& result) {
    const uint64_t begin = number * kLeavesPerTile;
    const uint64_t end = std::min(begin + kLeavesPerTile, log_.records);
    const Stored stored = stored_in(context, number, full, begin, end);
    const std::vector<std::string_view>& records = stored.records;
    std::string tile;
    if (context.tiles.with(number).next()) tile = context.tiles.text(0);
    std::vector<Digest> digests(end - begin);
    const ReadBundle read(records);
    // One arena a bundle: its messages are freed together.
    alignas(16) thread_local std::array<char, 1 << 18> block;
    google::protobuf::ArenaOptions arena_options;
    arena_options.initial_block = block.data();
    arena_options.initial_block_size = block.size();
    google::protobuf::Arena arena(arena_options);
    for (uint64_t seq = begin; seq < end; ++seq) {
      const size_t at = seq - begin;
      const std::string_view in_tree =
          std::string_view(tile).substr(std::min(tile.size(), 32 * at), 32);
      digests[at] = digest_from_raw(in_tree).value_or(Digest{});
      if (at >= records.size()) {
        findings_.doubt(seq);
        continue;
      }
      const Digest& leaf = read.leaves[at];
      if (leaf.text() != in_tree) {
        findings_.add(record_name(seq) + (full ? ", bundle.entries" : ", leaf.bytes"),
                      "give the digest " + to_hex(leaf) + ", node.digests has " +
                          (in_tree.empty() ? "none" : to_hex(as_bytes(in_tree))) +
                          ": one of the two was changed");
        findings_.doubt(seq);
        if (in_tree.size() != 32) digests[at] = leaf;
        continue;
      }
      read_guarded(seq, [&] { read_record(seq, records[at], read, at, arena, sink, result); });
    }
    if (tile.size() > 32 * digests.size()) {
      findings_.add("node level 0, tile " + std::to_string(number) + ", node.digests",
                    "holds more than the log");
    }
    if (digests.size() == kLeavesPerTile) {
      result.tile_roots.push_back(root_digest(digests));
    } else {
      for (const Digest& digest : digests) result.last_tile += digest.text();
    }
  }
  // The name of the record is made when there is something to say.
  template <class Read>
  void read_guarded(uint64_t seq, const Read& read) {
    try {
      read();
    } catch (const Error& error) {
      if (error.code() == Errc::busy) throw;
      findings_.doubt(seq);
      findings_.add(record_name(seq), error.what());
    }
  }

  // What is hashed of the records of a bundle together: themselves, and what those are about that
  // are clips.
  struct ReadBundle {
    explicit ReadBundle(std::span<const std::string_view> records)
        : leaves(records.size()), clip(records.size(), kNone), parts(records.size()) {
      std::vector<ByteView> bytes;
      bytes.reserve(records.size());
      clips.reserve(records.size());
      for (size_t i = 0; i < records.size(); ++i) {
        bytes.push_back(as_bytes(records[i]));
        parts[i] = parts_of(records[i]);
        if (const auto view = view_clip(parts[i].fact)) {
          clip[i] = clips.size();
          clips.push_back(*view);
        }
      }
      leaf_digests(bytes, leaves);
      keys.resize(clips.size());
      clip_keys(clips, keys);
    }
    // Nothing when it is not in its form, for which it is found wanting later.
    static RecordView parts_of(std::string_view record) try {
      return parse_record(record);
    } catch (const Error&) {
      return {};
    }
    static constexpr size_t kNone = SIZE_MAX;
    std::vector<Digest> leaves;
    std::vector<size_t> clip;  // which of the clips a record is
    std::vector<RecordView> parts;
    std::vector<ClipView> clips;
    std::vector<Digest> keys;
  };

  void read_record(uint64_t seq, std::string_view bytes, const ReadBundle& read, size_t at,
                   google::protobuf::Arena& arena, PlainSink& sink, TaskResult& result) {
    const bool is_clip = read.clip[at] != ReadBundle::kNone;
    const RecordView record = is_clip ? read.parts[at] : parse_record(bytes);
    if (record.at_us < result.last_at_us) {
      throw Error(Errc::corrupt, "its time is before that of the record before it");
    }
    if (result.moments.empty() || record.at_us / 1'000'000 != result.last_at_us / 1'000'000) {
      result.moments.emplace_back(seq, record.at_us);
    }
    result.last_at_us = record.at_us;
    if (is_clip) {
      const Digest& key = read.keys[read.clip[at]];
      log_.prints[seq] = log_.print(key);
      ++result.subjects;
      if (seq >= log_.mapped) result.pending.push_back({key, seq});
      const ClipView& clip = read.clips[read.clip[at]];
      if (result.newest.begins(clip.source)) result.series.emplace_back(seq, clip.source);
      return clip_row(seq, clip, sink);
    }
    const Fact& fact = parse_fact(record.fact, arena);
    if (result.newest.begins(fact)) result.series.emplace_back(seq, fact.clip().source());
    const auto subject = subject_of(fact);
    if (subject) {
      log_.prints[seq] = log_.print(subject->key);
      result.subjects += 1 + subject->also.size();
      for (const Digest& key : subject->also) result.also.push_back({key, seq});
      if (seq >= log_.mapped) {
        result.pending.push_back({subject->key, seq});
        for (const Digest& key : subject->also) result.pending.push_back({key, seq});
      }
    }
    if (is_plain(fact)) {
      rows_of(seq, fact, nobody_, sink);
    } else {
      result.in_order.push_back(seq);
    }
  }

  // Clips and samples are nearly all of a ledger: those of a thread take turns in one message,
  // whose strings keep their memory. Valid until the next call.
  static const Fact& parse_fact(std::string_view bytes, google::protobuf::Arena& arena) {
    thread_local Fact clip;
    thread_local Fact sample;
    Fact* fact = nullptr;
    google::protobuf::MessageLite* inside = nullptr;
    const auto in_clip = only_field(bytes, Fact::kClipFieldNumber);
    const auto in_sample = only_field(bytes, Fact::kSampleFieldNumber);
    if (in_clip) {
      bytes = *in_clip;
      inside = clip.mutable_clip();
      fact = &clip;
    } else if (in_sample) {
      bytes = *in_sample;
      inside = sample.mutable_sample();
      fact = &sample;
    } else {
      inside = fact = google::protobuf::Arena::CreateMessage<Fact>(&arena);
    }
    if (!inside->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
      throw Error(Errc::corrupt, "does not parse");
    }
    return *fact;
  }
  // What is in field `number`, when the message is that field and nothing else. Lengths above 14
  // bits are left to protobuf.
  static std::optional<std::string_view> only_field(std::string_view bytes, int number) {
    const auto at = [&](size_t i) { return static_cast<unsigned char>(bytes[i]); };
    if (bytes.size() < 3 || at(0) != (number << 3 | 2)) return std::nullopt;
    const size_t prefix = at(1) < 0x80 ? 2 : 3;
    const size_t size = at(1) < 0x80 ? at(1) : (size_t{at(1)} & 0x7F) | size_t{at(2)} << 7;
    if (prefix == 3 && at(2) >= 0x80) return std::nullopt;
    return size == bytes.size() - prefix ? std::optional(bytes.substr(prefix)) : std::nullopt;
  }

  void merge(std::vector<TaskResult> results) {
    uint64_t last_at_us = 0;
    std::string source;  // of the last clip of the task before, when it ends with one
    for (size_t task = 0; task < results.size(); ++task) {
      TaskResult& result = results[task];
      for (auto& [seq, of] : result.series) {
        const bool goes_on = seq == task * kTaskBundles * kLeavesPerTile && of == source;
        if (!goes_on) log_.series.emplace_back(seq, std::move(of));
      }
      source = result.newest.source();
      log_.tile_roots.insert(log_.tile_roots.end(), result.tile_roots.begin(),
                             result.tile_roots.end());
      log_.last_tile += result.last_tile;
      log_.in_order.insert(log_.in_order.end(), result.in_order.begin(), result.in_order.end());
      for (const MapEntry& entry : result.also) log_.also.emplace(entry.seq, log_.print(entry.key));
      log_.pending.insert(log_.pending.end(), result.pending.begin(), result.pending.end());
      log_.references.insert(log_.references.end(), result.references.begin(),
                             result.references.end());
      log_.subjects += result.subjects;
      log_.rows += result.rows;
      for (const auto& [seq, at_us] : result.moments) {
        if (at_us < last_at_us) {
          findings_.add(record_name(seq), "its time is before that of the record before it");
        }
        if (log_.moments.empty() || at_us / 1'000'000 != last_at_us / 1'000'000) {
          log_.moments.emplace_back(seq, at_us);
        }
        last_at_us = at_us;
      }
      last_at_us = std::max(last_at_us, result.last_at_us);
    }
  }

  const Database& db_;
  Contexts& contexts_;
  Trees& trees_;
  Findings& findings_;
  LogReading& log_;
  const Authority nobody_;
};

Digest root_of(std::string_view digests) {
  std::vector<Digest> leaves;
  for (; !digests.empty(); digests.remove_prefix(32)) {
    leaves.push_back(*digest_from_raw(digests.substr(0, 32)));
  }
  return root_digest(leaves);
}

}  // namespace

void read_log(const Database& db, Contexts& contexts, Trees& trees, Findings& findings,
              LogReading& log) {
  LogReader(db, contexts, trees, findings, log).read();
}

void check_nodes(const Database& db, const LogReading& log, Findings& findings) {
  std::vector<Digest> digests;  // of this level, complete subtrees
  for (const Digest& root : log.tile_roots) digests.push_back(root);
  std::map<std::pair<uint64_t, uint64_t>, std::string> expected;
  for (uint64_t tile = 0; tile < log.tile_roots.size(); ++tile) expected[{0, tile}];
  if (!log.last_tile.empty()) expected[{0, log.tile_roots.size()}];
  for (uint64_t level = 1; !digests.empty(); ++level) {
    std::vector<Digest> above;
    for (size_t i = 0; i < digests.size(); i += kLeavesPerTile) {
      const auto part = std::span(digests).subspan(i, std::min(kLeavesPerTile, digests.size() - i));
      std::string& tile = expected[{level, i / kLeavesPerTile}];
      for (const Digest& digest : part) tile += digest.text();
      if (part.size() == kLeavesPerTile) above.push_back(root_digest(part));
    }
    digests = std::move(above);
  }
  Statement stored(db, "SELECT level, tile, length(digests), digests FROM node ORDER BY 1, 2");
  while (stored.next()) {
    const std::pair<uint64_t, uint64_t> place{stored.unsigned_integer(0),
                                              stored.unsigned_integer(1)};
    const std::string where = "node level " + std::to_string(stored.integer(0)) + ", tile " +
                              std::to_string(stored.integer(1)) + ", node.digests";
    const auto at = expected.find(place);
    if (at == expected.end()) {
      findings.add(where, "does not belong to the tree");
      continue;
    }
    if (place.first > 0 && stored.view(3) != at->second) {
      findings.add(where, "is not what the records give");
    }
    expected.erase(at);
  }
  for (const auto& [place, digests_of] : expected) {
    findings.add("node level " + std::to_string(place.first) + ", tile " +
                     std::to_string(place.second) + ", node.digests",
                 "is missing");
  }
}

Digest root_at(const Database& db, const LogReading& log, uint64_t size) {
  RootBuilder out;
  std::vector<Digest> leaves;
  const uint64_t full = size / kLeavesPerTile;
  // A complete tile is a complete subtree, so it can stand for its leaves.
  RootBuilder tiles;
  if (size % kLeavesPerTile == 0) {
    for (uint64_t i = 0; i < full; ++i) tiles.add(log.tile_roots[i]);
    return tiles.root();
  }
  std::string rest = log.last_tile;
  if (full < log.tile_roots.size()) {
    Statement tile(db, "SELECT digests FROM node WHERE level = 0 AND tile = ?");
    rest = tile.with(full).next() ? tile.text(0) : std::string();
  }
  if (rest.size() < size % kLeavesPerTile * 32) {
    throw Error(Errc::corrupt, "the tree is cut short");
  }
  rest.resize(size % kLeavesPerTile * 32);
  std::vector<Digest> nodes(log.tile_roots.begin(),
                            log.tile_roots.begin() + static_cast<ptrdiff_t>(full));
  nodes.push_back(root_of(rest));
  return root_digest(nodes);
}

}  // namespace cleared::ledger
