// Reading a ledger's tables: the named views, and SQL of a person's own under a read-only guard.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "ledger/store.h"

namespace cleared::ledger {

struct Table {
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;  // blobs as hex, NULL as an empty text
  std::vector<bool> numeric;                   // a column whose values are all numbers
};

// "cleared", "refused", "expiring", "exposure", "provenance", "touched", ...
std::vector<std::string> view_names(const std::filesystem::path& ledger);

// Every row of a view or table. Error{usage} names those there are.
Table query_view(const std::filesystem::path& ledger, const std::string& view);

// One SELECT. Error{usage} for anything that would do more than read.
Table query_sql(const std::filesystem::path& ledger, const std::string& sql);

// The record that `what` names: its number, or an id, digest (from 8 hex digits on), path, key or
// name in one of the tables. Error{not_found}; Error{usage} when several records fit.
uint64_t find_record(const Store& store, const std::string& what);

}  // namespace cleared::ledger
