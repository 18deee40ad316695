// bfloat16: the upper half of a float, rounded to the nearest, of two equally near ones to the
// even. What matrix products and attention may take and give; sums and statistics are floats.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/device.h"

namespace cleared::kernels {

struct Bf16 {
  uint16_t bits;
};

CLEARED_HD inline float to_float(Bf16 x) {
  const uint32_t bits = uint32_t{x.bits} << 16;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

CLEARED_HD inline Bf16 to_bf16(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  if ((bits & 0x7FFFFFFFU) > 0x7F800000U) return {0x7FC0};  // not a number stays none
  return {static_cast<uint16_t>((bits + 0x7FFFU + (bits >> 16 & 1U)) >> 16)};
}

}  // namespace cleared::kernels
