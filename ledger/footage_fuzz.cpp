// The footage that clips are compared with: what parses is what we would have written.
#include <cstdint>

#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "ledger/footage.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cleared::ledger;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  try {
    CLEARED_CHECK(format_footage(parse_footage(bytes, "fuzz")) == bytes);
  } catch (const cleared::Error& error) {
    CLEARED_CHECK(error.code() == cleared::Errc::corrupt);
  }
  return 0;
}
