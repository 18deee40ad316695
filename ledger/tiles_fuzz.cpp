// A name that parses is the one that is written; a bundle that parses is encoded to the same bytes,
// and everything else throws Error{corrupt}. So is a tile.
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "ledger/tiles.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  using namespace cleared::ledger;
  const auto tile = parse_tile_path(text);
  const auto bundle = parse_entries_path(text);
  CLEARED_CHECK(!tile || !bundle);
  CLEARED_CHECK(!tile || tile_path(*tile) == text);
  CLEARED_CHECK(!bundle || entries_path(*bundle) == text);
  try {
    CLEARED_CHECK(encode_entries(parse_entries(text)) == text);
  } catch (const cleared::Error& error) {
    CLEARED_CHECK(error.code() == cleared::Errc::corrupt);
  }
  try {
    const auto width = static_cast<unsigned>(std::min(size / 32, size_t{kFullTileWidth}));
    CLEARED_CHECK(encode_tile(parse_tile(text, width)) == text);
  } catch (const cleared::Error& error) {
    CLEARED_CHECK(error.code() == cleared::Errc::corrupt);
  }
  return 0;
}
