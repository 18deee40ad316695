#include "train/looks.h"

#include <vector>

#include "kernels/luma.h"
#include "ledger/base/check.h"

namespace cleared::train {
namespace {

using Waves = std::array<float, size_t{kernels::kPdqWaves} * kernels::kPdqWaves>;
using Filtered = std::array<float, size_t{kernels::kPdqSide} * kernels::kPdqSide>;

void check_size(std::span<const uint8_t> rgb, int width, int height) {
  CLEARED_CHECK(width >= 5 && height >= 5);
  CLEARED_CHECK(rgb.size() == size_t{3} * static_cast<size_t>(width) * static_cast<size_t>(height));
}

}  // namespace

Look look_of(std::span<const uint8_t> rgb, int width, int height) {
  check_size(rgb, width, height);
  std::vector<float> scratch;
  Filtered picture;
  kernels::pdq_filter({.pixels = rgb.data(),
                       .stride = ptrdiff_t{3} * width,
                       .width = width,
                       .height = height,
                       .channels = 3},
                      scratch, picture.data());
  Waves waves;
  kernels::pdq_waves(picture.data(), waves.data());
  return kernels::pdq_bits(waves.data());
}

// By the filter that curate has, which samples pictures of all sizes at the same places.
std::array<Look, kernels::kPdqTurns> turned_looks(std::span<const uint8_t> rgb, int width,
                                                  int height) {
  check_size(rgb, width, height);
  std::vector<uint8_t> luma(rgb.size() / 3);
  for (size_t i = 0; i < luma.size(); ++i) {
    const uint8_t* p = &rgb[3 * i];
    luma[i] = static_cast<uint8_t>(p[0] * 0.299 + p[1] * 0.587 + p[2] * 0.114 + 0.5);
  }
  Filtered picture;
  kernels::LumaShrinker(width, height, {})
      .filter({.pixels = luma.data(),
               .stride = width,
               .width = width,
               .height = height,
               .limited = false},
              picture.data());
  Waves waves, turned;
  kernels::pdq_waves(picture.data(), waves.data());
  std::array<Look, kernels::kPdqTurns> out;
  for (size_t turn = 0; turn < out.size(); ++turn) {
    kernels::pdq_turn(waves.data(), turn, turned.data());
    out[turn] = kernels::pdq_bits(turned.data());
  }
  return out;
}

}  // namespace cleared::train
