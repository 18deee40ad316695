#include "ledger/digest.h"

#include <openssl/evp.h>

#include "ledger/base/check.h"

namespace cleared::ledger {
namespace {
constexpr std::string_view kNamePrefix = "sha256:";
}

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  CLEARED_CHECK(context_ != nullptr);
  CLEARED_CHECK(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
}

void Sha256::update(ByteView part) {
  CLEARED_CHECK(EVP_DigestUpdate(context_.get(), part.data(), part.size()) == 1);
}

Digest Sha256::finish() {
  Digest out;
  CLEARED_CHECK(EVP_DigestFinal_ex(context_.get(),
                                   reinterpret_cast<unsigned char*>(out.bytes.data()),
                                   nullptr) == 1);
  CLEARED_CHECK(EVP_DigestInit_ex(context_.get(), nullptr, nullptr) == 1);
  return out;
}

Digest sha256(std::initializer_list<ByteView> parts) {
  thread_local Sha256 hasher;
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

}  // namespace cleared::ledger
