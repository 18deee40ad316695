// The arithmetic of AdamW, clipping and averaging is compared with PyTorch's in dit_test.cpp.
#include "train/model/optim.h"

#include <limits>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

#include "ledger/base/error.h"

namespace cleared::train {
namespace {

TensorMap two_parameters() {
  return {{"a", at::linspace(-1, 1, 6).view({2, 3}).set_requires_grad(true)},
          {"b", at::ones({3}).set_requires_grad(true)}};
}

void one_step(const TensorMap& p, AdamW& optimiser) {
  ((p.at("a") * p.at("b")).sin().sum() + p.at("b").pow(2).sum()).backward();
  optimiser.step(0.01);
}

TEST(Schedule, WarmsUpHoldsAndDecays) {
  const Schedule s{
      .peak = 1, .warmup_steps = 4, .total_steps = 20, .decay_steps = 5, .final_share = 0.5};
  const std::pair<int64_t, double> rows[] = {{0, 0.25}, {3, 1.0},  {4, 1.0},  {14, 1.0},
                                             {15, 0.9}, {19, 0.5}, {100, 0.5}};
  for (const auto& [step, rate] : rows) EXPECT_DOUBLE_EQ(s.at(step), rate) << step;
  EXPECT_DOUBLE_EQ((Schedule{.peak = 3, .warmup_steps = 0, .decay_steps = 0}).at(0), 3.0);
}

TEST(AdamW, ResumesFromItsStateBitForBit) {
  const TensorMap straight = two_parameters(), resumed = two_parameters();
  AdamW a(straight, {});
  for (int i = 0; i < 6; ++i) one_step(straight, a);

  AdamW first(resumed, {});
  for (int i = 0; i < 3; ++i) one_step(resumed, first);
  TensorMap kept;
  for (const auto& [name, tensor] : first.state()) kept.emplace(name, tensor.clone());
  AdamW second(resumed, {});
  second.load(kept);
  EXPECT_EQ(second.steps(), 3);
  for (int i = 0; i < 3; ++i) one_step(resumed, second);

  for (const auto& [name, tensor] : straight) EXPECT_TRUE(at::equal(tensor, resumed.at(name)));
  const TensorMap state = second.state();
  for (const auto& [name, tensor] : a.state()) EXPECT_TRUE(at::equal(tensor, state.at(name)));
}

TEST(AdamW, LeavesEverythingAsItWasWhenTheGradientIsNotFinite) {
  const TensorMap p = two_parameters();
  AdamW optimiser(p, {});
  const Tensor before = p.at("a").detach().clone();
  (p.at("a").sum() * std::numeric_limits<double>::infinity() + p.at("b").sum()).backward();
  EXPECT_FALSE(optimiser.step(0.1).applied);
  EXPECT_EQ(optimiser.steps(), 0);
  EXPECT_TRUE(at::equal(p.at("a"), before));
  EXPECT_FALSE(p.at("a").grad().defined());
}

TEST(AdamW, RefusesAStateOfAnotherModel) {
  const TensorMap p = two_parameters();
  AdamW optimiser(p, {});
  const std::pair<const char*, std::function<void(TensorMap&)>> rows[] = {
      {"missing", [](TensorMap& s) { s.erase("m.a"); }},
      {"unexpected", [](TensorMap& s) { s.emplace("m.z", at::ones({1})); }},
      {"shape", [](TensorMap& s) { s["v.b"] = at::ones({4}); }},
      {"type", [](TensorMap& s) { s["v.b"] = at::ones({3}, at::kDouble); }},
      {"negative steps", [](TensorMap& s) { s["steps"] = at::full({1}, -1, at::kLong); }},
  };
  for (const auto& [what, spoil] : rows) {
    TensorMap state = optimiser.state();
    spoil(state);
    try {
      optimiser.load(state);
      ADD_FAILURE() << what << " was accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Errc::corrupt) << what;
    }
  }
}

}  // namespace
}  // namespace cleared::train
