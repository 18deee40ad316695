#include "ledger/query.h"

#include <algorithm>

#include "ledger/base/bytes.h"
#include "ledger/base/error.h"
#include "ledger/digest.h"
#include "ledger/licence.h"
#include "ledger/projection.h"
#include "ledger/rights.h"
#include "ledger/schema.h"
#include "ledger/store.h"

namespace cleared::ledger {
namespace fs = std::filesystem;
namespace {

// The ledger as it was before record `at`: a view of each table's rows until then, and the readable
// views over those. The file itself lies under a name that nobody can guess, so that no SQL gets
// past the views; an authorizer could not tell, for it is not told why a table is counted.
class Past {
 public:
  Past(const Store& store, uint64_t at) : db_(open(store, at)) {
    keep_pages(db_);
    for (const TableShape& table : tables()) {
      const std::string name = '"' + std::string(table.name) + '"';
      db_.exec("CREATE TEMP VIEW " + name + " AS SELECT * FROM " + schema_ + "." + name +
               " WHERE seq < " + std::to_string(at));
    }
    db_.exec(
        "CREATE TEMP VIEW today AS SELECT substr(at, 1, 10) AS day FROM moment "
        "ORDER BY seq DESC LIMIT 1");
    constexpr std::string_view kCreate = "CREATE VIEW ";
    std::string views(kViews);
    for (size_t from = 0; (from = views.find(kCreate, from)) != std::string::npos; ++from) {
      views.replace(from, kCreate.size(), "CREATE TEMP VIEW ");
    }
    db_.exec(views);
  }
  const Database& db() const { return db_; }
  bool has(const std::string& view) const {
    return Statement(db_, "SELECT 1 FROM temp.sqlite_schema WHERE name = ?").with(view).next();
  }
  // What a statement must not read: where the name of the file's tables is, and what has no past.
  std::vector<std::string> hidden() const {
    std::vector<std::string> out = {"sqlite_schema", "sqlite_master", "sqlite_temp_schema",
                                    "sqlite_temp_master"};
    Statement rest(db_,
                   "SELECT name FROM " + schema_ +
                       ".sqlite_schema WHERE name NOT IN (SELECT name FROM temp.sqlite_schema)");
    while (rest.next()) out.push_back(rest.text(0));
    return out;
  }

 private:
  Database open(const Store& store, uint64_t at) {
    if (at == 0 || at > store.size()) {
      throw Error(Errc::usage, "--at ", at, ": ", store.path().string(), " has ", store.size(),
                  " records; give a number from 1 to that");
    }
    Statement random(store.db(), "SELECT 'log_' || lower(hex(randomblob(16)))");
    random.next();
    schema_ = random.text(0);
    return Database::open_beside(store.path(), schema_);
  }
  std::string schema_;
  Database db_;
};

std::string names_text(const fs::path& ledger) {
  std::string names;
  for (const std::string& name : view_names(ledger)) names += " " + name;
  return names;
}

// The rows of the view `cleared` whose shard the gate lets through now, for a use that it was
// approved for. The view goes by licences and approvals alone; marks, findings about clips and the
// words of the licences are the gate's to weigh.
std::string cleared_now(const Store& store) {
  const Rights rights(store);
  std::string standing;
  Statement approved(store.db(),
                     "SELECT DISTINCT h.root, p.use FROM approved_shard a "
                     "JOIN approval p ON p.seq = a.seq JOIN shard h ON h.seq = a.shard");
  while (approved.next()) {
    Use use{};
    if (!Use_Parse(approved.text(1), &use)) continue;
    const auto root = parse_digest(approved.text(0));
    if (!root) continue;  // not what a record says, and no text to put into a statement
    const ShardStanding shard = judge_shard(store, rights, to_hex(*root), Act{use});
    if (shard.verdict.cleared) standing += (standing.empty() ? "'" : ",'") + shard.root + "'";
  }
  return "SELECT * FROM cleared WHERE shard IN (" + standing + ")";
}

}  // namespace

void keep_pages(const Database& db) {
  db.exec("PRAGMA cache_size = -65536; PRAGMA temp_store = MEMORY");
}

Table read_table(const Database& db, const std::string& sql, const QueryOptions& options) {
  Statement select(db, sql);
  Table out;
  for (int i = 0; i < select.columns(); ++i) out.columns.push_back(select.column_name(i));
  if (options.each) options.each(out.columns);
  std::vector<bool> any_number(out.columns.size()), any_other(out.columns.size());
  for (uint64_t read = 0; select.next(); ++read) {
    if (options.limit > 0 && read == options.limit) {
      out.more = true;
      break;
    }
    std::vector<std::string> row;
    row.reserve(out.columns.size());
    for (int i = 0; i < select.columns(); ++i) {
      const ValueType type = select.type(i);
      row.push_back(type == ValueType::blob ? to_hex(as_bytes(select.view(i))) : select.text(i));
      const bool number = type == ValueType::integer || type == ValueType::real;
      if (number) any_number[static_cast<size_t>(i)] = true;
      if (!number && type != ValueType::null) any_other[static_cast<size_t>(i)] = true;
    }
    if (options.each) {
      options.each(row);
    } else {
      out.rows.push_back(std::move(row));
    }
  }
  for (size_t i = 0; i < out.columns.size(); ++i) {
    out.numeric.push_back(any_number[i] && !any_other[i]);
  }
  return out;
}

std::vector<std::string> view_names(const fs::path& ledger) {
  const Store store(ledger, Access::read);
  Statement select(store.db(), "SELECT name FROM sqlite_schema WHERE type = 'view' ORDER BY name");
  std::vector<std::string> names;
  while (select.next()) names.push_back(select.text(0));
  return names;
}

Table query_view(const fs::path& ledger, const std::string& view, const QueryOptions& options) {
  const Store store(ledger, Access::read);
  keep_pages(store.db());
  Statement known(store.db(),
                  "SELECT 1 FROM sqlite_schema WHERE type IN ('view', 'table') AND name = ?");
  if (!known.with(view).next()) {
    throw Error(Errc::usage, "query: there is no view \"", view,
                "\"; the views are:", names_text(ledger));
  }
  const std::string all = "SELECT * FROM \"" + view + '"';
  if (!options.at) {
    return read_table(store.db(), view == "cleared" ? cleared_now(store) : all, options);
  }
  const Past past(store, *options.at);
  if (!past.has(view)) {
    throw Error(
        Errc::usage, "query: ", view,
        " is how the file keeps its records, and has no past; the views are:", names_text(ledger));
  }
  return read_table(past.db(), all, options);
}

Table query_sql(const fs::path& ledger, const std::string& sql, const QueryOptions& options) {
  const Store store(ledger, Access::read);
  keep_pages(store.db());
  std::optional<Past> past;
  if (options.at) past.emplace(store, *options.at);
  const Database& db = past ? past->db() : store.db();
  db.guard_reading(past ? past->hidden() : std::vector<std::string>());
  try {
    return read_table(db, sql, options);
  } catch (const Error& error) {
    if (error.code() != Errc::permission) throw;
    throw Error(Errc::usage, error.what(), "; --sql reads and does nothing else",
                past ? ", and with --at no table that the records lie in" : "");
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
