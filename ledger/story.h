// What the ledger has on one thing and on everything that it was made from and that was made of it:
// from footage to licence to approval to checkpoints, and whether it may be used today. Works on a
// ledger opened for reading; one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ledger/gate.h"
#include "ledger/query.h"
#include "ledger/store.h"

namespace cleared::ledger {

// Records of one kind. The first column is `record`, the number of the record; `signed_by` holds
// the keys whose signatures verify now.
struct Chapter {
  std::string title;
  Table table;
};

struct Story {
  uint64_t seq = 0;  // the record it starts with
  std::string kind;
  std::vector<Chapter> chapters;  // those with rows
  // May it be used for training today? Nothing for what no footage hangs on: a key, a policy. Of
  // footage one approved shard is enough, of a run or a checkpoint every shard must be allowed.
  // Model line, field and place are a run's to declare, and judged when it asks for a permit.
  std::optional<Verdict> verdict;
  std::string day;  // that the verdict is about
};

// Verifies the whole ledger first: Error{corrupt} when the tables do not agree with the log.
Story tell_story(const Store& store, uint64_t seq);

// The records of the same story in the order of the log: record, at, kind, signers, what.
Table history_of(const Store& store, uint64_t seq);

}  // namespace cleared::ledger
