// Known answers: data/dit.safetensors, by PyTorch from Python; make_case.py makes it again.
#include "train/model/dit.h"

#include <cmath>
#include <cstdlib>
#include <string>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

#include "ledger/base/error.h"
#include "tests/train/model/support.h"
#include "train/model/flow.h"
#include "train/model/model.h"
#include "train/model/ops.h"
#include "train/model/optim.h"
#include "train/model/safetensors.h"

namespace cleared::train {
namespace {

DitConfig tiny_config() {
  return {.dim = 32,
          .layers = 2,
          .heads = 2,
          .ffn = 48,
          .channels = 4,
          .latent = {2, 4, 4},
          .patch = {1, 2, 2},
          .text_len = 6,
          .text_dim = 16,
          .freq = 32};
}

TEST(Dit, ThreeStepsGiveThePythonLossesNormsWeightsAndAverage) {
  const TensorMap known = read_safetensors("train/model/data/dit.safetensors").tensors;
  Parameters parameters(0);
  const Dit dit(tiny_config(), parameters);
  copy_tensors(with_prefix(known, "w."), parameters.all(), "case");
  AdamW optimiser(parameters.all(), {});
  for (int64_t i = 0; i < known.at("loss").numel(); ++i) {
    const TensorMap batch = with_prefix(known, "b" + std::to_string(i) + ".");
    const Tensor z = flow_mix(batch.at("tok"), batch.at("noise"), batch.at("t"));
    const Tensor v = dit.forward(z, batch.at("t"), batch.at("text"));
    const Tensor loss = at::mse_loss(v, batch.at("noise") - batch.at("tok"));
    loss.backward();
    const StepResult step = optimiser.step(1e-3);
    EXPECT_NEAR(loss.item<double>(), known.at("loss")[i].item<double>(), 1e-5);
    EXPECT_NEAR(step.gradient_norm, known.at("norm")[i].item<double>(), 1e-4);
    EXPECT_TRUE(step.applied);
  }
  for (const auto& [name, weight] : with_prefix(known, "end.")) {
    EXPECT_TRUE(at::allclose(parameters.all().at(name).detach(), weight, 1e-4, 1e-5)) << name;
  }
  for (const auto& [name, average] : with_prefix(known, "ema.")) {
    EXPECT_TRUE(at::allclose(optimiser.ema().at(name), average, 1e-4, 1e-5)) << name;
  }
}

TEST(Dit, ComputingBlocksAgainChangesNoBit) {
  const TensorMap batch =
      with_prefix(read_safetensors("train/model/data/dit.safetensors").tensors, "b0.");
  TensorMap gradients[2];
  Tensor out[2];
  for (const bool recompute : {false, true}) {
    DitConfig config = tiny_config();
    config.recompute = recompute;
    Parameters parameters(4);
    const Dit dit(config, parameters);
    // The last layer starts at zero, and lets no gradient through.
    parameters.all().at("out.weight").detach().fill_(0.01);
    out[recompute] = dit.forward(batch.at("tok"), batch.at("t"), batch.at("text"));
    out[recompute].pow(2).sum().backward();
    for (const auto& [name, tensor] : parameters.all()) gradients[recompute][name] = tensor.grad();
  }
  EXPECT_TRUE(at::equal(out[0], out[1]));
  for (const auto& [name, gradient] : gradients[0]) {
    ASSERT_TRUE(gradient.defined() && gradients[1][name].defined()) << name;
    EXPECT_TRUE(at::equal(gradient, gradients[1][name])) << name;
  }
  EXPECT_GT(gradients[0]["blocks.0.sa.qkv.weight"].abs().max().item<double>(), 0);
}

// The same weights and batch with the blocks in bfloat16, which has two to three digits.
TEST(Dit, InBfloat16LossAndGradientsAreNearThoseInFloat32) {
  const TensorMap known = read_safetensors("train/model/data/dit.safetensors").tensors;
  const TensorMap batch = with_prefix(known, "b0.");
  std::map<at::ScalarType, TensorMap> gradients;
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    Parameters parameters(0);
    DitConfig config = tiny_config();
    config.precision = type;
    const Dit dit(config, parameters);
    copy_tensors(with_prefix(known, "w."), parameters.all(), "case");
    const Tensor z = flow_mix(batch.at("tok"), batch.at("noise"), batch.at("t"));
    const Tensor v = dit.forward(z, batch.at("t"), batch.at("text"));
    EXPECT_EQ(v.scalar_type(), at::kFloat);
    const Tensor loss = flow_error(v, batch.at("noise"), batch.at("tok"));
    loss.backward();
    const double want = known.at("loss")[0].item<double>();
    EXPECT_NEAR(loss.item<double>(), want, (type == at::kFloat ? 1e-5 : 5e-3) * want);
    for (const auto& [name, p] : parameters.all()) gradients[type].emplace(name, p.grad());
  }
  for (const auto& [name, want] : gradients.at(at::kFloat)) {
    const Tensor& got = gradients.at(at::kBFloat16).at(name);
    EXPECT_EQ(got.scalar_type(), at::kFloat);
    EXPECT_LE((got - want).norm().item<double>(), 0.03 * want.norm().item<double>()) << name;
  }
}

// The model that tools/bench/train measures beside ours, at full size: same weights and batch, same
// loss and gradients. CLEARED_TORCH_PYTHON names a Python that can import torch, where the one
// beside LibTorch cannot (the wheel's CPU-only set).
TEST(Dit, FirstLossAndGradientsAreThePythonModels) {
  const char* named = std::getenv("CLEARED_TORCH_PYTHON");
  const std::string python = named != nullptr ? named : CLEARED_PYTHON;
  if (testing::run_command(python + " -c 'import torch, numpy'").status != 0) {
    GTEST_SKIP() << python
                 << " cannot import torch and numpy: our model was not compared with Python's";
  }
  const testing::TemporaryFolder folder;
  const std::string file = (folder.path() / "case.safetensors").string();
  const auto made = testing::run_command(python + " ../tools/bench/train/model.py case " + file +
                                         " --batch 2 --seed 11");
  ASSERT_EQ(made.status, 0) << made.text;
  const TensorMap known = read_safetensors(file).tensors;
  Parameters parameters(0);
  const Dit dit({.latent = {5, 8, 8}, .text_len = 32}, parameters);
  copy_tensors(with_prefix(known, "w."), parameters.all(), "case");
  const TensorMap batch = with_prefix(known, "b0.");
  const Tensor z = flow_mix(batch.at("tok"), batch.at("noise"), batch.at("t"));
  const Tensor v = dit.forward(z, batch.at("t"), batch.at("text"));
  const Tensor loss = flow_error(v, batch.at("noise"), batch.at("tok"));
  loss.backward();
  const double want = known.at("loss")[0].item<double>();
  EXPECT_NEAR(loss.item<double>(), want, 1e-5 * want);
  for (const auto& [name, gradient] : with_prefix(known, "g.")) {
    const Tensor got = parameters.all().at(name).grad();
    const double size = gradient.norm().item<double>();
    EXPECT_GT(size, 0) << name;
    EXPECT_LE((got - gradient).norm().item<double>(), 1e-5 * size) << name;
  }
}

TEST(Dit, PatchesComeBackAsTheyWere) {
  Parameters parameters(0);
  const Dit dit(tiny_config(), parameters);
  const Tensor z = at::arange(3 * 4 * 2 * 4 * 4, at::kFloat).view({3, 4, 2, 4, 4});
  EXPECT_EQ(dit.patchify(z).sizes(), (std::vector<int64_t>{3, 8, 16}));
  EXPECT_TRUE(at::equal(dit.unpatchify(dit.patchify(z), dit.grid_of(z)), z));
}

TEST(Dit, RopeTurnsByTimeAndPlaceAndKeepsLengths) {
  const Tensor rope = rope_table({2, 2, 3}, 16);  // pairs: four for t, two for h, two for w
  EXPECT_EQ(rope.sizes(), (std::vector<int64_t>{12, 8}));
  EXPECT_TRUE(at::allclose(rope.abs(), at::ones({12, 8})));
  const Tensor angle = at::angle(rope);
  const Tensor last = angle[11];  // t 1, h 1, w 2
  EXPECT_NEAR(last[0].item<double>(), 1.0, 1e-6);
  EXPECT_NEAR(last[1].item<double>(), std::pow(10000.0, -0.25), 1e-6);
  EXPECT_NEAR(last[4].item<double>(), 1.0, 1e-6);
  EXPECT_NEAR(last[6].item<double>(), 2.0, 1e-6);
  EXPECT_NEAR(last[7].item<double>(), 0.02, 1e-6);
}

TEST(Model, IsAFunctionOfConfigAndSeedAndStartsAtZeroVelocity) {
  const ModelConfig config{.dit = tiny_config(), .text_layers = 1};
  const Model a(config, 7), b(config, 7), other(config, 8);
  bool differs = false;
  for (const auto& [name, weight] : a.parameters()) {
    EXPECT_TRUE(at::equal(weight, b.parameters().at(name))) << name;
    differs = differs || !at::equal(weight, other.parameters().at(name));
  }
  EXPECT_TRUE(differs);
  const Tensor v =
      a.velocity(at::ones({2, 4, 2, 4, 4}), at::ones({2}), a.read(tokenize({"a", ""}, 6)));
  EXPECT_EQ(v.abs().max().item<float>(), 0.0f);
}

TEST(Model, InitialWeightsHaveTheSpreadOfTheirFanIn) {
  const Model model({.dit = {.layers = 1}}, 3);
  const Tensor weight = model.parameters().at("blocks.0.f1.weight").detach();  // fan-in 192
  const double bound = 1 / std::sqrt(192.0);
  EXPECT_LE(weight.abs().max().item<double>(), bound);
  EXPECT_NEAR(weight.mean().item<double>(), 0, bound / 100);
  EXPECT_NEAR(weight.std().item<double>(), bound / std::sqrt(3.0), bound / 100);
}

TEST(Model, RefusesConfigsThatMakeNoSense) {
  const std::pair<const char*, std::function<void(DitConfig&)>> rows[] = {
      {"dim is no multiple of heads", [](DitConfig& c) { c.heads = 5; }},
      {"no heads", [](DitConfig& c) { c.heads = 0; }},
      {"head too small for three axes", [](DitConfig& c) { c.dim = 24, c.heads = 3; }},
      {"no layers", [](DitConfig& c) { c.layers = 0; }},
      {"negative width", [](DitConfig& c) { c.dim = -192; }},
      {"patch does not divide latent",
       [](DitConfig& c) {
         c.patch = {1, 3, 1};
       }},
      {"empty latent",
       [](DitConfig& c) {
         c.latent = {0, 8, 8};
       }},
      {"odd features", [](DitConfig& c) { c.freq = 33; }},
      {"no text", [](DitConfig& c) { c.text_len = 0; }},
  };
  for (const auto& [what, spoil] : rows) {
    ModelConfig config;
    spoil(config.dit);
    try {
      Model model(config, 0);
      ADD_FAILURE() << what << " was accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Errc::config) << what;
    }
  }
}

}  // namespace
}  // namespace cleared::train
