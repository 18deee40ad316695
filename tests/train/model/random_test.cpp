// Philox itself has its authors' known answers in tests/kernels/philox_test.cpp.
#include "train/model/random.h"

#include <cmath>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

namespace cleared::train {
namespace {

TEST(Random, ADrawDoesNotDependOnWhatIsDrawnBesideIt) {
  const Draw a{.seed = 5, .step = 2, .sample = 0}, b{.seed = 5, .step = 2, .sample = 1};
  const Tensor both = normal(std::vector<Draw>{a, b}, {3, 5});
  EXPECT_TRUE(at::equal(both[1], normal(std::vector<Draw>{b}, {3, 5})[0]));
  EXPECT_TRUE(at::equal(both[0].flatten().narrow(0, 0, 7), normal(std::vector<Draw>{a}, {7})[0]));
}

TEST(Random, EveryPartOfTheKeyMatters) {
  const Draw base{.seed = 1, .step = 1, .sample = 1, .purpose = Purpose::noise};
  Draw rows[] = {base, base, base, base, base};
  rows[1].seed = uint64_t{1} << 40 | 1;
  rows[2].step = 2;
  rows[3].sample = 2;
  rows[4].purpose = Purpose::time;
  const Tensor values = normal(rows, {4});
  for (int64_t i = 1; i < 5; ++i) EXPECT_FALSE(at::equal(values[0], values[i])) << i;
}

TEST(Random, NormalValuesHaveTheMomentsOfTheirName) {
  const Tensor x = normal(std::vector<Draw>{{.seed = 11}}, {200'000})[0].to(at::kDouble);
  EXPECT_NEAR(x.mean().item<double>(), 0, 0.01);
  EXPECT_NEAR(x.var().item<double>(), 1, 0.02);
  EXPECT_NEAR(x.pow(3).mean().item<double>(), 0, 0.05);
  EXPECT_NEAR(x.pow(4).mean().item<double>(), 3, 0.1);
  EXPECT_NEAR((x.abs() < 1).to(at::kDouble).mean().item<double>(), 0.6827, 0.005);
  EXPECT_NEAR((x.narrow(0, 0, 199'999) * x.narrow(0, 1, 199'999)).mean().item<double>(), 0, 0.01);
}

TEST(Random, TimesAreLogitNormalAndShiftedTowardsNoise) {
  std::vector<Draw> draws;
  for (uint64_t i = 0; i < 20'000; ++i) draws.push_back({.seed = 2, .sample = i});
  const Tensor t = logit_normal(draws), shifted = logit_normal(draws, 3.0);
  EXPECT_GT(t.min().item<float>(), 0);
  EXPECT_LT(t.max().item<float>(), 1);
  EXPECT_NEAR(t.median().item<double>(), 0.5, 0.01);
  EXPECT_NEAR(at::logit(t).std().item<double>(), 1, 0.02);
  EXPECT_TRUE(at::allclose(shifted, 3 * t / (1 + 2 * t)));
}

TEST(Random, UniformIsUniform) {
  double sum = 0, squares = 0;
  constexpr int kCount = 50'000;
  for (uint64_t i = 0; i < kCount; ++i) {
    const double u = uniform({.seed = 4, .sample = i, .purpose = Purpose::caption_drop});
    ASSERT_GT(u, 0);
    ASSERT_LT(u, 1);
    sum += u, squares += u * u;
  }
  EXPECT_NEAR(sum / kCount, 0.5, 0.005);
  EXPECT_NEAR(squares / kCount, 1.0 / 3, 0.005);
}

}  // namespace
}  // namespace cleared::train
