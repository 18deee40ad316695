#include "ledger/verify/map.h"

#include <algorithm>
#include <atomic>
#include <string>
#include <string_view>

#include "ledger/base/error.h"
#include "ledger/base/parallel.h"
#include "ledger/entries.h"
#include "ledger/merkle.h"
#include "ledger/projection.h"
#include "ledger/schema.h"

namespace cleared::ledger {
namespace {

constexpr uint64_t kTaskChunks = 16;

// One run of the map; several chunks a task.
class RunCheck {
 public:
  RunCheck(Contexts& contexts, const LogReading& log, Findings& findings)
      : contexts_(contexts), log_(log), findings_(findings) {}

  // Returns how many entries it has.
  uint64_t check(const StateMap::Run& run) {
    const std::string where = "map run " + std::to_string(run.run);
    const uint64_t chunks = run.directory.size() / 64;
    std::vector<Digest> roots(chunks);
    std::vector<uint64_t> filter(run.filter.size() / 8, 0);
    std::atomic<uint64_t> entries{0};
    parallel_for((chunks + kTaskChunks - 1) / kTaskChunks, [&](size_t task) {
      const auto context = contexts_.take();
      findings_.guarded(where, [&] {
        Statement select(context->db, "SELECT entries FROM map_chunk WHERE run = ? AND chunk = ?");
        for (uint64_t chunk = task * kTaskChunks;
             chunk < std::min((task + 1) * kTaskChunks, chunks); ++chunk) {
          if (!select.with(run.run, chunk).next()) {
            throw Error(Errc::corrupt, "chunk ", chunk, " is missing");
          }
          std::string bytes = select.text(0);
          const auto list = parse_chunk(bytes, "chunk " + std::to_string(chunk));
          const std::string_view next =
              chunk + 1 < chunks ? std::string_view(run.directory).substr(64 * (chunk + 1), 32)
                                 : std::string_view();
          Digest high;
          high.bytes.fill(std::byte{0xFF});
          if (!next.empty()) high = *digest_from_raw(next);
          roots[chunk] = chunk_root(bytes.append(high.text()));
          if (std::string_view(run.directory).substr(64 * chunk, 32) != list[0].key.text() ||
              std::string_view(run.directory).substr(64 * chunk + 32, 32) != roots[chunk].text()) {
            findings_.add(where + ", map_run.directory",
                          "is not that of chunk " + std::to_string(chunk));
          }
          entries += check_entries(where, chunk, list, high, filter);
        }
      });
    });
    if (entries != run.entries) findings_.add(where + ", map_run.entries", "is not their number");
    if (root_digest(roots) != run.root)
      findings_.add(where + ", map_run.root", "is not their root");
    const auto of_its_size = [&](uint64_t bits_each) {
      return run.filter.size() == RunFilter::bytes_for(run.entries, bits_each);
    };
    if (!(of_its_size(RunFilter::kBits) || of_its_size(20) || of_its_size(12)) ||
        std::string_view(reinterpret_cast<const char*>(filter.data()), run.filter.size()) !=
            run.filter) {
      findings_.add(where + ", map_run.filter", "is not that of its entries");
    }
    return entries;
  }

 private:
  // Keys come in an order of their own: what is looked up for one is in no cache.
  static constexpr size_t kAhead = 12;
  void fetch_soon(const MapEntry& entry, const std::vector<uint64_t>& filter) const {
    if (entry.seq < log_.prints.size()) __builtin_prefetch(&log_.prints[entry.seq]);
    __builtin_prefetch(
        RunFilter::block_of(as_text(std::as_bytes(std::span(filter))), entry.key.text()));
  }

