// Writes projected rows (ledger/projection.h) to their tables, many a statement: running a
// statement costs about as much as writing a row. What a row refers to is looked up when it is
// added, so the map must know the records before it by then. One thread per database.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <memory_resource>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "ledger/projection.h"
#include "ledger/sqlite.h"
#include "ledger/state_map.h"

namespace cleared::ledger {

// Rows that outlive the call that made them, and the bytes that go with them.
class RowBuffer : public RowSink {
 public:
  struct Row {
    TableId table;
    std::span<RowCell> cells;
  };
  // Makes room for `usual` bytes that is kept when the rows go.
  explicit RowBuffer(size_t usual = 0)
      : memory_(usual == 0 ? nullptr : std::make_unique_for_overwrite<std::byte[]>(usual)),
        arena_(memory_.get(), usual) {}
  RowBuffer(const RowBuffer&) = delete;
  RowBuffer& operator=(const RowBuffer&) = delete;

  void row(TableId table, std::span<const RowCell> cells) override;
  std::vector<Row>& rows() { return rows_; }
  std::string_view keep(std::string_view bytes);
  void clear();

 private:
  std::unique_ptr<std::byte[]> memory_;
  std::pmr::monotonic_buffer_resource arena_;
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
