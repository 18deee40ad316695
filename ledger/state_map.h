// The map from what a record is about (its subject: a clip's id, a licence's name) to the number of
// that record. It answers "is this clip in the ledger" at once, and its root in a signed tree head
// makes the answer provable, also when it is no (docs/formats/state.md).
//
// It lies in the file as a few sorted runs. Adding fills a table in memory; flush(), at each tree
// head, makes it a run and merges it with the runs before it that are not much larger, so that each
// entry is written a few times and a commit costs the same at any size (the log-structured merge
// tree of O'Neil and others, 1996). Every run is a Merkle tree (RFC 6962) over intervals:
//
//   leaf = key (32 bytes) || seq (8, big-endian) || the next key of the run (32)
//
// so one inclusion proof shows an entry, or that there is none between two neighbours. The first
// leaf begins at a key of zeros and has no record (seq all ones); the last one ends at all ones.
// These two keys, which no subject will ever have, can be found and proven but never disproven.
//
// One thread per database.
#pragma once

#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/base/bytes.h"
#include "ledger/record.pb.h"
#include "ledger/sqlite.h"

namespace cleared::ledger {

// SHA-256(kind || 0 || each part behind its length, 4 bytes big-endian): the key of a subject.
Digest subject_key(std::string_view kind, std::span<const std::string_view> parts);
inline Digest subject_key(std::string_view kind, std::initializer_list<std::string_view> parts) {
  return subject_key(kind, std::span(parts.begin(), parts.size()));
}

struct MapEntry {
  Digest key;
  uint64_t seq = 0;
  auto operator<=>(const MapEntry&) const = default;
};
constexpr uint64_t kNoRecord = UINT64_MAX;

// What is hashed as a leaf of a run.
std::string interval_bytes(const MapEntry& low, const Digest& high);
// The root over the runs, oldest first: RFC 6962 over leaves entries (8, big-endian) || root.
Digest state_root(const StateRecord& state);

class StateMap {
 public:
  // What the file holds. `pending_from` on, records are not in a run yet: add() them.
  explicit StateMap(const Database& db);

  void add(const Digest& key, uint64_t seq);

  // Numbers of the records about this subject, rising.
  std::vector<uint64_t> find(const Digest& key) const;
  // The same among what was added since the last flush(), and which of some keys may be in the file
  // besides; the latter from any thread while nothing is flushed, and best of many keys at once: it
  // waits for memory once a run, not once a key.
  std::vector<uint64_t> find_pending(const Digest& key) const;
  std::vector<bool> may_be_in_runs(std::span<const Digest> keys) const;

  // Makes what was added a run, named `run`, merges it with the newest ones that are there, and
  // says what the file now holds. Inside the caller's transaction.
  StateRecord flush(uint64_t run, uint64_t size);
  // The same, keeping this many of the oldest runs: as another build chose, whose state is checked.
  StateRecord flush(uint64_t run, uint64_t size, size_t keep);
  size_t pending() const { return pending_.size(); }

  // Why a key is, or is not, in one run: a leaf and its place (RFC 6962 inclusion).
  struct RunProof {
    MapEntry low;
    Digest high;
    uint64_t index = 0;
    std::vector<Digest> path;
  };
  // For each run in order: the interval that `key` lies in, or an entry of it. Only when nothing is
  // pending, so that it speaks of a state that was logged.
  std::vector<RunProof> prove(const Digest& key) const;

  // The entries of one run of the file, by chunk; for verification.
  struct Run {
    uint64_t run = 0;
    uint64_t entries = 0;
    Digest root;
    std::string directory;  // per chunk: its first key, the root over its leaves
    std::string filter;     // blocked Bloom filter
  };
  const std::vector<Run>& runs() const { return runs_; }

 private:
  const std::string& chunk(const Run& run,
                           uint64_t number) const;  // until the next one is asked for
  void grow();
  size_t runs_to_keep(uint64_t added) const;
  std::string take_pending();

  const Database* db_;
  std::vector<Run> runs_;  // oldest first
  std::vector<MapEntry> pending_;
  std::vector<uint32_t> slots_;  // open addressing: index into pending_, plus one
  std::vector<uint32_t> next_;   // older entry of the same key, plus one
  mutable std::map<std::pair<uint64_t, uint64_t>, std::string> chunks_;  // by run and number
  mutable std::optional<Statement> select_chunk_;
};

// Building blocks that verification shares.
constexpr uint64_t kChunkEntries = 1024;  // leaves under one node of a run's tree
std::vector<MapEntry> parse_chunk(std::string_view bytes, std::string_view where);
Digest chunk_root(std::string_view entries_and_next_key);
class RunFilter {
 public:
  static constexpr uint64_t kBits = 24;  // an entry; 12 and 20 in runs of before
  static size_t bytes_for(uint64_t entries, uint64_t bits_each = kBits);

  explicit RunFilter(uint64_t entries) : bytes_(zeros(bytes_for(entries))) {}
  void add(std::string_view entries);  // as they lie in a chunk
  std::string take() && { return std::move(bytes_); }

  static bool may_hold(std::string_view bytes, const Digest& key) {
    return block_may_hold(block_of(bytes, key.text()), key);
  }
  // The same in two steps, of which the second waits for memory: where the bits of a key lie, and
  // whether they are all set.
  static const char* block_of(std::string_view bytes, std::string_view key) {
    return &bytes[block_of(bytes.size() * 8, key) / 8];
  }
  static bool block_may_hold(const char* block, const Digest& key);
  // Memory for a filter, in huge pages where the system has some: it is read at random, and each
  // key would else wait for the place of its page, too.
  static std::string zeros(size_t bytes);
  // The bits of a filter of this many that stand for what begins with these 16 bytes.
  template <class Body>
  static void for_each_bit(size_t bits, std::string_view key, const Body& body) {
    const size_t block = block_of(bits, key);
    uint64_t word = 0;
    std::memcpy(&word, key.data() + sizeof word, sizeof word);
    for (int i = 0; i < 7; ++i, word >>= 9) body(block + (word & 511));
  }

 private:
  static size_t block_of(size_t bits, std::string_view key) {
    uint64_t word = 0;
    std::memcpy(&word, key.data(), sizeof word);
    return word % (bits / 512) * 512;
  }
  std::string bytes_;
};

// Does `proof`, one RunProof a run in order, show under `state` that no record is about `key`?
[[nodiscard]] bool verify_absence(const Digest& key, std::span<const StateMap::RunProof> proof,
                                  const StateRecord& state);
// Does `proof`, of run number `run` (from 0) of `state`, show that record `seq` is about `key`?
[[nodiscard]] bool verify_presence(const Digest& key, uint64_t seq, uint64_t run,
                                   const StateMap::RunProof& proof, const StateRecord& state);

}  // namespace cleared::ledger
