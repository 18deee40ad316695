// The two expensive halves of PDQ (curate/pdq.h), in vectors of whatever width the processor has,
// chosen when the program runs. Every sum runs in the order of the published code, because floats
// do not add up the same in another, and nothing is fused: the result is the same to the bit on
// every processor. Algorithm: ThreatExchange, "The TMK+PDQF and PDQ hashing algorithms", 2019.
// Pure; safe from any thread. Sizes are the caller's to check.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace cleared::kernels {

inline constexpr int kPdqSide = 64;   // of the filtered picture
inline constexpr int kPdqWaves = 16;  // cosine coefficients each way

struct PdqPicture {
  const uint8_t* pixels;  // `channels` bytes each: 1 luma, 3 RGB
  ptrdiff_t stride;       // bytes from row to row
  int width, height;      // at least 5
  int channels;
};

// A tent filter, two boxes each way, sampled at kPdqSide x kPdqSide points, rows first. A picture
// of that very size passes through. `scratch` grows as needed and may be kept between calls.
void pdq_filter(const PdqPicture& in, std::vector<float>& scratch, float* out);

// The first kPdqWaves x kPdqWaves cosine coefficients without the constant ones; vertical waves are
// the rows of `out`.
void pdq_waves(const float* picture, float* out);

// The waves of the picture laid down another way, for hardly anything: bit 0 of `turn` mirrors it
// left to right, bit 1 upside down, bit 2 then swaps its axes.
inline constexpr size_t kPdqTurns = 8;
void pdq_turn(const float* waves, size_t turn, float* out);

// In the order of the published hexadecimal form: which waves are above their lower median.
std::array<uint8_t, 32> pdq_bits(const float* waves);

// Sum of the steps between neighbours, each in whole hundredths of white: 90 times the quality.
int pdq_gradient(const float* picture);

}  // namespace cleared::kernels
