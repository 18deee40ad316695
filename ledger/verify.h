// Compares everything in a ledger file that anyone can read with what the log, the log's key and
// heads kept elsewhere say, and names each difference: the record, the table, the column. Reads
// only.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "ledger/key.h"
#include "ledger/tree_head.h"

namespace cleared::ledger {

struct Finding {
  std::string where;  // "record 17, leaf.bytes" or "record 3, source.caption"
  std::string what;
};

// A tree head that someone kept: from a permit, a run receipt, a statement or a published head.
struct Anchor {
  std::string where;  // file it came from
  TreeHead head;
};
Anchor read_anchor(const std::filesystem::path& path);

struct VerifyOptions {
  std::vector<Anchor> anchors = {};
  std::vector<PublicKey> log_keys = {};  // when not empty, the log's key must be one of them
  // Also every state that was ever logged, and SQLite's own check of the whole file: some ten times
  // the work.
  bool deep = false;
  // Rows are compared where they lie in the file (ledger/raw_table.h), and by SQL only where that
  // cannot be done. The answer is the same either way; tests compare the two.
  bool raw = true;
};

struct VerifyReport {
  uint64_t records = 0;
  uint64_t rows = 0;           // of projected tables, compared
  uint64_t heads = 0;          // signed tree heads, verified
  uint64_t anchors = 0;        // that agree
  uint64_t unsigned_tail = 0;  // records after the newest signed head: nobody vouches for them yet
  Digest root;
  std::vector<Finding> findings;
};

// Error{not_found} when there is no file. Any damage is a finding and not an error.
VerifyReport verify_ledger(const std::filesystem::path& path, const VerifyOptions& options);

}  // namespace cleared::ledger
