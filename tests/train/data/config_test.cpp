#include "train/data/config.h"

#include <gtest/gtest.h>

#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "tests/train/gate_fixture.h"

namespace cleared::train {
namespace {

TEST(Config, TheOnesWeShipAreGood) {
  const LoadedConfig nano = load_config("../configs/nano.textproto");
  EXPECT_EQ(nano.config.name(), "nano");
  EXPECT_EQ(nano.config.purpose().use(), ledger::TRAIN);
}

// `what` in the tiny config becomes `with`; the error must contain `says`.
struct Case {
  const char* what;
  std::string with;
  const char* says;
};

TEST(Config, NamesWhatIsWrongAndWhere) {
  const auto foreign = [](const std::string& digit, const std::string& part) {
    return " foreign { weights: \"sha256:" + std::string(64, digit[0]) + "\" part: " + part + " }";
  };
  const auto bucket = [](const std::string& shards, const std::string& rest) {
    return " bucket { shards: \"" + shards + "\" " + rest + " }";
  };
  const Case cases[] = {
      {"seed: 7", "sead: 7", "tiny:3:"},
      {"seed: 7", "seed: -7", "tiny:3:"},
      {"seed: 7\n", "", "seed"},
      {"seed: 7", "seed: 7 seed: 8", "tiny:3:"},
      {"use: TRAIN", "use: WATCH", "tiny:2:"},
      {"batch: 2", "batch: 0", "batch: must be between 1"},
      {"batch: 2", "batch: 2\nmicro_batches: 4", "micro_batches: must be a power of two"},
      {"batch: 2", "batch: 6\nmicro_batches: 3", "micro_batches: must be a power of two"},
      {"batch: 2", "batch: 2\nmicro_batches: 0", "micro_batches: must be a power of two"},
      {"steps: 6", "steps: 0", "steps: must be between 1"},
      {"steps: 6", "steps: 6 precision: FLOAT64", "Unknown enumeration value of \"FLOAT64\""},
      {"batch: 2", "batch: 2 stage: AUTOENCODER precision: BF16", "precision: must be FLOAT32"},
      {"width: 64", "width: 60", "clip.width: must be a multiple of 8"},
      {"frames: 16", "frames: 18", "clip.frames: must be a multiple of 4"},
      {"heads: 1", "heads: 5", "model.dim"},
      {"dim: 24", "dim: 10", "model.dim"},
      {"length: 16 dim: 16", "length: 16 dim: 7", "text.dim"},
      {"length: 16 dim: 16", "length: 16 dim: 130", "text.dim"},
      {"dropout: 0.1", "dropout: 1", "text.dropout"},
      {"dropout: 0.1", "dropout: nan", "text.dropout"},
      {"learning_rate: 1e-3", "learning_rate: 0", "optimiser.learning_rate"},
      {"warmup_steps: 1", "warmup_steps: 5", "warmup_steps + decay_steps"},
      {"ema: 0.9", "ema: 1", "optimiser.ema"},
      {"ema: 0.9", "", "optimiser.ema: must be there"},
      {"ema: 0.9", "ema: [0.9, 0.99, 0.9, 0.9, 0.9]", "optimiser.ema: must be there"},
      {"ema: 0.9", "ema: [0.9, 1]", "optimiser.ema"},
      {"ema: 0.9", "ema: 0.9 guard { steps: 3 above: 5 }", "optimiser.guard.steps"},
      {"ema: 0.9", "ema: 0.9 guard { steps: 8 above: 1 }", "optimiser.guard.above"},
      {"ema: 0.9", "ema: 0.9 guard { steps: 8 above: nan }", "optimiser.guard.above"},
      {"fit_samples: 2", "fit_samples: 2 whiten: 1.5", "codec.whiten"},
      {"codec { fit_samples: 2 }", "codec { vae { dim: 8 channels: 4 blocks: 1 } whiten: 0 }",
       "clip.frames"},
      {"ema: 0.9", "ema: 0.9 muon_momentum: 1", "optimiser.muon_momentum"},
      {"seed: 7", "seed: 7 foreign { weights: \"sha256:0\" part: WHOLE }", "foreign.weights"},
      {"seed: 7", "seed: 7" + foreign("0", "TEXT_ENCODER") + foreign("0", "TRANSFORMER"),
       "foreign.weights: must be each"},
      {"seed: 7", "seed: 7" + foreign("0", "WHOLE") + foreign("1", "TRANSFORMER"), "foreign.part"},
      {"seed: 7", "seed: 7" + foreign("0", "TEXT_ENCODER") + foreign("1", "TEXT_ENCODER"),
       "foreign.part"},
      {"seed: 7", "seed: 7" + bucket("a", "width: 64 height: 32 frames: 9 batch: 2"),
       "clip.frames: must be a multiple of 4"},
      {"seed: 7", "seed: 7" + bucket("a", "width: 64 height: 30 frames: 8 batch: 2"),
       "clip.height"},
      {"seed: 7", "seed: 7" + bucket("a", "width: 64 height: 32 frames: 8 batch: 0"),
       "bucket.batch"},
      {"seed: 7",
       "seed: 7 micro_batches: 2" + bucket("a", "width: 64 height: 32 frames: 8 batch: 3"),
       "bucket.batch: must be a multiple of micro_batches"},
      {"seed: 7", "seed: 7" + bucket("", "width: 64 height: 32 frames: 8 batch: 2"),
       "bucket.shards"},
      {"seed: 7",
       "seed: 7" + bucket("a", "width: 64 height: 32 frames: 8 batch: 2") +
           bucket("a", "width: 32 height: 32 frames: 8 batch: 2"),
       "bucket.shards"},
      {"seed: 7", "seed: 7" + bucket("a", "width: 64 height: 32 frames: 8 batch: 2 shift: 0"),
       "bucket.shift"},
      {"steps: 6", "steps: 5000000" + bucket("a", "width: 64 height: 32 frames: 8 batch: 2"),
       "steps: must be at most"},
      {"every: 3", "every: 0", "checkpoints.every"},
      {"every: 3", "every: 3 file_bytes: 0", "checkpoints.file_bytes"},
      {"seed: 7", "seed: 7 discriminator { dim: 2 start: 2 }", "discriminator: must be left out"},
      {"preview { caption: \"a\"", "preview {", "preview.caption: must be there"},
      {"steps: 1 guidance", "steps: 0 guidance", "preview.steps"},
      {"dropout: 0.1", "dropout: 0.1 learning_rate_share: -0.1", "text.learning_rate_share"},
      {"dropout: 0.1", "", "text.dropout: must be there"},
      {"clip { width: 64 height: 64 frames: 16 frames_per_second: 16 }", "", "clip: must be there"},
      {"seed: 7", "seed: 7 masking { share: 0.3 span: 3 }", "masking: must be left out"},
      {"seed: 7", "seed: 7 stage: TEXT_ENCODER", "masking: must be there"},
      {"seed: 7", "seed: 7 stage: TEXT_ENCODER masking { share: 0.3 span: 3 }",
       "clip: must be left out: the text encoder learns from captions alone"},
      {"name: \"tiny\"", "name: \"../tiny\"", "name"},
      {"component: [GENERATOR, VAE, TEXT_ENCODER]", "", "purpose.component"},
      {"use: TRAIN", "use: INGEST", "purpose.use"},
      {"use: TRAIN", "use: EVALUATE", "purpose.use"},
      {"model: \"cleared-base\"", "model: \"*\"", "purpose.model"},
      {"model: \"cleared-base\"", "model: \"\"", "purpose.model"},
      {"field_of_use: \"film\"", "field_of_use: \"Film\"", "purpose.field_of_use"},
      {"compute_territory: \"US\"", "compute_territory: \"\"", "purpose.compute_territory"},
      {"compute_territory: \"US\"", "compute_territory: \"*\"", "purpose.compute_territory"},
  };
  for (const Case& c : cases) {
    std::string text = tiny_config();
    text.replace(text.find(c.what), std::string(c.what).size(), c.with);
    try {
      parse_config(text, "tiny");
      ADD_FAILURE() << "took " << c.with;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Errc::config) << error.what();
      EXPECT_NE(std::string(error.what()).find(c.says), std::string::npos)
          << c.with << ": " << error.what();
    }
  }
  EXPECT_NO_THROW(parse_config(tiny_config(), "tiny"));
}

TEST(Config, NamesWhatIsWrongWithATextEncoder) {
  const std::string good =
      "name: \"tiny\" stage: TEXT_ENCODER seed: 7 steps: 6 batch: 2 log_every: 1\n"
      "purpose { use: TRAIN model: \"m\" component: [TEXT_ENCODER] field_of_use: \"film\" "
      "compute_territory: \"US\" }\n"
      "text { length: 16 dim: 16 layers: 1 }\n"
      "masking { share: 0.3 span: 2 }\n"
      "optimiser { learning_rate: 1e-3 warmup_steps: 1 decay_steps: 2 beta1: 0.9 beta2: 0.95 "
      "weight_decay: 0.01 clip_norm: 1 ema: 0.9 muon_momentum: 0.9 }\n"
      "checkpoints { every: 3 keep: 0 }\nprecision: BF16\n";
  EXPECT_NO_THROW(parse_config(good, "tiny"));
  const Case cases[] = {
      {"[TEXT_ENCODER]", "[VAE]", "purpose.component: must be [TEXT_ENCODER]"},
      {"text { length: 16 dim: 16 layers: 1 }", "", "text: must be there"},
      {"layers: 1", "layers: 0", "text.layers"},
      {"layers: 1", "layers: 1 dropout: 0.1", "text.dropout: must be left out"},
      {"layers: 1", "layers: 1 trained: true", "text.trained: must be left out"},
      {"layers: 1", "layers: 1 learning_rate_share: 1", "text.learning_rate_share: must be left"},
      {"share: 0.3", "share: 0", "masking.share: must be above 0"},
      {"share: 0.3", "share: 1", "masking.share: must be above 0 and below 1"},
      {"share: 0.3", "share: nan", "masking.share"},
      {"span: 2", "span: 0.5", "masking.span: must be between 1 and 64"},
      {"span: 2", "span: nan", "masking.span"},
      {"seed: 7", "seed: 7 codec { fit_samples: 2 }", "codec: must be left out"},
      {"seed: 7", "seed: 7 vary { start: true }", "vary: must be left out"},
      {"seed: 7", "seed: 7 discriminator { dim: 2 start: 2 }", "discriminator: must be left out"},
      {"seed: 7",
       "seed: 7 foreign { weights: \"sha256:" + std::string(64, '0') + "\" part: TEXT_ENCODER }",
       "foreign.part: must be WHOLE"},
      {"seed: 7", "seed: 7 preview { caption: \"a\" steps: 1 guidance: 1 shift: 1 }",
       "preview: must be left out"}};
  for (const Case& c : cases) {
    std::string text = good;
    text.replace(text.find(c.what), std::string(c.what).size(), c.with);
    try {
      parse_config(text, "tiny");
      ADD_FAILURE() << "took " << c.with;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Errc::config) << error.what();
      EXPECT_NE(std::string(error.what()).find(c.says), std::string::npos)
          << c.with << ": " << error.what();
    }
  }
  // Where the encoder comes from is said once.
  std::string twice = tiny_config();
  twice.replace(twice.find("dropout: 0.1"), 12, "dropout: 0.1 trained: true");
  EXPECT_NO_THROW(parse_config(twice, "tiny"));
  twice += "foreign { weights: \"sha256:" + std::string(64, '0') + "\" part: TEXT_ENCODER }\n";
  EXPECT_THROW(parse_config(twice, "tiny"), Error);
}

