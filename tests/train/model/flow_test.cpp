#include "train/model/flow.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

#include "ledger/base/error.h"
#include "train/model/optim.h"
#include "train/model/random.h"

namespace cleared::train {
namespace {

ModelConfig small_model() {
  return {.dit = {.dim = 48,
                  .layers = 2,
                  .heads = 2,
                  .ffn = 96,
                  .channels = 4,
                  .latent = {1, 2, 2},
                  .text_len = 8,
                  .text_dim = 24,
                  .freq = 32},
          .text_layers = 1};
}

TEST(Flow, MixIsTheStraightLineBetweenSampleAndNoise) {
  const Tensor x = at::arange(8, at::kFloat).view({2, 4}), noise = -x + 1;
  const Tensor z = flow_mix(x, noise, at::tensor({0.0f, 0.25f}));
  EXPECT_TRUE(at::equal(z[0], x[0]));
  EXPECT_TRUE(at::allclose(z[1], 0.75 * x[1] + 0.25 * noise[1]));
}

// Two latents under two captions are learned by heart; sampling from new noise must give back the
// one that was asked for, which only a right sign, time direction and guidance do.
TEST(Flow, SamplesWhatTheCaptionAsksForAfterLearning) {
  Model model(small_model(), 1);
  const Tensor target = at::cat({at::full({1, 4, 1, 2, 2}, 1.0), at::full({1, 4, 1, 2, 2}, -1.0)});
  const Tensor tokens = tokenize({"white", "black"}, 8);
  const Tensor dropped = tokenize({"", ""}, 8);
  AdamW optimiser(model.parameters(), {.ema_decays = {0.9}});
  double last = 0;
  for (uint64_t step = 0; step < 300; ++step) {
    std::vector<Draw> noise, time;
    for (uint64_t i = 0; i < 16; ++i) {
      noise.push_back({.seed = 1, .step = step, .sample = i, .purpose = Purpose::noise});
      time.push_back({.seed = 1, .step = step, .sample = i, .purpose = Purpose::time});
    }
    const Tensor& caption = step % 8 == 7 ? dropped : tokens;
    const Tensor loss = flow_loss(model, {.x_BCTHW = target.repeat({8, 1, 1, 1, 1}),
                                          .noise_BCTHW = normal(noise, {4, 1, 2, 2}),
                                          .t_B = logit_normal(time),
                                          .states_BLN = model.read(caption.repeat({8, 1}))});
    loss.backward();
    optimiser.step(3e-3);
    last = loss.item<double>();
  }
  EXPECT_LT(last, 0.5);
  const std::vector<Draw> start = {{.seed = 9, .purpose = Purpose::generate},
                                   {.seed = 9, .sample = 1, .purpose = Purpose::generate}};
  const Tensor z = sample(model, normal(start, {4, 1, 2, 2}), tokens, {.steps = 20, .guidance = 2});
  EXPECT_GT(z[0].min().item<float>(), 0.5f);
  EXPECT_LT(z[1].max().item<float>(), -0.5f);
}

TEST(Flow, GuidanceChangesNothingWithoutACaptionAndNoStepsIsAnError) {
  Model model(small_model(), 2);
  model.parameters().at("out.weight").detach().fill_(0.05);
  const Tensor noise = normal(std::vector<Draw>{{.seed = 3}}, {4, 1, 2, 2});
  const Tensor none = tokenize({""}, 8), some = tokenize({"red"}, 8);
  const auto draw = [&](const Tensor& tokens, double guidance) {
    return sample(model, noise, tokens, {.steps = 4, .guidance = guidance, .shift = 2});
  };
  EXPECT_FALSE(at::equal(draw(none, 1), noise));
  EXPECT_TRUE(at::allclose(draw(none, 1), draw(none, 5), 1e-4, 1e-5));
  EXPECT_FALSE(at::allclose(draw(some, 1), draw(some, 5), 1e-4, 1e-5));
  EXPECT_THROW(sample(model, noise, none, {.steps = 0}), Error);
}

}  // namespace
}  // namespace cleared::train
