// Choices of a recipe that must not cost exactness: Muon, and blocks that are computed again.
#include <gmock/gmock.h>

#include "tests/train/train_program.h"

namespace cleared::train {
namespace {

using testing::HasSubstr;

std::string recipe(const std::string& model, const std::string& optimiser) {
  std::string text = tiny_config(6, 4);
  text.replace(text.find("layers: 1 heads"), 9, "layers: 2" + model);
  return text.replace(text.find("ema: 0.9"), 8, "ema: 0.9" + optimiser);
}

class TrainRecipe : public TrainRun {
 protected:
  // The tensors of a run's last checkpoint, by their digest.
  static std::string tensors(const GateFixture& f, const std::string& out,
                             const std::vector<std::string>& more = {}) {
    const Ended ended = run(f, out, more);
    EXPECT_EQ(ended.code, 0) << ended.output;
    return ended.code == 0 ? state_of(f.folder() / out / "step-000006").tensors() : ended.output;
  }
  static GateFixture of(const std::string& config) {
    return GateFixture(config, {sample_video(0), sample_video(1), sample_video(2)});
  }
};

TEST_F(TrainRecipe, ByMuonARunIsTheSameBrokenOffOnMoreRanksAndMadeAgain) {
  const GateFixture f = of(recipe("", " muon_momentum: 0.95"));
  const std::string straight = tensors(f, "straight");
  ASSERT_EQ(run(f, "broken", {"--until", "3"}).code, 0);
  EXPECT_EQ(tensors(f, "broken"), straight);
  EXPECT_EQ(tensors(f, "two", kTwoRanks), straight);
  const std::string manifest = read_file(f.folder() / "straight/step-000006/tensors.txt");
  EXPECT_THAT(manifest, HasSubstr(" optimiser.m.blocks.0.f1.weight "));
  EXPECT_THAT(manifest, testing::Not(HasSubstr(" optimiser.v.blocks.0.f1.weight ")));

  write_file(f.folder() / "auditor.trust",
             read_file(f.folder() / "trust") + read_file(f.folder() / "trainer.pub"));
  const Ended audit =
      train({"replay", f.folder() / "two", "--from", "3", "--permit", f.paths().permit, "--trust",
             f.folder() / "auditor.trust", "--shards", f.paths().shards, "--curate", CLEARED_CURATE,
             "--nproc-per-node", "1"});
  EXPECT_EQ(audit.code, 0) << audit.output;
  EXPECT_NE(tensors(of(recipe("", "")), "adamw"), straight);
}

TEST_F(TrainRecipe, BlocksComputedAgainGiveTheSameWeights) {
  const std::string kept = tensors(of(recipe("", "")), "kept");
  const GateFixture again = of(recipe(" recompute: true", ""));
  EXPECT_EQ(tensors(again, "again"), kept);
  EXPECT_EQ(tensors(again, "two", kTwoRanks), kept);
}

}  // namespace
}  // namespace cleared::train
