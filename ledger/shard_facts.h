// What the log is told about a new shard: itself, and every sample with the clip that it is of. A
// sample is judged by its clip's sources, so a shard that was made from another one (latents of its
// clips) inherits their terms. Pure; any thread.
#pragma once

#include <vector>

#include "ledger/record.pb.h"
#include "ledger/shard.h"

namespace cleared::ledger {

// `root` is the manifest's (shard_root).
std::vector<Fact> shard_facts(const Manifest& manifest, const Digest& root);

}  // namespace cleared::ledger
