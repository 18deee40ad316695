// Revocations on their way: signed notes, *.revocation, in a folder that every rank and every place
// with weights looks into (docs/formats/notes.md). Any thread.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "ledger/notes.pb.h"

namespace cleared::ledger {

// Every one in the folder, by name. One that cannot be read, or that none of the `revokers`
// (verifier keys) signed, is thrown as Refused, `notice_unverified`: a revocation must not be lost
// because it arrived damaged. Error{io} or Error{not_found} for the folder.
std::vector<std::pair<std::filesystem::path, Revocation>> read_notices(
    const std::filesystem::path& folder, std::span<const std::string> revokers);

}  // namespace cleared::ledger
