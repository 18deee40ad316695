#include "train/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/shares.h"
#include "tests/train/gate_fixture.h"
#include "train/checkpoint.pb.h"
#include "train/data/order.h"
#include "train/passes.h"

namespace cleared::train {
namespace {

using testing::HasSubstr;

const std::vector<std::string> kVideos = {"a", "b", "c", "d", "e", "f"};

// The first four samples are of a licensor that may have so much.
void limit(ledger::Permit& permit, double most) {
  auto* share = permit.add_share();
  share->set_licensor("stock");
  share->set_most(most);
  for (const auto& [of, samples] : {std::pair{1U, 4U}, {0U, 2U}}) {
    auto* part = permit.mutable_shard(0)->add_part();
    part->set_share(of);
    part->set_samples(samples);
  }
}

std::string answer(const GateFixture& f) try {
  check(load_config(f.config_path()), f.paths(), false);
  return "";
} catch (const Error& error) {
  return error.what();
}

TEST(Check, SharesHoldOrTheRunDoesNotBegin) {
  GateFixture f(tiny_config(30, 2), kVideos);
  f.permit([](ledger::Permit& p) { limit(p, 0.5); });
  EXPECT_EQ(answer(f), "");
  const RunConfig config = load_config(f.config_path()).config;
  const ledger::Gate gate(f.options());
  EXPECT_EQ(gate.samples()[3].group, 1U);
  EXPECT_EQ(gate.samples()[4].group, 0U);
  const Order planned = order_of(config, gate, 0);
  uint64_t of_stock = 0, all = 0;
  for (uint64_t i = 0; i < 6; ++i) {
    (i < 4 ? of_stock : all) += planned.passes(i, 30);
  }
  all += of_stock;
  EXPECT_EQ(all, 60U);
  EXPECT_LE(2 * of_stock, all);
  EXPECT_GE(of_stock, 25U);
  check_shares(gate, planned, fit_samples(config, gate), 30);
  // Whatever is planned is counted again.
  const Order plain({.seed = 7, .samples = 6, .batch = 2});
  EXPECT_THROW(check_shares(gate, plain, {}, 30), ledger::Refused);

  f.permit([](ledger::Permit& p) {
    limit(p, 0.9);
    p.mutable_shard(0)->mutable_part(1)->set_share(1);
  });
  EXPECT_THAT(answer(f), HasSubstr("share_exceeded: no order holds the shares: all footage is of "
                                   "licensors with a limit; licensor stock may have 0.9"));
}

TEST(Check, PartsOfAPermitMustAddUp) {
  GateFixture f(tiny_config(30, 2), kVideos);
  const std::vector<std::pair<std::function<void(ledger::Permit&)>, std::string>> kCases = {
      {[](ledger::Permit& p) { p.mutable_shard(0)->mutable_part(1)->set_samples(3); }, "add up"},
      {[](ledger::Permit& p) { p.mutable_shard(0)->mutable_part(1)->set_samples(1); }, "add up"},
      {[](ledger::Permit& p) { p.mutable_shard(0)->mutable_part(1)->set_share(2); }, "not there"},
      {[](ledger::Permit& p) { p.mutable_share(0)->set_most(0); }, "not in (0, 1]"},
      {[](ledger::Permit& p) { p.mutable_share(0)->set_most(1.5); }, "not in (0, 1]"},
  };
  for (const auto& [change, what] : kCases) {
    f.permit([&](ledger::Permit& p) {
      limit(p, 0.5);
      change(p);
    });
    EXPECT_THAT(answer(f), HasSubstr(what));
  }
}

// Footage that comes last and footage that is mixed in exclude each other.
TEST(Check, SharesAndRevocableLastAreRefused) {
  const std::string config = tiny_config(30, 2) + "sequence: REVOCABLE_LAST\n";
  GateFixture f(config, kVideos);
  ledger::write_shard(f.folder() / "shards", "demo-000001.tar",
                      {{.key = "more",
                        .members = {{"webm", "g"}, {"json", "{}"}, {"txt", "x"}},
                        .clip = ledger::sha256("more"),
                        .duration_us = 1'000'000}},
                      {"demo-licence@1"});
  f.adopt(config, f.folder() / "shards");
  const auto permit = [&](bool revocable, bool other) {
    f.permit([&](ledger::Permit& p) {
      if (p.shard(0).samples() == 1) p.mutable_shard()->SwapElements(0, 1);
      limit(p, 0.5);
      p.mutable_shard(0)->set_revocable(revocable);
      p.mutable_shard(1)->set_revocable(other);
    });
  };
  permit(true, false);
  EXPECT_THAT(answer(f), HasSubstr("share_exceeded: sequence REVOCABLE_LAST"));
  permit(true, true);
  EXPECT_EQ(answer(f), "");
}

// The clips' videos and their latents, which a permit may both list, are the same footage.
TEST(Check, PassesAreThoseOfTheClip) {
  const std::string config = tiny_config(6, 2);
  GateFixture f(config, {"a", "b", "c"});
  std::vector<ledger::SampleMembers> latents;
  for (const auto& video : f.manifest().samples) {
    latents.push_back({.key = video.key,
                       .members = {{"latent", "of " + video.key}, {"json", "{}"}, {"txt", "x"}},
                       .clip = video.clip,
                       .duration_us = video.duration_us});
  }
  ledger::write_shard(f.folder() / "shards", "latent-000000.tar", latents, {"demo-licence@1"});
  f.adopt(config, f.folder() / "shards");
  const auto permit = [&](uint32_t passes, const std::string& counted = {}) {
    f.permit([&](ledger::Permit& p) {
      for (auto& shard : *p.mutable_shard()) shard.set_max_passes(passes);
      if (counted.empty()) return;
      p.mutable_counted()->set_run(counted);
      p.mutable_counted()->set_end_step(3);
    });
  };
  permit(6);  // twelve draws of six samples are four of each clip, and the codec is fitted to two
  EXPECT_EQ(answer(f), "");
  permit(5);
  EXPECT_THAT(answer(f), HasSubstr("passes_exceeded"));

  // What was consumed under a permit for other samples of the clip counts, too.
  permit(5);
  const ledger::Gate gate(f.options());
  const Order order = order_of(load_config(f.config_path()).config, gate, 3);
  const Digest clip = gate.samples()[0].clip;
  const Totals totals = {{ledger::sha256("a sample of another shard"), {3, clip}}};
  const auto before = passes_before(gate, order, totals, 3, 6);
  for (uint64_t i = 0; i < 6; ++i) {
    uint64_t others = 0;
    for (uint64_t k = 0; k < 6; ++k) {
      if (k != i && gate.samples()[k].clip == gate.samples()[i].clip) others += order.passes(k, 6);
    }
    EXPECT_EQ(before[i], others + (gate.samples()[i].clip == clip ? 3 : 0)) << i;
  }
  State at;
  at.set_run("tiny-1");
  at.set_step(3);
  EXPECT_EQ(passes_behind(gate, f.folder(), at, totals), totals);  // the permit has not counted it
  permit(5, "tiny-1");
  const ledger::Gate knows(f.options());
  EXPECT_EQ(passes_behind(knows, f.folder(), at, totals), Totals());
  at.set_step(4);
  EXPECT_EQ(passes_behind(knows, f.folder(), at, totals), totals);  // and not this step
}

// A permit with other shares is for another order, and so for another run.
TEST(Check, SharesNameTheOrderToo) {
  GateFixture f(tiny_config(30, 2), kVideos);
  const auto root = [&](double most) {
    f.permit([&](ledger::Permit& p) {
      if (most > 0) limit(p, most);
    });
    return samples_root(load_config(f.config_path()).config, ledger::Gate(f.options()));
  };
  EXPECT_EQ(root(0.5), root(0.5));
  EXPECT_NE(root(0.5), root(0.6));
  EXPECT_NE(root(0.5), root(0));
}

}  // namespace
}  // namespace cleared::train
