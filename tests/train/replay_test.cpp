// An auditor makes a run again, and whoever lied about it is found out: every forger here holds the
// trainer's own key, and signs what he made up.
#include <gmock/gmock.h>

#include "ledger/digest.h"
#include "tests/train/forgery.h"
#include "tests/train/train_program.h"
#include "train/run_folder.h"

namespace cleared::train {
namespace {

using testing::HasSubstr;

// Whom the auditor trusts: the approver of the permit, and the trainer.
std::string auditor_trust(const GateFixture& f) {
  const fs::path path = f.folder() / "auditor.trust";
  write_file(path, read_file(f.paths().trust) + read_file(f.folder() / "trainer.pub"));
  return path;
}

class TrainReplay : public TrainRun {
 protected:
  static Ended replay(const GateFixture& f, const std::string& run,
                      const std::vector<std::string>& more = {}) {
    const GatePaths paths = f.paths();
    return train(std::vector<std::string>{"replay", f.folder() / run, "--permit", paths.permit,
                                          "--trust", auditor_trust(f), "--shards", paths.shards,
                                          "--curate", CLEARED_CURATE} +
                 more);
  }
  static Ended step0(const GateFixture& f, const std::string& run) {
    return train({"step0", f.folder() / run, "--trust", auditor_trust(f)});
  }
};

TEST_F(TrainReplay, AgreesWithAnHonestRun) {
  GateFixture f = make();
  ASSERT_EQ(run(f, "a").code, 0);
  f.revoke();  // after the run: what was allowed then stays so
  struct Case {
    std::vector<std::string> args;
    const char* says;
  };
  const Case cases[] = {
      {{}, "steps 0 to 2 made again: 3 of 3 lines"},
      {{"--from", "3", "--notices", f.paths().notices}, "steps 3 to 5 made again: 3 of 3 lines"},
      {{"--steps", "6"}, "tensors of 2 checkpoints, bit for bit"},
      {{"--from", "3", "--steps", "2"}, "no checkpoint lies at the end"},
      {{"--tolerance", "1e-3", "--nproc-per-node", "2"}, "of a tensor off"},
  };
  for (const Case& c : cases) {
    const Ended ended = replay(f, "a", c.args);
    EXPECT_EQ(ended.code, 0) << ended.output;
    EXPECT_THAT(ended.output, HasSubstr(c.says));
    EXPECT_THAT(ended.output, HasSubstr("permit judged at 2"));
  }
  const Ended start = step0(f, "a");
  EXPECT_EQ(start.code, 0) << start.output;
  EXPECT_THAT(start.output, HasSubstr("tensors made again from seed 7, as 2 checkpoints say"));
}

TEST_F(TrainReplay, MakesATwoRankRunAgain) {
  const GateFixture f = make();
  ASSERT_EQ(run(f, "a", kTwoRanks).code, 0);
  const Ended ended = replay(f, "a", {"--steps", "6"});
  EXPECT_EQ(ended.code, 0) << ended.output;
  EXPECT_THAT(ended.output, HasSubstr("bit for bit"));
}

TEST_F(TrainReplay, AsksTheGateAndTheFolder) {
  GateFixture f = make();
  ASSERT_EQ(run(f, "a").code, 0);
  const std::string permit = read_file(f.paths().permit);
  struct Case {
    std::vector<std::string> args;
    int code;
    const char* says;
  };
  const Case cases[] = {
      {{"--at", "2099-01-01T00:00:00Z"}, 3, "permit_expired"},
      {{"--at", "yesterday"}, 2, "not a time"},
      {{"--from", "4"}, 66, "--from takes 0 or one of: 3, 6"},
      {{"--from", "6"}, 66, "no checkpoint after step 6"},
      {{"--steps", "7"}, 66, "its last checkpoint is of step 6"},
  };
  for (const Case& c : cases) {
    const Ended ended = replay(f, "a", c.args);
    EXPECT_EQ(ended.code, c.code) << ended.output;
    EXPECT_THAT(ended.output, HasSubstr(c.says));
  }
  f.permit();  // another note, of the same terms
  EXPECT_THAT(replay(f, "a").output, HasSubstr("the run was made under"));
  write_file(f.paths().permit, permit);
  f.damage(1);
  const Ended swapped = replay(f, "a");
  EXPECT_EQ(swapped.code, 3) << swapped.output;
  EXPECT_THAT(swapped.output, HasSubstr("sample_changed: sample clip1"));
}

TEST_F(TrainReplay, FindsWhatAReceiptMadeUp) {
  const GateFixture f = make();
  ASSERT_EQ(run(f, "a").code, 0);
  const fs::path kept = f.folder() / "kept", run = f.folder() / "a";
  fs::copy(run, kept, fs::copy_options::recursive);
  // Line and word of steps.txt: the first line is the codec's.
  const auto change_word = [](size_t line, size_t word, const std::string& to) {
    return [=](Forgery& forgery) {
      size_t at = 0;
      for (size_t i = 0; i < line; ++i) at = forgery.lines.find('\n', at) + 1;
      for (size_t i = 0; i < word; ++i) at = forgery.lines.find(' ', at) + 1;
      const size_t end = forgery.lines.find_first_of(" \n", at);
      forgery.lines.replace(at, end - at, to);
    };
  };
  const std::string other = to_hex(f.manifest().samples[0].digest);
  struct Case {
    const char* name;
    std::function<void(Forgery&)> change;
    const char* says;
  };
  const Case cases[] = {
      {"loss", change_word(2, 3, "3f800000"), "step 1 disagrees: loss: the run says 1, it is"},
      {"norm", change_word(3, 5, "3f800000"), "step 2 disagrees: norm: the run says 1, it is"},
      {"skipped", change_word(1, 6, "skipped"), "step 0 disagrees: applied"},
      {"sample", change_word(3, 7, std::string(64, 'a')), "step 2 disagrees: sample of slot 0"},
      {"codec", change_word(0, 1, std::string(64, 'b')), "step 0 disagrees: samples of the codec"},
      {"seed", [](Forgery& g) { g.state.set_seed(8); }, "step 0 disagrees: config"},
      {"other weights", [](Forgery& g) { g.weights[g.weights.size() - 1] ^= 1; },
       "step 3 disagrees: weights after the step: tensor"},
      {"moments", [](Forgery& g) { g.optimiser[g.optimiser.size() - 1] ^= 1; },
       "step 3 disagrees: weights after the step: tensor optimiser.v."},
  };
  for (const Case& c : cases) {
    fs::remove_all(run);
    fs::copy(kept, run, fs::copy_options::recursive);
    forge(f, run, 3, c.change);
    const Ended ended = replay(f, "a");
    EXPECT_EQ(ended.code, 1) << c.name << ": " << ended.output;
    EXPECT_THAT(ended.output, HasSubstr(c.says)) << c.name;
  }
  // The next receipt no longer follows one that was made up.
  fs::remove_all(run);
  fs::copy(kept, run, fs::copy_options::recursive);
  forge(f, run, 3, cases[0].change);
  const Ended chain = replay(f, "a", {"--from", "3"});
  EXPECT_EQ(chain.code, 1) << chain.output;
  EXPECT_THAT(chain.output, HasSubstr("run receipt of step-000006: receipt before"));

  // Without the trainer's key not even that much: digests and signatures say no.
  fs::remove_all(run);
  fs::copy(kept, run, fs::copy_options::recursive);
  std::string sums = read_file(run / "step-000003/SHA256SUMS");
  const std::string lines = read_file(run / "step-000003/steps.txt");
  const std::string cut = lines.substr(0, lines.rfind("step 2"));
  sums.replace(sums.find(to_hex(ledger::sha256(lines))), 64, to_hex(ledger::sha256(cut)));
  write_file(run / "step-000003/steps.txt", cut);
  write_file(run / "step-000003/SHA256SUMS", sums);
  const Ended unsigned_lines = replay(f, "a");
  EXPECT_EQ(unsigned_lines.code, 65) << unsigned_lines.output;
  EXPECT_THAT(unsigned_lines.output, HasSubstr("speaks of other files"));
}

// The weights come from a run that did something else, and are passed off as what the config, the
// permit and the order of this one make.
TEST_F(TrainReplay, FindsWeightsThatCameAboutInAnotherWay) {
  struct Case {
    const char* name;
    std::string config;
    std::vector<std::string> videos;
    uint64_t taken_from;  // step of the other run's checkpoint
    const char* says;
  };
  const auto replaced = [](std::string text, const std::string& a, const std::string& b) {
    return text.replace(text.find(a), a.size(), b);
  };
  const std::vector<std::string> videos = {sample_video(0), sample_video(1), sample_video(2)};
  const Case cases[] = {
      {"learning rate", replaced(tiny_config(), "learning_rate: 1e-3", "learning_rate: 2e-3"),
       videos, 3, "step 1 disagrees: loss"},
      {"seed", replaced(tiny_config(), "seed: 7", "seed: 8"), videos, 3, "step 0 disagrees: loss"},
      {"shard", tiny_config(), {videos[0], videos[1], videos[0]}, 3, "step 0 disagrees"},
      {"extra step", replaced(tiny_config(), "every: 3", "every: 4"), videos, 4,
       "step 3 disagrees: weights after the step"},
  };
  const GateFixture f = make();
  ASSERT_EQ(run(f, "a").code, 0);
  const fs::path kept = f.folder() / "kept", mine = f.folder() / "a";
  fs::copy(mine, kept, fs::copy_options::recursive);
  for (const Case& c : cases) {
    const GateFixture other(c.config, c.videos);
    const Ended trained = run(other, "b");
    ASSERT_EQ(trained.code, 0) << c.name << ": " << trained.output;
    const Forgery theirs = read_forgery(step_folder(other.folder() / "b", c.taken_from));
    fs::remove_all(mine);
    fs::copy(kept, mine, fs::copy_options::recursive);
    forge(f, mine, 3, [&](Forgery& forgery) {
      // Losses as the other run had them, samples as this one must have consumed them.
      std::string lines;
      for (size_t step = 0; step < 4; ++step) {
        const auto line = [&](const std::string& text) {
          size_t at = 0;
          for (size_t i = 0; i < step; ++i) at = text.find('\n', at) + 1;
          return text.substr(at, text.find('\n', at) - at);
        };
        const std::string right = line(forgery.lines), theirs_line = line(theirs.lines);
        const size_t facts = theirs_line.find("applied");
        lines += (step == 0 ? right
                            : theirs_line.substr(0, facts) + right.substr(right.find("applied"))) +
                 "\n";
      }
      forgery.lines = lines;
      forgery.weights = theirs.weights;
      forgery.optimiser = theirs.optimiser;
    });
    const Ended ended = replay(f, "a");
    EXPECT_EQ(ended.code, 1) << c.name << ": " << ended.output;
    EXPECT_THAT(ended.output, HasSubstr(c.says)) << c.name;
  }
}

TEST_F(TrainReplay, FindsAStartThatIsNotTheSeeds) {
  const GateFixture f = make();
  ASSERT_EQ(run(f, "a").code, 0);
  const fs::path list = f.folder() / "a/step0.txt";
  const std::string honest = read_file(list);
  std::string other = honest;
  const size_t line = other.find(" model.inp.weight");
  ASSERT_NE(line, std::string::npos);
  other[line - 1] = other[line - 1] == '0' ? '1' : '0';
  write_file(list, other);
  const Ended other_list = step0(f, "a");
  EXPECT_EQ(other_list.code, 1) << other_list.output;
  EXPECT_THAT(other_list.output, HasSubstr("where the run began"));

  for (const uint64_t step : {3, 6}) {
    forge(f, f.folder() / "a", step, [&](Forgery& forgery) {
      forgery.state.set_step0(ledger::digest_name(ledger::sha256(other)));
    });
  }
  const Ended pretrained = step0(f, "a");
  EXPECT_EQ(pretrained.code, 1) << pretrained.output;
  EXPECT_THAT(pretrained.output, HasSubstr("tensor model.inp.weight"));
  fs::remove(list);
  EXPECT_EQ(step0(f, "a").code, 66);
}

}  // namespace
}  // namespace cleared::train
