#include "ledger/range_proof.h"

#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ledger/base/file.h"
#include "ledger/merkle.h"
#include "ledger/tree_head.h"
#include "tests/ledger/world.h"

namespace cleared::ledger {
namespace {

using testing::StartsWith;

constexpr uint64_t kRangeLogSize = 13;

std::string nth_record(uint64_t i) {
  return "record " + std::to_string(i);
}

struct RangeLog {
  SignerKey key = new_signer_key("example.com/log");
  std::vector<Digest> leaves;
  std::string head;
  RangeLog() {
    for (uint64_t i = 0; i < kRangeLogSize; ++i)
      leaves.push_back(leaf_digest(as_bytes(nth_record(i))));
    Note note{format_tree_head({key.verifier.name, kRangeLogSize, root_digest(leaves)}), {}};
    add_signature(note, key);
    head = format_note(note);
  }
  RangeProof proof(uint64_t begin, uint64_t end) const {
    RangeProof out{begin, {}, range_proof(leaves, begin, end), head};
    for (uint64_t i = begin; i < end; ++i) out.records.push_back(nth_record(i));
    return out;
  }
};

TEST(RangeProof, EveryRangeOfALog) {
  const RangeLog log;
  for (uint64_t begin = 0; begin < kRangeLogSize; ++begin) {
    for (uint64_t end = begin + 1; end <= kRangeLogSize; ++end) {
      const std::string text = format_range_proof(log.proof(begin, end));
      const RangeProof good = parse_range_proof(text);
      EXPECT_EQ(format_range_proof(good), text);
      EXPECT_TRUE(verify_range_proof(good, log.key.verifier));
      RangeProof bad = good;
      ++bad.begin;
      EXPECT_FALSE(verify_range_proof(bad, log.key.verifier));
      bad = good;
      bad.records.emplace_back("one more");
      EXPECT_FALSE(verify_range_proof(bad, log.key.verifier));
      bad = good;
      bad.records.pop_back();
      EXPECT_FALSE(verify_range_proof(bad, log.key.verifier));
      bad = good;
      std::swap(bad.records.front(), bad.records.back());
      EXPECT_EQ(verify_range_proof(bad, log.key.verifier), end - begin == 1);
    }
  }
}

// The example of docs/formats/proof.md verifies, and the page shows its very lines.
TEST(RangeProof, TheDocumentedExample) {
  const std::string text = read_file("ledger/data/example.range-proof");
  const RangeProof proof = parse_range_proof(text);
  EXPECT_EQ(proof.records, (std::vector<std::string>{"green", "blue"}));
  EXPECT_TRUE(verify_range_proof(
      proof, parse_verifier_key(
                 "example.studio/ledger+10c7425a+AS7zI7RbjWECq9Q/nqingGFRFvol0X3oBcyYKClqGzQe")));
  const std::string page = read_file("../docs/formats/proof.md");
  std::istringstream lines(replaced(replaced(text, "\n\n", "\n"), "\n\n", "\n"));
  for (std::string line; std::getline(lines, line);) {
    EXPECT_THAT(page, testing::HasSubstr("    " + line + "\n"));
  }
}

TEST(RangeProof, NeedsThisLogsSignature) {
  const RangeLog log;
  RangeProof proof = log.proof(3, 9);
  EXPECT_FALSE(verify_range_proof(proof, new_signer_key("example.com/log").verifier));
  Note other{format_tree_head({"example.com/other", kRangeLogSize, root_digest(log.leaves)}), {}};
  add_signature(other, log.key);
  proof.head = format_note(other);
  EXPECT_FALSE(verify_range_proof(proof, log.key.verifier));
}

TEST(RangeProof, EveryChangedByteIsSeen) {
  const RangeLog log;
  const std::string good = format_range_proof(log.proof(3, 6));
  for (size_t i = 0; i < good.size(); ++i) {
    for (const char bit : {'\x01', '\x04', '\x20'}) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ bit);
      bool verifies = false;
      const std::string error = error_of(
          [&] { verifies = verify_range_proof(parse_range_proof(bad), log.key.verifier); });
      EXPECT_TRUE(error.empty() || error.starts_with("corrupt: range proof: ")) << error;
      EXPECT_FALSE(verifies) << i;
    }
  }
}

TEST(RangeProof, RefusesWhatIsMalformed) {
  const std::string good = format_range_proof(RangeLog().proof(3, 5));
  const std::string line = "record " + to_base64(as_bytes(nth_record(3))) + "\n";
  const std::string last = "record " + to_base64(as_bytes(nth_record(4))) + "\n";
  for (const std::string& bad :
       {std::string(), replaced(good, "v1", "v2"), replaced(good, "begin 3", "begin 03"),
        replaced(good, "begin 3", "begin -3"), replaced(good, "begin 3\n", ""),
        replaced(replaced(good, line, ""), last, ""), replaced(good, line, "record \n"),
        replaced(good, line, "record ====\n"), replaced(good, "\n\n", "\n" + line + "\n"),
        replaced(good, "\n\n", "\nsibling AAAA\n\n"), replaced(good, "\n\n", "\nx\n\n"),
        replaced(good, "\n\n", "\n"), good.substr(0, good.find("\n\n") + 2), good + "x"}) {
    EXPECT_THAT(error_of([&] { parse_range_proof(bad); }), StartsWith("corrupt: range proof: "))
        << bad;
  }
}

}  // namespace
}  // namespace cleared::ledger
