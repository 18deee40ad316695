// Footage that two licensors deliver: nobody's until a signed review releases the clips of one
// side, and never of both. At the end an oracle, which keeps lists and knows no SQL, agrees on
// random histories.
#include "ledger/titles.h"

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ledger/base/clock.h"
#include "ledger/bundle.h"
#include "ledger/clearances.h"
#include "ledger/digest.h"
#include "ledger/query.h"
#include "ledger/review.h"
#include "ledger/shard_facts.h"
#include "ledger/story.h"
#include "ledger/textproto.h"
#include "ledger/verify.h"
#include "tests/ledger/world.h"

namespace cleared::ledger {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

constexpr uint64_t kSecond = 1'000'000;

std::string raw(const std::string& name) {
  return std::string(sha256(name).text());
}

// Sources of several licensors, named by a letter, each with a licence and clips of one second.
struct Licensors : World {
  Licensors() {
    for (const char* name : {"a", "b", "c"}) {
      const SignerKey signer = new_signer_key(name);
      append({key(signer, "licensor")});
      std::string text =
          replaced(full_licence_text(), "\"LIC-1\"", "\"LIC-" + std::string(name) + "\"");
      text = replaced(std::move(text), "licensor: \"example-stock\"",
                      "licensor: \"" + std::string(name) + "\"");
      text = replaced(std::move(text), "2026-01/**", std::string(name) + "/**");
      Store(ledger, Access::append).append_licence(sign_text(text, {&signer, &licensee}), name);
    }
  }

  // "b/film.webm" of licensor b, with clips "b/film.webm 0" and so on.
  static std::vector<Fact> source(const std::string& path, int clips, const std::string& status) {
    std::vector<Fact> facts(1);
    SourceRecord& s = *facts[0].mutable_source();
    s.set_digest(raw(path));
    s.set_path(path);
    s.add_licence("LIC-" + path.substr(0, 1) + "@1");
    s.set_duration_us(static_cast<uint64_t>(clips) * kSecond);
    s.set_status(status);
    for (int i = 0; i < clips; ++i) {
      ClipRecord& c = *facts.emplace_back().mutable_clip();
      c.set_id(raw(path + " " + std::to_string(i)));
      c.set_source(raw(path));
      c.set_start_us(static_cast<uint64_t>(i) * kSecond);
      c.set_end_us(static_cast<uint64_t>(i + 1) * kSecond);
      c.set_verdict(status);
    }
    return facts;
  }

  // The seconds [at, end) of a later source are those from `of_at` on of an earlier one.
  static Fact conflict(const std::string& path, uint64_t at, uint64_t end, const std::string& of,
                       uint64_t of_at) {
    Fact fact;
    DuplicateRecord& d = *fact.mutable_duplicate();
    d.set_source(raw(path));
    d.set_of(raw(of));
    d.set_start_us(at * kSecond);
    d.set_end_us(end * kSecond);
    d.set_of_start_us(of_at * kSecond);
    d.set_of_end_us((of_at + end - at) * kSecond);
    d.set_verdict("conflict");
    return fact;
  }

  // Of two seconds of a film of a, which b delivers, too.
  void claimed() {
    append(source("a/film.webm", 3, "kept"));
    std::vector<Fact> facts = source("b/film.webm", 2, "conflict");
    facts.push_back(conflict("b/film.webm", 0, 2, "a/film.webm", 1));
    append(facts);
  }

  // `decisions`: clip, and what of it. Decided so many seconds from now.
  Fact review(const std::vector<std::pair<std::string, std::string>>& decisions, int later_s = 0) {
    std::string text = "review {\n  at: \"" +
                       format_time(now_us() + static_cast<uint64_t>(later_s * 1'000'000LL)) +
                       "\"\n";
    for (const auto& [clip, decision] : decisions) {
      text += "  decision {\n    clip: \"" + digest_name(sha256(clip)) + "\"\n    " + decision +
              "\n    says: \"" + std::to_string(++reviews) + "\"\n  }\n";
    }
    Fact fact;
    fact.mutable_review()->set_note(sign_text(text + "}\n", {&approver}));
    return fact;
  }

