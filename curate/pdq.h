// PDQ, the 256-bit perceptual fingerprint of a still picture, bit for bit as Meta publishes it: a
// tent filter to 64 x 64, the first 16 x 16 cosine coefficients without the constant one, each
// compared with their median. ThreatExchange, "The TMK+PDQF and PDQ hashing algorithms", 2019; the
// filter is Jarosz, "Fast Image Convolutions", 2001. Pure; safe from any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "kernels/pdq.h"

namespace cleared::curate {

// Bytes in the order of the published hexadecimal form.
using Pdq = std::array<uint8_t, 32>;

struct Fingerprint {
  Pdq bits{};
  int quality =
      0;  // [0, 100]; below kFeatureless the picture has too little in it to be told apart
};

inline constexpr int kFeatureless = 50;

// The eight ways to lay a picture down: bit 0 mirrors it left to right, bit 1 upside down, bit 2
// then swaps its axes.
enum class Turn : uint8_t {
  none,
  mirrored,
  upside_down,
  by_180,
  transposed,
  by_90,   // clockwise
  by_270,  // clockwise
  transversed,
};
inline constexpr size_t kTurns = kernels::kPdqTurns;

// Keeps its buffers between pictures: one per thread.
class PdqHasher {
 public:
  // `luma` is row-major, [0, 255], width x height. Below 5 pixels either way: no bits, quality 0.
  Fingerprint fingerprint(std::span<const uint8_t> luma, int width, int height);
  // The same for a plane with gaps between its rows, or for RGB.
  Fingerprint fingerprint(const kernels::PdqPicture& picture);
  // Of a picture that is filtered already: kernels::kPdqSide x kernels::kPdqSide values.
  static Fingerprint fingerprint_filtered(const float* small);
  // Of the picture turned each way, in the order of Turn, for hardly more than the price of one.
  std::array<Fingerprint, kTurns> turns(const kernels::PdqPicture& picture);

 private:
  struct Filtered {
    std::array<float, size_t{kernels::kPdqWaves} * kernels::kPdqWaves> waves{};
    int quality = 0;
  };
  Filtered filter(const kernels::PdqPicture& picture);
  static Filtered transform(const float* small);
  std::vector<float> scratch_;
};

// The fingerprint of the turned picture from that of the picture alone. Exact for Turn::transposed,
// which only moves coefficients. The others also change the sign of half of them, which moves the
// median: a guess that was 5 to 62 bits off for most pictures tried, and 128 for the worst. So who
// has the pictures asks with turns(), and an index keeps one fingerprint.
Pdq turned(const Pdq& bits, Turn turn);
Pdq transposed(const Pdq& bits);  // turned(bits, Turn::transposed)

// Number of bits that differ, [0, 256]. About 31 or less says "the same picture".
int distance(const Pdq& a, const Pdq& b);

// One of `n` fingerprints stored behind one another.
Pdq pdq_at(std::string_view packed, size_t index);

}  // namespace cleared::curate
