#include "train/looks.h"

#include <algorithm>
#include <array>
#include <vector>

#include "kernels/pdq.h"
#include "ledger/base/check.h"

namespace cleared::train {

Look look_of(std::span<const uint8_t> rgb, int width, int height) {
  CLEARED_CHECK(width >= 5 && height >= 5);
  CLEARED_CHECK(rgb.size() == size_t{3} * static_cast<size_t>(width) * static_cast<size_t>(height));
  std::vector<float> scratch;
  std::array<float, size_t{kernels::kPdqSide} * kernels::kPdqSide> picture;
  kernels::pdq_filter({.pixels = rgb.data(),
                       .stride = ptrdiff_t{3} * width,
                       .width = width,
                       .height = height,
                       .channels = 3},
                      scratch, picture.data());
  std::array<float, size_t{kernels::kPdqWaves} * kernels::kPdqWaves> waves;
  kernels::pdq_waves(picture.data(), waves.data());
  auto sorted = waves;
  const auto middle = sorted.begin() + sorted.size() / 2;
  std::nth_element(sorted.begin(), middle, sorted.end());
  Look look;
  for (size_t i = 0; i < waves.size(); ++i) look[i] = waves[i] > *middle;
  return look;
}

}  // namespace cleared::train
