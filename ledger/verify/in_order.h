// Records that ask for the state before them: whether they may be there at all, and their rows.
#pragma once

#include <set>

#include "ledger/authority.h"
#include "ledger/record.pb.h"
#include "ledger/sqlite.h"
#include "ledger/verify/findings.h"
#include "ledger/verify/log.h"

namespace cleared::ledger {

struct InOrder {
  Authority authority;        // after all records
  StateRecord newest_state;   // that was logged
  std::set<uint64_t> states;  // records that logged one
  uint64_t rows = 0;          // compared
};
// Nothing is read when records are missing.
InOrder check_in_order(const Database& db, const LogReading& log, Findings& findings);

}  // namespace cleared::ledger
