// A training node's gate, with a real permit, a real shard and real notices on disk.
#include "ledger/gate.h"

#include <type_traits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ledger/base/clock.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/textproto.h"
#include "tests/ledger/world.h"

namespace cleared::ledger {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

// No code but the gate's makes one from nothing; a copy of a cleared one is as cleared.
static_assert(!std::is_default_constructible_v<ClearedSample>);
static_assert(!std::is_aggregate_v<ClearedSample>);
static_assert(!std::is_constructible_v<ClearedSample, std::string, Digest>);

class GateTest : public testing::Test {
 protected:
  GateTest() { world.fill(); }
  std::string refusal(const GateOptions& options) {
    return error_of([&] { Gate gate(options); });
  }
  std::string tar() { return (world.folder / "shards/shard-000000.tar").string(); }
  void notice(const std::string& name, const std::string& field, const std::string& value,
              const SignerKey& key) {
    write_file(world.folder / ("notices/" + name),
               world.revocation(field, value, key).revocation().note());
  }
  World world;
};

TEST_F(GateTest, HandsOutTheVeryBytes) {
  Gate gate(world.node());
  ASSERT_EQ(gate.samples().size(), 2U);
  EXPECT_TRUE(gate.holds().cleared);
  const ClearedSample sample = gate.clear(1, 1);
  EXPECT_EQ(sample.key(), "s1");
  EXPECT_EQ(sample.member("webm"), std::string(700, 'b'));
  EXPECT_EQ(sample.digest(), world.manifest.samples[1].digest);
  EXPECT_EQ(sample.clip(), sha256("clip 1"));
  EXPECT_THAT(error_of([&] { static_cast<void>(sample.member("mp4")); }), StartsWith("corrupt"));
}

TEST_F(GateTest, EveryRuleAboutPermits) {
  const uint64_t hour = 3'600'000'000;
  const uint64_t now = now_us();
  const auto span = [](uint64_t from, uint64_t to) {
    return [=](Permit& p) {
      p.set_issued_at(format_time(from));
      p.set_expires_at(format_time(to));
    };
  };
  struct Case {
    const char* rule;
    std::function<void(Permit&)> permit;
    std::function<void(GateOptions&)> node;
  };
  const auto same = [](auto&) {};
  const Case cases[] = {
      {"", same, same},
      {"permit_expired", span(now - 2 * hour, now - hour), same},
      {"permit_not_yet_valid", span(now + hour, now + 2 * hour), same},
      {"", span(now + 60'000'000, now + hour), same},  // clocks of two machines differ a little
      {"permit_too_long", span(now, now + 169 * hour), same},
      {"permit_too_long", span(now, now), same},
      {"permit_too_long", span(now, now - hour), same},
      {"permit_other_run", same, [](GateOptions& o) { o.run = "run-2"; }},
      {"permit_other_config", same, [](GateOptions& o) { o.config_digest = sha256("x"); }},
      {"permit_other_purpose", same, [](GateOptions& o) { o.purpose.set_field_of_use("tv"); }},
      {"permit_other_purpose", same, [](GateOptions& o) { o.purpose.add_component(VAE); }},
      {"permit_other_purpose", same, [](GateOptions& o) { o.purpose.set_use(FINETUNE); }},
      {"nothing_permitted", [](Permit& p) { p.clear_shard(); }, same},
      {"shard_missing",
       [](Permit& p) { p.mutable_shard(0)->set_root(digest_name(sha256("other"))); }, same},
      {"shard_incomplete", [](Permit& p) { p.mutable_shard(0)->set_samples(3); }, same},
      {"expired", [](Permit& p) { p.mutable_shard(0)->set_valid_to("2025-01-01"); }, same},
      {"not_yet_valid", [](Permit& p) { p.mutable_shard(0)->set_valid_from("2099-01-01"); }, same},
      {"permit_unsigned", same,
       [&](GateOptions& o) {
         write_file(o.trust, "licensor " + format_verifier_key(world.approver.verifier) + "\n");
       }},
      {"permit_unsigned", same,
       [&](GateOptions& o) {
         write_file(o.trust, "approver " + format_verifier_key(world.licensor.verifier) + "\n");
       }},
      {"permit_unsigned", same,
       [&](GateOptions& o) {
         write_file(o.permit, replaced(read_file(o.permit), "samples: 2", "samples: 1"));
       }},
  };
  for (size_t i = 0; i < std::size(cases); ++i) {
    GateOptions options = world.node(cases[i].permit);
    cases[i].node(options);
    const std::string rule(cases[i].rule);
    const std::string said = refusal(options);
    EXPECT_THAT(said, StartsWith(rule.empty() ? "" : "refused: " + rule + ": ")) << "row " << i;
    EXPECT_EQ(said.empty(), rule.empty()) << "row " << i << ": " << said;
  }
}

TEST_F(GateTest, AMissingNoticesFolderStopsTheRun) {
  GateOptions options = world.node();
  options.notices = world.folder / "nowhere";
  EXPECT_THAT(refusal(options), StartsWith("not_found"));
}

TEST_F(GateTest, AChangedByteAnywhereInASampleIsRefused) {
  Gate gate(world.node());
  const std::string good = read_file(tar());
  const ManifestSample& s = world.manifest.samples[0];
  for (uint64_t at = s.offset; at < s.offset + s.size_bytes; at += 97) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 1);
    write_file(tar(), bad);
    EXPECT_THAT(error_of([&] { gate.clear(0, 1); }),
                StartsWith("refused: sample_changed: sample s0"))
        << at;
    EXPECT_EQ(error_of([&] { gate.clear(1, 1); }), "");
  }
  write_file(tar(), good.substr(0, s.offset + s.size_bytes - 1));
  EXPECT_THAT(error_of([&] { gate.clear(0, 1); }), StartsWith("refused: sample_changed"));
  std::filesystem::remove(tar());
  EXPECT_THAT(error_of([&] { gate.clear(0, 1); }), StartsWith("not_found"));
}