  uint64_t check_entries(const std::string& where, uint64_t chunk,
                         const std::vector<MapEntry>& list, const Digest& high,
                         std::vector<uint64_t>& filter) {
    uint64_t count = 0;
    for (size_t i = 0; i < list.size(); ++i) {
      if (i + kAhead < list.size()) fetch_soon(list[i + kAhead], filter);
      const MapEntry& entry = list[i];
      const bool first = chunk == 0 && i == 0;
      if (first && entry == MapEntry{Digest{}, kNoRecord}) continue;
      ++count;
      const bool sorted = i == 0 || list[i - 1].key < entry.key ||
                          (list[i - 1].key == entry.key &&
                           (list[i - 1].seq < entry.seq || list[i - 1].seq == kNoRecord));
      const bool below = i + 1 < list.size() || entry.key <= high;
      const uint64_t print = log_.print(entry.key);
      const bool right = entry.seq < log_.prints.size() && (log_.prints[entry.seq] == print ||
                                                            log_.also.contains({entry.seq, print}));
      if ((!right && !findings_.is_doubted(static_cast<int64_t>(entry.seq))) || !sorted || !below ||
          first) {
        findings_.add(
            where + ", map_chunk.entries",
            "chunk " + std::to_string(chunk) + ", entry " + std::to_string(i) +
                (right ? " is out of order" : " is not the subject of " + record_name(entry.seq)));
      }
      RunFilter::for_each_bit(filter.size() * 64, entry.key.text(), [&](size_t bit) {
        std::atomic_ref<uint64_t> word(filter[bit / 64]);
        const uint64_t mask = uint64_t{1} << bit % 64;
        if ((word.load(std::memory_order_relaxed) & mask) == 0) word.fetch_or(mask);
      });
    }
    return count;
  }

  Contexts& contexts_;
  const LogReading& log_;
  Findings& findings_;
};

}  // namespace

std::vector<StateMap::Run> check_map(const Database& db, Contexts& contexts, const LogReading& log,
                                     Findings& findings) {
  if (!log.complete) return {};
  const StateMap map(db);
  uint64_t entries = 0;
  for (const StateMap::Run& run : map.runs()) {
    entries += RunCheck(contexts, log, findings).check(run);
  }
  if (entries + log.pending.size() != log.subjects && !findings.any_doubt()) {
    findings.add("map_chunk", "hold " + std::to_string(entries) + " entries, the log makes " +
                                  std::to_string(log.subjects - log.pending.size()));
  }
  Statement chunks(db, "SELECT run, COUNT(*) FROM map_chunk GROUP BY run");
  while (chunks.next()) {
    const std::string where = "map run " + chunks.text(0) + ", map_chunk";
    const auto run = std::find_if(map.runs().begin(), map.runs().end(), [&](const auto& r) {
      return r.run == chunks.unsigned_integer(0);
    });
    if (run == map.runs().end()) {
      findings.add(where, "belongs to no run");
    } else if (chunks.unsigned_integer(1) != run->directory.size() / 64) {
      findings.add(where, "has " + chunks.text(1) + " chunks, its directory another number");
    }
  }
  return map.runs();
}

void check_states(const Database& db, const LogReading& log, Findings& findings) {
  if (!log.complete) return;
  const Database fresh = Database::in_memory();
  fresh.exec("PRAGMA foreign_keys = OFF;" + std::string(kLogSchema) + std::string(kTileSchema));
  StateMap map(fresh);
  Entries(db).scan(0, log.records, [&](uint64_t seq, std::string_view bytes) {
    Fact fact;
    const std::string_view in = parse_record(bytes).fact;
    if (!fact.ParseFromArray(in.data(), static_cast<int>(in.size()))) return;
    if (const auto subject = subject_of(fact)) {
      map.add(subject->key, seq);
      for (const Digest& key : subject->also) map.add(key, seq);
    }
    if (!fact.has_state()) return;
    // Which runs were merged is no claim; what they hold is.
    size_t kept = 0;
    const auto is_kept = [&](const StateMap::Run& run) {
      const int i = static_cast<int>(kept);
      return i < fact.state().run_size() && fact.state().run(i).entries() == run.entries &&
             fact.state().run(i).root() == run.root.text();
    };
    while (kept < map.runs().size() && is_kept(map.runs()[kept])) ++kept;
    if (map.flush(seq, seq, kept).SerializeAsString() != fact.state().SerializeAsString()) {
      findings.add(record_name(seq) + ", state", "is not the state of the records before it");
    }
  });
}

}  // namespace cleared::ledger
