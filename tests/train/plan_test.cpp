// Known answers: parameters and FLOPs of the Python model's sizes (nano_dit.py and sizes.py of the
// design's reference: PyTorch modules on the `meta` device, counted), rounded as printed there.
#include "train/plan.h"

#include <fstream>

#include <gtest/gtest.h>

#include "ledger/base/file.h"
#include "train/data/config.h"

namespace cleared::train {
namespace {

struct Size {
  const char* name;
  double million_parameters;  // of the transformer
  uint64_t tokens;
  double tflop_a_clip;
};

TEST(Plan, CountsWhatThePythonModelCounts) {
  const Size sizes[] = {
      {"small", 157, 3'328, 4.35},  {"1.3b", 1'414, 32'760, 849},   {"2b", 1'917, 32'760, 1'074},
      {"5b", 4'993, 27'280, 1'551}, {"14b", 14'277, 32'760, 5'035},
  };
  for (const Size& size : sizes) {
    const Plan plan =
        plan_of(load_config(std::string("../configs/") + size.name + ".textproto").config);
    EXPECT_NEAR(static_cast<double>(plan.transformer) / 1e6, size.million_parameters,
                0.6 + 0.0005 * size.million_parameters)
        << size.name;
    EXPECT_EQ(plan.tokens, size.tokens) << size.name;
    // Ours adds the text encoder.
    EXPECT_NEAR(plan.clip_flop / 1e12, size.tflop_a_clip, 0.02 * size.tflop_a_clip) << size.name;
  }
}

// The second line of every config is what `train plan --header` prints.
TEST(Plan, EveryConfigCarriesItsPlan) {
  for (const char* name :
       {"nano", "nano-vae", "nano-text", "nano-latent", "small-vae", "small-text", "small",
        "1.3b-vae", "1.3b-text", "1.3b", "2b", "5b-vae", "5b-text", "5b", "14b"}) {
    const std::string path = std::string("../configs/") + name + ".textproto";
    const RunConfig config = load_config(path).config;
    std::ifstream in(path);
    std::string first, second;
    std::getline(in, first);
    std::getline(in, second);
    EXPECT_EQ(second, "# " + plan_line(config)) << path;
    EXPECT_EQ(config.name(), name);
  }
}

// A text encoder that does not learn has neither gradient nor moments, and reads a caption once.
TEST(Plan, CountsATextEncoderByWhatItLearns) {
  RunConfig config = load_config("../configs/small.textproto").config;
  const Plan learns = plan_of(config);
  EXPECT_EQ(memory_of(config, 1).states, 0U);
  config.mutable_text()->set_learning_rate_share(0);
  const Plan kept = plan_of(config);
  EXPECT_EQ(kept.parameters(), learns.parameters());
  EXPECT_EQ(learns.state_bytes - kept.state_bytes, 4 * 4 * learns.text);
  EXPECT_EQ(learns.checkpoint_bytes - kept.checkpoint_bytes, 4 * 2 * learns.text);
  const double read = 3.0 * 6 * (2.0 * 128 * 12 * 512 * 512 + 4.0 * 128 * 128 * 512);
  EXPECT_NEAR(learns.clip_flop - kept.clip_flop, read, 1e-6 * learns.clip_flop);
  EXPECT_EQ(memory_of(config, 1).states, kStatesBytes);

  const Plan alone = plan_of(load_config("../configs/small-text.textproto").config);
  EXPECT_EQ(alone.text, learns.text);
  EXPECT_EQ(alone.transformer, 0U);
  EXPECT_GT(alone.clip_flop, read);
}

// Runs that begin with a trained encoder have one that the configs here train, of the same shape.
TEST(Plan, EveryTrainedTextEncoderHasItsConfig) {
  const std::pair<const char*, const char*> pairs[] = {{"small", "small-text"},
                                                       {"1.3b", "1.3b-text"},
                                                       {"2b", "1.3b-text"},
                                                       {"5b", "5b-text"},
                                                       {"14b", "5b-text"}};
  for (const auto& [run, encoder] : pairs) {
    const auto text = [](const std::string& name) {
      return load_config("../configs/" + name + ".textproto").config.text();
    };
    const RunConfig::Text a = text(run), b = text(encoder);
    EXPECT_TRUE(a.trained() && a.learning_rate_share() == 0.1) << run;
    EXPECT_EQ(std::tuple(a.length(), a.dim(), a.layers(), a.vocabulary()),
              std::tuple(b.length(), b.dim(), b.layers(), b.vocabulary()))
        << run;
  }
}

TEST(Plan, SharesTheStepAmongTheRanks) {
  const RunConfig config = load_config("../configs/nano.textproto").config;
  const Plan plan = plan_of(config);
  EXPECT_DOUBLE_EQ(plan.step_flop, plan.clip_flop * config.batch());
  EXPECT_DOUBLE_EQ(step_seconds(plan, plan.step_flop, 1), 1);
  EXPECT_DOUBLE_EQ(step_seconds(plan, plan.step_flop, 4), 0.25);
  EXPECT_LT(plan.recomputed_bytes, plan.activation_bytes);
}

TEST(Plan, CountsBlocksThatAreComputedAgainAndTheMomentThatMuonDoesWithout) {
  RunConfig config = load_config("../configs/nano.textproto").config;
  const Plan kept = plan_of(config);
  config.mutable_model()->set_recompute(true);
  const Plan again = plan_of(config);
  EXPECT_EQ(again.activation_bytes, kept.recomputed_bytes);
  EXPECT_EQ(again.step_flop, kept.step_flop);  // what a share of the peak is of
  EXPECT_GT(again.again_flop, 0.9 * kept.step_flop / 3);
  EXPECT_LT(again.again_flop, kept.step_flop / 3);
  EXPECT_DOUBLE_EQ(step_seconds(again, 1, 1), kept.step_flop + again.again_flop);

  config.mutable_optimiser()->set_muon_momentum(0.95);
  const uint64_t hidden = 6 * (8 * 192 * 192 + 2 * 192 * 768) + 2 * 12 * 192 * 192;
  EXPECT_EQ(again.state_bytes - plan_of(config).state_bytes, 4 * hidden);
  EXPECT_EQ(again.checkpoint_bytes - plan_of(config).checkpoint_bytes, 4 * hidden);
}

// docs/design/0012-exact-sum.md: a gradient for each doubling of a rank's micro-batches, of which
// the first is the one that the optimiser takes, and five pieces under way.
TEST(Plan, CountsTheSumsOfGradientsAndTheModelOfPreviews) {
  RunConfig config = load_config("../configs/1.3b.textproto").config;
  ASSERT_EQ(config.micro_batches(), 256U);
  const uint64_t gradient = 4 * plan_of(config).parameters();
  const std::pair<int, uint64_t> rows[] = {{1, 7}, {2, 6}, {64, 1}, {128, 0}, {256, 0}};
  for (const auto& [ranks, gradients] : rows) {
    const uint64_t pieces = ranks == 1 ? 0 : 5 * (64 << 20);
    EXPECT_EQ(memory_of(config, ranks).sums, gradients * gradient + pieces) << ranks;
  }
  const Memory alone = memory_of(config, 1);
  EXPECT_EQ(alone.preview, gradient + plan_of(config).part_bytes);
  EXPECT_EQ(alone.activations, plan_of(config).activation_bytes);  // a micro-batch is one clip
  EXPECT_EQ(alone.first_gpu(),
            alone.state + alone.sums + alone.activations + alone.base + alone.preview);
  EXPECT_GT(alone.first_gpu() >> 30, 80U);  // as `train plan` has to say: not on one GPU of 80 GB

  config.clear_preview();
  EXPECT_EQ(memory_of(config, 1).preview, 0U);
  config.set_gradients(RunConfig::REDUCER);
  EXPECT_EQ(memory_of(config, 1).sums, 0U);
  EXPECT_EQ(memory_of(config, 64).sums, gradient);  // its buckets
  EXPECT_EQ(memory_of(config, 64).activations, 4 * plan_of(config).activation_bytes);
}

TEST(Plan, CountsTheCheckpointsThatAreKept) {
  RunConfig config = load_config("../configs/nano.textproto").config;
  struct Row {
    uint64_t steps, every;
    uint32_t keep;
    uint64_t keep_every, kept;
  };
  const Row rows[] = {
      {10, 3, 0, 0, 4},                                                          // 3 6 9 10
      {10, 3, 0, 6, 4},   {10, 3, 9, 0, 4}, {10, 3, 2, 0, 2}, {10, 3, 2, 6, 3},  // 6 and 9 10
      {10, 3, 2, 4, 2},    // no checkpoint is of a multiple of 4 but that of step 12
      {100, 5, 2, 20, 6},  // 20 40 60 80 and 95 100
  };
  for (const Row& row : rows) {
    config.set_steps(row.steps);
    config.mutable_checkpoints()->set_every(row.every);
    config.mutable_checkpoints()->set_keep(row.keep);
    config.mutable_checkpoints()->set_keep_every(row.keep_every);
    EXPECT_EQ(kept_checkpoints(config), row.kept) << row.steps << " " << row.keep_every;
  }
}

// What it takes beside the autoencoder: weights, gradients and two moments, no average; and in a
// checkpoint the three that are kept.
TEST(Plan, CountsTheDiscriminator) {
  RunConfig config = load_config("../configs/nano-vae.textproto").config;
  const Plan alone = plan_of(config);
  config.mutable_discriminator()->set_dim(16);
  const Plan judged = plan_of(config);
  EXPECT_EQ(judged.discriminator, (3 * 48 + 1) * 16 + (16 * 48 + 2) * 32 + (32 * 48 + 2) * 64 +
                                      (64 * 27 + 2) * 128 + (128 * 27 + 1));
  EXPECT_EQ(judged.state_bytes - alone.state_bytes, 16 * judged.discriminator);
  EXPECT_EQ(judged.checkpoint_bytes - alone.checkpoint_bytes, 12 * judged.discriminator);
  EXPECT_GT(judged.activation_bytes, alone.activation_bytes);
  const uint64_t gradient = 4 * (judged.codec + judged.discriminator);
  EXPECT_EQ(memory_of(config, 1).sums, 0U);  // it is the gradient that the state counts
  EXPECT_EQ(memory_of(config, 2).sums, 5 * (gradient / 8));
  // Of the second layer alone, seven frames of 16 x 16: three times forward and five backward.
  EXPECT_GT(judged.adversary_flop, 8.0 * 2 * 7 * 16 * 16 * 16 * 32 * 48 * config.batch());
  EXPECT_DOUBLE_EQ(step_seconds(judged, 1, 1), alone.step_flop + judged.adversary_flop);
}

// The codec's memory is of a part of a clip, so that a longer one takes no more.
TEST(Plan, EncodingTakesNoMoreForALongerClip) {
  RunConfig config = load_config("../configs/small.textproto").config;
  const Memory as_it_is = memory_of(config, 1);
  EXPECT_GT(as_it_is.codec, 0U);
  config.mutable_clip()->set_frames(config.clip().frames() + 400);
  EXPECT_EQ(memory_of(config, 1).codec, as_it_is.codec);
  EXPECT_EQ(memory_of(load_config("../configs/nano.textproto").config, 1).codec, 0U);
}

TEST(Plan, WritesBytesForPeople) {
  EXPECT_EQ(bytes_text(0), "0 B");
  EXPECT_EQ(bytes_text(999), "999 B");
  EXPECT_EQ(bytes_text(1536), "1.50 KiB");
  EXPECT_EQ(bytes_text(uint64_t{293} << 30), "293 GiB");
}

}  // namespace
}  // namespace cleared::train
