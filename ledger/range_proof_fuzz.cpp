// What parses must print back to the same bytes; everything else must throw Error{corrupt}. A key
// that signed nothing proves nothing.
#include <cstddef>
#include <cstdint>

#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "ledger/range_proof.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cleared::ledger;
  static const VerifierKey nobody = new_signer_key("nobody").verifier;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const RangeProof proof = parse_range_proof(text);
    CLEARED_CHECK(format_range_proof(proof) == text);
    CLEARED_CHECK(!verify_range_proof(proof, nobody));
  } catch (const cleared::Error& error) {
    CLEARED_CHECK(error.code() == cleared::Errc::corrupt);
  }
  return 0;
}
