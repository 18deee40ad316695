// A text encoder from captions alone, then a transformer that begins with it: which learns on, or
// keeps it as it is.
#include <gmock/gmock.h>

#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "tests/train/forgery.h"
#include "tests/train/train_program.h"
#include "train/run_folder.h"

namespace cleared::train {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

std::string text_config_text(uint64_t steps = 6) {
  std::string text = tiny_config(steps, 4);
  for (const char* part : {"clip", "codec", "model", "preview"}) {
    const size_t at = text.find("\n" + std::string(part) + " {") + 1;
    text.erase(at, text.find('\n', at) + 1 - at);
  }
  text = replaced(text, "[GENERATOR, VAE, TEXT_ENCODER]", "[TEXT_ENCODER]");
  return replaced(text, " dropout: 0.1 }", " vocabulary: 262 }") +
         "stage: TEXT_ENCODER\nmasking { share: 0.3 span: 2 }\n";
}

// A transformer that begins with it.
std::string run_config_text(const std::string& more = " learning_rate_share: 0.1") {
  return replaced(tiny_config(6, 4), "dropout: 0.1",
                  "dropout: 0.1 vocabulary: 262 trained: true" + more);
}

// The lines of a checkpoint's tensors whose names begin like that, without what is before the name.
std::map<std::string, std::string> tensors_like(const fs::path& checkpoint,
                                                const std::string& prefix) {
  std::map<std::string, std::string> found;
  std::istringstream lines(read_file(checkpoint / "tensors.txt"));
  for (std::string digest, name; lines >> digest >> name; std::getline(lines, name)) {
    if (name.starts_with(prefix)) found.emplace(name.substr(prefix.size()), digest);
  }
  return found;
}

class TrainText : public TrainRun {
 protected:
  static GateFixture of(const std::string& config) {
    return GateFixture(config, {sample_video(0), sample_video(1), sample_video(2)});
  }
  static Ended text(const GateFixture& f, const std::string& out,
                    const std::vector<std::string>& more = {}) {
    auto args = run_args(f, out, more);
    args[0] = "text";
    return train(args);
  }
  static std::string trust(const GateFixture& f) {
    const fs::path path = f.folder() / "auditor.trust";
    write_file(path, read_file(f.paths().trust) + read_file(f.folder() / "trainer.pub"));
    return path;
  }
  static Ended replay(const GateFixture& f, const std::string& run,
                      const std::vector<std::string>& more = {}) {
    return train(std::vector<std::string>{"replay", f.folder() / run, "--permit", f.paths().permit,
                                          "--trust", trust(f), "--shards", f.paths().shards,
                                          "--curate", CLEARED_CURATE} +
                 more);
  }
  static Ended step0(const GateFixture& f, const std::string& run,
                     const std::vector<std::string>& more = {}) {
    return train(std::vector<std::string>{"step0", f.folder() / run, "--trust", trust(f)} + more);
  }
  // Trains the encoder, and goes over to a transformer that wants it.
  static fs::path trained(GateFixture& f, const std::string& config) {
    const Ended ended = text(f, "text");
    EXPECT_EQ(ended.code, 0) << ended.output;
    f.adopt(config, f.folder() / "shards");
    return f.folder() / "text/step-000006";
  }
};

TEST_F(TrainText, IsTheSameBrokenOffOnMoreRanksAndMadeAgain) {
  GateFixture f = of(text_config_text());
  // Nothing is decoded: no program is there that could.
  auto args = run_args(f, "straight");
  args[0] = "text";
  *std::find(args.begin(), args.end(), CLEARED_CURATE) = "/none";
  const Ended straight = train(args);
  ASSERT_EQ(straight.code, 0) << straight.output;
  EXPECT_EQ(images(f.folder() / "straight"), 0U);
  ASSERT_EQ(text(f, "broken", {"--until", "3"}).code, 0);
  ASSERT_EQ(text(f, "broken").code, 0);
  ASSERT_EQ(text(f, "two", kTwoRanks).code, 0);
  const State state = state_of(f.folder() / "straight/step-000006");
  for (const char* other : {"broken", "two"}) {
    EXPECT_EQ(state_of(f.folder() / other / "step-000006").tensors(), state.tensors()) << other;
  }
  EXPECT_THAT(read_file(f.folder() / "two/step-000006/tensors.txt"),
              AllOf(HasSubstr(" codec.pairs Long 5 2"), HasSubstr(" model.masking.token Float 16"),
                    HasSubstr(" ema.text.embedding Float 262 16"), Not(HasSubstr("codec.mean"))));
  const Ended again = replay(f, "two", {"--steps", "6", "--nproc-per-node", "1"});
  EXPECT_EQ(again.code, 0) << again.output;
  EXPECT_THAT(again.output, HasSubstr("tensors of 2 checkpoints, bit for bit"));
  const Ended start = step0(f, "two");
  EXPECT_EQ(start.code, 0) << start.output;

  // What the ledger is told: each caption that was read, as the clip that it is of.
  uint64_t passes = 0;
  for (const auto& fact : outbox(f.folder() / "straight")) {
    for (const uint32_t some : fact.consumed_shard().passes()) passes += some;
  }
  EXPECT_EQ(passes, 6U * 4 + 3);  // and once each for the pairs
}

TEST_F(TrainText, LearnsNothingThatTheGateDoesNotClear) {
  GateFixture f = of(text_config_text());
  const std::string permit = read_file(f.paths().permit);
  f.permit([](ledger::Permit& p) { p.set_run("another"); });
  EXPECT_THAT(text(f, "a").output, HasSubstr("permit_other_run"));
  f.permit([](ledger::Permit& p) {
    p.mutable_purpose()->clear_component();
    p.mutable_purpose()->add_component(ledger::VAE);
  });
  const Ended other = text(f, "a");
  EXPECT_EQ(other.code, 3) << other.output;
  EXPECT_THAT(other.output, HasSubstr("permit_other_purpose"));
  f.permit([](ledger::Permit& p) { p.mutable_shard(0)->set_max_passes(8); });
  const Ended passes = text(f, "a");
  EXPECT_EQ(passes.code, 3) << passes.output;
  EXPECT_THAT(passes.output, HasSubstr("passes_exceeded"));
  write_file(f.paths().permit, permit);
  ASSERT_EQ(text(f, "a").code, 0);

  // A receipt that was made up, under the trainer's own key; and another seed.
  const fs::path kept = f.folder() / "kept", run = f.folder() / "a";
  fs::copy(run, kept, fs::copy_options::recursive);
  const auto forged = [&](const std::function<void(Forgery&)>& change) {
    fs::remove_all(run);
    fs::copy(kept, run, fs::copy_options::recursive);
    forge(f, run, 3, change);
    const Ended ended = replay(f, "a");
    EXPECT_EQ(ended.code, 1) << ended.output;
    return ended.output;
  };
  EXPECT_THAT(
      forged([](Forgery& g) { g.lines.replace(g.lines.rfind("loss ") + 5, 8, "3f800000"); }),
      HasSubstr("step 2 disagrees: loss"));
  EXPECT_THAT(forged([](Forgery& g) { g.lines.replace(g.lines.size() - 65, 64, 64, 'a'); }),
              HasSubstr("step 2 disagrees: sample of slot 3"));
  EXPECT_THAT(forged([](Forgery& g) { g.state.set_seed(8); }), HasSubstr("step 0 disagrees"));
  EXPECT_THAT(forged([](Forgery& g) { g.weights.back() ^= 1; }),
              HasSubstr("weights after the step: tensor model.text."));

  f.damage(1);  // a byte of a clip whose caption is read
  const Ended damaged = text(f, "b");
  EXPECT_EQ(damaged.code, 3) << damaged.output;
  EXPECT_THAT(damaged.output, HasSubstr("sample_changed"));
  f.revoke();
  const Ended revoked = text(f, "c");
  EXPECT_EQ(revoked.code, 3) << revoked.output;
  EXPECT_THAT(revoked.output, HasSubstr("revoked"));
}

TEST_F(TrainText, ATransformerBeginsWithItAndSaysSo) {
  GateFixture f = of(text_config_text());
  const fs::path encoder = trained(f, run_config_text());
  const Ended none = run(f, "none");
  EXPECT_EQ(none.code, 78) << none.output;
  EXPECT_THAT(none.output, HasSubstr("--text"));
  const std::vector<std::string> with = {"--text", encoder};
  const Ended ended = run(f, "a", with);
  ASSERT_EQ(ended.code, 0) << ended.output;
  EXPECT_EQ(images(f.folder() / "a"), 2U);
  ASSERT_EQ(run(f, "two", with + kTwoRanks).code, 0);
  ASSERT_EQ(run(f, "broken", with + std::vector<std::string>{"--until", "3"}).code, 0);
  const Ended resumed = run(f, "broken");
  ASSERT_EQ(resumed.code, 0) << resumed.output;
  EXPECT_THAT(resumed.output, HasSubstr("what the text encoder learned from is not known"));
  const fs::path last = f.folder() / "a/step-000006";
  const State state = state_of(last);
  EXPECT_EQ(state.text_encoder(), state_of(encoder).weights());
  EXPECT_EQ(state_of(f.folder() / "two/step-000006").tensors(), state.tensors());
  EXPECT_EQ(state_of(f.folder() / "broken/step-000006").tensors(), state.tensors());
  EXPECT_EQ(state_of(f.folder() / "broken/step-000006").text_encoder(), state.text_encoder());

  // Its weights, averaged, and its pairs; then they learn on. The rest is the seed's.
  std::string began = read_file(f.folder() / "a/step0.txt");
  for (const auto& [name, digest] : tensors_like(encoder, "ema.text.")) {
    EXPECT_THAT(began, HasSubstr(digest + " model.text." + name + " "));
  }
  EXPECT_EQ(tensors_like(last, "codec.pairs"), tensors_like(encoder, "codec.pairs"));
  EXPECT_NE(tensors_like(last, "model.text."), tensors_like(encoder, "ema.text."));
  std::vector<ledger::Fact> facts = outbox(f.folder() / "a");
  size_t named = 0;
  uint64_t passes = 0;
  for (const auto& fact : facts) {
    named +=
        fact.checkpoint().text_encoder() == ledger::parse_digest_name(state.text_encoder())->text();
    for (const uint32_t some : fact.consumed_shard().passes()) passes += some;
  }
  EXPECT_EQ(named, 2U);
  EXPECT_EQ(passes, 6U * 4 + 2);  // no caption is read for pairs: the codec's two samples are

  EXPECT_EQ(replay(f, "two", with + std::vector<std::string>{"--nproc-per-node", "1"}).code, 0);
  const Ended from = replay(f, "a", {"--from", "3"});
  EXPECT_EQ(from.code, 0) << from.output;
  const Ended start = step0(f, "a", with);
  EXPECT_EQ(start.code, 0) << start.output;
  EXPECT_THAT(start.output, HasSubstr("from the text encoder of " + state.text_encoder()));
  EXPECT_EQ(step0(f, "a").code, 78);
  // Another checkpoint of it is another beginning.
  const std::vector<std::string> other = {"--text", f.folder() / "text/step-000003"};
  for (const Ended& lie : {replay(f, "a", other), step0(f, "a", other)}) {
    EXPECT_EQ(lie.code, 1) << lie.output;
    EXPECT_THAT(lie.output, HasSubstr("disagrees: text encoder"));
  }

  // One of another shape, and what is none.
  f.adopt(replaced(run_config_text(), "length: 16 dim: 16", "length: 16 dim: 32"),
          f.folder() / "shards");
  const Ended shape = run(f, "shape", with);
  EXPECT_EQ(shape.code, 78) << shape.output;
  EXPECT_THAT(shape.output, HasSubstr("is another than this config has"));
  f.release(*ledger::parse_digest_name(state_of(encoder).weights()));
  const Ended clip = train({"sample", "--checkpoint", encoder, "--out", f.folder() / "a.gif",
                            "--caption", "a", "--release", f.folder() / "a.release", "--trust",
                            f.folder() / "trust-release", "--notices", f.paths().notices});
  EXPECT_EQ(clip.code, 78) << clip.output;
  EXPECT_THAT(clip.output, HasSubstr("is of a text encoder alone"));
}

// At no learning rate it stays as it is, costs no moments, and its states are computed once: the
// same bits whoever asks for which caption first.
TEST_F(TrainText, StaysAsItIsWhereItDoesNotLearn) {
  GateFixture f = of(text_config_text());
  const std::string config = run_config_text(" learning_rate_share: 0");
  const fs::path encoder = trained(f, replaced(config, "ema: 0.9", "ema: 0.9 ema: 0.3"));
  const std::vector<std::string> with = {"--text", encoder};
  const Ended ended = run(f, "a", with);
  ASSERT_EQ(ended.code, 0) << ended.output;
  ASSERT_EQ(run(f, "two", with + kTwoRanks).code, 0);
  ASSERT_EQ(run(f, "broken", with + std::vector<std::string>{"--until", "3"}).code, 0);
  ASSERT_EQ(run(f, "broken", kTwoRanks).code, 0);
  const fs::path last = f.folder() / "a/step-000006";
  EXPECT_EQ(state_of(f.folder() / "two/step-000006").tensors(), state_of(last).tensors());
  EXPECT_EQ(state_of(f.folder() / "broken/step-000006").tensors(), state_of(last).tensors());
  const auto its = tensors_like(encoder, "ema.text.");
  EXPECT_FALSE(its.empty());
  for (const char* prefix : {"model.text.", "ema.text.", "ema2.text."}) {
    EXPECT_EQ(tensors_like(last, prefix), its) << prefix;
  }
  EXPECT_TRUE(tensors_like(last, "optimiser.m.text.").empty());
  EXPECT_FALSE(tensors_like(last, "optimiser.m.blocks.").empty());
  const Ended again =
      replay(f, "two", with + std::vector<std::string>{"--steps", "6", "--nproc-per-node", "1"});
  EXPECT_EQ(again.code, 0) << again.output;
  const Ended start = step0(f, "a", with);
  EXPECT_EQ(start.code, 0) << start.output;
  f.release(*ledger::parse_digest_name(state_of(last).weights()));
  const Ended clip = train({"sample", "--checkpoint", last, "--out", f.folder() / "a.gif",
                            "--caption", "a", "--release", f.folder() / "a.release", "--trust",
                            f.folder() / "trust-release", "--notices", f.paths().notices});
  EXPECT_EQ(clip.code, 0) << clip.output;
}

// The permit was judged for clips of its own footage.
TEST_F(TrainText, WhatLearnedFromOthersCaptionsIsNotShown) {
  GateFixture f = of(text_config_text());
  ledger::write_shard(f.folder() / "more", "more-000000.tar",
                      {{.key = "other",
                        .members = {{"webm", sample_video(2)}, {"json", "{}"}, {"txt", "another"}},
                        .clip = ledger::sha256("another clip"),
                        .duration_us = 1'000'000}},
                      {"demo-licence@1"});
  f.adopt(text_config_text(), f.folder() / "more");
  const fs::path encoder = trained(f, run_config_text());
  const Ended silent = run(f, "silent", {"--text", encoder});
  EXPECT_EQ(silent.code, 0) << silent.output;
  EXPECT_THAT(silent.output,
              HasSubstr("the text encoder learned from clips that are not in the permit (1)"));
  EXPECT_EQ(images(f.folder() / "silent"), 0U);
}

}  // namespace
}  // namespace cleared::train
