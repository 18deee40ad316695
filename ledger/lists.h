// Lists: what a signed note would name one by one, where that is more than a record holds. The note
// then names the Merkle root (RFC 6962) over lists that are not, each of them a record of its own
// and all of them in one file beside the note, with an empty line between
// (docs/formats/notes.md). Used by ledger/permit_lists.h and ledger/review_lists.h. Pure but for
// read_lists(); any thread.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/base/bytes.h"

namespace cleared::ledger {

// Leaves room in a record for signatures.
inline constexpr size_t kMostListBytes = 60'000;

Digest lists_root(std::span<const std::string> lists);

// Appends the text of one more thing to the last list, or to a new one.
void add_to_lists(std::vector<std::string>& lists, const std::string& text, size_t most_bytes);

std::string format_lists(std::span<const std::string> lists);
std::vector<std::string> parse_lists(std::string_view text);
// Those of a file beside a note. Error{not_found} without it.
std::vector<std::string> read_lists(const std::filesystem::path& file);

}  // namespace cleared::ledger
