// What a licensor is due: exposure by run and clip, rates, fees and their splits, from the record
// and the licences' documents. Whole numbers only: microseconds of footage, millionths of a
// currency. Exposure is what runs consumed; it is never influence. For one thread, which starts
// others of its own.
//
// Which licence pays: of those that cover a source, the one recorded last; of its versions the
// newest that was on record before the checkpoint that closed the span. A span counts on the day
// (UTC) of that checkpoint's record, ingesting on the day of the source's. Of several samples of
// one digest the first is meant, whichever of them was consumed: its clip is paid.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "ledger/notes.pb.h"
#include "ledger/store.h"

namespace cleared::ledger {

// `total` in whole units by weight: each gets its share rounded down, and the units that are left
// go one each to the largest remainders, of equals to the first. Adds up to `total`, always;
// without any weight the first gets all. Error{usage} when there is nobody to give it to.
std::vector<uint64_t> apportion(uint64_t total, std::span<const uint64_t> weights);

// value * by / per, rounded half up. Error{usage} when the result has more than 63 bits.
uint64_t times(uint64_t value, uint64_t by, uint64_t per);

struct AccountRequest {
  std::string licensor;
  std::string from, to;  // days, "2026-01-31", inclusive, UTC
  std::map<std::string, uint64_t>
      revenue;        // of the time, by currency, in micros: for REVENUE_SHARE
  bool clips = true;  // also clip by clip
};

// Error{not_found}: no such licensor, or a document that is needed was erased, or no head is
// signed; Error{usage}: days that are none, or a REVENUE_SHARE licence without revenue in its
// currency; Error{corrupt}: a document is not what the log says.
Account make_account(const Store& store, const AccountRequest& request);

}  // namespace cleared::ledger