  // "yes" or the rule, for a shard of these clips.
  std::string shard(const std::vector<std::string>& clips) {
    const std::string name = "shard-" + std::to_string(++shards) + ".tar";
    std::vector<SampleMembers> samples;
    for (const std::string& clip : clips) {
      samples.push_back({"s" + std::to_string(samples.size()),
                         {{"webm", name + clip}, {"json", "{}"}, {"txt", ""}},
                         sha256(clip),
                         kSecond});
    }
    Manifest& made = last_shard =
        write_shard(folder / "shards", name, samples, {"LIC-" + clips.front().substr(0, 1) + "@1"});
    append(shard_facts(made, shard_root(made)));
    const Store store(ledger, Access::read);
    const Verdict verdict =
        judge_shard(store, Rights(store), to_hex(shard_root(made)), Act{TRAIN}).verdict;
    return verdict.cleared ? "yes" : verdict.rule;
  }

  std::string refusal_of(const Fact& fact) {
    return error_of([&] { append({fact}); });
  }

  // Of the last shard, by one approver.
  void approve() {
    ApprovalText text;
    const Digest root = shard_root(last_shard);
    text.mutable_approval()->set_root(digest_name(batch_root({&root, 1})));
    text.mutable_approval()->set_shards(1);
    text.mutable_approval()->set_at("2026-01-02T03:04:05Z");
    text.mutable_approval()->set_use(TRAIN);
    append({approval_fact(sign_text(format_textproto(text), {&approver}), {&root, 1})});
  }
  int64_t cleared() const {
    return Store(ledger, Access::read).db().integer("SELECT COUNT(*) FROM cleared");
  }
  // What `ledger why` says of a clip: the rule and its column `conflict`.
  std::pair<std::string, std::string> why(const std::string& clip) const {
    const Store store(ledger, Access::read);
    const Story story = tell_story(store, find_record(store, to_hex(sha256(clip))));
    for (const Chapter& chapter : story.chapters) {
      if (chapter.title == "clip") return {story.verdict->rule, chapter.table.rows[0].back()};
    }
    return {};
  }

