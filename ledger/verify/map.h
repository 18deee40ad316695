// The map in the file (ledger/state_map.h) against the records of the log.
#pragma once

#include <vector>

#include "ledger/sqlite.h"
#include "ledger/state_map.h"
#include "ledger/verify/contexts.h"
#include "ledger/verify/findings.h"
#include "ledger/verify/log.h"

namespace cleared::ledger {

// Every entry is the subject of its record, in order, under the root of its run. Returns the runs;
// none when records are missing.
std::vector<StateMap::Run> check_map(const Database& db, Contexts& contexts, const LogReading& log,
                                     Findings& findings);

// Every state that was ever logged, by making the map again.
void check_states(const Database& db, const LogReading& log, Findings& findings);

}  // namespace cleared::ledger
