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

// Error{corrupt} unless it names one licence, by its id, or one shard, by its root, and a time:
// what is written otherwise would take nothing back, in silence.
void check_revocation(const Revocation& revocation);

// Every one in the folder, by name. One that cannot be read or does not say what it takes back, or
// that none of the `revokers` (verifier keys) signed, is thrown as Refused, `notice_unverified`: a
// revocation must not be lost because it arrived damaged. So is whatever else lies there, a folder,
// too, but what begins as a permit, or as what belongs to one, under such a name, and names that
// begin with a dot: it might be one under another name. Error{io} or Error{not_found} for the
// folder.
std::vector<std::pair<std::filesystem::path, Revocation>> read_notices(
    const std::filesystem::path& folder, std::span<const std::string> revokers);

// What a look at the folder sees of it without reading: the same mark as long as nothing came, went
// or was written over in place. `newest_ns` is when the last such change was. Error{io} or
// Error{not_found} for the folder.
struct FolderMark {
  std::string mark;
  int64_t newest_ns = 0;
};
FolderMark mark_of(const std::filesystem::path& folder);

}  // namespace cleared::ledger