  int reviews = 0, shards = 0;
  Manifest last_shard;
};

TEST(Title, BothSidesAreOutUntilAReviewReleasesOne) {
  Licensors world;
  world.claimed();
  EXPECT_EQ(world.shard({"a/film.webm 0"}), "yes") << "in no span";
  EXPECT_EQ(world.shard({"a/film.webm 1"}), "title_conflict");
  EXPECT_EQ(world.shard({"b/film.webm 0"}), "title_conflict");

  world.append(
      {world.review({{"b/film.webm 0", "release: TITLE"}, {"b/film.webm 1", "release: TITLE"}})});
  const uint64_t released = Store(world.ledger, Access::read).size() - 1;
  EXPECT_EQ(world.shard({"b/film.webm 0", "b/film.webm 1"}), "yes");
  world.approve();
  EXPECT_EQ(world.cleared(), 2);
  EXPECT_EQ(world.why("b/film.webm 0"),
            std::pair(std::string("cleared"), "released by record " + std::to_string(released)));
  EXPECT_EQ(world.why("a/film.webm 1"),
            std::pair(std::string("title_conflict"), std::string("claimed by two licensors")));
  EXPECT_EQ(world.shard({"a/film.webm 1"}), "title_conflict");
  EXPECT_EQ(world.shard({"a/film.webm 0"}), "yes");

  world.append({world.review({{"b/film.webm 0", "keep_out: TITLE"}}, 60)});
  EXPECT_EQ(world.shard({"b/film.webm 0"}), "title_conflict") << "taken back";
  EXPECT_EQ(world.shard({"b/film.webm 1"}), "yes");
  EXPECT_EQ(world.cleared(), 1);
  EXPECT_TRUE(verify_ledger(world.ledger, {}).findings.empty());
}

TEST(Title, NeverAreBothSidesReleased) {
  Licensors world;
  world.claimed();
  EXPECT_THAT(world.refusal_of(world.review(
                  {{"a/film.webm 2", "release: TITLE"}, {"b/film.webm 0", "release: TITLE"}})),
              AllOf(StartsWith("corrupt"), HasSubstr("this review releases the titles of both")));
  world.append({world.review({{"a/film.webm 1", "release: TITLE"}})});
  const uint64_t released = Store(world.ledger, Access::read).size() - 1;
  const Fact other = world.review({{"b/film.webm 1", "release: TITLE"}}, 60);
  EXPECT_THAT(world.refusal_of(other),
              AllOf(StartsWith("corrupt"),
                    HasSubstr("record " + std::to_string(released) + " releases the title"),
                    HasSubstr("keep_out: TITLE")));
  // Another clip of the side that is released already, and one that nobody claims.
  EXPECT_EQ(world.refusal_of(world.review({{"a/film.webm 2", "release: TITLE"}})), "");
  EXPECT_EQ(world.refusal_of(world.review({{"a/film.webm 0", "release: TITLE"}})), "");
  // Decided before what counts, it takes nothing back.
  world.append({world.review({{"a/film.webm 1", "keep_out: TITLE"}}, -60),
                world.review({{"a/film.webm 2", "keep_out: TITLE"}}, 30)});
  EXPECT_THAT(world.refusal_of(other), StartsWith("corrupt"));
  world.append({world.review({{"a/film.webm 1", "keep_out: TITLE"}}, 30)});
  EXPECT_EQ(world.refusal_of(other), "");
  // A release that was decided before it was taken back says nothing, and so is in nobody's way.
  EXPECT_EQ(world.refusal_of(world.review({{"a/film.webm 1", "release: TITLE"}}, 20)), "");
  EXPECT_EQ(world.shard({"a/film.webm 1"}), "title_conflict");
  EXPECT_EQ(world.shard({"b/film.webm 1"}), "yes");
  EXPECT_THAT(world.refusal_of(world.review({{"a/film.webm 1", "release: TITLE"}}, 40)),
              StartsWith("corrupt"));
  EXPECT_TRUE(verify_ledger(world.ledger, {}).findings.empty());
}

TEST(Title, WhatAThirdLicensorDeliversLaterIsNotCovered) {
  Licensors world;
  world.claimed();
  world.append({world.review(
      {{"a/film.webm 1", "release: TITLE"}, {"a/film.webm 2", "release: TITLE"}}, 120)});
  EXPECT_EQ(world.shard({"a/film.webm 1", "a/film.webm 2"}), "yes");
  std::vector<Fact> facts = Licensors::source("c/film.webm", 3, "conflict");
  facts.push_back(Licensors::conflict("c/film.webm", 0, 1, "a/film.webm", 1));
  world.append(facts);
  EXPECT_EQ(world.shard({"a/film.webm 1"}), "title_conflict");
  EXPECT_EQ(world.shard({"a/film.webm 2"}), "yes");
  EXPECT_EQ(world.shard({"c/film.webm 2"}), "title_conflict") << "the file is quarantined whole";
  world.append(
      {world.review({{"c/film.webm 0", "release: TITLE"}, {"c/film.webm 2", "release: TITLE"}})});
  EXPECT_EQ(world.shard({"c/film.webm 0", "c/film.webm 2"}), "yes");
  EXPECT_THAT(world.refusal_of(world.review({{"a/film.webm 1", "release: TITLE"}}, 130)),
              StartsWith("corrupt"));
}

// What is not kept for other reasons stays so, and a claim without a record releases nothing.
TEST(Title, ReleasesNothingThatIsOutForAnotherReason) {
  Licensors world;
  world.append(Licensors::source("a/film.webm", 2, "kept"));
  std::vector<Fact> facts = Licensors::source("b/film.webm", 2, "conflict");
  facts[2].mutable_clip()->set_verdict("black");
  facts.push_back(Licensors::conflict("b/film.webm", 0, 2, "a/film.webm", 0));
  world.append(facts);
  world.append(Licensors::source("c/film.webm", 1, "conflict"));
  world.append({world.review({{"b/film.webm 0", "release: TITLE"},
                              {"b/film.webm 1", "release: TITLE"},
                              {"c/film.webm 0", "release: TITLE"}})});
  EXPECT_EQ(world.shard({"b/film.webm 0"}), "yes");
  EXPECT_EQ(world.shard({"b/film.webm 1"}), "superseded_clip");
  EXPECT_EQ(world.shard({"c/film.webm 0"}), "title_conflict");
  EXPECT_EQ(standing_of("kept", "duplicate", Title::released), "duplicate");
}

// The very same bytes are on record once, under whose path they came first.
TEST(Title, TheSameBytesAreReleasedToWhomTheyAreOnRecordUnder) {
  Licensors world;
  world.append(Licensors::source("a/film.webm", 1, "kept"));
  Fact refusal;
  refusal.mutable_refusal()->set_act("curate");
  refusal.mutable_refusal()->set_rule("conflict");
  refusal.mutable_refusal()->set_subject("b/copy.webm sha256:" + to_hex(sha256("a/film.webm")));
  refusal.mutable_refusal()->set_fact("two licensors deliver the same bytes");
  world.append({Licensors::conflict("a/film.webm", 0, 1, "a/film.webm", 0), refusal});
  {
    const Store store(world.ledger, Access::read);
    EXPECT_EQ(title_conflicts(store).at(0).said, "b/copy.webm: two licensors deliver the same bytes");
    EXPECT_EQ(quarantine(store, Rights(store)).size(), 1U);
  }
  EXPECT_EQ(world.shard({"a/film.webm 0"}), "title_conflict");
  world.append({world.review({{"a/film.webm 0", "release: TITLE"}})});
  EXPECT_EQ(world.shard({"a/film.webm 0"}), "yes");
}

TEST(Title, NeitherAClearanceNorABundleNorAReviewOfOtherClipsReleasesIt) {
  Licensors world;
  world.claimed();
  EXPECT_FALSE(is_finding("title", "released"));
  Fact fact;
  ClearanceRecord& clearance = *fact.mutable_clearance();
  clearance.set_clip(raw("a/film.webm 1"));
  clearance.set_reason("title");
  clearance.set_value("released");
  EXPECT_THAT(world.refusal_of(fact), AllOf(StartsWith("corrupt"), HasSubstr("unknown word")));
  EXPECT_THAT(error_of([] { parse_clearances("clip { title: RELEASED }", "x"); }),
              StartsWith("corrupt"));
  const Fact review = world.review({{"a/film.webm 1", "release: TITLE"}});
  const auto bundle = write_bundle(world.folder.path(), {review});
  EXPECT_THAT(error_of([&] { read_bundle(bundle); }), StartsWith("permission"));
  const auto taken = [&](const Fact& one) {
    const Store store(world.ledger, Access::read);
    return error_of([&] { review_records(store, one.review().note()); });
  };
  EXPECT_EQ(taken(review), "");
  for (const Fact& none : {world.review({{"a/film.webm 0", "release: TITLE"}}),
                           world.review({{"a/film.webm 1", "release: TITLE"}}, -60)}) {
    EXPECT_THAT(taken(none), AllOf(StartsWith("corrupt"), HasSubstr("no title is on record")));
  }
}

TEST(Title, ReviewListsSpansWithBothLicensorsAndMakesAForm) {
  Licensors world;
  world.claimed();
  const auto listed = [&] {
    const Store store(world.ledger, Access::read);
    std::set<std::string> clips;
    for (const WaitingClip& clip : quarantine(store, Rights(store))) {
      EXPECT_EQ(clip.verdict.rule, "title_conflict");
      EXPECT_TRUE(waits_for_title_alone(clip));
      clips.insert(clip.path + " " + std::to_string(clip.start_us / kSecond));
    }
    return clips;
  };
  const std::set<std::string> all = {"a/film.webm 1", "a/film.webm 2", "b/film.webm 0",
                                     "b/film.webm 1"};
  EXPECT_EQ(listed(), all);
  std::string form, keep_out;
  {
    const Store store(world.ledger, Access::read);
    const auto conflicts = title_conflicts(store);
    ASSERT_EQ(conflicts.size(), 1U);
    EXPECT_EQ(describe(conflicts[0].claims[0]), "0.00 to 2.00 s of b/film.webm, b under LIC-b@1");
    EXPECT_EQ(describe(conflicts[0].claims[1]), "1.00 to 3.00 s of a/film.webm, a under LIC-a@1");
    EXPECT_TRUE(conflicts[0].waits());
    const std::string page = review_html(store, quarantine(store, Rights(store)));
    EXPECT_THAT(page, AllOf(HasSubstr("Two licensors claim it"), HasSubstr("a under LIC-a@1")));
    keep_out = review_form(quarantine(store, Rights(store)), now_us());
    form = title_form(store, "a/film.webm", now_us());
    EXPECT_EQ(title_form(store, to_hex(sha256("a/film.webm")).substr(0, 12), now_us()), form);
    EXPECT_THAT(error_of([&] { title_form(store, "c/film.webm", now_us()); }),
                StartsWith("not_found"));
  }
  for (const std::string& text : {keep_out, form}) {
    Fact fact;
    fact.mutable_review()->set_note(sign_text(text, {&world.approver}));
    world.append({fact});
    if (text == keep_out) {
      EXPECT_EQ(listed(), all);
    }
  }
  EXPECT_EQ(listed(), std::set<std::string>()) << "what is decided does not wait";
  const Store store(world.ledger, Access::read);
  const auto conflicts = title_conflicts(store);
  EXPECT_EQ(conflicts[0].claims[1].released_by, store.size() - 1);
  EXPECT_EQ(conflicts[0].claims[0].released_by, 0U);
}

// --- oracle ---

struct Plain {
  struct Clip {
    std::string name, path;
    uint64_t second;
  };
  struct Conflict {
    std::string path, of;
    uint64_t start, end, of_start;
    uint64_t record;
    std::string at;
  };
  struct Decision {
    std::string clip, at;
    bool release;
    uint64_t record;
  };
  std::map<std::string, bool> whole;  // by path: did it come with a claim?
  std::vector<Clip> clips;
  std::vector<Conflict> conflicts;
  std::vector<Decision> decisions;

