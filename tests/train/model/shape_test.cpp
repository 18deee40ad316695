// What train/plan.h calculates is what the modules make.
#include <gtest/gtest.h>

#include "train/codec.h"
#include "train/data/codec_shape.h"
#include "train/data/config.h"
#include "train/model/discriminator.h"
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

}  // namespace
}  // namespace cleared::train
