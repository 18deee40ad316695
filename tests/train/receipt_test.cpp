#include "train/receipt.h"

#include <gtest/gtest.h>

#include "ledger/base/error.h"
#include "ledger/digest.h"
#include "ledger/key.h"
#include "ledger/note.h"
#include "ledger/notes.pb.h"
#include "ledger/record.pb.h"
#include "ledger/textproto.h"
#include "train/totals.h"

namespace cleared::train {
namespace {

const Digest kA = ledger::sha256("A"), kB = ledger::sha256("B"), kC = ledger::sha256("C");

// Two shards, A and C in one of them.
std::shared_ptr<const Places> places() {
  const Digest one = ledger::sha256("one"), two = ledger::sha256("two");
  return std::make_shared<const Places>(
      Places{{kA, {one, 7, 1'000'000}}, {kB, {two, 0, 2'000'000}}, {kC, {one, 5, 1'500'000}}});
}

Span example() {
  Span span(0, places());
  const Digest fitted[] = {kA, kB};
  span.codec(fitted);
  span.step({.step = 0, .loss = 2.0F, .gradient_norm = 0.5F, .applied = true, .samples = {kB, kA}});
  span.step(
      {.step = 1, .loss = 1.5F, .gradient_norm = 1e30F, .applied = false, .samples = {kC, kB}});
  return span;
}

// Known answers: make_receipt.py beside this file, Python 3 and no packages.
TEST(Receipt, HasTheRootsOfItsLinesAndRecords) {
  const Span span = example();
  EXPECT_EQ(to_hex(span.steps_root()),
            "6097f6a43b7c300e67d1d5f93d8cab315046d1cc4abfcc794890a81c0d4821bf");
  EXPECT_EQ(to_hex(span.consumed_root("tiny-0123")),
            "3f518424da7616c1b9f97059692d8ef64219cc15ea94881f2875f124e0ed7492");
}

TEST(Receipt, CountsEveryPassAndWhereItBegan) {
  const Span span = example();
  ASSERT_EQ(span.consumed().size(), 3u);
  EXPECT_EQ(span.consumed().at(kA).passes, 2u);  // codec, step 0
  EXPECT_EQ(span.consumed().at(kB).passes, 3u);  // codec, step 0, step 1
  EXPECT_EQ(span.consumed().at(kC).passes, 1u);
  EXPECT_EQ(span.consumed().at(kC).first_step, 1u);
}

TEST(Receipt, ReadsTheLinesItWrites) {
  const Span span = example();
  const Span read =
      parse_span(span.text(), 0, "steps.txt",
                 std::make_shared<const Places>(parse_places(span.places_text(), "places.txt")));
  EXPECT_EQ(read.text(), span.text());
  EXPECT_EQ(read.places_text(), span.places_text());
  EXPECT_EQ(read.consumed_root("r"), span.consumed_root("r"));
  EXPECT_EQ(read.end_step(), 2u);
}

TEST(Receipt, RefusesLinesThatItWouldNotWrite) {
  const std::string hex = to_hex(kA);
  const std::string codec = "codec " + hex + "\n",
                    step = "step 0 loss 40000000 norm 3f000000 applied " + hex + "\n";
  EXPECT_EQ(parse_span(codec + step, 0, "steps.txt", places()).text(), codec + step);
  EXPECT_THROW(parse_span(step, 0, "steps.txt", places()), Error);
  EXPECT_THROW(parse_span("codec " + hex + "\nstep 3" + step.substr(6), 3, "steps.txt", places()),
               Error);
  const std::string bad[] = {
      codec + codec + step,                                        // twice
      codec + step + codec,                                        // behind a step
      "step 0 loss 40000000 norm 3f000000 applied " + hex,         // no newline
      "step 1 loss 40000000 norm 3f000000 applied " + hex + "\n",  // does not follow
      "step 00 loss 40000000 norm 3f000000 applied " + hex + "\n",
      "step 0 loss 4000000 norm 3f000000 applied " + hex + "\n",
      "step 0 loss 40000000 norm 3F000000 applied " + hex + "\n",
      "step 0 loss 40000000 norm 3f000000 perhaps " + hex + "\n",
      "step 0 loss 40000000 norm 3f000000 applied " + hex + " \n",
      "step 0 loss 40000000 norm 3f000000 applied " + hex.substr(1) + "\n",
      "step 0\n",
      "\n",
      "codec x\n",
  };
  for (const std::string& text : bad) {
    EXPECT_THROW(parse_span(text, 0, "steps.txt", places()), Error) << text;
    if (!text.starts_with("codec ")) {
      EXPECT_THROW(parse_span(codec + text, 0, "steps.txt", places()), Error) << text;
    }
  }
}

TEST(Receipt, IsSignedByTheTrainerAndSaysWhatTheSpanSays) {
  const ledger::SignerKey key = ledger::new_signer_key("trainer");
  const Span span = example();
  ReceiptFacts facts;
  facts.run = "tiny-0123";
  facts.origin = "test.example/ledger";
  facts.tree_root = ledger::digest_name(kB);
  facts.previous = kC;
  facts.weights = kA;
  const ledger::Note note = ledger::parse_note(write_receipt(span, facts, key));
  EXPECT_TRUE(ledger::signed_by(note, key.verifier));
  ledger::ReceiptText text;
  ledger::parse_textproto(note.text, "receipt", text);
  EXPECT_EQ(text.receipt().steps_root(), ledger::digest_name(span.steps_root()));
  EXPECT_EQ(text.receipt().consumed_root(), ledger::digest_name(span.consumed_root("tiny-0123")));
  EXPECT_EQ(text.receipt().samples(), 3u);
  EXPECT_EQ(text.receipt().end_step(), 2u);
  EXPECT_EQ(text.receipt().previous(), ledger::digest_name(kC));
  EXPECT_EQ(text.receipt().checkpoint(), ledger::digest_name(kA));
}

TEST(Receipt, KnowsWhereEverySampleLies) {
  EXPECT_EQ(example().sample_us(), 2 * 1'000'000U + 3 * 2'000'000U + 1'500'000U);
  const Digest stranger[] = {ledger::sha256("D")};
  EXPECT_THROW(Span(0, places()).codec(stranger), Error);
  const std::string hex = to_hex(kA);
  for (const std::string& text :
       {hex + " " + hex + " 1\n", hex + " " + hex + " 1 1", hex + " " + hex + " 1 x\n",
        hex + " " + hex + " 1 1\n" + hex + " " + hex + " 2 1\n", std::string("\n")}) {
    EXPECT_THROW(parse_places(text, "places.txt"), Error) << text;
  }
}

TEST(Totals, ReadOnlyWhatTheyWrite) {
  const Totals totals = {{kA, {3, kB}}, {kB, {1'000'000'000'000, kB}}};
  EXPECT_EQ(parse_totals(format_totals(totals), "totals"), totals);
  const std::string hex = to_hex(kA);
  const std::string end = " " + hex + "\n";
  for (const std::string& text :
       {hex + " 1 " + hex, hex + " 1\n", hex + end, hex + " x" + end, hex + " -1" + end, hex + "\n",
        hex + "  1" + end, hex + " 1 " + end, hex + " 1" + end + hex + " 1" + end,
        std::string("\n")}) {
    EXPECT_THROW(parse_totals(text, "totals"), Error) << text;
  }
}

}  // namespace
}  // namespace cleared::train
