// What workers hand in: facts that each can be written and read again, or an Error.
#include <cstdint>
#include <string>

#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "ledger/bundle.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cleared::ledger;
  try {
    for (const Fact& fact :
         parse_bundle(std::string(reinterpret_cast<const char*>(data), size), "fuzz")) {
      CLEARED_CHECK(Fact().ParseFromString(fact.SerializeAsString()));
      CLEARED_CHECK(!fact.has_key() && !fact.has_licence());
    }
  } catch (const cleared::Error& error) {
    CLEARED_CHECK(error.code() == cleared::Errc::corrupt ||
                  error.code() == cleared::Errc::permission);
  }
  return 0;
}
