#include "tools/query_commands.h"

#include <algorithm>
#include <cstdio>

#include <google/protobuf/descriptor.h>
#include <nlohmann/json.hpp>

#include "ledger/base/bytes.h"
#include "ledger/base/clock.h"
#include "ledger/base/error.h"
#include "ledger/note.h"
#include "ledger/projection.h"
#include "ledger/query.h"
#include "ledger/retention.h"
#include "ledger/store.h"
#include "ledger/story.h"
#include "ledger/tree_head.h"
#include "tools/cli.h"
#include "tools/output.h"

namespace cleared::tools {
using namespace cleared::ledger;
namespace {

// What a person can read at once.
constexpr uint64_t kTerminalRows = 200;
constexpr uint64_t kChapterRows = 10;
constexpr uint64_t kStatusRows = 30;

struct StatusPart {
  const char *name, *title, *sql;
};
constexpr StatusPart kStatus[] = {
    {"coverage", "licences and what they cover",
     "SELECT l.ref AS licence, l.licensor, l.valid_to, "
     "CAST(julianday(l.valid_to) - julianday((SELECT day FROM today)) AS INTEGER) AS days_left, "
     "COUNT(s.seq) AS sources, COALESCE(ROUND(SUM(s.duration_us) / 1e6, 1), 0.0) AS seconds, "
     "COALESCE(SUM((SELECT COUNT(*) FROM source_clip c WHERE c.source = s.seq AND c.verdict = "
     "'kept')), "
     "0) "
     "AS clips_kept, CASE WHEN EXISTS (SELECT 1 FROM revocation r WHERE r.licence = l.id) "
     "THEN 'revoked' WHEN l.seq IN (SELECT licence FROM erasure) THEN 'erased' WHEN l.seq IN "
     "(SELECT seq FROM licence_in_force) THEN 'in force' "
     "WHEN EXISTS (SELECT 1 FROM licence n WHERE n.id = l.id AND n.version > l.version) "
     "THEN 'superseded' ELSE 'out of its dates' END AS standing FROM licence l "
     "LEFT JOIN source_cover v ON v.licence = l.seq LEFT JOIN source s ON s.seq = v.source "
     "GROUP BY l.seq ORDER BY l.ref"},
    {"expiring_30", "licences that end within 30 days",
     "SELECT * FROM expiring WHERE days_left <= 30"},
    {"expiring_90", "licences that end after 31 to 90 days",
     "SELECT * FROM expiring WHERE days_left BETWEEN 31 AND 90"},
    {"releases", "releases that have not ended",
     "SELECT seq AS record, run, step, use, territory, expires_at, "
     "COALESCE('since ' || taken_back, 'no') AS taken_back FROM released "
     "WHERE expires_at > strftime('%Y-%m-%dT%H:%M:%SZ', 'now') ORDER BY expires_at, seq"},
    {"refused", "refused by the gate",
     "SELECT act, rule, COUNT(*) AS times FROM refusal GROUP BY act, rule ORDER BY 3 DESC, 1, 2"},
    {"keys", "keys in use",
     "SELECT role, COUNT(*) AS keys, group_concat(name, ', ') AS names FROM (SELECT role, name "
     "FROM key WHERE seq NOT IN (SELECT key FROM retirement) ORDER BY role, name) GROUP BY role"},
    {"policy", "policy in force (none: one approver for everything)",
     "SELECT seq AS record, version, signers, at FROM policy ORDER BY seq DESC LIMIT 1"},
    {"map_runs", "sorted runs of the map",
     "SELECT run, entries, length(filter) AS filter_bytes FROM map_run ORDER BY run"},
};

// How many records there are of each kind. From the tables that have a row a record, each counted
// by its smallest index: the view `record` would have every row read.
std::string count_kinds() {
  std::string counts;
  for (const TableShape& table : tables()) {
    const std::string name(table.name);
    const bool is_kind = Fact::descriptor()->FindFieldByName(name) != nullptr;
    if (!is_kind && name != "retirement") continue;  // a key's, in a table of its own
    counts += (counts.empty() ? "" : " UNION ALL ") + ("SELECT '" + name + "' AS kind, ") +
              "(SELECT COUNT(*) FROM \"" + name + "\") AS records";
  }
  return "SELECT * FROM (" + counts + ") WHERE records > 0 ORDER BY records DESC, kind";
}

// Records, newest signed head and what is not under it.
Json head_facts(const Store& store) {
  Json out = {{"log", store.origin()}, {"records", store.size()}};
  const std::string note = store.newest_head_note();
  const uint64_t head = note.empty() ? 0 : parse_tree_head(parse_note(note).text).size;
  out["head_size"] = head;
  out["unsigned_tail"] = store.size() - head;
  if (head == 0) return out;
  const std::string at = time_of_record(store, head - 1);
  if (at.empty()) return out;
  out["head_root"] = to_hex(parse_tree_head(parse_note(note).text).root);
  out["head_at"] = at;
  const uint64_t now = now_us();
  const uint64_t signed_at = parse_time(at).value_or(now);
  out["head_age_s"] = now > signed_at ? (now - signed_at) / 1'000'000 : 0;
  return out;
}

void print_head(const Json& facts) {
  std::printf("log %s, %llu records\n", printable(facts["log"].get<std::string>()).c_str(),
              static_cast<unsigned long long>(facts["records"].get<uint64_t>()));
  if (!facts.contains("head_at")) {
    std::printf("no tree head is signed yet\n\n");
    return;
  }
  std::printf(
      "newest tree head: size %llu, records up to %s, %llu hours ago; %llu record%s not under "
      "it\n\n",
      static_cast<unsigned long long>(facts["head_size"].get<uint64_t>()),
      facts["head_at"].get<std::string>().c_str(),
      static_cast<unsigned long long>(facts["head_age_s"].get<uint64_t>() / 3600),
      static_cast<unsigned long long>(facts["unsigned_tail"].get<uint64_t>()),
      facts["unsigned_tail"] == 1 ? "" : "s");
}

std::string verdict_text(const Story& story) {
  const Verdict& verdict = *story.verdict;
  return std::string("may be used today: ") + (verdict.cleared ? "yes" : "no") + ", because " +
         verdict.rule + ": " + verdict.fact;
}

Json to_json(const Story& story) {
  Json out = {{"record", story.seq}, {"kind", story.kind}, {"day", story.day}};
  for (const Chapter& chapter : story.chapters) out[chapter.title] = tools::to_json(chapter.table);
  if (!story.verdict) return out;
  out["may_be_used_today"] = story.verdict->cleared;
  out["rule"] = story.verdict->rule;
  out["fact"] = story.verdict->fact;
  return out;
}

}  // namespace

int ledger_query(const LedgerOptions& o) {
  if (o.name.empty() == o.sql.empty()) {
    std::string names;
    for (const std::string& name : view_names(o.ledger)) names += " " + name;
    throw Error(Errc::usage, "query: name a view or give --sql; the views are:", names);
  }
  const bool table = !o.json && !o.csv;
  QueryOptions options = {.at = o.at,
                          .limit = o.rows.value_or(table && is_terminal() ? kTerminalRows : 0)};
  if (o.csv && !o.json) options.each = print_csv_line;
  const Table answer =
      o.sql.empty() ? query_view(o.ledger, o.name, options) : query_sql(o.ledger, o.sql, options);
  if (o.json) {
    print_json(tools::to_json(answer));
  } else if (table) {
    print_table(answer);
  }
  if (answer.more && !table) std::fprintf(stderr, "ledger: there are more rows than --limit\n");
  return exit_ok;
}

int ledger_why(const LedgerOptions& o) {
  const Store store(o.ledger, Access::read);
  const Story story = tell_story(store, find_record(store, o.name));
  if (o.json) {
    print_json(to_json(story));
    return exit_ok;
  }
  std::printf("%s of record %llu\n", story.kind.c_str(),
              static_cast<unsigned long long>(story.seq));
  for (const Chapter& chapter : story.chapters) {
    std::printf("\n%s\n", chapter.title.c_str());
    print_rows(chapter.table, o.rows.value_or(kChapterRows));
  }
  if (story.verdict) std::printf("\n%s\n", printable(verdict_text(story)).c_str());
  return exit_ok;
}

int ledger_history(const LedgerOptions& o) {
  const Store store(o.ledger, Access::read);
  const Table history = history_of(store, find_record(store, o.name));
  if (o.json) {
    print_json(tools::to_json(history));
    return exit_ok;
  }
  for (const auto& row : history.rows) {
    const std::string signers = row[3].empty() ? "" : "  signed by " + printable(row[3]);
    std::printf("%6s  %s  %-11s  %s%s\n", row[0].c_str(), row[1].c_str(), row[2].c_str(),
                printable(row[4]).c_str(), signers.c_str());
  }
  return exit_ok;
}

int ledger_status(const LedgerOptions& o) {
  const Store store(o.ledger, Access::read);
  keep_pages(store.db());
  Json out = head_facts(store);
  if (!o.json) print_head(out);
  const uint64_t limit = o.rows.value_or(o.json ? 0 : kStatusRows);
  const auto part = [&](const char* name, const char* title, const std::string& sql) {
    const Table table = read_table(store.db(), sql, {.limit = limit});
    if (o.json) {
      out[name] = tools::to_json(table);
      return;
    }
    std::printf("%s\n", title);
    print_table(table);
    std::printf("\n");
  };
  part("kinds", "records by kind", count_kinds());
  for (const StatusPart& p : kStatus) part(p.name, p.title, p.sql);
  if (o.json) print_json(out);
  return exit_ok;
}

}  // namespace cleared::tools
