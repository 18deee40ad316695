#include "ledger/tile_reader.h"

#include <bit>
#include <memory>

#include "ledger/base/check.h"
#include "ledger/base/folder.h"
#include "ledger/merkle.h"
#include "ledger/tiles.h"

namespace cleared::ledger {
namespace {

constexpr unsigned kTileHeight = 8;
constexpr unsigned kLevels = 8;  // a size is below 2^64

// Complete subtrees of 256^level leaves in a tree of `size` leaves.
uint64_t count_at(uint64_t size, unsigned level) {
  return level < kLevels ? size >> kTileHeight * level : 0;
}

unsigned partial_width(uint64_t size, unsigned level) {
  return static_cast<unsigned>(count_at(size, level) % kFullTileWidth);
}

Digest tile_root(const std::string& tile) {
  return root_digest(parse_tile(tile, static_cast<unsigned>(tile.size() / sizeof(Digest))));
}

std::string first_digests(const std::string& tile, unsigned width) {
  return tile.substr(0, width * sizeof(Digest));
}

}  // namespace

Fetch fetch_from_folder(const std::filesystem::path& path) {
  const auto folder = std::make_shared<const Folder>(path);
  return [folder](const std::string& name, uint64_t limit_bytes) {
    return folder->read(name, limit_bytes);
  };
}

TreeHead open_head(const std::string& text, std::span<const VerifierKey> log_keys,
                   std::string_view where) {
  Note note;
  TreeHead head;
  try {
    note = parse_note(text);
    head = parse_tree_head(note.text);
  } catch (const Error& error) {
    throw Error(error.code(), where, ": ", error.what());
  }
  CLEARED_CHECK(!log_keys.empty());
  if (!signed_by_any(note, log_keys)) {
    std::string names;
    for (const VerifierKey& key : log_keys) {
      names += (names.empty() ? "" : " or ") + format_verifier_key(key);
    }
    throw NotProven(where, ": is not signed by the log's key ", names,
                    "; if the log replaced its key, put the old and the new one in the trust file");
  }
  if (head.origin != log_keys[0].name) {
    throw NotProven(where, ": is about the log ", head.origin, ", not ", log_keys[0].name);
  }
  return head;
}

TileEdge::TileEdge(uint64_t size, std::vector<std::string> partial)
    : size_(size), partial_(std::move(partial)) {
  partial_.resize(kLevels);
  for (unsigned level = 0; level < kLevels; ++level) {
    if (partial_[level].size() != partial_width(size, level) * sizeof(Digest)) {
      throw Error(Errc::corrupt, "partial tile of level ", level, ": has ", partial_[level].size(),
                  " bytes, not ", partial_width(size, level), " digests");
    }
  }
}

void TileEdge::append(const Digest& leaf, const Full& full) {
  partial_.resize(kLevels);
  Digest digest = leaf;
  uint64_t index = size_++;
  for (unsigned level = 0; level < kLevels; ++level) {
    std::string& tile = partial_[level];
    tile += digest.text();
    if (tile.size() < kFullTileWidth * sizeof(Digest)) return;
    index /= kFullTileWidth;
    digest = tile_root(tile);
    full(level, index, tile);
    tile.clear();
  }
}

// What lies on the right of a level is one more, ragged, subtree of it.
Digest TileEdge::root() const {
  std::vector<Digest> right;
  for (const std::string& tile : partial_) {
    if (tile.empty()) continue;
    std::vector<Digest> digests =
        parse_tile(tile, static_cast<unsigned>(tile.size() / sizeof(Digest)));
    digests.insert(digests.end(), right.begin(), right.end());
    right = {root_digest(digests)};
  }
  return root_digest(right);
}

TileReader::TileReader(Fetch fetch, const TreeHead& head) : fetch_(std::move(fetch)), head_(head) {
  std::vector<std::string> partial(kLevels);
  std::string names;
  for (unsigned level = 0; level < kLevels; ++level) {
    const unsigned width = partial_width(head.size, level);
    if (width == 0) continue;
    const uint64_t index = count_at(head.size, level + 1);
    partial[level] = fetch_tile(level, index, width);
    names += (names.empty() ? "" : ", ") + tile_path(level, index, width);
  }
  edge_ = TileEdge(head.size, std::move(partial));
  if (edge_.root() != head.root) {
    throw NotProven(names.empty() ? "the empty tree" : names,
                    ": do not give the root that is signed for ", head.size, " records");
  }
}

std::string TileReader::fetch_tile(unsigned level, uint64_t index, unsigned width) {
  const uint64_t wanted_bytes = width * sizeof(Digest);
  const std::string name = tile_path(level, index, width);
  std::string tile;
  ++fetched_;
  try {
    tile = fetch_(name, kFullTileWidth * sizeof(Digest));
  } catch (const Error& error) {
    if (error.code() != Errc::not_found || width == kFullTileWidth) throw;
    // A partial tile may be gone once the full one is there.
    tile = fetch_(tile_path(level, index, kFullTileWidth), kFullTileWidth * sizeof(Digest));
    if (tile.size() == kFullTileWidth * sizeof(Digest)) tile = first_digests(tile, width);
  }
  if (tile.size() != wanted_bytes) {
    throw Error(Errc::corrupt, name, ": has ", tile.size(), " bytes, not ", wanted_bytes);
  }
  return tile;
}

const std::string& TileReader::tile(unsigned level, uint64_t index) {
  const uint64_t full_tiles = count_at(head_.size, level + 1);
  CLEARED_CHECK(level < kLevels && index <= full_tiles);
  if (index == full_tiles) return edge_.partial()[level];
  auto& [newest, digests] = newest_[level];
  if (!digests.empty() && newest == index) return digests;
  std::string fetched = fetch_tile(level, index, kFullTileWidth);
  const std::string& parent = tile(level + 1, index / kFullTileWidth);
  const size_t at = index % kFullTileWidth * sizeof(Digest);
  if (parent.substr(at, sizeof(Digest)) != tile_root(fetched).text()) {
    throw NotProven(tile_path(level, index, kFullTileWidth),
                    ": is not the tile that is signed for");
  }
  newest = index;
  digests = std::move(fetched);
  return digests;
}

Digest TileReader::root(uint64_t size) {
  CLEARED_CHECK(size <= head_.size);
  std::vector<std::string> partial(kLevels);
  for (unsigned level = 0; level < kLevels; ++level) {
    const unsigned width = partial_width(size, level);
    if (width > 0) partial[level] = first_digests(tile(level, count_at(size, level + 1)), width);
  }
  return TileEdge(size, std::move(partial)).root();
}

// Root over the leaves of a node: a complete subtree, or what is ragged up to the right edge.
Digest TileReader::range(uint64_t begin, uint64_t end) {
  const uint64_t n = end - begin;
  if (!std::has_single_bit(n)) {
    const uint64_t middle = begin + std::bit_floor(n);
    const Digest left = range(begin, middle);
    return node_digest(left, range(middle, end));
  }
  const auto height = static_cast<unsigned>(std::countr_zero(n));
  const unsigned level = height / kTileHeight;
  const uint64_t first = begin >> level * kTileHeight;
  const auto count = 1U << height % kTileHeight;
  const std::string& digests = tile(level, first / kFullTileWidth);
  return tile_root(digests.substr(first % kFullTileWidth * sizeof(Digest), count * sizeof(Digest)));
}

std::vector<Digest> TileReader::consistency_proof(uint64_t size) {
  std::vector<Digest> proof;
  for (const LeafRange& leaves : consistency_path(size, head_.size)) {
    proof.push_back(range(leaves.begin, leaves.end));
  }
  return proof;
}

std::vector<std::string> TileReader::records(uint64_t index) {
  const std::string& leaves = tile(0, index);
  const auto width = static_cast<unsigned>(leaves.size() / sizeof(Digest));
  const std::string name = entries_path(index, width);
  std::string bundle;
  try {
    bundle = fetch_(name, kMaxBundleBytes);
  } catch (const Error& error) {
    if (error.code() != Errc::not_found || width == kFullTileWidth) throw;
    bundle = fetch_(entries_path(index, kFullTileWidth), kMaxBundleBytes);
  }
  std::vector<std::string_view> entries;
  try {
    entries = parse_entries(bundle);
  } catch (const Error& error) {
    throw Error(error.code(), name, ": ", error.what());
  }
  std::vector<std::string> records;
  for (const std::string_view entry : entries) {
    if (records.size() == width) break;  // of the full bundle, the part that is signed for
    const size_t at = records.size() * sizeof(Digest);
    if (leaf_digest(as_bytes(entry)).text() != leaves.substr(at, sizeof(Digest))) {
      throw NotProven(name, ": record ", index * kFullTileWidth + records.size(),
                      " is not the one that is signed for");
    }
    records.emplace_back(entry);
  }
  if (records.size() != width) {
    throw Error(Errc::corrupt, name, ": holds ", records.size(), " records, not ", width);
  }
  return records;
}

}  // namespace cleared::ledger
