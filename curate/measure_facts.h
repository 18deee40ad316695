// What was measured of spans of a source, as records (docs/formats/record.md): shots and their
// motion, what is special about the file, bars, logos, silence, loudness. Pure; any thread.
#pragma once

#include <vector>

#include "curate/shots.h"
#include "ledger/base/bytes.h"
#include "ledger/record.pb.h"

namespace cleared::curate {

class Analysis;

// What is wrong with the measures of a worker's answer, whose times and size are right; or null.
const char* fault_of_measures(const Analysis& analysis);

// In order of kind, then of time. `source` is that of the records.
std::vector<ledger::MeasureRecord> measures_of(const Digest& source, const Analysis& analysis,
                                               const std::vector<Shot>& shots);

}  // namespace cleared::curate
