#include "ledger/tiles.h"

#include <algorithm>
#include <charconv>

#include "ledger/base/check.h"
#include "ledger/base/error.h"

namespace cleared::ledger {
namespace {

constexpr std::string_view kTileFolder = "tile/";
constexpr std::string_view kEntriesFolder = "tile/entries/";
constexpr std::string_view kPartial = ".p/";
constexpr unsigned kLevelBits = 8;  // each level has a 256th of the digests below
constexpr unsigned kSizeBits = 64;

// "x001/x234/067": groups of three digits, all but the last behind an x.
std::string index_path(uint64_t index) {
  std::string out;
  const char* mark = "";
  do {
    const std::string group = std::to_string(1000 + index % 1000).substr(1);
    out = mark + group + (out.empty() ? "" : "/") + out;
    mark = "x";
    index /= 1000;
  } while (index > 0);
  return out;
}

std::string tile_suffix(unsigned width) {
  CLEARED_CHECK(width >= 1 && width <= kFullTileWidth);
  return width == kFullTileWidth ? "" : std::string(kPartial) + std::to_string(width);
}

// Takes decimal digits off the front; nothing when there is none or the number is above `most`.
std::optional<uint64_t> take_number(std::string_view& text, uint64_t most) {
  uint64_t value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc() || value > most) return std::nullopt;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return value;
}

// What follows the level: "x001/067.p/8". Reading is lenient: callers compare with what is written.
std::optional<BundleName> parse_index_path(std::string_view text) {
  BundleName name;
  bool more = true;
  while (more) {
    more = text.starts_with('x');
    if (more) text.remove_prefix(1);
    const auto group = take_number(text, 999);
    if (!group || name.index > (UINT64_MAX - *group) / 1000) return std::nullopt;
    name.index = name.index * 1000 + *group;
    if (more && !text.starts_with('/')) return std::nullopt;
    if (more) text.remove_prefix(1);
  }
  if (text.empty()) return name;
  if (!text.starts_with(kPartial)) return std::nullopt;
  text.remove_prefix(kPartial.size());
  const auto width = take_number(text, kFullTileWidth - 1);
  if (!width || *width == 0 || !text.empty()) return std::nullopt;
  name.width = static_cast<unsigned>(*width);
  return name;
}

// Of one level, which has `old_count` digests and then `new_count`: calls add(index, width).
template <class Add>
void for_new_tiles(uint64_t old_count, uint64_t new_count, Add add) {
  if (old_count == new_count) return;
  const uint64_t full = new_count / kFullTileWidth;
  for (uint64_t i = old_count / kFullTileWidth; i < full; ++i) add(i, kFullTileWidth);
  const auto width = static_cast<unsigned>(new_count % kFullTileWidth);
  if (width > 0) add(full, width);
}

void check_tile_sizes(uint64_t old_size, uint64_t new_size) {
  if (new_size < old_size) {
    throw Error(Errc::usage, "tiles: the new size ", new_size, " is below the old, ", old_size);
  }
}

}  // namespace

std::string tile_path(unsigned level, uint64_t index, unsigned width) {
  CLEARED_CHECK(level <= kMaxTileLevel);
  return std::string(kTileFolder) + std::to_string(level) + '/' + index_path(index) +
         tile_suffix(width);
}

std::string entries_path(uint64_t index, unsigned width) {
  return std::string(kEntriesFolder) + index_path(index) + tile_suffix(width);
}

std::optional<TileName> parse_tile_path(std::string_view path) {
  std::string_view rest = path;
  if (!rest.starts_with(kTileFolder)) return std::nullopt;
  rest.remove_prefix(kTileFolder.size());
  const auto level = take_number(rest, kMaxTileLevel);
  if (!level || !rest.starts_with('/')) return std::nullopt;
  const auto place = parse_index_path(rest.substr(1));
  if (!place) return std::nullopt;
  const TileName tile{static_cast<unsigned>(*level), place->index, place->width};
  if (tile_path(tile) != path) return std::nullopt;
  return tile;
}

std::optional<BundleName> parse_entries_path(std::string_view path) {
  if (!path.starts_with(kEntriesFolder)) return std::nullopt;
  const auto bundle = parse_index_path(path.substr(kEntriesFolder.size()));
  if (!bundle || entries_path(*bundle) != path) return std::nullopt;
  return bundle;
}

std::vector<TileName> tiles_of(uint64_t size) {
  return new_tiles(0, size);
}

std::vector<BundleName> bundles_of(uint64_t size) {
  return new_bundles(0, size);
}

std::vector<TileName> new_tiles(uint64_t old_size, uint64_t new_size) {
  check_tile_sizes(old_size, new_size);
  std::vector<TileName> out;
  for (unsigned level = 0; level * kLevelBits < kSizeBits; ++level) {
    const unsigned shift = level * kLevelBits;
    for_new_tiles(old_size >> shift, new_size >> shift, [&](uint64_t index, unsigned width) {
      out.push_back({level, index, width});
    });
  }
  return out;
}

std::vector<BundleName> new_bundles(uint64_t old_size, uint64_t new_size) {
  check_tile_sizes(old_size, new_size);
  std::vector<BundleName> out;
  for_new_tiles(old_size, new_size, [&](uint64_t index, unsigned width) {
    out.push_back({index, width});
  });
  return out;
}

std::string encode_tile(std::span<const Digest> digests) {
  std::string out;
  out.reserve(digests.size() * sizeof(Digest));
  for (const Digest& digest : digests) out += digest.text();
  return out;
}

std::vector<Digest> parse_tile(std::string_view tile, unsigned width) {
  if (tile.size() != width * sizeof(Digest)) {
    throw Error(Errc::corrupt, "tile: ", tile.size(), " bytes, must be ", width * sizeof(Digest));
  }
  std::vector<Digest> out;
  out.reserve(width);
  for (; !tile.empty(); tile.remove_prefix(sizeof(Digest))) {
    out.push_back(*digest_from_raw(tile.substr(0, sizeof(Digest))));
  }
  return out;
}

std::string encode_entries(std::span<const std::string_view> records) {
  if (records.empty() || records.size() > kFullTileWidth) {
    throw Error(Errc::usage, "bundle: ", records.size(), " records, must be 1 to 256");
  }
  std::string out;
  for (const std::string_view record : records) {
    if (record.size() > kMaxEntryBytes) {
      throw Error(Errc::usage, "bundle: a record of ", record.size(), " bytes, at most 65535 fit");
    }
    out += static_cast<char>(record.size() >> 8);
    out += static_cast<char>(record.size() & 255U);
    out += record;
  }
  return out;
}

std::vector<std::string_view> parse_entries(std::string_view bundle) {
  if (bundle.empty()) throw Error(Errc::corrupt, "bundle: empty");
  std::vector<std::string_view> out;
  while (!bundle.empty()) {
    if (out.size() == kFullTileWidth) throw Error(Errc::corrupt, "bundle: more than 256 records");
    const auto byte = [&](size_t i) -> size_t { return static_cast<unsigned char>(bundle[i]); };
    const size_t size = bundle.size() < 2 ? bundle.size() : byte(0) << 8 | byte(1);
    if (bundle.size() < 2 || bundle.size() - 2 < size) {
      throw Error(Errc::corrupt, "bundle: record ", out.size(), " is cut short");
    }
    out.push_back(bundle.substr(2, size));
    bundle.remove_prefix(2 + size);
  }
  return out;
}

}  // namespace cleared::ledger
