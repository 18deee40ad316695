// Writes projected rows (ledger/projection.h) to their tables, many a statement: running a
// statement costs about as much as writing a row. What a row refers to is looked up when it is
// added, so the map must know the records before it by then. One thread per database.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <optional>
#include <span>
#include <vector>

#include "ledger/projection.h"
#include "ledger/sqlite.h"
#include "ledger/state_map.h"

namespace cleared::ledger {

// Rows that outlive the call that made them.
class RowBuffer : public RowSink {
 public:
  struct Row {
    TableId table;
    std::span<RowCell> cells;
  };
  RowBuffer() = default;
  RowBuffer(const RowBuffer&) = delete;
  RowBuffer& operator=(const RowBuffer&) = delete;

  void row(TableId table, std::span<const RowCell> cells) override;
  std::vector<Row>& rows() { return rows_; }
  void clear();

 private:
  static constexpr size_t kUsual = 192 * 1024;  // rows of some hundred records
  std::vector<std::byte> memory_ = std::vector<std::byte>(kUsual);
  std::pmr::monotonic_buffer_resource arena_{memory_.data(), memory_.size()};
  std::vector<Row> rows_;
};

class TableWriter : public RowSink {
 public:
  TableWriter(const Database& db, const StateMap& map) : db_(db), map_(map) {}

  // A row of record `seq`. Its cells must stay as they are until flush(). Error{corrupt} when what
  // it refers to is not on record.
  void add(const RowBuffer::Row& row, uint64_t seq);
  // The same for a row that is copied, and knows its record.
  void row(TableId table, std::span<const RowCell> cells) override;

  // When it returns, every row is in its table.
  void flush();

 private:
  static constexpr size_t kTables = static_cast<size_t>(TableId::state) + 1;
  struct Table {
    std::optional<Statement> one, many;
    std::vector<std::span<const RowCell>> waiting;
  };
  Statement insert(TableId table, size_t rows) const;
  uint64_t resolve(const RowCell& cell, uint64_t seq);

  const Database& db_;
  const StateMap& map_;
  std::array<Table, kTables> tables_;
  RowBuffer own_;
  Digest last_subject_;
  uint64_t last_seq_ = 0;
};

}  // namespace cleared::ledger
