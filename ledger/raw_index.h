// An index proven where it lies: that a search through it finds each row of its table, and nothing
// else. integrity_check says the same, and looks up every row in every index for it; a walk in the
// order of the index costs a tenth of that (docs/design/0007-fast-verify.md).
//
// The entries are those of the rows when they strictly rise, as many as there are rows, and each
// has the values of the row that it names: then no row has two, so each has one. Where the pages
// are also whole, in order and each used once, nothing is left that integrity_check would find.
//
// It says yes, or that it cannot say, as ledger/raw_table.h does, and then integrity_check decides.
// Limits: what ledger/raw_pages.h reads, and indexes over integers up to 2^32 - 2.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/raw_pages.h"

namespace cleared::ledger {

// Values of one column of a table, by the number of the row.
class KeptColumn {
 public:
  explicit KeptColumn(uint64_t rows) : values_(rows, 0) {}
  // Distinct rows from any thread. False: the row or its value is not one that can be kept.
  bool keep(int64_t row, int64_t value) {
    if (row < 0 || static_cast<uint64_t>(row) >= values_.size()) return false;
    if (value < 0 || value >= UINT32_MAX) return false;
    values_[static_cast<size_t>(row)] = static_cast<uint32_t>(value) + 1;
    return true;
  }
  bool is(int64_t row, int64_t value) const {
    return row >= 0 && static_cast<uint64_t>(row) < values_.size() && value >= 0 &&
           value < UINT32_MAX && values_[static_cast<size_t>(row)] == value + 1;
  }

 private:
  std::vector<uint32_t> values_;  // plus one; 0: there is no such row
};

class RawIndex {
 public:
  static constexpr size_t kMostColumns = 3;

  // `columns`: what the index is over, in its order, of every row of the table. One thread makes
  // it; pages that lie above the leaves are read here.
  RawIndex(const RawPages& pages, std::string_view name, std::vector<const KeptColumn*> columns);

  // False: the index cannot be proven so.
  bool usable() const { return usable_; }
  size_t leaves() const { return leaves_.size(); }
  // Are the leaves [begin, end) whole, in order, and each entry that of its row? With pages of a
  // connection of the thread's own.
  bool check(const RawPages& pages, size_t begin, size_t end, uint64_t& entries) const;
  // Entries above the leaves, which were checked when they were read.
  uint64_t inner_entries() const { return bounds_.size(); }
  const std::vector<uint32_t>& pages() const { return all_pages_; }

 private:
  using Entry = std::array<int64_t, kMostColumns + 1>;  // the columns, then the row
  bool parse(std::string_view payload, Entry& entry) const;
  std::optional<Entry> take_cell(std::string_view page, size_t at, size_t prefix,
                                 PageSpace& space) const;
  int height(const RawPages& pages, uint32_t root) const;
  bool add_leaves(const RawPages& pages, uint32_t page, int height);
  bool check_leaf(std::string_view page, size_t number, PageSpace& space) const;

  std::vector<const KeptColumn*> columns_;
  bool usable_ = false;
  std::vector<uint32_t> leaves_;  // from the least
  std::vector<Entry> bounds_;     // between each of them and the next
  std::vector<uint32_t> all_pages_;
};

}  // namespace cleared::ledger
