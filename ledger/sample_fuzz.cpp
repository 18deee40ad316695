// A sample either splits into members that lie within it, or throws Error{corrupt}.
#include <cstddef>
#include <cstdint>

#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "ledger/shard.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    size_t total = 0;
    for (const auto& [extension, bytes] : cleared::ledger::parse_sample(text, "s0")) {
      CLEARED_CHECK(!extension.empty());
      total += 512 + bytes.size();
    }
    CLEARED_CHECK(total <= size);
  } catch (const cleared::Error& error) {
    CLEARED_CHECK(error.code() == cleared::Errc::corrupt);
  }
  return 0;
}
