#include "train/data/view.h"

#include "kernels/philox.h"
#include "train/config.pb.h"

namespace cleared::train {
namespace {

constexpr uint32_t kPurpose = 7;  // Purpose::crop of train/model/random.h, which is LibTorch's side

}  // namespace

View view_of(const RunConfig& config, uint64_t step, uint32_t slot) {
  const auto low = [](uint64_t x) { return static_cast<uint32_t>(x); };
  kernels::Philox draw{{low(config.seed()), low(config.seed() >> 32)},
                       {0, slot, low(step), kPurpose}};
  draw.scramble();
  View view;
  if (config.vary().start()) view.start = draw.counter[0];
  if (config.vary().crop()) view.across = draw.counter[1], view.down = draw.counter[2];
  if (config.vary().mirror()) view.mirror = draw.counter[3] >> 31 != 0;
  return view;
}

std::vector<View> views_to_fit(const RunConfig& config) {
  if (!config.vary().start()) return {View{}};
  return {{.start = 0}, {.start = 0x55555555}, {.start = 0xaaaaaaaa}, {.start = 0xffffffff}};
}

// Scaled to cover the clip, a picture has room in one direction alone.
std::vector<View> views_to_compare(const RunConfig& config) {
  if (!config.vary().crop()) return {{.whole = true}};
  constexpr uint64_t kPlaces = 17;
  std::vector<View> out;
  for (uint64_t i = 0; i < kPlaces; ++i) {
    const auto share = static_cast<uint32_t>(0xffffffff * i / (kPlaces - 1));
    out.push_back({.across = share, .down = share, .whole = true});
  }
  return out;
}

}  // namespace cleared::train
