// Weights from elsewhere: what the ledger permits, takes and lets go, and what a node's gate says.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ledger/base/clock.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/release.h"
#include "ledger/textproto.h"
#include "ledger/trust.h"
#include "tests/ledger/runs.h"

namespace cleared::ledger {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

Foreign weights(const std::string& name, Foreign::Contact contact) {
  Foreign out;
  out.set_weights(digest_name(sha256(name)));
  out.set_origin("another studio");
  out.set_licence("CC0-1.0");
  out.set_contact(contact);
  out.set_evidence("its ledger");
  out.set_at("2026-01-02T03:04:05Z");
  return out;
}

// "" or how the message starts.
std::string said(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Foreign, TheTrustFileNamesTheWorstClassOrNone) {
  const World world;
  const std::string key = "approver " + format_verifier_key(world.approver.verifier) + "\n";
  const std::pair<const char*, uint32_t> good[] = {
      {"", 0}, {"foreign A\n", 1}, {"foreign B\n", 2}, {"# foreign C\n", 0}, {"foreign C\n", 3}};
  for (const auto& [line, worst] : good) EXPECT_EQ(parse_trust(key + line, "t").foreign, worst);
  for (const char* line : {"foreign\n", "foreign \n", "foreign D\n", "foreign a\n", "foreign AB\n",
                           "foreign A \n", "foreign *\n", "foreign A\nforeign A\n"}) {
    EXPECT_THROW(parse_trust(key + line, "t"), Error) << line;
  }
}

TEST(Foreign, NoClassIsAllowedThatIsWorseThanTheWorst) {
  for (const auto contact : {Foreign::A, Foreign::B, Foreign::C}) {
    for (uint32_t worst = 0; worst <= 3; ++worst) {
      const Verdict verdict = judge_foreign(weights("w", contact), worst, "t");
      EXPECT_EQ(verdict.cleared, static_cast<uint32_t>(contact) <= worst) << contact << worst;
      EXPECT_EQ(verdict.rule, verdict.cleared ? "cleared" : "foreign_not_allowed");
    }
  }
}

TEST(Foreign, APermitNeedsADescriptionOfAllThatTheConfigNames) {
  World world;
  world.fill();
  const Store store(world.ledger, Access::read);
  PermitRequest request = world.request();
  request.starts_from = {digest_name(sha256("one")), digest_name(sha256("two"))};
  const auto make = [&] { make_permit(store, Rights(store), request); };
  EXPECT_THAT(said(make), StartsWith("foreign_unregistered"));
  request.foreign = {weights("one", Foreign::A)};
  EXPECT_THAT(said(make), HasSubstr(digest_name(sha256("two"))));
  request.foreign.push_back(weights("two", Foreign::C));
  EXPECT_EQ(make_permit(store, Rights(store), request).text.permit().foreign_size(), 2);
}

// Footage is followed through checkpoints; from elsewhere they would have none.
TEST(Foreign, ACheckpointOfOursIsNotFromElsewhere) {
  RunWorld world({{"LIC-1", 2}});
  PermitText text;
  parse_textproto(parse_note(world.permit_note()).text, "test", text);
  RunOf run = world.begin_run("run-1-aaaaaaaa00000000");
  world.span(run, 10, {{0, {{2, 1}, {1, 2}}}});
  world.sign();
  const Foreign own = weights("run-1-aaaaaaaa00000000 10", Foreign::A);
  ASSERT_EQ(own.weights(), "sha256:" + run.checkpoints[0]);
  EXPECT_THAT(said([&] { world.permit({own}); }),
              StartsWith("foreign_not_allowed: weights " + own.weights() +
                         " are not from elsewhere: they are the checkpoint of step 10 of run "
                         "run-1-aaaaaaaa00000000"));
  *text.mutable_permit()->add_foreign() = own;
  Fact fact;
  fact.mutable_permit()->set_note(sign_text(format_textproto(text), {&world.approver}));
  EXPECT_THAT(said([&] { world.append({fact}); }), HasSubstr("are a checkpoint on this record"));
}

TEST(Foreign, AGateWantsThemOnThePermitAndWithinItsTrust) {
  World world;
  world.fill();
  struct Case {
    std::vector<Foreign> permitted;
    std::vector<std::string> named;  // by the config
    const char* line;                // of the trust file
    const char* rule;
  };
  const Foreign one = weights("one", Foreign::A), two = weights("two", Foreign::B);
  const Case cases[] = {
      {{}, {}, "", ""},
      {{}, {one.weights()}, "foreign C\n", "permit_other_foreign"},
      {{two}, {one.weights()}, "foreign C\n", "permit_other_foreign"},
      {{one}, {one.weights()}, "", "foreign_not_allowed"},
      {{one}, {one.weights()}, "foreign A\n", ""},
      {{one, two}, {one.weights()}, "foreign A\n", "foreign_not_allowed"},
      {{one, two}, {one.weights(), two.weights()}, "foreign B\n", ""},
      {{one}, {}, "", "foreign_not_allowed"},  // a permit that lists some is not for this node
  };
  for (const Case& c : cases) {
    GateOptions options = world.node([&](Permit& permit) {
      for (const Foreign& foreign : c.permitted) *permit.add_foreign() = foreign;
    });
    write_file(options.trust, read_file(options.trust) + c.line);
    options.foreign = c.named;
    EXPECT_THAT(said([&] { const Gate gate(options); }), StartsWith(c.rule)) << c.line << c.rule;
  }
}

TEST(Foreign, WhatIsInTheRunIsWhatIsOnThePermit) {
  World world;
  world.fill();
  const Foreign one = weights("one", Foreign::A), two = weights("two", Foreign::A);
  const GateOptions options = world.node([&](Permit& permit) {
    *permit.add_foreign() = one;
    *permit.add_foreign() = two;
  });
  write_file(options.trust, read_file(options.trust) + "foreign A\n");
  const Gate gate(options);
  EXPECT_TRUE(gate.judge_foreign({two.weights(), one.weights()}).cleared);
  const std::string other = weights("other", Foreign::A).weights();
  for (const std::vector<std::string>& used :
       {std::vector<std::string>{}, {one.weights()}, {one.weights(), two.weights(), other}}) {
    EXPECT_EQ(gate.judge_foreign(used).rule, "permit_other_foreign");
  }
}

// A run goes on under a newer permit only if that lists the same.
TEST(Foreign, ANewerPermitMustListTheSame) {
  World world;
  world.fill();
  const uint64_t second = 1'000'000, now = now_us();
  const Foreign one = weights("one", Foreign::A), two = weights("two", Foreign::A);
  const auto issue = [&](uint64_t ago_s, const std::vector<Foreign>& foreign) {
    GateOptions options = world.node([&](Permit& permit) {
      permit.set_issued_at(format_time(now - ago_s * second));
      permit.set_expires_at(format_time(now + 1000 * second));
      for (const Foreign& f : foreign) *permit.add_foreign() = f;
    });
    write_file(options.trust, read_file(options.trust) + "foreign A\n");
    return options;
  };
  for (const auto& [list, taken] : {std::pair{std::vector{one}, true},
                                    {std::vector{two}, false},
                                    {std::vector{one, two}, false},
                                    {std::vector<Foreign>{}, false}}) {
    issue(5, list);
    const std::string newer = read_file(world.folder / "run.permit");
    Gate gate(issue(10, {one}));
    write_file(world.folder / "notices/new.permit", newer);
    EXPECT_TRUE(gate.holds().cleared);
    EXPECT_EQ(gate.has_next(), taken) << list.size();
    std::filesystem::remove(world.folder / "notices/new.permit");
  }
}

TEST(Foreign, ACheckpointsStatementSaysWhatItsPermitLists) {
  struct Case {
    std::vector<Foreign> permitted;
    std::vector<TrainingStatement::File> claimed;
    bool taken;
  };
  const Foreign one = weights("one", Foreign::A);
  const TrainingStatement::File file{"WHOLE", sha256("one")}, other{"WHOLE", sha256("other")};
  const Case cases[] = {{{one}, {file}, true},        {{}, {}, true},
                        {{one}, {}, false},                                 // concealed
                        {{one}, {other}, false},      {{}, {file}, false},  // not permitted
                        {{one}, {file, other}, false}};
  for (const Case& c : cases) {
    RunWorld world({{"A", 2}});
    world.permit(c.permitted);
    world.claimed = c.claimed;
    RunOf run = world.begin_run("run-1-a000000000000000");
    const std::string error = said([&] { world.span(run, 2, {{0, {{1, 0}, {1, 1}}}}); });
    EXPECT_EQ(error.empty(), c.taken) << error;
    EXPECT_EQ(error.find("foreign weights of its statement") == std::string::npos, c.taken);
  }
}

TEST(Foreign, AReleaseIsRefusedUnlessItAllowsTheClassAlsoOfTheRunsBefore) {
  RunWorld world({{"A", 2}});
  world.permit({weights("one", Foreign::B)});
  world.claimed = {{"WHOLE", sha256("one")}};
  RunOf first = world.begin_run("run-1-a000000000000000");
  world.span(first, 2, {{0, {{1, 0}, {1, 1}}}});
  // Goes on under a permit that lists nothing: the line remembers.
  world.permit();
  world.claimed = {};
  RunOf second = world.begin_run("run-1-b000000000000000", first.checkpoints.back());
  world.span(second, 4, {{0, {{1, 2}, {1, 3}}}});
  const Store store(world.ledger, Access::read);
  Statement checkpoints(store.db(), "SELECT seq FROM checkpoint ORDER BY seq");
  int count = 0;
  for (; checkpoints.next(); ++count) {
    const auto judge = [&](uint32_t worst) {
      return judge_checkpoint(store, Rights(store), checkpoints.unsigned_integer(0), Act{EVALUATE},
                              worst);
    };
    EXPECT_EQ(judge(0).verdict.rule, "foreign_not_allowed");
    EXPECT_EQ(judge(1).verdict.rule, "foreign_not_allowed");
    EXPECT_EQ(judge(2).verdict.rule, "cleared") << judge(2).verdict.fact;
    ASSERT_EQ(judge(2).foreign.size(), 1u);
    EXPECT_EQ(judge(2).foreign[0].origin(), "another studio");
  }
  EXPECT_EQ(count, 2);
}

TEST(Foreign, AReleaseListsThemAndThePlaceMustAllowThem) {
  World world;
  const GateOptions node = [&] {
    world.fill();
    return world.node();
  }();
  struct Case {
    std::vector<Foreign> listed;
    std::vector<std::string> in;  // the checkpoint
    const char* line;
    const char* rule;
  };
  const Foreign one = weights("one", Foreign::B);
  const Case cases[] = {{{}, {}, "", "cleared"},
                        {{}, {one.weights()}, "foreign C\n", "permit_other_foreign"},
                        {{one}, {one.weights()}, "", "foreign_not_allowed"},
                        {{one}, {}, "foreign A\n", "foreign_not_allowed"},
                        {{one}, {one.weights()}, "foreign B\n", "cleared"}};
  const std::string trust = read_file(node.trust);
  for (const Case& c : cases) {
    ReleaseText text;
    Release& r = *text.mutable_release();
    r.set_checkpoint(digest_name(sha256("weights")));
    r.set_use(GENERATE_INTERNAL);
    r.set_model("cleared-base");
    r.set_field_of_use("film");
    r.set_territory("EU");
    r.set_issued_at(format_time(now_us() - 1'000'000));
    r.set_expires_at(format_time(now_us() + 1'000'000'000));
    r.set_origin("test.example/log");
    r.set_tree_size(7);
    r.set_tree_root(digest_name(sha256("root")));
    for (const Foreign& foreign : c.listed) *r.add_foreign() = foreign;
    write_file(world.folder / "a.release", sign_text(format_textproto(text), {&world.approver}));
    write_file(node.trust, trust + c.line);
    EXPECT_EQ(check_release({.release = world.folder / "a.release",
                             .trust = node.trust,
                             .notices = node.notices,
                             .weights = sha256("weights"),
                             .use = GENERATE_INTERNAL,
                             .foreign = c.in})
                  .rule,
              c.rule)
        << c.line;
  }
}

}  // namespace
}  // namespace cleared::ledger
