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
#include <utility>
#include <vector>

#include "ledger/base/bytes.h"
#include "ledger/base/error.h"
#include "ledger/digest.h"
#include "ledger/note.h"
#include "ledger/textproto.h"

namespace cleared::ledger {

// Leaves room in a record for signatures.
inline constexpr size_t kMostListBytes = 60'000;

Digest lists_root(std::span<const std::string> lists);

// Appends the text of one more thing to the last list, or to a new one.
void add_to_lists(std::vector<std::string>& lists, const std::string& text, size_t most_bytes);

// What differs between the notes: `Of` has the message `List`, things() of a note and of a list,
// and text_bytes() of a note, as it would be signed.

// Moves the things of a note whose text is longer than `most_bytes` into lists that are not; else
// there are none.
template <class Of, class Note>
std::vector<std::string> move_to_lists(Note& note, size_t most_bytes) {
  if (Of::text_bytes(note) <= most_bytes) return {};
  std::vector<std::string> lists(1);
  for (const auto& thing : Of::things(note)) {
    typename Of::List one;
    *Of::things(one).Add() = thing;
    add_to_lists(lists, format_textproto(one), most_bytes);
  }
  Of::things(note).Clear();
  note.mutable_lists()->set_root(digest_name(lists_root(lists)));
  note.mutable_lists()->set_lists(static_cast<uint32_t>(lists.size()));
  return lists;
}

// Puts them back. Error{corrupt}, which begins with `who`, unless the lists are those that the note
// names, all of them.
template <class Of, class Note>
void take_from_lists(Note& note, std::span<const std::string> lists, const std::string& who,
                     std::string_view things) {
  if (!Of::things(note).empty() || note.lists().lists() != lists.size() ||
      digest_name(lists_root(lists)) != note.lists().root()) {
    throw Error(Errc::corrupt, who, ": its lists of ", things, " are not those that were signed");
  }
  for (const std::string& list : lists) {
    typename Of::List text;
    parse_textproto(list, who + ": a list", text);
    for (auto& thing : Of::things(text)) *Of::things(note).Add() = std::move(thing);
  }
}

std::string format_lists(std::span<const std::string> lists);
std::vector<std::string> parse_lists(std::string_view text);
// Those of a file beside a note. Error{not_found} without it.
std::vector<std::string> read_lists(const std::filesystem::path& file);

}  // namespace cleared::ledger
