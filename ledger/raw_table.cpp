#include "ledger/raw_table.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <optional>

namespace cleared::ledger {
namespace {

// A whole number in a REAL column is stored as an integer.
std::optional<double> real_of(uint64_t type, std::string_view value) {
  if (type == 7) {
    return std::bit_cast<double>(uint64_t{page_u32(value, 0)} << 32 | page_u32(value, 4));
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
  if (!take_page_varint(header, header_bytes, kShort) || header_bytes > payload.size())
    return false;
  const size_t length_bytes = payload.size() - header.size();
  if (header_bytes < length_bytes) return false;
  header = header.substr(0, header_bytes - length_bytes);
  std::string_view values = payload.substr(header_bytes);
  size_t references = 0;
  for (size_t i = 0; i < cells.size(); ++i) {
    uint64_t type = 0;
    if (!take_page_varint(header, type, kShort)) return false;
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

RawTable::RawTable(const Database& db, std::string_view table)
    : file_(db), root_(file_.root("table", table)) {
  if (root_ == 0) return;
  const int levels = height(root_);
  usable_ = levels >= 0 && add_leaves(root_, std::numeric_limits<int64_t>::max(), levels);
}

// How many pages lie above the first leaf; -1 when there is none.
int RawTable::height(uint32_t root) const {
  std::string bytes;
  uint32_t page = root;
  for (int height = 0; height <= kMaxHeight; ++height) {
    if (!file_.read(page, bytes)) return -1;
    if (page_u8(bytes, 0) == kLeafPage) return height;
    const size_t first = page_u16(bytes, kInteriorHeader);
    if (page_u8(bytes, 0) != kInteriorPage || first + 4 > bytes.size()) return -1;
    page = page_u32(bytes, first);
  }
  return -1;
}

// The leaves below `page`, all at one height, whose rows are not above `high`. The numbers between
// them must rise, so that every way to a row leads to the same one; this also ends any circle.
bool RawTable::add_leaves(uint32_t page, int64_t high, int height) {
  if (height == 0) {
    if (leaves_.size() >= file_.count()) return false;
    leaves_.push_back({page, high});
    return true;
  }
  std::string bytes;
  if (!file_.read(page, bytes)) return false;
  inner_.push_back(page);
  const uint32_t cells = page_u16(bytes, 3);
  if (page_u8(bytes, 0) != kInteriorPage || cells == 0 || !cells_fit(bytes, kInteriorHeader) ||
      !space_.begin(bytes, kInteriorHeader)) {
    return false;
  }
  std::vector<std::pair<uint32_t, int64_t>> below;
  for (uint32_t i = 0; i < cells; ++i) {
    const size_t at = page_u16(bytes, kInteriorHeader + 2 * i);
    if (at + 4 > bytes.size()) return false;
    std::string_view rest = std::string_view(bytes).substr(at + 4);
    uint64_t key = 0;
    if (!take_page_varint(rest, key, kLong)) return false;
    if (!space_.add(at, bytes.size() - rest.size() - at)) return false;
    below.emplace_back(page_u32(bytes, at), static_cast<int64_t>(key));
  }
  if (!space_.adds_up()) return false;
  for (const auto& [child, bound] : below) {
    if (bound >= high || (!leaves_.empty() && bound <= leaves_.back().high)) return false;
    if (!add_leaves(child, bound, height - 1)) return false;
  }
  return add_leaves(page_u32(bytes, 8), high, height - 1);
}

// The rows of a leaf; false unless all of them are in order, within its bounds and whole.
bool RawTable::add_rows(const Leaf& leaf, bool only) {
  const std::string_view bytes(page_);
  const uint32_t cells = page_u16(bytes, 3);
  if (page_u8(bytes, 0) != kLeafPage || !cells_fit(bytes, kLeafHeader) ||
      !space_.begin(bytes, kLeafHeader)) {
    return false;
  }
  if (cells == 0) return only && space_.adds_up();  // the root of an empty table
  const Leaf* before = &leaf == leaves_.data() ? nullptr : &leaf - 1;
  for (uint32_t i = 0; i < cells; ++i) {
    const size_t at = std::min<size_t>(page_u16(bytes, kLeafHeader + 2 * i), bytes.size());
    std::string_view cell = bytes.substr(at);
    uint64_t size = 0;
    uint64_t number = 0;
    if (!take_page_varint(cell, size, kShort) || !take_page_varint(cell, number, kLong)) {
      return false;
    }
    // A longer payload has a part of it in overflow pages.
    if (size > bytes.size() - 35 || size > cell.size()) return false;
    if (!space_.add(at, bytes.size() - at - cell.size() + size)) return false;
    const auto row = static_cast<int64_t>(number);
    const bool above =
        rows_.empty() ? before == nullptr || row > before->high : row > rows_.back().number;
    if (!above || row > leaf.high) return false;
    rows_.push_back({row, cell.substr(0, size)});
  }
  return space_.adds_up();
}

// Sees to it that there is a next row, unless there is none. False: that cannot be said.
bool RawTable::fill() {
  while (ready_ && at_ == rows_.size() && next_leaf_ < leaves_.size() &&
         (next_leaf_ == 0 || leaves_[next_leaf_ - 1].high < last_)) {
    const Leaf& leaf = leaves_[next_leaf_++];
    rows_.clear();
    at_ = 0;
    ready_ = file_.read(leaf.page, page_) && add_rows(leaf, leaves_.size() == 1);
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

std::vector<uint32_t> RawTable::pages() const {
  std::vector<uint32_t> out = inner_;
  for (const Leaf& leaf : leaves_) out.push_back(leaf.page);
  return out;
}

}  // namespace cleared::ledger
