// A block of an HTML page: any page gives some text, and a text in a page comes back as it was.
#include <cstdint>

#include "ledger/base/check.h"
#include "tools/page.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cleared::tools;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::string block = block_of(text, "proofs");
  CLEARED_CHECK(block.size() <= size);
  for (const std::string_view given : {text, std::string_view(block)}) {
    Page page("a page");
    page.block("proofs", given);
    CLEARED_CHECK(block_of(std::move(page).finish(), "proofs") == given);
  }
  return 0;
}
