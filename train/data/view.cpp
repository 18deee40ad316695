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

}  // namespace cleared::train
