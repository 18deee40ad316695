#include "ledger/raw_table.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <optional>

namespace cleared::ledger {
namespace {

constexpr std::string_view kMagic("SQLite format 3\0", 16);
constexpr size_t kHeaderBytes = 100;
constexpr size_t kInteriorHeader = 12;
constexpr size_t kLeafHeader = 8;
constexpr uint8_t kInteriorPage = 0x05;
constexpr uint8_t kLeafPage = 0x0D;
constexpr int kMaxHeight = 16;
// Of sizes and types: in more bytes than three, none fits a page.
constexpr size_t kShort = 3;
constexpr size_t kLong = 9;
constexpr uint64_t kLockByte = 0x40000000;  // the page with it holds nothing

uint8_t u8(std::string_view bytes, size_t at) {
  return static_cast<uint8_t>(bytes[at]);
}
uint32_t u16(std::string_view bytes, size_t at) {
  return uint32_t{u8(bytes, at)} << 8 | u8(bytes, at + 1);
}
uint32_t u32(std::string_view bytes, size_t at) {
  return u16(bytes, at) << 16 | u16(bytes, at + 2);
}

// SQLite's: big-endian groups of 7 bits, the ninth byte whole. False: cut short, or longer than
// `most` bytes.
bool take_varint(std::string_view& in, uint64_t& value, size_t most) {
  value = 0;
  for (size_t i = 0; i < in.size() && i < most; ++i) {
    const uint8_t byte = u8(in, i);
    value = i == 8 ? value << 8 | byte : value << 7 | (byte & 0x7FU);
    if (byte < 0x80 || i == 8) {
      in.remove_prefix(i + 1);
      return true;
    }
  }
  return false;
}

// How many bytes a value of this serial type takes (section 2.1). Types 10 and 11 are reserved.
std::optional<size_t> value_bytes(uint64_t type) {
  constexpr size_t kBytes[] = {0, 1, 2, 3, 4, 6, 8, 8, 0, 0};
  if (type < std::size(kBytes)) return kBytes[type];
  if (type < 12) return std::nullopt;
  return static_cast<size_t>((type - 12) / 2);
}

std::optional<int64_t> integer_of(uint64_t type, std::string_view value) {
  if (type == 8 || type == 9) return static_cast<int64_t>(type - 8);
  if (type == 0 || type > 6) return std::nullopt;
  uint64_t bits = (u8(value, 0) & 0x80U) != 0 ? ~uint64_t{0} : 0;
  for (size_t i = 0; i < value.size(); ++i) bits = bits << 8 | u8(value, i);
  return static_cast<int64_t>(bits);
}

// A whole number in a REAL column is stored as an integer.
std::optional<double> real_of(uint64_t type, std::string_view value) {
  if (type == 7) {
    return std::bit_cast<double>(uint64_t{u32(value, 0)} << 32 | u32(value, 4));
  }
  const auto integer = integer_of(type, value);
  if (!integer) return std::nullopt;
  return static_cast<double>(*integer);
}

// Bit for bit, but that SQLite keeps 0.0 of a -0.0.
bool same_real(std::optional<double> stored, double expected) {
  return stored && std::bit_cast<uint64_t>(*stored) == std::bit_cast<uint64_t>(expected + 0.0);
}

bool same_value(const Cell& cell, uint64_t type, std::string_view value) {
  switch (cell.type) {
    case ValueType::null:
      return type == 0;
    case ValueType::integer:
      return integer_of(type, value) == cell.integer;
    case ValueType::real:
      return same_real(real_of(type, value), cell.real);
    case ValueType::text:
      return type >= 13 && type % 2 == 1 && value == cell.bytes;
    case ValueType::blob:
      return type >= 12 && type % 2 == 0 && value == cell.bytes;
  }
  return false;
}

// Is the record `payload` these values? The first column is the row's number, for which the record
// holds a NULL. Header and values must fill the payload exactly.
bool same_row(std::string_view payload, std::span<const RowCell> cells, std::span<int64_t> stored) {
  std::string_view header = payload;
  uint64_t header_bytes = 0;
  if (!take_varint(header, header_bytes, kShort) || header_bytes > payload.size()) return false;
  const size_t length_bytes = payload.size() - header.size();
  if (header_bytes < length_bytes) return false;
  header = header.substr(0, header_bytes - length_bytes);
  std::string_view values = payload.substr(header_bytes);
  size_t references = 0;
  for (size_t i = 0; i < cells.size(); ++i) {
    uint64_t type = 0;
    if (!take_varint(header, type, kShort)) return false;
    const auto bytes = value_bytes(type);
    if (!bytes || *bytes > values.size()) return false;
    const std::string_view value = values.substr(0, *bytes);
    values.remove_prefix(*bytes);
    if (i == 0) {
      if (type != 0) return false;
    } else if (cells[i].refers != RowCell::Refers::no) {
      const auto integer = integer_of(type, value);
      if (!integer || references == stored.size()) return false;
      stored[references++] = *integer;
    } else if (!same_value(cells[i], type, value)) {
      return false;
    }
  }
  return header.empty() && values.empty();
}

}  // namespace

RawTable::RawTable(const Database& db, std::string_view table) : db_(db) {
  read_header();
  if (page_bytes_ == 0) return;
  Statement select(db, "SELECT rootpage FROM sqlite_schema WHERE type = 'table' AND name = ?");
  if (!select.with(table).next()) return;
  const int64_t root = select.integer(0);
  if (select.next() || root < 2 || root > pages_) return;
  const auto page = static_cast<uint32_t>(root);
  const int levels = height(page);
  usable_ = levels >= 0 && add_leaves(page, std::numeric_limits<int64_t>::max(), levels);
}

void RawTable::read_header() {
  std::string header(kHeaderBytes, '\0');
  if (!db_.file_is_whole() || !db_.read_file(0, header) || !header.starts_with(kMagic)) return;
  const uint32_t size = u16(header, 16) == 1 ? 65536 : u16(header, 16);
  const bool plain = size >= 512 && std::has_single_bit(size) && u8(header, 20) == 0 &&
                     u32(header, 56) == 1;  // no reserved bytes, UTF-8
  const int64_t pages = db_.integer("PRAGMA page_count");
  if (!plain || db_.integer("PRAGMA page_size") != size || pages < 2 || pages > INT32_MAX) return;
  page_bytes_ = size;
  pages_ = static_cast<uint32_t>(pages);
}

bool RawTable::read_page(uint32_t page, std::string& out) const {
  if (page < 2 || page > pages_ || page == kLockByte / page_bytes_ + 1) return false;
  out.resize(page_bytes_);
  return db_.read_file(uint64_t{page - 1} * page_bytes_, out);
}

// How many pages lie above the first leaf; -1 when there is none.
int RawTable::height(uint32_t root) const {
  std::string bytes;
  uint32_t page = root;
  for (int height = 0; height <= kMaxHeight; ++height) {
    if (!read_page(page, bytes)) return -1;
    if (u8(bytes, 0) == kLeafPage) return height;
    const size_t first = u16(bytes, kInteriorHeader);
    if (u8(bytes, 0) != kInteriorPage || first + 4 > bytes.size()) return -1;
    page = u32(bytes, first);
  }
  return -1;
}

// The leaves below `page`, all at one height, whose rows are not above `high`. The numbers between
// them must rise, so that every way to a row leads to the same one; this also ends any circle.
bool RawTable::add_leaves(uint32_t page, int64_t high, int height) {
  if (height == 0) {
    if (leaves_.size() >= pages_) return false;
    leaves_.push_back({page, high});
    return true;
  }
  std::string bytes;
  if (!read_page(page, bytes)) return false;
  const uint32_t cells = u16(bytes, 3);
  if (u8(bytes, 0) != kInteriorPage || cells == 0 || kInteriorHeader + 2 * cells > bytes.size()) {
    return false;
  }
  for (uint32_t i = 0; i < cells; ++i) {
    const size_t at = u16(bytes, kInteriorHeader + 2 * i);
    if (at + 4 > bytes.size()) return false;
    std::string_view cell = std::string_view(bytes).substr(at + 4);
    uint64_t key = 0;
    if (!take_varint(cell, key, kLong)) return false;
    const auto bound = static_cast<int64_t>(key);
    if (bound >= high || (!leaves_.empty() && bound <= leaves_.back().high)) return false;
    if (!add_leaves(u32(bytes, at), bound, height - 1)) return false;
  }
  return add_leaves(u32(bytes, 8), high, height - 1);
}

// The rows of a leaf; false unless all of them are in order, within its bounds and whole.
bool RawTable::add_rows(const Leaf& leaf, bool only) {
  const std::string_view bytes(page_);
  const uint32_t cells = u16(bytes, 3);
  if (u8(bytes, 0) != kLeafPage || kLeafHeader + 2 * cells > page_bytes_) return false;
  if (cells == 0) return only;  // the root of an empty table
  const Leaf* before = &leaf == leaves_.data() ? nullptr : &leaf - 1;
  for (uint32_t i = 0; i < cells; ++i) {
    std::string_view cell =
        bytes.substr(std::min<size_t>(u16(bytes, kLeafHeader + 2 * i), bytes.size()));
    uint64_t size = 0;
    uint64_t number = 0;
    if (!take_varint(cell, size, kShort) || !take_varint(cell, number, kLong)) return false;
    // A longer payload has a part of it in overflow pages.
    if (size > page_bytes_ - 35 || size > cell.size()) return false;
    const auto row = static_cast<int64_t>(number);
    const bool above =
        rows_.empty() ? before == nullptr || row > before->high : row > rows_.back().number;
    if (!above || row > leaf.high) return false;
    rows_.push_back({row, cell.substr(0, size)});
  }
  return true;
}

// Sees to it that there is a next row, unless there is none. False: that cannot be said.
bool RawTable::fill() {
  while (ready_ && at_ == rows_.size() && next_leaf_ < leaves_.size() &&
         (next_leaf_ == 0 || leaves_[next_leaf_ - 1].high < last_)) {
    const Leaf& leaf = leaves_[next_leaf_++];
    rows_.clear();
    at_ = 0;
    ready_ = read_page(leaf.page, page_) && add_rows(leaf, leaves_.size() == 1);
  }
  return ready_;
}

void RawTable::begin(int64_t first, int64_t last) {
  last_ = last;
  rows_.clear();
  at_ = 0;
  ready_ = usable_;
  const auto leaf = std::lower_bound(leaves_.begin(), leaves_.end(), first,
                                     [](const Leaf& l, int64_t number) { return l.high < number; });
  next_leaf_ = static_cast<size_t>(leaf - leaves_.begin());
  while (fill() && at_ < rows_.size() && rows_[at_].number < first) ++at_;
}

bool RawTable::take(std::span<const RowCell> cells, std::span<int64_t> stored) {
  if (!fill() || at_ == rows_.size()) return false;
  const Row& row = rows_[at_];
  if (row.number != cells[0].integer || row.number > last_) return false;
  if (!same_row(row.payload, cells, stored)) return false;
  ++at_;
  return true;
}

bool RawTable::at_end() {
  return fill() && (at_ == rows_.size() || rows_[at_].number > last_);
}

}  // namespace cleared::ledger
