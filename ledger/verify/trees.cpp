#include "ledger/verify/trees.h"

#include <algorithm>
#include <atomic>
#include <set>

#include "ledger/base/error.h"
#include "ledger/base/parallel.h"
#include "ledger/raw_pages.h"
#include "ledger/raw_table.h"

namespace cleared::ledger {
namespace {

std::string quoted(const std::string& name) {
  std::string out = "'";
  for (const char c : name) out += c == '\'' ? "''" : std::string(1, c);
  return out + "'";
}

std::string tree_check(std::string_view table) {
  return "integrity_check(" + quoted(std::string(table)) + ")";
}

}  // namespace

// The tables that can be proven where they lie: all indexes whole and over integers. Fingerprints
// hardly ever are: their lists need overflow pages.
void Trees::plan(uint64_t records) {
  if (deep_ || !contexts_.raw()) return;
  for (const TableId table : {TableId::clip, TableId::sample, TableId::refusal}) {
    try {
      plan_table(table, records);
    } catch (const Error&) {  // integrity_check says what it is
      contexts_.trees().erase(table);
    }
  }
}
void Trees::plan_table(TableId table, uint64_t records) {
  const std::string name(tables()[static_cast<size_t>(table)].name);
  if (db_.integer("SELECT EXISTS(SELECT 1 FROM \"" + name + "\")") == 0) return;
  PlainTree& tree = contexts_.trees()[table];
  Statement indexes(db_, "SELECT name, partial FROM pragma_index_list(?)");
  indexes.with(name);
  bool good = true;
  while (indexes.next()) {
    good = good && indexes.integer(1) == 0 && plan_index(table, indexes.text(0), records, tree);
  }
  if (!good) contexts_.trees().erase(table);
}
bool Trees::plan_index(TableId table, const std::string& name, uint64_t records,
                       PlainTree& tree) const {
  PlainTree::Index index{name, {}};
  Statement columns(db_,
                    "SELECT i.cid, t.type FROM pragma_index_info(?) i "
                    "JOIN pragma_table_info(?) t ON t.cid = i.cid ORDER BY i.seqno");
  columns.with(name, tables()[static_cast<size_t>(table)].name);
  while (columns.next()) {
    if (columns.text(1) != "INTEGER") return false;
    const auto column = static_cast<size_t>(columns.integer(0));
    size_t at = 0;
    while (at < tree.columns.size() && tree.columns[at].first != column) ++at;
    if (at == tree.columns.size()) tree.columns.emplace_back(column, KeptColumn(records));
    index.columns.push_back(at);
  }
  tree.indexes.push_back(std::move(index));
  return true;
}

std::vector<std::string> Trees::checks() const {
  if (deep_) return {"integrity_check(20)"};
  std::vector<std::string> checks;
  findings_.guarded("file", [&] {
    std::set<std::string, std::less<>> later;
    for (const auto& [table, tree] : contexts_.trees()) {
      later.emplace(tables()[static_cast<size_t>(table)].name);
    }
    Statement names(db_, "SELECT name FROM sqlite_schema WHERE type = 'table'");
    while (names.next()) {
      if (!later.contains(names.view(0))) checks.push_back(tree_check(names.text(0)));
    }
  });
  return checks;
}

// After the log was read in so many ranges: the trees of the planned tables.
void Trees::check_planned(size_t ranges) const {
  std::vector<std::string> checks;
  for (const auto& [table, tree] : contexts_.trees()) {
    if (!proves(table, tree, ranges)) {
      checks.push_back(tree_check(tables()[static_cast<size_t>(table)].name));
    }
  }
  parallel_for(checks.size(), [&](size_t i) { check(checks[i]); });
}

// No is no finding: integrity_check then decides.
bool Trees::proves(TableId table, const PlainTree& tree, size_t ranges) const try {
  if (tree.ranges != ranges) return false;
  const auto indexes = planned_indexes(table, tree);
  return indexes && std::all_of(indexes->begin(), indexes->end(), [&](const RawIndex& index) {
           return count_entries(index) == tree.rows;
         });
} catch (const Error&) {
  return false;
}
// Nothing unless no page of the table and its indexes is used twice.
std::optional<std::vector<RawIndex>> Trees::planned_indexes(TableId table,
                                                            const PlainTree& tree) const {
  const auto context = contexts_.take();
  const RawPages pages(context->db);
  std::vector<RawIndex> indexes;
  std::vector<uint32_t> used =
      RawTable(context->db, tables()[static_cast<size_t>(table)].name).pages();
  for (const PlainTree::Index& index : tree.indexes) {
    std::vector<const KeptColumn*> columns;
    for (const size_t column : index.columns) columns.push_back(&tree.columns[column].second);
    const RawIndex& made = indexes.emplace_back(pages, index.name, std::move(columns));
    if (!made.usable()) return std::nullopt;
    used.insert(used.end(), made.pages().begin(), made.pages().end());
  }
  std::sort(used.begin(), used.end());
  if (std::adjacent_find(used.begin(), used.end()) != used.end()) return std::nullopt;
  return indexes;
}
// Nothing when one of them is not as it should be.
std::optional<uint64_t> Trees::count_entries(const RawIndex& index) const {
  constexpr size_t kTaskLeaves = 128;
  std::atomic<uint64_t> entries{index.inner_entries()};
  std::atomic<bool> good{true};
  parallel_for((index.leaves() + kTaskLeaves - 1) / kTaskLeaves, [&](size_t task) {
    const auto context = contexts_.take();
    uint64_t count = 0;
    if (!index.check(RawPages(context->db), task * kTaskLeaves,
                     std::min((task + 1) * kTaskLeaves, index.leaves()), count)) {
      good = false;
    }
    entries += count;
  });
  return good ? std::optional(entries.load()) : std::nullopt;
}

void Trees::check(const std::string& check) const {
  findings_.guarded("file", [&] {
    const auto context = contexts_.take();
    Statement lines(context->db, "PRAGMA " + check);
    while (lines.next()) {
      if (lines.text(0) != "ok") findings_.add("file", lines.text(0));
    }
  });
}

}  // namespace cleared::ledger