TEST(Config, NamesWhatIsWrongWithADiscriminator) {
  const auto with = [](const std::string& discriminator) {
    std::string text = tiny_config();
    const auto replace = [&](const std::string& what, const std::string& by) {
      text.replace(text.find(what), what.size(), by);
    };
    replace("frames: 16", "frames: 17");
    replace("fit_samples: 2", "vae { dim: 2 channels: 4 blocks: 1 }");
    return text + "stage: AUTOENCODER discriminator { " + discriminator + " }\n";
  };
  EXPECT_NO_THROW(parse_config(with("dim: 2 start: 0"), "tiny"));
  const std::pair<const char*, const char*> rows[] = {
      {"dim: 0 start: 0", "discriminator.dim"},
      {"dim: 2", "start"},
      {"dim: 2 start: 6", "discriminator.start: must be below steps"},
      {"dim: 2 start: 0 weight: -1", "discriminator.weight"},
      {"dim: 2 start: 0 weight: nan", "discriminator.weight"},
      {"dim: 2 start: 0 feature_loss: 101", "discriminator.feature_loss"}};
  for (const auto& [discriminator, says] : rows) {
    try {
      parse_config(with(discriminator), "tiny");
      ADD_FAILURE() << "took " << discriminator;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Errc::config) << error.what();
      EXPECT_NE(std::string(error.what()).find(says), std::string::npos) << error.what();
    }
  }
}

