// SHA-256 (FIPS 180-4) through OpenSSL with a context that is kept: its one-shot call is three
// times slower. One hasher per thread; distinct hashers from any thread.
#pragma once

#include <initializer_list>

#include "ledger/base/bytes.h"
#include "ledger/base/handle.h"

struct evp_md_ctx_st;
extern "C" void EVP_MD_CTX_free(evp_md_ctx_st*);

namespace cleared::ledger {

class Sha256 {
 public:
  Sha256();
  void update(ByteView part);
  // The digest of everything since construction or the last finish(); starts afresh.
  Digest finish();

 private:
  Handle<evp_md_ctx_st, EVP_MD_CTX_free> context_;
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

}  // namespace cleared::ledger
