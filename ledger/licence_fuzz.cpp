// What parses must, printed, parse to the same terms; everything else must throw Error{corrupt}.
#include <cstddef>
#include <cstdint>

#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "ledger/licence.h"
#include "ledger/textproto.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    using namespace cleared::ledger;
    const std::string once = format_textproto(parse_licence(text, "fuzz"));
    CLEARED_CHECK(format_textproto(parse_licence(once, "fuzz")) == once);
  } catch (const cleared::Error& error) {
    CLEARED_CHECK(error.code() == cleared::Errc::corrupt);
  }
  return 0;
}
