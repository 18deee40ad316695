// Why and history: what a story gathers, which signatures it finds, and what the gate says of it.
#include "ledger/story.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ledger/base/clock.h"
#include "tests/ledger/full_world.h"

namespace cleared::ledger {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

Story story_of(const std::filesystem::path& ledger, const std::string& what) {
  const Store store(ledger, Access::read);
  return tell_story(store, find_record(store, what));
}

// "yes" or the rule.
std::string answer(const World& world, const std::string& what) {
  const Story story = story_of(world.ledger, what);
  if (!story.verdict) return "";
  return story.verdict->cleared ? "yes" : story.verdict->rule;
}

// Column `name` of the chapter's first row.
std::string told(const Story& story, const std::string& title, const std::string& name) {
  for (const Chapter& chapter : story.chapters) {
    if (chapter.title != title) continue;
    for (size_t i = 0; i < chapter.table.columns.size(); ++i) {
      if (chapter.table.columns[i] == name) return chapter.table.rows[0][i];
    }
  }
  return "(not told)";
}

TEST(Story, TheSameAnswerFromEveryPlace) {
  World world;
  world.fill();
  const std::string clip = to_hex(sha256("clip 0"));
  for (const std::string& what :
       {clip, clip.substr(0, 8), std::string("2026-01/a.webm"), world.root_hex(), std::string("s0"),
        std::string("shard-000000.tar"), std::string("LIC-1"), std::string("LIC-1@1")}) {
    EXPECT_EQ(answer(world, what), "yes") << what;
  }
  EXPECT_EQ(answer(world, "example-stock"), "");  // a key: no footage hangs on it
  EXPECT_EQ(answer(world, "0"), "");
  world.append({world.revocation("licence", "LIC-1", world.licensor)});
  for (const std::string& what : {clip, std::string("2026-01/a.webm"), world.root_hex(),
                                  std::string("s0"), std::string("LIC-1")}) {
    EXPECT_EQ(answer(world, what), "revoked") << what;
  }
}

// What must be deleted is told of whatever leads to it, and so is that it was.
TEST(Story, TellsOfDeletions) {
  World world;
  world.fill();
  // What is said of the shard in the chapter of what is due.
  const auto deleted = [](const Story& story) -> std::string {
    for (const Chapter& chapter : story.chapters) {
      for (const auto& row : chapter.table.rows) {
        if (chapter.title == "due" && row[4] == "shard-000000.tar") return row.back();
      }
    }
    return "(not told)";
  };
  for (const std::string& what : {world.root_hex(), std::string("2026-01/a.webm")}) {
    const Story story = story_of(world.ledger, what);
    EXPECT_EQ(deleted(story), "no") << what;
    EXPECT_EQ(told(story, "deletion", "reason"), "(not told)");
  }
  world.append({world.deletion({&world.approver})});
  for (const std::string& what : {world.root_hex(), std::string("2026-01/a.webm")}) {
    const Story story = story_of(world.ledger, what);
    EXPECT_EQ(told(story, "deletion", "deleted"), "shard shard-000000.tar") << what;
    EXPECT_THAT(told(story, "deletion", "signed_by"), StartsWith("example-approver (approver"));
    EXPECT_THAT(deleted(story), StartsWith("record ")) << what;
    EXPECT_EQ(answer(world, what), "deleted");
  }
}

TEST(Story, EachStepThatIsMissingIsNamed) {
  World world;
  const std::string clip = to_hex(sha256("clip 0"));
  EXPECT_THAT(error_of([&] { story_of(world.ledger, clip); }), StartsWith("not_found"));
  world.add_licence(replaced(full_licence_text(), "2099-12-31", "2024-12-31"));
  EXPECT_EQ(answer(world, "LIC-1"), "expired");
  world.append(world.footage());
  EXPECT_EQ(answer(world, clip), "expired");
  world.add_licence(
      replaced(full_licence_text(), "  version: 1\n", "  version: 2\n  supersedes: \"LIC-1@1\"\n"));
  EXPECT_EQ(answer(world, clip), "not_approved");
  EXPECT_EQ(answer(world, "LIC-1@1"), "no_licence");  // superseded
  EXPECT_EQ(answer(world, "LIC-1@2"), "yes");
  world.append({world.approval()});
  EXPECT_EQ(answer(world, clip), "yes");
  Fact duplicate;
  duplicate.mutable_duplicate()->set_source(std::string(sha256("source a").text()));
  duplicate.mutable_duplicate()->set_of(std::string(sha256("source a").text()));
  duplicate.mutable_duplicate()->set_end_us(1'000'000);  // of the first clip alone
  duplicate.mutable_duplicate()->set_verdict("conflict");
  world.append({duplicate});
  EXPECT_EQ(answer(world, clip), "title_conflict");
  Store(world.ledger, Access::append).erase_document("LIC-1@2", "asked for");
  EXPECT_EQ(answer(world, clip), "no_licence");
}

TEST(Story, TellsRefusalsOfTheSourceAndOfTheCheckpoint) {
  FullWorld world;
  const std::string digest = to_hex(sha256("source a")), weights = to_hex(sha256("weights"));
  const std::string subjects[] = {"2026-01/a.webm", digest, "elsewhere/a%0A.webm sha256:" + digest,
                                  weights};
  const auto told_of = [&](const std::string& subject) {
    const Story story = story_of(world.ledger, to_hex(sha256("clip 0")));
    for (const Chapter& chapter : story.chapters) {
      if (chapter.title != "refusal") continue;
      for (const auto& row : chapter.table.rows) {
        if (std::find(row.begin(), row.end(), subject) != row.end()) return true;
      }
    }
    return false;
  };
  for (const std::string& subject : subjects) {
    EXPECT_FALSE(told_of(subject)) << subject;
    world.append({refusal(subject)});
    EXPECT_TRUE(told_of(subject)) << subject;
  }
  const std::string other = "a.webm sha256:" + to_hex(sha256("source b"));
  world.append({refusal(other)});
  EXPECT_FALSE(told_of(other));
}

TEST(Story, TellsSignaturesTermsAndUse) {
  const FullWorld world;
  const Story story = story_of(world.ledger, to_hex(sha256("clip 0")));
  EXPECT_EQ(story.kind, "clip");
  const std::string approver = "example-approver (approver, key of record 3)";
  const std::tuple<const char*, const char*, std::string> cases[] = {
      {"clip", "verdict", "kept"},
      {"source", "path", "2026-01/a.webm"},
      {"source", "trouble", "none"},
      {"licence", "licence", "LIC-1@1"},
      {"licence", "standing", "in force"},
      {"licence", "document", "kept"},
      {"licence", "signed_by",
       "example-stock (licensor, key of record 1), example-studio (licensee, key of record 2)"},
      {"approval", "signed_by", approver},
      {"approval", "signatures_asked_for", "1 approver"},
      {"permit", "signed_by", approver},
      {"run", "passes", "3"},
      {"checkpoint", "signed_by", "example-trainer (trainer, key of record 4)"},
      {"revocation", "signed_by", approver},
      {"duplicate", "verdict", "duplicate"},
      {"measure", "place", "160 x 90 at 0, 15"},
  };
  for (const auto& [title, column, value] : cases) {
    EXPECT_EQ(told(story, title, column), value) << title << "." << column;
  }
  // The shard was revoked, too, but that a licence of later was erased is asked before.
  EXPECT_EQ(story.verdict->rule, "no_licence");
  const Story erased = story_of(world.ledger, "LIC-2");
  EXPECT_EQ(told(erased, "licence", "document"), "erased");
  EXPECT_THAT(told(erased, "licence", "signed_by"), StartsWith("cannot be checked"));
  EXPECT_EQ(told(erased, "erasure", "reason"), "asked for");
  // The second clip was never consumed.
  EXPECT_EQ(told(story_of(world.ledger, to_hex(sha256("clip 1"))), "checkpoint", "step"),
            "(not told)");
}

// Started from any record, it works, starts with that record, and lists records in order, each
// once.
TEST(Story, HasAHistoryOfEveryRecord) {
  const FullWorld world;
  const Store store(world.ledger, Access::read);
  std::set<std::string> kinds;
  for (uint64_t seq = 0; seq < store.size(); ++seq) {
    const Table history = history_of(store, seq);
    std::vector<uint64_t> numbers;
    bool found = false;
    for (const auto& row : history.rows) {
      numbers.push_back(std::stoull(row[0]));
      if (numbers.back() != seq) continue;
      found = true;
      kinds.insert(row[2]);
      EXPECT_EQ(row[1].size(), format_time(0).size());
    }
    EXPECT_TRUE(found) << seq;
    EXPECT_TRUE(std::adjacent_find(numbers.begin(), numbers.end(), std::greater_equal<>()) ==
                numbers.end())
        << seq;
  }
  // Those of ledger/record.proto, and retired keys.
  EXPECT_EQ(kinds.size(), 31U) << testing::PrintToString(kinds);
  const Table history = history_of(store, find_record(store, to_hex(sha256("clip 0"))));
  std::map<std::string, std::string> signers;
  for (const auto& row : history.rows) signers[row[2]] = row[3];
  EXPECT_EQ(signers["licence"], "example-stock, example-studio");
  EXPECT_EQ(signers["approval"], "example-approver");
  EXPECT_EQ(signers["checkpoint"], "example-trainer");
}

TEST(Story, IsNotToldOfTablesThatWereEdited) {
  const FullWorld world;
  Database::open(world.ledger, Access::append).exec("UPDATE clip SET verdict = 'frozen'");
  EXPECT_THAT(error_of([&] { story_of(world.ledger, "LIC-1"); }), StartsWith("corrupt"));
}

}  // namespace
}  // namespace cleared::ledger
