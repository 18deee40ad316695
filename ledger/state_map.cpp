#include "ledger/state_map.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <future>
#include <memory>
#include <numeric>

#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "ledger/digest.h"
#include "ledger/merkle.h"

namespace cleared::ledger {
namespace {

constexpr size_t kEntryBytes = 40;
constexpr size_t kDirectoryBytes = 64;
// A new run swallows the runs before it that have fewer than this many times its entries, those too
// small to be worth a proof of their own, and as many more as leave the most runs that a proof of
// absence may go through.
constexpr uint64_t kGrowth = 2;
constexpr uint64_t kSmallRun = 4096;
// More of them make appending cheaper and a proof of absence longer, by some 700 bytes each.
constexpr size_t most_runs(uint64_t entries) {
  return entries <= 2'000'000 ? 3 : 5;
}
constexpr size_t kMaxChunksKept = 1024;  // 40 MB
constexpr size_t kBlockChunks = 64;      // hashed and written together while merging
constexpr uint64_t kMaxEntries = uint64_t{1} << 48;

void put_u64(char* out, uint64_t value) {
  for (int i = 7; i >= 0; --i, value >>= 8) out[i] = static_cast<char>(value & 0xFFU);
}

uint64_t get_u64(const char* in) {
  uint64_t value = 0;
  for (int i = 0; i < 8; ++i) value = value << 8 | static_cast<unsigned char>(in[i]);
  return value;
}

uint64_t word(const Digest& key, size_t at) {
  uint64_t value = 0;
  std::memcpy(&value, key.bytes.data() + at, sizeof value);
  return value;
}

const MapEntry kFirst{Digest{}, kNoRecord};

Digest last_key() {
  Digest key;
  key.bytes.fill(std::byte{0xFF});
  return key;
}

void put_entry(std::string& out, const MapEntry& entry) {
  char bytes[kEntryBytes];
  std::memcpy(bytes, entry.key.bytes.data(), 32);
  put_u64(bytes + 32, entry.seq);
  out.append(bytes, sizeof bytes);
}

// The entries of runs in order, one chunk in memory each.
class RunReader {
 public:
  RunReader(const Database& db, uint64_t run)
      : where_("map run " + std::to_string(run)),
        select_(std::make_unique<Statement>(
            db, "SELECT entries FROM map_chunk WHERE run = ? ORDER BY chunk")) {
    select_->with(run);
    advance();
    if (entry() != nullptr && *entry() == kFirst) next();
  }
  const MapEntry* entry() const { return at_ < chunk_.size() ? &chunk_[at_] : nullptr; }
  void next() {
    if (++at_ == chunk_.size()) advance();
  }

 private:
  void advance() {
    at_ = 0;
    chunk_.clear();
    if (select_->next()) chunk_ = parse_chunk(select_->view(0), where_);
  }
  std::string where_;
  std::unique_ptr<Statement> select_;
  std::vector<MapEntry> chunk_;
  size_t at_ = 0;
};

// Takes the entries of a new run in order, and writes its chunks a block at a time.
class RunWriter {
 public:
  RunWriter(const Database& db, uint64_t run, uint64_t entries)
      : insert_(db, "INSERT INTO map_chunk VALUES(?, ?, ?)"), filter_(entries) {
    out_.run = run;
    block_.reserve(kBlockChunks * kChunkEntries + 1);
    block_.push_back(kFirst);
  }

  void add(const MapEntry& entry) {
    filter_.add(entry.key);
    ++out_.entries;
    block_.push_back(entry);
    // One more than the block: the last leaf needs the key that follows it.
    if (block_.size() > kBlockChunks * kChunkEntries) {
      write_block(kBlockChunks * kChunkEntries, entry.key);
    }
  }

  StateMap::Run finish(const Database& db) {
    write_block(block_.size(), last_key());
    take_roots();
    out_.root = root_digest(roots_);
    out_.filter = filter_.bytes();
    Statement(db, "INSERT INTO map_run VALUES(?, ?, ?, ?, ?)")
        .with(out_.run, out_.entries, Blob{out_.root.text()}, Blob{out_.directory},
              Blob{out_.filter})
        .run();
    return std::move(out_);
  }

