// Rows that name other records: whether each names the right one.
#pragma once

#include "ledger/sqlite.h"
#include "ledger/verify/findings.h"
#include "ledger/verify/log.h"

namespace cleared::ledger {

// Once all records have been seen: no second record about the same subject where a kind allows one,
// series of clips where they begin, and each reference. Returns how many rows of series there are.
uint64_t check_references(const Database& db, LogReading& log, Findings& findings);

}  // namespace cleared::ledger
