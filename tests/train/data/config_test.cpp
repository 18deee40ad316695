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
  const char *what, *with, *says;
};

TEST(Config, NamesWhatIsWrongAndWhere) {
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
      {"dropout: 0.1", "dropout: 1", "text.dropout"},
      {"dropout: 0.1", "dropout: nan", "text.dropout"},
      {"learning_rate: 1e-3", "learning_rate: 0", "optimiser.learning_rate"},
      {"warmup_steps: 1", "warmup_steps: 5", "warmup_steps + decay_steps"},
      {"ema: 0.9", "ema: 1", "optimiser.ema"},
      {"every: 3", "every: 0", "checkpoints.every"},
      {"name: \"tiny\"", "name: \"../tiny\"", "name"},
      {"component: [GENERATOR, VAE, TEXT_ENCODER]", "", "purpose.component"},
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

}  // namespace
}  // namespace cleared::train
