// A review of more clips than a record holds: taken whole, or not at all.
#include "ledger/review_lists.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ledger/base/clock.h"
#include "ledger/digest.h"
#include "ledger/note.h"
#include "ledger/projection.h"
#include "ledger/review.h"
#include "ledger/story.h"
#include "ledger/textproto.h"
#include "ledger/verify.h"
#include "tests/ledger/world.h"

namespace cleared::ledger {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::SizeIs;
using testing::StartsWith;

constexpr size_t kFilmClips = 6'000;  // of an hour and a half

std::string id_of(size_t clip) {
  return std::string(sha256("clip " + std::to_string(clip)).text());
}

// A feature film in whose every clip a detector saw a face that the licence knows nothing of.
struct Feature : World {
  Feature() {
    add_licence(
        replaced(full_licence_text(), "talent: RELEASED_FOR_TRAINING", "talent: NONE_VISIBLE"));
    std::vector<Fact> facts;
    SourceRecord& source = *facts.emplace_back().mutable_source();
    source.set_digest(std::string(sha256("film").text()));
    source.set_path("2026-01/film.mov");
    source.add_licence("LIC-1@1");
    source.set_status("kept");
    for (size_t i = 0; i < kFilmClips; ++i) {
      ClipRecord& clip = *facts.emplace_back().mutable_clip();
      clip.set_id(id_of(i));
      clip.set_source(source.digest());
      clip.set_start_us(i * 1'000'000);
      clip.set_end_us((i + 1) * 1'000'000);
      clip.set_verdict("kept");
    }
    for (size_t i = 0; i < kFilmClips; ++i) {
      ClearanceRecord& face = *facts.emplace_back().mutable_clearance();
      face.set_clip(id_of(i));
      face.set_reason("face");
      face.set_value("in 2 of 2 pictures");
      face.set_origin("curate/faces.h");
    }
    append(facts);
  }
  std::vector<WaitingClip> waiting() const {
    const Store store(ledger, Access::read);
    return quarantine(store, Rights(store));
  }
  int64_t count(const std::string& table) const {
    return Store(ledger, Access::read).db().integer("SELECT COUNT(*) FROM " + table);
  }
  // What a person makes of the form: all of it released, but for the last clip.
  Review decided() const {
    ReviewText text;
    parse_textproto(review_form(waiting(), now_us()), "form", text);
    for (Review::Decision& decision : *text.mutable_review()->mutable_decision()) {
      if (decision.clip() == digest_name(sha256("clip " + std::to_string(kFilmClips - 1))))
        continue;
      decision.mutable_release()->Swap(decision.mutable_keep_out());
    }
    return text.review();
  }
  std::string note(const Review& review, const SignerKey& key) const {
    ReviewText text;
    *text.mutable_review() = review;
    return sign_text(format_textproto(text), {&key});
  }
};

TEST(ReviewLists, HoldAFeatureFilmAndAreTakenWholeOrNotAtAll) {
  Feature world;
  ASSERT_THAT(world.waiting(), SizeIs(kFilmClips));
  const Review whole = world.decided();
  Review review = whole;
  const std::vector<std::string> lists = split_lists(review);
  ASSERT_GT(lists.size(), 10U);
  Review again = review;
  join_lists(again, lists);
  again.clear_lists();
  EXPECT_EQ(again.SerializeAsString(), whole.SerializeAsString());
  Review small;
  small.set_at(whole.at());
  *small.add_decision() = whole.decision(0);
  EXPECT_THAT(split_lists(small), SizeIs(0));

  const std::string note = world.note(review, world.approver);
  const auto taken = [&](const std::vector<Fact>& facts) {
    return error_of([&] { world.append(facts); });
  };
  const uint64_t before = Store(world.ledger, Access::read).size();
  // Some of what was signed, in another order, changed; by somebody else; in one record.
  std::vector<Fact> facts = review_facts(note, lists);
  EXPECT_THAT(taken({facts.begin() + 1, facts.end()}), HasSubstr("not those that were signed"));
  EXPECT_THAT(taken({facts.back()}), HasSubstr("not those that were signed"));
  auto swapped = lists;
  std::swap(swapped[0], swapped[1]);
  EXPECT_THAT(taken(review_facts(note, swapped)), HasSubstr("not those that were signed"));
  auto changed = lists;
  changed[3] = replaced(changed[3], "release: FACE", "keep_out: FACE");
  EXPECT_THAT(taken(review_facts(note, changed)), HasSubstr("not those that were signed"));
  EXPECT_THAT(taken(review_facts(world.note(review, world.licensee), lists)),
              StartsWith("permission"));
  EXPECT_THAT(taken(review_facts(world.note(whole, world.approver), {})),
              HasSubstr("the most is 65535"));
  Review twice = whole;
  *twice.add_decision() = whole.decision(0);
  const auto doubled = split_lists(twice);
  EXPECT_THAT(taken(review_facts(world.note(twice, world.approver), doubled)),
              HasSubstr("is decided twice"));
  Review unknown = whole;
  unknown.mutable_decision(kFilmClips / 2)->set_clip(digest_name(sha256("no clip")));
  const auto of_none = split_lists(unknown);
  EXPECT_NE(taken(review_facts(world.note(unknown, world.approver), of_none)), "");
  {
    const Store store(world.ledger, Access::read);
    EXPECT_EQ(store.size(), before);
    EXPECT_THAT(error_of([&] { review_records(store, note, swapped); }), StartsWith("corrupt"));
    EXPECT_THAT(review_records(store, note, lists), SizeIs(lists.size() + 1));
  }
  EXPECT_THAT(world.waiting(), SizeIs(kFilmClips));

  // Lists alone, as whoever is stopped in between two appends would leave them, say nothing.
  EXPECT_EQ(taken({facts.begin(), facts.end() - 1}), "");
  EXPECT_THAT(world.waiting(), SizeIs(kFilmClips));
  EXPECT_EQ(world.count("decided_clip"), 0);
  EXPECT_EQ(taken(facts), "");
  EXPECT_EQ(taken(facts), "");  // again is nothing new
  EXPECT_EQ(world.count("review"), 1);
  EXPECT_EQ(world.count("decided_clip"), static_cast<int64_t>(kFilmClips));
  const auto left = world.waiting();
  ASSERT_THAT(left, SizeIs(1));
  EXPECT_EQ(left[0].start_us, (kFilmClips - 1) * 1'000'000);
  EXPECT_TRUE(verify_ledger(world.ledger, {}).findings.empty());
  const Store store(world.ledger, Access::read);
  const auto told = tell_story(store, store.find(subject_key_of("clip", id_of(17))).at(0));
  EXPECT_TRUE(std::any_of(told.chapters.begin(), told.chapters.end(),
                          [](const Chapter& chapter) { return chapter.title == "review"; }));
}

// Of a later one in lists and an earlier one in its record the one decided last counts.
TEST(ReviewLists, CountLikeAnyOther) {
  Feature world;
  const Review whole = world.decided();
  Review released = whole;
  const auto lists = split_lists(released);
  world.append(review_facts(world.note(released, world.approver), lists));
  Review taken_back;
  taken_back.set_at(format_time(now_us() + 60'000'000));
  Review::Decision& decision = *taken_back.add_decision();
  decision.set_clip(digest_name(sha256("clip 5")));
  decision.add_keep_out(Reason::FACE);
  world.append(review_facts(world.note(taken_back, world.approver), {}));
  EXPECT_THAT(world.waiting(), SizeIs(2));
  Review once_more = whole;
  once_more.set_at(format_time(now_us() + 120'000'000));
  const auto later = split_lists(once_more);
  EXPECT_EQ(later, lists);  // the records are there
  const uint64_t before = Store(world.ledger, Access::read).size();
  world.append(review_facts(world.note(once_more, world.approver), later));
  EXPECT_EQ(Store(world.ledger, Access::read).size(), before + 1);
  EXPECT_THAT(world.waiting(), SizeIs(1));
}

TEST(ReviewLists, WouldBeAppendedExactlyWhereTheyAre) {
  Feature world;
  const Review whole = world.decided();
  Review review = whole;
  const auto lists = split_lists(review);
  const uint64_t before = Store(world.ledger, Access::read).size();
  for (const SignerKey* key : {&world.licensee, &world.approver}) {
    const auto facts = review_facts(world.note(review, *key), lists);
    std::string would, does;
    {
      Store store(world.ledger, Access::append);
      would = error_of([&] { EXPECT_EQ(store.would_append(facts).added, facts.size()); });
      EXPECT_EQ(store.size(), before);
      EXPECT_EQ(store.db().integer("SELECT COUNT(*) FROM review_list"), 0);
      does = error_of([&] { store.append(facts); });
    }
    EXPECT_EQ(would, does);
    EXPECT_EQ(would.empty(), key == &world.approver);
  }
  EXPECT_EQ(Store(world.ledger, Access::read).size(), before + lists.size() + 1);
  EXPECT_TRUE(verify_ledger(world.ledger, {}).findings.empty());
}

}  // namespace
}  // namespace cleared::ledger