TEST(Config, AStepIsUpToFourMicroBatchesUnlessItSaysOtherwise) {
  const std::pair<const char*, uint32_t> rows[] = {{"batch: 1", 1},
                                                   {"batch: 2", 2},
                                                   {"batch: 6", 2},
                                                   {"batch: 16", 4},
                                                   {"batch: 16\nmicro_batches: 8", 8},
                                                   {"batch: 16\nmicro_batches: 1", 1}};
  for (const auto& [with, count] : rows) {
    std::string text = tiny_config();
    text.replace(text.find("batch: 2"), std::string("batch: 2").size(), with);
    EXPECT_EQ(micro_batches_of(parse_config(text, "tiny")), count) << with;
  }
}

// What the gate is asked, whatever the config says of it itself.
TEST(Config, ARunWithAPreviewDeclaresThatItGenerates) {
  const std::string with = tiny_config();
  std::string without = with;
  const size_t preview = without.find("preview {");
  without.erase(preview, without.find('\n', preview) + 1 - preview);
  std::string twice = with;
  twice.insert(twice.find("use: TRAIN"), "also: GENERATE_INTERNAL ");
  const std::tuple<std::string, std::vector<int>> rows[] = {
      {with, {ledger::GENERATE_INTERNAL}}, {without, {}}, {twice, {ledger::GENERATE_INTERNAL}}};
  for (const auto& [text, also] : rows) {
    const ledger::Purpose purpose = purpose_of(parse_config(text, "tiny"));
    EXPECT_EQ(std::vector<int>(purpose.also().begin(), purpose.also().end()), also) << text;
    EXPECT_EQ(ledger::declares(purpose, ledger::GENERATE_INTERNAL), !also.empty());
    EXPECT_EQ(purpose.use(), ledger::TRAIN);
  }
}

