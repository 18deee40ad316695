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

namespace cleared::curate {

// Bytes in the order of the published hexadecimal form.
using Pdq = std::array<uint8_t, 32>;

struct Fingerprint {
  Pdq bits{};
  int quality =
      0;  // [0, 100]; below kFeatureless the picture has too little in it to be told apart
};

inline constexpr int kFeatureless = 50;

// Keeps its buffers between pictures: one per thread.
class PdqHasher {
 public:
  // `luma` is row-major, [0, 255], width x height. Below 5 pixels either way: no bits, quality 0.
  Fingerprint fingerprint(std::span<const uint8_t> luma, int width, int height);

 private:
  std::vector<float> image_, scratch_;
};

// Number of bits that differ, [0, 256]. About 31 or less says "the same picture".
int distance(const Pdq& a, const Pdq& b);

// One of `n` fingerprints stored behind one another.
Pdq pdq_at(std::string_view packed, size_t index);

}  // namespace cleared::curate