  bool shares(const Clip& clip, const Conflict& c, int side) const {
    const uint64_t start = side == 0 ? c.start : c.of_start;
    return clip.path == (side == 0 ? c.path : c.of) && clip.second >= start &&
           clip.second < start + c.end - c.start;
  }
  bool is_released(const Clip& clip, const Conflict& c) const {
    const Decision* last = nullptr;
    for (const Decision& d : decisions) {
      if (d.clip != clip.name || d.record < c.record || d.at < c.at) continue;
      if (last == nullptr || d.at >= last->at) last = &d;
    }
    return last != nullptr && last->release;
  }
  bool both_released() const {
    return std::any_of(conflicts.begin(), conflicts.end(), [&](const Conflict& c) {
      const auto any = [&](int side) {
        return std::any_of(clips.begin(), clips.end(), [&](const Clip& clip) {
          return shares(clip, c, side) && is_released(clip, c);
        });
      };
      return any(0) && any(1);
    });
  }
  Title title(const Clip& clip) const {
    bool claimed = false;
    for (const Conflict& c : conflicts) {
      const bool here =
          shares(clip, c, 0) || shares(clip, c, 1) || (clip.path == c.path && whole.at(c.path));
      if (here && !is_released(clip, c)) return Title::conflicted;
      claimed = claimed || here;
    }
    return claimed ? Title::released : Title::clear;
  }
};

TEST(Title, AgreesWithAnOracleOnRandomHistories) {
  constexpr int kWorlds = 6, kSteps = 40;
  std::mt19937 chance(1);
  const auto below = [&](uint32_t n) { return static_cast<uint32_t>(chance() % n); };
  int taken = 0, refused = 0;
  for (int w = 0; w < kWorlds; ++w) {
    Licensors world;
    Plain plain;
    Store store(world.ledger, Access::append);
    const auto add_source = [&](const std::string& status) {
      const std::string path = std::string(1, static_cast<char>('a' + plain.whole.size() % 3)) +
                               "/" + std::to_string(plain.whole.size());
      std::vector<Fact> facts = Licensors::source(path, 4, status);
      if (status == "conflict") {
        for (int i = 0; i <= static_cast<int>(below(2)); ++i) {
          auto of = plain.whole.begin();
          std::advance(of, below(static_cast<uint32_t>(plain.whole.size())));
          const uint64_t start = below(3), of_start = below(3);
          const uint64_t end =
              start + 1 + below(static_cast<uint32_t>(4 - std::max(start, of_start)));
          plain.conflicts.push_back(
              {path, of->first, start, end, of_start, store.size() + facts.size(), ""});
          facts.push_back(Licensors::conflict(path, start, end, of->first, of_start));
        }
      }
      plain.whole[path] = status == "conflict";
      for (uint64_t i = 0; i < 4; ++i)
        plain.clips.push_back({path + " " + std::to_string(i), path, i});
      const auto added = store.append(facts);
      Statement at(store.db(), "SELECT at FROM record WHERE seq = ?");
      at.with(added.first).next();
      for (auto& c : plain.conflicts) {
        if (c.at.empty()) c.at = at.text(0);
      }
      // The same span twice is one record.
      std::erase_if(plain.conflicts, [&](const auto& c) { return c.record >= store.size(); });
    };
    add_source("kept");
    for (int step = 0; step < kSteps; ++step) {
      if (below(8) == 0 || plain.conflicts.empty()) {
        add_source(below(4) == 0 ? "kept" : "conflict");
      } else {
        std::map<std::string, std::string> decisions;
        Plain then = plain;
        const int later_s = static_cast<int>(below(5)) * 20 - 20;
        for (uint32_t i = below(3); i < 3; ++i) {
          const Plain::Clip& clip = plain.clips[below(static_cast<uint32_t>(plain.clips.size()))];
          const bool release = below(3) != 0;
          if (!decisions.emplace(clip.name, release ? "release: TITLE" : "keep_out: TITLE").second)
            continue;
          then.decisions.push_back({clip.name, "", release, store.size()});
        }
        const Fact fact = world.review({decisions.begin(), decisions.end()}, later_s);
        const std::string note = fact.review().note();
        const std::string at = note.substr(note.find("at: \"") + 5, 20);
        for (auto& d : then.decisions) {
          if (d.at.empty()) d.at = at;
        }
        const std::string error = error_of([&] { store.append({fact}); });
        ASSERT_EQ(error.empty(), !then.both_released()) << w << "." << step << " " << error;
        (error.empty() ? taken : refused) += 1;
        if (error.empty()) plain = std::move(then);
      }
      Statement row(store.db(), "SELECT c.id, " + std::string(kTitleOfClip) + " FROM clip c");
      std::map<std::string, Title> titles;
      while (row.next()) titles[row.text(0)] = static_cast<Title>(row.integer(1));
      for (const Plain::Clip& clip : plain.clips) {
        ASSERT_EQ(titles.at(to_hex(sha256(clip.name))), plain.title(clip))
            << w << "." << step << " " << clip.name;
      }
    }
    EXPECT_TRUE(verify_ledger(world.ledger, {}).findings.empty());
  }
  EXPECT_GT(taken, 50);
  EXPECT_GT(refused, 20);
}

}  // namespace
}  // namespace cleared::ledger
