// A signed note that was handed in and is not taken. Main thread.
#pragma once

#include <string>

#include "ledger/base/error.h"
#include "ledger/store.h"
#include "tools/written.h"

namespace cleared::tools {

// That somebody tried is on record, whatever the note said: a refusal of the act "append" by the
// rule "permit_invalid", named after the kind of the note, "x.permit". Gives the error to be
// thrown, which names file and rule. Nothing is recorded of a fault of the ledger itself, of the
// disk, or of keys and bundles, which are no notes; nor in a dry run.
Error record_bad_note(ledger::Store& store, const std::string& path, const Error& error,
                      Written& out, bool dry_run = false);

}  // namespace cleared::tools
