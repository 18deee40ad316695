#include "ledger/tree.h"

#include <bit>

#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "ledger/merkle.h"

namespace cleared::ledger {
namespace {

constexpr uint64_t kTileWidth = 256;
constexpr unsigned kTileHeight = 8;
constexpr size_t kDigestBytes = 32;
constexpr size_t kMaxTilesKept = 4096;

Digest digest_in(const std::string& tile, uint64_t position) {
  return *digest_from_raw(std::string_view(tile).substr(position * kDigestBytes, kDigestBytes));
}

// Root of the complete subtree over `count` digests, a power of two, from `position` of a tile.
Digest fold(const std::string& tile, uint64_t position, uint64_t count) {
  if (count == 1) return digest_in(tile, position);
  return node_digest(fold(tile, position, count / 2), fold(tile, position + count / 2, count / 2));
}

}  // namespace

const std::string& Tree::tile(Place place) const {
  const auto found = tiles_.find(place);
  if (found != tiles_.end()) return found->second;
  if (tiles_.size() > kMaxTilesKept && changed_.empty()) tiles_.clear();
  Statement select(*db_, "SELECT digests FROM node WHERE level = ? AND tile = ?");
  select.with(place.first, place.second);
  return tiles_[place] = select.next() ? select.text(0) : std::string();
}

void Tree::append(uint64_t seq, const Digest& leaf) {
  append_at(0, seq, leaf);
}

void Tree::append_at(uint64_t level, uint64_t index, const Digest& digest) {
  const Place place{level, index / kTileWidth};
  tile(place);
  std::string& digests = tiles_[place];
  if (digests.size() != index % kTileWidth * kDigestBytes) {
    throw Error(Errc::corrupt, db_->name(), ": tile ", place.second, " of level ", level,
                " does not end where the log ends; run ledger verify");
  }
  if (changed_.empty() || changed_.back() != place) changed_.push_back(place);
  digests += digest.text();
  if (digests.size() == kTileWidth * kDigestBytes) {
    append_at(level + 1, index / kTileWidth, fold(digests, 0, kTileWidth));
  }
}

void Tree::flush() {
  Statement write(*db_, "INSERT OR REPLACE INTO node(level, tile, digests) VALUES(?, ?, ?)");
  for (const Place& place : changed_) {
    write.with(place.first, place.second, Blob{tiles_[place]}).run();
  }
  changed_.clear();
}

// The complete subtree of 2^height leaves number index * 2^height and up.
Digest Tree::node(unsigned height, uint64_t index) const {
  const uint64_t level = height / kTileHeight;
  const uint64_t count = uint64_t{1} << height % kTileHeight;
  const uint64_t first = index * count;
  const std::string& digests = tile({level, first / kTileWidth});
  const uint64_t position = first % kTileWidth;
  if (digests.size() < (position + count) * kDigestBytes) {
    throw Error(Errc::corrupt, db_->name(), ": tile ", first / kTileWidth, " of level ", level,
                " is missing or short; run ledger verify");
  }
  return fold(digests, position, count);
}

Digest Tree::range(uint64_t begin, uint64_t end) const {
  const uint64_t n = end - begin;
  if (std::has_single_bit(n)) {
    return node(static_cast<unsigned>(std::countr_zero(n)), begin / n);
  }
  const uint64_t left = std::bit_floor(n);
  return node_digest(range(begin, begin + left), range(begin + left, end));
}

Digest Tree::root(uint64_t size) const {
  return size == 0 ? root_digest({}) : range(0, size);
}

std::vector<Digest> Tree::inclusion_proof(uint64_t seq, uint64_t size) const {
  if (seq >= size) throw Error(Errc::usage, "inclusion proof: no leaf ", seq, " of ", size);
  std::vector<Digest> proof;
  uint64_t begin = 0;
  uint64_t end = size;
  while (end - begin > 1) {  // from the root down: the farthest sibling first
    const uint64_t middle = begin + std::bit_floor(end - begin - 1);
    if (seq < middle) {
      proof.push_back(range(middle, end));
      end = middle;
    } else {
      proof.push_back(range(begin, middle));
      begin = middle;
    }
  }
  return {proof.rbegin(), proof.rend()};
}

}  // namespace cleared::ledger
