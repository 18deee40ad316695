// Digests, byte views and their text forms. Pure functions; safe from any thread.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace cleared {

using ByteView = std::span<const std::byte>;

inline ByteView as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}
inline std::string_view as_text(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// A SHA-256 value. Says "these exact bytes"; a fingerprint says "looks like this".
struct Digest {
  std::array<std::byte, 32> bytes{};
  auto operator<=>(const Digest&) const = default;
  std::string_view text() const { return as_text(bytes); }  // the 32 raw bytes
};

// Lower-case hexadecimal.
std::string to_hex(ByteView bytes);
inline std::string to_hex(const Digest& digest) {
  return to_hex(ByteView(digest.bytes));
}
// Exactly 64 lower-case hexadecimal digits, else nothing.
std::optional<Digest> parse_digest(std::string_view hex);
// Exactly 32 raw bytes, as a protobuf `bytes` field or an SQL blob holds them, else nothing.
std::optional<Digest> digest_from_raw(std::string_view raw);

// Base64 with padding, RFC 4648 section 4. Decoding takes only what encoding writes: no white
// space, no missing padding, no stray low bits.
std::string to_base64(ByteView bytes);
std::optional<std::string> parse_base64(std::string_view text);

}  // namespace cleared
