#include "ledger/query.h"

#include <algorithm>

#include "ledger/base/bytes.h"
#include "ledger/base/error.h"
#include "ledger/base/words.h"
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
    std::string views = kViews;
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

// What people call records of a kind.
struct Place {
  std::string_view kind, column;
  bool digest;  // a prefix will do
};
constexpr Place kPlaces[] = {
    {"clip", "id", true},           {"source", "digest", true},
    {"source", "path", false},      {"shard", "root", true},
    {"shard", "name", false},       {"sample", "digest", true},
    {"sample", "key", false},       {"licence", "ref", false},
    {"licence", "id", false},       {"permit", "digest", true},
    {"run", "name", false},         {"receipt", "digest", true},
    {"checkpoint", "digest", true}, {"release", "digest", true},
    {"key", "name", false},         {"protection", "fingerprint", true},
};

std::vector<std::string_view> all_kinds() {
  std::vector<std::string_view> out;
  for (const Place& place : kPlaces) {
    if (out.empty() || out.back() != place.kind) out.push_back(place.kind);
  }
  return out;
}

bool is_in_map(std::string_view kind) {  // by its digest alone
  return kind == "clip" || kind == "source" || kind == "shard" || kind == "sample" ||
         kind == "permit" || kind == "release" || kind == "protection";
}

std::optional<uint64_t> record_number(const Store& store, const std::string& what) {
  if (what.empty() || what.size() >= 19 ||
      what.find_first_not_of("0123456789") != std::string::npos) {
    return std::nullopt;
  }
  const uint64_t seq = std::stoull(what);
  return seq < store.size() ? std::optional(seq) : std::nullopt;
}

bool is_of_kinds(const Store& store, uint64_t seq, const std::vector<std::string_view>& kinds) {
  return std::any_of(kinds.begin(), kinds.end(), [&](std::string_view kind) {
    Statement row(store.db(), "SELECT 1 FROM \"" + std::string(kind) + "\" WHERE seq = ?");
    return row.with(seq).next();
  });
}

struct Candidate {
  std::string_view kind;
  uint64_t seq = 0;
};

// Who delivers a film names it, and every folder of shards begins with the same name: one that
// several have is none's. Of a licence, a run or a key the newest is meant.
void require_one(const Store& store, const Place& place, const std::string& what) {
  constexpr size_t kShown = 4;
  if (place.kind != "source" && place.kind != "shard") return;
  Statement select(store.db(), std::string("SELECT seq, ") +
                                   (place.kind == "shard" ? "root" : "digest") + " FROM \"" +
                                   std::string(place.kind) + "\" WHERE \"" +
                                   std::string(place.column) + "\" = ? ORDER BY seq");
  std::string digests;
  size_t count = 0;
  for (select.with(what); select.next(); ++count) {
    if (count >= kShown) continue;
    digests += std::string(count == 0 ? "" : ", ") + std::string(place.kind) + ":" +
               select.text(1) + " (record " + select.text(0) + ")";
  }
  if (count < 2) return;
  throw Error(Errc::usage, "\"", what, "\" names ", count, " ", place.kind,
              "s; say which: ", digests, count > kShown ? ", ..." : "");
}

// The newest record of this kind with this name, or with a digest that begins so.
std::optional<uint64_t> newest_named(const Store& store, std::string_view kind,
                                     const std::string& what) {
  constexpr size_t kLeastPrefix = 8;
  const bool is_hex = what.size() >= kLeastPrefix &&
                      what.find_first_not_of("0123456789abcdef") == std::string::npos;
  for (const Place& place : kPlaces) {
    if (place.kind != kind || (place.digest && !is_hex)) continue;
    const std::string column = "\"" + std::string(place.column) + "\"";
    Statement select(store.db(), "SELECT MAX(seq) FROM \"" + std::string(kind) + "\" WHERE " +
                                     column + (place.digest ? " GLOB ?" : " = ?") + " GROUP BY " +
                                     column + " ORDER BY 1 DESC LIMIT 2");
    select.with(place.digest ? what + "*" : what);
    if (!select.next()) continue;
    const uint64_t seq = select.unsigned_integer(0);
    if (place.digest && what.size() < 64 && select.next()) {
      throw Error(Errc::usage, "\"", what, "\" fits several records; give more digits");
    }
    if (!place.digest) require_one(store, place, what);
    return seq;
  }
  return std::nullopt;
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

uint64_t find_record(const Store& store, const std::string& what,
                     std::initializer_list<std::string_view> kinds) {
  const std::vector<std::string_view> asked = kinds.size() > 0 ? kinds : all_kinds();
  const size_t colon = what.find(':');
  const std::string before = what.substr(0, colon == std::string::npos ? 0 : colon);
  const std::string after = what.substr(before.empty() ? 0 : colon + 1);
  const auto number = record_number(store, before == "record" ? after : what);
  // Where any kind will do, a number is a record's; else it may be the name of a licence, too.
  if (number && (kinds.size() == 0 || before == "record")) {
    if (kinds.size() == 0 || is_of_kinds(store, *number, asked)) return *number;
    throw Error(Errc::not_found, store.path().string(), ": record ", *number, " is no ",
                listed(asked, " or "));
  }
  std::vector<Candidate> found;
  if (number && is_of_kinds(store, *number, asked)) found.push_back({"record", *number});
  const bool says_kind = std::find(asked.begin(), asked.end(), before) != asked.end();
  for (const std::string_view kind : says_kind ? std::vector<std::string_view>{before} : asked) {
    const std::string& name = says_kind ? after : what;
    // A whole digest is looked up in the map; a part of one, or a name, in the tables.
    if (const auto digest = parse_digest(name); digest && is_in_map(kind)) {
      const auto records = store.find(subject_key_of(kind, digest->text()));
      if (!records.empty()) return records.back();
    }
    if (const auto seq = newest_named(store, kind, name)) found.push_back({kind, *seq});
  }
  if (found.empty() && number) {
    throw Error(Errc::not_found, store.path().string(), ": record ", *number, " is no ",
                listed(asked, " or "));
  }
  if (found.empty()) {
    throw Error(Errc::not_found, store.path().string(), ": has no ",
                kinds.size() > 0 ? listed(asked, " or ") : "record of", " \"", what, "\"");
  }
  if (found.size() > 1) {
    std::string ways;
    for (const auto& [kind, seq] : found) {
      ways += (ways.empty() ? "" : " or ") + std::string(kind) + ":" + what + " (record " +
              std::to_string(seq) + ")";
    }
    throw Error(Errc::usage, "\"", what, "\" names several records; say ", ways);
  }
  return found.front().seq;
}

}  // namespace cleared::ledger
