#include "ledger/base/bytes.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace cleared {
namespace {

constexpr std::string_view kHexDigits = "0123456789abcdef";
constexpr std::string_view kBase64Digits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// By character what its digit is worth; 255: it is none.
constexpr uint8_t kNoDigit = 255;
constexpr std::array<uint8_t, 256> kHexValues = [] {
  std::array<uint8_t, 256> out;
  out.fill(kNoDigit);
  for (size_t i = 0; i < kHexDigits.size(); ++i) {
    out[static_cast<unsigned char>(kHexDigits[i])] = static_cast<uint8_t>(i);
  }
  return out;
}();

}  // namespace

std::string to_hex(ByteView bytes) {
  std::string out(bytes.size() * 2, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) {
    out[2 * i] = kHexDigits[std::to_integer<size_t>(bytes[i] >> 4)];
    out[2 * i + 1] = kHexDigits[std::to_integer<size_t>(bytes[i] & std::byte{15})];
  }
  return out;
}

std::optional<Digest> parse_digest(std::string_view hex) {
  Digest out;
  if (hex.size() != 2 * out.bytes.size()) return std::nullopt;
  uint8_t all = 0;
  for (size_t i = 0; i < out.bytes.size(); ++i) {
    const uint8_t high = kHexValues[static_cast<unsigned char>(hex[2 * i])];
    const uint8_t low = kHexValues[static_cast<unsigned char>(hex[2 * i + 1])];
    all |= high | low;
    out.bytes[i] = static_cast<std::byte>(high << 4 | low);
  }
  if (all > 15) return std::nullopt;
  return out;
}

std::optional<Digest> digest_from_raw(std::string_view raw) {
  Digest out;
  if (raw.size() != out.bytes.size()) return std::nullopt;
  std::memcpy(out.bytes.data(), raw.data(), raw.size());
  return out;
}

std::string to_base64(ByteView bytes) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t n = std::min<size_t>(3, bytes.size() - i);
    uint32_t group = 0;
    for (size_t k = 0; k < 3; ++k) {
      group = group << 8 | (k < n ? std::to_integer<uint32_t>(bytes[i + k]) : 0U);
    }
    for (size_t k = 0; k < 4; ++k) {
      out += k <= n ? kBase64Digits[group >> (18 - 6 * k) & 63U] : '=';
    }
  }
  return out;
}

std::optional<std::string> parse_base64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  std::string out;
  out.reserve(text.size() / 4 * 3);
  for (size_t i = 0; i < text.size(); i += 4) {
    const bool last = i + 4 == text.size();
    const size_t pad = !last                                      ? 0
                       : text[i + 2] == '=' && text[i + 3] == '=' ? 2
                       : text[i + 3] == '='                       ? 1
                                                                  : 0;
    uint32_t group = 0;
    for (size_t k = 0; k < 4; ++k) {
      const size_t value = k < 4 - pad ? kBase64Digits.find(text[i + k]) : 0;
      if (value == std::string_view::npos) return std::nullopt;
      group = group << 6 | static_cast<uint32_t>(value);
    }
    for (size_t k = 0; k < 3; ++k) {
      const auto octet = static_cast<unsigned char>(group >> (16 - 8 * k) & 255U);
      if (k < 3 - pad) {
        out += static_cast<char>(octet);
      } else if (octet != 0) {
        return std::nullopt;  // low bits that encoding would have left at zero
      }
    }
  }
  return out;
}

}  // namespace cleared
