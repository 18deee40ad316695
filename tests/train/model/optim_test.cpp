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

TEST(AdamW, KeepsAnAverageOfEachDecay) {
  const TensorMap p = two_parameters(), q = two_parameters(), r = two_parameters();
  AdamW both(p, {.ema_decays = {0.2, 0.9}}), quick(q, {.ema_decays = {0.2}}),
      slow(r, {.ema_decays = {0.9}});
  for (int i = 0; i < 100; ++i) one_step(p, both), one_step(q, quick), one_step(r, slow);
  const TensorMap state = both.state();
  for (const auto& [name, tensor] : p) {
    EXPECT_TRUE(at::equal(tensor, q.at(name)));
    EXPECT_TRUE(at::equal(state.at("ema." + name), quick.ema().at(name)));
    EXPECT_TRUE(at::allclose(state.at("ema2." + name), slow.ema().at(name), 1e-5, 1e-6));
  }
}

// The gradient of `scale` times the sum of "a" has the length scale sqrt(6).
bool applied(const TensorMap& p, AdamW& optimiser, double scale) {
  (p.at("a").sum() * scale + p.at("b").sum() * 0).backward();
  return optimiser.step(0.01).applied;
}

TEST(AdamW, LeavesOutWhatIsFarAboveTheMedianOfTheStepsBefore) {
  const TensorMap p = two_parameters();
  AdamW optimiser(p, {.guard_steps = 4, .guard_above = 3});
  for (const double scale : {1.0, 9.0, 1.0, 2.0}) EXPECT_TRUE(applied(p, optimiser, scale));
  const Tensor before = p.at("a").detach().clone();  // 1 9 1 2: the upper median is 2
  EXPECT_TRUE(applied(p, optimiser, 5.9));
  EXPECT_FALSE(at::equal(p.at("a"), before));
  EXPECT_FALSE(applied(p, optimiser, 30));  // 9 1 2 5.9
  EXPECT_EQ(optimiser.steps(), 5);

  // What was left out counts: 2 5.9 30 30 has the median 30, and the new length is the usual one.
  TensorMap kept;
  for (const auto& [name, tensor] : optimiser.state()) kept.emplace(name, tensor.clone());
  const TensorMap q = two_parameters();
  AdamW resumed(q, {.guard_steps = 4, .guard_above = 3});
  resumed.load(kept);
  for (AdamW* one : {&optimiser, &resumed}) {
    const TensorMap& its = one == &resumed ? q : p;
    EXPECT_FALSE(applied(its, *one, 30));  // 1 2 5.9 30: 5.9
    EXPECT_TRUE(applied(its, *one, 30));
  }
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
