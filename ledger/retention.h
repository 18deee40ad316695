// What must be deleted of what was derived from footage, by which day, and whether it was: shards
// where the terms limit latents; captions, embeddings and fingerprints where they say NEVER or
// TERM. And releases that have not ended though what they stand on was taken back: whoever has one
// must be told. One thread.
#pragma once

#include <string>
#include <string_view>

#include "ledger/query.h"
#include "ledger/rights.h"

namespace cleared::ledger {

// Of which shards (table `shard h`), sources (`source s`) and releases (`released e`), as SQL.
struct DueScope {
  std::string_view shards = "1", sources = "1", releases = "1";
};

// Columns delete_by, is_due, what, of, digest, licence, deleted; sorted.
Table due_of(const Store& store, const Rights& rights, const DueScope& scope = {});

// When the record was taken, as a time.
std::string time_of_record(const Store& store, uint64_t seq);
// The last day on which a shard of then may be kept, where the terms have `derived.latent`.
std::string last_day_kept(const std::string& made_at, const LicenceText& terms);

}  // namespace cleared::ledger
