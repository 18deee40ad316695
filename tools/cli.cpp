#include "tools/cli.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <exception>

#include <google/protobuf/stubs/logging.h>

#include "ledger/base/error.h"

namespace cleared::tools {
Exit exit_of(Errc code) {
  switch (code) {
    case Errc::usage:
      return exit_usage;
    case Errc::refused:
      return exit_refused;
    case Errc::corrupt:
      return exit_corrupt;
    case Errc::unsupported:
      return exit_corrupt;
    case Errc::not_found:
      return exit_not_found;
    case Errc::io:
      return exit_io;
    case Errc::busy:
      return exit_busy;
    case Errc::permission:
      return exit_permission;
    case Errc::config:
      return exit_config;
  }
  return exit_internal;
}

namespace {

struct CodePoint {
  uint32_t value = 0;
  size_t bytes = 0;  // 0: the text does not begin with UTF-8 (RFC 3629)
};
CodePoint first_of(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const size_t bytes = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC2 ? 2 : 0;
  if (bytes == 0 || bytes > text.size() || lead > 0xF4) return {};
  uint32_t value = lead & (0xFFU >> (bytes + 1));
  for (size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {};
    value = value << 6 | (byte(i) & 0x3FU);
  }
  constexpr uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = value >= 0xD800 && value <= 0xDFFF;
  if (value < kLeast[bytes] || value > 0x10FFFF || surrogate) return {};
  return {value, bytes};
}

// Line and paragraph separators (U+2028, U+2029) lie among the bidirectional controls.
bool is_harmless(uint32_t c) {
  const bool control = c < 0x20 || (c >= 0x7F && c <= 0x9F);
  const bool direction = c == 0x061C || c == 0x200E || c == 0x200F ||
                         (c >= 0x2028 && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
  return !control && !direction;
}

std::string without_controls(std::string_view text, bool lines) {
  std::string out;
  while (!text.empty()) {
    const CodePoint c = first_of(text);
    if (c.bytes > 0 && (is_harmless(c.value) || (lines && c.value == '\n'))) {
      out += text.substr(0, c.bytes);
    } else {
      out += '?';
    }
    text.remove_prefix(std::max<size_t>(c.bytes, 1));
  }
  return out;
}

}  // namespace

std::string printable(std::string_view text) {
  return without_controls(text, false);
}

std::string printable_lines(std::string_view text) {
  return without_controls(text, true);
}

int run_main(const char* program, const std::function<int()>& body) noexcept {
  // What protobuf has to say reaches the reader through our own errors, with the file's name.
  google::protobuf::SetLogHandler(nullptr);
  try {
    return body();
  } catch (const Error& error) {
    std::fprintf(stderr, "%s: %s\n", program, printable(error.what()).c_str());
    return exit_of(error.code());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: unexpected: %s\n", program, printable(error.what()).c_str());
    return exit_internal;
  }
}

}  // namespace cleared::tools
