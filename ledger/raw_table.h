// The rows of a table, compared where they lie: in the leaf pages of its b-tree, against values
// that should be there. It exists because verifying asks for one thing only of nearly every row,
// "is it this one", and asking through SQLite's statements costs four times as much as everything
// else about the row (docs/design/0007-fast-verify.md has the numbers).
//
// It only ever says yes, or that it cannot say. Yes means: a SELECT of these rows, in the read
// transaction that is open on the connection, would return exactly these values. Whatever is
// unusual, a value that differs, a row too many, a row that spills into overflow pages, a damaged
// page, a table that is not in order, is "cannot say", and the caller asks SQLite, which also says
// what is wrong and where.
//
// Limits: what ledger/raw_pages.h reads, and tables whose first column is INTEGER PRIMARY KEY. The
// file may be hostile: nothing in it is believed. One thread per database.
//
// When one or more of these have taken all rows of a table between them, in ranges that leave no
// number out, and each said at_end(), then the b-tree is whole too: as integrity_check would find
// it, page by page, but for its indexes (ledger/raw_index.h).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/projection.h"
#include "ledger/raw_pages.h"
#include "ledger/sqlite.h"

namespace cleared::ledger {

class RawTable {
 public:
  // `db` must have a read transaction open for as long as this lives, and the table must have been
  // declared as ledger/schema.h does. Whether it can be read is seen at begin().
  RawTable(const Database& db, std::string_view table);

  // From here on, the rows whose number is in [first, last].
  void begin(int64_t first, int64_t last);

  // Is the next row this one, in all its columns? Then it is taken, and `stored` has its integer in
  // each column that refers to another record, in their order. Else nothing changes.
  bool take(std::span<const RowCell> cells, std::span<int64_t> stored);

  // True when the range has no more rows; false also when that cannot be said.
  bool at_end();

  // All pages of the b-tree, once all rows have been taken.
  std::vector<uint32_t> pages() const;

 private:
  struct Leaf {
    uint32_t page;
    int64_t high;  // its rows are not above it, and above that of the leaf before
  };
  struct Row {
    int64_t number;
    std::string_view payload;
  };
  int height(uint32_t root) const;
  bool add_leaves(uint32_t page, int64_t high, int height);
  bool add_rows(const Leaf& leaf, bool only);
  bool fill();

  RawPages file_;
  uint32_t root_ = 0;
  bool usable_ = false;
  PageSpace space_;
  std::vector<uint32_t> inner_;  // pages above the leaves
  std::vector<Leaf> leaves_;
  std::string page_;  // the leaf that `rows_` lie in
  std::vector<Row> rows_;
  size_t at_ = 0;         // in rows_
  size_t next_leaf_ = 0;  // in leaves_
  int64_t last_ = 0;
  bool ready_ = false;  // so far all is as it should be
};

}  // namespace cleared::ledger
