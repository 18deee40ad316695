#include "ledger/table_writer.h"

#include <cstring>
#include <memory>
#include <string>
#include <type_traits>

#include "ledger/base/error.h"

namespace cleared::ledger {
namespace {

constexpr size_t kRowsAtOnce = 64;
static_assert(std::is_trivially_copyable_v<RowCell> && std::is_trivially_destructible_v<RowCell>);

}  // namespace

void RowBuffer::row(TableId table, std::span<const RowCell> cells) {
  auto* kept =
      static_cast<RowCell*>(arena_.allocate(cells.size() * sizeof(RowCell), alignof(RowCell)));
  std::uninitialized_copy(cells.begin(), cells.end(), kept);
  for (RowCell& cell : std::span(kept, cells.size())) {
    cell.bytes = keep(cell.bytes);
    if (cell.subject != nullptr) {
      cell.subject = new (arena_.allocate(sizeof(Digest), alignof(Digest))) Digest(*cell.subject);
    }
  }
  rows_.push_back({table, std::span(kept, cells.size())});
}

std::string_view RowBuffer::keep(std::string_view bytes) {
  if (bytes.empty()) return {};
  auto* kept = static_cast<char*>(arena_.allocate(bytes.size(), 1));
  std::memcpy(kept, bytes.data(), bytes.size());
  return {kept, bytes.size()};
}

void RowBuffer::clear() {
  rows_.clear();
  arena_.release();
}

void TableWriter::add(const RowBuffer::Row& row, uint64_t seq) {
  row.cells[0].integer = static_cast<int64_t>(seq);
  for (RowCell& cell : row.cells) {
    if (cell.refers == RowCell::Refers::no) continue;
    cell.integer = static_cast<int64_t>(resolve(cell, seq));
    cell.refers = RowCell::Refers::no;
  }
  Table& table = tables_[static_cast<size_t>(row.table)];
  table.waiting.push_back(row.cells);
  if (table.waiting.size() < kRowsAtOnce) return;
  if (!table.many) table.many.emplace(insert(row.table, kRowsAtOnce));
  table.many->with_rows(table.waiting).run();
  table.waiting.clear();
}

void TableWriter::row(TableId table, std::span<const RowCell> cells) {
  own_.row(table, cells);
  add(own_.rows().back(), static_cast<uint64_t>(cells[0].integer));
}

void TableWriter::flush() {
  for (size_t i = 0; i < kTables; ++i) {
    Table& table = tables_[i];
    if (table.waiting.empty()) continue;
    if (!table.one) table.one.emplace(insert(static_cast<TableId>(i), 1));
    for (const auto& cells : table.waiting) table.one->with_rows(std::span(&cells, 1)).run();
    table.waiting.clear();
  }
  own_.clear();
}

Statement TableWriter::insert(TableId table, size_t rows) const {
  const TableShape& shape = tables()[static_cast<size_t>(table)];
  std::string row = "(?";
  for (int i = 1; i < shape.columns; ++i) row += ",?";
  row += ')';
  std::string sql = "INSERT INTO " + std::string(shape.name) + " VALUES" + row;
  for (size_t i = 1; i < rows; ++i) sql.append(",").append(row);
  return Statement(db_, sql);
}

uint64_t TableWriter::resolve(const RowCell& cell, uint64_t seq) {
  if (*cell.subject == last_subject_) return last_seq_;
  const auto found = map_.find(*cell.subject);
  if (found.empty()) {
    if (cell.refers == RowCell::Refers::first_of_equals) return seq;
    throw Error(Errc::corrupt, cell.what, ": what it names is not on record");
  }
  last_subject_ = *cell.subject;
  return last_seq_ = found.front();
}

}  // namespace cleared::ledger
