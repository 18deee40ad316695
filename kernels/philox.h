// Philox4x32-10: a counter-based generator. The same key and counter give the same four numbers on
// every machine, in any order, without state. Pure; safe from any thread, on host and device.
// Source: Salmon, Moraes, Dror and Shaw, Parallel Random Numbers: As Easy as 1, 2, 3, SC 2011.
#pragma once

#include <cstdint>

#include "kernels/device.h"

namespace cleared::kernels {

struct Philox {
  uint32_t key[2];
  uint32_t counter[4];

  // Replaces the counter by its four random numbers.
  CLEARED_HD void scramble() {
    for (int round = 0; round < 10; ++round) {
      const uint64_t a = uint64_t{0xD2511F53} * counter[0];
      const uint64_t b = uint64_t{0xCD9E8D57} * counter[2];
      const uint32_t next[4] = {
          static_cast<uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(b),
          static_cast<uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(a)};
      for (int i = 0; i < 4; ++i) counter[i] = next[i];
      key[0] += 0x9E3779B9;  // the golden ratio
      key[1] += 0xBB67AE85;  // the square root of 3, less 1
    }
  }
};

// (0, 1), never either end: 2^32 values, each in the middle of its interval.
CLEARED_HD inline double unit_interval(uint32_t bits) {
  return (static_cast<double>(bits) + 0.5) * (1.0 / 4294967296.0);
}

}  // namespace cleared::kernels
