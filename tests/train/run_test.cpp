// The train program from end to end, on three real clips and a model as small as it gets: what it
// promises about resuming, refusing, stopping and telling the ledger.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <map>
#include <sstream>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ledger/base/clock.h"
#include "ledger/base/file.h"
#include "ledger/bundle.h"
#include "ledger/digest.h"
#include "ledger/key.h"
#include "ledger/merkle.h"
#include "ledger/note.h"
#include "ledger/notes.pb.h"
#include "ledger/record.pb.h"
#include "ledger/textproto.h"
#include "tests/train/forgery.h"
#include "tests/train/train_program.h"
#include "train/receipt.h"
#include "train/run_folder.h"
#include "train/totals.h"

namespace cleared::train {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

TEST_F(TrainRun, GivesTheSameBitsBrokenOrUnbroken) {
  const GateFixture f = make();
  const Ended unbroken = run(f, "a", kTwoRanks);
  ASSERT_EQ(unbroken.code, 0) << unbroken.output;
  ASSERT_EQ(run(f, "b", kTwoRanks + std::vector<std::string>{"--until", "2"}).code, 0);
  const Ended resumed = run(f, "b", kTwoRanks);
  ASSERT_EQ(resumed.code, 0) << resumed.output;
  EXPECT_THAT(resumed.output, HasSubstr("from step-000002"));
  EXPECT_EQ(state_of(f.folder() / "a/step-000006").tensors(),
            state_of(f.folder() / "b/step-000006").tensors());

  // The same run, back to the checkpoint before: the files are the same to the last byte.
  const fs::path last = f.folder() / "a/step-000006";
  const std::string sums = read_file(last / "SHA256SUMS");
  fs::remove_all(last);
  fs::remove_all(f.folder() / "a/outbox");  // which told of it
  ASSERT_EQ(run(f, "a", kTwoRanks).code, 0);
  EXPECT_EQ(read_file(last / "SHA256SUMS"), sums);
  const std::string name = state_of(last).run();
  const Ended from = run(f, "a", kTwoRanks + std::vector<std::string>{"--from", "3"});
  ASSERT_EQ(from.code, 0) << from.output;
  EXPECT_EQ(read_file(f.folder() / "a/superseded-1/step-000006/SHA256SUMS"), sums);
  EXPECT_EQ(state_of(last).tensors(), state_of(f.folder() / "b/step-000006").tensors());
  EXPECT_NE(state_of(last).run(), name);
}

// Steps that are made again are another run's: what was told of the first one stays told, and what
// it consumed consumed.
TEST_F(TrainRun, StepsThatAreMadeAgainAreAnotherRuns) {
  GateFixture f = make();
  const auto limit = [&](uint32_t passes) {
    f.permit([&](ledger::Permit& p) { p.mutable_shard(0)->set_max_passes(passes); });
  };
  limit(20);
  ASSERT_EQ(run(f, "a", {"--until", "3"}).code, 0);
  ASSERT_EQ(run(f, "a").code, 0);  // tells nothing twice
  const fs::path last = f.folder() / "a/step-000006";
  const std::string first = state_of(last).run(),
                    parent = state_of(f.folder() / "a/step-000003").weights();
  const Ended from = run(f, "a", {"--from", "3", "--threads", "2"});
  ASSERT_EQ(from.code, 0) << from.output;
  const std::string second = state_of(last).run();
  EXPECT_NE(first, second);
  EXPECT_EQ(state_of(last).parent(), parent);
  std::map<std::string, std::vector<std::pair<uint64_t, uint64_t>>> told;
  std::map<std::pair<std::string, uint64_t>, uint64_t> passes;
  for (const ledger::Fact& fact : outbox(f.folder() / "a")) {
    if (fact.has_receipt()) {
      EXPECT_TRUE(fact.receipt().has_machine_us());
      ledger::ReceiptText text;
      ledger::parse_textproto(ledger::parse_note(fact.receipt().note()).text, "receipt", text);
      told[text.receipt().run()].emplace_back(text.receipt().first_step(),
                                              text.receipt().end_step());
    }
    const auto& consumed = fact.consumed_shard();
    for (const uint32_t some : consumed.passes())
      passes[{consumed.run(), consumed.end_step()}] += some;
  }
  for (auto& [name, spans] : told) std::sort(spans.begin(), spans.end());
  EXPECT_EQ(told[first], (std::vector<std::pair<uint64_t, uint64_t>>{{0, 3}, {3, 6}}));
  EXPECT_EQ(told[second], (std::vector<std::pair<uint64_t, uint64_t>>{{3, 6}}));
  uint64_t total = 0;
  for (const auto& [sample, its] : parse_totals(read_file(last / "totals.txt"), "totals")) {
    total += its.passes;
  }
  EXPECT_EQ((passes[{first, 3}] + passes[{second, 6}]), total);
  // What was told and is gone is not made again as if it had not been.
  fs::rename(last, f.folder() / "away");
  const Ended gone = run(f, "a", {"--threads", "1"});
  EXPECT_EQ(gone.code, 66) << gone.output;
  EXPECT_THAT(gone.output, AllOf(HasSubstr(second + " up to step 6"), HasSubstr("step-000006"),
                                 HasSubstr("--from 3")));
  fs::rename(f.folder() / "away", last);
  ASSERT_EQ(run(f, "a", {"--threads", "2"}).code, 0);
  EXPECT_EQ(state_of(last).run(), second);
  fs::remove_all(last);
  ASSERT_EQ(run(f, "a", {"--from", "3"}).code, 0);
  EXPECT_NE(state_of(last).run(), second);
  for (const char* step : {"a/step-000003", "a/step-000006"}) fs::remove_all(f.folder() / step);
  const Ended all = run(f, "a");
  EXPECT_EQ(all.code, 66) << all.output;
  EXPECT_THAT(all.output, HasSubstr("--from 0"));

  limit(6);  // a whole run takes 5
  ASSERT_EQ(run(f, "b").code, 0);
  for (const auto& how : {std::vector<std::string>{"--from", "0"}, {"--from", "3"}, {"--fresh"}}) {
    const Ended ended = run(f, "b", how + std::vector<std::string>{"--threads", "2"});
    EXPECT_EQ(ended.code, 3) << how[0] << ": " << ended.output;
    EXPECT_THAT(ended.output, HasSubstr("passes_exceeded"));
    EXPECT_TRUE(fs::exists(f.folder() / "b/step-000006"));
  }
}

// Whatever permit the newest checkpoint is under, and whether the older ones are still there.
TEST_F(TrainRun, PassesStayConsumedUnderEveryPermit) {
  for (const char* keep : {"keep: 0", "keep: 1"}) {
    std::string config = tiny_config();
    config.replace(config.find("keep: 0"), 7, keep);
    GateFixture f(config, {sample_video(0), sample_video(1), sample_video(2)});
    const auto permit = [&](uint64_t tree_size) {
      f.permit([&](ledger::Permit& p) {
        p.mutable_shard(0)->set_max_passes(6);  // a whole run takes 5
        p.set_tree_size(tree_size);
      });
      return read_file(f.paths().permit);
    };
    const std::string first = permit(9);
    ASSERT_EQ(run(f, "a").code, 0);
    const std::string second = permit(10);
    ASSERT_EQ(run(f, "a", {"--from", "0", "--until", "3"}).code, 0);
    for (const std::string& either : {first, second}) {
      write_file(f.paths().permit, either);
      const Ended ended = run(f, "a", {"--fresh", "--threads", "2"});
      EXPECT_EQ(ended.code, 3) << keep << ": " << ended.output;
      EXPECT_THAT(ended.output, HasSubstr("passes_exceeded"));
    }
    write_file(f.paths().permit, second);
    EXPECT_EQ(run(f, "a").code, 0);  // goes on
    permit(11);
    EXPECT_EQ(run(f, "a", {"--fresh"}).code, 0);  // nothing was consumed under this one
  }
}

// A permit for a run that goes on has allowed for what the run consumed by the record, and for no
// more: what is consumed since then counts once, however often the run is broken off.
TEST_F(TrainRun, ConsumesWhatAPermitLeavesItAndNoMore) {
  for (const char* keep : {"keep: 0", "keep: 1"}) {
    std::string config = tiny_config();
    config.replace(config.find("keep: 0"), 7, keep);
    GateFixture f(config, {sample_video(0), sample_video(1), sample_video(2)});
    const auto permit = [&](uint32_t passes, const std::string& counted) {
      f.permit([&](ledger::Permit& p) {
        p.mutable_shard(0)->set_max_passes(passes);
        if (counted.empty()) return;
        p.set_tree_size(10);
        p.mutable_counted()->set_run(counted);
        p.mutable_counted()->set_end_step(3);
      });
      return read_file(f.paths().permit);
    };
    const auto refuses = [&](const std::string& out, const std::vector<std::string>& how,
                             const char* rule) {
      const Ended ended = run(f, out, how);
      EXPECT_EQ(ended.code, 3) << keep << ": " << ended.output;
      EXPECT_THAT(ended.output, HasSubstr(rule));
    };
    const std::string first = permit(5, "");  // a whole run
    ASSERT_EQ(run(f, "a", {"--until", "3"}).code, 0);
    const std::string name = state_of(f.folder() / "a/step-000003").run();
    permit(1, name);
    refuses("a", {}, "passes_exceeded");
    const std::string just = permit(2, name);  // three steps of two are two passes of three samples
    ASSERT_EQ(run(f, "a", {"--until", "4"}).code, 0);
    fs::copy(f.folder() / "a", f.folder() / "lost", fs::copy_options::recursive);
    ASSERT_EQ(run(f, "a", {"--until", "5"}).code, 0);
    fs::copy(f.folder() / "a", f.folder() / "again", fs::copy_options::recursive);
    const Ended ended = run(f, "a");
    ASSERT_EQ(ended.code, 0) << keep << ": " << ended.output;
    EXPECT_EQ(state_of(f.folder() / "a/step-000006").run(), name);
    EXPECT_EQ(run(f, "a").code, 0);
    // The same passes are not there twice.
    refuses("a", {"--from", "0"}, "permit_other_run");
    refuses("a", {"--fresh"}, "permit_other_run");
    if (keep == std::string("keep: 0")) {
      refuses("a", {"--from", "3"}, "passes_exceeded");
      refuses("a", {"--from", "5"}, "passes_exceeded");
      // Made again, it is another run under the same permit, and goes on as that.
      write_file(f.paths().permit, permit(4, name));
      ASSERT_EQ(run(f, "a", {"--from", "3", "--until", "5"}).code, 0);
      ASSERT_EQ(run(f, "a").code, 0);
      EXPECT_NE(state_of(f.folder() / "a/step-000006").run(), name);
      refuses("a", {"--from", "3"}, "passes_exceeded");
    }

    // What leads to a checkpoint must have been told, as it was signed for.
    write_file(f.paths().permit, just);
    std::vector<fs::path> bundles;
    for (const auto& entry : fs::directory_iterator(f.folder() / "again/outbox")) {
      bundles.push_back(entry.path());
    }
    size_t forged = 0;
    for (const fs::path& bundle : bundles) {
      const std::vector<ledger::Fact> facts = ledger::read_bundle(bundle);
      std::vector<ledger::Fact> less;
      bool later = false;  // than what the permit has counted
      for (const ledger::Fact& fact : facts) {
        if (!fact.has_consumed_shard()) less.push_back(fact);
        later = later || (fact.has_checkpoint() && fact.checkpoint().step() > 3);
      }
      if (!later) continue;
      ++forged;
      fs::remove(bundle);
      const fs::path in_its_place = ledger::write_bundle(f.folder() / "again/outbox", less);
      refuses("again", {}, "passes_exceeded");
      fs::remove(in_its_place);
      ledger::write_bundle(f.folder() / "again/outbox", facts);
    }
    EXPECT_EQ(forged, 2U);
    EXPECT_EQ(run(f, "again").code, 0);
    fs::remove_all(f.folder() / "lost/outbox");
    fs::remove_all(f.folder() / "lost/step-000003");
    refuses("lost", {}, "passes_exceeded");

    // Steps that no record had when the permit was made, whatever they were under.
    write_file(f.paths().permit, first);
    ASSERT_EQ(run(f, "b", {"--until", "3"}).code, 0);
    const std::string other = state_of(f.folder() / "b/step-000003").run();
    ASSERT_EQ(run(f, "b").code, 0);
    permit(1, other);
    refuses("b", {}, "passes_exceeded");
    permit(3, other);
    EXPECT_EQ(run(f, "b").code, 0);  // two of them
    if (keep == std::string("keep: 1")) continue;
    refuses("b", {"--from", "3"}, "passes_exceeded");
    permit(4, other);
    EXPECT_EQ(run(f, "b", {"--from", "3"}).code, 0);
  }
}

// Killed between a checkpoint and its bundle, and then told to begin elsewhere.
TEST_F(TrainRun, TellsWhatItConsumedBeforeItIsSetAside) {
  const GateFixture f = make();
  const fs::path a = f.folder() / "a";
  const auto receipts = [&](const fs::path& folder) {
    std::map<std::pair<std::string, uint64_t>, fs::path> out;  // by run and end: the bundle
    for (const auto& entry : fs::directory_iterator(folder / "outbox")) {
      for (const ledger::Fact& fact : ledger::read_bundle(entry.path())) {
        if (!fact.has_receipt()) continue;
        ledger::ReceiptText text;
        ledger::parse_textproto(ledger::parse_note(fact.receipt().note()).text, "receipt", text);
        out[{text.receipt().run(), text.receipt().end_step()}] = entry.path();
      }
    }
    return out;
  };
  ASSERT_EQ(run(f, "a").code, 0);
  const std::string first = state_of(a / "step-000006").run();
  fs::remove(receipts(a).at({first, 6}));
  // What is told does not depend on the weights.
  write_file(a / "step-000006/weights.safetensors", "damaged");
  ASSERT_EQ(run(f, "a", {"--from", "3"}).code, 0);
  EXPECT_TRUE(receipts(a).contains({first, 6}));
  const std::string second = state_of(a / "step-000006").run();
  fs::remove(receipts(a).at({second, 6}));
  ASSERT_EQ(run(f, "a", {"--fresh"}).code, 0);
  EXPECT_TRUE(receipts(a / "superseded-2").contains({second, 6}));
}

TEST_F(TrainRun, ItsFolderSaysWhoseItIs) {
  const GateFixture f = make();
  const fs::path a = f.folder() / "a", file = a / "run.textproto";
  ASSERT_EQ(run(f, "a", {"--until", "3"}).code, 0);
  const std::string good = read_file(file);
  fs::remove(file);
  ASSERT_EQ(run(f, "a").code, 0);
  EXPECT_EQ(read_file(file), good);
  fs::remove(file);
  fs::remove_all(a / "outbox");
  ASSERT_EQ(run(f, "a").code, 0);
  EXPECT_EQ(read_file(file), good);
  ASSERT_EQ(run(f, "b", {"--until", "3"}).code, 0);
  fs::copy_file(f.folder() / "b/run.textproto", file, fs::copy_options::overwrite_existing);
  const Ended foreign = run(f, "a");
  EXPECT_EQ(foreign.code, 65) << foreign.output;
  EXPECT_THAT(foreign.output, HasSubstr("run.textproto: is of run "));
  write_file(file, good);
  fs::rename(a / "step-000006", a / "step-000004");
  const Ended moved = run(f, "a");
  EXPECT_EQ(moved.code, 65) << moved.output;
  EXPECT_THAT(moved.output, HasSubstr("holds the state of step 6"));
}

class TrainPrecision : public TrainRun, public testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(Of, TrainPrecision, testing::Values("FLOAT32", "BF16"),
                         [](const auto& type) { return std::string(type.param); });

TEST_P(TrainPrecision, GoesOnAfterBeingKilled) {
  const GateFixture f(tiny_config(40) + "precision: " + GetParam() + "\n",
                      {sample_video(0), sample_video(1), sample_video(2)});
  ASSERT_EQ(run(f, "a", kTwoRanks).code, 0);
  {
    Process process(CLEARED_TRAIN, run_args(f, "b", kTwoRanks));
    ASSERT_TRUE(process.wait_for("step-000006")) << process.output();
    process.send(SIGKILL);
    process.wait();
  }
  const Ended resumed = run(f, "b", kTwoRanks);
  ASSERT_EQ(resumed.code, 0) << resumed.output;
  EXPECT_EQ(state_of(f.folder() / "a/step-000040").tensors(),
            state_of(f.folder() / "b/step-000040").tensors());
}

TEST_F(TrainRun, StopsWithACheckpointWhenAsked) {
  const GateFixture f = make(100'000);
  Process process(CLEARED_TRAIN, run_args(f, "a", kTwoRanks));
  ASSERT_TRUE(process.wait_for("step 4/")) << process.output();
  process.send(SIGTERM);
  EXPECT_EQ(process.wait(), 75) << process.output();
  EXPECT_THAT(process.output(), HasSubstr("run the same command again"));
  EXPECT_FALSE(fs::is_empty(f.folder() / "a/outbox"));
}

// Weights, moments, average and losses to the bit, and so has a run that stopped on two ranks and
// went on with four, then one. An auditor with one rank makes all of it again.
TEST_P(TrainPrecision, GivesTheSameBitsOnOneTwoAndFourRanks) {
  const GateFixture f(tiny_config(6, 4) + "precision: " + GetParam() + "\n",
                      {sample_video(0), sample_video(1), sample_video(2)});
  const auto ranks = [](int count) {
    return std::vector<std::string>{"--nproc-per-node", std::to_string(count)};
  };
  const auto until = [](int step) {
    return std::vector<std::string>{"--until", std::to_string(step)};
  };
  ASSERT_EQ(run(f, "one", ranks(1)).code, 0);
  ASSERT_EQ(run(f, "two", ranks(2)).code, 0);
  ASSERT_EQ(run(f, "four", ranks(4)).code, 0);
  ASSERT_EQ(run(f, "mixed", ranks(2) + until(2)).code, 0);
  ASSERT_EQ(run(f, "mixed", ranks(4) + until(4)).code, 0);
  ASSERT_EQ(run(f, "mixed", ranks(1)).code, 0);
  const State one = state_of(f.folder() / "one/step-000006");
  for (const char* other : {"two", "four", "mixed"}) {
    const State state = state_of(f.folder() / other / "step-000006");
    EXPECT_EQ(state.tensors(), one.tensors()) << other;
    EXPECT_EQ(state.first_loss(), one.first_loss()) << other;
    EXPECT_EQ(state.smooth_loss(), one.smooth_loss()) << other;
    EXPECT_EQ(read_file(f.folder() / "one/step-000006/totals.txt"),
              read_file(f.folder() / other / "step-000006/totals.txt"));
  }
  const Ended three = run(f, "three", ranks(3));
  EXPECT_EQ(three.code, 78) << three.output;
  write_file(f.folder() / "auditor",
             read_file(f.paths().trust) + read_file(f.folder() / "trainer.pub"));
  const Ended replayed =
      train({"replay", f.folder() / "mixed", "--permit", f.paths().permit, "--trust",
             f.folder() / "auditor", "--shards", f.paths().shards, "--curate", CLEARED_CURATE,
             "--steps", "6", "--nproc-per-node", "1"});
  EXPECT_EQ(replayed.code, 0) << replayed.output;
  EXPECT_THAT(replayed.output, HasSubstr("bit for bit"));
}

// c10d's Reducer sums in the order of the ranks: the same step but for the last bits.
TEST_F(TrainRun, SeesTheSameStepOnOneRankAndOnTwoByTheReducer) {
  const GateFixture f(tiny_config() + "gradients: REDUCER\n",
                      {sample_video(0), sample_video(1), sample_video(2)});
  ASSERT_EQ(run(f, "one").code, 0);
  ASSERT_EQ(run(f, "two", kTwoRanks).code, 0);
  const State one = state_of(f.folder() / "one/step-000003");
  const State two = state_of(f.folder() / "two/step-000003");
  EXPECT_NEAR(one.first_loss(), two.first_loss(), 1e-6);
  EXPECT_NEAR(one.smooth_loss(), two.smooth_loss(), 1e-4);
}

TEST_F(TrainRun, RefusesAShardOfWhichOneByteWasChanged) {
  GateFixture f = make();
  f.damage(2);
  const Ended ended = run(f, "a", kTwoRanks);
  EXPECT_EQ(ended.code, 3) << ended.output;
  EXPECT_THAT(ended.output, HasSubstr("sample_changed: sample clip2"));
  const Ended check = train(std::vector<std::string>{"check"} + gate_args(f));
  EXPECT_EQ(check.code, 3);
  EXPECT_THAT(check.output, HasSubstr("sample_changed: sample clip2"));

  const auto facts = outbox(f.folder() / "a");
  const auto& refusal = facts.back().refusal();
  EXPECT_EQ(refusal.act(), "train");
  EXPECT_EQ(refusal.rule(), "sample_changed");
}

TEST_F(TrainRun, RefusesARevokedLicenceBeforeTheFirstStep) {
  GateFixture f = make();
  f.revoke();
  const Ended ended = run(f, "a", kTwoRanks);
  EXPECT_EQ(ended.code, 3) << ended.output;
  EXPECT_THAT(ended.output, HasSubstr("revoked: licence demo-licence"));
  EXPECT_EQ(outbox(f.folder() / "a").at(0).refusal().rule(), "revoked");
}

// Ranks that stopped at different steps would wait for each other until the world's timeout.
TEST_F(TrainRun, StopsAllRanksAtOneStepWhenARevocationArrives) {
  GateFixture f = make(100'000);
  Process process(CLEARED_TRAIN, run_args(f, "a", kTwoRanks));
  ASSERT_TRUE(process.wait_for("step 5/")) << process.output();
  f.revoke();
  EXPECT_EQ(process.wait(), 3) << process.output();
  EXPECT_THAT(process.output(), HasSubstr("revoked: licence demo-licence"));
  EXPECT_THAT(process.output(), HasSubstr("stopped after step"));
  size_t refusals = 0;
  for (const auto& fact : outbox(f.folder() / "a")) refusals += fact.has_refusal() ? 1 : 0;
  EXPECT_EQ(refusals, 1u);
}

// The permit ends a while after the ranks have begun; a machine that is slower to begin gets one
// that lasts longer.
TEST_F(TrainRun, StopsAllRanksAtOneStepWhenThePermitExpires) {
  for (const uint64_t seconds : {10, 40, 160}) {
    GateFixture f = make(100'000);
    f.permit([&](ledger::Permit& permit) {
      permit.set_expires_at(format_time(now_us() + seconds * 1'000'000));
    });
    const Ended ended = run(f, "a", kTwoRanks);
    ASSERT_EQ(ended.code, 3) << ended.output;
    EXPECT_THAT(ended.output, HasSubstr("permit_expired"));
    const auto steps = checkpoint_steps(f.folder() / "a");
    if (steps.empty()) continue;
    EXPECT_THAT(ended.output, HasSubstr("stopped after step " + std::to_string(steps.back())));
    EXPECT_EQ(state_of(step_folder(f.folder() / "a", steps.back())).ranks(), 2U);
    return;
  }
  FAIL() << "no step within minutes";
}

// What was checked when the shard was opened is checked again in the bytes that are decoded.
TEST_F(TrainRun, StopsAllRanksWhenAByteOfAShardChangesWhileItGoesOn) {
  GateFixture f = make(100'000);
  Process process(CLEARED_TRAIN, run_args(f, "a", kTwoRanks));
  ASSERT_TRUE(process.wait_for("step 5/")) << process.output();
  f.damage(1);
  EXPECT_EQ(process.wait(), 3) << process.output();
  EXPECT_THAT(process.output(), HasSubstr("sample_changed: sample clip1"));
  EXPECT_THAT(process.output(), HasSubstr("stopped after step"));
  const auto steps = checkpoint_steps(f.folder() / "a");
  ASSERT_FALSE(steps.empty());
  EXPECT_GE(steps.back(), 5U);
}

// Clips to look at are a use of their own: a permit that does not say so is for another purpose.
TEST_F(TrainRun, MakesNoClipsThatThePermitDoesNotName) {
  GateFixture f = make();
  f.permit([](ledger::Permit& p) { p.mutable_purpose()->clear_also(); });
  const Ended refused = run(f, "a");
  EXPECT_EQ(refused.code, 3) << refused.output;
  EXPECT_THAT(refused.output, HasSubstr("permit_other_purpose"));

  std::string config = tiny_config(6);
  const size_t preview = config.find("preview {");
  config.erase(preview, config.find('\n', preview) + 1 - preview);
  const GateFixture without(config, {sample_video(0), sample_video(1), sample_video(2)});
  const Ended ran = run(without, "a");
  ASSERT_EQ(ran.code, 0) << ran.output;
  EXPECT_EQ(images(without.folder() / "a"), 0U);
  std::vector<std::string> eval = {"eval", "--checkpoint", without.folder() / "a/step-000006",
                                   "--curate", CLEARED_CURATE};
  const std::vector<std::string> gate = gate_args(without);
  eval.insert(eval.end(), gate.begin() + 2, gate.end());  // without --config
  write_file(without.folder() / "trust",
             read_file(without.paths().trust) + read_file(without.folder() / "trainer.pub"));
  const Ended measured = train(eval);
  EXPECT_EQ(measured.code, 0) << measured.output;
  EXPECT_THAT(measured.output, HasSubstr("no clips were made: give the weights' release"));
  EXPECT_THAT(measured.output, testing::Not(HasSubstr("nearest")));
}

TEST_F(TrainRun, ShowsAClipOfEveryCaptionWithItsWords) {
  std::string config = tiny_config(3);
  config.replace(config.find("caption: \"a\""), 12, "caption: \"one\" caption: \"another\"");
  const GateFixture f(config, {sample_video(0), sample_video(1), sample_video(2)});
  const Ended ended = run(f, "a");
  ASSERT_EQ(ended.code, 0) << ended.output;
  std::string events;
  for (const auto& entry : fs::directory_iterator(f.folder() / "a/tensorboard")) {
    events += read_file(entry.path());
  }
  for (const char* there : {"sample/caption", "one", "sample/2/caption", "another"}) {
    EXPECT_NE(events.find(there), std::string::npos) << there;
  }
  EXPECT_EQ(images(f.folder() / "a"), 2U);
}

TEST_F(TrainRun, RefusesToStartWhatThePermitWouldNotLetItFinish) {
  GateFixture f = make();
  f.permit([](ledger::Permit& permit) { permit.mutable_shard(0)->set_max_passes(4); });
  const Ended ended =
      run(f, "a");  // 12 slots are 4 passes of 3 samples, and the codec's is one more
  EXPECT_EQ(ended.code, 3) << ended.output;
  EXPECT_THAT(ended.output, HasSubstr("passes_exceeded"));
  f.permit([](ledger::Permit& permit) { permit.mutable_shard(0)->set_max_passes(5); });
  EXPECT_EQ(run(f, "a").code, 0);
}

TEST_F(TrainRun, TellsTheLedgerWhatItConsumed) {
  const GateFixture f = make();
  ASSERT_EQ(run(f, "a").code, 0);
  std::map<uint64_t, ledger::Receipt> receipts;
  std::map<uint64_t, std::string> notes;
  std::map<uint64_t, std::vector<Digest>> leaves;
  std::map<uint64_t, uint64_t> sample_us;
  uint64_t passes = 0, checkpoints = 0;
  for (const auto& fact : outbox(f.folder() / "a")) {
    if (fact.has_receipt()) {
      ledger::ReceiptText text;
      ledger::parse_textproto(ledger::parse_note(fact.receipt().note()).text, "receipt", text);
      receipts[text.receipt().end_step()] = text.receipt();
      notes[text.receipt().end_step()] = fact.receipt().note();
      EXPECT_GT(fact.receipt().machine_us(), 0U);
    }
    if (fact.has_consumed_shard()) {
      const auto& consumed = fact.consumed_shard();
      for (const uint32_t some : consumed.passes()) passes += some;
      sample_us[consumed.end_step()] += consumed.sample_us();
      leaves[consumed.end_step()].push_back(
          ledger::leaf_digest(as_bytes(consumed.SerializeAsString())));
    }
    if (fact.has_checkpoint()) ++checkpoints;
  }
  ASSERT_EQ(receipts.size(), 2u);
  EXPECT_EQ(checkpoints, 2u);
  EXPECT_EQ(passes, 6u * 2 + 2);  // every slot, and two samples for the codec
  for (const auto& [end, receipt] : receipts) {
    EXPECT_EQ(receipt.consumed_root(), ledger::digest_name(ledger::root_digest(leaves[end])));
    EXPECT_EQ(receipt.sample_us(), sample_us[end]);
    EXPECT_EQ(receipt.sample_us(), (end == 3 ? 8U : 6U) * 1'000'000);
    const fs::path folder = f.folder() / "a" / ("step-00000" + std::to_string(end));
    const auto places =
        std::make_shared<const Places>(parse_places(read_file(folder / kPlacesFile), "places"));
    EXPECT_EQ(receipt.steps_root(),
              ledger::digest_name(
                  parse_span(read_file(folder / "steps.txt"), receipt.first_step(), "steps", places)
                      .steps_root()));
    EXPECT_EQ(receipt.checkpoint(),
              ledger::digest_name(ledger::sha256(read_file(folder / "weights.safetensors"))));
  }
  EXPECT_FALSE(receipts[3].has_previous());
  EXPECT_EQ(receipts[6].previous(), ledger::digest_name(ledger::sha256(notes[3])));
}

// A newer permit is taken at one step of all ranks, with a checkpoint before it; what was consumed
// under each is told by receipts that name it.
TEST_F(TrainRun, TakesANewerPermitWhileItGoesOn) {
  GateFixture f = make(100'000);
  const std::string first = ledger::digest_name(ledger::sha256(read_file(f.paths().permit)));
  Process process(CLEARED_TRAIN, run_args(f, "a", kTwoRanks));
  ASSERT_TRUE(process.wait_for("step 5/")) << process.output();
  f.refresh();
  ASSERT_TRUE(process.wait_for("run.permit")) << process.output();
  const size_t newest = process.output().rfind("step ") + 5;  // some steps under it, too
  const int step = std::stoi(process.output().substr(newest));
  ASSERT_TRUE(process.wait_for("step " + std::to_string(step + 5) + "/")) << process.output();
  f.revoke();
  EXPECT_EQ(process.wait(), 3) << process.output();
  const std::string second =
      ledger::digest_name(ledger::sha256(read_file(f.folder() / "notices/next.permit")));
  std::map<uint64_t, std::pair<uint64_t, std::string>> spans;  // by their beginning
  for (const auto& fact : outbox(f.folder() / "a")) {
    if (!fact.has_receipt()) continue;
    ledger::ReceiptText text;
    ledger::parse_textproto(ledger::parse_note(fact.receipt().note()).text, "receipt", text);
    spans[text.receipt().first_step()] = {text.receipt().end_step(), text.receipt().permit()};
  }
  uint64_t next = 0;
  std::vector<std::string> permits;
  for (const auto& [begin, span] : spans) {
    EXPECT_EQ(begin, next);
    next = span.first;
    if (permits.empty() || permits.back() != span.second) permits.push_back(span.second);
  }
  EXPECT_EQ(permits, (std::vector<std::string>{first, second}));
}

// Each rank was brought another one: none is taken until all have the same.
TEST_F(TrainRun, RanksTakeTheSameNewerPermit) {
  GateFixture f = make(100'000);
  const fs::path notices = f.folder() / "notices", others = f.folder() / "notices-1";
  make_folders(others);
  f.refresh();
  fs::copy(notices / "next.permit", others / "next.permit");
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));  // permits tell seconds
  f.refresh();
  const std::string next = read_file(notices / "next.permit");
  const int port = free_port();
  auto second_args = run_args(f, "a");
  *std::find(second_args.begin(), second_args.end(), notices.string()) = others;
  Process first("/usr/bin/env", one_of_two("0", port, run_args(f, "a")));
  Process second("/usr/bin/env", one_of_two("1", port, second_args));
  ASSERT_TRUE(first.wait_for("run.permits_differ")) << first.output();
  ASSERT_TRUE(first.wait_for("step 3/")) << first.output();
  EXPECT_THAT(first.output(), testing::Not(HasSubstr("run.permit until")));
  write_file(others / "other.permit", next);
  ASSERT_TRUE(first.wait_for("run.permit until")) << first.output();
  first.send(SIGTERM);
  EXPECT_EQ(first.wait(), 75) << first.output();
  EXPECT_EQ(second.wait(), 75) << second.output();
  const auto steps = checkpoint_steps(f.folder() / "a");
  EXPECT_EQ(state_of(step_folder(f.folder() / "a", steps.back())).permit(),
            ledger::digest_name(ledger::sha256(next)));
}

// As ranks do that were started again after one was lost.
TEST_F(TrainRun, BeginsUnderTheNewerPermitWhenTheFirstHasEnded) {
  GateFixture f = make();
  f.permit([](ledger::Permit& p) { p.set_expires_at(format_time(now_us() - 1'000'000)); });
  EXPECT_EQ(run(f, "a").code, 3);
  f.refresh();
  const Ended ended = run(f, "a", kTwoRanks);
  ASSERT_EQ(ended.code, 0) << ended.output;
  EXPECT_EQ(state_of(f.folder() / "a/step-000006").permit(),
            ledger::digest_name(ledger::sha256(read_file(f.folder() / "notices/next.permit"))));
}

TEST_F(TrainRun, SamplesFromACheckpointItHasVerified) {
  GateFixture f = make();
  ASSERT_EQ(run(f, "a").code, 0);
  const fs::path checkpoint = f.folder() / "a/step-000006", gif = f.folder() / "out.gif";
  f.release(ledger::sha256(read_file(checkpoint / "weights.safetensors")));
  const std::string trust = f.folder() / "trust-release";
  const std::vector<std::string> args = {"sample",
                                         "--checkpoint",
                                         checkpoint,
                                         "--out",
                                         gif,
                                         "--caption",
                                         "caption 1",
                                         "--threads",
                                         "1",
                                         "--trust",
                                         trust,
                                         "--release",
                                         f.folder() / "a.release",
                                         "--notices",
                                         f.paths().notices};
  const Ended first = train(args);
  ASSERT_EQ(first.code, 0) << first.output;
  const std::string bytes = read_file(gif);
  EXPECT_EQ(bytes.substr(0, 6), "GIF89a");
  ASSERT_EQ(train(args).code, 0);
  EXPECT_EQ(read_file(gif), bytes);  // same seed, same clip
  const Ended commercial = train(args + std::vector<std::string>{"--commercial"});
  EXPECT_EQ(commercial.code, 3) << commercial.output;
  EXPECT_THAT(commercial.output, HasSubstr("release_other_use"));

  const std::pair<std::vector<std::string>, const char*> wrong[] = {
      {{"--out", f.folder() / "out.mp4"}, "ends in .gif or .webm"},
      {{"--out", gif, "--guidance", "nan"}, "--guidance must be a number"},
      {{"--out", gif, "--seed", "-1"}, "-1 is below 0"},
      {{"--out", gif, "--seed=-1"}, "-1 is below 0"}};
  for (const auto& [more, says] : wrong) {
    auto given = args;
    given.erase(given.begin() + 3, given.begin() + 5);  // --out
    const Ended ended = train(given + more);
    EXPECT_EQ(ended.code, 2) << ended.output;
    EXPECT_THAT(ended.output, HasSubstr(says));
  }

  const fs::path webm = f.folder() / "out.webm";
  auto video_args = args;
  *std::find(video_args.begin(), video_args.end(), gif.string()) = webm;
  const Ended video = train(video_args + std::vector<std::string>{"--curate", CLEARED_CURATE});
  EXPECT_EQ(video.code, 0) << video.output;
  EXPECT_EQ(read_file(webm).substr(0, 4), "\x1a\x45\xdf\xa3");  // EBML, RFC 8794

  const Ended deaf = train({args.begin(), args.end() - 2});  // no revocation could reach it
  EXPECT_EQ(deaf.code, 2) << deaf.output;
  const std::string good = read_file(trust);
  ledger::write_key_pair(f.folder() / "other", "trainer", ledger::new_signer_key("test-trainer"));
  write_file(trust, read_file(f.paths().trust) + read_file(f.folder() / "other.pub"));
  const Ended stranger = train(args);
  EXPECT_EQ(stranger.code, 65) << stranger.output;
  write_file(trust, good);
  f.revoke();
  const Ended revoked = train(args);
  EXPECT_EQ(revoked.code, 3) << revoked.output;
  EXPECT_THAT(revoked.output, HasSubstr("revoked"));
  write_file(checkpoint / "totals.txt", "");
  const Ended damaged = train(args);
  EXPECT_EQ(damaged.code, 65);
  EXPECT_THAT(damaged.output, HasSubstr("totals.txt was changed"));
}

// Nothing signs the state where no trainer's key is trusted, and a trainer may sign what he likes:
// the weights that a release is asked about are those that are there.
TEST_F(TrainRun, ReleasesAreAskedAboutTheWeightsThatAreThere) {
  GateFixture f = make();
  ASSERT_EQ(run(f, "a").code, 0);
  const fs::path folder = f.folder() / "a", other = folder / "step-000006";
  const std::string released = state_of(other).weights();
  f.release(*ledger::parse_digest_name(released));
  const auto sample = [&](const fs::path& checkpoint, const fs::path& trust) {
    const Ended ended =
        train({"sample", "--checkpoint", checkpoint, "--out", f.folder() / "a.gif", "--release",
               f.folder() / "a.release", "--trust", trust, "--notices", f.paths().notices});
    EXPECT_FALSE(fs::exists(f.folder() / "a.gif"));
    return ended;
  };
  const Ended honest = sample(folder / "step-000003", f.paths().trust);
  EXPECT_EQ(honest.code, 3) << honest.output;
  EXPECT_THAT(honest.output, HasSubstr("release_other_weights"));

  // The state names other weights, which have a release.
  forge(f, folder, 3, [&](Forgery& forgery) {
    forgery.last = [&](State& state) { state.set_weights(released); };
  });
  for (const fs::path& trust : {f.paths().trust, f.folder() / "trust-release"}) {
    const Ended lie = sample(folder / "step-000003", trust);
    EXPECT_EQ(lie.code, 65) << lie.output;
    EXPECT_THAT(lie.output, HasSubstr("state.textproto says weights " + released));
  }

  // Other weights lie beside the state that has the release.
  fs::copy_file(folder / "step-000003/weights.safetensors", other / "weights.safetensors",
                fs::copy_options::overwrite_existing);
  sum_again(other);
  const Ended swapped = sample(other, f.paths().trust);
  EXPECT_EQ(swapped.code, 65) << swapped.output;
  EXPECT_THAT(swapped.output, HasSubstr("state.textproto says weights " + released));
}

// From the moment that the notice is there, and not only before the first step of the sampler.
TEST_F(TrainRun, SamplingStopsWhenARevocationArrives) {
  GateFixture f = make();
  ASSERT_EQ(run(f, "a").code, 0);
  const fs::path checkpoint = f.folder() / "a/step-000006";
  f.release(*ledger::parse_digest_name(state_of(checkpoint).weights()));
  Process process(CLEARED_TRAIN,
                  {"sample", "--checkpoint", checkpoint, "--steps", "10000", "--out",
                   f.folder() / "a.gif", "--release", f.folder() / "a.release", "--trust",
                   f.folder() / "trust-release", "--notices", f.paths().notices});
  std::this_thread::sleep_for(std::chrono::seconds(3));
  f.revoke();
  EXPECT_EQ(process.wait(), 3) << process.output();
  EXPECT_THAT(process.output(), HasSubstr("revoked"));
  EXPECT_FALSE(fs::exists(f.folder() / "a.gif"));
}

TEST_F(TrainRun, EndsWithTheRightCodeOnBadInput) {
  const GateFixture f = make();
  ASSERT_EQ(run(f, "a").code, 0);
  write_file(f.folder() / "bad.textproto", tiny_config() + "colour: 1\n");
  fs::copy(f.folder() / "trainer.key", f.folder() / "loose.key");
  fs::permissions(f.folder() / "loose.key", fs::perms::group_read, fs::perm_options::add);
  auto loose_key = run_args(f, "x", kTwoRanks);
  *std::find(loose_key.begin(), loose_key.end(), f.trainer_key().string()) =
      f.folder() / "loose.key";
  auto other_permit = run_args(f, "x", kTwoRanks);
  *std::find(other_permit.begin(), other_permit.end(), f.paths().trust.string()) =
      f.folder() / "trainer.pub";
  auto no_decoder = run_args(f, "x", kTwoRanks);
  *std::find(no_decoder.begin(), no_decoder.end(), CLEARED_CURATE) = "/none/curate";
  struct Case {
    std::vector<std::string> args;
    int code;
    const char* says;
  };
  auto other_config = run_args(f, "x");
  *std::find(other_config.begin(), other_config.end(), f.config_path().string()) =
      f.folder() / "bad.textproto";
  const Case cases[] = {
      {{}, 2, "--help"},
      {{"run"}, 2, "required"},
      {loose_key, 77, "chmod"},
      {other_permit, 3, "permit_unsigned"},
      {no_decoder, 66, "/none/curate"},
      {run_args(f, "a", {"--from", "4"}), 66, "step-000004"},
      {other_config, 78, "bad.textproto:"},
      {run_args(f, "x", {"--nproc-per-node", "3"}), 78, "batch: 2 samples"},
      {{"sample", "--checkpoint", f.folder() / "none", "--out", f.folder() / "g", "--release",
        f.folder() / "none", "--trust", f.paths().trust, "--notices", f.paths().notices},
       66,
       "none"},
  };
  for (const Case& c : cases) {
    const Ended ended = train(c.args);
    EXPECT_EQ(ended.code, c.code) << ended.output;
    EXPECT_THAT(ended.output, HasSubstr(c.says));
    EXPECT_EQ(std::count(ended.output.begin(), ended.output.end(), '\n'), 1) << ended.output;
  }
}

}  // namespace
}  // namespace cleared::train
