#include "ledger/witness_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ledger/base/bytes.h"
#include "ledger/base/file.h"
#include "ledger/cosignature.h"
#include "ledger/digest.h"
#include "ledger/tree_head.h"
#include "tests/ledger/world.h"

namespace cleared::ledger {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr uint64_t kTime = 1'800'000'000;

// A log, five witnesses, and tree heads that some of them cosigned.
struct Parties {
  SignerKey log = new_signer_key("example.com/log");
  std::vector<SignerKey> witnesses;
  Parties() {
    for (const char* name : {"a.example", "b.example", "c.example", "d.example", "e.example"}) {
      witnesses.push_back(new_signer_key(name, SignatureType::ed25519_cosignature));
    }
  }
  // Lines for the log and the witnesses a to e.
  std::string keys() const {
    std::string out = "log " + format_verifier_key(log.verifier) + "\n";
    for (size_t i = 0; i < witnesses.size(); ++i) {
      out += std::string("witness ") + static_cast<char>('a' + i) + ' ' +
             format_verifier_key(witnesses[i].verifier) + '\n';
    }
    return out;
  }
  Note head(std::string_view who) const {
    Note note{format_tree_head({"example.com/log", 12, {}}), {}};
    add_signature(note, log);
    for (const char c : who) {
      const SignerKey& witness = witnesses[static_cast<size_t>(c - 'a')];
      add_signature(note, cosign(note.text, witness, kTime + static_cast<uint64_t>(c - 'a')));
    }
    return note;
  }
};

TEST(WitnessPolicy, OfPublicWitnesses) {
  const WitnessPolicy policy = parse_witness_policy(read_file("ledger/data/public.policy"));
  EXPECT_EQ(policy.witnesses.size(), 4U);
  EXPECT_EQ(policy.witnesses[2].url, "https://remora.n621.de/");
  Note note = parse_note(read_file("ledger/data/public.checkpoint"));
  const QuorumAnswer answer = quorum_met(policy, note);
  EXPECT_TRUE(answer.met);
  EXPECT_EQ(answer.log, "arche2025h1.staging.ct.transparency.dev");
  ASSERT_EQ(answer.cosigned.size(), 4U);
  EXPECT_EQ(answer.cosigned[3].witness, "stagemole");
  note.signatures.resize(4);  // two of the log, two witnesses
  EXPECT_FALSE(quorum_met(policy, note).met);
}

TEST(WitnessPolicy, DecidesByGroups) {
  const Parties p;
  struct Case {
    const char* rules;
    const char* cosigned;
    bool met;
  };
  const char* two_levels =
      "group x 2 a b c\n"
      "group y any d e\n"
      "group both all x y\n"
      "quorum both\n";
  const Case cases[] = {
      {"quorum none\n", "", true},
      {"quorum a\n", "", false},
      {"quorum a\n", "a", true},
      {"quorum a\n", "bcde", false},
      {"group g all a b\nquorum g\n", "a", false},
      {"group g all a b\nquorum g\n", "ab", true},
      {"group g any a b\nquorum g\n", "b", true},
      {"group g any a b\nquorum g\n", "c", false},
      {"group g 2 a b c\nquorum g\n", "c", false},
      {"group g 2 a b c\nquorum g\n", "ca", true},
      {"group g 3 a b c\nquorum g\n", "ca", false},
      {"group g any a\ngroup h all g\nquorum h\n", "a", true},
      {"group g all a b\nquorum c\n", "c", true},  // a group that nothing uses
      {two_levels, "abd", true},
      {two_levels, "ab", false},
      {two_levels, "ade", false},
      {two_levels, "abcde", true},
  };
  for (const auto& [rules, cosigned, met] : cases) {
    const QuorumAnswer answer =
        quorum_met(parse_witness_policy(p.keys() + rules), p.head(cosigned));
    EXPECT_EQ(answer.met, met) << rules << "cosigned by " << cosigned;
    EXPECT_EQ(answer.cosigned.size(), std::string_view(cosigned).size());
  }
}

TEST(WitnessPolicy, SaysWhoAndWhen) {
  const Parties p;
  const auto policy = parse_witness_policy(p.keys() + "quorum none\n");
  const QuorumAnswer answer = quorum_met(policy, p.head("db"));
  ASSERT_EQ(answer.cosigned.size(), 2U);
  EXPECT_EQ(answer.cosigned[0].witness, "b");
  EXPECT_EQ(answer.cosigned[0].unix_seconds, kTime + 1);
  EXPECT_EQ(answer.cosigned[1].witness, "d");
  EXPECT_EQ(answer.log, "example.com/log");
}

TEST(WitnessPolicy, FailsClosed) {
  const Parties p;
  const auto policy = parse_witness_policy(p.keys() + "group g 1 a b\nquorum g\n");
  const Note good = p.head("a");
  ASSERT_TRUE(quorum_met(policy, good).met);

  Note note = good;  // a bad line of a witness that is not even needed
  note.signatures.push_back(cosign(note.text, p.witnesses[1], kTime));
  note.signatures.back().signature[20] ^= 1;
  EXPECT_FALSE(quorum_met(policy, note).met);
  EXPECT_THAT(quorum_met(policy, note).bad, testing::ElementsAre("b"));

  note = good;
  note.signatures[0].signature[0] ^= 1;  // the log's
  EXPECT_FALSE(quorum_met(policy, note).met);

  note = good;
  note.signatures.erase(note.signatures.begin());  // no log
  EXPECT_FALSE(quorum_met(policy, note).met);

  note = Note{"no tree head\n", {}};
  add_signature(note, p.log);
  EXPECT_FALSE(quorum_met(policy, note).met);

  // The log's key under the head of another log.
  note = Note{format_tree_head({"example.com/other", 12, {}}), {}};
  add_signature(note, p.log);
  add_signature(note, cosign(note.text, p.witnesses[0], kTime));
  EXPECT_FALSE(quorum_met(policy, note).met);

  // Lines of keys that the policy does not name are not looked at.
  note = good;
  note.signatures.push_back({"stranger.example", 7, std::string(2428, 'x')});
  EXPECT_TRUE(quorum_met(policy, note).met);

  EXPECT_FALSE(quorum_met(WitnessPolicy{}, good).met);  // names no quorum
}

TEST(WitnessPolicy, WithoutLogsLeavesThemToTheCaller) {
  const Parties p;
  std::string text = p.keys() + "quorum a\n";
  text.erase(0, text.find('\n') + 1);
  EXPECT_TRUE(quorum_met(parse_witness_policy(text), p.head("a")).met);
}

TEST(WitnessPolicy, TakesWhatTheSpecificationAllows) {
  const Parties p;
  const std::string log = format_verifier_key(p.log.verifier);
  const std::string a = format_verifier_key(p.witnesses[0].verifier);
  const std::string cases[] = {
      "quorum none\n",
      "# comment\n\n \t \n  # more\nquorum none\n",
      "\tquorum \t none \t\n",
      "log " + log + " https://example.com/log\nquorum none\n",
      "witness w\xff\xc3 " + a + "\nquorum w\xff\xc3\n",  // octets above 0x7f are just octets
      "witness #w " + a + "\nquorum #w\n",
      "witness w " + a +
          " https://w.example/\xc3\xbc\ngroup all all w\ngroup any 1 all\nquorum any\n",
      "quorum none\nwitness w " + a + "\n",
  };
  for (const std::string& text : cases) {
    EXPECT_EQ(error_of([&] { parse_witness_policy(text); }), "") << text;
  }
  std::string many;  // at least 32 of each
  std::string group = "group all 20";
  for (int i = 0; i < 40; ++i) {
    const std::string n = std::to_string(i);
    many += "log " + format_verifier_key(new_signer_key("log" + n).verifier) + '\n';
    many +=
        "witness w" + n + ' ' +
        format_verifier_key(new_signer_key("w" + n, SignatureType::ed25519_cosignature).verifier) +
        '\n';
    many += "group g" + n + " any w" + n + '\n';
    group += " g" + n;
  }
  EXPECT_EQ(parse_witness_policy(many + group + "\nquorum all\n").groups.size(), 41U);
}

TEST(WitnessPolicy, RefusesWithTheLine) {
  const Parties p;
  const std::string log = format_verifier_key(p.log.verifier);
  const std::string a = format_verifier_key(p.witnesses[0].verifier);
  const std::string b = format_verifier_key(p.witnesses[1].verifier);
  const std::string two = "witness a " + a + "\nwitness b " + b + "\n";
  struct Case {
    std::string text;
    const char* want;
  };
  const Case cases[] = {
      {"", "corrupt: witness policy: has no quorum line"},
      {"# only a comment\n", "corrupt: witness policy: has no quorum line"},
      {"quorum none", "corrupt: witness policy: line 1: does not end"},
      {"quorum none\nquorum none\n", "corrupt: witness policy: line 2: a second quorum"},
      {"quorum\n", "corrupt: witness policy: line 1: must be"},
      {"quorum none # why\n", "corrupt: witness policy: line 1: must be"},
      {"quorum a\n", "corrupt: witness policy: line 1: a is not defined"},
      {"quorum a\nwitness a " + a + "\n", "corrupt: witness policy: line 1: a is not defined"},
      {"Quorum none\n", "corrupt: witness policy: line 1: begins with none"},
      {"quorum none\r\n", "corrupt: witness policy: line 1: has control"},
      {std::string("quorum none\0\n", 13), "corrupt: witness policy: line 1: has control"},
      {"quorum none\x7f\n", "corrupt: witness policy: line 1: has control"},
      {"quorum\vnone\n", "corrupt: witness policy: line 1: has control"},
      {"log\nquorum none\n", "corrupt: witness policy: line 1: must be"},
      {"log " + log + " u v\nquorum none\n", "corrupt: witness policy: line 1: must be"},
      {"log " + log + "x\nquorum none\n", "corrupt: witness policy: line 1: verifier key"},
      {"\nlog " + a + "\nquorum none\n", "unsupported: witness policy: line 2: verifier key"},
      {"witness a " + log + "\nquorum none\n", "unsupported: witness policy: line 1: verifier key"},
      {"log " + log + "\nlog " + log + "\nquorum none\n",
       "corrupt: witness policy: line 2: a log with this key"},
      {"witness a " + a + "\nwitness b " + a + "\nquorum none\n",
       "corrupt: witness policy: line 2: a witness with this key"},
      {"witness a " + a + "\nwitness a " + b + "\nquorum a\n",
       "corrupt: witness policy: line 2: the name a"},
      {"witness none " + a + "\nquorum none\n", "corrupt: witness policy: line 1: the name none"},
      {"witness a\nquorum none\n", "corrupt: witness policy: line 1: must be"},
      {"witness a " + a + " u v\nquorum none\n", "corrupt: witness policy: line 1: must be"},
      {two + "group g any\nquorum g\n", "corrupt: witness policy: line 3: must be"},
      {two + "group a any b\nquorum a\n", "corrupt: witness policy: line 3: the name a"},
      {two + "group none any b\nquorum none\n", "corrupt: witness policy: line 3: the name none"},
      {two + "group g 0 a\nquorum g\n", "corrupt: witness policy: line 3: the threshold"},
      {two + "group g 3 a b\nquorum g\n", "corrupt: witness policy: line 3: the threshold"},
      {two + "group g -1 a\nquorum g\n", "corrupt: witness policy: line 3: the threshold"},
      {two + "group g +1 a\nquorum g\n", "corrupt: witness policy: line 3: the threshold"},
      {two + "group g 01 a\nquorum g\n", "corrupt: witness policy: line 3: the threshold"},
      {two + "group g 1x a\nquorum g\n", "corrupt: witness policy: line 3: the threshold"},
      {two + "group g 99999999999999999999 a\nquorum g\n",
       "corrupt: witness policy: line 3: the threshold"},
      {two + "group g some a\nquorum g\n", "corrupt: witness policy: line 3: the threshold"},
      {two + "group g any c\nquorum g\n", "corrupt: witness policy: line 3: member c"},
      {two + "group g any g\nquorum g\n", "corrupt: witness policy: line 3: member g"},
      {two + "group g any none\nquorum g\n", "corrupt: witness policy: line 3: member none"},
      {two + "group g 2 a a\nquorum g\n", "corrupt: witness policy: line 3: a is a member"},
      {two + "group g any a\ngroup h any a\nquorum g\n",
       "corrupt: witness policy: line 4: a is a member"},
      {std::string(1'000'001, '\n'), "corrupt: witness policy: longer"},
  };
  for (const auto& [text, want] : cases) {
    EXPECT_THAT(error_of([&, t = text] { parse_witness_policy(t); }), StartsWith(want))
        << text.substr(0, 300);
  }
}

// Two names for one key are one witness.
TEST(WitnessPolicy, ComparesKeysNotNames) {
  const SignerKey one = new_signer_key("one.example", SignatureType::ed25519_cosignature);
  const Digest id = sha256("two.example\n\x04" + one.verifier.key);
  const std::string two = "two.example+" + to_hex(ByteView(id.bytes).first(4)) + '+' +
                          to_base64(as_bytes('\x04' + one.verifier.key));
  EXPECT_EQ(parse_verifier_key(two).key, one.verifier.key);
  EXPECT_THAT(error_of([&] {
                parse_witness_policy("witness a " + format_verifier_key(one.verifier) +
                                     "\nwitness b " + two + "\nquorum none\n");
              }),
              HasSubstr("line 2: a witness with this key"));
}

}  // namespace
}  // namespace cleared::ledger
