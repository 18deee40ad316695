// Proofs that the shards of a permit are in the log whose tree head the permit names: for a
// training node, which has the log's public key and nothing else of it
// (docs/formats/permit-proofs.md).
//
// PERMIT.proofs holds one C2SP tlog-proof a shard, in the permit's order; its `extra` is the record
// of the shard. That record's root commits to every sample, so no proof of the samples' own records
// is needed. Pure; any thread.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/gate.h"
#include "ledger/tlog_proof.h"
#include "ledger/trust.h"

namespace cleared::ledger {

// "run.permit" has its proofs at "run.permit.proofs".
std::filesystem::path proofs_path(const std::filesystem::path& permit);

std::string format_shard_proofs(std::span<const TlogProof> proofs);
// Error{corrupt} unless `text` is one proof after another.
std::vector<TlogProof> parse_shard_proofs(std::string_view text);

// `cleared` when a log key of `trust` signed the tree head that the permit names and every shard of
// the permit is proven to be a record under it; else `shard_unproven`, saying what is wrong.
Verdict check_shard_proofs(std::string_view text, const Permit& permit, const Trust& trust);

}  // namespace cleared::ledger
