// What clips of finished weights are compared with where a licence limits how alike they may be
// (`limits.similarity_max`): the fingerprints of the footage that the weights consumed, beside the
// release that names the file by its digest (docs/formats/footage.md). The ledger writes it
// (ledger/similarity.h), whoever makes clips asks it (train/guard.h). Pure; any thread.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/base/bytes.h"

namespace cleared::ledger {

// 256 bits, as curate's: PDQ.
using Print = std::array<uint8_t, 32>;

// Pictures of one source in one shape: as they are, or the part of them that narrower clips show.
struct FootagePictures {
  Digest source;
  uint32_t width = 0, height = 0;  // of that shape, in pixels of the source
  std::vector<Print> prints;       // rising; of those that can be told apart
  auto operator<=>(const FootagePictures&) const = default;
};
// Rising by source, width and height.
using Footage = std::vector<FootagePictures>;

struct SimilarityLimit {
  double most = 1;  // [0, 1): 1 less the share of bits that differ
  Footage footage;
};

// Is a frame that differs by so many bits more alike than allowed? Exact: nothing is rounded.
inline bool too_alike(uint32_t bits, double most) {
  return 256.0 - bits > 256 * most;
}

// "a.release" has its footage at "a.release.footage".
std::filesystem::path footage_path(const std::filesystem::path& release);

std::string format_footage(const Footage& footage);
// Error{corrupt}, beginning with `what`, for anything that format_footage() does not write.
Footage parse_footage(std::string_view bytes, std::string_view what);

}  // namespace cleared::ledger
