// A training node's gate, with a real permit, a real shard and real notices on disk.
#include "ledger/gate.h"

#include <chrono>
#include <fstream>
#include <thread>
#include <type_traits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ledger/base/clock.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/shard_proof.h"
#include "ledger/textproto.h"
#include "ledger/tree_head.h"
#include "tests/ledger/world.h"

namespace cleared::ledger {
namespace {

namespace fs = std::filesystem;
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
      {"permit_other_purpose", same, [](GateOptions& o) { declare(o.purpose, EVALUATE); }},
      {"permit_other_purpose", [](Permit& p) { declare(*p.mutable_purpose(), EVALUATE); },
       [](GateOptions& o) { declare(o.purpose, GENERATE_INTERNAL); }},
      {"permit_other_purpose", [](Permit& p) { p.mutable_purpose()->set_use(EVALUATE); },
       [](GateOptions& o) { declare(o.purpose, EVALUATE); }},
      {"", [](Permit& p) { declare(*p.mutable_purpose(), EVALUATE); }, same},  // more than is done
      {"",
       [](Permit& p) {
         declare(*p.mutable_purpose(), EVALUATE);
         declare(*p.mutable_purpose(), GENERATE_INTERNAL);
       },
       [](GateOptions& o) {
         declare(o.purpose, GENERATE_INTERNAL);
         declare(o.purpose, EVALUATE);
       }},
      {"not_for_training", [](Permit& p) { p.mutable_purpose()->set_use(INGEST); },
       [](GateOptions& o) { o.purpose.set_use(INGEST); }},
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

// The trust file says how many approvers a permit needs; two keys of one name are one vote.
TEST_F(GateTest, APermitNeedsTheNamesThatTheTrustFileAsksFor) {
  const SignerKey second = new_signer_key("second-approver");
  const SignerKey rotated = new_signer_key(world.approver.verifier.name);
  const SignerKey stranger = new_signer_key("second-approver");
  const auto line = [](const char* role, const SignerKey& key) {
    return format_public_key({role, key.verifier}) + "\n";
  };
  const std::string two = "need permit 2 approver\n" + line("approver", world.approver) +
                          line("approver", second) + line("approver", rotated);
  struct Case {
    const char* says;
    std::string trust;
    std::vector<const SignerKey*> signers;
  };
  const Case cases[] = {
      {"", line("approver", world.approver), {&world.approver}},
      {"", two, {&world.approver, &second}},
      {"", two, {&rotated, &second}},
      {"", two, {&world.approver, &rotated, &second}},
      {"",
       "need approve 2 approver\n" + line("approver", world.approver) + line("approver", second),
       {&world.approver}},  // of another act
      {"", "need permit 1 licensor\n" + line("licensor", world.licensor), {&world.licensor}},
      {"refused: permit_unsigned: ", two, {&world.approver}},
      {"refused: permit_unsigned: ", two, {&second}},
      {"refused: permit_unsigned: ", two, {&world.approver, &rotated}},
      {"refused: permit_unsigned: ", two, {&world.approver, &stranger}},
      {"refused: permit_unsigned: ", two, {&world.approver, &world.licensor}},
      {"refused: permit_unsigned: ",
       two + "need permit 1 licensor\n" + line("licensor", world.licensor),
       {&world.approver, &second}},
      {"corrupt: ",
       "need permit 3 approver\n" + line("approver", world.approver) + line("approver", second) +
           line("approver", rotated),
       {&world.approver, &second}},
      {"corrupt: ", "need permit 0 approver\n" + line("approver", world.approver), {}},
      {"corrupt: ", "need permit 01 approver\n" + line("approver", world.approver), {}},
      {"corrupt: ", "need permit 1 boss\n" + line("approver", world.approver), {}},
      {"corrupt: ", "need pack 1 approver\n" + line("approver", world.approver), {}},
      {"corrupt: ",
       "need permit 1 approver\nneed permit 1 approver\n" + line("approver", world.approver),
       {}},
      {"corrupt: ", "need permit 1 approver \n" + line("approver", world.approver), {}},
      {"corrupt: ", "# nobody\n", {}},
  };
  for (size_t i = 0; i < std::size(cases); ++i) {
    const GateOptions options = world.node();
    const std::string text = parse_note(read_file(options.permit)).text;
    std::vector<const SignerKey*> signers = cases[i].signers;
    if (signers.empty()) signers = {&world.approver};
    write_file(options.permit, sign_text(text, signers));
    write_file(options.trust, cases[i].trust);
    const std::string said = refusal(options), says = cases[i].says;
    EXPECT_TRUE(says.empty() ? said.empty() : said.starts_with(says))
        << "row " << i << ": " << said;
  }
}

// With the log's key in the trust file, what the permit lists must be in the log.
TEST_F(GateTest, ShardsMustBeProvenToBeInTheLog) {
  const GateOptions options = world.node();
  const fs::path proofs = proofs_path(options.permit);
  const std::string approver = format_public_key({"approver", world.approver.verifier}) + "\n";
  const std::string with_log = approver + format_public_key({"log", world.log.verifier}) + "\n";
  write_file(options.trust, with_log);
  EXPECT_THAT(refusal(options), StartsWith("refused: shard_unproven"));  // no proofs
  Permit permit;
  {
    PermitText text;
    parse_textproto(parse_note(read_file(options.permit)).text, "permit", text);
    permit = text.permit();
  }
  const std::string good = shard_proofs(Store(world.ledger, Access::read), permit);
  EXPECT_LE(good.size(), 3000U);
  write_file(proofs, good);
  EXPECT_EQ(refusal(options), "");

  const TlogProof proof = parse_tlog_proof(good);
  const auto changed = [&](const std::function<void(TlogProof&)>& change) {
    TlogProof out = proof;
    change(out);
    return format_tlog_proof(out);
  };
  const SignerKey impostor = new_signer_key(world.log.verifier.name);
  const std::string head = parse_note(proof.head).text;
  const std::string bad[] = {
      "",
      good + good,
      good.substr(0, good.size() - 1),
      "x" + good,
      changed([](TlogProof& p) { p.extra.reset(); }),
      changed([](TlogProof& p) { p.extra->back() ^= 1; }),
      changed([&](TlogProof& p) {  // a record of the log, but no shard's
        p.extra = Store(world.ledger, Access::read).record_bytes(p.index + 1);
        ++p.index;
      }),
      changed([](TlogProof& p) { --p.index; }),
      changed([](TlogProof& p) { p.path.pop_back(); }),
      changed([](TlogProof& p) { p.path.push_back(p.path[0]); }),
      changed([](TlogProof& p) { p.path[0] = p.path[1]; }),
      changed([&](TlogProof& p) { p.head = sign_text(head, {&impostor}); }),
      changed([&](TlogProof& p) { p.head = sign_text(head, {&world.approver}); }),
      changed([&](TlogProof& p) { p.head = sign_text(head + "more\n", {&world.log}); }),
      changed([&](TlogProof& p) {
        p.head = sign_text(format_tree_head({world.log.verifier.name, 9, sha256("other"), {}}),
                           {&world.log});
      }),
  };
  for (size_t i = 0; i < std::size(bad); ++i) {
    write_file(proofs, bad[i]);
    EXPECT_THAT(refusal(options), StartsWith("refused: shard_unproven")) << "row " << i;
    // A node that was not given the log's key takes the approvers' word, as it must.
    write_file(options.trust, approver);
    EXPECT_EQ(refusal(options), "") << "row " << i;
    write_file(options.trust, with_log);
  }
}

// Approvers alone cannot bring in a shard that the log does not hold.
TEST_F(GateTest, AnApproversPermitForAnUnrecordedShardIsRefused) {
  const GateOptions options = world.node();
  const Manifest other = write_shard(options.shards, "other.tar",
                                     {{"x", {{"webm", "w"}}, sha256("clip 0"), 1}}, {"LIC-1@1"});
  Permit good;
  const GateOptions evil = world.node([&](Permit& permit) {
    good = permit;
    permit.mutable_shard(0)->set_root(digest_name(shard_root(other)));
    permit.mutable_shard(0)->set_samples(1);
  });
  EXPECT_EQ(refusal(evil), "");
  write_file(proofs_path(evil.permit), shard_proofs(Store(world.ledger, Access::read), good));
  write_file(evil.trust,
             read_file(evil.trust) + format_public_key({"log", world.log.verifier}) + "\n");
  EXPECT_THAT(refusal(evil), AllOf(StartsWith("refused: shard_unproven"),
                                   HasSubstr("its record is of another shard")));
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
  EXPECT_THAT(with(to_hex(world.manifest.samples[0].digest), to_hex(sha256("evil"))),
              StartsWith("refused: shard_missing"));
  EXPECT_THAT(with("\ns0 ", "\ns9 "), StartsWith("refused: shard_missing"));
  EXPECT_THAT(with(" 2000000 ", " 1 "), StartsWith("refused: shard_missing"));
  // One that does not parse is named, and missing; it may be of a shard that the run does not need.
  EXPECT_THAT(with("name shard-000000.tar", "name ../x.tar"),
              AllOf(StartsWith("refused: shard_missing"), HasSubstr("no plain file name")));
  EXPECT_THAT(with("name ", "nam "),
              AllOf(StartsWith("refused: shard_missing"), HasSubstr(".manifest:2: ")));
  write_file(path, good);
  write_file(world.folder / "shards" / "other.tar.manifest", "damaged");
  EXPECT_EQ(refusal(options), "");
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

// An auditor comes when the permit is long over: the time of the run counts, for what it was asked
// and for what was revoked since.
TEST_F(GateTest, AsOfAnEarlierTimeAPermitThatIsOverHolds) {
  const uint64_t hour = 3'600'000'000, then = *parse_time("2025-12-01T12:00:00Z");
  GateOptions options = world.node([&](Permit& p) {
    p.set_issued_at(format_time(then));
    p.set_expires_at(format_time(then + hour));
    p.mutable_shard(0)->set_valid_from("2020-01-01");
  });
  EXPECT_THAT(refusal(options), StartsWith("refused: permit_expired"));
  EXPECT_EQ(Gate::issued_at(options.permit), then);
  const auto judged = [&](uint64_t at_us) {
    return error_of([&] {
      Gate gate = Gate::as_of(options, at_us);
      EXPECT_TRUE(gate.holds().cleared);
      static_cast<void>(gate.clear(0, 1));
    });
  };
  EXPECT_EQ(judged(then + hour / 2), "");
  EXPECT_THAT(judged(then + 2 * hour), StartsWith("refused: permit_expired"));
  EXPECT_THAT(judged(then - 2 * hour),
              AllOf(StartsWith("refused: permit_not_yet_valid"), HasSubstr("is judged at")));

  notice("n.revocation", "licence", "LIC-1", world.licensor);  // of a month later
  EXPECT_EQ(judged(then + hour / 2), "");
  options = world.node();
  EXPECT_THAT(judged(now_us()), StartsWith("refused: revoked"));
  options.notices.clear();
  EXPECT_EQ(judged(now_us()), "");
}

// Signed by the licensor, and in words that take nothing back: nobody may go on as if it had not
// come.
TEST_F(GateTest, ARevocationThatNamesNothingStopsTheRun) {
  const std::string at = "at: \"2026-01-31T23:59:59Z\" ", root = world.root_hex();
  const std::pair<const char*, std::string> cases[] = {
      {"one of the two", at},
      {"one of the two", at + "licence: \"LIC-2\" shard: \"sha256:" + root + '"'},
      {"without a version", at + "licence: \"LIC-1@1\""},
      {"without a version", at + "licence: \"\""},
      {"must be its root", at + "shard: \"" + root + '"'},
      {"must be its root", at + "shard: \"SHA256:" + root + '"'},
      {"must be its root", at + "shard: \"sha256:A" + root.substr(1) + '"'},
      {"must be its root", at + "shard: \"shard-000000.tar\""},
      {"must be a time", "at: \"whenever\" licence: \"LIC-2\""},
  };
  for (const auto& [says, text] : cases) {
    Gate gate(world.node());
    write_file(world.folder / "notices/n.revocation",
               sign_text("revocation { reason: \"sold\" " + text + " }\n", {&world.licensor}));
    const Verdict verdict = gate.holds();
    EXPECT_EQ(verdict.rule, "notice_unverified") << text;
    EXPECT_THAT(verdict.fact, AllOf(HasSubstr("n.revocation"), HasSubstr(says))) << text;
    fs::remove(world.folder / "notices/n.revocation");
  }
}

TEST_F(GateTest, ARevocationNamedAsAPermitStopsTheRun) {
  for (const char* name : {"n.permit", "n.permit.proofs", "n.permit.shards"}) {
    Gate gate(world.node());
    notice(name, "licence", "LIC-1", world.licensor);
    const Verdict verdict = gate.holds();
    EXPECT_EQ(verdict.rule, "notice_unverified") << name;
    EXPECT_THAT(verdict.fact, AllOf(HasSubstr(name), HasSubstr("name it *.revocation"))) << name;
    fs::remove(world.folder / "notices" / name);
  }
}

TEST_F(GateTest, WhatNoticesDo) {
  const std::string root = "sha256:" + world.root_hex();
  const SignerKey stranger = new_signer_key("example-stock");  // the licensor's name, another key
  const std::pair<std::string, std::function<void()>> cases[] = {
      {"revoked", [&] { notice("n.revocation", "shard", root, world.approver); }},
      {"revoked", [&] { notice("n.revocation", "licence", "LIC-1", world.approver); }},
      {"cleared", [&] { notice("n.revocation", "licence", "LIC", world.licensor); }},
      {"cleared", [&] { notice("n.revocation", "licence", "LIC-2", world.licensor); }},
      {"notice_unverified", [&] { notice("LIC-1.note", "licence", "LIC-1", world.licensor); }},
      {"notice_unverified",
       [&] { notice("n.revocation.txt", "licence", "LIC-1", world.licensor); }},
      {"notice_unverified", [&] { notice("n.REVOCATION", "licence", "LIC-2", world.licensor); }},
      {"notice_unverified", [&] { write_file(world.folder / "notices/LIC-1.proofs", ""); }},
      {"notice_unverified", [&] { fs::create_directory(world.folder / "notices/later"); }},
      {"notice_unverified", [&] { fs::create_directory(world.folder / "notices/n.permit"); }},
      {"notice_unverified", [&] { fs::create_symlink("gone", world.folder / "notices/n"); }},
      {"cleared",
       [&] {
         for (const char* name : {"n.permit", "n.permit.proofs", "n.permit.shards", ".n.swp"}) {
           write_file(world.folder / "notices" / name, "");
         }
         fs::create_directory(world.folder / "notices/.snapshot");
       }},
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

// As cp, rsync --inplace and a redirection write: the folder itself does not change then.
void write_in_place(const fs::path& path, std::string_view text) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
}

// Its times are old enough to be trusted, so that only a change lets the gate read it again.
void wait_for_the_tick() {
  std::this_thread::sleep_for(std::chrono::milliseconds(2100));
}

TEST_F(GateTest, ANoticeWrittenOverAnotherOneIsSeen) {
  const GateOptions options = world.node();
  notice("n.revocation", "licence", "LIC-2", world.licensor);
  Gate gate(options);
  wait_for_the_tick();
  ASSERT_TRUE(gate.holds().cleared);
  const std::string other =
      world.revocation("licence", "LIC-1", world.licensor).revocation().note();
  const fs::path path = world.folder / "notices/n.revocation";
  ASSERT_EQ(other.size(), read_file(path).size());
  const auto before = fs::last_write_time(path);
  write_in_place(path, other);
  fs::last_write_time(path, before);  // as rsync --times leaves it
  EXPECT_EQ(gate.holds().rule, "revoked");
}

TEST_F(GateTest, ANewerPermitThatArrivesInTwoHalvesIsTaken) {
  const uint64_t second = 1'000'000, now = now_us();
  const auto from = [&](uint64_t ago) {
    return [=](Permit& p) {
      p.set_issued_at(format_time(now - ago * second));
      p.set_expires_at(format_time(now + (1000 - ago) * second));
    };
  };
  const std::string next = read_file(world.node(from(5)).permit);
  Gate gate(world.node(from(50)));
  const fs::path path = world.folder / "notices/next.permit";
  write_in_place(path, next.substr(0, next.size() / 2));
  wait_for_the_tick();
  ASSERT_TRUE(gate.holds().cleared);
  EXPECT_FALSE(gate.has_next());
  std::ofstream(path, std::ios::binary | std::ios::app) << next.substr(next.size() / 2);
  ASSERT_TRUE(gate.holds().cleared);
  EXPECT_TRUE(gate.has_next());
}

// As for a rank that is started again after the run took a newer one.
TEST_F(GateTest, ANewerPermitIsTakenWhereTheFirstHasOnlyEnded) {
  const uint64_t second = 1'000'000, now = now_us();
  const auto from = [&](uint64_t ago, uint64_t until) {
    return [=](Permit& p) {
      p.set_issued_at(format_time(now - ago * second));
      p.set_expires_at(format_time(now - ago * second + until * second));
    };
  };
  const std::string next = read_file(world.node(from(5, 1000)).permit);
  const GateOptions options = world.node(from(500, 100));
  EXPECT_THAT(error_of([&] { Gate gate(options); }), StartsWith("refused: permit_expired"));
  write_file(world.folder / "notices/next.permit", next);
  Gate gate(options);
  EXPECT_EQ(gate.permit_digest(), sha256(next));
  EXPECT_EQ(gate.permits(), (std::vector<Digest>{sha256(read_file(options.permit)), sha256(next)}));
  EXPECT_TRUE(gate.holds().cleared);
  EXPECT_THAT(error_of([&] { Gate::as_of(options, now); }), StartsWith("refused: permit_expired"));
  notice("a.revocation", "licence", "LIC-1", world.licensor);
  EXPECT_THAT(error_of([&] { Gate again(options); }), StartsWith("refused: "));
}

// What a newer permit has counted is not in the passes of the one before: each goes with its own.
TEST_F(GateTest, PassesGoWithWhatTheirPermitHasCounted) {
  const uint64_t second = 1'000'000, now = now_us();
  const auto made = [&](uint64_t ago, uint64_t until, uint32_t passes, uint64_t counted) {
    return world.node([=](Permit& p) {
      p.set_issued_at(format_time(now - ago * second));
      p.set_expires_at(format_time(now - ago * second + until * second));
      p.mutable_shard(0)->set_max_passes(passes);
      if (counted == 0) return;
      p.mutable_counted()->set_run("run-1-a");
      p.mutable_counted()->set_end_step(counted);
    });
  };
  struct Case {
    uint64_t first_counted, next_counted;
    uint64_t passes, counted;  // of a gate that begins with the second
  };
  for (const Case& c : {Case{0, 3, 1, 3}, {0, 0, 6, 0}, {2, 0, 6, 2}, {2, 3, 1, 3}}) {
    for (const bool ended : {true, false}) {
      const std::string next = read_file(made(5, 1000, 1, c.next_counted).permit);
      const GateOptions options = made(500, ended ? 100 : 1000, 6, c.first_counted);
      std::filesystem::remove(world.folder / "notices/next.permit");
      if (ended) write_file(world.folder / "notices/next.permit", next);
      Gate gate(options);
      if (!ended) {
        write_file(world.folder / "notices/next.permit", next);
        ASSERT_TRUE(gate.holds().cleared);
        ASSERT_TRUE(gate.take_next());
      }
      EXPECT_EQ(gate.permit_digest(), sha256(next));
      EXPECT_EQ(gate.permit().shard(0).max_passes(), ended ? c.passes : 6);
      EXPECT_EQ(gate.permit().counted().end_step(), ended ? c.counted : c.first_counted);
    }
  }
}

TEST_F(GateTest, PassesAreCounted) {
  Gate gate(world.node());
  EXPECT_EQ(error_of([&] { gate.clear(0, 4); }), "");
  EXPECT_THAT(error_of([&] { gate.clear(0, 5); }), StartsWith("refused: passes_exceeded"));
}

// The trust file's owner says how old a permit, and the ledger that it was made from, may be.
TEST_F(GateTest, WhatIsTooOldIsRefused) {
  const uint64_t hour = 3'600'000'000;
  const uint64_t now = now_us();
  struct Case {
    const char* line;
    uint64_t issued_h, head_h;  // ago; 1000: it does not say
    const char* says;
  };
  const Case cases[] = {
      {"", 30, 1000, ""},
      {"fresh permit 12", 11, 1, ""},
      {"fresh permit 12", 13, 1, "refused: permit_stale"},
      {"fresh head 12", 11, 11, ""},
      {"fresh head 12", 11, 13, "refused: head_stale"},
      {"fresh head 12", 11, 1000, "refused: head_stale"},
      {"fresh permit 2\nfresh head 48", 1, 47, ""},
      {"fresh permit 0", 1, 1, "corrupt"},
      {"fresh permit 012", 1, 1, "corrupt"},
      {"fresh weights 12", 1, 1, "corrupt"},
      {"fresh head 12\nfresh head 12", 1, 1, "corrupt"},
      {"fresh head", 1, 1, "corrupt"},
      {"fresh head 9999999", 1, 1, "corrupt"},
  };
  for (const Case& c : cases) {
    const GateOptions options = world.node([&](Permit& p) {
      p.set_issued_at(format_time(now - c.issued_h * hour));
      p.set_expires_at(format_time(now + hour));
      p.set_tree_at(format_time(now - c.head_h * hour));
      if (c.head_h == 1000) p.clear_tree_at();
    });
    write_file(options.trust, read_file(options.trust) + c.line + "\n");
    const std::string said = refusal(options);
    EXPECT_THAT(said, StartsWith(c.says)) << c.line << " " << c.issued_h;
    EXPECT_EQ(said.empty(), *c.says == '\0') << c.line << " " << c.issued_h;
  }
}

// A newer permit for the run arrives while it goes on.
TEST_F(GateTest, ANewerPermitIsTakenFromTheNotices) {
  const uint64_t second = 1'000'000;
  const uint64_t now = now_us();
  const auto permit = [&](const std::string& file, const std::function<void(Permit&)>& change,
                          const SignerKey& key) {
    const GateOptions made = world.node([&](Permit& p) {
      p.set_issued_at(format_time(now - 5 * second));
      p.set_expires_at(format_time(now + 1000 * second));
      change(p);
    });
    PermitText text;
    parse_textproto(parse_note(read_file(made.permit)).text, "test", text);
    const std::string note = sign_text(format_textproto(text), {&key});
    write_file(world.folder / file, note);
    return note;
  };
  struct Case {
    const char* what;
    std::function<void(Permit&)> change;
    bool taken;
    bool by_approver = true;
  };
  const Case cases[] = {
      {"newer", [](Permit&) {}, true},
      {"older", [&](Permit& p) { p.set_issued_at(format_time(now - 100 * second)); }, false},
      {"another run", [](Permit& p) { p.set_run("run-2"); }, false},
      {"another config", [](Permit& p) { p.set_config_digest(digest_name(sha256("x"))); }, false},
      {"another purpose", [](Permit& p) { p.mutable_purpose()->set_field_of_use("tv"); }, false},
      {"ended", [&](Permit& p) { p.set_expires_at(format_time(now - second)); }, false},
      {"other shards", [](Permit& p) { *p.add_shard() = p.shard(0); }, false},
      {"by nobody we know", [](Permit&) {}, false, false},
  };
  for (const Case& c : cases) {
    std::filesystem::remove_all(world.folder / "notices");
    permit(
        "run.permit", [&](Permit& p) { p.set_issued_at(format_time(now - 50 * second)); },
        world.approver);
    GateOptions options = world.node([&](Permit& p) {
      p.set_issued_at(format_time(now - 50 * second));
      p.set_expires_at(format_time(now + 500 * second));
    });
    Gate gate(options);
    Gate loader(gate);  // as a run has one in another thread
    const std::string first = gate.permit().expires_at();
    ASSERT_TRUE(gate.holds().cleared);
    EXPECT_FALSE(gate.has_next()) << c.what;
    EXPECT_FALSE(gate.take_next()) << c.what;
    const SignerKey stranger = new_signer_key("example-approver");
    const std::string note =
        permit("notices/next.permit", c.change, c.by_approver ? world.approver : stranger);
    ASSERT_TRUE(gate.holds().cleared) << c.what;
    EXPECT_EQ(gate.has_next(), c.taken) << c.what;
    EXPECT_EQ(gate.permit().expires_at(), first) << "not before it is told to";
    EXPECT_EQ(gate.take_next(), c.taken);
    EXPECT_EQ(gate.permit_digest() == sha256(note), c.taken) << c.what;
    EXPECT_EQ(loader.permit().expires_at() == first, !c.taken) << c.what;
    EXPECT_EQ(loader.permit().shard(0).max_passes(), 4U);
    EXPECT_TRUE(gate.holds().cleared);
    EXPECT_FALSE(gate.has_next()) << c.what;
    // Revocations stay: a permit that comes after one does not undo it.
    notice("a.revocation", "licence", "LIC-1", world.licensor);
    EXPECT_EQ(gate.holds().rule, "revoked") << c.what;
    EXPECT_FALSE(gate.has_next());
  }
}

TEST_F(GateTest, GoesOnWithoutWhatWasRevokedWhenAsked) {
  GateOptions options = world.node();
  options.leave_out = true;
  Gate whole(options);
  EXPECT_TRUE(whole.left_out().empty());
  notice("a.revocation", "licence", "LIC-1", world.licensor);
  EXPECT_EQ(whole.holds().rule, "revoked");  // what has begun stops, and begins again without
  EXPECT_THAT(refusal(options), StartsWith("refused: nothing_permitted"));  // it was all there was
  options = world.node([](Permit& p) {
    // A second shard that nobody has here, and which may not be used any more.
    Permit::Shard& other = *p.add_shard();
    other = p.shard(0);
    other.set_root(digest_name(sha256("gone")));
    other.set_licence(0, "OTHER@1");
    other.set_valid_to("2025-12-31");
  });
  std::filesystem::remove(world.folder / "notices/a.revocation");
  EXPECT_THAT(refusal(options), StartsWith("refused: shard_missing"));
  options.leave_out = true;
  Gate rest(options);
  EXPECT_EQ(rest.samples().size(), 2U);
  EXPECT_EQ(rest.left_out().size(), 1U);
  EXPECT_THAT(rest.left_out().begin()->second, StartsWith("expired"));
  EXPECT_EQ(rest.clear(1, 1).key(), "s1");
  notice("b.revocation", "licence", "OTHER", world.approver);
  EXPECT_TRUE(rest.holds().cleared);
}

}  // namespace
}  // namespace cleared::ledger
