// What must be deleted of what was derived from footage, by which day, and whether it was: shards
// where the terms limit latents, captions and embeddings where they say NEVER or TERM. One thread.
#pragma once

#include <string_view>

#include "ledger/query.h"
#include "ledger/rights.h"

namespace cleared::ledger {

// Of which shards (table `shard h`) and sources (`source s`), as SQL.
struct DueScope {
  std::string_view shards = "1", sources = "1";
};

// Columns delete_by, is_due, what, of, digest, licence, deleted; sorted.
Table due_of(const Store& store, const Rights& rights, const DueScope& scope = {});

}  // namespace cleared::ledger
