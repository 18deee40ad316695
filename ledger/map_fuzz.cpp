// What the file keeps packed: a chunk of the map (first byte even), a bundle of records (odd).
#include <cstdint>

#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "ledger/entries.h"
#include "ledger/state_map.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cleared::ledger;
  using cleared::Digest;
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  try {
    std::string again;
    if (data[0] % 2 == 0) {
      const auto chunk = parse_chunk(bytes, "fuzz");
      for (const MapEntry& entry : chunk) again += interval_bytes(entry, Digest{}).substr(0, 40);
      chunk_root(again + std::string(Digest{}.text()));
    } else {
      for (const std::string_view record : split_bundle(bytes, "fuzz")) {
        again += static_cast<char>(record.size() >> 8);
        again += static_cast<char>(record.size() & 0xFFU);
        again += record;
      }
    }
    CLEARED_CHECK(again == bytes);
  } catch (const cleared::Error& error) {
    CLEARED_CHECK(error.code() == cleared::Errc::corrupt);
  }
  return 0;
}
