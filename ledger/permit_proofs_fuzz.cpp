// Proofs beside a permit: what parses is what is written, and a stranger's prove nothing.
#include <cstdint>

#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "ledger/shard_proof.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cleared::ledger;
  static const Trust trust = parse_trust(
      "log PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW\n", "fuzz");
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  Permit permit;
  permit.set_origin("PeterNeumann");
  permit.set_tree_size(1);
  permit.set_tree_root("sha256:" + std::string(64, 'a'));
  permit.add_shard()->set_root(permit.tree_root());
  CLEARED_CHECK(!check_shard_proofs(text, permit, trust).cleared);
  try {
    CLEARED_CHECK(format_shard_proofs(parse_shard_proofs(text)) == text);
  } catch (const cleared::Error& error) {
    CLEARED_CHECK(error.code() == cleared::Errc::corrupt);
  }
  return 0;
}
