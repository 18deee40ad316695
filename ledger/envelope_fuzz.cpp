// An envelope and the statement in it either parse, and then print the same again, or throw
// Error{corrupt}.
#include <cstddef>
#include <cstdint>

#include "ledger/attestation.h"
#include "ledger/base/check.h"
#include "ledger/base/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    using namespace cleared::ledger;
    const Envelope envelope = parse_envelope(text);
    const std::string once = format_statement(parse_statement(envelope.payload));
    CLEARED_CHECK(format_statement(parse_statement(once)) == once);
  } catch (const cleared::Error& error) {
    CLEARED_CHECK(error.code() == cleared::Errc::corrupt);
  }
  return 0;
}