TEST(Config, AShardIsOfTheBucketWhoseNameFitsLongest) {
  const RunConfig config = parse_config(
      tiny_config() +
          "bucket { shards: \"film\" width: 64 height: 32 frames: 8 batch: 4 shift: 2 }\n"
          "bucket { shards: \"film-wide-\" width: 128 height: 32 frames: 4 batch: 2 }\n",
      "test");
  const std::pair<const char*, size_t> rows[] = {{"nano-000000.tar", 0},
                                                 {"film-000000.tar", 1},
                                                 {"film-wide-000000.tar", 2},
                                                 {"film-wid", 1},
                                                 {"a-film-wide-", 0}};
  for (const auto& [name, shape] : rows) EXPECT_EQ(shape_of_shard(config, name), shape) << name;
  const auto shapes = by_shape(config);
  ASSERT_EQ(shapes.size(), 3u);
  EXPECT_EQ(shapes[0].SerializeAsString(), config.SerializeAsString());
  EXPECT_EQ(shapes[1].clip().height(), 32u);
  EXPECT_EQ(shapes[1].batch(), 4u);
  EXPECT_EQ(shapes[1].flow().shift(), 2);
  EXPECT_EQ(shapes[2].clip().frames(), 4u);
  EXPECT_EQ(shapes[2].flow().shift(), 1);
  EXPECT_EQ(shapes[2].clip().frames_per_second(), 16u);
}

}  // namespace
}  // namespace cleared::train
