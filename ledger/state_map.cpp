#include "ledger/state_map.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <future>
#include <numeric>
#include <optional>

#include <sys/mman.h>

#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "ledger/digest.h"
#include "ledger/merkle.h"

namespace cleared::ledger {
namespace {

constexpr size_t kEntryBytes = 40;
constexpr size_t kDirectoryBytes = 64;
// A new run swallows the runs before it that are small beside it, those too small to be worth a
// proof of their own, and as many more as leave the most runs that a proof of absence may go
// through, some 700 bytes each. As long as merging all is cheap there are few; with more of them
// each entry is written less often, and no merge is much longer than the one before.
struct MergePolicy {
  uint64_t halves;  // of the new run's entries: so many are small beside it
  size_t most_runs;
};
constexpr MergePolicy policy_for(uint64_t entries) {
  return entries <= 2'000'000 ? MergePolicy{4, 3} : MergePolicy{1, 12};
}
constexpr uint64_t kSmallRun = 4096;
constexpr size_t kMaxChunksKept = 1024;               // 40 MB
constexpr size_t kBlockEntries = 64 * kChunkEntries;  // hashed and written together while merging
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

// The leaf that a run begins with: a key of zeros, no record.
const std::string kFirstBytes = std::string(32, '\0') + std::string(8, '\xFF');

const std::string kLastKey(32, '\xFF');

void put_entry(std::string& out, const MapEntry& entry) {
  char bytes[kEntryBytes];
  std::memcpy(bytes, entry.key.bytes.data(), 32);
  put_u64(bytes + 32, entry.seq);
  out.append(bytes, sizeof bytes);
}

std::string_view require_chunk(std::string_view bytes, std::string_view where) {
  if (bytes.empty() || bytes.size() % kEntryBytes != 0 ||
      bytes.size() > kChunkEntries * kEntryBytes) {
    throw Error(Errc::corrupt, where, ": a chunk is cut short");
  }
  return bytes;
}

// Entries as their bytes, which are in the order of key and number: those that are pending, or a
// run of the file, one chunk in memory.
class EntryReader {
 public:
  explicit EntryReader(std::string_view entries) : rest_(entries) { arrive(); }
  EntryReader(const Database& db, uint64_t run)
      : where_(db.name() + ": map run " + std::to_string(run)),
        select_(std::in_place, db, "SELECT entries FROM map_chunk WHERE run = ? ORDER BY chunk") {
    select_->with(run);
    next_chunk();
    if (rest_.starts_with(kFirstBytes)) next();
  }

  bool done() const { return rest_.empty(); }
  std::string_view entry() const { return rest_.substr(0, kEntryBytes); }
  bool operator<(const EntryReader& other) const {
    return begin_ != other.begin_ ? begin_ < other.begin_ : entry() < other.entry();
  }
  void next() {
    rest_.remove_prefix(kEntryBytes);
    if (rest_.empty() && select_) return next_chunk();
    arrive();
  }

 private:
  void next_chunk() {
    rest_ = select_->next() ? require_chunk(select_->view(0), where_) : std::string_view();
    arrive();
  }
  void arrive() { begin_ = rest_.empty() ? 0 : get_u64(rest_.data()); }

  std::string where_;
  std::optional<Statement> select_;
  std::string_view rest_;
  uint64_t begin_ = 0;  // of the entry, as a number: all that is compared but of equal keys
};

// Takes the entries of a new run in order, and writes its chunks a block at a time. Another thread
// hashes a block while its chunks are written and the next one is merged; what it has not come to
// by then is hashed by both.
class RunWriter {
 public:
  RunWriter(const Database& db, uint64_t run, uint64_t entries)
      : insert_(db, "INSERT INTO map_chunk VALUES(?, ?, ?)"), filter_(entries) {
    out_.run = run;
    const uint64_t most = std::min(entries + 1, kBlockEntries) * kEntryBytes + sizeof(Digest);
    for (std::string* block : {&block_, &hashed_}) block->reserve(most);
    block_ += kFirstBytes;
  }

  void add(std::string_view entry) {
    // The last leaf of a block needs the key that follows it.
    if (block_.size() == kBlockEntries * kEntryBytes) write_block(entry.substr(0, sizeof(Digest)));
    block_ += entry;
    ++out_.entries;
  }

