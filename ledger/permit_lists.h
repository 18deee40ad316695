// A permit over more shards than a record holds: `Permit.lists` names lists of them
// (ledger/lists.h), which lie in RUN.permit.shards beside it. Whoever reads such a permit puts the
// shards back before asking anything of it. Pure; any thread.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "ledger/lists.h"
#include "ledger/notes.pb.h"
#include "ledger/record.pb.h"

namespace cleared::ledger {

// Moves the shards of a permit whose text is longer than `most_bytes` into lists that are not; else
// there are none.
std::vector<std::string> split_lists(Permit& permit, size_t most_bytes = kMostListBytes);

// Puts the shards of the lists, each a PermitShardsText, into the permit. Error{corrupt} unless
// they are those that it names, all of them, and no shard is there twice.
void join_lists(Permit& permit, std::span<const std::string> lists);

std::filesystem::path lists_path(const std::filesystem::path& permit);

// The records of a permit, in the order in which they must be appended.
std::vector<Fact> permit_facts(const std::string& note, std::span<const std::string> lists);

}  // namespace cleared::ledger
