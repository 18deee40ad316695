// Which sources a licence covers. Those that came after it say so themselves (`source_licence`);
// those that were there before are found by its terms, so a document that was erased can name none
// of them. The same goes for those whose bytes came by another path that it covers. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/licence.pb.h"
#include "ledger/store.h"

namespace cleared::ledger {

// Every source under a version of the licence with this id. Costs a look at each source that is
// older than one of them and at each refusal of a file.
std::set<uint64_t> sources_under(const Store& store, std::string_view id);

// Calls `each` for every further path by which the bytes of a source came: where ingest refused
// them there, or took nothing in and noted it (curate/ingest.cpp). A path may come several times.
void each_other_path(const Store& store,
                     const std::function<void(uint64_t source, const std::string& path)>& each);

// A version of a licence, by its record, that covers a source of before, or another path of one.
struct LateCoverage {
  uint64_t source = 0, licence = 0;
};
// Of all licences, newest versions, that `counts`.
std::vector<LateCoverage> late_coverage(const Store& store,
                                        const std::function<bool(const LicenceText&)>& counts);

}  // namespace cleared::ledger
