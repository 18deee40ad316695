#include "ledger/query.h"

#include <algorithm>

#include "ledger/base/bytes.h"
#include "ledger/base/error.h"
#include "ledger/projection.h"
#include "ledger/store.h"

namespace cleared::ledger {
namespace fs = std::filesystem;
namespace {

Table rows_of(const Database& db, const std::string& sql) {
  Statement select(db, sql);
  Table out;
  for (int i = 0; i < select.columns(); ++i) out.columns.push_back(select.column_name(i));
  out.numeric.assign(out.columns.size(), true);
  while (select.next()) {
    auto& row = out.rows.emplace_back();
    for (int i = 0; i < select.columns(); ++i) {
      const ValueType type = select.type(i);
      row.push_back(type == ValueType::blob ? to_hex(as_bytes(select.text(i))) : select.text(i));
      const bool number = type == ValueType::integer || type == ValueType::real;
      if (!number) out.numeric[static_cast<size_t>(i)] = false;
    }
  }
  return out;
}

}  // namespace

std::vector<std::string> view_names(const fs::path& ledger) {
  const Store store(ledger, Access::read);
  Statement select(store.db(), "SELECT name FROM sqlite_schema WHERE type = 'view' ORDER BY name");
  std::vector<std::string> names;
  while (select.next()) names.push_back(select.text(0));
  return names;
}

Table query_view(const fs::path& ledger, const std::string& view) {
  const Store store(ledger, Access::read);
  Statement known(store.db(),
                  "SELECT 1 FROM sqlite_schema WHERE type IN ('view', 'table') AND name = ?");
  if (!known.with(view).next()) {
    std::string names;
    for (const std::string& name : view_names(ledger)) names += " " + name;
    throw Error(Errc::usage, "query: there is no view \"", view, "\"; the views are:", names);
  }
  return rows_of(store.db(), "SELECT * FROM \"" + view + "\"");
}

Table query_sql(const fs::path& ledger, const std::string& sql) {
  const Store store(ledger, Access::read);
  store.db().guard_reading();
  try {
    return rows_of(store.db(), sql);
  } catch (const Error& error) {
    throw Error(error.code() == Errc::permission ? Errc::usage : error.code(), error.what(),
                error.code() == Errc::permission ? "; --sql reads and does nothing else" : "");
  }
}

uint64_t find_record(const Store& store, const std::string& what) {
  struct Place {
    std::string_view table, column;
    bool digest;  // a prefix will do
  };
  constexpr Place kPlaces[] = {
      {"clip", "id", true},           {"source", "digest", true}, {"source", "path", false},
      {"shard", "root", true},        {"shard", "name", false},   {"sample", "digest", true},
      {"sample", "key", false},       {"licence", "ref", false},  {"licence", "id", false},
      {"permit", "digest", true},     {"run", "name", false},     {"receipt", "digest", true},
      {"checkpoint", "digest", true}, {"key", "name", false},
  };
  constexpr size_t kLeastPrefix = 8;
  const bool is_number = !what.empty() && what.size() < 19 &&
                         what.find_first_not_of("0123456789") == std::string::npos;
  if (is_number) {
    const uint64_t seq = std::stoull(what);
    if (seq < store.size()) return seq;
  }
  const bool is_hex = what.size() >= kLeastPrefix &&
                      what.find_first_not_of("0123456789abcdef") == std::string::npos;
  std::vector<uint64_t> found;
  // A whole digest is looked up in the map; a part of one, or a name, in the tables.
  if (const auto digest = parse_digest(what)) {
    for (const char* kind : {"clip", "source", "shard", "sample", "permit"}) {
      const auto records = store.find(subject_key_of(kind, digest->text()));
      if (!records.empty()) return records.back();
    }
  }
  for (const Place& place : kPlaces) {
    const bool prefix = place.digest && is_hex;
    const std::string match = prefix ? " GLOB ?" : " = ?";
    Statement select(store.db(), "SELECT seq FROM \"" + std::string(place.table) + "\" WHERE \"" +
                                     std::string(place.column) + "\"" + match +
                                     " ORDER BY seq DESC LIMIT 2");
    select.with(prefix ? what + "*" : what);
    while (select.next()) found.push_back(select.unsigned_integer(0));
    if (!found.empty()) break;
  }
  if (found.empty()) {
    throw Error(Errc::not_found, store.path().string(), ": has no record of \"", what, "\"");
  }
  if (found.size() > 1 && is_hex && what.size() < 64) {
    throw Error(Errc::usage, "\"", what, "\" fits several records; give more digits");
  }
  return found.front();
}

}  // namespace cleared::ledger
