// Bundles: how workers and training nodes, which never open the ledger, hand facts to its one
// writer. A file named by the digest of its content (docs/formats/bundle.md). Any thread.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/record.pb.h"

namespace cleared::ledger {

// Writes FOLDER/<digest>.bundle, whole or not at all, and returns its path. Writing the same facts
// twice is a no-op.
std::filesystem::path write_bundle(const std::filesystem::path& folder,
                                   const std::vector<Fact>& facts);

// Error{corrupt} when the name is not the digest of the content.
std::vector<Fact> read_bundle(const std::filesystem::path& path);
// Error{corrupt} when it does not parse; Error{permission} when it holds a kind that neither
// `curate` nor `train` writes, with the command that takes it.
std::vector<Fact> parse_bundle(const std::string& bytes, std::string_view where);

}  // namespace cleared::ledger
