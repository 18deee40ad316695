#include "train/data/loader.h"

#include <cstdlib>
#include <set>

#include <gtest/gtest.h>

#include "ledger/gate.h"
#include "tests/train/gate_fixture.h"

namespace cleared::train {
namespace {

struct Fixture {
  GateFixture gate{tiny_config(), {"A", "B", "C"}};
  Order order{{.seed = 7, .samples = 3, .batch = 2, .first_step = 0}};

  static DecoderOptions decoder(const char* mode) {
    ::setenv("FAKE_CURATE", mode, 1);
    return {.program = program_beside_this("fake_curate"), .width = 8, .height = 8, .frames = 4};
  }
  std::unique_ptr<Loader> loader(LoaderOptions options, const char* mode = "echo") const {
    options.before.assign(3, 0);
    return std::make_unique<Loader>(std::make_unique<ledger::Gate>(gate.options()),
                                    std::vector{decoder(mode)}, order, options);
  }
};

TEST(Loader, GivesTheStepsInOrderWithTheirSamples) {
  const Fixture f;
  const auto loader = f.loader({.first_step = 1, .end_step = 9});
  for (uint64_t step = 1; step < 9; ++step) {
    const Batch batch = loader->next();
    EXPECT_EQ(batch.step, step);
    ASSERT_EQ(batch.items.size(), 2u);
    for (uint32_t slot = 0; slot < 2; ++slot) {
      const uint64_t sample = f.order.at(step, slot).sample;
      EXPECT_EQ(batch.items[slot].sample, sample);
      EXPECT_EQ(batch.items[slot].caption, "caption " + std::to_string(sample));
      EXPECT_EQ(batch.items[slot].frames[0], "ABC"[sample]);
      EXPECT_EQ(batch.items[slot].digest, f.gate.manifest().samples[sample].digest);
    }
  }
}

// Slots are those of the step, over all ranks.
TEST(Loader, AsksForThePartThatIsOfTheSlot) {
  const Fixture f;
  const auto part = [](uint64_t step, uint32_t slot) {
    return View{.start = static_cast<uint32_t>(100 * step + slot)};
  };
  const auto loader =
      f.loader({.first_step = 1, .end_step = 3, .rank = 1, .ranks = 2, .view = part}, "part");
  EXPECT_EQ(loader->next().items.at(0).frames[0], 101);
  EXPECT_EQ(loader->next().items.at(0).frames[0], 201);
}

// Two ranks see, between them, what one rank sees.
TEST(Loader, SharesAStepAmongRanks) {
  const Fixture f;
  const auto both = f.loader({.first_step = 0, .end_step = 5});
  const auto left = f.loader({.first_step = 0, .end_step = 5, .rank = 0, .ranks = 2});
  const auto right = f.loader({.first_step = 0, .end_step = 5, .rank = 1, .ranks = 2});
  for (int step = 0; step < 5; ++step) {
    const Batch all = both->next();
    EXPECT_EQ(all.items.at(0).digest, left->next().items.at(0).digest);
    EXPECT_EQ(all.items.at(1).digest, right->next().items.at(0).digest);
  }
}

TEST(Loader, StopsAtTheStepWhoseSampleWasChanged) {
  Fixture f;
  f.gate.damage(1);
  uint64_t first = 0;  // step that consumes sample 1 first
  while (f.order.at(first, 0).sample != 1 && f.order.at(first, 1).sample != 1) ++first;
  const auto loader = f.loader({.first_step = 0, .end_step = 9});
  for (uint64_t step = 0; step < first; ++step) loader->next();
  try {
    loader->next();
    FAIL() << "a changed sample was handed over";
  } catch (const ledger::Refused& refused) {
    EXPECT_EQ(refused.verdict().rule, "sample_changed");
    EXPECT_NE(refused.verdict().fact.find("clip1"), std::string::npos);
  }
}

TEST(Loader, StopsWhenAPermitsPassesAreUsedUp) {
  Fixture f;
  f.gate.permit([](ledger::Permit& permit) { permit.mutable_shard(0)->set_max_passes(2); });
  const auto loader = f.loader({.first_step = 0, .end_step = 9});
  for (int step = 0; step < 3; ++step) loader->next();  // 6 slots: two passes of three samples
  EXPECT_THROW(loader->next(), ledger::Refused);
}

// Nobody takes the batches: the loader's end must not wait for that.
TEST(Loader, EndsWhileItsQueueIsFull) {
  const Fixture f;
  for (int i = 0; i < 3; ++i) {
    const auto loader = f.loader({.first_step = 0, .end_step = 1'000'000});
    if (i > 0) loader->next();
  }
  SUCCEED();
}

}  // namespace
}  // namespace cleared::train
