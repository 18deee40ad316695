// What has been consumed of the passes that a permit allows, by what the folder of a run holds.
// Rank 0, or an auditor; one thread.
#pragma once

#include <filesystem>

#include "train/totals.h"

namespace cleared::ledger {
class Gate;
}

namespace cleared::train {

class State;

// By sample, what led to the checkpoint `at`, of these totals. A permit for a run that goes on
// (`counted`) was made for what is left after that run's steps on record: they do not count again
// where told receipts lead from the checkpoint back to them. Where one is not there, or is about a
// shard that the gate does not have, all of the totals count.
Totals passes_behind(const ledger::Gate& gate, const std::filesystem::path& run, const State& at,
                     const Totals& totals);

// The same, and what was told by the outboxes of `run` and did not lead to `at`: it was consumed
// all the same. `at` is empty for a start from the seed.
Totals passes_under(const ledger::Gate& gate, const std::filesystem::path& run, const State& at,
                    const Totals& totals);

}  // namespace cleared::train
