// What the ledger says about footage, shards and permits.
#include "ledger/rights.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ledger/base/clock.h"
#include "ledger/base/file.h"
#include "ledger/base/utf8.h"
#include "ledger/digest.h"
#include "ledger/impact.h"
#include "ledger/licence.h"
#include "ledger/release.h"
#include "ledger/retention.h"
#include "ledger/textproto.h"
#include "ledger/verify.h"
#include "tests/ledger/full_world.h"
#include "tests/ledger/runs.h"
#include "tests/ledger/world.h"

namespace cleared::ledger {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

std::string rule_of(const World& world, std::string_view path = "2026-01/a.webm") {
  const Store store(world.ledger, Access::read);
  return Rights(store).judge_source(path, sha256("source a"), INGEST).verdict.rule;
}

// What asking for a permit says: "" or the refusal.
std::string permit_error(const World& world, const PermitRequest& request) {
  const Store store(world.ledger, Access::read);
  return error_of([&] { make_permit(store, Rights(store), request); });
}
std::string permit_error(const World& world) {
  return permit_error(world, world.request());
}

std::string version_2(const std::string& text) {
  return replaced(text, "  version: 1\n", "  version: 2\n  supersedes: \"LIC-1@1\"\n");
}

// A second licensor whose licence covers the same folder.
void add_rival(World& world, const SignerKey& rival) {
  world.append({world.key(rival, "licensor")});
  const std::string text = replaced(replaced(full_licence_text(), "\"LIC-1\"", "\"RIVAL-1\""),
                                    "licensor: \"example-stock\"", "licensor: \"rival\"");
  Store(world.ledger, Access::append)
      .append_licence(sign_text(text, {&rival, &world.licensee}), "rival");
}

TEST(Rights, OfASource) {
  World world;
  EXPECT_EQ(rule_of(world), "no_licence");
  world.add_licence(full_licence_text());
  EXPECT_EQ(rule_of(world), "cleared");
  EXPECT_EQ(rule_of(world, "2026-02/a.webm"), "no_licence");
  EXPECT_EQ(rule_of(world, "2026-01/../2026-02/a.webm"), "no_licence");
  world.add_licence(version_2(replaced(full_licence_text(), "2099-12-31", "2025-12-31")));
  EXPECT_EQ(rule_of(world), "expired");  // the newest version alone counts
  world.append({world.revocation("licence", "LIC-1", world.licensor)});
  EXPECT_EQ(rule_of(world), "revoked");
}

TEST(Rights, TwoLicensorsAreATitleConflict) {
  World world;
  world.fill();
  ASSERT_EQ(permit_error(world), "");
  add_rival(world, new_signer_key("rival"));
  EXPECT_EQ(rule_of(world), "title_conflict");
  EXPECT_THAT(permit_error(world), StartsWith("refused: title_conflict"));
}

TEST(Rights, AnotherLicensorCannotRevoke) {
  World world;
  world.fill();
  const SignerKey rival = new_signer_key("rival");
  world.append({world.key(rival, "licensor")});
  EXPECT_THAT(error_of([&] { world.append({world.revocation("licence", "LIC-1", rival)}); }),
              StartsWith("permission"));
}

TEST(Rights, OfALedgerThatWasEditedAreNone) {
  const char* edits[] = {
      "UPDATE licence SET valid_to = '2200-01-01'",
      "UPDATE document SET note = replace(note, 'max_passes: 4', 'max_passes: 9')",
      "UPDATE clip SET verdict = 'kept', caption = 'x'", "DELETE FROM revocation",
      "INSERT INTO approval SELECT 99, root, shards, signers, at, use, note FROM approval"};
  for (const char* sql : edits) {
    World world;
    world.fill();
    world.append({world.revocation("licence", "LIC-1", world.licensor)});
    {
      const Database db = Database::open(world.ledger, Access::append);
      db.exec(sql);
    }
    EXPECT_THAT(permit_error(world),
                testing::AllOf(StartsWith("corrupt"), HasSubstr("ledger verify")))
        << sql;
  }
}

// Documents may be erased, and an erased one must not take its refusal with it.
TEST(Rights, AnErasedLicenceClearsNothing) {
  World world;
  world.add_licence(full_licence_text());
  const std::string other = replaced(full_licence_text(), "\"LIC-1\"", "\"LIC-2\"");
  world.add_licence(replaced(other, "max_height_px: 1080", "max_height_px: 32"));  // stricter
  std::vector<Fact> facts = world.footage();
  facts[0].mutable_source()->add_licence("LIC-2@1");
  world.append(facts);
  world.append({world.approval()});
  Store(world.ledger, Access::append).sign_head(world.log);
  ASSERT_THAT(permit_error(world), StartsWith("refused: height_above_limit"));
  Store(world.ledger, Access::append).erase_document("LIC-2@1", "asked for");
  EXPECT_THAT(permit_error(world), StartsWith("refused: no_licence"));
}

// Whether it covers what was there before, only its document could say.
TEST(Rights, AnErasedLicenceThatCameLaterClearsNothingOfBefore) {
  World world;
  world.fill();
  ASSERT_EQ(permit_error(world), "");
  const std::string other = replaced(full_licence_text(), "\"LIC-1\"", "\"LIC-2\"");
  world.add_licence(replaced(other, "max_height_px: 1080", "max_height_px: 32"));
  ASSERT_THAT(permit_error(world), StartsWith("refused: height_above_limit"));
  Store(world.ledger, Access::append).erase_document("LIC-2@1", "asked for");
  EXPECT_THAT(permit_error(world), AllOf(StartsWith("refused: no_licence"), HasSubstr("LIC-2@1")));
  // What it says now can be read again: it covers something else.
  const std::string next =
      replaced(other, "  version: 1\n", "  version: 2\n  supersedes: \"LIC-2@1\"\n");
  world.add_licence(replaced(next, "2026-01/**", "2026-02/**"));
  EXPECT_EQ(permit_error(world), "");
}

// Its terms are not lifted for the next delivery of that licensor, either.
TEST(Rights, AnErasedLicenceClearsNothingThatComesAfterIt) {
  struct Case {
    const char *what, *from, *to;
    bool before_erasure, held;
  };
  const Case cases[] = {{"after the erasure", "2026-01/**", "2026-01/**", false, true},
                        {"while it could be read, and it covered something else", "2026-01/**",
                         "other/**", true, false}};
  for (const Case& row : cases) {
    World world;
    world.add_licence(full_licence_text());
    const std::string other = replaced(full_licence_text(), "\"LIC-1\"", "\"LIC-2\"");
    world.add_licence(replaced(other, row.from, row.to));
    const auto erase = [&] {
      Store(world.ledger, Access::append).erase_document("LIC-2@1", "asked for");
    };
    if (!row.before_erasure) erase();
    world.append(world.footage());
    if (row.before_erasure) erase();
    world.append({world.approval()});
    Store(world.ledger, Access::append).sign_head(world.log);
    if (!row.held) {
      EXPECT_EQ(permit_error(world), "") << row.what;
      continue;
    }
    EXPECT_THAT(permit_error(world), AllOf(StartsWith("refused: no_licence"), HasSubstr("LIC-2@1")))
        << row.what;
    const std::string next =
        replaced(other, "  version: 1\n", "  version: 2\n  supersedes: \"LIC-2@1\"\n");
    world.add_licence(replaced(next, "2026-01/**", "2026-02/**"));
    EXPECT_EQ(permit_error(world), "") << row.what;
  }
}

// Weights, too: their sources are judged one by one.
TEST(Rights, AnErasedLicenceThatCameLaterReleasesNothing) {
  RunWorld world({{"LIC-1", 2}});
  RunOf run = world.begin_run("run-1-aaaaaaaaaaaaaaaa");
  world.span(run, 10, {{0, {{1, 3}}}});
  const auto rule = [&] {
    const Store store(world.ledger, Access::read);
    Statement last(store.db(), "SELECT MAX(seq) FROM checkpoint");
    last.next();
    return judge_checkpoint(store, Rights(store), last.unsigned_integer(0), Act{EVALUATE})
        .verdict.rule;
  };
  world.add_licence(replaced(full_licence_text(), "\"LIC-1\"", "\"LIC-2\""));
  EXPECT_EQ(rule(), "cleared");
  Store(world.ledger, Access::append).erase_document("LIC-2@1", "asked for");
  EXPECT_EQ(rule(), "no_licence");
}

TEST(Shard, IsPermittedNoLongerThanItMayBeKept) {
  World world;
  world.fill();  // latents for 30 days
  const Store store(world.ledger, Access::read);
  const Rights today(store);
  const ShardStanding shard = judge_shard(store, today, world.root_hex(), Act{TRAIN});
  ASSERT_TRUE(shard.verdict.cleared) << shard.verdict.fact;
  constexpr uint64_t kDayUs = 86'400'000'000;
  const uint64_t made = parse_time(time_of_record(store, shard.seq)).value();
  EXPECT_EQ(shard.valid_to, date_of(made + 30 * kDayUs));
  const Permit permit = make_permit(store, today, world.request()).text.permit();
  EXPECT_EQ(permit.shard(0).valid_to(), shard.valid_to);
  const auto rule = [&](uint64_t days) {
    return judge_shard(store, Rights(store, date_of(made + days * kDayUs)), world.root_hex(),
                       Act{TRAIN})
        .verdict.rule;
  };
  EXPECT_EQ(rule(30), "cleared");
  EXPECT_EQ(rule(31), "kept_too_long");
}

TEST(Due, ListsFingerprintsAndWhatALicenceOfLaterAsksFor) {
  World world;
  world.fill(replaced(full_licence_text(), "fingerprint: PERPETUAL", "fingerprint: TERM"));
  const auto rows = [&] {
    const Store store(world.ledger, Access::read);
    std::set<std::string> out;
    for (const auto& row : due_of(store, Rights(store)).rows) {
      out.insert(row[2] + " " + row[5] + (row[0] == "2099-12-31" ? " at the end" : ""));
    }
    return out;
  };
  const std::set<std::string> first = {"embedding LIC-1@1", "fingerprint LIC-1@1 at the end",
                                       "shard LIC-1@1"};
  EXPECT_EQ(rows(), first);
  world.add_licence(replaced(full_licence_text(), "\"LIC-1\"", "\"LIC-2\""));
  std::set<std::string> both = first;
  both.insert({"embedding LIC-2@1", "shard LIC-2@1"});
  EXPECT_EQ(rows(), both);
}

TEST(Shard, OneRowARefusal) {
  struct Case {
    const char* rule;
    std::function<void(World&)> change;
  };
  const Case cases[] = {
      {"revoked", [](World& w) { w.append({w.revocation("licence", "LIC-1", w.approver)}); }},
      {"revoked",
       [](World& w) { w.append({w.revocation("shard", "sha256:" + w.root_hex(), w.approver)}); }},
      {"deleted", [](World& w) { w.append({w.deletion({&w.approver})}); }},
      {"use_not_allowed",
       [](World& w) {
         w.add_licence(version_2(replaced(full_licence_text(), "ENCODE, TRAIN,", "ENCODE,")));
       }},
      {"no_licence",
       [](World& w) {
         w.add_licence(version_2(replaced(full_licence_text(), "2026-01/**", "2026-02/**")));
       }},
      {"title_conflict",
       [](World& w) {
         Fact fact;
         DuplicateRecord& d = *fact.mutable_duplicate();
         d.set_source(std::string(sha256("source a").text()));
         d.set_of(std::string(sha256("source a").text()));
         d.set_end_us(1);
         d.set_of_end_us(1);
         d.set_verdict("conflict");
         w.append({fact});
       }},
  };
  for (size_t i = 0; i < std::size(cases); ++i) {
    World world;
    world.fill();
    ASSERT_EQ(permit_error(world), "");
    cases[i].change(world);
    EXPECT_THAT(permit_error(world), StartsWith("refused: " + std::string(cases[i].rule)))
        << "row " << i;
    PermitRequest rest = world.request();
    rest.leave_out_refused = true;
    EXPECT_THAT(permit_error(world, rest), StartsWith("refused: nothing_permitted"));
  }
}

TEST(Shard, ItsDeletionIsSignedAndIsOfTheTarOnRecord) {
  World world;
  world.fill();
  const SignerKey curator = new_signer_key("example-curator");
  world.append({world.key(curator, "curator")});
  const auto said = [&](const std::vector<const SignerKey*>& keys,
                        const std::function<void(Deletion&)>& change) {
    const Fact honest = world.deletion({&curator});
    DeletionText text;
    parse_textproto(parse_note(honest.deletion().note()).text, "test", text);
    change(*text.mutable_deletion());
    Fact fact;
    fact.mutable_deletion()->set_note(sign_text(format_textproto(text), keys));
    return error_of([&] { world.append({fact}); });
  };
  const auto nothing = [](Deletion&) {};
  EXPECT_THAT(said({&world.trainer}, nothing), StartsWith("permission"));
  EXPECT_THAT(said({&curator}, [](Deletion& d) { d.clear_digest(); }), HasSubstr("no digest"));
  EXPECT_THAT(said({&curator}, [](Deletion& d) { d.set_digest(0, digest_name(sha256("x"))); }),
              HasSubstr("is not what was deleted"));
  EXPECT_THAT(said({&curator}, [](Deletion& d) { d.set_source(digest_name(sha256("source a"))); }),
              HasSubstr("must name a shard, or a source"));
  EXPECT_THAT(said({&curator}, [](Deletion& d) { d.set_shard(digest_name(sha256("none"))); }),
              HasSubstr("is not on record"));
  const std::string permit = world.permit_note();
  EXPECT_EQ(said({&curator}, nothing), "");
  // What a curator keeps of a source beside shards.
  EXPECT_EQ(said({&curator},
                 [](Deletion& d) {
                   d.clear_shard();
                   d.set_source(digest_name(sha256("source a")));
                   d.set_what(Deletion::CAPTION);
                 }),
            "");
  Fact late;
  late.mutable_permit()->set_note(permit);  // made before, recorded after
  EXPECT_THAT(error_of([&] { world.append({late}); }), HasSubstr("was deleted"));
}

TEST(Shard, IncompleteWhenASampleIsNotOnRecord) {
  World world;
  world.add_licence(full_licence_text());
  std::vector<Fact> facts = world.footage();
  facts.pop_back();
  world.append(facts);
  world.append({world.approval()});
  Store(world.ledger, Access::append).sign_head(world.log);
  EXPECT_THAT(permit_error(world), StartsWith("refused: shard_incomplete"));
  const Store store(world.ledger, Access::read);
  EXPECT_THAT(error_of([&] { make_approval(store, Rights(store), {world.root_hex()}, TRAIN, ""); }),
              StartsWith("refused: shard_incomplete"));
}

TEST(Shard, UnkeptClipsAreSuperseded) {
  World world;
  world.add_licence(full_licence_text());
  std::vector<Fact> facts = world.footage();
  facts[2].mutable_clip()->set_verdict("black");
  world.append(facts);
  world.append({world.approval()});
  Store(world.ledger, Access::append).sign_head(world.log);
  EXPECT_THAT(permit_error(world), StartsWith("refused: superseded_clip"));
}

TEST(Permit, NeedsAnApprovalForThatUse) {
  World world;
  world.add_licence(full_licence_text());
  world.append(world.footage());
  Store(world.ledger, Access::append).sign_head(world.log);
  EXPECT_THAT(permit_error(world), StartsWith("refused: nothing_permitted"));
  world.append({world.approval()});  // for TRAIN
  EXPECT_EQ(permit_error(world), "");
  PermitRequest request = world.request();
  request.purpose.set_use(FINETUNE);
  EXPECT_THAT(permit_error(world, request), StartsWith("refused: nothing_permitted"));
  for (const Use use : {INGEST, ENCODE, EVALUATE, GENERATE_INTERNAL}) {
    request.purpose.set_use(use);
    EXPECT_THAT(permit_error(world, request), StartsWith("refused: not_for_training"));
  }
}

TEST(Permit, HoursAndHead) {
  World world;
  world.add_licence(full_licence_text());
  world.append(world.footage());
  world.append({world.approval()});
  EXPECT_THAT(permit_error(world), StartsWith("not_found"));  // no signed head yet
  Store(world.ledger, Access::append).sign_head(world.log);
  for (const auto& [hours, error] :
       {std::pair<uint64_t, const char*>{0, "usage"}, {1, ""}, {168, ""}, {169, "usage"}}) {
    PermitRequest request = world.request();
    request.hours = hours;
    EXPECT_THAT(permit_error(world, request), StartsWith(error)) << hours;
  }
}

TEST(Permit, PassesAreLimitedAndReserved) {
  World world;
  world.fill();  // max_passes 4, two samples
  PermitRequest request = world.request();
  request.draws = 8;
  EXPECT_EQ(permit_error(world, request), "");
  request.draws = 9;
  EXPECT_THAT(permit_error(world, request), StartsWith("refused: passes_exceeded"));
  request.draws = 8;
  request.passes_before = 1;
  EXPECT_THAT(permit_error(world, request), StartsWith("refused: passes_exceeded"));
  Fact permit;
  permit.mutable_permit()->set_note(world.permit_note());
  world.append({permit});
  EXPECT_THAT(permit_error(world), StartsWith("refused: passes_reserved"));
}

TEST(Permit, SharesOfALicensorAreLimited) {
  World world;
  world.fill(replaced(full_licence_text(), "max_share: 1.0", "max_share: 0.5"));
  EXPECT_THAT(permit_error(world), StartsWith("refused: share_exceeded"));
}

// Restarts, resumes and forks of a model line share the passes; what a run consumed by the record
// is not asked for again when it goes on.
TEST(Permit, ARunThatGoesOnIsCountedOnce) {
  RunWorld world({{"LIC-1", 2}},
                 [](size_t, LicenceText& terms) { terms.mutable_limits()->set_max_passes(5); });
  RunOf run = world.begin_run("run-1-aaaaaaaaaaaaaaaa");
  world.span(run, 10, {{0, {{2, 1}, {1, 2}}}});
  world.span(run, 20, {{0, {{1, 11}}}});
  world.sign();
  PermitRequest request = world.request();
  request.draws = 4;  // two passes of two samples
  EXPECT_THAT(permit_error(world, request), StartsWith("refused: passes_reserved"));
  request.resumes = "run-1-aaaaaaaaaaaaaaaa";
  EXPECT_EQ(permit_error(world, request), "");
  request.draws = 5;  // 3 of 5 are consumed of the first sample
  EXPECT_THAT(permit_error(world, request), StartsWith("refused: passes_exceeded"));
  request.resumes = "run-1-0000000000000000";
  EXPECT_THAT(permit_error(world, request), StartsWith("not_found"));
  request.resumes = "run-1-aaaaaaaaaaaaaaaa";
  request.draws = 4;
  const Store store(world.ledger, Access::read);
  const Permit permit = make_permit(store, Rights(store), request).text.permit();
  EXPECT_EQ(permit.shard(0).max_passes(), 2U);
  EXPECT_EQ(permit.counted().run(), "run-1-aaaaaaaaaaaaaaaa");
  EXPECT_EQ(permit.counted().end_step(), 20U);
  EXPECT_TRUE(permit.shard(0).revocable());
  EXPECT_EQ(error_of([&] { check_permit(store, Rights(store), permit); }), "");
  Permit wrong = permit;
  wrong.mutable_counted()->set_end_step(21);
  EXPECT_THAT(error_of([&] { check_permit(store, Rights(store), wrong); }), StartsWith("corrupt"));
  wrong = permit;
  wrong.set_tree_at("2020-01-01T00:00:00Z");
  EXPECT_THAT(error_of([&] { check_permit(store, Rights(store), wrong); }), StartsWith("corrupt"));
}

// A newer permit comes in the place of those that the run has consumed under, and of no other: two
// forks of one run would spend the same passes.
TEST(Permit, OfARunThatGoesOnIsNotGivenAgainBeforeItIsUsed) {
  RunWorld world({{"LIC-1", 2}},
                 [](size_t, LicenceText& terms) { terms.mutable_limits()->set_max_passes(9); });
  RunOf run = world.begin_run("run-1-aaaaaaaaaaaaaaaa");
  world.span(run, 10, {{0, {{2, 1}, {1, 2}}}});
  world.sign();
  PermitRequest request = world.request();
  request.resumes = "run-1-aaaaaaaaaaaaaaaa";
  EXPECT_EQ(permit_error(world, request), "");
  const Store before(world.ledger, Access::read);
  const Permit twin = make_permit(before, Rights(before), request).text.permit();
  world.permit({}, "run-1-aaaaaaaaaaaaaaaa");
  EXPECT_THAT(permit_error(world, request), StartsWith("refused: passes_reserved"));
  const Store after(world.ledger, Access::read);
  EXPECT_THAT(error_of([&] { check_permit(after, Rights(after), twin); }),
              StartsWith("refused: passes_reserved"));
  world.span(run, 20, {{0, {{1, 11}}}});  // the running job took it
  EXPECT_EQ(permit_error(world, request), "");
  request.run = "run-2";
  EXPECT_THAT(permit_error(world, request), HasSubstr("run-1-aaaaaaaaaaaaaaaa is no run of it"));
}

// To be trained on is not to be measured by: asked of every shard, by whoever makes the permit and
// by whoever records it. What consumes nothing is permitted where no pass is left.
TEST(Permit, ToMeasureByFootageIsForWhatAllowsIt) {
  RunWorld world({{"LIC-1", 2}, {"LIC-2", 2}}, [](size_t number, LicenceText& terms) {
    terms.mutable_limits()->set_max_passes(2);
    auto& uses = *terms.mutable_allows()->mutable_use();
    if (number == 1) uses.erase(std::find(uses.begin(), uses.end(), EVALUATE));
  });
  const Store store(world.ledger, Access::read);
  PermitRequest request = world.request();
  EXPECT_EQ(permit_error(world, request), "");
  Permit permit = make_permit(store, Rights(store), request).text.permit();
  declare(*permit.mutable_purpose(), EVALUATE);
  EXPECT_THAT(error_of([&] { check_permit(store, Rights(store), permit); }),
              AllOf(StartsWith("refused: use_not_allowed: "),
                    HasSubstr("licence LIC-2@1 does not list EVALUATE")));
  declare(request.purpose, EVALUATE);
  EXPECT_THAT(permit_error(world, request),
              AllOf(StartsWith("refused: use_not_allowed: "),
                    HasSubstr("licence LIC-2@1 does not list EVALUATE")));
  request.leave_out_refused = true;
  permit = make_permit(store, Rights(store), request).text.permit();
  EXPECT_TRUE(declares(permit.purpose(), EVALUATE));
  ASSERT_EQ(permit.shard_size(), 1);
  EXPECT_EQ(permit.shard(0).licence(0), "LIC-1@1");

  RunOf run = world.begin_run("run-1-aaaaaaaaaaaaaaaa");
  world.span(run, 10, {{0, {{2, 1}, {2, 2}}}});
  world.sign();
  request.resumes = "run-1-aaaaaaaaaaaaaaaa";
  EXPECT_THAT(permit_error(world, request), StartsWith("refused: passes_exceeded"));
  request.draws = 0;
  const Store later(world.ledger, Access::read);
  permit = make_permit(later, Rights(later), request).text.permit();
  EXPECT_EQ(permit.shard(0).max_passes(), 0U);
}

// A config's name may be how another's begins.
TEST(Permit, OfARunThatGoesOnIsForItsConfigAlone) {
  RunWorld world({{"LIC-1", 2}});
  RunOf run = world.begin_run("run-1-aaaaaaaaaaaaaaaa");
  world.span(run, 10, {{0, {{2, 1}, {1, 2}}}});
  world.sign();
  PermitRequest request = world.request();
  request.resumes = "run-1-aaaaaaaaaaaaaaaa";
  EXPECT_EQ(permit_error(world, request), "");
  const Store store(world.ledger, Access::read);
  Permit permit = make_permit(store, Rights(store), request).text.permit();
  for (const char* other : {"run-1-long-aaaaaaaaaaaaaaaa", "run-1-aaaaaaaaaaaaaaaA", "run-1-",
                            "run-1-aaaaaaaaaaaaaaa"}) {
    request.resumes = other;
    EXPECT_THAT(permit_error(world, request), HasSubstr(" is no run of it")) << other;
    permit.mutable_counted()->set_run(other);
    EXPECT_THAT(error_of([&] { check_permit(store, Rights(store), permit); }),
                HasSubstr(" is no run of it"))
        << other;
  }
}

TEST(Permit, ThatCountsARunIsForThatRunGoingOn) {
  RunWorld world({{"LIC-1", 2}});
  RunOf run = world.begin_run("run-1-aaaaaaaaaaaaaaaa");
  world.span(run, 10, {{0, {{2, 1}, {1, 2}}}});
  world.sign();
  world.permit({}, "run-1-aaaaaaaaaaaaaaaa");
  RunOf other = world.begin_run("run-1-bbbbbbbb00000000");
  EXPECT_THAT(error_of([&] {
                world.span(other, 5, {{0, {{1, 1}}}});
              }),
              HasSubstr("is for run run-1-aaaaaaaaaaaaaaaa going on"));
  other.parent = to_hex(sha256("not on record yet"));
  world.span(other, 5, {{0, {{1, 1}}}});
  RunOf fork = world.begin_run("run-1-cccccccc00000000", run.checkpoints[0]);
  world.span(fork, 15, {{0, {{1, 11}}}});
  world.span(fork, 20, {{0, {{1, 16}}}});
  RunOf again = world.begin_run("run-1-dddddddd00000000", fork.checkpoints[0]);
  world.span(again, 20, {{0, {{1, 16}}}});
  world.span(run, 20, {{0, {{1, 11}}}});
}

TEST(Permit, StepsOfARunAreToldOnce) {
  RunWorld world({{"LIC-1", 2}});
  RunOf run = world.begin_run("run-1-aaaaaaaaaaaaaaaa");
  world.span(run, 4, {{0, {{2, 1}, {1, 2}}}});
  const RunOf at_4 = run;
  world.span(run, 6, {{0, {{1, 5}}}});
  RunOf again = at_4;
  EXPECT_THAT(
      error_of([&] {
        world.span(again, 8, {{0, {{1, 5}}}});
      }),
      HasSubstr(
          "steps 4 to 8 of run run-1-aaaaaaaaaaaaaaaa overlap those of another receipt of it, 4 to "
          "6"));
  RunOf other = world.begin_run("run-1-bbbbbbbb00000000", at_4.parent);
  world.span(other, 8, {{0, {{1, 5}}}});
}

// Three shards of one licensor, two of another: its footage is drawn less often, and the permit
// says what a node needs for that.
TEST(Permit, PlansEpochsInWhichSharesHold) {
  const SignerKey other = new_signer_key("other-stock");
  struct Shares : RunWorld {
    explicit Shares(const SignerKey& other, double most)
        : RunWorld({{"A-1", 6}, {"A-2", 3}, {"A-3", 1}, {"B-1", 4}, {"B-2", 4}},
                   [&](size_t i, LicenceText& terms) {
                     terms.mutable_limits()->set_max_share(i < 3 ? most : 1.0);
                     if (i >= 3) terms.mutable_licence()->set_licensor("other-stock");
                   },
                   {&other}) {}
  };
  const std::map<double, uint64_t> cases = {{0.56, 10}, {0.5, 8}, {0.34, 4}, {0.12, 1}};
  for (const auto& [most, take] : cases) {
    const Shares world(other, most);
    PermitRequest request = world.request();
    request.draws = 1800;
    const Store store(world.ledger, Access::read);
    const auto [text, plan] = make_permit(store, Rights(store), request);
    const Permit& permit = text.permit();
    EXPECT_EQ(permit.shard_size(), 5);
    ASSERT_TRUE(plan);
    EXPECT_EQ(plan->groups[1].take, take) << most;
    EXPECT_EQ(plan->groups[0].take, 8U);
    ASSERT_EQ(permit.share_size(), 1);
    EXPECT_EQ(permit.share(0).licensor(), "example-stock");
    EXPECT_EQ(permit.share(0).most(), most);
    ASSERT_EQ(permit.shard(0).part_size(), 1);
    EXPECT_EQ(permit.shard(0).part(0).share(), 1U);
    EXPECT_EQ(permit.shard(0).part(0).samples(), 6U);
    EXPECT_EQ(permit.shard(3).part_size(), 0);

    // What others have signed since says neither more nor less.
    EXPECT_EQ(error_of([&] { check_permit(store, Rights(store), permit); }), "");
    const std::vector<std::function<void(Permit&)>> kChanges = {
        [](Permit& p) { p.clear_share(); },
        [](Permit& p) { p.mutable_share(0)->set_most(0.9); },
        [](Permit& p) { p.mutable_shard(0)->clear_part(); },
        [](Permit& p) { p.mutable_shard(0)->mutable_part(0)->set_share(0); },
    };
    for (size_t i = 0; i < kChanges.size(); ++i) {
      Permit wrong = permit;
      kChanges[i](wrong);
      EXPECT_THAT(error_of([&] { check_permit(store, Rights(store), wrong); }),
                  StartsWith("corrupt"))
          << i;
    }
  }
  // What is drawn less often is drawn of others in its place, as often as their licences allow.
  const RunWorld world({{"A-1", 12}, {"B-1", 4}},
                       [](size_t i, LicenceText& terms) {
                         if (i == 0) terms.mutable_limits()->set_max_share(0.5);
                         if (i == 1) terms.mutable_limits()->set_max_passes(3);
                         if (i == 1) terms.mutable_licence()->set_licensor("other-stock");
                       },
                       {&other});
  PermitRequest request = world.request();
  request.draws = 24;
  EXPECT_EQ(permit_error(world, request), "");
  request.draws = 32;  // two passes of all, but four of these
  EXPECT_THAT(permit_error(world, request),
              StartsWith("refused: passes_exceeded: the run takes 4"));
}

// A latent and its video, or the same clip in two shards, are the same footage.
TEST(Permit, PassesAreThoseOfTheClip) {
  RunWorld world({{"LIC-1", 2}},
                 [](size_t, LicenceText& terms) { terms.mutable_limits()->set_max_passes(5); });
  const std::string latents = world.add_latents(0);
  PermitRequest request = world.request();
  request.draws = 8;  // two passes of four samples: four of each clip
  EXPECT_EQ(permit_error(world, request), "");
  request.draws = 12;
  EXPECT_THAT(permit_error(world, request),
              StartsWith("refused: passes_exceeded: the run takes 6"));

  RunOf run = world.begin_run("run-1-aaaaaaaaaaaaaaaa");
  world.span(run, 10, {{0, {{3, 1}, {1, 2}}}});
  world.sign();
  request.resumes = "run-1-aaaaaaaaaaaaaaaa";
  request.only = "latent";
  request.draws = 2;
  const Store store(world.ledger, Access::read);
  const Permit permit = make_permit(store, Rights(store), request).text.permit();
  ASSERT_EQ(permit.shard_size(), 1);
  EXPECT_EQ(permit.shard(0).root(), "sha256:" + latents);
  EXPECT_EQ(permit.shard(0).max_passes(), 2U);  // three of five are consumed of the first clip
  request.resumes.clear();
  EXPECT_THAT(permit_error(world, request), StartsWith("refused: passes_reserved"));
}

// Weights are what their run was permitted for, whatever they are called when they are let go.
TEST(Checkpoint, IsOfTheModelLineOfItsRun) {
  RunWorld world({{"LIC-1", 2}}, [](size_t, LicenceText& terms) {
    terms.mutable_allows()->add_model("cleared-lite");
    terms.mutable_allows()->add_use(GENERATE_INTERNAL);
  });
  RunOf run = world.begin_run("run-1-aaaaaaaaaaaaaaaa");
  world.span(run, 10, {{0, {{2, 1}, {1, 2}}}});
  const auto asked = [&](const char* model) {
    Purpose purpose = World::purpose();
    purpose.set_use(GENERATE_INTERNAL);
    purpose.set_model(model);
    purpose.clear_component();
    const Store store(world.ledger, Access::read);
    Statement last(store.db(), "SELECT MAX(seq) FROM checkpoint");
    last.next();
    return judge_checkpoint(store, Rights(store), last.unsigned_integer(0),
                            Act{GENERATE_INTERNAL, 0, &purpose, "EU"})
        .verdict;
  };
  EXPECT_EQ(asked("cleared-base").rule, "cleared") << asked("cleared-base").fact;
  EXPECT_EQ(asked("cleared-lite").rule, "model_not_allowed");
  EXPECT_THAT(asked("cleared-lite").fact,
              testing::AllOf(HasSubstr("cleared-base, which run "
                                       "run-1-aaaaaaaaaaaaaaaa was permitted for"),
                             HasSubstr("not of cleared-lite")));
}

// "" without a checkpoint on record.
std::string checkpoint_rule(const World& world, Use use) {
  const Store store(world.ledger, Access::read);
  Statement last(store.db(), "SELECT MAX(seq) FROM checkpoint");
  if (!last.next() || last.type(0) == ValueType::null) return "";
  const CheckpointStanding standing =
      judge_checkpoint(store, Rights(store), last.unsigned_integer(0), Act{use});
  return standing.verdict.rule + " " + std::to_string(standing.sources);
}

// What went into weights may have come by way of others: those that a run went on from, those of
// its autoencoder and its text encoder, and all of theirs.
TEST(Checkpoint, IsJudgedByItsWholeLine) {
  RunWorld world({{"LIC-1", 2}, {"LIC-2", 2}, {"LIC-3", 2}, {"LIC-4", 2}});
  RunOf codec = world.begin_run("run-1-c0dec00000000000");
  world.span(codec, 10, {{0, {{1, 3}}}});
  RunOf trunk = world.begin_run("run-1-7000000000000000");
  trunk.vae = codec.parent;
  RunOf captions = world.begin_run("run-1-7e87000000000000");
  world.span(captions, 10, {{3, {{1, 3}}}});
  trunk.text_encoder = captions.parent;
  world.span(trunk, 10, {{1, {{1, 3}}}});
  RunOf branch = world.begin_run("run-1-b000000000000000", trunk.parent);
  world.span(branch, 20, {{2, {{1, 13}}}});
  EXPECT_EQ(checkpoint_rule(world, EVALUATE), "cleared 4");

  RunOf unknown = world.begin_run("run-1-0bad000000000000");
  unknown.vae = to_hex(sha256("weights that nobody recorded"));
  world.span(unknown, 10, {{1, {{1, 3}}}});
  EXPECT_EQ(checkpoint_rule(world, EVALUATE), "no_licence 1");
  RunOf strange = world.begin_run("run-1-0bad111111111111");
  strange.text_encoder = to_hex(sha256("weights that nobody recorded"));
  world.span(strange, 10, {{1, {{1, 3}}}});
  EXPECT_EQ(checkpoint_rule(world, EVALUATE), "no_licence 1");
}

// Steps that nobody recorded may have consumed anything.
TEST(Checkpoint, BeginsWhereTheWeightsBeforeItEnd) {
  RunWorld world({{"LIC-1", 2}, {"LIC-2", 2}});
  RunOf trunk = world.begin_run("run-1-7000000000000000");
  world.span(trunk, 10, {{0, {{1, 3}}}});
  RunOf gap = world.begin_run("run-1-9a90000000000000");
  gap.step = 5;
  EXPECT_THAT(error_of([&] {
                world.span(gap, 20, {{0, {{1, 13}}}});
              }),
              HasSubstr("begins at step 5, and it names no weights that it came from"));
  RunOf later = world.begin_run("run-1-1a7e000000000000", trunk.parent);
  later.step = 15;
  EXPECT_THAT(error_of([&] {
                world.span(later, 20, {{0, {{1, 16}}}});
              }),
              HasSubstr("begins at step 15, and the weights that it came from are of step 10"));
  trunk.step = 12;
  EXPECT_THAT(error_of([&] {
                world.span(trunk, 20, {{0, {{1, 16}}}});
              }),
              HasSubstr("are of step 10"));

  // Bundles come in any order, so what comes before may be told of afterwards, and be less.
  RunOf first = world.begin_run("run-1-f100000000000000", trunk.parent);
  first.step = 30;
  first.parent = to_hex(sha256("run-1-5ec0000000000000 20"));
  world.span(first, 40, {{0, {{1, 31}}}});
  EXPECT_EQ(checkpoint_rule(world, EVALUATE), "no_licence 1");
  RunOf second = world.begin_run("run-1-5ec0000000000000", trunk.parent);
  world.span(second, 20, {{0, {{1, 13}}}});
  EXPECT_EQ(checkpoint_rule(world, EVALUATE), "cleared 1");
  world.sign();
  const Store store(world.ledger, Access::read);
  Statement of(store.db(), "SELECT seq FROM checkpoint WHERE digest = ?");
  ASSERT_TRUE(of.with(first.parent).next());
  const Verdict verdict =
      judge_checkpoint(store, Rights(store), of.unsigned_integer(0), Act{EVALUATE}).verdict;
  EXPECT_EQ(verdict.rule, "no_licence");
  EXPECT_THAT(verdict.fact, HasSubstr("run-1-f100000000000000 went on from at step 30"));
  EXPECT_THAT(error_of([&] { world.append({world.release(first.parent, {"LIC-1@1"})}); }),
              HasSubstr("run-1-f100000000000000 went on from at step 30"));
  const Impact impact = impact_of(store, "LIC-2");
  ASSERT_EQ(impact.runs.size(), 1U);
  EXPECT_EQ(impact.runs[0].run, "run-1-f100000000000000");
  EXPECT_EQ(impact.runs[0].through, "weights that are not on record");
}

// A permit that replaces another one is for the same; which steps were made under which, the run
// receipt says.
TEST(Checkpoint, IsUnderAPermitOfItsRun) {
  RunWorld world({{"LIC-1", 2}});
  RunOf run = world.begin_run("run-1-aaaaaaaa00000000");
  world.span(run, 10, {{0, {{1, 3}}}});
  world.sign();
  const auto under = [&](const std::function<void(PermitRequest&)>& change) {
    PermitRequest request = world.request();
    change(request);
    Fact permit;
    {
      const Store store(world.ledger, Access::read);
      permit.mutable_permit()->set_note(sign_text(
          format_textproto(make_permit(store, Rights(store), request).text), {&world.approver}));
    }
    world.append({permit});
    world.before_append = [&](Fact& fact) {
      if (!fact.has_receipt()) return;
      ReceiptText text;
      parse_textproto(parse_note(fact.receipt().note()).text, "test", text);
      text.mutable_receipt()->set_permit(digest_name(sha256(permit.permit().note())));
      fact.mutable_receipt()->set_note(sign_text(format_textproto(text), {&world.trainer}));
    };
    RunOf next = run;
    const std::string error = error_of([&] { world.span(next, run.step + 10, {{0, {{1, 13}}}}); });
    if (error.empty()) run = next;
    return error;
  };
  const auto no = HasSubstr("under a permit for another run, config or purpose");
  EXPECT_THAT(under([](PermitRequest& r) { r.run = "run-2"; }), no);
  EXPECT_THAT(under([](PermitRequest& r) { r.config_digest = sha256("other"); }), no);
  EXPECT_THAT(under([](PermitRequest& r) { r.purpose.set_compute_territory("US"); }), no);
  EXPECT_EQ(under([](PermitRequest& r) { r.hours = 1; }), "");
}

// The record is the word of whoever appends it, the statement the trainer's.
TEST(Checkpoint, ComesFromTheWeightsThatItsStatementNames) {
  RunWorld world({{"LIC-1", 2}});
  RunOf codec = world.begin_run("run-1-c0dec00000000000");
  world.span(codec, 10, {{0, {{1, 3}}}});
  const std::pair<const char*, void (CheckpointRecord::*)()> hidden[] = {
      {"run-1-aaaaaaaa00000000", &CheckpointRecord::clear_parent},
      {"run-1-bbbbbbbb00000000", &CheckpointRecord::clear_vae},
      {"run-1-cccccccc00000000", &CheckpointRecord::clear_text_encoder}};
  for (const auto& [name, hide] : hidden) {
    world.before_append = [&, hide = hide](Fact& fact) {
      if (fact.has_checkpoint()) (fact.mutable_checkpoint()->*hide)();
    };
    RunOf run = world.begin_run(name, codec.parent);
    run.vae = run.text_encoder = codec.parent;
    EXPECT_THAT(error_of([&] {
                  world.span(run, 20, {{0, {{1, 13}}}});
                }),
                HasSubstr("names other weights that it came from"));
  }
}

TEST(Checkpoint, IsJudgedByWhatItsWeightsConsumed) {
  std::vector<std::string> evaluate, release;
  const auto add = [](std::vector<std::string>& rules, const std::string& rule) {
    if (rules.empty() || rules.back() != rule) rules.push_back(rule);
  };
  const FullWorld world(2, [&](const World& now) {
    if (!std::filesystem::exists(now.ledger)) return;
    add(evaluate, checkpoint_rule(now, EVALUATE));
    add(release, checkpoint_rule(now, RELEASE_WEIGHTS));
  });
  // In the end the shard that it read is revoked.
  EXPECT_EQ(evaluate, (std::vector<std::string>{"", "cleared 1", "revoked 1"}));
  EXPECT_EQ(release, (std::vector<std::string>{"", "use_not_allowed 1", "revoked 1"}));
}

// A note that outlives the terms would go on saying yes where there is no ledger.
TEST(Checkpoint, ItsReleaseEndsWithTheTerms) {
  const std::string tomorrow = date_of(now_us() + 86'400'000'000);
  const auto expires = [&](Licence::AfterTerm after, uint64_t hours) {
    RunWorld world({{"LIC-1", 2}}, [&](size_t, LicenceText& terms) {
      terms.mutable_licence()->set_valid_to(tomorrow);
      terms.mutable_licence()->set_after_term(after);
      terms.mutable_allows()->add_use(GENERATE_INTERNAL);
    });
    RunOf run = world.begin_run("run-1-aaaaaaaaaaaaaaaa");
    world.span(run, 10, {{0, {{1, 3}}}});
    world.sign();
    const Store store(world.ledger, Access::read);
    Statement last(store.db(), "SELECT MAX(seq) FROM checkpoint");
    last.next();
    Purpose purpose = World::purpose();
    const CheckpointStanding standing = judge_checkpoint(
        store, Rights(store), last.unsigned_integer(0), Act{GENERATE_INTERNAL, 0, &purpose, "US"});
    const Release release =
        make_release(store, standing,
                     {sha256("weights"), GENERATE_INTERNAL, "cleared-base", "film", "US", hours})
            .release();
    EXPECT_EQ(release.tree_at(), time_of_record(store, release.tree_size() - 1));
    EXPECT_EQ(release.licence(0), "LIC-1@1");
    return parse_time(release.expires_at()).value() - parse_time(release.issued_at()).value();
  };
  EXPECT_EQ(expires(Licence::KEEP_WEIGHTS, 168), 168 * kHourUs);
  EXPECT_EQ(expires(Licence::WITHDRAW_MODEL, 1), kHourUs);
  EXPECT_LE(expires(Licence::WITHDRAW_MODEL, 168), 48 * kHourUs);
  EXPECT_GT(expires(Licence::WITHDRAW_MODEL, 168), 24 * kHourUs);
}

// A notice of a shard that the release knew to be revoked is no news, any other one is, whenever it
// was drafted.
TEST(Checkpoint, ItsReleaseSaysWhichRevokedShardsItKnewOf) {
  RunWorld world({{"LIC-1", 2}, {"LIC-2", 2}}, [&](size_t, LicenceText& terms) {
    terms.mutable_allows()->add_use(GENERATE_INTERNAL);
  });
  RunOf run = world.begin_run("run-1-aaaaaaaa00000000");
  world.span(run, 10, {{0, {{1, 3}}}});
  const auto revoke = [&](size_t licence) {
    const Fact fact = world.revocation("shard", digest_name(shard_root(world.manifests[licence])),
                                       world.approver);
    write_file(world.folder / "notices" / (std::to_string(licence) + ".revocation"),
               fact.revocation().note());
    return fact;
  };
  make_folders(world.folder / "notices");
  world.append({revoke(1)});
  world.sign();
  write_file(world.folder / "trust",
             "approver " + format_verifier_key(world.approver.verifier) + "\n");
  ReleaseOptions options;
  options.release = world.folder / "a.release";
  options.trust = world.folder / "trust";
  options.notices = world.folder / "notices";
  options.weights = sha256("run-1-aaaaaaaa00000000 10");
  {
    const Store store(world.ledger, Access::read);
    Statement last(store.db(), "SELECT MAX(seq) FROM checkpoint");
    last.next();
    Purpose purpose = World::purpose();
    const CheckpointStanding standing = judge_checkpoint(
        store, Rights(store), last.unsigned_integer(0), Act{GENERATE_INTERNAL, 0, &purpose, "US"});
    const ReleaseText text = make_release(
        store, standing, {options.weights, GENERATE_INTERNAL, "cleared-base", "film", "US", 1});
    write_file(options.release, sign_text(format_textproto(text), {&world.approver}));
  }
  EXPECT_EQ(check_release(options).rule, "cleared") << check_release(options).fact;
  revoke(0);
  EXPECT_EQ(check_release(options).rule, "revoked");
}

TEST(Checkpoint, OfFootageThatTwoLicensorsClaimIsHeldBack) {
  Fact conflict;
  DuplicateRecord& pair = *conflict.mutable_duplicate();
  pair.set_source(std::string(sha256("source a").text()));
  pair.set_of(pair.source());
  pair.set_end_us(60'000'000);
  pair.set_of_end_us(60'000'000);
  pair.set_verdict("conflict");
  bool held_back = false;
  const FullWorld world(2, [&](const World& now) {
    if (held_back || !std::filesystem::exists(now.ledger)) return;
    if (checkpoint_rule(now, EVALUATE) != "cleared 1") return;
    Store(now.ledger, Access::append).append({conflict});
    EXPECT_EQ(checkpoint_rule(now, EVALUATE), "title_conflict 1");
    held_back = true;
  });
  EXPECT_TRUE(held_back);
}

Fact mark_fact(const char* name, const char* says) {
  Fact fact;
  fact.mutable_mark()->set_source(std::string(sha256("source a").text()));
  fact.mutable_mark()->set_name(name);
  fact.mutable_mark()->set_says(says);
  fact.mutable_mark()->set_place("here");
  return fact;
}
Fact clearance_fact(const char* reason, const char* value) {
  Fact fact;
  fact.mutable_clearance()->set_clip(std::string(sha256("clip 1").text()));
  fact.mutable_clearance()->set_reason(reason);
  fact.mutable_clearance()->set_value(value);
  fact.mutable_clearance()->set_origin("here");
  return fact;
}
// Decided `later_s` seconds from now.
Fact review_of(const char* decision, const SignerKey& key, int later_s = 0) {
  const std::string at =
      format_time(now_us() + static_cast<uint64_t>(int64_t{later_s} * 1'000'000));
  Fact fact;
  fact.mutable_review()->set_note(
      sign_text("review {\n  at: \"" + at + "\"\n  decision {\n    clip: \"" +
                    digest_name(sha256("clip 1")) + "\"\n    " + decision + "\n  }\n}\n",
                {&key}));
  return fact;
}

TEST(Permit, MarksAndFindingsOnRecordAreJudgedAgain) {
  World world;
  world.fill();
  ASSERT_EQ(permit_error(world), "");
  world.append({mark_fact("cawg.training-mining", "no"), mark_fact("rsl", "allowed"),
                clearance_fact("talent", "NONE_VISIBLE")});
  EXPECT_EQ(permit_error(world), "");  // overridden, and nothing against it
  world.append({clearance_fact("talent", "UNKNOWN")});
  EXPECT_THAT(permit_error(world), AllOf(StartsWith("refused: clearance_unknown"),
                                         HasSubstr("sample s1"), HasSubstr("talent UNKNOWN")));
  EXPECT_THAT(error_of([&] { world.append({review_of("release: TALENT", world.licensee)}); }),
              StartsWith("permission"));
  world.append({review_of("release: TALENT", world.approver)});
  EXPECT_EQ(permit_error(world), "");
  world.append({review_of("keep_out: TALENT says: \"no\"", world.approver)});
  EXPECT_THAT(permit_error(world), StartsWith("refused: clearance_unknown"));
  world.append({review_of("release: [TALENT, VOICE]", world.approver)});
  EXPECT_EQ(permit_error(world), "");
  world.append({clearance_fact("voice", "UNKNOWN")});  // later than the review
  EXPECT_THAT(permit_error(world), StartsWith("refused: clearance_unknown"));
  world.append({mark_fact("rsl", "no")});
  EXPECT_THAT(permit_error(world), StartsWith("refused: mark_says_no"));
  EXPECT_TRUE(verify_ledger(world.ledger, {}).findings.empty());
}

TEST(Rights, BytesAreJudgedAtEveryPathTheyCameBy) {
  struct Case {
    const char *act, *rule, *path;
    bool counts;
  };
  const Case cases[] = {{"curate", "other_licence", "other/a.webm", true},
                        {"curate", "other_path", "other/a.webm", true},
                        {"ingest", "use_not_allowed", "other/a.webm", true},
                        {"ingest", "no_licence", "third/a.webm", false},  // nobody's path
                        {"curate", "unreadable", "other/a.webm", true},
                        {"curate", "unsupported", "other/a.webm", true},
                        {"curate", "no_video", "other/a.webm", true},
                        {"curate", "clearances", "other/a.webm", true},
                        {"curate", "name", "other/a.webm", true},
                        {"curate", "protected", "other/a.webm", true},
                        {"curate", "conflict", "other/a.webm", false},  // a review is asked
                        {"append", "permit_invalid", "other/a.webm", false}};
  for (const Case& row : cases) {
    World world;
    world.fill();
    std::string text = replaced(full_licence_text(), "LIC-1", "LIC-2");
    text = replaced(std::move(text), "2026-01/**", "other/**");
    text = replaced(std::move(text), "TRAIN, ", "");
    world.add_licence(text);
    ASSERT_EQ(permit_error(world), "");
    Fact refusal;
    refusal.mutable_refusal()->set_act(row.act);
    refusal.mutable_refusal()->set_rule(row.rule);
    refusal.mutable_refusal()->set_subject(std::string(row.path) +
                                           " sha256:" + to_hex(sha256("source a")));
    world.append({refusal});
    EXPECT_EQ(permit_error(world).starts_with("refused: use_not_allowed"), row.counts) << row.rule;
    const Store store(world.ledger, Access::read);
    const Rights rights(store);
    // By the other path alone, only the other licence counts.
    EXPECT_EQ(rights.judge_source("other/a.webm", sha256("source a"), INGEST).licences,
              std::vector<std::string>{"LIC-2@1"});
    EXPECT_EQ(rights.judge_source("2026-01/a.webm", sha256("source a"), INGEST).licences.size(),
              row.counts ? 2U : 1U);
  }
}

// In a ledger of before, words that were left out were a refusal with the bare path: a name that
// holds a digest said something of other bytes.
TEST(Rights, ANameThatHoldsADigestIsNoPathOfOtherBytes) {
  World world;
  world.fill();
  std::string text = replaced(full_licence_text(), "LIC-1", "LIC-2");
  text = replaced(replaced(std::move(text), "2026-01/**", "other/**"), "TRAIN, ", "");
  world.add_licence(text);
  const std::string subject = "other/\x01 sha256:" + to_hex(sha256("source a"));
  Fact refusal;
  refusal.mutable_refusal()->set_act("curate");
  refusal.mutable_refusal()->set_rule("unreadable");
  refusal.mutable_refusal()->set_subject(with_escapes(subject));
  refusal.mutable_refusal()->set_fact("caption x.txt left out: is not UTF-8");
  Fact named = world.footage()[0];
  ASSERT_TRUE(named.has_source());
  named.mutable_source()->set_path(subject);
  named.mutable_source()->set_digest(std::string(sha256("source x").text()));
  world.append({named, refusal});
  EXPECT_EQ(permit_error(world), "");
  refusal.mutable_refusal()->set_fact("not a video file");  // it failed, by that very path
  world.append({refusal});
  EXPECT_THAT(permit_error(world), StartsWith("refused: use_not_allowed"));
}

// The claim of another licensor is for a review, once it is on record: for none but his licences,
// and only with the record that quarantines every clip.
TEST(Rights, AClaimOnRecordLiftsNoTermsOfTheOwnLicensor) {
  struct Case {
    const char* what;
    bool own;             // the other path's licensor is that of the source
    uint64_t end_us;      // of the claim; 0: none
    const char* refused;  // by rule, after; by the gate alone, reviews aside
  };
  const uint64_t whole = World().footage()[0].source().duration_us();
  const Case cases[] = {{"another's", false, whole, "cleared"},
                        {"another's, of a part", false, whole - 1, "title_conflict"},
                        {"another's, without a claim", false, 0, "title_conflict"},
                        {"own", true, whole, "use_not_allowed"}};
  for (const Case& row : cases) {
    World world;
    world.fill();
    std::string text = replaced(full_licence_text(), "LIC-1", "LIC-2");
    text = replaced(replaced(std::move(text), "2026-01/**", "other/**"), "TRAIN, ", "");
    if (!row.own) {
      world.licensor = new_signer_key("rival");
      world.append({world.key(world.licensor, "licensor")});
      text = replaced(std::move(text), "licensor: \"example-stock\"", "licensor: \"rival\"");
    }
    world.add_licence(text);
    const std::string digest(sha256("source a").text());
    Fact claim, refusal;
    claim.mutable_duplicate()->set_source(digest);
    claim.mutable_duplicate()->set_of(digest);
    claim.mutable_duplicate()->set_end_us(row.end_us);
    claim.mutable_duplicate()->set_of_end_us(row.end_us);
    claim.mutable_duplicate()->set_verdict("conflict");
    claim.mutable_duplicate()->set_path("other/a.webm");
    refusal.mutable_refusal()->set_act("curate");
    refusal.mutable_refusal()->set_rule("conflict");
    refusal.mutable_refusal()->set_subject("other/a.webm sha256:" + to_hex(sha256("source a")));
    Fact failed = refusal;
    failed.mutable_refusal()->set_rule("clearances");
    if (row.end_us > 0) world.append({claim});
    world.append({refusal, failed});
    const Store store(world.ledger, Access::read);
    EXPECT_EQ(Rights(store).judge_source("2026-01/a.webm", sha256("source a"), TRAIN).verdict.rule,
              row.refused)
        << row.what;
    EXPECT_NE(permit_error(world), "") << row.what;
  }
}

// A refusal is a record that whoever hands in a bundle can make: it must not give a licence.
TEST(Rights, AnotherPathCanOnlyObject) {
  World world;
  world.fill();
  const Digest digest = sha256("source a");
  Fact refusal;
  refusal.mutable_refusal()->set_act("ingest");
  refusal.mutable_refusal()->set_rule("no_licence");
  refusal.mutable_refusal()->set_subject("2028/a.webm sha256:" + to_hex(digest));
  world.append({refusal});
  const std::string next =
      replaced(full_licence_text(), "  version: 1\n", "  version: 2\n  supersedes: \"LIC-1@1\"\n");
  world.add_licence(replaced(next, "2026-01/**", "2028/**"));
  EXPECT_THAT(permit_error(world), StartsWith("refused: no_licence"));
  const Store store(world.ledger, Access::read);
  const SourceVerdict verdict = Rights(store).judge_source("2026-01/a.webm", digest, INGEST);
  EXPECT_EQ(verdict.verdict.rule, "no_licence");
  EXPECT_TRUE(verdict.licences.empty());
}

// What objected by another path is not gone with its document.
TEST(Rights, AnErasedLicenceOfAnotherPathClearsNothing) {
  World world;
  world.add_licence(full_licence_text());
  std::string other = replaced(full_licence_text(), "LIC-1", "LIC-2");
  other = replaced(replaced(std::move(other), "2026-01/**", "other/**"), "TRAIN, ", "");
  world.add_licence(other);
  world.append(world.footage());
  Fact refusal;
  refusal.mutable_refusal()->set_act("curate");
  refusal.mutable_refusal()->set_rule("other_licence");
  refusal.mutable_refusal()->set_subject("other/a.webm sha256:" + to_hex(sha256("source a")));
  world.append({refusal, world.approval()});
  Store(world.ledger, Access::append).sign_head(world.log);
  ASSERT_THAT(permit_error(world), StartsWith("refused: use_not_allowed"));
  Store(world.ledger, Access::append).erase_document("LIC-2@1", "asked for");
  EXPECT_THAT(permit_error(world), AllOf(StartsWith("refused: no_licence"), HasSubstr("other/")));
}

TEST(Permit, AReviewReleasesWhatWasFoundBeforeItWasDecided) {
  World world;
  world.fill();
  const auto waits = StartsWith("refused: clearance_unknown");
  const Fact early = review_of("release: VOICE says: \"early\"", world.approver, -60);
  world.append({clearance_fact("voice", "UNKNOWN")});
  world.append({early});  // decided before, taken after
  EXPECT_THAT(permit_error(world), waits);
  EXPECT_THAT(error_of([&] { world.append({review_of("release: VOICE", world.approver, 3600)}); }),
              HasSubstr("is still to come"));
  const Fact release = review_of("release: VOICE", world.approver);
  world.append({release});
  EXPECT_EQ(permit_error(world), "");

  Fact found = clearance_fact("voice", "UNKNOWN");
  found.mutable_clearance()->set_origin("elsewhere");
  world.append({found});
  EXPECT_THAT(permit_error(world), waits);
  world.append({release});  // is there
  Note note = parse_note(release.review().note());
  add_signature(note, world.trainer);
  Fact again;
  again.mutable_review()->set_note(format_note(note));
  EXPECT_THAT(error_of([&] { world.append({again}); }),
              AllOf(StartsWith("corrupt"), HasSubstr("is on record")));
  EXPECT_THAT(permit_error(world), waits);

  world.append({review_of("keep_out: VOICE", world.approver, 120)});
  world.append({review_of("release: VOICE", world.approver, 60)});  // decided before it
  EXPECT_THAT(permit_error(world), waits);
  world.append({review_of("release: VOICE", world.approver, 180)});
  EXPECT_EQ(permit_error(world), "");
  EXPECT_TRUE(verify_ledger(world.ledger, {}).findings.empty());
}

TEST(Records, OfMarksAndClearancesKeepToTheirVocabulary) {
  World world;
  world.fill();
  const Fact bad[] = {mark_fact("noai", "no"),
                      mark_fact("rsl", "perhaps"),
                      clearance_fact("talent", "MAYBE"),
                      clearance_fact("salary", "3"),
                      clearance_fact("minors", "false"),
                      clearance_fact("face", ""),
                      review_of("says: \"nothing\"", world.approver)};
  for (const Fact& fact : bad) {
    EXPECT_THAT(error_of([&] { world.append({fact}); }), StartsWith("corrupt"))
        << fact.DebugString();
  }
  Fact nowhere = clearance_fact("face", "in 1 of 1 picture");
  nowhere.mutable_clearance()->set_clip(std::string(sha256("no clip").text()));
  EXPECT_THAT(error_of([&] { world.append({nowhere}); }), HasSubstr("is not on record"));
}

TEST(Checkpoint, OfFootageWithAMarkOrAFindingIsHeldBack) {
  bool held_back = false;
  const FullWorld full(2, [&](const World& now) {
    if (held_back || !std::filesystem::exists(now.ledger)) return;
    if (checkpoint_rule(now, EVALUATE) != "cleared 1") return;
    held_back = true;
    Fact face = clearance_fact("voice", "UNKNOWN");
    face.mutable_clearance()->set_clip(std::string(sha256("clip 0").text()));
    Store(now.ledger, Access::append).append({face});
    EXPECT_EQ(checkpoint_rule(now, EVALUATE), "clearance_unknown 1");
    Store(now.ledger, Access::append).append({mark_fact("digital-source-type", "synthetic")});
    EXPECT_EQ(checkpoint_rule(now, EVALUATE), "synthetic_not_licensed 1");
  });
  EXPECT_TRUE(held_back);
}

}  // namespace
}  // namespace cleared::ledger
