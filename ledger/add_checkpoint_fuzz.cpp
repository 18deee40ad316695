// A request to a witness: what parses must print back to the same bytes; everything else must throw
// Error{corrupt}.
#include <cstddef>
#include <cstdint>

#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "ledger/witness.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cleared::ledger;
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  try {
    CLEARED_CHECK(format_add_checkpoint(parse_add_checkpoint(body)) == body);
  } catch (const cleared::Error& error) {
    CLEARED_CHECK(error.code() == cleared::Errc::corrupt);
  }
  return 0;
}
