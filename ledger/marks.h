// Marks: what a file, or a sidecar beside it, says about its own use by machines. Their names and
// what they can say are a closed vocabulary; curate reads them (curate/marks.h), the log keeps them
// with the digest of the source, and the gate judges from the record at every later step.
//
// A mark never allows anything: the licence does that. It only says no, or cannot be understood,
// or says that the footage is synthetic. Pure; any thread.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace cleared::ledger {

enum class MarkSays {
  allowed,    // on record for people; the gate needs no more than the licence
  no,         // reserved, prohibited, or allowed under conditions that nobody can check here
  unclear,    // a value that is not in the vocabulary, damage, or no reader for it
  synthetic,  // made by a machine, all of it or a part
};
std::string_view says_word(MarkSays says);
std::optional<MarkSays> parse_says(std::string_view word);

struct Mark {
  std::string name;  // one of mark_names()
  MarkSays says = MarkSays::unclear;
  std::string value;  // as written, shortened
  std::string place;  // "C2PA manifest urn:...", "XMP", "tdmrep.json"
  friend bool operator==(const Mark&, const Mark&) = default;
};

struct MarkName {
  std::string_view name;
  bool overridable;  // a licence may name it in `overrides.mark`
  std::string_view what;
};
// In the order in which docs/formats/marks.md lists them.
std::span<const MarkName> mark_names();
const MarkName* find_mark_name(std::string_view name);  // null: no such mark

// "cawg.training-mining says notAllowed (C2PA manifest urn:c2pa:1)".
std::string describe(const Mark& mark);

}  // namespace cleared::ledger
