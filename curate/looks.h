// What a picture may have become, and what it may have been: fingerprints of its parts and turns. A
// copy is often cropped, mirrored, put into a frame or half covered by a bar, and PDQ of the whole
// picture says little then. Eight times a second a few parts of the picture are fingerprinted to be
// kept (what a copy may show of it), and half as often many more to ask with (where the copied
// picture may be in it). One object per thread.
#pragma once

#include <array>
#include <vector>

#include "curate/pdq.h"
#include "curate/picture.h"

namespace cleared::curate {

inline constexpr uint64_t kLookUs = 125'000;

// Kept: the picture without flat borders; its middle, the number being its share each way; its
// middle in width alone; and what is left when a bar or a logo covers one side.
enum KeptLook : uint8_t {
  kept_all,
  kept_middle_95,
  kept_middle_90,
  kept_middle_85,
  kept_middle_80,
  kept_middle_75,
  kept_middle_70,
  kept_narrow_75,
  kept_narrow_56,
  kept_top,
  kept_bottom,
  kept_left,
  kept_right,
  kKeptLooks,
};

// Asked: the picture without flat borders turned each of eight ways, then places of an inset.
inline constexpr size_t kInsetSizes = 5, kInsetMargins = 2, kMiddleInsets = 5;
inline constexpr size_t kInsets = kMiddleInsets + 4 * kInsetSizes * kInsetMargins;
inline constexpr size_t kAskedLooks = kTurns + kInsets;

class Looks {
 public:
  // `luma` is upright.
  std::array<Fingerprint, kKeptLooks> kept(const Picture& luma);
  std::array<Fingerprint, kAskedLooks> asked(const Picture& luma);

 private:
  PdqHasher hasher_;
};

// A pair of looks that shows the same when one picture is a copy of the other. `asked` counts the
// asked looks and then the kept ones.
struct LookPair {
  uint8_t asked, kept;
};
const std::vector<LookPair>& look_pairs();
// "mirrored", "cropped", "inset"...; for people.
const char* describe(LookPair pair);

}  // namespace cleared::curate
