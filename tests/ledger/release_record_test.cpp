// A release on record: what is admitted, and what becomes of it.
#include <algorithm>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ledger/base/clock.h"
#include "ledger/base/file.h"
#include "ledger/bundle.h"
#include "ledger/digest.h"
#include "ledger/projection.h"
#include "ledger/query.h"
#include "ledger/release.h"
#include "ledger/story.h"
#include "ledger/verify.h"
#include "tests/ledger/runs.h"

namespace cleared::ledger {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::StartsWith;

// Two licences, a checkpoint of each: the second goes on from the first.
struct TwoCheckpoints : RunWorld {
  TwoCheckpoints() : RunWorld({{"LIC-1", 2}, {"LIC-2", 2}}) {
    run = begin_run("run-1-aaaaaaaa00000000");
    span(run, 10, {{0, {{1, 3}, {1, 4}}}});
    span(run, 20, {{1, {{1, 13}, {1, 14}}}});
    sign();
  }
  std::string said(const Fact& fact) const {
    return error_of([&] { Store(ledger, Access::append).append({fact}); });
  }
  RunOf run;
};

TEST(ReleaseRecord, OneRowARefusal) {
  const std::vector<std::string> both = {"LIC-1@1", "LIC-2@1"};
  const auto changed = [&](const std::function<void(Release&)>& change) {
    return [=](TwoCheckpoints& w) { return w.release(w.run.checkpoints[1], both, change); };
  };
  struct Case {
    const char* says;  // "": it is taken
    std::function<Fact(TwoCheckpoints&)> make;
  };
  const Case cases[] = {
      {"", changed([](Release&) {})},
      {"", [&](TwoCheckpoints& w) { return w.release(w.run.checkpoints[0], {"LIC-1@1"}); }},
      {"leaves out licence LIC-1@1",
       [&](TwoCheckpoints& w) { return w.release(w.run.checkpoints[1], {"LIC-2@1"}); }},
      {"names no licence", [&](TwoCheckpoints& w) { return w.release(w.run.checkpoints[1], {}); }},
      {"not on record", [&](TwoCheckpoints& w) { return w.release(to_hex(sha256("x")), both); }},
      {"licence LIC-7@1 is not on record",
       [&](TwoCheckpoints& w) {
         return w.release(w.run.checkpoints[1], {"LIC-1@1", "LIC-2@1", "LIC-7@1"});
       }},
      {"is listed twice",
       [&](TwoCheckpoints& w) {
         return w.release(w.run.checkpoints[1], {"LIC-1@1", "LIC-2@1", "LIC-2@1"});
       }},
      {"was revoked",
       [&](TwoCheckpoints& w) {
         w.append({w.revocation("licence", "LIC-2", w.licensor)});
         return w.release(w.run.checkpoints[1], both);
       }},
      {"which they consumed, was revoked",
       [&](TwoCheckpoints& w) {
         const std::string root = digest_name(shard_root(w.manifests[0]));
         w.append({w.revocation("shard", root, w.approver)});
         return w.release(w.run.checkpoints[1], both);
       }},
      {"has a newer version",
       [&](TwoCheckpoints& w) {
         w.add_licence(
             replaced(full_licence_text(), "version: 1", "version: 2\n  supersedes: \"LIC-1@1\""));
         return w.release(w.run.checkpoints[1], both);
       }},
      {"",  // what took its place covers nothing of it, so LIC-2 alone stands
       [&](TwoCheckpoints& w) {
         w.add_licence(
             replaced(full_licence_text(), "version: 1", "version: 2\n  supersedes: \"LIC-1@1\""));
         return w.release(w.run.checkpoints[1], {"LIC-2@1"});
       }},
      {"nothing to release weights for", changed([](Release& r) { r.set_use(TRAIN); })},
      {"of model line cleared-base, not of other",
       changed([](Release& r) { r.set_model("other"); })},
      {"1 to 168 hours",
       changed([](Release& r) { r.set_expires_at(format_time(now_us() + 170 * kHourUs)); })},
      {"1 to 168 hours", changed([](Release& r) { r.set_expires_at(r.issued_at()); })},
      {"1 to 168 hours", changed([](Release& r) { r.set_issued_at("today"); })},
      {"and it is ", changed([](Release& r) {
         r.set_issued_at(format_time(now_us() - 3 * kHourUs));
         r.set_expires_at(format_time(now_us() - kHourUs));
       })},
      {"and it is ",
       changed([](Release& r) { r.set_issued_at(format_time(now_us() + kHourUs / 2)); })},
      {"did not sign", changed([](Release& r) { r.set_tree_size(r.tree_size() - 1); })},
      {"did not sign", changed([](Release& r) { r.set_tree_size(r.tree_size() + 9); })},
      {"did not sign", changed([](Release& r) { r.set_tree_root(digest_name(sha256("x"))); })},
      {"did not sign", changed([](Release& r) { r.set_origin("another/log"); })},
      {"of the time that it says",
       changed([](Release& r) { r.set_tree_at(format_time(now_us() + kHourUs)); })},
      {"permission",
       [&](TwoCheckpoints& w) {
         Fact fact = w.release(w.run.checkpoints[1], both);
         const std::string text = parse_note(fact.release().note()).text;
         fact.mutable_release()->set_note(sign_text(text, {&w.trainer, &w.licensor}));
         return fact;
       }},
  };
  for (size_t i = 0; i < std::size(cases); ++i) {
    TwoCheckpoints world;
    const Fact fact = cases[i].make(world);
    const std::string said = world.said(fact);
    if (*cases[i].says == '\0') {
      EXPECT_EQ(said, "") << "row " << i;
    } else {
      EXPECT_THAT(said, HasSubstr(cases[i].says)) << "row " << i;
    }
    const auto report = verify_ledger(world.ledger, {});
    EXPECT_TRUE(report.findings.empty()) << "row " << i << ": " << report.findings[0].what;
    EXPECT_EQ(query_view(world.ledger, "released").rows.size(), said.empty() ? 1U : 0U);
  }
}

// A shard that holds more than was consumed of it asks for no licence of the rest.
TEST(ReleaseRecord, NamesTheLicencesOfWhatWasConsumedAndNoMore) {
  TwoCheckpoints world;
  {  // of the shard under LIC-1 a record says that it is under LIC-2, too
    const Database db = Database::open(world.ledger, Access::append);
    db.exec(
        "INSERT INTO shard_licence SELECT h.seq, l.seq FROM shard h, licence l "
        "WHERE l.id = 'LIC-2' AND h.seq = (SELECT MIN(seq) FROM shard)");
  }
  EXPECT_EQ(world.said(world.release(world.run.checkpoints[0], {"LIC-1@1"})), "");
  EXPECT_THAT(world.said(world.release(world.run.checkpoints[0], {"LIC-2@1"})),
              HasSubstr("leaves out licence LIC-1@1"));
}

// Weights that another run's came from, by parent or autoencoder, must have been recorded.
TEST(ReleaseRecord, AsksForTheWholeLine) {
  TwoCheckpoints world;
  RunOf branch = world.begin_run("run-1-bbbbbbbb00000000");
  branch.vae = world.run.checkpoints[1];
  world.span(branch, 5, {{0, {{1, 3}}}});
  EXPECT_THAT(world.said(world.release(branch.checkpoints[0], {"LIC-1@1"})),
              HasSubstr("leaves out licence LIC-2@1"));
  RunOf orphan = world.begin_run("run-1-cccccccc00000000");
  orphan.vae = to_hex(sha256("nobody's"));
  world.span(orphan, 5, {{0, {{1, 3}}}});
  EXPECT_THAT(world.said(world.release(orphan.checkpoints[0], {"LIC-1@1"})),
              HasSubstr("nothing on record says what weights"));
}

// By what the release lists, as whoever uses the note does (ledger/release.h), whenever a
// revocation was drafted.
TEST(ReleaseRecord, IsTakenBackByWhatItDoesNotKnowOf) {
  struct Case {
    const char* drafted;
    bool before, listed;  // than the release; in it
    bool taken_back;
  };
  const std::string day = "2026-01-02T03:04:05Z", later = "2099-01-01T00:00:00Z";
  for (const Case& c : {Case{day.c_str(), false, false, true},
                        {day.c_str(), true, true, false},
                        {day.c_str(), true, false, true},
                        {later.c_str(), true, true, false},
                        {later.c_str(), false, false, true}}) {
    RunWorld world({{"LIC-1", 2}, {"LIC-2", 2}});
    RunOf run = world.begin_run("run-1-aaaaaaaa00000000");
    world.span(run, 10, {{0, {{1, 3}, {1, 4}}}});
    world.sign();
    const std::string other = digest_name(shard_root(world.manifests[1]));  // it consumed no such
    Fact revocation;
    revocation.mutable_revocation()->set_note(sign_text("revocation {\n  shard: \"" + other +
                                                            "\"\n  at: \"" + c.drafted +
                                                            "\"\n  reason: \"a reason\"\n}\n",
                                                        {&world.approver}));
    if (c.before) world.append({revocation});
    const Fact release = world.release(run.checkpoints[0], {"LIC-1@1"}, [&](Release& r) {
      r.add_revoker(format_verifier_key(world.approver.verifier));
      if (c.listed) r.add_revoked_shard(other);
    });
    world.append({release});
    if (!c.before) world.append({revocation});
    const Table released = query_view(world.ledger, "released");
    const auto column = std::find(released.columns.begin(), released.columns.end(), "taken_back");
    ASSERT_NE(column, released.columns.end());
    EXPECT_EQ(released.rows.at(0)[static_cast<size_t>(column - released.columns.begin())],
              c.taken_back ? c.drafted : "");

    const fs::path note = world.folder / "a.release";
    write_file(note, release.release().note());
    write_file(world.folder / "trust",
               "approver " + format_verifier_key(world.approver.verifier) + "\n");
    make_folders(world.folder / "notices");
    write_file(world.folder / "notices/a.revocation", revocation.revocation().note());
    const Verdict verdict =
        check_release({.release = note,
                       .trust = world.folder / "trust",
                       .notices = world.folder / "notices",
                       .weights = parse_digest(run.checkpoints[0]).value_or(Digest{}),
                       .use = GENERATE_INTERNAL});
    EXPECT_EQ(verdict.cleared, !c.taken_back) << verdict.fact;
  }
}

TEST(ReleaseRecord, ComesInNoBundle) {
  TwoCheckpoints world;
  const Fact fact = world.release(world.run.checkpoints[0], {"LIC-1@1"});
  const auto path = write_bundle(world.folder / "outbox", {fact});
  EXPECT_THAT(error_of([&] { read_bundle(path); }), StartsWith("permission"));
}

TEST(ReleaseRecord, IsFoundToldAndAnAnchor) {
  TwoCheckpoints world;
  const Fact fact = world.release(world.run.checkpoints[1], {"LIC-1@1", "LIC-2@1"});
  world.append({fact});
  EXPECT_EQ(Store(world.ledger, Access::append).append({fact}).present, 1U);
  world.sign();
  const Store store(world.ledger, Access::read);
  const std::string digest = to_hex(sha256(fact.release().note()));
  const uint64_t seq = find_record(store, "release:" + digest.substr(0, 12));
  const auto found = store.find(subject_key_of("release", sha256(fact.release().note()).text()));
  EXPECT_EQ(found, std::vector<uint64_t>{seq});
  for (const std::string& from : {std::string("LIC-2"), world.run.checkpoints[1], digest}) {
    const Table history = history_of(store, find_record(store, from));
    EXPECT_TRUE(std::any_of(history.rows.begin(), history.rows.end(), [&](const auto& row) {
      return row[2] == "release" && row[3] == "example-approver";
    })) << from;
    const Story story = tell_story(store, find_record(store, from));
    const auto chapter = std::find_if(story.chapters.begin(), story.chapters.end(),
                                      [](const Chapter& c) { return c.title == "release"; });
    ASSERT_NE(chapter, story.chapters.end()) << from;
    EXPECT_EQ(chapter->table.rows[0][1], "run-1-aaaaaaaa00000000");
  }
  write_file(world.folder / "a.release", fact.release().note());
  const Anchor anchor = read_anchor(world.folder / "a.release");
  EXPECT_EQ(verify_ledger(world.ledger, {.anchors = {anchor}}).anchors, 2U);  // and the head
}

}  // namespace
}  // namespace cleared::ledger
