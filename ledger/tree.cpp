#include "ledger/tree.h"

#include <algorithm>
#include <array>
#include <bit>

#include "ledger/base/error.h"

namespace cleared::ledger {
namespace {

constexpr uint64_t kTileWidth = 256;
constexpr unsigned kTileHeight = 8;
constexpr size_t kDigestBytes = 32;
constexpr size_t kMaxTiles = 65'536;
constexpr size_t kMaxRagged = 1024;
constexpr unsigned kGroupHeight = 3;
constexpr uint64_t kGroupWidth = uint64_t{1} << kGroupHeight;

// Where the nodes of this height begin behind `width` digests and the nodes over them.
constexpr size_t offset_of(unsigned height, uint64_t width = kTileWidth) {
  return 2 * width - (2 * width >> height);
}

// `digests`, up to `width`, and the nodes over every complete pair of them.
std::vector<Digest> nodes_over(std::string_view digests, uint64_t width = kTileWidth) {
  std::vector<Digest> out(2 * width - 1);
  const size_t there = digests.size() / kDigestBytes;
  for (size_t i = 0; i < there; ++i) {
    out[i] = *digest_from_raw(digests.substr(i * kDigestBytes, kDigestBytes));
  }
  for (unsigned height = 1; width >> height != 0; ++height) {
    const size_t nodes = there >> height;
    node_digests(std::span(out).subspan(offset_of(height - 1, width), 2 * nodes),
                 std::span(out).subspan(offset_of(height, width), nodes));
  }
  return out;
}

}  // namespace

std::string Tree::read_tile(uint64_t level, uint64_t tile) const {
  if (const auto at = edge_.find(level); at != edge_.end() && at->second.tile == tile) {
    return at->second.digests;
  }
  if (const auto at = changed_.find({level, tile}); at != changed_.end()) return at->second;
  if (!read_tile_) {
    read_tile_.emplace(*db_, "SELECT digests FROM node WHERE level = ? AND tile = ?");
  }
  const bool there = read_tile_->with(level, tile).next();
  std::string digests = there ? read_tile_->text(0) : std::string();
  read_tile_->run();  // to its end: what is half read keeps an old state of the file alive
  return digests;
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
  if (subtrees_.size() >= kMaxTiles) subtrees_.clear();
  const std::string digests = read_tile(level, tile);
  if (digests.size() > kTileWidth * kDigestBytes || digests.size() % kDigestBytes != 0) {
    throw Error(Errc::corrupt, db_->name(), ": tile ", tile, " of level ", level,
                " is of no size that a tile has; run ledger verify");
  }
  std::vector<Digest> nodes = nodes_over(digests);
  const bool complete = digests.size() == kTileWidth * kDigestBytes;
  if (complete && nodes.back() != node(static_cast<unsigned>(kTileHeight * (level + 1)), tile)) {
    throw Error(Errc::corrupt, db_->name(), ": tile ", tile, " of level ", level,
                " is not the one that the tile above it has; run ledger verify");
  }
  const bool whole = level > 0 || subtrees_.size() < whole_tiles_ || !complete;
  const unsigned lowest = whole ? 0 : kGroupHeight;
  if (!whole) nodes = {nodes.begin() + offset_of(lowest), nodes.end()};
  return subtrees_[place] = {digests.size() / kDigestBytes, lowest, std::move(nodes)};
}

// The leaves number * 8 and up, over which `root` was when all of their tile was read.
const Tree::Group& Tree::group(uint64_t number, const Digest& root) const {
  if (group_.number == number) return group_;
  constexpr uint64_t kBytes = kGroupWidth * kDigestBytes;
  const uint64_t tile = number * kGroupWidth / kTileWidth;
  const uint64_t offset = number * kBytes % (kTileWidth * kDigestBytes);
  if (!raw_) raw_.emplace(*db_);
  std::array<char, kBytes> raw;
  std::vector<Digest> nodes;
  if (raw_->read(tile, offset, raw)) nodes = nodes_over({raw.data(), raw.size()}, kGroupWidth);
  if (nodes.empty() || nodes.back() != root) {
    if (!read_group_) {
      read_group_.emplace(*db_,
                          "SELECT substr(digests, ?, ?) FROM node WHERE level = 0 AND tile = ?");
    }
    const bool there = read_group_->with(offset + 1, kBytes, tile).next();
    nodes = nodes_over(there ? read_group_->view(0) : "", kGroupWidth);
    read_group_->run();
  }
  if (nodes.back() != root) {
    throw Error(Errc::corrupt, db_->name(), ": tile ", tile,
                " of level 0 has changed since it was read; run ledger verify");
  }
  return group_ = {number, std::move(nodes)};
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
  if (inner >= in.lowest) return in.nodes[offset_of(inner) - offset_of(in.lowest) + position];
  const uint64_t in_tile = (position << inner) / kGroupWidth;
  const Group& low = group(tile * (kTileWidth / kGroupWidth) + in_tile, in.nodes[in_tile]);
  return low.nodes[offset_of(inner, kGroupWidth) + position % (kGroupWidth >> inner)];
}

Digest Tree::range(uint64_t begin, uint64_t end) const {
  const uint64_t n = end - begin;
  if (std::has_single_bit(n)) {
    return node(static_cast<unsigned>(std::countr_zero(n)), begin / n);
  }
  // The same for every proof under one tree head.
  const auto known = ragged_.find({begin, end});
  if (known != ragged_.end()) return known->second;
  if (ragged_.size() >= kMaxRagged) ragged_.clear();
  const uint64_t left = std::bit_floor(n);
  const Digest digest = node_digest(range(begin, begin + left), range(begin + left, end));
  return ragged_[{begin, end}] = digest;
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
