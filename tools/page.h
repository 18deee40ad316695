// One HTML page that opens from a mail attachment: no script, nothing loaded from elsewhere, every
// word from a record escaped. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "ledger/query.h"

namespace cleared::tools {

constexpr size_t kPageRows = 2'000;  // of a table: what a browser opens at once

class Page {
 public:
  explicit Page(std::string_view title);
  void heading(std::string_view text);
  void sentence(std::string_view text);
  // kPageRows of it at most; then a line says how many more there are, with the `more` that the
  // table does not hold, and `all`, how to see them.
  void table(const ledger::Table& table, std::string_view all, uint64_t more = 0);
  // Word for word, as an SQL query or a proof; `name` is how a program finds it (block_of).
  void block(std::string_view name, std::string_view text);
  std::string finish() &&;

 private:
  std::string out_;
};

// The text of a block, as it was given. Empty when the page has none of that name.
std::string block_of(std::string_view page, std::string_view name);

}  // namespace cleared::tools
