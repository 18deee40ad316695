#include "ledger/proof_lines.h"

#include <algorithm>
#include <charconv>

#include "ledger/base/error.h"

namespace cleared::ledger {

void FieldLines::bad(std::string_view why) const {
  throw Error(Errc::corrupt, what_, ": line ", number_, ": ", why);
}

std::string_view FieldLines::line() {
  ++number_;
  const size_t end = rest_.find('\n');
  if (end == std::string_view::npos) bad("is missing or cut short");
  const std::string_view line = rest_.substr(0, end);
  rest_.remove_prefix(end + 1);
  return line;
}

bool FieldLines::next_is(std::string_view word) const {
  return rest_.starts_with(word) && rest_.size() > word.size() &&
         (rest_[word.size()] == ' ' || rest_[word.size()] == '\n');
}

std::string_view FieldLines::value(std::string_view word) {
  const bool there = next_is(word);
  const std::string_view text = line();
  if (!there || text.size() < word.size() + 2)
    bad("is not \"" + std::string(word) + "\" and a value");
  const std::string_view value = text.substr(word.size() + 1);
  const auto control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; };
  if (std::any_of(value.begin(), value.end(), control)) bad("holds a control character");
  return value;
}

uint64_t FieldLines::number(std::string_view word) {
  const std::string_view digits = value(word);
  uint64_t out = 0;
  const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), out);
  if (problem != std::errc() || end != digits.data() + digits.size() ||
      std::to_string(out) != digits) {
    bad("is not a decimal number");
  }
  return out;
}

std::string FieldLines::bytes(std::string_view word) {
  auto out = parse_base64(value(word));
  if (!out) bad("is not base64");
  return *std::move(out);
}

Digest FieldLines::digest(std::string_view word) {
  const auto out = digest_from_raw(bytes(word));
  if (!out) bad("is not base64 of 32 bytes");
  return *out;
}

}  // namespace cleared::ledger
