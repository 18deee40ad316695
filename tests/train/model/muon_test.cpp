// Known answers: data/muon.safetensors, by PyTorch's own torch.optim.Muon; make_muon.py makes it
// again.
#include "train/model/muon.h"

#include <cstdlib>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

#include "tests/train/model/support.h"
#include "train/model/model.h"
#include "train/model/optim.h"
#include "train/model/safetensors.h"

namespace cleared::train {
namespace {

constexpr MuonRates kRates{.learning_rate = 0.02, .keep = 1 - 0.02 * 0.1, .momentum = 0.95};

double largest(const Tensor& x) {
  return x.abs().max().item<double>();
}

TEST(Muon, ThreeStepsGivePyTorchsWeightsAndMomentum) {
  const TensorMap known = read_safetensors("train/model/data/muon.safetensors").tensors;
  for (const std::string name : {"tall.", "wide.", "square."}) {
    const TensorMap one = with_prefix(known, name);
    const Tensor weight = one.at("start").clone(), momentum = at::zeros_like(weight);
    for (int i = 0; i < 3; ++i) {
      const std::string step = std::to_string(i);
      muon_step(weight, one.at("gradient" + step), momentum, kRates);
      EXPECT_LE(largest(weight - one.at("end" + step)), 2e-6) << name << step;
      EXPECT_LE(largest(momentum - one.at("momentum" + step)), 1e-7) << name << step;
    }
    // By itself PyTorch iterates in bfloat16.
    const double way = (weight - one.at("start")).norm().item<double>();
    EXPECT_LE((weight - one.at("bfloat16")).norm().item<double>(), 0.02 * way) << name;
  }
}

TEST(Muon, TheKnownAnswersCanBeMadeAgain) {
  const char* named = std::getenv("CLEARED_TORCH_PYTHON");
  const std::string python = named != nullptr ? named : CLEARED_PYTHON;
  const testing::TemporaryFolder folder;
  const auto made =
      testing::run_command(python + " train/model/make_muon.py " + folder.path().string());
  if (made.status != 0) {
    GTEST_SKIP() << python << " has no torch.optim.Muon: data/muon.safetensors was not made again";
  }
  const TensorMap kept = read_safetensors("train/model/data/muon.safetensors").tensors;
  const TensorMap now = read_safetensors(folder.path() / "muon.safetensors").tensors;
  ASSERT_EQ(kept.size(), now.size());
  for (const auto& [name, tensor] : kept) {
    EXPECT_LE(largest(tensor - now.at(name)), name.ends_with("bfloat16") ? 0.01 : 1e-6) << name;
  }
}

TEST(Muon, BringsAllSingularValuesNearOne) {
  at::manual_seed(3);
  for (const auto& [rows, columns] : {std::pair{40, 16}, {16, 40}, {32, 32}}) {
    const Tensor direction = at::randn({rows, columns});
    const Tensor values = at::linalg_svdvals(newton_schulz(direction));
    EXPECT_GT(values.min().item<double>(), 0.2) << rows;
    EXPECT_LT(values.max().item<double>(), 1.25) << rows;
    // Of a direction alone: its length does not matter.
    EXPECT_LE(largest(newton_schulz(direction * 1000) - newton_schulz(direction)), 1e-4) << rows;
  }
  EXPECT_EQ(largest(newton_schulz(at::zeros({4, 6}))), 0);
}

TEST(Muon, StepsTheMatricesOfRepeatedLayersAndNoOthers) {
  const Model model({.dit = {.dim = 24,
                             .layers = 2,
                             .heads = 1,
                             .ffn = 32,
                             .channels = 4,
                             .latent = {1, 2, 2},
                             .text_len = 4,
                             .text_dim = 16},
                     .text_layers = 1},
                    1);
  AdamW optimiser(model.parameters(), {.muon_momentum = 0.95});
  const TensorMap state = optimiser.state();
  int64_t hidden = 0;
  for (const auto& [name, tensor] : model.parameters()) {
    const bool muon = !state.contains("v." + name);
    EXPECT_TRUE(state.contains("m." + name)) << name;
    hidden += muon ? tensor.numel() : 0;
    EXPECT_TRUE(!muon || tensor.dim() == 2) << name;
  }
  // Of train/plan.cpp: 8 n^2 + 2 n ffn a block, 12 n^2 a layer of the text.
  EXPECT_EQ(hidden, 2 * (8 * 24 * 24 + 2 * 24 * 32) + 12 * 16 * 16);
  for (const char* name : {"inp.weight", "out.weight", "t1.weight", "tp.weight", "x1.weight",
                           "blocks.0.mod", "blocks.0.n3.weight", "text.embedding"}) {
    EXPECT_TRUE(state.contains(std::string("v.") + name)) << name;
  }
}

// A matrix that Muon steps, another matrix, and a vector.
TensorMap three_parameters() {
  return {{"blocks.0.a.weight", at::linspace(-1, 1, 12).view({3, 4}).set_requires_grad(true)},
          {"b.weight", at::linspace(-1, 2, 12).view({4, 3}).set_requires_grad(true)},
          {"c", at::ones({3}).set_requires_grad(true)}};
}

void step_all(const TensorMap& p, AdamW& optimiser) {
  const Tensor product = at::matmul(p.at("blocks.0.a.weight"), p.at("b.weight")) * p.at("c");
  (product.sin().sum() + product.pow(2).sum()).backward();
  optimiser.step(0.01);
}

TEST(Muon, ResumesFromItsStateBitForBit) {
  const TensorMap straight = three_parameters(), resumed = three_parameters();
  const AdamWOptions options{.muon_momentum = 0.95};
  AdamW a(straight, options);
  for (int i = 0; i < 6; ++i) step_all(straight, a);

  AdamW first(resumed, options);
  for (int i = 0; i < 3; ++i) step_all(resumed, first);
  TensorMap kept;
  for (const auto& [name, tensor] : first.state()) kept.emplace(name, tensor.clone());
  AdamW second(resumed, options);
  second.load(kept);
  for (int i = 0; i < 3; ++i) step_all(resumed, second);

  for (const auto& [name, tensor] : straight) EXPECT_TRUE(at::equal(tensor, resumed.at(name)));
  const TensorMap state = second.state();
  for (const auto& [name, tensor] : a.state()) EXPECT_TRUE(at::equal(tensor, state.at(name)));
}

// In one step, where neither has moved anything of the other's yet.
TEST(Muon, LeavesToAdamWWhatIsAdamWs) {
  const TensorMap with = three_parameters(), without = three_parameters();
  AdamW muon(with, {.muon_momentum = 0.95}), plain(without, {});
  step_all(with, muon);
  step_all(without, plain);
  EXPECT_TRUE(at::equal(with.at("b.weight"), without.at("b.weight")));
  EXPECT_TRUE(at::equal(with.at("c"), without.at("c")));
  EXPECT_FALSE(at::equal(with.at("blocks.0.a.weight"), without.at("blocks.0.a.weight")));
}

}  // namespace
}  // namespace cleared::train