  StateMap::Run finish(const Database& db) {
    write_block(kLastKey);
    take_roots();
    out_.root = root_digest(roots_);
    out_.filter = std::move(filter_).take();
    const Cell row[] = {{ValueType::integer, static_cast<int64_t>(out_.run)},
                        {ValueType::integer, static_cast<int64_t>(out_.entries)},
                        {ValueType::blob, 0, 0, out_.root.text()},
                        {ValueType::blob, 0, 0, out_.directory},
                        {ValueType::blob, 0, 0, out_.filter}};
    Statement(db, "INSERT INTO map_run VALUES(?, ?, ?, ?, ?)").with_rows(std::span(&row, 1)).run();
    return std::move(out_);
  }

 private:
  void write_block(std::string_view next_key) {
    take_roots();
    block_ += next_key;
    std::swap(block_, hashed_);
    block_.clear();
    const size_t leaves = hashed_.size() / kEntryBytes;
    block_roots_.resize((leaves + kChunkEntries - 1) / kChunkEntries);
    next_hashed_ = 0;
    hashing_ = std::async(std::launch::async, [this, first = chunks_ == 0] {
      std::string_view entries = std::string_view(hashed_).substr(first ? kEntryBytes : 0);
      entries.remove_suffix(sizeof(Digest));
      filter_.add(entries);
      hash_chunks();
    });
    for (size_t i = 0; i < block_roots_.size(); ++i) {
      std::string_view entries = chunk_and_next_key(i);
      entries.remove_suffix(sizeof(Digest));
      const Cell row[] = {{ValueType::integer, static_cast<int64_t>(out_.run)},
                          {ValueType::integer, static_cast<int64_t>(chunks_++)},
                          {ValueType::blob, 0, 0, entries}};
      insert_.with_rows(std::span(&row, 1)).run();
    }
  }
  void hash_chunks() {
    for (size_t i = next_hashed_++; i < block_roots_.size(); i = next_hashed_++) {
      block_roots_[i] = chunk_root(chunk_and_next_key(i));
    }
  }
  void take_roots() {
    if (!hashing_.valid()) return;
    hash_chunks();
    hashing_.get();
    for (size_t i = 0; i < block_roots_.size(); ++i) {
      out_.directory.append(chunk_and_next_key(i).substr(0, sizeof(Digest)))
          .append(block_roots_[i].text());
    }
    roots_.insert(roots_.end(), block_roots_.begin(), block_roots_.end());
  }
  // Of the block that is hashed.
  std::string_view chunk_and_next_key(size_t chunk) const {
    constexpr size_t kBytes = kChunkEntries * kEntryBytes;
    return std::string_view(hashed_).substr(chunk * kBytes, kBytes + sizeof(Digest));
  }

  Statement insert_;
  RunFilter filter_;
  StateMap::Run out_;
  std::string block_;    // is being filled
  std::string hashed_;   // with the key behind it
  uint64_t chunks_ = 0;  // written
  std::vector<Digest> roots_, block_roots_;
  std::atomic<size_t> next_hashed_{0};
  std::future<void> hashing_;  // of hashed_; last, so that it is waited for first
};

std::string_view directory_key(const StateMap::Run& run, uint64_t chunk) {
  return std::string_view(run.directory).substr(chunk * kDirectoryBytes, sizeof(Digest));
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
    (directory_key(run, middle) < key.text() ? low : high) = middle;
  }
  return low;
}

// The first entry of a chunk whose key is not below `key`. The leaf that a run begins with stands
// before every entry, one of the same key too.
size_t first_entry_of(std::string_view entries, const Digest& key) {
  size_t low = entries.starts_with(kFirstBytes) ? 1 : 0;
  size_t high = entries.size() / kEntryBytes;
  while (low < high) {
    const size_t middle = (low + high) / 2;
    const bool below = entries.substr(middle * kEntryBytes, sizeof(Digest)) < key.text();
    (below ? low : high) = below ? middle + 1 : middle;
  }
  return low;
}

MapEntry entry_at(std::string_view entries, size_t i) {
  MapEntry out;
  std::memcpy(out.key.bytes.data(), entries.data() + i * kEntryBytes, sizeof(Digest));
  out.seq = get_u64(entries.data() + i * kEntryBytes + sizeof(Digest));
  return out;
}

// Of a chunk's entries and the key behind them: each interval is an entry and the next key.
std::vector<Digest> leaves_of(std::string_view entries) {
  std::vector<ByteView> intervals(entries.size() / kEntryBytes);
  for (size_t i = 0; i < intervals.size(); ++i) {
    intervals[i] = as_bytes(entries.substr(i * kEntryBytes, kEntryBytes + sizeof(Digest)));
  }
  std::vector<Digest> leaves(intervals.size());
  leaf_digests(intervals, leaves);
  return leaves;
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
  std::vector<MapEntry> out(require_chunk(bytes, where).size() / kEntryBytes);
  for (size_t i = 0; i < out.size(); ++i) out[i] = entry_at(bytes, i);
  return out;
}

Digest chunk_root(std::string_view entries_and_next_key) {
  return root_digest(leaves_of(entries_and_next_key));
}

// A blocked Bloom filter (Putze, Sanders, Singler, 2007): 7 bits in one block of 64 bytes. Keys are
// digests, so their own bits are the hash functions.
size_t RunFilter::bytes_for(uint64_t entries, uint64_t bits_each) {
  return (entries * bits_each / 512 + 1) * 64;
}

std::string RunFilter::zeros(size_t bytes) {
  constexpr uintptr_t kPage = 4096;
  std::string out;
  out.reserve(bytes);
  const uintptr_t begin = reinterpret_cast<uintptr_t>(out.data()) / kPage * kPage + kPage;
  const uintptr_t end = reinterpret_cast<uintptr_t>(out.data() + bytes) / kPage * kPage;
  // A wish, granted or not; before the memory is touched.
  if (begin < end) {
    static_cast<void>(::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE));
  }
  out.resize(bytes);
  return out;
}

