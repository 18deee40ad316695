// Names and contents of the files in which a log is published, C2SP tlog-tiles
// (https://c2sp.org/tlog-tiles, docs/formats/tiles.md): tiles of up to 256 digests and bundles of
// up to 256 records. Pure: reads and writes no files. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/base/bytes.h"

namespace cleared::ledger {

constexpr unsigned kFullTileWidth = 256;   // digests in a tile, records in a bundle
constexpr unsigned kMaxTileLevel = 63;     // a name may say so; sizes below 2^64 reach level 7
constexpr size_t kMaxEntryBytes = 65'535;  // of a record in a bundle

// Digests [index * 256, index * 256 + width) of a level. Level 0 holds leaf digests, level l the
// roots over 256^l leaves each.
struct TileName {
  unsigned level = 0;  // [0, 63]
  uint64_t index = 0;
  unsigned width = kFullTileWidth;  // [1, 256]; below 256 it is a partial tile
  bool operator==(const TileName&) const = default;
};
// Records [index * 256, index * 256 + width).
struct BundleName {
  uint64_t index = 0;
  unsigned width = kFullTileWidth;  // [1, 256]
  bool operator==(const BundleName&) const = default;
};

// "tile/0/x001/x234/067" and, when width is below 256, ".p/8" behind it. Relative to the prefix of
// the log. The numbers are the caller's to keep in range (CLEARED_CHECK).
std::string tile_path(unsigned level, uint64_t index, unsigned width);
inline std::string tile_path(const TileName& tile) {
  return tile_path(tile.level, tile.index, tile.width);
}
// "tile/entries/x001/x234/067.p/8".
std::string entries_path(uint64_t index, unsigned width);
inline std::string entries_path(const BundleName& bundle) {
  return entries_path(bundle.index, bundle.width);
}

// Exactly what the two above write, else nothing: what a server or a mirror may be asked for.
std::optional<TileName> parse_tile_path(std::string_view path);
std::optional<BundleName> parse_entries_path(std::string_view path);

// All tiles, or bundles, of a tree of `size` leaves, by level and index; the last of a level may be
// partial. None is empty.
std::vector<TileName> tiles_of(uint64_t size);
std::vector<BundleName> bundles_of(uint64_t size);

// Those that a tree of `new_size` leaves has and the tree of `old_size`, its beginning, has not: by
// level and index. Error{usage} when new_size is below old_size.
std::vector<TileName> new_tiles(uint64_t old_size, uint64_t new_size);
std::vector<BundleName> new_bundles(uint64_t old_size, uint64_t new_size);

// The digests end to end, 32 bytes each. Reading is Error{corrupt} unless there are exactly
// `width`.
std::string encode_tile(std::span<const Digest> digests);
std::vector<Digest> parse_tile(std::string_view tile, unsigned width);

// Each record behind its length, two bytes, big-endian. Error{usage}: none, more than 256, or one
// longer than 65,535 bytes.
std::string encode_entries(std::span<const std::string_view> records);
// The records, which lie in `bundle`. Error{corrupt} unless it is exactly 1 to 256 of them.
std::vector<std::string_view> parse_entries(std::string_view bundle);

}  // namespace cleared::ledger