 private:
  // The block is hashed on another thread while its chunks are written and the next one is merged.
  void write_block(size_t count, const Digest& high) {
    take_roots();
    const auto rest = block_.begin() + static_cast<ptrdiff_t>(count);
    std::vector<MapEntry> next(rest, block_.end());
    next.reserve(kBlockChunks * kChunkEntries + 1);
    block_.erase(rest, block_.end());
    hashed_ = std::move(block_);
    block_ = std::move(next);
    hashing_ = std::async(std::launch::async, [this, high] {
      std::vector<Digest> roots;
      for (size_t i = 0; i < chunks_hashed(); ++i) {
        roots.push_back(chunk_root(hashed_chunk(i),
                                   i + 1 < chunks_hashed() ? hashed_chunk(i + 1)[0].key : high));
      }
      return roots;
    });
    std::string bytes;
    for (size_t i = 0; i < chunks_hashed(); ++i) {
      bytes.clear();
      for (const MapEntry& entry : hashed_chunk(i)) put_entry(bytes, entry);
      insert_.with(out_.run, chunks_++, Blob{bytes}).run();
    }
  }
  void take_roots() {
    if (!hashing_.valid()) return;
    const std::vector<Digest> roots = hashing_.get();
    for (size_t i = 0; i < roots.size(); ++i) {
      out_.directory.append(hashed_chunk(i)[0].key.text()).append(roots[i].text());
      roots_.push_back(roots[i]);
    }
  }
  size_t chunks_hashed() const { return (hashed_.size() + kChunkEntries - 1) / kChunkEntries; }
  std::span<const MapEntry> hashed_chunk(size_t i) const {
    const size_t begin = i * kChunkEntries;
    return std::span(hashed_).subspan(begin, std::min(kChunkEntries, hashed_.size() - begin));
  }

