// What parses must print back to the same bytes; everything else must throw Error{corrupt}, and so
// must checking it with a key that signed nothing.
#include <cstddef>
#include <cstdint>

#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "ledger/disclosure.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cleared::ledger;
  static const VerifierKey nobody = new_signer_key("nobody").verifier;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const Disclosure disclosure = parse_disclosure(text);
    CLEARED_CHECK(format_disclosure(disclosure) == text);
    verify_disclosure(disclosure, nobody);
    CLEARED_CHECK(false);
  } catch (const cleared::Error& error) {
    CLEARED_CHECK(error.code() == cleared::Errc::corrupt);
  }
  return 0;
}
