// What rights do to a run of the train program: shares that hold whatever becomes of it, and
// permits that are none.
#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "ledger/base/clock.h"
#include "ledger/digest.h"
#include "tests/train/forgery.h"
#include "tests/train/train_program.h"

namespace cleared::train {
namespace {

using testing::HasSubstr;

// Two of the three samples are of a licensor that may have so much.
void limit(ledger::Permit& permit, double most) {
  auto* share = permit.add_share();
  share->set_licensor("stock");
  share->set_most(most);
  for (const auto& [of, samples] : {std::pair{1U, 2U}, {0U, 1U}}) {
    auto* part = permit.mutable_shard(0)->add_part();
    part->set_share(of);
    part->set_samples(samples);
  }
}

class RightsRun : public TrainRun {
 protected:
  // Passes of the first two samples, and of all, by the run's records.
  static std::pair<uint64_t, uint64_t> consumed(const GateFixture& f, const std::string& out) {
    uint64_t limited = 0, all = 0;
    std::set<std::string> seen;  // a span that is resumed from is delivered again
    for (const auto& fact : outbox(f.folder() / out)) {
      const auto& record = fact.consumed_shard();
      if (!seen.insert(record.SerializeAsString()).second) continue;
      for (int i = 0; i < record.passes_size(); ++i) {
        all += record.passes(i);
        if (record.index() + static_cast<uint32_t>(i) < 2) limited += record.passes(i);
      }
    }
    return {limited, all};
  }
  static Ended replay(const GateFixture& f, const std::string& run) {
    const GatePaths paths = f.paths();
    const fs::path trust = f.folder() / "auditor.trust";
    write_file(trust, read_file(paths.trust) + read_file(f.folder() / "trainer.pub"));
    return train({"replay", f.folder() / run, "--permit", paths.permit, "--trust", trust,
                  "--shards", paths.shards, "--curate", CLEARED_CURATE});
  }
};

TEST_F(RightsRun, SharesHoldWhateverBecomesOfTheRun) {
  GateFixture f = make();
  f.permit([](ledger::Permit& p) { limit(p, 0.5); });
  const Ended whole = run(f, "a");
  ASSERT_EQ(whole.code, 0) << whole.output;
  EXPECT_EQ(consumed(f, "a"), (std::pair<uint64_t, uint64_t>{7, 14}));  // two fitted the codec

  // On two ranks, stopped and resumed: the same bits.
  ASSERT_EQ(run(f, "b", kTwoRanks + std::vector<std::string>{"--until", "2"}).code, 0);
  ASSERT_EQ(run(f, "b", kTwoRanks).code, 0);
  ASSERT_EQ(run(f, "c", kTwoRanks).code, 0);
  EXPECT_EQ(consumed(f, "b"), consumed(f, "a"));
  EXPECT_EQ(state_of(f.folder() / "b/step-000006").tensors(),
            state_of(f.folder() / "c/step-000006").tensors());
  EXPECT_EQ(read_file(f.folder() / "b/step-000006/totals.txt"),
            read_file(f.folder() / "a/step-000006/totals.txt"));
  const Ended honest = replay(f, "a");
  EXPECT_EQ(honest.code, 0) << honest.output;

  // Under other shares it is another run, whose order begins where it goes on.
  f.permit([](ledger::Permit& p) { limit(p, 0.4); });
  const Ended fork = run(f, "a", {"--from", "3"});
  ASSERT_EQ(fork.code, 0) << fork.output;
  const State state = state_of(f.folder() / "a/step-000006");
  EXPECT_EQ(state.order_first_step(), 3U);
  EXPECT_NE(state.run(), state_of(f.folder() / "a/step-000003").run());
}

// A trainer whose run drew by no plan, and says it was under a permit that asks for one.
TEST_F(RightsRun, ReplayFindsAnotherPlan) {
  GateFixture f = make();
  ASSERT_EQ(run(f, "a").code, 0);
  f.permit([](ledger::Permit& p) { limit(p, 0.4); });
  const std::string permit = ledger::digest_name(ledger::sha256(read_file(f.paths().permit)));
  forge(f, f.folder() / "a", 3, [&](Forgery& forged) { forged.state.set_permit(permit); });
  const Ended ended = replay(f, "a");
  EXPECT_EQ(ended.code, 1) << ended.output;
  EXPECT_THAT(ended.output, HasSubstr("samples"));
}

// Each is exit code 3, a line with the rule, and a record for the ledger; nothing is trained.
TEST_F(RightsRun, APermitThatIsNoneIsRefusedAtTheDoor) {
  constexpr uint64_t kAnHourUs = 3'600'000'000, kYearUs = 365 * 24 * kAnHourUs;
  const auto span = [](uint64_t from_us) {
    return [=](ledger::Permit& p) {
      p.set_issued_at(format_time(from_us));
      p.set_expires_at(format_time(from_us + kAnHourUs));
    };
  };
  struct Case {
    const char* rule;
    std::function<void(ledger::Permit&)> change;
  };
  const Case cases[] = {
      {"permit_other_run", [](ledger::Permit& p) { p.set_run("another"); }},
      {"permit_other_config",
       [](ledger::Permit& p) { p.set_config_digest(ledger::digest_name(ledger::sha256("x"))); }},
      {"permit_not_yet_valid", span(now_us() + kYearUs)},  // this clock is a year behind
      {"permit_expired", span(now_us() - kYearUs)},        // or ahead
      {"share_exceeded",
       [](ledger::Permit& p) {
         limit(p, 0.9);
         p.mutable_shard(0)->mutable_part(1)->set_share(1);
       }},
  };
  for (const Case& c : cases) {
    GateFixture f = make();
    f.permit(c.change);
    const Ended ended = run(f, "a");
    EXPECT_EQ(ended.code, 3) << c.rule << ": " << ended.output;
    EXPECT_THAT(ended.output, HasSubstr(std::string(c.rule) + ": "));
    const auto facts = outbox(f.folder() / "a");
    ASSERT_EQ(facts.size(), 1U) << c.rule;
    EXPECT_EQ(facts[0].refusal().rule(), c.rule);
    EXPECT_FALSE(fs::exists(f.folder() / "a/step-000003"));
  }
}

// One rank was given another permit: nobody starts, and it is on record.
TEST_F(RightsRun, RanksOfTwoPermitsDoNotStart) {
  GateFixture f = make();
  const fs::path other = f.folder() / "other.permit";
  fs::copy_file(f.paths().permit, other);
  f.permit([](ledger::Permit& p) { p.set_tree_size(10); });
  const int port = free_port();
  const auto rank = [&](const char* number, const fs::path& permit) {
    auto args = run_args(f, "a");
    *std::find(args.begin(), args.end(), f.paths().permit.string()) = permit;
    return one_of_two(number, port, args);
  };
  Process first("/usr/bin/env", rank("0", f.paths().permit));
  Process second("/usr/bin/env", rank("1", other));
  EXPECT_EQ(first.wait(), 3) << first.output();
  EXPECT_EQ(second.wait(), 3) << second.output();
  EXPECT_THAT(first.output(), HasSubstr("permits_differ"));
  EXPECT_EQ(outbox(f.folder() / "a").at(0).refusal().rule(), "permits_differ");
}

}  // namespace
}  // namespace cleared::train
