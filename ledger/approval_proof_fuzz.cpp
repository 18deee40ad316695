// What parses must print back to the same bytes, and checking it must be an answer; everything else
// must throw Error{corrupt}.
#include <cstddef>
#include <cstdint>

#include "ledger/approval_proof.h"
#include "ledger/base/check.h"
#include "ledger/base/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cleared::ledger;
  static const Trust trust = parse_trust(
      "approver PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW\n", "fuzz");
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const ApprovalProof proof = parse_approval_proof(text);
    CLEARED_CHECK(format_approval_proof(proof) == text);
    check_approval_proof(proof, trust);
  } catch (const cleared::Error& error) {
    CLEARED_CHECK(error.code() == cleared::Errc::corrupt);
  }
  return 0;
}
