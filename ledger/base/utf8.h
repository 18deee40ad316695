// Characters of a text in UTF-8 (RFC 3629). Pure functions; safe from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace cleared {

struct CodePoint {
  uint32_t value = 0;
  size_t bytes = 0;  // 0: the text does not begin with a character
};
// The first character of `text`, which is not empty.
CodePoint first_code_point(std::string_view text);

bool is_utf8(std::string_view text);

// The longest beginning of at most so many bytes that does not end within a character.
std::string_view first_bytes(std::string_view text, size_t most);

// `text` with a ? for each byte or character that would rewrite the reader's terminal: C0 and C1
// controls, changes of the direction of reading, bytes that are no UTF-8. printable_lines() keeps
// newlines.
std::string printable(std::string_view text);
std::string printable_lines(std::string_view text);

// `text` with every byte that is no printable UTF-8 as %XX.
std::string with_escapes(std::string_view text);

}  // namespace cleared
