#include "kernels/shrink.h"

#include <algorithm>
#include <cstring>

namespace cleared::kernels {
namespace {

// Adds one row of samples to the sums of its columns. Plain loops: the compiler makes vectors.
void add_row(const Shrink& op, int y, int samples, uint32_t* sums) {
  const uint8_t* row = op.plane + y * op.stride;
  if (op.bytes == 1) {
    for (int x = 0; x < samples; ++x) sums[x] += row[x];
    return;
  }
  const unsigned greatest = (1U << op.depth) - 1;
  for (int x = 0; x < samples; ++x) {
    const unsigned value = row[2 * x] | static_cast<unsigned>(row[2 * x + 1]) << 8;
    sums[x] += std::min(value, greatest);
  }
}

}  // namespace

void shrink(const Shrink& op, std::vector<uint32_t>& sums) {
  const int samples = op.width * op.factor;
  // From a sum to a pixel: (sum - black) * 255 / (white - black), in 32.32 fixed point.
  const uint64_t area = static_cast<uint64_t>(op.factor) * static_cast<uint64_t>(op.factor);
  const uint64_t unit = area << (op.depth - 8);
  const uint64_t black = unit * static_cast<uint64_t>(op.black);
  const uint64_t scale =
      (uint64_t{255} << 32) / (unit * static_cast<uint64_t>(op.white - op.black));
  sums.resize(static_cast<size_t>(samples));
  uint8_t* out = op.out;
  for (int y = 0; y < op.height; ++y) {
    std::fill(sums.begin(), sums.end(), 0U);
    for (int r = 0; r < op.factor; ++r) add_row(op, y * op.factor + r, samples, sums.data());
    const uint32_t* from = sums.data();
    for (int x = 0; x < op.width; ++x) {
      uint64_t sum = 0;
      for (int i = 0; i < op.factor; ++i) sum += *from++;
      sum = sum > black ? sum - black : 0;
      *out++ =
          static_cast<uint8_t>(std::min<uint64_t>((sum * scale + (uint64_t{1} << 31)) >> 32, 255));
    }
  }
}

}  // namespace cleared::kernels
