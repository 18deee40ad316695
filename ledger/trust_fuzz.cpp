// A trust file either names keys and what they must meet, all of which they could meet, or throws
// Error{corrupt}, or Error{unsupported} for a key of a type that we do not know.
#include <cstddef>
#include <cstdint>

#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "ledger/trust.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cleared::ledger;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const Trust trust = parse_trust(text, "fuzz");
    CLEARED_CHECK(!trust.keys.empty());
    for (const Trust::Need& need : trust.needs) {
      CLEARED_CHECK(need.count > 0 && need.count <= trust.keys_of(need.role).size());
    }
  } catch (const cleared::Error& error) {
    CLEARED_CHECK(error.code() == cleared::Errc::corrupt ||
                  error.code() == cleared::Errc::unsupported);
  }
  return 0;
}
