// Which sources a licence covers. Those that came after it say so themselves (`source_licence`);
// those that were there before are found by its terms, so a document that was erased can name none
// of them. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string_view>
#include <vector>

#include "ledger/licence.pb.h"
#include "ledger/store.h"

namespace cleared::ledger {

// Every source under a version of the licence with this id. Costs a look at each source that is
// older than one of them, and nothing where there is none.
std::set<uint64_t> sources_under(const Store& store, std::string_view id);

// A version of a licence, by its record, that covers a source of before.
struct LateCoverage {
  uint64_t source = 0, licence = 0;
};
// Of all licences, newest versions, that `counts`.
std::vector<LateCoverage> late_coverage(const Store& store,
                                        const std::function<bool(const LicenceText&)>& counts);

}  // namespace cleared::ledger
