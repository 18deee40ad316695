#include "ledger/cosignature.h"

#include <algorithm>
#include <string>

#include "ledger/base/error.h"
#include "ledger/tree_head.h"

namespace cleared::ledger {
namespace {

constexpr size_t kTimeBytes = 8;
constexpr size_t kTimedSignatureBytes = kTimeBytes + 64;

// The header keeps these apart from notes and whatever else the same key might sign.
std::string cosigned_message(std::string_view note_text, uint64_t unix_seconds) {
  std::string out = "cosignature/v1\ntime " + std::to_string(unix_seconds) + '\n';
  out += note_text;
  return out;
}

std::string format_seconds(uint64_t seconds) {
  std::string out;
  for (int shift = 56; shift >= 0; shift -= 8) out += static_cast<char>(seconds >> shift & 255U);
  return out;
}

uint64_t parse_seconds(std::string_view raw) {
  uint64_t out = 0;
  for (size_t i = 0; i < kTimeBytes; ++i) out = out << 8 | static_cast<unsigned char>(raw[i]);
  return out;
}

bool is_tree_head(std::string_view text) {
  try {
    parse_tree_head(text);
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

NoteSignature cosign(std::string_view note_text, const SignerKey& key, uint64_t unix_seconds) {
  if (key.verifier.type != SignatureType::ed25519_cosignature) {
    throw Error(Errc::usage, "cosign: key ", key.verifier.name, " is not of the cosignature type");
  }
  if (unix_seconds > kLastCosignatureTime) {
    throw Error(Errc::usage, "cosign: ", unix_seconds, " is not a time");
  }
  parse_tree_head(note_text);
  const std::string message = cosigned_message(note_text, unix_seconds);
  return {key.verifier.name, key.verifier.id,
          format_seconds(unix_seconds) + sign_bytes(as_bytes(message), key)};
}

std::optional<uint64_t> cosigned_at(const Note& note, const VerifierKey& key) {
  if (key.type != SignatureType::ed25519_cosignature || !is_tree_head(note.text)) {
    return std::nullopt;
  }
  std::optional<uint64_t> latest;
  for (const NoteSignature& s : note.signatures) {
    if (s.name != key.name || s.id != key.id) continue;
    if (s.signature.size() != kTimedSignatureBytes) return std::nullopt;
    const uint64_t seconds = parse_seconds(s.signature);
    const std::string message = cosigned_message(note.text, seconds);
    if (seconds > kLastCosignatureTime ||
        !verify_bytes(as_bytes(message), std::string_view(s.signature).substr(kTimeBytes), key)) {
      return std::nullopt;
    }
    latest = std::max(latest.value_or(0), seconds);
  }
  return latest;
}

}  // namespace cleared::ledger
