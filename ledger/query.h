// Reading a ledger's tables: the named views, and SQL of a person's own under a read-only guard.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/store.h"

namespace cleared::ledger {

struct Table {
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;  // blobs as hex, NULL as an empty text
  std::vector<bool> numeric;  // a column whose values are all numbers or NULL, and not all NULL
  bool more = false;          // there were rows beyond the limit
};

struct QueryOptions {
  // Answers as they were when the log had this many records: rows of records before it alone, and
  // the day of the newest of them for today. Only what the log determines can be asked then, so
  // not the tables that the records lie in; and what the documents say that are still kept, of the
  // footage that was there before them. Error{usage} for 0 or more than there are.
  std::optional<uint64_t> at = std::nullopt;
  uint64_t limit = 0;  // rows at most; 0: all
  // Given: the names of the columns go there and then each row as it is read, none into the table.
  std::function<void(const std::vector<std::string>& fields)> each = nullptr;
};

// "cleared", "refused", "expiring", "exposure", "provenance", "touched", ...
std::vector<std::string> view_names(const std::filesystem::path& ledger);

// Every row of a view or table. Error{usage} names those there are.
Table query_view(const std::filesystem::path& ledger, const std::string& view,
                 const QueryOptions& options = {});

// One SELECT. Error{usage} for anything that would do more than read, or with `at` for anything
// that would see records after it.
Table query_sql(const std::filesystem::path& ledger, const std::string& sql,
                const QueryOptions& options = {});

// One statement of the program's own. `options.at` is not looked at.
Table read_table(const Database& db, const std::string& sql, const QueryOptions& options = {});

// For a connection that will be asked about the whole ledger: look-ups by number go back and forth,
// and SQLite's own 2 MB of pages make it read each many times.
void keep_pages(const Database& db);

// The record that `what` names: its number, or an id, digest (from 8 hex digits on), path, key or
// name in the tables of these kinds; of none, in all of them. Whoever delivers a file names it, so
// a name that fits records of several kinds stands for none: "source:NAME", "shard:NAME" and the
// like say which, and "record:17" is a number. Error{not_found}; Error{usage} when several fit.
uint64_t find_record(const Store& store, const std::string& what,
                     std::initializer_list<std::string_view> kinds = {});

}  // namespace cleared::ledger
