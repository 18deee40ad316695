// Whatever an index says, it names files of its own folder, each with a tensor, and is read again
// as it is written; nothing but Error{corrupt} is thrown.
#include <cstddef>
#include <cstdint>
#include <string>

#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "train/tensor_index.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cleared::train;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const TensorIndex index = parse_index(text, "weights", "index");
    for (const auto& [name, digest] : index.digests) {
      CLEARED_CHECK(is_part_name(name, "weights"));
    }
    for (const auto& [tensor, file] : index.file_of) CLEARED_CHECK(index.digests.contains(file));
    const std::string written = format_index(index);
    CLEARED_CHECK(format_index(parse_index(written, "weights", "index")) == written);
  } catch (const cleared::Error& error) {
    CLEARED_CHECK(error.code() == cleared::Errc::corrupt);
  }
  return 0;
}
