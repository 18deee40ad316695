// Pages of the database file as they lie there, for ledger/raw_table.h and ledger/raw_index.h,
// which prove b-trees without SQLite's statements. The layout is that of
// https://www.sqlite.org/fileformat2.html sections 1.3, 1.6 and 2.1.
//
// The file may be hostile: nothing in it is believed, and every function here says no rather than
// read outside of what it was given. One thread per database.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/sqlite.h"

namespace cleared::ledger {

class RawPages {
 public:
  // `db` must have a read transaction open for as long as this lives.
  explicit RawPages(const Database& db);

  // False: this file is laid out in a way that is not read here (a write-ahead file with content,
  // reserved bytes, pointer maps, another encoding), or is no database.
  bool usable() const { return bytes_ != 0; }
  uint32_t page_bytes() const { return bytes_; }
  uint32_t count() const { return count_; }

  // False: there is no such page below the first, or it holds nothing.
  bool read(uint32_t page, std::string& out) const;
  // Of the one table or index of this name; 0 when that cannot be said.
  uint32_t root(std::string_view type, std::string_view name) const;

 private:
  const Database& db_;
  uint32_t bytes_ = 0;
  uint32_t count_ = 0;
};

constexpr uint8_t kInteriorPage = 0x05;  // of a table
constexpr uint8_t kLeafPage = 0x0D;
constexpr size_t kInteriorHeader = 12;
constexpr size_t kLeafHeader = 8;
constexpr int kMaxHeight = 16;
// Of sizes and types: in more bytes than three, none fits a page.
constexpr size_t kShort = 3;
constexpr size_t kLong = 9;

// Big-endian numbers at `at`, which must be inside.
inline uint8_t page_u8(std::string_view bytes, size_t at) {
  return static_cast<uint8_t>(bytes[at]);
}
inline uint32_t page_u16(std::string_view bytes, size_t at) {
  return uint32_t{page_u8(bytes, at)} << 8 | page_u8(bytes, at + 1);
}
inline uint32_t page_u32(std::string_view bytes, size_t at) {
  return page_u16(bytes, at) << 16 | page_u16(bytes, at + 2);
}

// SQLite's: big-endian groups of 7 bits, the ninth byte whole. False: cut short, or longer than
// `most` bytes.
inline bool take_page_varint(std::string_view& in, uint64_t& value, size_t most) {
  value = 0;
  for (size_t i = 0; i < in.size() && i < most; ++i) {
    const uint8_t byte = page_u8(in, i);
    value = i == 8 ? value << 8 | byte : value << 7 | (byte & 0x7FU);
    if (byte < 0x80 || i == 8) {
      in.remove_prefix(i + 1);
      return true;
    }
  }
  return false;
}

// How many bytes a value of this serial type takes (section 2.1). Types 10 and 11 are reserved.
inline std::optional<size_t> value_bytes(uint64_t type) {
  constexpr size_t kBytes[] = {0, 1, 2, 3, 4, 6, 8, 8, 0, 0};
  if (type < std::size(kBytes)) return kBytes[type];
  if (type < 12) return std::nullopt;
  return static_cast<size_t>((type - 12) / 2);
}

// `value` must have the bytes of its type.
inline std::optional<int64_t> integer_of(uint64_t type, std::string_view value) {
  if (type == 8 || type == 9) return static_cast<int64_t>(type - 8);
  if (type == 0 || type > 6) return std::nullopt;
  uint64_t bits = (page_u8(value, 0) & 0x80U) != 0 ? ~uint64_t{0} : 0;
  for (size_t i = 0; i < value.size(); ++i) bits = bits << 8 | page_u8(value, i);
  return static_cast<int64_t>(bits);
}

// True when the pointers to the cells of a page fit it, behind a header of so many bytes.
bool cells_fit(std::string_view page, size_t header);

// Do the cells of a page, its free blocks and as many bytes between them as its header counts make
// up all of its content area, none used twice? It is what integrity_check asks of a page.
class PageSpace {
 public:
  // cells_fit(page, header) must hold. False: what the header says cannot be.
  bool begin(std::string_view page, size_t header);
  // A cell; SQLite makes none below 4 bytes. False: it lies elsewhere, or over another one.
  bool add(size_t at, size_t bytes);
  bool adds_up() const { return total_ + between_ == bytes_ - content_; }

 private:
  bool take(size_t at, size_t bytes);
  size_t bytes_ = 0;
  size_t content_ = 0;  // where the content area begins
  size_t between_ = 0;  // bytes that belong to nothing
  size_t total_ = 0;
  std::vector<uint64_t> used_;  // a bit for each byte of the page
};

}  // namespace cleared::ledger
