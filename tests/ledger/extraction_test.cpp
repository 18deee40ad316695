// Does a licence that limits memorisation hold weights back until somebody tested them?
#include "ledger/extraction.h"

#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ledger/base/file.h"
#include "ledger/rights.h"
#include "tests/ledger/runs.h"

namespace cleared::ledger {
namespace {

using testing::HasSubstr;

struct Tested : RunWorld {
  static void terms(size_t, LicenceText& terms) {
    terms.mutable_limits()->set_memorisation_max(0.125);
    for (const Use use : {RELEASE_WEIGHTS, GENERATE_COMMERCIAL, GENERATE_INTERNAL, EVALUATE}) {
      terms.mutable_allows()->add_use(use);
    }
    if (terms.allows().release_territory().empty())
      terms.mutable_allows()->add_release_territory("*");
  }
  Tested() : RunWorld({{"LIC-1", 3}}, terms) {
    RunOf run = begin_run("run-1-aaaaaaaa00000000");
    span(run, 10, {{0, {{1, 3}, {1, 4}, {1, 5}}}});
    sign();
    weights = run.parent;
    ExtractionTest& t = *text.mutable_extraction();
    t.set_weights("sha256:" + weights);
    t.set_at("2026-11-28T00:00:00Z");
    t.set_clips(16);
    t.set_copies(2);
    t.set_copy_bits(31);
    t.set_compared(3);
    t.set_consumed(3);
    t.set_captions(3);
    t.set_steps(24);
    t.set_guidance(2);
    t.set_seed(0);
  }
  std::string rule(Use use, const std::optional<ExtractionTest>& test) const {
    const Store store(ledger, Access::read);
    Statement last(store.db(), "SELECT MAX(seq) FROM checkpoint");
    last.next();
    Purpose purpose = World::purpose();
    return judge_checkpoint(store, Rights(store), last.unsigned_integer(0),
                            Act{use, 0, &purpose, "US"}, 0, test)
        .verdict.rule;
  }
  ExtractionTest read(const SignerKey& key) const {
    write_file(folder / "a.extraction", sign_text(format_textproto(text), {&key}));
    const Store store(ledger, Access::read);
    return read_extraction(folder / "a.extraction", store.authority(), store.size());
  }
  std::string weights;
  ExtractionText text;
};

TEST(Extraction, WeightsGoOutOnlyWithATestOfThem) {
  const Tested world;
  for (const Use use : {RELEASE_WEIGHTS, GENERATE_COMMERCIAL}) {
    EXPECT_EQ(world.rule(use, {}), "memorisation_untested");
    EXPECT_EQ(world.rule(use, world.text.extraction()), "cleared");
  }
  // Inside the house nothing is asked: it is how the test itself is made.
  for (const Use use : {GENERATE_INTERNAL, EVALUATE}) EXPECT_EQ(world.rule(use, {}), "cleared");
}

TEST(Extraction, SaysNothingThatItDidNotTest) {
  const Tested world;
  struct Case {
    const char* rule;
    std::function<void(ExtractionTest&)> change;
  };
  const Case cases[] = {
      {"memorisation_exceeded", [](ExtractionTest& t) { t.set_copies(3); }},
      {"memorisation_exceeded", [](ExtractionTest& t) { t.set_copies(16); }},
      {"cleared", [](ExtractionTest& t) { t.set_copies(0); }},
      {"memorisation_untested",
       [](ExtractionTest& t) { t.set_weights(digest_name(sha256("others"))); }},
      {"memorisation_untested", [](ExtractionTest& t) { t.set_clips(15), t.set_copies(0); }},
      {"memorisation_untested", [](ExtractionTest& t) { t.set_copy_bits(30); }},
      // Clips of captions of the trainer's choice, or hardly sampled.
      {"memorisation_untested", [](ExtractionTest& t) { t.set_captions(2); }},
      {"memorisation_untested", [](ExtractionTest& t) { t.set_steps(23); }},
      {"cleared", [](ExtractionTest& t) { t.set_steps(50), t.set_seed(9), t.set_guidance(7); }},
      // As before they were in the note.
      {"memorisation_untested", [](ExtractionTest& t) { t.clear_captions(); }},
      {"memorisation_untested", [](ExtractionTest& t) { t.clear_steps(); }},
      {"memorisation_untested", [](ExtractionTest& t) { t.clear_guidance(); }},
      {"memorisation_untested", [](ExtractionTest& t) { t.clear_seed(); }},
      {"cleared", [](ExtractionTest& t) { t.set_copy_bits(40); }},
      {"memorisation_untested", [](ExtractionTest& t) { t.set_compared(2); }},
      // That is all, it says; the record knows of more.
      {"memorisation_untested", [](ExtractionTest& t) { t.set_compared(2), t.set_consumed(2); }},
      {"memorisation_untested", [](ExtractionTest& t) { t.set_consumed(4); }},
  };
  for (const auto& [rule, change] : cases) {
    ExtractionTest test = world.text.extraction();
    change(test);
    EXPECT_EQ(world.rule(RELEASE_WEIGHTS, test), rule) << test.ShortDebugString();
  }
}

TEST(Extraction, IsReadOnlyFromATrainer) {
  Tested world;
  EXPECT_EQ(world.read(world.trainer).clips(), 16U);
  EXPECT_THAT(error_of([&] { world.read(world.approver); }), HasSubstr("trainer"));
  world.text.mutable_extraction()->set_captions(4);  // of three that were consumed
  EXPECT_THAT(error_of([&] { world.read(world.trainer); }), HasSubstr("contradicts itself"));
  world.text.mutable_extraction()->set_captions(3);
  world.text.mutable_extraction()->set_copies(17);
  EXPECT_THAT(error_of([&] { world.read(world.trainer); }), HasSubstr("contradicts itself"));
}

}  // namespace
}  // namespace cleared::ledger
