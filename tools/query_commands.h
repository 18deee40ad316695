// The commands of `ledger` that answer people's questions and change nothing.
#pragma once

#include "tools/ledger_commands.h"

namespace cleared::tools {

int ledger_query(const LedgerOptions& o);
int ledger_why(const LedgerOptions& o);
int ledger_history(const LedgerOptions& o);
int ledger_status(const LedgerOptions& o);

}  // namespace cleared::tools
