#include "ledger/tree.h"

#include <algorithm>
#include <bit>

#include "ledger/base/error.h"

namespace cleared::ledger {
namespace {

constexpr uint64_t kTileWidth = 256;
constexpr unsigned kTileHeight = 8;
constexpr size_t kDigestBytes = 32;
constexpr size_t kMaxTilesKept = 8192;  // 16 KB each

// Where the nodes of this height begin in Subtrees::nodes.
constexpr size_t offset_of(unsigned height) {
  return 2 * kTileWidth - (2 * kTileWidth >> height);
}

// `digests` and the nodes over every complete pair of them.
std::vector<Digest> nodes_over(std::string_view digests) {
  std::vector<Digest> out(2 * kTileWidth - 1);
  const size_t width = digests.size() / kDigestBytes;
  for (size_t i = 0; i < width; ++i) {
    out[i] = *digest_from_raw(digests.substr(i * kDigestBytes, kDigestBytes));
  }
  for (unsigned height = 1; height <= kTileHeight; ++height) {
    const size_t below = offset_of(height - 1);
    const size_t nodes = width >> height;
    node_digests(std::span(out).subspan(below, 2 * nodes),
                 std::span(out).subspan(offset_of(height), nodes));
  }
  return out;
}

}  // namespace

std::string Tree::read_tile(uint64_t level, uint64_t tile) const {
  if (const auto at = edge_.find(level); at != edge_.end() && at->second.tile == tile) {
    return at->second.digests;
  }
  if (const auto at = changed_.find({level, tile}); at != changed_.end()) return at->second;
  Statement select(*db_, "SELECT digests FROM node WHERE level = ? AND tile = ?");
  return select.with(level, tile).next() ? select.text(0) : std::string();
}

void Tree::append(uint64_t seq, const Digest& leaf) {
  append_at(0, seq, leaf);
}

void Tree::append_at(uint64_t level, uint64_t index, const Digest& digest) {
  const uint64_t tile = index / kTileWidth;
  auto at = edge_.find(level);
  if (at == edge_.end() || at->second.tile != tile) {
    at = edge_.insert_or_assign(level, Edge{tile, read_tile(level, tile)}).first;
  }
  std::string& digests = at->second.digests;
  if (digests.size() != index % kTileWidth * kDigestBytes) {
    throw Error(Errc::corrupt, db_->name(), ": tile ", tile, " of level ", level,
                " does not end where the log ends; run ledger verify");
  }
  digests += digest.text();
  at->second.changed = true;
  if (!subtrees_.empty()) subtrees_.erase(level << 56 | tile);
  if (digests.size() < kTileWidth * kDigestBytes) return;
  const Digest root = nodes_over(digests).back();
  changed_[{level, tile}] = std::move(digests);
  edge_.erase(at);
  append_at(level + 1, index / kTileWidth, root);
}

void Tree::flush() {
  if (!write_) {
    write_.emplace(*db_,
                   "INSERT INTO node VALUES(?, ?, ?) ON CONFLICT(level, tile) "
                   "DO UPDATE SET digests = excluded.digests");
  }
  for (const auto& [place, digests] : changed_) {
    write_->with(place.first, place.second, Blob{digests}).run();
  }
  for (auto& [level, edge] : edge_) {
    if (edge.changed) write_->with(level, edge.tile, Blob{edge.digests}).run();
    edge.changed = false;
  }
  changed_.clear();
}

const Tree::Subtrees& Tree::subtrees(uint64_t level, uint64_t tile) const {
  const uint64_t place = level << 56 | tile;
  const auto found = subtrees_.find(place);
  if (found != subtrees_.end()) return found->second;
  if (subtrees_.size() >= kMaxTilesKept) subtrees_.clear();
  const std::string digests = read_tile(level, tile);
  if (digests.size() > kTileWidth * kDigestBytes || digests.size() % kDigestBytes != 0) {
    throw Error(Errc::corrupt, db_->name(), ": tile ", tile, " of level ", level,
                " is of no size that a tile has; run ledger verify");
  }
  return subtrees_[place] = {digests.size() / kDigestBytes, nodes_over(digests)};
}

// The complete subtree of 2^height leaves number index * 2^height and up.
Digest Tree::node(unsigned height, uint64_t index) const {
  const uint64_t level = height / kTileHeight;
  const unsigned inner = height % kTileHeight;
  const uint64_t tile = index >> (kTileHeight - inner);
  const Subtrees& in = subtrees(level, tile);
  const uint64_t position = index & ((kTileWidth >> inner) - 1);
  if ((position + 1) << inner > in.width) {
    throw Error(Errc::corrupt, db_->name(), ": tile ", tile, " of level ", level,
                " is missing or short; run ledger verify");
  }
  return in.nodes[offset_of(inner) + position];
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

std::vector<Digest> Tree::digests_of(const std::vector<LeafRange>& path) const {
  std::vector<Digest> out;
  out.reserve(path.size());
  for (const LeafRange& part : path) out.push_back(range(part.begin, part.end));
  return out;
}

std::vector<Digest> Tree::inclusion_proof(uint64_t seq, uint64_t size) const {
  return digests_of(inclusion_path(seq, size));
}

std::vector<Digest> Tree::consistency_proof(uint64_t old_size, uint64_t new_size) const {
  return digests_of(consistency_path(old_size, new_size));
}

std::vector<Digest> Tree::range_proof(uint64_t begin, uint64_t end, uint64_t size) const {
  return digests_of(range_path(begin, end, size));
}

}  // namespace cleared::ledger
