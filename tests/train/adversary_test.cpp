// An autoencoder that learns beside a discriminator of its own: the same bits whatever happens to
// the run, and a checkpoint that has all of it or is refused.
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "tests/train/forgery.h"
#include "tests/train/train_program.h"

namespace cleared::train {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// It is heard from step 2 on, and checkpoints are of steps 3 and 6.
const std::string kJudge = "discriminator { dim: 2 start: 2 }\n";

std::string vae_text(const std::string& more, const std::string& optimiser = "") {
  return "name: \"tiny-vae\"\nstage: AUTOENCODER\n"
         "purpose { use: TRAIN model: \"cleared-base\" component: [VAE] field_of_use: \"film\" "
         "compute_territory: \"US\" }\n"
         "seed: 7\nsteps: 6\nbatch: 2\n"
         "clip { width: 32 height: 32 frames: 13 frames_per_second: 16 }\n"
         "codec { vae { dim: 4 channels: 4 blocks: 1 } }\n"
         "optimiser { learning_rate: 1e-3 warmup_steps: 1 decay_steps: 2 beta1: 0.9 beta2: 0.95 "
         "weight_decay: 0.01 clip_norm: 1 ema: 0.9 " +
         optimiser + "}\ncheckpoints { every: 3 keep: 0 }\nlog_every: 1\n" + more;
}

class TrainAdversary : public TrainRun {
 protected:
  static GateFixture make(const std::string& more) {
    return GateFixture(vae_text(more), {sample_video(0), sample_video(1), sample_video(2)});
  }
  // Those lines of a list of tensors that have `what` in them.
  static std::string lines(const fs::path& manifest, const std::string& what) {
    std::istringstream in(read_file(manifest));
    std::string found;
    for (std::string line; std::getline(in, line);) {
      if (line.find(what) != std::string::npos) found += line + "\n";
    }
    return found;
  }
};

TEST_F(TrainAdversary, LearnsToTheSameBitsOnRanksAfterAKillAndInAReplay) {
  const GateFixture f = make(kJudge);
  const Ended ended = run(f, "a", {"--json"});
  ASSERT_EQ(ended.code, 0) << ended.output;
  const std::string end = state_of(f.folder() / "a/step-000006").tensors();

  const Ended shared = run(f, "shared", kTwoRanks);
  ASSERT_EQ(shared.code, 0) << shared.output;
  EXPECT_EQ(state_of(f.folder() / "shared/step-000006").tensors(), end);
  {
    Process process(CLEARED_TRAIN, run_args(f, "killed"));
    ASSERT_TRUE(process.wait_for("step 4/")) << process.output();
    process.send(SIGKILL);
    process.wait();
  }
  ASSERT_EQ(run(f, "killed", kTwoRanks).code, 0);
  EXPECT_EQ(state_of(f.folder() / "killed/step-000006").tensors(), end);

  // It says how it does once it is heard, and not before.
  std::istringstream out(ended.output);
  std::string heard;
  for (std::string line; std::getline(out, line);) {
    const auto json = nlohmann::json::parse(line, nullptr, false);
    if (json.is_discarded() || json.value("event", "") != "step") continue;
    heard += json["discriminator_loss"].is_null() ? "-" : "x";
    if (heard.back() == 'x') {
      EXPECT_GT(json["discriminator_loss"].get<double>(), 0);
    }
  }
  EXPECT_EQ(heard, "--xxxx");

  // An auditor comes to the same, from the seed and from a checkpoint.
  const fs::path trust = f.folder() / "both.trust";
  write_file(trust, read_file(f.folder() / "trust") + read_file(f.folder() / "trainer.pub"));
  for (const char* from : {"0", "3"}) {
    const Ended audit =
        train({"replay", f.folder() / "a", "--from", from, "--permit", f.paths().permit, "--trust",
               trust, "--shards", f.paths().shards, "--curate", CLEARED_CURATE});
    EXPECT_EQ(audit.code, 0) << audit.output;
  }
  const Ended start = train({"step0", f.folder() / "a", "--trust", trust});
  EXPECT_EQ(start.code, 0) << start.output;
  EXPECT_THAT(read_file(f.folder() / "a/step0.txt"),
              AllOf(HasSubstr(" model.discriminator.last.weight Float 1 16 3 3 3"),
                    HasSubstr(" optimiser.m.discriminator.0.weight Float 2 3 3 4 4"),
                    HasSubstr(" optimiser.discriminator.steps Long 1"),
                    Not(HasSubstr(" ema.discriminator"))));

  // The autoencoder listens to it, and to its weights alone.
  GateFixture deaf = make("discriminator { dim: 2 start: 2 weight: 0 feature_loss: 0 }\n");
  ASSERT_EQ(run(deaf, "a").code, 0);
  const auto of = [](const GateFixture& g, const char* step) {
    return g.folder() / "a" / step / "tensors.txt";
  };
  EXPECT_NE(lines(of(f, "step-000006"), " model.dec."),
            lines(of(deaf, "step-000006"), " model.dec."));
  GateFixture none = make("");
  ASSERT_EQ(run(none, "a").code, 0);
  EXPECT_EQ(lines(of(none, "step-000006"), " model.dec."),
            lines(of(deaf, "step-000006"), " model.dec."));
  EXPECT_EQ(lines(of(none, "step-000006"), "discriminator"), "");
}

// Until then it is as the seed made it, and nothing else differs from a run without.
TEST_F(TrainAdversary, IsNotThereBeforeItsStart) {
  const GateFixture f = make("discriminator { dim: 2 start: 5 }\n"), none = make("");
  ASSERT_EQ(run(f, "a").code, 0);
  ASSERT_EQ(run(none, "a").code, 0);
  const auto model = [&](const GateFixture& g, const char* part) {
    return lines(g.folder() / "a" / part, " model.");
  };
  const auto its = [&](const char* part) {
    return lines(f.folder() / "a" / part, " model.discriminator.");
  };
  EXPECT_EQ(its("step-000003/tensors.txt"), its("step0.txt"));
  EXPECT_NE(its("step-000006/tensors.txt"), its("step0.txt"));
  EXPECT_EQ(model(f, "step-000003/tensors.txt"),
            lines(none.folder() / "a/step-000003/tensors.txt", " model.dec.") +
                its("step-000003/tensors.txt") +
                lines(none.folder() / "a/step-000003/tensors.txt", " model.enc."));
}

// Signed or not: one that has none would go on with another, and one that has too much hides it.
TEST_F(TrainAdversary, ACheckpointHasItsTensorsOrIsRefused) {
  const GateFixture judged = make(kJudge), alone = make("");
  ASSERT_EQ(run(judged, "a", {"--until", "3"}).code, 0);
  ASSERT_EQ(run(alone, "a", {"--until", "3"}).code, 0);
  const Forgery with = read_forgery(judged.folder() / "a/step-000003"),
                without = read_forgery(alone.folder() / "a/step-000003");
  const auto take = [](const Forgery& from) {
    return [&from](Forgery& forgery) {
      forgery.weights = from.weights;
      forgery.optimiser = from.optimiser;
      forgery.tensors = from.tensors;
    };
  };
  forge(judged, judged.folder() / "a", 3, take(without));
  const Ended missing = run(judged, "a");
  EXPECT_EQ(missing.code, 65) << missing.output;
  EXPECT_THAT(missing.output, HasSubstr("tensor model.discriminator.0.bias is missing"));

  forge(judged, judged.folder() / "a", 3, [&](Forgery& forgery) {
    take(with)(forgery);
    forgery.optimiser = without.optimiser;
  });
  const Ended moments = run(judged, "a");
  EXPECT_EQ(moments.code, 65) << moments.output;
  EXPECT_THAT(moments.output, HasSubstr("tensor discriminator.steps is missing"));

  forge(alone, alone.folder() / "a", 3, take(with));
  const Ended strange = run(alone, "a");
  EXPECT_EQ(strange.code, 65) << strange.output;
  EXPECT_THAT(strange.output, HasSubstr("tensor model.discriminator.0.bias does not belong"));
}

// A step that the guard leaves out is one in which nothing learns.
TEST_F(TrainAdversary, AnOutlierLeavesBothAsTheyWere) {
  // It learns nearly nothing, so that each gradient is about as long as the others, whatever the
  // order of the samples: among twelve some are longer than the median of the four before.
  std::string text =
      vae_text("discriminator { dim: 2 start: 0 }\n", "guard { steps: 4 above: 1.0000001 } ");
  text.replace(text.find("steps: 6"), 8, "steps: 16");
  text.replace(text.find("learning_rate: 1e-3"), 19, "learning_rate: 1e-7");
  GateFixture f(text, {sample_video(0), sample_video(1), sample_video(2)});
  const Ended ended = run(f, "a");
  ASSERT_EQ(ended.code, 0) << ended.output;
  EXPECT_THAT(ended.output, HasSubstr("run.outlier"));
  const Ended two = run(f, "b", kTwoRanks);
  ASSERT_EQ(two.code, 0) << two.output;
  EXPECT_EQ(state_of(f.folder() / "a/step-000016").tensors(),
            state_of(f.folder() / "b/step-000016").tensors());
  const auto steps = [&](const char* name) {
    const std::string line = lines(f.folder() / "a/step-000016/tensors.txt", name);
    return line.substr(0, line.find(' '));
  };
  EXPECT_EQ(steps(" optimiser.steps "), steps(" optimiser.discriminator.steps "));
}

}  // namespace
}  // namespace cleared::train
