// The same pictures twice from one licensor, as two files: the clips that are kept are judged, and
// found again, by the licences of both.
#include <algorithm>
#include <random>
#include <set>
#include <tuple>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ledger/base/clock.h"
#include "ledger/digest.h"
#include "ledger/impact.h"
#include "ledger/licence.h"
#include "ledger/note.h"
#include "ledger/projection.h"
#include "ledger/query.h"
#include "ledger/retention.h"
#include "ledger/rights.h"
#include "ledger/story.h"
#include "ledger/textproto.h"
#include "ledger/verify.h"
#include "tests/ledger/runs.h"

namespace cleared::ledger {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::StartsWith;

constexpr uint64_t kUs = RunWorld::kSampleUs;

// That `later` shows from `start_us` to `end_us` what `of` shows from `of_start_us` on.
struct Twice {
  size_t later, of;
  uint64_t start_us, end_us, of_start_us;
  uint64_t of_end_us() const { return of_start_us + end_us - start_us; }
};

Fact duplicate(const Twice& twice, const char* verdict = "duplicate") {
  Fact fact;
  DuplicateRecord& record = *fact.mutable_duplicate();
  const auto source = [](size_t i) {
    return std::string(sha256("footage-" + std::to_string(i)).text());
  };
  record.set_source(source(twice.later));
  record.set_of(source(twice.of));
  record.set_start_us(twice.start_us);
  record.set_end_us(twice.end_us);
  record.set_of_start_us(twice.of_start_us);
  record.set_of_end_us(twice.of_end_us());
  record.set_distance(4);
  record.set_audio_match(-1);
  record.set_verdict(verdict);
  return fact;
}

// What the bytes of a file say of their use.
Fact reserved(size_t source) {
  Fact fact;
  MarkRecord& mark = *fact.mutable_mark();
  mark.set_source(std::string(sha256("footage-" + std::to_string(source)).text()));
  mark.set_name("tdm-reservation");
  mark.set_says("no");
  mark.set_value("1");
  mark.set_place("XMP");
  return fact;
}

// Licences of three samples each; those of `lax` allow to measure by the footage, too, and those of
// `firm` stand against the mark above.
struct Copies : RunWorld {
  explicit Copies(const std::vector<bool>& lax, const std::vector<bool>& firm = {})
      : RunWorld(names(lax.size()), [&](size_t i, LicenceText& terms) {
          auto& uses = *terms.mutable_allows()->mutable_use();
          uses.erase(std::remove(uses.begin(), uses.end(), EVALUATE), uses.end());
          if (lax[i]) uses.Add(EVALUATE);
          if (i < firm.size() && firm[i]) terms.mutable_overrides()->add_mark("tdm-reservation");
        }) {}
  static std::vector<std::pair<std::string, size_t>> names(size_t count) {
    std::vector<std::pair<std::string, size_t>> out;
    for (size_t i = 0; i < count; ++i) out.emplace_back("LIC-" + std::to_string(i), 3);
    return out;
  }
  ShardStanding shard(const Store& store, const Rights& rights, size_t i) const {
    return judge_shard(store, rights, to_hex(shard_root(manifests[i])), Act{EVALUATE});
  }
  ShardStanding shard(size_t i) const {
    const Store store(ledger, Access::read);
    return shard(store, Rights(store), i);
  }
  CheckpointStanding checkpoint(const std::string& weights) const {
    const Store store(ledger, Access::read);
    Statement of(store.db(), "SELECT seq FROM checkpoint WHERE digest = ?");
    EXPECT_TRUE(of.with(weights).next());
    return judge_checkpoint(store, Rights(store), of.unsigned_integer(0), Act{EVALUATE});
  }
};

TEST(NearCopy, IsUsedUnderTheLicencesOfBoth) {
  Copies world({true, false});
  RunOf without = world.begin_run("run-1-aaaaaaaa00000000");
  world.span(without, 10, {{0, {{1, 3}}}});
  RunOf with = world.begin_run("run-1-bbbbbbbb00000000");
  world.span(with, 10, {{0, {{1, 3}, {1, 4}}}});
  world.sign();
  EXPECT_TRUE(world.shard(0).verdict.cleared);
  EXPECT_TRUE(world.checkpoint(with.parent).verdict.cleared);

  world.append({duplicate({1, 0, 0, kUs, kUs})});  // the second clip
  const ShardStanding shard = world.shard(0);
  EXPECT_EQ(shard.verdict.rule, "use_not_allowed");
  EXPECT_THAT(shard.verdict.fact, AllOf(HasSubstr("footage-1/a.webm shows the same: "),
                                        HasSubstr("LIC-1@1"), HasSubstr("(footage-0/a.webm)")));
  EXPECT_EQ(shard.licences, (std::set<std::string>{"LIC-0@1", "LIC-1@1"}));
  EXPECT_EQ(world.checkpoint(with.parent).verdict.rule, "use_not_allowed");
  EXPECT_EQ(world.checkpoint(with.parent).licences, shard.licences);
  EXPECT_TRUE(world.checkpoint(without.parent).verdict.cleared);
  EXPECT_EQ(world.checkpoint(without.parent).licences, std::set<std::string>{"LIC-0@1"});
  EXPECT_TRUE(verify_ledger(world.ledger, {}).findings.empty());
}

TEST(NearCopy, CanOnlyObject) {
  Copies world({false, true});
  world.append({duplicate({1, 0, 0, kUs, kUs})});
  EXPECT_THAT(world.shard(0).verdict.fact, HasSubstr("LIC-0@1"));
  EXPECT_TRUE(world.shard(1).verdict.cleared);  // of the later one what is not the same is kept
}

// A mark that came on record for the later file alone: of the earlier one the second clip.
TEST(NearCopy, IsAskedForTheMarksOfBoth) {
  for (const bool firm : {false, true}) {  // the licence of the file that is marked
    Copies world({true, true}, {false, firm});
    RunOf without = world.begin_run("run-1-aaaaaaaa00000000");
    world.span(without, 10, {{0, {{1, 3}}}});
    RunOf with = world.begin_run("run-1-bbbbbbbb00000000");
    world.span(with, 10, {{0, {{1, 3}, {1, 4}}}});
    world.append({reserved(1)});
    EXPECT_TRUE(world.shard(0).verdict.cleared);
    world.append({duplicate({1, 0, 0, kUs, kUs})});
    world.sign();
    EXPECT_EQ(world.shard(0).verdict.rule, "mark_says_no");
    EXPECT_THAT(world.shard(0).verdict.fact,
                AllOf(HasSubstr("footage-1/a.webm shows the same: "), HasSubstr("LIC-0@1"),
                      HasSubstr("tdm-reservation")));
    EXPECT_EQ(world.checkpoint(with.parent).verdict.rule, "mark_says_no");
    EXPECT_TRUE(world.checkpoint(without.parent).verdict.cleared);
  }
  Copies world({true, true}, {true, true});
  world.append({reserved(1), duplicate({1, 0, 0, kUs, kUs})});
  EXPECT_TRUE(world.shard(0).verdict.cleared);
}

// Whose footage is that two licensors deliver is another question.
TEST(NearCopy, IsNoneWhereTwoLicensorsDeliverIt) {
  Copies world({true, false});
  world.append({duplicate({1, 0, 0, kUs, kUs}, "conflict")});
  EXPECT_EQ(world.shard(0).verdict.rule, "title_conflict");
}

// By whoever asks: permits, dates, deletions, impacts, the story of a clip.
TEST(NearCopy, IsKnownToWhateverAsksAboutALicence) {
  Copies world({true, true});
  RunOf run = world.begin_run("run-1-aaaaaaaa00000000");
  world.span(run, 10, {{0, {{1, 3}, {1, 4}}}});
  world.sign();
  const auto impact = [&] { return impact_of(Store(world.ledger, Access::read), "LIC-1"); };
  const auto due = [&] {
    const Store store(world.ledger, Access::read);
    std::set<std::string> out;
    for (const auto& row : due_of(store, Rights(store)).rows) {
      if (row[2] == "shard") out.insert(row[3] + " " + row[5]);
    }
    return out;
  };
  EXPECT_EQ(impact().clips, 3U);
  EXPECT_TRUE(impact().runs.empty());
  world.append({duplicate({1, 0, kUs / 2, kUs, kUs + 7})});
  EXPECT_EQ(impact().clips, 4U);
  ASSERT_EQ(impact().runs.size(), 1U);
  EXPECT_EQ(impact().runs[0].first_step, 4U);
  EXPECT_THAT(due(), Contains("footage-0.tar LIC-1@1"));

  const Fact again = [&] {
    const Store store(world.ledger, Access::read);
    PermitRequest request = world.request();
    request.resumes = run.name;
    Fact fact;
    fact.mutable_permit()->set_note(sign_text(
        format_textproto(make_permit(store, Rights(store), request).text), {&world.approver}));
    return fact;
  }();
  EXPECT_THAT(parse_note(again.permit().note()).text, HasSubstr("licence: \"LIC-1@1\""));
  world.append({again, world.revocation("licence", "LIC-1", world.licensor)});
  const Store store(world.ledger, Access::read);
  const Rights rights(store);
  EXPECT_EQ(world.shard(store, rights, 0).verdict.rule, "revoked");
  const auto why = [&](size_t clip) {
    const auto found =
        store.find(subject_key_of("clip", world.manifests[0].samples[clip].clip.text()));
    return tell_story(store, found.at(0)).verdict->fact;
  };
  EXPECT_THAT(why(1), AllOf(HasSubstr("footage-1/a.webm shows the same"), HasSubstr("LIC-1")));
  const Table touched = query_sql(world.ledger, "SELECT revoked, clips, first_step FROM touched");
  ASSERT_EQ(touched.rows.size(), 1U);
  EXPECT_EQ(touched.rows[0], (std::vector<std::string>{"LIC-1", "1", "4"}));
}

// What an erased licence of the copy asked, nobody knows.
TEST(NearCopy, UnderAnErasedLicenceClearsNothing) {
  Copies world({true, true});
  world.append({duplicate({1, 0, 0, kUs, kUs})});
  ASSERT_TRUE(world.shard(0).verdict.cleared);
  Store(world.ledger, Access::append).erase_document("LIC-1@1", "asked for");
  EXPECT_EQ(world.shard(0).verdict.rule, "no_licence");
  EXPECT_THAT(world.shard(0).verdict.fact, HasSubstr("LIC-1@1"));
}

// Any findings at all, and any clips consumed: against an oracle that walks from each clip.
TEST(NearCopy, AgreesWithAnOracle) {
  std::mt19937_64 random(7);
  const auto below = [&](uint64_t n) { return random() % n; };
  size_t refused = 0, allowed = 0, through = 0, by_mark = 0;
  for (int round = 0; round < 40; ++round) {
    const size_t count = 2 + below(4);
    std::vector<bool> lax, firm, marked;
    for (size_t i = 0; i < count; ++i) {
      lax.push_back(below(4) != 0);
      firm.push_back(below(3) != 0);
      marked.push_back(below(6) == 0);
    }
    Copies world(lax, firm);
    std::vector<std::vector<bool>> eaten(count, std::vector<bool>(3));
    RunOf run = world.begin_run("run-1-aaaaaaaa00000000");
    std::map<size_t, Eaten> consumed;
    for (size_t i = 0; i < count; ++i) {
      Eaten list;
      for (size_t k = 0; k < 3; ++k) {
        eaten[i][k] = below(3) == 0 || (i == 0 && k == 0);
        list.emplace_back(eaten[i][k] ? 1 : 0, eaten[i][k] ? 5 : 0);
      }
      while (!list.empty() && list.back().first == 0) list.pop_back();
      if (!list.empty()) consumed[i] = list;
    }
    world.span(run, 10, consumed);
    std::vector<Twice> all;
    std::vector<Fact> facts;
    for (uint64_t n = below(5); n-- > 0;) {
      const size_t later = 1 + below(count - 1);
      const uint64_t start = below(5) * kUs / 2, end = start + (1 + below(2)) * kUs / 2;
      all.push_back({later, below(later), start, end, below(5) * kUs / 2});
      facts.push_back(duplicate(all.back()));
    }
    for (size_t i = 0; i < count; ++i) {
      if (marked[i]) facts.push_back(reserved(i));
    }
    if (!facts.empty()) world.append(facts);
    world.sign();

    // Of a span of a source: what shows the same, by findings about spans that overlap.
    const auto shown_by = [&](size_t source, uint64_t start_us, uint64_t end_us) {
      std::set<size_t> out;
      std::vector<std::tuple<size_t, uint64_t, uint64_t>> open{{source, start_us, end_us}};
      std::set<std::tuple<size_t, uint64_t, uint64_t>> seen;
      while (!open.empty()) {
        const auto at = open.back();
        open.pop_back();
        if (!seen.insert(at).second) continue;
        const auto [of, from, to] = at;
        for (const Twice& t : all) {
          if (t.of != of || t.of_start_us >= to || from >= t.of_end_us()) continue;
          out.insert(t.later);
          open.emplace_back(t.later, t.start_us, t.end_us);
        }
      }
      return out;
    };
    // Files that show the same are used like one file that has the licences and marks of all.
    const auto all_are = [&](const std::set<size_t>& its, const std::vector<bool>& so) {
      return std::all_of(its.begin(), its.end(), [&](size_t i) { return so[i]; });
    };
    const auto allow = [&](const std::set<size_t>& its) {
      const bool reserves =
          std::any_of(its.begin(), its.end(), [&](size_t i) { return marked[i]; });
      return all_are(its, lax) && (!reserves || all_are(its, firm));
    };
    bool weights_allowed = true;
    std::set<std::string> weights_licences;
    for (size_t i = 0; i < count; ++i) {
      bool is_allowed = true;
      std::set<std::string> licences = {"LIC-" + std::to_string(i) + "@1"};
      for (size_t k = 0; k < 3; ++k) {
        std::set<size_t> its = shown_by(i, k * kUs, (k + 1) * kUs);
        through += its.size() > 1;
        its.insert(i);
        const bool clip_allowed = allow(its);
        by_mark += allow({i}) && !clip_allowed && all_are(its, lax);
        is_allowed = is_allowed && clip_allowed;
        for (const size_t of : its) {
          if (!allow({i})) break;
          licences.insert("LIC-" + std::to_string(of) + "@1");
          if (eaten[i][k]) weights_licences.insert("LIC-" + std::to_string(of) + "@1");
        }
        if (eaten[i][k]) {
          weights_allowed = weights_allowed && clip_allowed;
          weights_licences.insert("LIC-" + std::to_string(i) + "@1");
        }
      }
      const ShardStanding standing = world.shard(i);
      EXPECT_EQ(standing.verdict.cleared, is_allowed) << round << " " << standing.verdict.fact;
      EXPECT_EQ(standing.licences, licences) << round;
      ++(is_allowed ? allowed : refused);
    }
    const CheckpointStanding standing = world.checkpoint(run.parent);
    EXPECT_EQ(standing.verdict.cleared, weights_allowed) << round << standing.verdict.fact;
    EXPECT_EQ(standing.licences, weights_licences) << round;
  }
  EXPECT_GT(refused, 10U);
  EXPECT_GT(allowed, 10U);
  EXPECT_GT(through, 5U);
  EXPECT_GT(by_mark, 5U);
}

}  // namespace
}  // namespace cleared::ledger
