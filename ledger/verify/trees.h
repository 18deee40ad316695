// Whether a search finds the same rows as a scan: through the indexes, and down the tree of a
// table, whose inner pages hold numbers that are not those of rows. SQLite's integrity_check says
// so, but for the tables that are proven without it (docs/design/0007-fast-verify.md).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/raw_index.h"
#include "ledger/sqlite.h"
#include "ledger/verify/contexts.h"
#include "ledger/verify/findings.h"

namespace cleared::ledger {

class Trees {
 public:
  // `deep`: SQLite's check of the whole file, and no table proven without it.
  Trees(const Database& db, Contexts& contexts, Findings& findings, bool deep)
      : db_(db), contexts_(contexts), findings_(findings), deep_(deep) {}

  // Chooses the tables that are to be proven while the rows of so many records are compared. Before
  // the first Contexts::take().
  void plan(uint64_t records);
  // What SQLite has to be asked about all others, one after the other or side by side.
  std::vector<std::string> checks() const;
  void check(const std::string& check) const;
  // After the rows were compared, in so many ranges: the tables that were chosen.
  void check_planned(size_t ranges) const;

 private:
  void plan_table(TableId table, uint64_t records);
  bool plan_index(TableId table, const std::string& name, uint64_t records, PlainTree& tree) const;
  bool proves(TableId table, const PlainTree& tree, size_t ranges) const;
  std::optional<std::vector<RawIndex>> planned_indexes(TableId table, const PlainTree& tree) const;
  std::optional<uint64_t> count_entries(const RawIndex& index) const;

  const Database& db_;
  Contexts& contexts_;
  Findings& findings_;
  const bool deep_;
};

}  // namespace cleared::ledger