void RunFilter::add(std::string_view entries) {
  constexpr size_t kAhead = 16 * kEntryBytes;
  for (size_t at = 0; at < entries.size(); at += kEntryBytes) {
    __builtin_prefetch(
        block_of(bytes_, entries.substr(std::min(at + kAhead, entries.size() - kEntryBytes))));
    for_each_bit(bytes_.size() * 8, entries.substr(at), [&](size_t bit) {
      bytes_[bit / 8] = static_cast<char>(bytes_[bit / 8] | 1 << bit % 8);
    });
  }
}

bool RunFilter::block_may_hold(const char* block, const Digest& key) {
  bool all = true;
  for_each_bit(512, key.text(), [&](size_t bit) { all = all && (block[bit / 8] >> bit % 8 & 1); });
  return all;
}

StateMap::StateMap(const Database& db) : db_(&db) {
  Statement select(db, "SELECT run, entries, root, directory, filter FROM map_run ORDER BY run");
  while (select.next()) {
    Run run{select.unsigned_integer(0), select.unsigned_integer(1), Digest{}, select.text(3),
            RunFilter::zeros(select.view(4).size())};
    select.view(4).copy(run.filter.data(), run.filter.size());
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

const std::string& StateMap::chunk(const Run& run, uint64_t number) const {
  const auto found = chunks_.find({run.run, number});
  if (found != chunks_.end()) return found->second;
  if (chunks_.size() >= kMaxChunksKept) chunks_.clear();
  if (!select_chunk_) {
    select_chunk_.emplace(*db_, "SELECT entries FROM map_chunk WHERE run = ? AND chunk = ?");
  }
  if (!select_chunk_->with(run.run, number).next()) {
    throw Error(Errc::corrupt, db_->name(), ": map run ", run.run, ": chunk ", number,
                " is missing; run ledger verify");
  }
  std::string entries = select_chunk_->text(0);
  select_chunk_->run();  // to its end: what is half read keeps an old state of the file alive
  const std::string where = db_->name() + ": map run " + std::to_string(run.run);
  const uint64_t leaves = run.entries + 1 - number * kChunkEntries;
  if (require_chunk(entries, where).size() != std::min(leaves, kChunkEntries) * kEntryBytes ||
      !entries.starts_with(directory_key(run, number)) ||
      (number == 0 && !entries.starts_with(kFirstBytes))) {
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
      std::string_view rest = chunk(run, number);
      rest.remove_prefix(first_entry_of(rest, key) * kEntryBytes);
      for (; rest.starts_with(key.text()); rest.remove_prefix(kEntryBytes)) {
        found.push_back(get_u64(rest.data() + sizeof(Digest)));
      }
      if (!rest.empty()) break;
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

std::vector<bool> StateMap::may_be_in_runs(std::span<const Digest> keys) const {
  std::vector<bool> may(keys.size());
  std::vector<const char*> blocks(keys.size());
  for (const Run& run : runs_) {
    for (size_t i = 0; i < keys.size(); ++i) {
      blocks[i] = RunFilter::block_of(run.filter, keys[i].text());
      __builtin_prefetch(blocks[i]);
    }
    for (size_t i = 0; i < keys.size(); ++i) {
      if (RunFilter::block_may_hold(blocks[i], keys[i])) may[i] = true;
    }
  }
  return may;
}

std::string StateMap::take_pending() {
  // Sorting numbers that the keys begin with is quicker than sorting entries.
  std::vector<std::pair<uint64_t, uint32_t>> order(pending_.size());
  for (uint32_t i = 0; i < order.size(); ++i) {
    order[i] = {get_u64(pending_[i].key.text().data()), i};
  }
  std::sort(order.begin(), order.end(), [&](const auto& a, const auto& b) {
    return a.first != b.first ? a.first < b.first : pending_[a.second] < pending_[b.second];
  });
  std::string out;
  out.reserve(order.size() * kEntryBytes);
  for (const auto& [begin, at] : order) put_entry(out, pending_[at]);
  pending_.clear();
  next_.clear();
  std::fill(slots_.begin(), slots_.end(), 0);
  return out;
}

// How many of the runs, the oldest ones, stay as they are when so many entries are added.
size_t StateMap::runs_to_keep(uint64_t added) const {
  const MergePolicy policy = policy_for(std::accumulate(
      runs_.begin(), runs_.end(), added, [](uint64_t n, const Run& r) { return n + r.entries; }));
  size_t keep = runs_.size();
  while (keep > 0 && (2 * runs_[keep - 1].entries < policy.halves * added ||
                      runs_[keep - 1].entries < kSmallRun || keep >= policy.most_runs)) {
    added += runs_[--keep].entries;
  }
  return keep;
}

StateRecord StateMap::flush(uint64_t run, uint64_t size) {
  return flush(run, size, runs_to_keep(pending_.size()));
}

StateRecord StateMap::flush(uint64_t run, uint64_t size, size_t keep) {
  if (!pending_.empty()) {
    keep = std::min(keep, runs_.size());
    const auto merged = runs_.begin() + static_cast<ptrdiff_t>(keep);
    const uint64_t total = std::accumulate(merged, runs_.end(), uint64_t{pending_.size()},
                                           [](uint64_t n, const Run& r) { return n + r.entries; });
    const std::string pending = take_pending();
    std::vector<EntryReader> readers;
    readers.reserve(runs_.size() - keep + 1);
    readers.emplace_back(pending);
    for (auto r = merged; r != runs_.end(); ++r) readers.emplace_back(*db_, r->run);
    RunWriter writer(*db_, run, total);
    while (!readers.empty()) {
      EntryReader* least = readers.data();
      for (EntryReader& reader : std::span(readers).subspan(1)) {
        if (reader < *least) least = &reader;
      }
      writer.add(least->entry());
      least->next();
      if (least->done()) readers.erase(readers.begin() + (least - readers.data()));
    }
    Run made = writer.finish(*db_);
    if (made.entries != total) {
      throw Error(Errc::corrupt, db_->name(), ": the map holds ", made.entries, " entries and not ",
                  total, "; run ledger verify");
    }
    for (auto r = merged; r != runs_.end(); ++r) {
      std::erase_if(chunks_, [&](const auto& chunk) { return chunk.first.first == r->run; });
      Statement(*db_, "DELETE FROM map_chunk WHERE run = ?").with(r->run).run();
      Statement(*db_, "DELETE FROM map_run WHERE run = ?").with(r->run).run();
    }
    runs_.erase(merged, runs_.end());
    runs_.push_back(std::move(made));
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
    std::string entries = chunk(run, number);
    size_t at = first_entry_of(entries, key);
    const bool behind = at * kEntryBytes == entries.size();
    if (behind && number + 1 < chunks_of(run) && directory_key(run, number + 1) == key.text()) {
      entries = chunk(run, ++number);
      at = 0;
    } else if (behind || entry_at(entries, at).key != key) {
      CLEARED_CHECK(at > 0);
      --at;
    }
    entries += number + 1 < chunks_of(run) ? directory_key(run, number + 1) : kLastKey;
    RunProof proof;
    proof.low = entry_at(entries, at);
    proof.high = *digest_from_raw(std::string_view(entries).substr((at + 1) * kEntryBytes, 32));
    proof.index = number * kChunkEntries + at;
    const std::vector<Digest> leaves = leaves_of(entries);
    std::vector<Digest> roots;
    for (uint64_t i = 0; i < chunks_of(run); ++i) roots.push_back(directory_root(run, i));
    for (const LeafRange& range : inclusion_path(proof.index, run.entries + 1)) {
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
