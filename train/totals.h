// How often a run has consumed each sample since it began, and the clip it is of: totals.txt of a
// checkpoint. Pure; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "ledger/base/bytes.h"

namespace cleared::train {

struct Total {
  uint64_t passes = 0;
  Digest clip;
  bool operator==(const Total&) const = default;
};
using Totals = std::map<Digest, Total>;  // by the sample's digest

// One line a sample: its digest in hex, the number, the clip's id in hex, a space between them.
// Error{corrupt} on anything else.
std::string format_totals(const Totals& totals);
Totals parse_totals(std::string_view text, std::string_view where);

}  // namespace cleared::train