  Statement insert_;
  RunFilter filter_;
  StateMap::Run out_;
  std::vector<MapEntry> block_;
  std::vector<MapEntry> hashed_;
  uint64_t chunks_ = 0;  // written
  std::vector<Digest> roots_;
  std::future<std::vector<Digest>> hashing_;  // of hashed_; last, so that it is waited for first
};

Digest directory_key(const StateMap::Run& run, uint64_t chunk) {
  return *digest_from_raw(std::string_view(run.directory).substr(chunk * kDirectoryBytes, 32));
}

Digest directory_root(const StateMap::Run& run, uint64_t chunk) {
  return *digest_from_raw(std::string_view(run.directory).substr(chunk * kDirectoryBytes + 32, 32));
}

uint64_t chunks_of(const StateMap::Run& run) {
  return run.directory.size() / kDirectoryBytes;
}

// The last chunk whose first key is not above `key`... or, for equal keys that begin in the chunk
// before, the one before it.
uint64_t first_chunk_of(const StateMap::Run& run, const Digest& key) {
  uint64_t low = 0;
  uint64_t high = chunks_of(run);
  while (high - low > 1) {
    const uint64_t middle = (low + high) / 2;
    (directory_key(run, middle) < key ? low : high) = middle;
  }
  return low;
}

// The first entry of a chunk whose key is not below `key`. The leaf that a run begins with stands
// before every entry, one of the same key too.
size_t first_entry_of(const std::vector<MapEntry>& entries, const Digest& key) {
  const auto begin = entries.begin() + (entries.front() == kFirst ? 1 : 0);
  return static_cast<size_t>(std::lower_bound(begin, entries.end(), MapEntry{key, 0}) -
                             entries.begin());
}

}  // namespace

Digest subject_key(std::string_view kind, std::span<const std::string_view> parts) {
  Sha256 hasher;
  hasher.update(as_bytes(kind));
  hasher.update(as_bytes(std::string_view("\0", 1)));
  for (std::string_view part : parts) {
    char length[4];
    for (int i = 0; i < 4; ++i) length[i] = static_cast<char>(part.size() >> (24 - 8 * i) & 0xFFU);
    hasher.update(as_bytes(std::string_view(length, 4)));
    hasher.update(as_bytes(part));
  }
  return hasher.finish();
}

std::string interval_bytes(const MapEntry& low, const Digest& high) {
  std::string out;
  out.reserve(kEntryBytes + 32);
  put_entry(out, low);
  out += high.text();
  return out;
}

Digest state_root(const StateRecord& state) {
  std::vector<Digest> leaves;
  for (const auto& run : state.run()) {
    std::string leaf(8, '\0');
    put_u64(leaf.data(), run.entries());
    leaves.push_back(leaf_digest(as_bytes(leaf + run.root())));
  }
  return root_digest(leaves);
}

std::vector<MapEntry> parse_chunk(std::string_view bytes, std::string_view where) {
  if (bytes.empty() || bytes.size() % kEntryBytes != 0 ||
      bytes.size() > kChunkEntries * kEntryBytes) {
    throw Error(Errc::corrupt, where, ": a chunk is cut short");
  }
  std::vector<MapEntry> out(bytes.size() / kEntryBytes);
  for (size_t i = 0; i < out.size(); ++i) {
    std::memcpy(out[i].key.bytes.data(), bytes.data() + i * kEntryBytes, 32);
    out[i].seq = get_u64(bytes.data() + i * kEntryBytes + 32);
  }
  return out;
}

Digest chunk_root(std::span<const MapEntry> entries, const Digest& high) {
  // Entry behind entry, so that each interval is an entry and the key behind it.
  std::string bytes(entries.size() * kEntryBytes + 32, '\0');
  std::vector<ByteView> intervals;
  intervals.reserve(entries.size());
  for (size_t i = 0; i < entries.size(); ++i) {
    char* const at = bytes.data() + i * kEntryBytes;
    std::memcpy(at, entries[i].key.bytes.data(), 32);
    put_u64(at + 32, entries[i].seq);
    intervals.push_back(as_bytes(std::string_view(at, kEntryBytes + 32)));
  }
  std::memcpy(bytes.data() + entries.size() * kEntryBytes, high.bytes.data(), 32);
  std::vector<Digest> leaves(entries.size());
  leaf_digests(intervals, leaves);
  return root_digest(leaves);
}

// A blocked Bloom filter (Putze, Sanders, Singler, 2007): 7 bits in one block of 64 bytes, 12 bits
// an entry. Keys are digests, so their own bits are the hash functions.
RunFilter::RunFilter(uint64_t entries) : bytes_((entries * 12 / 512 + 1) * 64, '\0') {}

void RunFilter::add(const Digest& key) {
  for_each_bit(bytes_.size() * 8, key, [&](size_t bit) {
    bytes_[bit / 8] = static_cast<char>(bytes_[bit / 8] | 1 << bit % 8);
  });
}

bool RunFilter::may_hold(std::string_view bytes, const Digest& key) {
  bool all = true;
  for_each_bit(bytes.size() * 8, key,
               [&](size_t bit) { all = all && (bytes[bit / 8] >> bit % 8 & 1) != 0; });
  return all;
}

StateMap::StateMap(const Database& db) : db_(&db) {
  Statement select(db, "SELECT run, entries, root, directory, filter FROM map_run ORDER BY run");
  while (select.next()) {
    Run run{select.unsigned_integer(0), select.unsigned_integer(1), Digest{}, select.text(3),
            select.text(4)};
    const auto root = digest_from_raw(select.view(2));
    const uint64_t leaves = run.entries + 1;
    if (!root || run.entries >= kMaxEntries || run.filter.empty() || run.filter.size() % 64 != 0 ||
        run.directory.size() % kDirectoryBytes != 0 ||
        chunks_of(run) != (leaves + kChunkEntries - 1) / kChunkEntries) {
      throw Error(Errc::corrupt, db.name(), ": map run ", run.run,
                  " is damaged; run ledger verify");
    }
    run.root = *root;
    runs_.push_back(std::move(run));
  }
}

void StateMap::grow() {
  slots_.assign(std::max<size_t>(1024, slots_.size() * 2), 0);
  std::fill(next_.begin(), next_.end(), 0);
  const std::vector<MapEntry> entries = std::move(pending_);
  pending_.clear();
  next_.clear();
  for (const MapEntry& entry : entries) add(entry.key, entry.seq);
}

void StateMap::add(const Digest& key, uint64_t seq) {
  if ((pending_.size() + 1) * 2 > slots_.size()) grow();
  size_t slot = word(key, 16) & (slots_.size() - 1);
  while (slots_[slot] != 0 && pending_[slots_[slot] - 1].key != key) {
    slot = (slot + 1) & (slots_.size() - 1);
  }
  next_.push_back(slots_[slot]);
  pending_.push_back({key, seq});
  slots_[slot] = static_cast<uint32_t>(pending_.size());
}

const StateMap::Chunk& StateMap::chunk(const Run& run, uint64_t number) const {
  const auto found = chunks_.find({run.run, number});
  if (found != chunks_.end()) return found->second;
  if (chunks_.size() >= kMaxChunksKept) chunks_.clear();
  Statement select(*db_, "SELECT entries FROM map_chunk WHERE run = ? AND chunk = ?");
  if (!select.with(run.run, number).next()) {
    throw Error(Errc::corrupt, db_->name(), ": map run ", run.run, ": chunk ", number,
                " is missing; run ledger verify");
  }
  const std::string where = db_->name() + ": map run " + std::to_string(run.run);
  Chunk entries = parse_chunk(select.view(0), where);
  const uint64_t leaves = run.entries + 1 - number * kChunkEntries;
  if (entries.size() != std::min(leaves, kChunkEntries) ||
      entries.front().key != directory_key(run, number) ||
      (number == 0 && entries.front() != kFirst)) {
    throw Error(Errc::corrupt, where, ": chunk ", number,
                " is not the one that its directory lists; run ledger verify");
  }
  return chunks_[{run.run, number}] = std::move(entries);
}

std::vector<uint64_t> StateMap::find(const Digest& key) const {
  std::vector<uint64_t> found;
  for (const Run& run : runs_) {
    if (!RunFilter::may_hold(run.filter, key)) continue;
    for (uint64_t number = first_chunk_of(run, key); number < chunks_of(run); ++number) {
      const Chunk& entries = chunk(run, number);
      auto at = entries.begin() + static_cast<ptrdiff_t>(first_entry_of(entries, key));
      for (; at != entries.end() && at->key == key; ++at) found.push_back(at->seq);
      if (at != entries.end()) break;
    }
  }
  // The runs need not be in the order of their records.
  if (found.size() > 1) std::sort(found.begin(), found.end());
  const auto pending = find_pending(key);
  found.insert(found.end(), pending.begin(), pending.end());
  return found;
}

std::vector<uint64_t> StateMap::find_pending(const Digest& key) const {
  std::vector<uint64_t> found;
  if (slots_.empty()) return found;
  size_t slot = word(key, 16) & (slots_.size() - 1);
  while (slots_[slot] != 0 && pending_[slots_[slot] - 1].key != key) {
    slot = (slot + 1) & (slots_.size() - 1);
  }
  for (uint32_t at = slots_[slot]; at != 0; at = next_[at - 1]) {
    found.push_back(pending_[at - 1].seq);
  }
  std::reverse(found.begin(), found.end());
  return found;
}

bool StateMap::may_be_in_runs(const Digest& key) const {
  return std::any_of(runs_.begin(), runs_.end(),
                     [&](const Run& run) { return RunFilter::may_hold(run.filter, key); });
}

StateRecord StateMap::flush(uint64_t run, uint64_t size) {
  if (!pending_.empty()) {
    std::sort(pending_.begin(), pending_.end());
    uint64_t total = pending_.size();
    const size_t most = most_runs(std::accumulate(
        runs_.begin(), runs_.end(), total, [](uint64_t n, const Run& r) { return n + r.entries; }));
    size_t first = runs_.size();
    while (first > 0 && (runs_[first - 1].entries < kGrowth * total ||
                         runs_[first - 1].entries < kSmallRun || first >= most)) {
      total += runs_[--first].entries;
    }
    std::vector<RunReader> readers;
    for (size_t i = first; i < runs_.size(); ++i) readers.emplace_back(*db_, runs_[i].run);
    RunWriter writer(*db_, run, total);
    size_t at = 0;
    while (true) {
      const MapEntry* least = at < pending_.size() ? &pending_[at] : nullptr;
      RunReader* from = nullptr;
      for (RunReader& reader : readers) {
        if (reader.entry() != nullptr && (least == nullptr || *reader.entry() < *least)) {
          least = reader.entry();
          from = &reader;
        }
      }
      if (least == nullptr) break;
      writer.add(*least);
      from == nullptr ? static_cast<void>(++at) : from->next();
    }
    readers.clear();
    Run merged = writer.finish(*db_);
    if (merged.entries != total) {
      throw Error(Errc::corrupt, db_->name(), ": the map holds ", merged.entries,
                  " entries and not ", total, "; run ledger verify");
    }
    for (size_t i = first; i < runs_.size(); ++i) {
      Statement(*db_, "DELETE FROM map_chunk WHERE run = ?").with(runs_[i].run).run();
      Statement(*db_, "DELETE FROM map_run WHERE run = ?").with(runs_[i].run).run();
    }
    runs_.resize(first);
    runs_.push_back(std::move(merged));
    pending_.clear();
    next_.clear();
    std::fill(slots_.begin(), slots_.end(), 0);
    chunks_.clear();
  }
  StateRecord state;
  state.set_size(size);
  for (const Run& r : runs_) {
    StateRecord::Run* out = state.add_run();
    out->set_entries(r.entries);
    out->set_root(std::string(r.root.text()));
  }
  return state;
}

std::vector<StateMap::RunProof> StateMap::prove(const Digest& key) const {
  CLEARED_CHECK(pending_.empty());
  std::vector<RunProof> proofs;
  for (const Run& run : runs_) {
    // The first entry that is not below the key, and the one before it.
    uint64_t number = first_chunk_of(run, key);
    const Chunk* entries = &chunk(run, number);
    size_t at = first_entry_of(*entries, key);
    if (at == entries->size() && number + 1 < chunks_of(run) &&
        directory_key(run, number + 1) == key) {
      entries = &chunk(run, ++number);
      at = 0;
    } else if (at == entries->size() || (*entries)[at].key != key) {
      CLEARED_CHECK(at > 0);
      --at;
    }
    RunProof proof;
    proof.low = (*entries)[at];
    proof.high = at + 1 < entries->size()      ? (*entries)[at + 1].key
                 : number + 1 < chunks_of(run) ? directory_key(run, number + 1)
                                               : last_key();
    proof.index = number * kChunkEntries + at;
    const uint64_t size = run.entries + 1;
    std::vector<Digest> leaves;
    for (size_t i = 0; i < entries->size(); ++i) {
      const Digest high = i + 1 < entries->size()       ? (*entries)[i + 1].key
                          : number + 1 < chunks_of(run) ? directory_key(run, number + 1)
                                                        : last_key();
      leaves.push_back(leaf_digest(as_bytes(interval_bytes((*entries)[i], high))));
    }
    std::vector<Digest> roots;
    for (uint64_t i = 0; i < chunks_of(run); ++i) roots.push_back(directory_root(run, i));
    for (const LeafRange& range : inclusion_path(proof.index, size)) {
      const uint64_t begin = number * kChunkEntries;
      const bool inside = range.begin >= begin && range.end <= begin + leaves.size();
      proof.path.push_back(
          inside
              ? root_digest(std::span(leaves).subspan(range.begin - begin, range.end - range.begin))
              : root_digest(std::span(roots).subspan(
                    range.begin / kChunkEntries, (range.end + kChunkEntries - 1) / kChunkEntries -
                                                     range.begin / kChunkEntries)));
    }
    proofs.push_back(std::move(proof));
  }
  return proofs;
}

namespace {

bool verify_interval(const StateMap::RunProof& proof, const StateRecord::Run& run) {
  const auto root = digest_from_raw(run.root());
  return root && run.entries() < kNoRecord &&
         verify_inclusion(leaf_digest(as_bytes(interval_bytes(proof.low, proof.high))), proof.index,
                          run.entries() + 1, proof.path, *root);
}

}  // namespace

bool verify_absence(const Digest& key, std::span<const StateMap::RunProof> proof,
                    const StateRecord& state) {
  if (proof.size() != static_cast<size_t>(state.run_size())) return false;
  for (size_t i = 0; i < proof.size(); ++i) {
    if (!(proof[i].low.key < key && key < proof[i].high)) return false;
    if (!verify_interval(proof[i], state.run(static_cast<int>(i)))) return false;
  }
  return true;
}

bool verify_presence(const Digest& key, uint64_t seq, uint64_t run, const StateMap::RunProof& proof,
                     const StateRecord& state) {
  return run < static_cast<uint64_t>(state.run_size()) && seq != kNoRecord &&
         proof.low == MapEntry{key, seq} &&
         verify_interval(proof, state.run(static_cast<int>(run)));
}

}  // namespace cleared::ledger
