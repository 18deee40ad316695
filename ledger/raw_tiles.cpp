#include "ledger/raw_tiles.h"

#include <algorithm>

namespace cleared::ledger {
namespace {

constexpr size_t kTileBytes = 256 * 32;
constexpr uint64_t kTileType = 12 + 2 * kTileBytes;  // of a blob
constexpr size_t kNextPage = 4;                      // an overflow page begins with it

// How much of a payload lies in its leaf page: section 1.6 of the file format.
size_t local_bytes(uint64_t payload, size_t page) {
  const size_t most = page - 35;
  if (payload <= most) return static_cast<size_t>(payload);
  const size_t least = (page - 12) * 32 / 255 - 23;
  const size_t fitting = least + static_cast<size_t>((payload - least) % (page - 4));
  return fitting <= most ? fitting : least;
}

}  // namespace

RawTiles::RawTiles(const Database& db) : db_(db), file_(db) {
  if (const uint32_t root = file_.root("table", "node"); root != 0) add_pages(root, kMaxHeight);
}

void RawTiles::add_pages(uint32_t page, int height) {
  std::string bytes;
  if (++visited_ > file_.count() || !file_.read(page, bytes)) return;
  const bool inner = page_u8(bytes, 0) == kInteriorPage;
  const size_t header = inner ? kInteriorHeader : kLeafHeader;
  if ((!inner && page_u8(bytes, 0) != kLeafPage) || height == 0 || !cells_fit(bytes, header)) {
    return;
  }
  for (uint32_t i = 0; i < page_u16(bytes, 3); ++i) {
    const size_t at = page_u16(bytes, header + 2 * i);
    if (at + 4 > bytes.size()) continue;
    if (inner) {
      add_pages(page_u32(bytes, at), height - 1);
    } else {
      add_cell(page, bytes, at);
    }
  }
  if (inner) add_pages(page_u32(bytes, 8), height - 1);
}

// A row: its number stands for no column, then come level, tile and digests.
void RawTiles::add_cell(uint32_t page, std::string_view bytes, size_t at) {
  std::string_view cell = bytes.substr(at);
  uint64_t payload = 0, row = 0, header = 0, level_type = 0, tile_type = 0, digests_type = 0;
  if (!take_page_varint(cell, payload, kShort) || !take_page_varint(cell, row, kLong)) return;
  const size_t begin = bytes.size() - cell.size();
  const size_t local = local_bytes(payload, bytes.size());
  if (begin + local + (local < payload ? kNextPage : 0) > bytes.size()) return;
  cell = cell.substr(0, local);
  if (!take_page_varint(cell, header, kShort) || !take_page_varint(cell, level_type, kShort) ||
      !take_page_varint(cell, tile_type, kShort) || !take_page_varint(cell, digests_type, kShort) ||
      header != local - cell.size() || digests_type != kTileType) {
    return;
  }
  const size_t level_bytes = value_bytes(level_type).value_or(local);
  const size_t tile_bytes = value_bytes(tile_type).value_or(local);
  if (level_bytes + tile_bytes > cell.size()) return;
  const auto level = integer_of(level_type, cell.substr(0, level_bytes));
  const auto tile = integer_of(tile_type, cell.substr(level_bytes, tile_bytes));
  const uint64_t most_tiles = uint64_t{file_.count()} * file_.page_bytes() / kTileBytes;
  if (level != 0 || !tile || *tile < 0 || static_cast<uint64_t>(*tile) >= most_tiles) return;
  const auto number = static_cast<size_t>(*tile);
  const size_t ahead = header + level_bytes + tile_bytes;
  if (payload != ahead + kTileBytes) return;
  if (number >= places_.size()) places_.resize(number + 1);
  places_[number] = {uint64_t{page - 1} * bytes.size() + begin + ahead, local - ahead,
                     local < payload ? page_u32(bytes, begin + local) : 0};
}

bool RawTiles::read(uint64_t tile, size_t offset, std::span<char> out) const {
  if (tile >= places_.size() || places_[tile].bytes == 0) return false;
  const Place& place = places_[tile];
  const size_t here = offset < place.bytes ? std::min(out.size(), place.bytes - offset) : 0;
  if (here > 0 && !db_.read_file(place.begin + offset, out.first(here))) return false;
  if (here == out.size()) return true;
  if (place.overflow == 0) return false;
  const size_t within = offset + here - place.bytes;
  if (within + out.size() - here > file_.page_bytes() - kNextPage) return false;
  const uint64_t rest = uint64_t{place.overflow - 1} * file_.page_bytes() + kNextPage;
  return db_.read_file(rest + within, out.subspan(here));
}

}  // namespace cleared::ledger
