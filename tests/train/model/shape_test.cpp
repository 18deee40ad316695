// What train/plan.h calculates is what the modules make, and what a config may say they can be made
// of.
#include <array>
#include <cmath>
#include <random>

#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>

#include "ledger/base/error.h"
#include "train/codec.h"
#include "train/data/codec_shape.h"
#include "train/data/config.h"
#include "train/data/loader.h"
#include "train/learner.h"
#include "train/model/discriminator.h"
#include "train/model/dist.h"
#include "train/plan.h"
#include "train/setup.h"

namespace cleared::train {
namespace {

std::string config_of(const std::string& codec, uint32_t frames, const std::string& more) {
  return "name: \"x\" purpose { use: TRAIN model: \"m\" component: [GENERATOR, VAE, TEXT_ENCODER] "
         "field_of_use: \"film\" compute_territory: \"US\" } seed: 1 steps: 4 batch: 2 "
         "clip { width: 64 height: 32 frames: " +
         std::to_string(frames) + " frames_per_second: 16 } codec { " + codec +
         " } model { dim: 24 layers: 3 heads: 2 ffn: 40 patch: 2 } "
         "text { length: 9 dim: 16 layers: 2 dropout: 0.1 " +
         more +
         " } "
         "optimiser { learning_rate: 1e-3 warmup_steps: 1 decay_steps: 1 beta1: 0.9 beta2: 0.9 "
         "weight_decay: 0 clip_norm: 1 ema: 0.9 } checkpoints { every: 1 keep: 0 } "
         "preview { caption: \"a\" steps: 1 guidance: 1 shift: 1 } log_every: 1";
}

TEST(PlanShape, CountsTheParametersThatAreThere) {
  for (const char* more : {"", "vocabulary: 300"}) {
    const RunConfig config = parse_config(config_of("fit_samples: 2", 16, more), "test");
    const Model model(model_config(config), 1);
    const Plan plan = plan_of(config);
    uint64_t text = 0;
    for (const auto& [name, tensor] : model.parameters()) {
      if (name.starts_with("text.")) text += static_cast<uint64_t>(tensor.numel());
    }
    EXPECT_EQ(plan.text, text);
    EXPECT_EQ(plan.parameters(), static_cast<uint64_t>(model.parameter_count()));
    EXPECT_EQ(plan.tokens, static_cast<uint64_t>(model.config().dit.tokens()));
  }
}

TEST(PlanShape, CountsTheAutoencoder) {
  for (const char* vae :
       {"dim: 4 channels: 4 blocks: 1", "dim: 6 channels: 3 blocks: 2 patch: 2"}) {
    const RunConfig config =
        parse_config(config_of("vae { " + std::string(vae) + " }", 13, ""), "test");
    const Vae made(vae_config(config), 1);
    RunConfig judged = config;
    judged.set_stage(RunConfig::AUTOENCODER);
    judged.mutable_discriminator()->set_dim(5);
    uint64_t its = 0;
    const Discriminator discriminator(5, 1);
    for (const auto& [name, tensor] : discriminator.parameters()) {
      its += static_cast<uint64_t>(tensor.numel());
    }
    EXPECT_EQ(plan_of(judged).discriminator, its);
    EXPECT_EQ(plan_of(config).discriminator, 0U);
    EXPECT_EQ(codec_parameters(config), static_cast<uint64_t>(made.parameter_count())) << vae;
    const Model model(model_config(config), 1);
    EXPECT_EQ(model.config().dit.channels, made.config().channels);
    EXPECT_EQ(plan_of(config).tokens, static_cast<uint64_t>(model.config().dit.tokens()));
  }
}

// Small configs, sensible and not: each field takes one of a few values.
std::string random_config(std::mt19937& random) {
  const auto one_of = [&](auto... choices) -> std::string {
    const std::array<std::string, sizeof...(choices)> all = {std::string(choices)...};
    return all[random() % all.size()];
  };
  const bool vae = random() % 3 == 0, transformer = !vae || random() % 2 == 0;
  const auto clip = [&] {
    return "width: " + one_of("8", "16", "24", "32") + " height: " + one_of("8", "16", "24") +
           " frames: " + (vae ? one_of("1", "5", "9") : one_of("4", "8", "12"));
  };
  std::string text =
      "name: \"x\" purpose { use: TRAIN model: \"m\" component: [GENERATOR, VAE, TEXT_ENCODER] "
      "field_of_use: \"film\" compute_territory: \"US\" } seed: 1 steps: 4 batch: " +
      one_of("1", "2", "4", "6") + " clip { " + clip() +
      " frames_per_second: 16 } stage: " + (transformer ? "TRANSFORMER" : "AUTOENCODER") + " ";
  text += vae ? "codec { vae { dim: " + one_of("1", "2", "3") + " channels: " + one_of("1", "3") +
                    " blocks: " + one_of("1", "2") + " patch: " + one_of("1", "2") +
                    " gradient_loss: " + one_of("0", "1") + " } } "
              : "codec { fit_samples: 2 } ";
  if (transformer) {
    text += "model { dim: " + one_of("12", "24", "48", "72", "26") +
            " layers: " + one_of("1", "2") + " heads: " + one_of("1", "2", "3", "4") +
            " ffn: " + one_of("1", "7", "24") + " patch: " + one_of("1", "1", "2", "3") +
            " recompute: " + one_of("true", "false") +
            " } text { length: " + one_of("1", "5", "16") +
            " dim: " + one_of("2", "7", "8", "12", "18", "64", "126", "130", "192", "200") +
            " layers: " + one_of("1", "2") + " dropout: " + one_of("0", "0.9") +
            " vocabulary: " + one_of("0", "258", "300") + " } " + one_of("", "precision: BF16 ") +
            one_of("", "preview { caption: \"a\" steps: 1 guidance: 2 shift: 1 } ");
  }
  if (random() % 4 == 0) text += "bucket { shards: \"s\" " + clip() + " batch: 4 } ";
  return text + "optimiser { learning_rate: 1e-3 warmup_steps: 1 decay_steps: 1 beta1: 0.9 " +
         "beta2: 0.9 weight_decay: 0 clip_norm: 1 ema: [0.9, 0.99] muon_momentum: " +
         one_of("0", "0.9") + " } checkpoints { every: 1 keep: 0 } log_every: 1";
}

// A step of each shape, and the clip to look at.
void expect_steps(const RunConfig& config, const std::string& text) {
  World world({});
  CheckpointTensors tensors;
  if (config.stage() == RunConfig::TRANSFORMER) {
    tensors.codec = blank_codec(config);
    for (const auto& [name, tensor] : tensors.codec) tensor.fill_(name == kPairs ? -1 : 1);
  }
  const auto learner = make_learner(world, config, tensors);
  uint64_t step = 0;
  for (const RunConfig& shape : by_shape(config)) {
    Batch batch{.step = step, .shape = step, .items = {}};
    ++step;
    const auto& clip = shape.clip();
    for (uint32_t i = 0; i < shape.batch(); ++i) {
      Item& item = batch.items.emplace_back();
      item.caption = "a caption that is longer than some texts may be";
      item.frames.assign(size_t{3} * clip.width() * clip.height() * clip.frames(),
                         static_cast<uint8_t>(40 * i));
    }
    learner->prepare(batch);
    const Learned learned = learner->learn(batch, 0);
    EXPECT_TRUE(std::isfinite(learned.loss) && learned.applied) << text;
  }
  CheckpointTensors copied;
  copy_into(learner->tensors(), copied);
  const Preview preview = learner->preview(copied);
  EXPECT_EQ(preview([] {}).size(), config.stage() == RunConfig::AUTOENCODER || config.has_preview())
      << text;
}

TEST(PlanShape, EveryConfigThatIsTakenMakesAStep) {
  std::mt19937 random(1);
  size_t taken = 0;
  for (int i = 0; i < 600; ++i) {
    const std::string text = random_config(random);
    RunConfig config;
    try {
      config = parse_config(text, "test");
    } catch (const Error&) {
      continue;
    }
    ++taken;
    plan_of(config);
    expect_steps(config, text);
  }
  EXPECT_GT(taken, 100U);
}

// One token, one channel: sizes of one have any stride.
TEST(PlanShape, TheSmallestClipMakesAStep) {
  std::string text = config_of("fit_samples: 2", 4, "");
  for (const auto& [from, to] :
       {std::pair{"width: 64 height: 32", "width: 8 height: 8"}, {"patch: 2", "patch: 1"}}) {
    text.replace(text.find(from), std::string(from).size(), to);
  }
  expect_steps(parse_config(text, "test"), text);
}

}  // namespace
}  // namespace cleared::train