TEST_F(GateTest, AChangedManifestIsNotThePermittedOne) {
  const GateOptions options = world.node();
  const std::string path = tar() + ".manifest";
  const std::string good = read_file(path);
  const auto with = [&](std::string_view from, std::string_view to) {
    write_file(path, replaced(good, from, to));
    return refusal(options);
  };
  EXPECT_THAT(with(digest_name(world.manifest.samples[0].digest), digest_name(sha256("evil"))),
              StartsWith("refused: shard_missing"));
  EXPECT_THAT(with("key: \"s0\"", "key: \"s9\""), StartsWith("refused: shard_missing"));
  EXPECT_THAT(with("duration_us: 2000000", "duration_us: 1"), StartsWith("refused: shard_missing"));
  // One that does not parse is named, and missing; it may be of a shard that the run does not need.
  EXPECT_THAT(with("name: \"shard-000000.tar\"", "name: \"../x.tar\""),
              AllOf(StartsWith("refused: shard_missing"), HasSubstr("no plain file name")));
  EXPECT_THAT(with("name:", "nam:"),
              AllOf(StartsWith("refused: shard_missing"), HasSubstr(".manifest:1:4: ")));
  write_file(path, good);
  write_file(world.folder / "shards" / "other.tar.manifest", "damaged");
  EXPECT_EQ(refusal(options), "");
  // The offset is not part of the root, and need not be: the bytes found there are hashed.
  write_file(path, replaced(good, "offset: 0", "offset: 512"));
  Gate gate(options);
  EXPECT_THAT(error_of([&] { gate.clear(0, 1); }), StartsWith("refused: sample_changed"));
  write_file(path, replaced(good, "offset: 0", "offset: 18446744073709551615"));
  Gate far(options);
  EXPECT_THAT(error_of([&] { far.clear(0, 1); }), StartsWith("refused: sample_changed"));
}

TEST_F(GateTest, ANoticeStopsARunThatHasBegun) {
  Gate gate(world.node());
  gate.clear(0, 1);
  notice("n.revocation", "licence", "LIC-1", world.licensor);
  const Verdict verdict = gate.holds();
  EXPECT_EQ(verdict.rule, "revoked");
  EXPECT_THAT(verdict.fact, HasSubstr("a reason"));
  EXPECT_THAT(error_of([&] { gate.clear(0, 1); }), StartsWith("refused: revoked"));
  EXPECT_THAT(refusal(world.node()), StartsWith("refused: revoked"));
}

TEST_F(GateTest, WhatNoticesDo) {
  const std::string root = "sha256:" + world.root_hex();
  const SignerKey stranger = new_signer_key("example-stock");  // the licensor's name, another key
  const std::pair<std::string, std::function<void()>> cases[] = {
      {"revoked", [&] { notice("n.revocation", "shard", root, world.approver); }},
      {"revoked", [&] { notice("n.revocation", "licence", "LIC-1", world.approver); }},
      {"cleared", [&] { notice("n.revocation", "licence", "LIC", world.licensor); }},
      {"cleared", [&] { notice("n.revocation", "licence", "LIC-2", world.licensor); }},
      {"cleared", [&] { notice("n.txt", "licence", "LIC-1", world.licensor); }},
      {"notice_unverified", [&] { notice("n.revocation", "licence", "LIC-1", stranger); }},
      {"notice_unverified", [&] { notice("n.revocation", "licence", "LIC-1", world.trainer); }},
      {"notice_unverified", [&] { write_file(world.folder / "notices/n.revocation", ""); }},
      {"notice_unverified",
       [&] {
         notice("n.revocation", "licence", "LIC-1", world.licensor);
         const auto path = world.folder / "notices/n.revocation";
         write_file(path, replaced(read_file(path), "LIC-1", "LIC-9"));
       }},
  };
  for (size_t i = 0; i < std::size(cases); ++i) {
    std::filesystem::remove_all(world.folder / "notices");
    Gate gate(world.node());
    cases[i].second();
    EXPECT_EQ(gate.holds().rule, cases[i].first) << "row " << i;
  }
}

TEST_F(GateTest, PassesAreCounted) {
  Gate gate(world.node());
  EXPECT_EQ(error_of([&] { gate.clear(0, 4); }), "");
  EXPECT_THAT(error_of([&] { gate.clear(0, 5); }), StartsWith("refused: passes_exceeded"));
}

}  // namespace
}  // namespace cleared::ledger
