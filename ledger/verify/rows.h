// The stored rows of one table, walked beside those that the log makes.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "ledger/projection.h"
#include "ledger/raw_index.h"
#include "ledger/raw_table.h"
#include "ledger/sqlite.h"
#include "ledger/verify/findings.h"

namespace cleared::ledger {

// A value as a person would read it.
std::string shown(const Cell& cell);
bool same_value(const Cell& a, const Cell& b);

// Kinds whose rows follow from the record alone: compared in parallel. All others are rare, or ask
// for the state before them, and are compared in order.
inline bool is_plain(const Fact& fact) {
  return fact.has_clip() || fact.has_sample() || fact.has_fingerprint() || fact.has_duplicate() ||
         fact.has_refusal();
}
inline constexpr TableId kPlainTables[] = {TableId::fingerprint, TableId::clip, TableId::duplicate,
                                           TableId::sample, TableId::refusal};
inline bool is_plain(TableId table) {
  return std::find(std::begin(kPlainTables), std::end(kPlainTables), table) !=
         std::end(kPlainTables);
}

// A table whose b-tree and indexes may be proven without integrity_check, and what is kept for that
// while its rows are compared.
struct PlainTree {
  struct Index {
    std::string name;
    std::vector<size_t> columns;  // places in PlainTree::columns
  };
  std::vector<Index> indexes;
  std::vector<std::pair<size_t, KeptColumn>> columns;  // that an index is over, by their number
  std::atomic<size_t> ranges{0};  // of records whose rows were all found where they lie
  std::atomic<uint64_t> rows{0};  // in them
};

// The stored rows of one table in a range of records, walked beside the expected ones. Where they
// lie in the file when `raw` says so, and from the first row that this does not find as it should
// be, by SQL, which names what is wrong.
class TableCursor {
 public:
  enum class Raw { no, yes };
  TableCursor(const Database& db, TableId table, Findings& findings, Raw raw,
              PlainTree* tree = nullptr)
      : tree_(tree),
        shape_(tables()[static_cast<size_t>(table)]),
        findings_(findings),
        select_(db, "SELECT * FROM \"" + std::string(shape_.name) +
                        "\" WHERE seq >= ? AND seq <= ? ORDER BY seq" +
                        (shape_.many ? ", 2" : "")) {
    if (raw == Raw::yes && !shape_.many) raw_.emplace(db, shape_.name);
  }

  void begin(int64_t first, int64_t last) {
    next_ = first;
    last_ = last;
    rows_ = 0;
    use_sql_ = false;
    has_row_ = false;
    kept_ = tree_ != nullptr;
    raw_ ? raw_->begin(first, last) : use_sql();
  }

  // `check` says whether the stored value of a column that refers to a record is right.
  template <class Check>
  void expect(std::span<const RowCell> cells, const Check& check) {
    ++rows_;
    if (!use_sql_ && take_raw(cells, check)) return;
    use_sql();
    while (has_row_ && before(cells)) {
      extra();
      advance();
    }
    if (!has_row_ || after(cells)) {
      findings_.add(where(cells[0].integer),
                    "the row of this record is missing" +
                        (shape_.many ? ": " + shown(cells[1]) : std::string()));
      return;
    }
    for (size_t i = shape_.many ? 2 : 1; i < cells.size(); ++i) {
      const Cell stored = select_.cell(static_cast<int>(i));
      if (cells[i].refers == RowCell::Refers::no) {
        if (same_value(stored, cells[i])) continue;
        changed(cells[0].integer, i, shown(stored), shown(cells[i]));
      } else if (stored.type != ValueType::integer) {
        changed(cells[0].integer, i, shown(stored), "the number of a record");
      } else {
        check(cells[i], stored.integer, static_cast<int>(i));
      }
    }
    advance();
  }

  void finish() {
    if (!use_sql_ && raw_->at_end()) {
      if (!kept_) return;
      tree_->rows += rows_;
      ++tree_->ranges;
      return;
    }
    for (use_sql(); has_row_; advance()) extra();
  }
  void changed(int64_t seq, size_t column, const std::string& is, const std::string& should) const {
    findings_.add(where(seq) + "." + select_.column_name(static_cast<int>(column)),
                  "is " + is + ", the log says " + should);
  }
  std::string column_name(int column) const { return select_.column_name(column); }
  uint64_t rows() const { return rows_; }

 private:
  void advance() { has_row_ = select_.next(); }
  // Rows before next_ are done with.
  void use_sql() {
    if (use_sql_) return;
    use_sql_ = true;
    select_.with(next_, last_);
    advance();
  }
  template <class Check>
  bool take_raw(std::span<const RowCell> cells, const Check& check) {
    std::array<int64_t, 3> stored{};
    if (!raw_->take(cells, stored)) return false;
    next_ = cells[0].integer + 1;
    size_t at = 0;
    for (size_t i = 1; i < cells.size(); ++i) {
      if (cells[i].refers != RowCell::Refers::no) {
        check(cells[i], stored[at++], static_cast<int>(i));
      }
    }
    if (kept_) keep(cells, stored);
    return true;
  }
  void keep(std::span<const RowCell> cells, std::span<const int64_t> stored) {
    for (auto& [column, values] : tree_->columns) {
      int64_t value = cells[column].integer;
      if (cells[column].refers != RowCell::Refers::no) {
        value = stored[static_cast<size_t>(
            std::count_if(cells.begin(), cells.begin() + static_cast<ptrdiff_t>(column),
                          [](const RowCell& c) { return c.refers != RowCell::Refers::no; }))];
      }
      if (!values.keep(cells[0].integer, value)) kept_ = false;
    }
  }
  bool before(std::span<const RowCell> cells) const {
    if (select_.integer(0) != cells[0].integer) return select_.integer(0) < cells[0].integer;
    return shape_.many && select_.integer(1) < cells[1].integer;
  }
  bool after(std::span<const RowCell> cells) const {
    if (select_.integer(0) != cells[0].integer) return select_.integer(0) > cells[0].integer;
    return shape_.many && select_.integer(1) > cells[1].integer;
  }
  std::string where(int64_t seq) const {
    return record_name(seq) + ", " + std::string(shape_.name);
  }
  void extra() {
    const int64_t seq = select_.integer(0);
    if (findings_.is_doubted(seq)) return;
    findings_.add(where(seq), "a row that no record makes" +
                                  (shape_.many ? ": " + shown(select_.cell(1)) : std::string()));
  }

  PlainTree* tree_;
  const TableShape& shape_;
  Findings& findings_;
  Statement select_;
  std::optional<RawTable> raw_;
  int64_t next_ = 0;
  int64_t last_ = 0;
  bool use_sql_ = false;
  bool has_row_ = false;
  bool kept_ = false;  // so far, in this range, what the tree asks for
  uint64_t rows_ = 0;  // in this range
};
using PlainTrees = std::map<TableId, PlainTree>;

}  // namespace cleared::ledger
