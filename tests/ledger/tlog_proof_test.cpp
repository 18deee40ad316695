#include "ledger/tlog_proof.h"

#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ledger/base/clock.h"
#include "ledger/base/file.h"
#include "ledger/cosignature.h"
#include "ledger/merkle.h"
#include "ledger/tree_head.h"
#include "ledger/witness_policy.h"
#include "tests/ledger/world.h"

namespace cleared::ledger {
namespace {

using testing::StartsWith;

constexpr uint64_t kSize = 7;

std::string record(uint64_t i) {
  return "record " + std::to_string(i);
}

// A log of seven records, signed and cosigned.
struct Log {
  SignerKey key = new_signer_key("example.com/log");
  std::vector<Digest> leaves;
  std::string head;
  Log() {
    for (uint64_t i = 0; i < kSize; ++i) leaves.push_back(leaf_digest(as_bytes(record(i))));
    Note note{format_tree_head({key.verifier.name, kSize, root_digest(leaves)}), {}};
    add_signature(note, key);
    add_signature(note,
                  cosign(note.text, new_signer_key("w.example", SignatureType::ed25519_cosignature),
                         1'800'000'000));
    head = format_note(note);
  }
  TlogProof proof(uint64_t index) const {
    return {std::nullopt, index, inclusion_proof(leaves, index), head};
  }
};

TEST(TlogProof, EveryRecordOfALog) {
  const Log log;
  for (uint64_t i = 0; i < kSize; ++i) {
    TlogProof proof = parse_tlog_proof(format_tlog_proof(log.proof(i)));
    for (uint64_t j = 0; j < kSize; ++j) {
      EXPECT_EQ(verify_tlog_proof(proof, as_bytes(record(j)), log.key.verifier), i == j);
    }
    proof.extra = "anything";  // nobody signed it
    EXPECT_TRUE(verify_tlog_proof(proof, as_bytes(record(i)), log.key.verifier));
  }
}

// The example of docs/formats/proof.md and its neighbours verifies, and the pages show its very
// lines.
TEST(TlogProof, TheDocumentedExample) {
  const std::string text = read_file("ledger/data/example.tlog-proof");
  const TlogProof proof = parse_tlog_proof(text);
  const VerifierKey log = parse_verifier_key(
      "example.studio/ledger+10c7425a+AS7zI7RbjWECq9Q/nqingGFRFvol0X3oBcyYKClqGzQe");
  EXPECT_TRUE(verify_tlog_proof(proof, as_bytes("blue"), log));
  const std::string policy = read_file("ledger/data/example.policy");
  const QuorumAnswer answer = quorum_met(parse_witness_policy(policy), parse_note(proof.head));
  EXPECT_TRUE(answer.met);
  ASSERT_EQ(answer.cosigned.size(), 1U);
  EXPECT_EQ(format_time(answer.cosigned[0].unix_seconds * 1'000'000), "2026-01-01T00:00:00Z");
  const auto shows = [](const char* page, const std::string& lines) {
    const std::string shown = read_file(std::string("../docs/formats/") + page);
    std::istringstream in(lines);
    for (std::string line; std::getline(in, line);) {
      EXPECT_THAT(shown, testing::HasSubstr("    " + line + "\n")) << page;
    }
  };
  shows("proof.md", replaced(replaced(text, "\n\n", "\n"), "\n\n", "\n"));
  shows("cosignature.md", replaced(proof.head, "\n\n", "\n"));
  shows("witness-policy.md", policy);
}

TEST(TlogProof, NeedsThisLogsSignature) {
  const Log log;
  const TlogProof good = log.proof(3);
  const ByteView bytes = as_bytes("record 3");
  EXPECT_FALSE(verify_tlog_proof(good, bytes, new_signer_key("example.com/log").verifier));
  // Signed by the key, but of a log with another name.
  Note other{format_tree_head({"example.com/other", kSize, root_digest(log.leaves)}), {}};
  add_signature(other, log.key);
  TlogProof bad = good;
  bad.head = format_note(other);
  EXPECT_FALSE(verify_tlog_proof(bad, bytes, log.key.verifier));
  bad.head = "no note";
  EXPECT_FALSE(verify_tlog_proof(bad, bytes, log.key.verifier));
  bad = good;
  bad.index = 2;
  EXPECT_FALSE(verify_tlog_proof(bad, bytes, log.key.verifier));
  bad = good;
  bad.path.pop_back();
  EXPECT_FALSE(verify_tlog_proof(bad, bytes, log.key.verifier));
}

TEST(TlogProof, ReadsBackTheSameBytes) {
  const Log log;
  const std::string good = format_tlog_proof(log.proof(3));
  for (const std::string& text :
       {good, replaced(good, "index", "extra YWdl\nindex"),
        replaced(good, "index", "extra \nindex"),
        format_tlog_proof({std::nullopt, 18'446'744'073'709'551'615U, {}, log.head})}) {
    EXPECT_EQ(format_tlog_proof(parse_tlog_proof(text)), text);
  }
  EXPECT_EQ(parse_tlog_proof(replaced(good, "index", "extra YWdl\nindex")).extra, "age");
}

TEST(TlogProof, RefusesWhatIsMalformed) {
  const Log log;
  const std::string good = format_tlog_proof(log.proof(3));
  const std::string digest = to_base64(log.proof(3).path[0].bytes);
  const std::pair<const char*, std::string> cases[] = {
      {"empty", ""},
      {"another version", replaced(good, "@v1", "@v2")},
      {"no header", replaced(good, "c2sp.org/tlog-proof@v1\n", "")},
      {"no index", replaced(good, "index 3\n", "")},
      {"index twice", replaced(good, "index 3\n", "index 3\nindex 3\n")},
      {"leading zero", replaced(good, "index 3", "index 03")},
      {"sign", replaced(good, "index 3", "index +3")},
      {"two spaces", replaced(good, "index 3", "index  3")},
      {"space behind", replaced(good, "index 3", "index 3 ")},
      {"no number", replaced(good, "index 3", "index ")},
      {"2^64", replaced(good, "index 3", "index 18446744073709551616")},
      {"extra twice", replaced(good, "index", "extra YWdl\nextra YWdl\nindex")},
      {"extra behind", replaced(good, "index 3\n", "index 3\nextra YWdl\n")},
      {"extra without space", replaced(good, "index", "extra\nindex")},
      {"extra no base64", replaced(good, "index", "extra YWd\nindex")},
      {"extra with stray bits", replaced(good, "index", "extra YWd=\nindex")},
      {"31 bytes", replaced(good, digest, to_base64(ByteView(log.leaves[0].bytes).first(31)))},
      {"33 bytes", replaced(good, digest, to_base64(as_bytes(std::string(33, 'x'))))},
      {"no base64", replaced(good, digest, "-" + digest.substr(1))},
      {"cut base64", replaced(good, digest, digest.substr(0, 43))},
      {"space behind a digest", replaced(good, digest, digest + " ")},
      {"carriage returns", replaced(good, "index 3\n", "index 3\r\n")},
      {"no blank line", replaced(good, "\n\nexample", "\nexample")},
      {"two blank lines", replaced(good, "\n\nexample", "\n\n\nexample")},
      {"no head", good.substr(0, good.find("\n\n") + 2)},
      {"head without signature",
       replaced(good, log.head, log.head.substr(0, log.head.find("\n\n") + 2))},
      {"head cut", good.substr(0, good.size() - 1)},
      {"something behind", good + "x"},
      {"head of another form", replaced(good, "\n7\n", "\n07\n")},
      {"blank line behind", good + "\n"},
  };
  for (const auto& [name, text] : cases) {
    EXPECT_THAT(error_of([&, t = text] { parse_tlog_proof(t); }), StartsWith("corrupt: proof: "))
        << name;
  }
}

// Whatever byte of the file is changed, left out or doubled: it is refused, or does not verify, or
// only a line of the witness changed, whom the proof does not need.
TEST(TlogProof, EveryChangedByteIsNoticed) {
  const Log log;
  const std::string good = format_tlog_proof(log.proof(3));
  const size_t witness_line = good.find("\u2014 w.example");
  const auto holds = [&](const std::string& text) {
    try {
      return verify_tlog_proof(parse_tlog_proof(text), as_bytes("record 3"), log.key.verifier);
    } catch (const Error&) {
      return false;
    }
  };
  ASSERT_TRUE(holds(good));
  for (size_t i = 0; i < witness_line; ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 1);
    EXPECT_FALSE(holds(bad)) << "changed at " << i;
    bad = good;
    bad.erase(i, 1);
    EXPECT_FALSE(holds(bad)) << "left out at " << i;
    bad = good;
    bad.insert(i, 1, bad[i]);
    EXPECT_FALSE(holds(bad)) << "doubled at " << i;
  }
}

}  // namespace
}  // namespace cleared::ledger
