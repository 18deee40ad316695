// Protobuf text format, read strictly: an unknown field or value, a field given twice or a required
// one left out is an error with its line and column, and so is text that is not UTF-8, by its name.
// Pure; any thread.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include "ledger/base/error.h"

namespace google::protobuf {
class Message;
}

namespace cleared::ledger {

// Fills `out` from `text`. Throws Error{code}: "where:line:column: what is wrong".
void parse_textproto(std::string_view text, std::string_view where, google::protobuf::Message& out,
                     Errc code = Errc::corrupt);

// Error{corrupt} at the first value of `text`, which parses as such a message, that does not read
// as what it is: a number for a word, "010", which is 8, or "0xA", "t" for true, a string in pieces
// or with letters by number. People sign what they read.
void require_plain_values(std::string_view text, std::string_view where,
                          const google::protobuf::Message& type);

// "12:3", where `text`, which parses as a message like `type`, sets the field of this path, as
// "allows.use" or "pay.split": its first one, or the message around it. Nothing when it has
// neither.
std::string place_of(std::string_view text, const google::protobuf::Message& type,
                     std::string_view path);

// Path of the first text of `message` that is not UTF-8, as "refusal.subject", which protobuf
// writes and does not read back; nothing when there is none.
std::string bad_text_in(const google::protobuf::Message& message);

// As parse_textproto would read it back; one field a line.
std::string format_textproto(const google::protobuf::Message& message);

// Are two lists of messages the same, byte for byte?
bool same_messages(const auto& a, const auto& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return x.SerializeAsString() == y.SerializeAsString();
  });
}

}  // namespace cleared::ledger
