// SHA-256 (FIPS 180-4) by OpenSSL's own state and compression function: for the 65 bytes of a tree
// node EVP's dispatch costs as much as the hashing (docs/design/0006-ledger-at-scale.md has the
// numbers). One hasher per thread; distinct hashers from any thread.
#pragma once

#include <array>
#include <initializer_list>

#include "ledger/base/bytes.h"

namespace cleared::ledger {

class Sha256 {
 public:
  Sha256();
  void update(ByteView part);
  // The digest of everything since construction or the last finish(); starts afresh.
  Digest finish();

 private:
  alignas(8) std::array<std::byte, 112> state_;  // OpenSSL's SHA256_CTX
};

// Digest of the concatenated parts.
Digest sha256(std::initializer_list<ByteView> parts);
inline Digest sha256(ByteView bytes) {
  return sha256({bytes});
}
inline Digest sha256(std::string_view text) {
  return sha256({as_bytes(text)});
}

// "sha256:" and the hex digits, the form that notes use; nothing when `text` is anything else.
std::string digest_name(const Digest& digest);
std::optional<Digest> parse_digest_name(std::string_view text);
// The same, or Error{corrupt} that begins with `what`.
Digest require_digest_name(std::string_view text, std::string_view what);

}  // namespace cleared::ledger
