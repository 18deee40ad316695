// What a revocation reaches, beside an oracle that walks the records themselves: it reads the facts
// of the log in order, keeps the samples of every step in plain sets, and knows no table.
#include "ledger/impact.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <random>
#include <set>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ledger/attestation.h"
#include "ledger/base/clock.h"
#include "ledger/digest.h"
#include "ledger/licence.h"
#include "ledger/merkle.h"
#include "ledger/projection.h"
#include "ledger/query.h"
#include "ledger/retention.h"
#include "ledger/rights.h"
#include "ledger/textproto.h"
#include "ledger/verify.h"
#include "tests/ledger/full_world.h"
#include "tests/ledger/runs.h"
#include "tests/ledger/world.h"

namespace cleared::ledger {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

// A run of three checkpoints: the first two spans consume nothing of the second licence.
struct ThreeSpans : RunWorld {
  ThreeSpans() : RunWorld({{"LIC-1", 3}, {"LIC-2", 2}}) {
    first = begin_run("run-1-aaaaaaaa00000000");
    span(first, 10, {{0, {{1, 3}, {0, 0}, {2, 9}}}});
    span(first, 20, {{0, {{0, 0}, {4, 11}}}});
    span(first, 30, {{0, {{1, 20}}}, {1, {{0, 0}, {5, 25}}}});
    sign();
  }
  RunOf first;
};

TEST(Impact, TellsTouchedFromClean) {
  const ThreeSpans world;
  const Store store(world.ledger, Access::read);
  const Impact impact = impact_of(store, "LIC-2");
  EXPECT_EQ(impact.what, "licence LIC-2");
  EXPECT_EQ(impact.clips, 2U);
  EXPECT_EQ(impact.consumed_clips, 1U);
  EXPECT_EQ(impact.all_checkpoints, 3U);
  EXPECT_EQ(impact.touched_checkpoints, 1U);
  ASSERT_EQ(impact.runs.size(), 1U);
  const RunImpact& run = impact.runs[0];
  EXPECT_EQ(run.run, "run-1-aaaaaaaa00000000");
  EXPECT_EQ(run.first_step, 25U);
  EXPECT_EQ(run.end_step, 30U);
  EXPECT_EQ(run.passes, 5U);
  EXPECT_EQ(run.sample_us, 5 * RunWorld::kSampleUs);
  ASSERT_TRUE(run.clean);
  EXPECT_EQ(run.clean->step, 20U);
  EXPECT_EQ(run.price.steps, 10U);
  EXPECT_EQ(run.price.sample_us, 6 * RunWorld::kSampleUs);  // all that the span consumed
  EXPECT_EQ(run.price.machine_us, RunWorld::kMachineUs);
  EXPECT_TRUE(run.price.measured);
  ASSERT_EQ(impact.shards.size(), 1U);
  EXPECT_EQ(impact.shards[0].samples, 2U);
  EXPECT_EQ(impact.shards[0].of, 2U);
}

// The gate asks it, so a revocation of it reaches what was consumed, though no source names it.
TEST(Impact, OfALicenceThatCameAfterTheFootage) {
  for (const bool by_digest : {false, true}) {
    ThreeSpans world;
    const Impact before = [&] {
      const Store store(world.ledger, Access::read);
      return impact_of(store, "LIC-2");
    }();
    LicenceText late = parse_licence(full_licence_text(), "test");
    late.mutable_licence()->set_id("LIC-9");
    late.mutable_covers()->set_delivery(0, "footage-1/**");
    if (by_digest) late.mutable_covers()->add_source_digest(digest_name(sha256("footage-1")));
    world.add_licence(format_textproto(late));
    const Store store(world.ledger, Access::read);
    const Impact impact = impact_of(store, "LIC-9");
    EXPECT_EQ(impact.clips, before.clips);
    EXPECT_EQ(impact.touched_checkpoints, before.touched_checkpoints);
    ASSERT_EQ(impact.runs.size(), 1U);
    EXPECT_EQ(impact.runs[0].first_step, before.runs[0].first_step);
    // A version that covers more than the first reaches that, too; one that covers less takes
    // nothing back.
    late.mutable_licence()->set_version(2);
    late.mutable_licence()->set_supersedes("LIC-9@1");
    late.mutable_covers()->clear_source_digest();
    late.mutable_covers()->set_delivery(0, "footage-0/**");
    world.add_licence(format_textproto(late));
    EXPECT_EQ(impact_of(Store(world.ledger, Access::read), "LIC-9").clips, 5U);
  }
}

// Touched and untouched together are all there are, each by name.
TEST(Impact, NamesTheRunsThatItDoesNotTouch) {
  ThreeSpans world;
  RunOf second = world.begin_run("run-1-bbbbbbbbbbbbbbbb");
  world.span(second, 10, {{0, {{0, 0}, {2, 9}}}});
  world.sign();
  const Store store(world.ledger, Access::read);
  const Impact impact = impact_of(store, "LIC-2");
  EXPECT_EQ(impact.all_runs, 2U);
  const auto untouched = untouched_runs(store, impact);
  ASSERT_EQ(untouched.size(), 1U);
  EXPECT_EQ(untouched[0].run, "run-1-bbbbbbbbbbbbbbbb");
  ASSERT_EQ(untouched[0].checkpoints.size(), 1U);
  EXPECT_EQ(untouched[0].checkpoints[0].step, 10U);
  EXPECT_EQ(clip_ids(store, impact).size(), impact.clips);
  EXPECT_TRUE(untouched_runs(store, impact_of(store, "LIC-1")).empty());
}

// The gate asks the licences of every path that the bytes came by, so each of them reaches what was
// consumed, whichever came first.
TEST(Impact, OfALicenceOfAnotherPathOfTheSameBytes) {
  for (const bool late : {false, true}) {
    ThreeSpans world;
    LicenceText other = parse_licence(full_licence_text(), "test");
    other.mutable_licence()->set_id("LIC-9");
    other.mutable_covers()->set_delivery(0, "elsewhere/**");
    if (!late) world.add_licence(format_textproto(other));
    Fact noted;
    noted.mutable_refusal()->set_act("curate");
    noted.mutable_refusal()->set_rule("other_path");
    noted.mutable_refusal()->set_subject("elsewhere/a.webm sha256:" + to_hex(sha256("footage-1")));
    world.append({noted});
    world.sign();
    if (late) {  // before it is signed, too
      const Store store(world.ledger, Access::read);
      EXPECT_EQ(impact_of(store, other).clips, impact_of(store, "LIC-2").clips);
      EXPECT_GT(impact_of(store, other).touched_checkpoints, 0U);
      world.add_licence(format_textproto(other));
      world.sign();
    }
    const Store store(world.ledger, Access::read);
    EXPECT_EQ(impact_of(store, "LIC-9").clips, impact_of(store, "LIC-2").clips);
    EXPECT_GT(impact_of(store, "LIC-9").touched_checkpoints, 0U);
    std::set<std::string> due;
    for (const auto& row : due_of(store, Rights(store)).rows) due.insert(row[5]);
    EXPECT_TRUE(due.contains("LIC-9@1"));
  }
}

TEST(Impact, OfAClipASourceAShardAndNothing) {
  const ThreeSpans world;
  const Store store(world.ledger, Access::read);
  const auto first = [&](const std::string& what) {
    const Impact impact = impact_of(store, what);
    return impact.runs.empty() ? -1 : static_cast<int>(impact.runs[0].first_step);
  };
  EXPECT_EQ(first("LIC-1@1"), 3);
  EXPECT_EQ(first(world.clip_hex(0, 0)), 3);
  EXPECT_EQ(first(world.clip_hex(0, 1)), 11);
  EXPECT_EQ(first(world.clip_hex(0, 2)), 9);
  EXPECT_EQ(first(world.clip_hex(1, 0)), -1);
  EXPECT_EQ(first(world.clip_hex(1, 1)), 25);
  EXPECT_EQ(first("footage-1/a.webm"), 25);
  EXPECT_EQ(first(to_hex(shard_root(world.manifests[1]))), 25);
  EXPECT_THAT(error_of([&] { first("LIC-9"); }), StartsWith("not_found"));
  EXPECT_THAT(error_of([&] { first("run-1-aaaaaaaa00000000"); }), StartsWith("not_found"));
}

// A model whose autoencoder, or text encoder, knows of the clips knows of them, too, from its first
// step on.
TEST(Impact, ReachesAModelThroughWhatItBeganWith) {
  for (std::string RunOf::*part : {&RunOf::vae, &RunOf::text_encoder}) {
    ThreeSpans world;
    RunOf clean = world.begin_run("run-1-bbbbbbbb00000000");
    clean.vae = clean.text_encoder = world.first.checkpoints[1];
    world.span(clean, 10, {{0, {{1, 3}}}});
    RunOf touched = world.begin_run("run-1-cccccccc00000000");
    touched.vae = touched.text_encoder = world.first.checkpoints[1];
    touched.*part = world.first.checkpoints[2];
    world.span(touched, 10, {{0, {{1, 3}}}});
    world.span(touched, 20, {{0, {{1, 13}}}});
    world.sign();
    const Store store(world.ledger, Access::read);
    const Impact impact = impact_of(store, "LIC-2");
    ASSERT_EQ(impact.runs.size(), 2U);
    EXPECT_EQ(impact.touched_checkpoints, 3U);
    EXPECT_EQ(impact.runs[1].run, "run-1-cccccccc00000000");
    EXPECT_EQ(impact.runs[1].through, "run-1-aaaaaaaa00000000");
    EXPECT_EQ(impact.runs[1].first_step, 0U);
    EXPECT_FALSE(impact.runs[1].clean);
    EXPECT_EQ(impact.runs[1].price.steps, 20U);
  }
}

// A run that went on from a touched checkpoint knows of the clips though it never read them.
TEST(Impact, FollowsTheLineFromRunToRun) {
  ThreeSpans world;
  RunOf clean = world.begin_run("run-1-bbbbbbbb00000000", world.first.checkpoints[1]);
  world.span(clean, 40, {{0, {{1, 33}}}});
  RunOf touched = world.begin_run("run-1-cccccccc00000000", world.first.checkpoints[2]);
  world.span(touched, 35, {{0, {{1, 33}}}});
  world.span(touched, 45, {{0, {{1, 36}}}});
  world.sign();
  const Store store(world.ledger, Access::read);
  const Impact impact = impact_of(store, "LIC-2");
  ASSERT_EQ(impact.runs.size(), 2U);
  EXPECT_EQ(impact.runs[1].run, "run-1-cccccccc00000000");
  EXPECT_EQ(impact.runs[1].through, "run-1-aaaaaaaa00000000");
  EXPECT_EQ(impact.runs[1].first_step, 30U);
  EXPECT_EQ(impact.runs[1].passes, 0U);
  ASSERT_TRUE(impact.runs[1].clean);
  EXPECT_EQ(impact.runs[1].clean_run, "run-1-aaaaaaaa00000000");
  EXPECT_EQ(impact.runs[1].clean->step, 20U);
  EXPECT_EQ(impact.runs[1].price.steps, 15U);
  EXPECT_EQ(impact.price.steps, 25U);
  // From the seed on: nothing of the first run is clean.
  const Impact all = impact_of(store, "LIC-1");
  ASSERT_EQ(all.runs.size(), 3U);
  for (const RunImpact& run : all.runs) EXPECT_FALSE(run.clean) << run.run;
}

// Whoever has the note goes on generating until it ends, or sees the notice.
TEST(Impact, NamesTheReleasesOfTouchedCheckpoints) {
  ThreeSpans world;
  const auto release = [&](
                           size_t checkpoint, const std::vector<std::string>& licences,
                           const std::function<void(Release&)>& change = [](Release&) {}) {
    world.append({world.release(world.first.checkpoints[checkpoint], licences, change)});
  };
  release(1, {"LIC-1@1"});             // knows nothing of LIC-2
  release(2, {"LIC-1@1", "LIC-2@1"});  // still runs
  release(2, {"LIC-1@1", "LIC-2@1"}, [](Release& r) {
    r.set_use(GENERATE_COMMERCIAL);
    r.set_expires_at(format_time(now_us() + 2'000'000));
  });
  world.sign();
  const auto of = [&](const std::string& what) {
    const Store store(world.ledger, Access::read);
    const Impact impact = impact_of(store, what);
    const auto named = named_records(impact);
    std::vector<std::string> out;
    for (const ReleaseImpact& r : impact.releases) {
      EXPECT_TRUE(std::binary_search(named.begin(), named.end(), r.seq));
      out.push_back(r.run + " " + std::to_string(r.step) + " " + r.use +
                    (r.runs                 ? " runs"
                     : r.taken_back.empty() ? " ended"
                                            : " taken back"));
    }
    return out;
  };
  EXPECT_THAT(of("LIC-1"), ElementsAre("run-1-aaaaaaaa00000000 20 GENERATE_INTERNAL runs",
                                       "run-1-aaaaaaaa00000000 30 GENERATE_INTERNAL runs",
                                       "run-1-aaaaaaaa00000000 30 GENERATE_COMMERCIAL runs"));
  EXPECT_EQ(of("LIC-2").size(), 2U);
  std::this_thread::sleep_for(std::chrono::milliseconds(2'100));
  EXPECT_THAT(of("LIC-2"), ElementsAre("run-1-aaaaaaaa00000000 30 GENERATE_INTERNAL runs",
                                       "run-1-aaaaaaaa00000000 30 GENERATE_COMMERCIAL ended"));
  world.append({world.revocation("licence", "LIC-2", world.licensor)});
  EXPECT_THAT(of("LIC-1"), ElementsAre("run-1-aaaaaaaa00000000 20 GENERATE_INTERNAL runs",
                                       "run-1-aaaaaaaa00000000 30 GENERATE_INTERNAL taken back",
                                       "run-1-aaaaaaaa00000000 30 GENERATE_COMMERCIAL taken back"));
  // What is to be told whom: until it ends, and not of what was never revoked.
  const auto due = [&] {
    const Store store(world.ledger, Access::read);
    std::vector<std::string> out;
    for (const auto& row : due_of(store, Rights(store)).rows) {
      if (row[2] == "release") out.push_back(row[3] + " " + row[5] + " " + row[1]);
    }
    return out;
  };
  EXPECT_THAT(due(),
              ElementsAre("GENERATE_INTERNAL of run-1-aaaaaaaa00000000 step 30 in EU LIC-2@1 yes"));
}

TEST(Impact, CountsWhatIsToldSampleBySampleToo) {
  const FullWorld world;
  const Store store(world.ledger, Access::read);
  const Impact impact = impact_of(store, "LIC-1");
  ASSERT_EQ(impact.runs.size(), 1U);
  EXPECT_EQ(impact.runs[0].passes, 3U);
  EXPECT_EQ(impact.runs[0].sample_us, 6'000'000U);
  EXPECT_EQ(impact.price.machine_us, 90'000'000U);
}

TEST(Impact, ItsProofsVerify) {
  const ThreeSpans world;
  const Store store(world.ledger, Access::read);
  const auto named = named_records(impact_of(store, "LIC-2"));
  const auto proofs = prove_records(store, named, store.newest_head_note());
  ASSERT_EQ(proofs.size(), named.size());
  EXPECT_GE(named.size(), 6U);  // licence, shard, run, receipt, checkpoint, clean checkpoint
  for (const TlogProof& proof : proofs) {
    EXPECT_TRUE(verify_tlog_proof(proof, as_bytes(*proof.extra), store.log_key()));
    EXPECT_EQ(*proof.extra, store.record_bytes(proof.index));
  }
}

TEST(Impact, BeforeSigningSaysWhatWaitingWouldSave) {
  const ThreeSpans world;
  const Store store(world.ledger, Access::read);
  LicenceText terms = parse_licence(full_licence_text(), "a");
  terms.mutable_covers()->clear_delivery();
  terms.mutable_covers()->add_delivery("footage-1/*");
  const Impact impact = impact_of(store, terms);
  EXPECT_EQ(impact.clips, 2U);
  ASSERT_EQ(impact.runs.size(), 1U);
  const auto said = forecast(store, terms, impact);
  ASSERT_EQ(said.size(), 1U);
  EXPECT_EQ(said[0].run, "run-1-aaaaaaaa00000000");
  EXPECT_EQ(said[0].steps, 30U);
  EXPECT_EQ(said[0].samples, 5U);
  EXPECT_EQ(said[0].covered, 2U);
  EXPECT_EQ(said[0].last_step, 18U);  // 3 of 5 samples come before
  EXPECT_LT(said[0].first_step, said[0].last_step);
  EXPECT_LT(said[0].last.machine_us, said[0].expected.machine_us);
  terms.mutable_allows()->set_model(0, "another-line");
  EXPECT_TRUE(forecast(store, terms, impact).empty());
}

// --- the oracle ---

struct Said {
  std::set<std::pair<std::string, uint64_t>> touched;  // run, step
  std::map<std::string, uint64_t> first, steps;
  bool operator==(const Said&) const = default;
};

Said slow_impact(const Store& store, const std::set<std::string>& clips) {
  std::map<std::pair<std::string, uint32_t>, std::string> clip_of;  // shard, place
  std::map<std::string, std::string> clip_of_sample;
  std::map<std::pair<std::string, uint64_t>, uint64_t> eaten;  // run, end: first step
  std::map<std::pair<std::string, uint64_t>, uint64_t> began;
  std::map<std::string, bool> touched;  // by digest
  Said out;
  for (uint64_t seq = 0; seq < store.size(); ++seq) {
    const std::string bytes = store.record_bytes(seq);
    Fact fact;
    if (!fact.ParseFromString(std::string(parse_record(bytes).fact))) continue;
    if (fact.has_sample()) {
      clip_of[{fact.sample().shard(), fact.sample().index()}] = fact.sample().clip();
    } else if (fact.has_receipt()) {
      const auto text = parse_noted<ReceiptText>(parse_note(fact.receipt().note()), "r").receipt();
      began[{text.run(), text.end_step()}] = text.first_step();
    } else if (fact.has_consumed_shard()) {
      const auto& c = fact.consumed_shard();
      int back = 0;
      for (int i = 0; i < c.passes_size(); ++i) {
        if (c.passes(i) == 0) continue;
        const uint64_t first = c.end_step() - c.back(back++);
        const auto place = std::make_pair(c.shard(), c.index() + static_cast<uint32_t>(i));
        if (!clips.contains(clip_of.at(place))) continue;
        const auto at = eaten.try_emplace({c.run(), c.end_step()}, first).first;
        at->second = std::min(at->second, first);
      }
    } else if (fact.has_checkpoint()) {
      const auto& k = fact.checkpoint();
      const auto span = std::make_pair(k.run(), k.step());
      const bool before = !k.parent().empty() && touched.at(k.parent());
      touched[k.digest()] = before || eaten.contains(span);
      if (!touched[k.digest()]) continue;
      out.touched.insert(span);
      const uint64_t first = before ? began.at(span) : eaten.at(span);
      const auto at = out.first.try_emplace(k.run(), first).first;
      at->second = std::min(at->second, first);
      out.steps[k.run()] += k.step() - began.at(span);
    }
  }
  return out;
}

Said quick_impact(const Store& store, const std::string& what) {
  Said out;
  for (const RunImpact& run : impact_of(store, what).runs) {
    out.first[run.run] = run.first_step;
    out.steps[run.run] = run.price.steps;
    for (const auto& k : run.checkpoints) {
      if (k.touched) out.touched.emplace(run.run, k.step);
    }
  }
  return out;
}

TEST(Impact, AgreesWithAWalkOverTheRecords) {
  std::mt19937_64 random(7);
  RunWorld world({{"LIC-1", 4}, {"LIC-2", 3}, {"LIC-3", 5}});
  std::vector<std::string> checkpoints;
  size_t differ = 0;
  for (int i = 0; i < 12; ++i) {
    const std::string name = "run-1-" + std::to_string(1'000'000'000'000'000 + i);
    const bool fresh = checkpoints.empty() || random() % 3 == 0;
    RunOf run = fresh ? world.begin_run(name)
                      : world.begin_run(name, checkpoints[random() % checkpoints.size()]);
    for (int s = 0; s < 3; ++s) {
      const uint64_t end = run.step + 1 + random() % 9;
      std::map<size_t, Eaten> eaten;
      while (eaten.empty()) {
        for (size_t shard = 0; shard < 3; ++shard) {
          if (random() % 3 != 0) continue;
          Eaten& list = eaten[shard];
          for (size_t k = 0; k < world.manifests[shard].samples.size(); ++k) {
            const uint32_t passes = k == 0 ? 1 : static_cast<uint32_t>(random() % 3);
            list.push_back({passes, run.step + random() % (end - run.step)});
          }
          while (list.back().first == 0) list.pop_back();
        }
      }
      world.span(run, end, eaten);
      checkpoints.push_back(run.checkpoints.back());
    }
  }
  world.sign();
  const Store store(world.ledger, Access::read);
  ASSERT_TRUE(verify_ledger(world.ledger, {}).findings.empty());
  std::set<std::string> answers;
  for (size_t licence = 0; licence < 3; ++licence) {
    std::set<std::string> clips;
    for (size_t k = 0; k < world.manifests[licence].samples.size(); ++k) {
      const std::string raw(world.manifests[licence].samples[k].clip.text());
      clips.insert(raw);
      const Said slow = slow_impact(store, {raw});
      EXPECT_EQ(quick_impact(store, world.clip_hex(licence, k)), slow) << licence << " " << k;
      differ += slow.touched.size() != checkpoints.size() ? 1 : 0;
    }
    EXPECT_EQ(quick_impact(store, "LIC-" + std::to_string(licence + 1)), slow_impact(store, clips));
  }
  EXPECT_GT(differ, 2U);
}

}  // namespace
}  // namespace cleared::ledger
