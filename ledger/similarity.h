// What `limits.similarity_max` asks of weights that go out or generate: that every clip can be
// compared with the footage they consumed, which the ledger knows by the fingerprints that ingest
// recorded. One thread per store.
#pragma once

#include <cstdint>
#include <span>

#include "ledger/footage.h"
#include "ledger/gate.h"
#include "ledger/store.h"

namespace cleared::ledger {

// Is it asked where weights are used so? A limit of 1 is none.
bool limits_similarity(const LicenceText& terms, Use use);

// `similarity_unknown` unless fingerprints of all frames of these sources are on record; by the
// numbers of their records.
Verdict judge_fingerprints(const Store& store, std::span<const uint64_t> sources);

// Their fingerprints: of whole pictures from the log, and of the parts that narrower clips show
// from LEDGER.index (docs/formats/index.md), where it has them. Error{corrupt} for a damaged file
// there.
Footage footage_of(const Store& store, std::span<const uint64_t> sources);

}  // namespace cleared::ledger
