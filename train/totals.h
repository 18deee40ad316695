// How often a run has consumed each sample since it began: totals.txt of a checkpoint. Pure; any
// thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "ledger/base/bytes.h"

namespace cleared::train {

using Totals = std::map<Digest, uint64_t>;  // passes by the sample's digest

// One line a sample: 64 hex digits, a space, the number. Error{corrupt} on anything else.
std::string format_totals(const Totals& totals);
Totals parse_totals(std::string_view text, std::string_view where);

}  // namespace cleared::train
