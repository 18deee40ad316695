// A permit over more shards than a record holds. What is signed then names the Merkle root (RFC
// 6962) over lists of its shards, `Permit.lists`; each list is a record of its own, and beside the
// permit lies RUN.permit.shards with all of them, one after another with an empty line between
// (docs/formats/notes.md). Whoever reads such a permit puts the shards back before asking anything
// of it. Pure but for read_lists(); any thread.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/notes.pb.h"
#include "ledger/record.pb.h"

namespace cleared::ledger {

// Moves the shards of a permit whose text is longer than `most_bytes` into lists that are not; else
// there are none. 60,000 leave room in a record for signatures.
std::vector<std::string> split_lists(Permit& permit, size_t most_bytes = 60'000);

// Puts the shards of the lists, each a PermitShardsText, into the permit. Error{corrupt} unless
// they are those that it names, all of them, and no shard is there twice.
void join_lists(Permit& permit, std::span<const std::string> lists);

std::filesystem::path lists_path(const std::filesystem::path& permit);
std::string format_lists(std::span<const std::string> lists);
std::vector<std::string> parse_lists(std::string_view text);
// Those beside the permit. Error{not_found} without the file.
std::vector<std::string> read_lists(const std::filesystem::path& permit);

// The records of a permit, in the order in which they must be appended.
std::vector<Fact> permit_facts(const std::string& note, std::span<const std::string> lists);

}  // namespace cleared::ledger
