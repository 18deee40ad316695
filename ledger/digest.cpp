#include "ledger/digest.h"

// The functions are deprecated in favour of EVP, which is slower here and gives the same bytes.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

#include "ledger/base/check.h"
#include "ledger/base/error.h"

namespace cleared::ledger {
namespace {
constexpr std::string_view kNamePrefix = "sha256:";

SHA256_CTX* context(std::array<std::byte, 112>& state) {
  static_assert(sizeof(SHA256_CTX) == sizeof state && alignof(SHA256_CTX) <= 8);
  return reinterpret_cast<SHA256_CTX*>(state.data());
}
}  // namespace

Sha256::Sha256() {
  CLEARED_CHECK(SHA256_Init(context(state_)) == 1);
}

void Sha256::update(ByteView part) {
  CLEARED_CHECK(SHA256_Update(context(state_), part.data(), part.size()) == 1);
}

Digest Sha256::finish() {
  Digest out;
  CLEARED_CHECK(SHA256_Final(reinterpret_cast<unsigned char*>(out.bytes.data()), context(state_)) ==
                1);
  CLEARED_CHECK(SHA256_Init(context(state_)) == 1);
  return out;
}

Digest sha256(std::initializer_list<ByteView> parts) {
  Sha256 hasher;
  for (ByteView part : parts) hasher.update(part);
  return hasher.finish();
}

std::string digest_name(const Digest& digest) {
  return std::string(kNamePrefix) + to_hex(digest);
}

std::optional<Digest> parse_digest_name(std::string_view text) {
  if (!text.starts_with(kNamePrefix)) return std::nullopt;
  return parse_digest(text.substr(kNamePrefix.size()));
}

Digest require_digest_name(std::string_view text, std::string_view what) {
  const auto digest = parse_digest_name(text);
  if (!digest) {
    throw Error(Errc::corrupt, what, ": \"", text, "\" is not sha256: and 64 hex digits");
  }
  return *digest;
}

}  // namespace cleared::ledger
