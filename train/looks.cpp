#include "train/looks.h"

#include <algorithm>

#include "kernels/luma.h"
#include "kernels/search_block.h"
#include "ledger/base/check.h"

namespace cleared::train {
namespace {

using Waves = std::array<float, size_t{kernels::kPdqWaves} * kernels::kPdqWaves>;
using Filtered = std::array<float, size_t{kernels::kPdqSide} * kernels::kPdqSide>;

}  // namespace

// By the filter that curate has, which samples pictures of all sizes at the same places.
std::vector<TurnedLooks> turned_looks(std::span<const uint8_t> rgb, int width, int height) {
  const size_t pixels = static_cast<size_t>(width) * static_cast<size_t>(height);
  CLEARED_CHECK(width >= 5 && height >= 5 && rgb.size() % (3 * pixels) == 0);
  kernels::LumaShrinker shrinker(width, height, {});
  std::vector<uint8_t> luma(pixels);
  Filtered picture;
  Waves waves, turned;
  std::vector<TurnedLooks> out(rgb.size() / (3 * pixels));
  const uint8_t* p = rgb.data();
  for (TurnedLooks& looks : out) {
    for (uint8_t& light : luma) {
      light = static_cast<uint8_t>(p[0] * 0.299 + p[1] * 0.587 + p[2] * 0.114 + 0.5);
      p += 3;
    }
    shrinker.filter({luma.data(), width, width, height, false}, picture.data());
    kernels::pdq_waves(picture.data(), waves.data());
    for (size_t turn = 0; turn < looks.size(); ++turn) {
      kernels::pdq_turn(waves.data(), turn, turned.data());
      looks[turn] = kernels::pdq_bits(turned.data());
    }
  }
  return out;
}

NearestLook nearest_look(std::span<const TurnedLooks> frames, std::span<const Look> known) {
  constexpr size_t kBlock = 512;  // that stay in the cache while all frames are compared
  NearestLook nearest;
  for (size_t begin = 0; begin < known.size(); begin += kBlock) {
    const size_t count = std::min(kBlock, known.size() - begin);
    for (size_t frame = 0; frame < frames.size(); ++frame) {
      for (const Look& look : frames[frame]) {
        const auto found = kernels::nearest_print(look.data(), known[begin].data(), count);
        const auto distance = static_cast<uint32_t>(found.distance);
        if (distance < nearest.distance) nearest = {distance, frame, begin + found.at};
      }
    }
  }
  return nearest;
}

}  // namespace cleared::train
