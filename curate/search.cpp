#include "curate/search.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "curate/search_block.h"
#include "ledger/base/check.h"

namespace cleared::curate {
namespace {

constexpr int kChunks = 11;
// Ten chunks of radius 2 and a last one of radius 1: the wider the chunk, the fewer strangers.
constexpr int kWidths[kChunks] = {24, 24, 24, 24, 24, 24, 23, 23, 23, 23, 20};
constexpr int kRadius[kChunks] = {2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1};
constexpr size_t kTail = 4096;

constexpr bool nothing_is_missed() {
  int bits = 0, needed = 0;
  for (int i = 0; i < kChunks; ++i) {
    bits += kWidths[i];
    needed += kRadius[i] + 1;
  }
  return bits == 256 && needed > kAlike;
}
static_assert(nothing_is_missed());

// Bits [bit, bit + width) of a fingerprint, width at most 24.
uint32_t chunk_key(const Pdq& print, int bit, int width) {
  uint64_t word = 0;
  const size_t byte = std::min<size_t>(static_cast<size_t>(bit) / 8, 24);
  std::memcpy(&word, print.data() + byte, 8);
  const auto within = static_cast<size_t>(bit) - 8 * byte;
  return static_cast<uint32_t>(word >> within) & ((1U << width) - 1);
}

int bits_apart(const Pdq& a, const Pdq& b) {
  uint64_t x[4], y[4];
  std::memcpy(x, a.data(), 32);
  std::memcpy(y, b.data(), 32);
  return std::popcount(x[0] ^ y[0]) + std::popcount(x[1] ^ y[1]) + std::popcount(x[2] ^ y[2]) +
         std::popcount(x[3] ^ y[3]);
}

// Calls visit(key) for every key within `radius` bits, at most 2.
template <class Visit>
void ball(uint32_t key, int width, int radius, const Visit& visit) {
  visit(key);
  for (int i = 0; i < width; ++i) {
    const uint32_t one = key ^ (1U << i);
    visit(one);
    for (int j = 0; radius > 1 && j < i; ++j) visit(one ^ (1U << j));
  }
}

}  // namespace

// Small runs share bits of `present` between keys: a stranger more is compared, nothing is lost.
uint32_t SearchRun::folded(const Chunk& chunk, uint32_t key) const {
  return key & static_cast<uint32_t>(chunk.present.size() * 64 - 1);
}

SearchRun::SearchRun(std::vector<Pdq> prints) : prints_(std::move(prints)) {
  CLEARED_CHECK(!prints_.empty() && prints_.size() < UINT32_MAX);
  const int enough = std::max(6, static_cast<int>(std::bit_width(prints_.size() - 1)));
  int bit = 0;
  for (const int width : kWidths) {
    Chunk& chunk = chunks_.emplace_back();
    chunk.bit = bit;
    chunk.width = width;
    chunk.shift = std::max(0, width - enough);
    bit += width;
    chunk.present.resize((size_t{1} << std::min(width, enough + 4)) / 64);
    chunk.begin.assign((size_t{1} << (width - chunk.shift)) + 1, 0);
    chunk.order.resize(prints_.size());
    for (const Pdq& print : prints_) {
      const uint32_t key = chunk_key(print, chunk.bit, width);
      ++chunk.begin[(key >> chunk.shift) + 1];
      const uint32_t at = folded(chunk, key);
      chunk.present[at / 64] |= uint64_t{1} << at % 64;
    }
    for (size_t i = 1; i < chunk.begin.size(); ++i) chunk.begin[i] += chunk.begin[i - 1];
    std::vector<uint32_t> next(chunk.begin.begin(), chunk.begin.end() - 1);
    for (size_t i = 0; i < prints_.size(); ++i) {
      const uint32_t key = chunk_key(prints_[i], chunk.bit, width);
      chunk.order[next[key >> chunk.shift]++] = static_cast<uint32_t>(i);
    }
  }
}

// Step by step over whole lists, each asking for the memory that the next one reads.
void SearchRun::near(const Pdq& query, uint32_t first, std::vector<Near>& out) const {
  thread_local std::vector<uint32_t> buckets, candidates;
  const size_t before = out.size();
  for (int c = 0; c < kChunks; ++c) {
    const Chunk& chunk = chunks_[static_cast<size_t>(c)];
    buckets.clear();
    candidates.clear();
    ball(chunk_key(query, chunk.bit, chunk.width), chunk.width, kRadius[c], [&](uint32_t key) {
      const uint32_t at = folded(chunk, key);
      if ((chunk.present[at / 64] >> at % 64 & 1) == 0) return;
      buckets.push_back(key >> chunk.shift);
      __builtin_prefetch(&chunk.begin[key >> chunk.shift]);
    });
    if (chunk.shift > 0) {  // keys that share a bucket
      std::sort(buckets.begin(), buckets.end());
      buckets.erase(std::unique(buckets.begin(), buckets.end()), buckets.end());
    }
    for (const uint32_t bucket : buckets) __builtin_prefetch(&chunk.order[chunk.begin[bucket]]);
    for (const uint32_t bucket : buckets) {
      for (uint32_t at = chunk.begin[bucket]; at < chunk.begin[bucket + 1]; ++at) {
        candidates.push_back(chunk.order[at]);
        __builtin_prefetch(&prints_[chunk.order[at]]);
      }
    }
    for (const uint32_t id : candidates) {
      const int bits = bits_apart(query, prints_[id]);
      if (bits <= kAlike) out.push_back({first + id, bits});
    }
  }
  const auto from = out.begin() + static_cast<ptrdiff_t>(before);
  std::sort(from, out.end(), [](const Near& a, const Near& b) { return a.id < b.id; });
  out.erase(std::unique(from, out.end()), out.end());
}

uint64_t SearchRun::size_bytes() const {
  uint64_t sum = prints_.size() * sizeof(Pdq);
  for (const Chunk& chunk : chunks_) {
    sum += 8 * chunk.present.size() + 4 * chunk.begin.size() + 4 * chunk.order.size();
  }
  return sum;
}

void SearchIndex::add(const Pdq& print) {
  tail_.push_back(print);
  if (tail_.size() < kTail) return;
  std::vector<Pdq> merged = std::move(tail_);
  tail_.clear();
  sealed_ += merged.size();
  while (!runs_.empty() && runs_.back().prints().size() <= merged.size()) {
    std::vector<Pdq> all = runs_.back().prints();
    all.insert(all.end(), merged.begin(), merged.end());
    merged = std::move(all);
    runs_.pop_back();
  }
  runs_.emplace_back(std::move(merged));
}

void SearchIndex::near(const Pdq& query, std::vector<Near>& out) const {
  out.clear();
  size_t first = 0;
  for (const SearchRun& run : runs_) {
    run.near(query, static_cast<uint32_t>(first), out);
    first += run.prints().size();
  }
  for (size_t i = 0; i < tail_.size(); ++i) {
    const int bits = bits_apart(query, tail_[i]);
    if (bits <= kAlike) out.push_back({static_cast<uint32_t>(first + i), bits});
  }
}

uint64_t SearchIndex::size_bytes() const {
  uint64_t sum = tail_.size() * sizeof(Pdq);
  for (const SearchRun& run : runs_) sum += run.size_bytes();
  return sum;
}

std::vector<std::vector<Near>> near_of_all(std::span<const Pdq> queries,
                                           std::span<const Pdq> base) {
  std::vector<std::vector<Near>> out(queries.size());
  const size_t blocks = (base.size() + kBlock - 1) / kBlock;
  constexpr size_t kBlocksAtOnce = 512;  // 128 KiB: they stay in the second-level cache
  std::vector<uint64_t> words(kBlocksAtOnce * kBlock * 4);
  std::vector<uint32_t> hits(kBlocksAtOnce);
  for (size_t first = 0; first < blocks; first += kBlocksAtOnce) {
    const size_t count = std::min(kBlocksAtOnce, blocks - first);
    for (size_t i = 0; i < count * kBlock; ++i) {
      // Past the end stands the last one again; its hits are dropped below.
      const Pdq& print = base[std::min(first * kBlock + i, base.size() - 1)];
      uint64_t word[4];
      std::memcpy(word, print.data(), 32);
      for (size_t w = 0; w < 4; ++w) words[(i / kBlock * 4 + w) * kBlock + i % kBlock] = word[w];
    }
    for (size_t q = 0; q < queries.size(); ++q) {
      uint64_t query[4];
      std::memcpy(query, queries[q].data(), 32);
      const size_t found = blocks_with_hits(query, words.data(), count, kAlike, hits.data());
      for (size_t h = 0; h < found; ++h) {
        const size_t from = (first + hits[h]) * kBlock;
        for (size_t id = from; id < std::min(from + kBlock, base.size()); ++id) {
          const int bits = bits_apart(queries[q], base[id]);
          if (bits <= kAlike) out[q].push_back({static_cast<uint32_t>(id), bits});
        }
      }
    }
  }
  return out;
}

}  // namespace cleared::curate
