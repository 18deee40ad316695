// What parses must print back to the same bytes and be answered; everything else must throw
// Error{corrupt}.
#include <cstddef>
#include <cstdint>

#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "ledger/tlog_proof.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    using namespace cleared::ledger;
    const TlogProof proof = parse_tlog_proof(text);
    CLEARED_CHECK(format_tlog_proof(proof) == text);
    static const VerifierKey stranger = new_signer_key("example.com/log").verifier;
    CLEARED_CHECK(!verify_tlog_proof(proof, {}, stranger));
  } catch (const cleared::Error& error) {
    CLEARED_CHECK(error.code() == cleared::Errc::corrupt);
  }
  return 0;
}
