// Proofs of what the state says, as files. tests/tools/proof_files_test.py checks such files with
// code of its own, and Go's sumdb/tlog checks their intervals.
#include "ledger/subject_proof.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ledger/digest.h"
#include "ledger/projection.h"
#include "tests/ledger/world.h"

namespace cleared::ledger {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

const std::string kHexA(64, 'a');
const std::string kRawA(32, '\xaa');
const std::string kRun = "a@b-0123456789abcdef";

TEST(Subject, KeysAreThoseOfTheProjection) {
  const std::tuple<SubjectName, Digest, std::string> cases[] = {
      {{"clip", kHexA}, subject_key_of("clip", kRawA), "sha256:" + kHexA},
      {{"clip", "sha256:" + kHexA}, subject_key_of("clip", kRawA), "sha256:" + kHexA},
      {{"revocation", "LIC-1"}, subject_key_of("revocation", "LIC-1"), "LIC-1"},
      {{"revocation", "sha256:" + kHexA}, subject_key_of("revocation", kRawA), "sha256:" + kHexA},
      // The id of a licence may look like this; who writes it means a shard.
      {{"revocation", kHexA}, subject_key_of("revocation", kRawA), "sha256:" + kHexA},
      {{"licence", "LIC-1@2"}, subject_key_of("licence", "LIC-1@2"), "LIC-1@2"},
      {{"policy", "3"}, subject_key_of("policy", "3"), "3"},
      {{"receipt", kRun + "@7"}, step_key("receipt", kRun, 7), kRun + "@7"},
      {{"refusal", "a@b"}, subject_key_of("refusal", "a@b"), "a@b"},
      {{"measure", kHexA + "@bars"},
       subject_key("measure", {kRawA, "bars"}),
       "sha256:" + kHexA + "@bars"},
      {{"duplicate", kHexA + "@" + kHexA},
       subject_key("duplicate", {kRawA, kRawA}),
       "sha256:" + kHexA + "@sha256:" + kHexA},
  };
  for (const auto& [name, key, spelled] : cases) {
    EXPECT_EQ(key_of(name), key) << name.kind << " " << name.id;
    EXPECT_EQ(spelled_out(name).id, spelled) << name.id;
  }
}

TEST(Subject, WhatIsNoneIsRefused) {
  const SubjectName cases[] = {
      {"", "x"},
      {"clips", kHexA},
      {"state", "1"},
      {"clip", ""},
      {"clip", "abc"},
      {"clip", kHexA + "a"},
      {"clip", "SHA256:"},
      {"refusal", "a\nb"},
      {"licence", "LIC-1"},
      {"licence", "@1"},
      {"licence", "LIC-1@01"},
      {"erasure", "LIC-1"},
      {"key", "ann"},
      {"retirement", "ann+00000000+AQ=="},
      {"policy", "01"},
      {"policy", "newest"},
      {"run", "nano"},
      {"run", "-0123456789abcdef"},
      {"run", "nano-0123456789ABCDEF"},
      {"checkpoint", "nano@100"},
      {"receipt", kRun},
      {"receipt", kRun + "@"},
      {"receipt", "@7"},
      {"receipt", kRun + "@07"},
      {"receipt", kRun + "@-1"},
      {"revocation", "LIC-1@1"},
      {"revocation", "sha256:ab"},
      {"checkpoint", kRun + "@18446744073709551616"},
  };
  for (const SubjectName& name : cases) {
    EXPECT_THAT(error_of([&] { key_of(name); }), StartsWith("usage"))
        << name.kind << " " << name.id;
  }
}

// What the log says under this id it may say under another one: in the record's own words, by
// shard in place of sample, from another place, the other way round.
TEST(Subject, NoAbsenceOfWhatMayHaveAnotherId) {
  const std::string a(64, 'a'), b(64, 'b');
  const std::vector<SubjectName> cases = {{"refusal", "2026-12/stray.mp4"},
                                          {"consumed", kRun + "@10@" + a},
                                          {"consumed_shard", kRun + "@10@" + a + "@1"},
                                          {"fingerprint", a + "@1"},
                                          {"measure", a + "@nothing"},
                                          {"duplicate", a + "@" + b}};
  for (const SubjectName& name : cases) {
    EXPECT_THAT(error_of([&] { require_absence_says(name); }),
                testing::AllOf(StartsWith("usage"), HasSubstr("says nothing")))
        << name.kind;
    EXPECT_THAT(error_of([&] {
                  parse_subject_proof("cleared state proof v1\nabsent " + name.kind + "\nid " +
                                      spelled_out(name).id + "\n");
                }),
                testing::AllOf(StartsWith("corrupt"), HasSubstr("says nothing")))
        << name.kind;
  }
  require_absence_says({"revocation", "LIC-1"});
  require_absence_says({"sample", a});
}

TEST(Subject, OfARunIsSaidWithTheStepAtItsEnd) {
  EXPECT_EQ(in_words({"checkpoint", kRun + "@7"}),
            "checkpoint of " + kRun + " that ends at step 7");
  EXPECT_EQ(in_words({"receipt", kRun + "@7"}), "receipt of " + kRun + " that ends at step 7");
  EXPECT_EQ(in_words({"revocation", "LIC-1"}), "revocation of licence LIC-1");
}

SubjectProof proof_of(const Store& store, const SubjectName& name) {
  Store::StateProof state = store.prove_subject(key_of(name));
  SubjectProof out;
  out.subject = spelled_out(name);
  out.runs = state.runs;
  if (!store.find(key_of(name)).empty()) {
    out.present = true;
    for (size_t i = 0; i < state.runs.size(); ++i) {
      if (state.runs[i].low.key != key_of(name)) continue;
      out.seq = state.runs[i].low.seq;
      out.run = i;
      out.runs = {state.runs[i]};
    }
  }
  out.record = store.record_bytes(state.state_seq);
  out.proof = parse_tlog_proof(store.prove(state.state_seq));
  return out;
}

std::string subject_problem(const std::string& text, const SignerKey& log) {
  return error_of([&] { verify_subject_proof(parse_subject_proof(text), log.verifier); });
}

// A filled ledger of some hundred records, and the names of what is in it and what is not.
struct Stated : World {
  std::vector<SubjectName> there, missing;
  Stated() {
    fill();
    std::vector<Fact> facts;
    for (int i = 0; i < 300; ++i)
      facts.push_back(key(new_signer_key("k" + std::to_string(i)), "curator"));
    append(facts);
    Store(ledger, Access::append).sign_head(log);
    there = {{"licence", "LIC-1@1"},
             {"shard", root_hex()},
             {"approved", root_hex()},
             {"sample", to_hex(manifest.samples[0].digest)},
             {"source", to_hex(sha256("source a"))},
             {"key", format_verifier_key(licensor.verifier)}};
    missing = {{"licence", "LIC-1@2"},
               {"revocation", "LIC-1"},
               {"shard", kHexA},
               {"revocation", "sha256:" + root_hex()},
               {"erasure", "LIC-1@1"},
               {"key", format_verifier_key(new_signer_key("nobody").verifier)},
               {"checkpoint", kRun + "@100"},
               {"retirement", format_verifier_key(licensor.verifier)}};
  }
};

TEST(SubjectProof, SaysWhatTheLedgerHolds) {
  Stated world;
  const Store store(world.ledger, Access::read);
  for (const bool present : {true, false}) {
    for (const SubjectName& name : present ? world.there : world.missing) {
      const SubjectProof proof = proof_of(store, name);
      ASSERT_EQ(proof.present, present) << name.kind << " " << name.id;
      const std::string text = format_subject_proof(proof);
      EXPECT_EQ(format_subject_proof(parse_subject_proof(text)), text);
      EXPECT_EQ(subject_problem(text, world.log), "") << text;
      EXPECT_EQ(verify_subject_proof(proof, world.log.verifier).size, store.size() - 1);
      // The other answer, and the same about something else.
      SubjectProof bad = proof;
      bad.present = !present;
      EXPECT_THAT(error_of([&] { verify_subject_proof(bad, world.log.verifier); }),
                  HasSubstr("do not show it"));
      bad = proof;
      bad.subject = present ? world.missing[0] : world.there[0];
      EXPECT_THAT(error_of([&] { verify_subject_proof(bad, world.log.verifier); }),
                  HasSubstr("do not show it"));
      EXPECT_THAT(subject_problem(text, new_signer_key(world.log.verifier.name)),
                  HasSubstr("signed"));
    }
  }
}

TEST(SubjectProof, NoByteMayChangeGoOrCome) {
  Stated world;
  const Store store(world.ledger, Access::read);
  for (const SubjectName& name : {world.there[0], world.missing[1]}) {
    const std::string good = format_subject_proof(proof_of(store, name));
    ASSERT_EQ(subject_problem(good, world.log), "");
    for (size_t at = 0; at < good.size(); ++at) {
      std::string bad = good;
      for (const int flip : {1, 0x20}) {
        bad[at] = static_cast<char>(good[at] ^ flip);
        const bool other_name = subject_problem(bad, world.log).empty();
        // "LIC-1" changed to a licence that is not revoked either is a true statement.
        if (other_name && bad.substr(0, bad.find("\nrun")) != good.substr(0, good.find("\nrun"))) {
          EXPECT_FALSE(name.kind == "licence");
          continue;
        }
        EXPECT_THAT(subject_problem(bad, world.log), StartsWith("corrupt")) << at << " " << flip;
      }
      EXPECT_THAT(subject_problem(good.substr(0, at), world.log), StartsWith("corrupt")) << at;
      if (at < good.find("\nrun")) continue;
      EXPECT_THAT(subject_problem(good.substr(0, at) + good.substr(at + 1), world.log),
                  StartsWith("corrupt"))
          << at;
    }
  }
}

TEST(SubjectProof, SpeaksOnlyOfTheNewestHead) {
  Stated world;
  SubjectProof old;
  {
    Store store(world.ledger, Access::append);
    old = proof_of(store, {"revocation", "LIC-1"});
    store.append({world.revocation("licence", "LIC-1", world.licensor)});
    EXPECT_THAT(error_of([&] {
                  store.prove_subject(key_of({"revocation", "LIC-1"}));
                }),
                StartsWith("not_found"));
    store.sign_head(world.log);
    EXPECT_TRUE(proof_of(store, {"revocation", "LIC-1"}).present);
    // The old state under the new head.
    old.proof = parse_tlog_proof(store.prove(old.proof.index));
  }
  EXPECT_THAT(error_of([&] { verify_subject_proof(old, world.log.verifier); }),
              HasSubstr("not the last record"));
}

}  // namespace
}  // namespace cleared::ledger
