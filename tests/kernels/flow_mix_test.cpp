#include "kernels/flow_mix.h"

#include <vector>

#include <gtest/gtest.h>

namespace cleared::kernels {
namespace {

// By hand from z = (1 - t) x + t noise; the second row shows that t belongs to its own batch item.
TEST(FlowMix, MixesEachItemAtItsOwnTime) {
  const std::vector<float> x_BM = {1, -2, 8, 4};
  const std::vector<float> noise_BM = {3, 2, 0, -4};
  const std::vector<float> t_B = {0.5F, 0.25F};
  std::vector<float> z_BM(4);
  flow_mix_cpu({x_BM.data(), noise_BM.data(), t_B.data(), z_BM.data(), 2, 2});
  EXPECT_EQ(z_BM, (std::vector<float>{2, 0, 6, 2}));
}

}  // namespace
}  // namespace cleared::kernels
