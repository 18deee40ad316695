// Licence documents: terms in text form, signed by licensor and licensee. Strictly read: what does
// not parse, name a real day or a real digest is Error{corrupt} with file, line and column where
// the parser knows them. Pure; any thread.
#pragma once

#include <string>
#include <string_view>

#include "ledger/base/bytes.h"
#include "ledger/licence.pb.h"
#include "ledger/note.h"

namespace cleared::ledger {

// What is offered for signing or recording must also keep to names, places and days that later
// versions came to ask for; what is on record already is read as it was taken.
enum class LicenceAge { offered, recorded };
LicenceText parse_licence(std::string_view text, std::string_view where,
                          LicenceAge age = LicenceAge::offered);

// A model line or a field of use, as terms list it and people declare it: 1 to 100 of a-z 0-9 . _ -
bool is_word(std::string_view text);
// 1 to 100 of A-Z a-z 0-9 . _ -
bool is_licence_id(std::string_view text);
// A territory: two capitals, as "DE" or "EU".
bool is_place(std::string_view text);

// "id@version"
std::string licence_ref(const LicenceText& terms);

// Does the licence name this source? By digest when it lists digests, else by delivery pattern:
// "*" is any run of characters within one name, "**" any number of folders; a path with "." or ".."
// in it is covered by no pattern.
bool covers(const LicenceText& terms, std::string_view path, const Digest& digest);
bool matches_pattern(std::string_view pattern, std::string_view path);

}  // namespace cleared::ledger
