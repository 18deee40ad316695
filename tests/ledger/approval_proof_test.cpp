// Proofs of approval, checked with public keys alone.
#include "ledger/approval_proof.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/merkle.h"
#include "ledger/textproto.h"
#include "tests/ledger/world.h"

namespace cleared::ledger {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

Trust trust_of(const std::vector<std::pair<std::string, const SignerKey*>>& keys,
               const std::string& needs = "") {
  std::string text = needs;
  for (const auto& [role, key] : keys) text += format_public_key({role, key->verifier}) + "\n";
  return parse_trust(text, "trust");
}

class ApprovalProofTest : public testing::Test {
 protected:
  ApprovalProofTest() {
    world.append({world.key(second, "approver")});
    world.fill();
    policy = sign_text(
        "policy {\n  version: 1\n  at: \"2026-01-02T03:04:05Z\"\n  rule {\n    act: APPROVE\n"
        "    role: \"approver\"\n    need: 2\n  }\n}\n",
        {&world.approver});
  }
  // What the clip of the world's shard would have as number `at` of a batch of `count` shards.
  ApprovalProof in_batch(size_t at, size_t count, const std::vector<const SignerKey*>& signers) {
    ApprovalProof proof = from_ledger();
    std::vector<Digest> leaves;
    for (size_t i = 0; i < count; ++i) {
      leaves.push_back(leaf_digest(i == at ? ByteView(proof.shard.bytes)
                                           : ByteView(sha256(std::to_string(i)).bytes)));
    }
    ApprovalText text;
    Approval& approval = *text.mutable_approval();
    approval.set_root(digest_name(root_digest(leaves)));
    approval.set_shards(static_cast<uint32_t>(count));
    approval.set_at("2026-01-02T03:04:05Z");
    approval.set_use(TRAIN);
    proof.shard_index = at;
    proof.shards = count;
    proof.shard_path = inclusion_proof(leaves, at);
    proof.approval = sign_text(format_textproto(text), signers);
    return proof;
  }
  ApprovalProof from_ledger() {
    const Store store(world.ledger, Access::read);
    return prove_approval(store, find("clip", sha256("clip 1")), TRAIN);
  }
  uint64_t find(const std::string& kind, const Digest& id) {
    const Store store(world.ledger, Access::read);
    Statement select(store.db(), "SELECT seq FROM " + kind + " WHERE id = ?");
    EXPECT_TRUE(select.with(to_hex(id)).next());
    return select.unsigned_integer(0);
  }
  World world;
  SignerKey second = new_signer_key("second-approver");
  std::string policy;
};

TEST_F(ApprovalProofTest, LeadsFromTheClipToTheApproversOfTheLedger) {
  const std::string text = format_approval_proof(from_ledger());
  const ApprovalProof proof = parse_approval_proof(text);
  EXPECT_EQ(format_approval_proof(proof), text);
  EXPECT_EQ(proof.sample.clip, sha256("clip 1"));
  EXPECT_EQ(proof.shard, shard_root(world.manifest));
  const ApprovalAnswer answer =
      check_approval_proof(proof, trust_of({{"approver", &world.approver}}));
  EXPECT_EQ(answer.problem, "");
  EXPECT_EQ(answer.signers, (std::vector<std::string>{"example-approver"}));
  EXPECT_EQ(answer.approval.use(), TRAIN);
  EXPECT_EQ(answer.policy_version, 0U);
}

TEST_F(ApprovalProofTest, StaysSmallInABatchOf1500) {
  for (const size_t at : {0U, 749U, 1499U}) {
    ApprovalProof proof = in_batch(at, 1500, {&world.approver, &second});
    proof.policy = policy;
    EXPECT_EQ(check_approval_proof(parse_approval_proof(format_approval_proof(proof)),
                                   trust_of({{"approver", &world.approver}, {"approver", &second}}))
                  .problem,
              "");
    EXPECT_LE(format_approval_proof(proof).size(), 3000U);
  }
}

TEST_F(ApprovalProofTest, CountsNamesOfTheRolesAskedFor) {
  const SignerKey rotated = new_signer_key("example-approver");
  const auto& a = world.approver;
  const std::string two = "need approve 2 approver\n";
  const Trust both = trust_of({{"approver", &a}, {"approver", &second}, {"approver", &rotated}});
  const Trust two_of_both =
      trust_of({{"approver", &a}, {"approver", &second}, {"approver", &rotated}}, two);
  struct Row {
    const char* says;
    Trust trust;
    std::vector<const SignerKey*> signers;
    std::string policy;
  };
  const Row rows[] = {
      {"", both, {&a}, ""},
      {"", two_of_both, {&a, &second}, ""},
      {"", two_of_both, {&rotated, &second}, policy},
      {"it needs 2 different names of role approver", two_of_both, {&a}, ""},
      {"it needs 2 different names of role approver", two_of_both, {&a, &rotated}, ""},
      {"it needs 2 different names of role approver", two_of_both, {&a, &world.licensor}, ""},
      {"it needs 1", trust_of({{"licensor", &a}}), {&a}, ""},
      {"it needs 1", trust_of({{"approver", &second}}), {&a}, ""},
      // The policy asks for more than the reader does.
      {"the policy in force asks for 2", both, {&a}, policy},
      {"", both, {&a, &second}, policy},
      // The reader asks for more than the policy does.
      {"it needs 2",
       two_of_both,
       {&a},
       sign_text(replaced(parse_note(policy).text, "need: 2", "need: 1"), {&a})},
      {"its policy is signed by nobody",
       both,
       {&a, &second},
       sign_text(parse_note(policy).text, {&world.trainer})},
      {"policy:", both, {&a, &second}, sign_text("not a policy\n", {&a})},
  };
  for (size_t i = 0; i < std::size(rows); ++i) {
    ApprovalProof proof = in_batch(1, 3, rows[i].signers);
    proof.policy = rows[i].policy;
    const std::string said = check_approval_proof(proof, rows[i].trust).problem;
    EXPECT_THAT(said, StartsWith(rows[i].says)) << "row " << i;
    EXPECT_EQ(said.empty(), std::string(rows[i].says).empty()) << "row " << i << said;
  }
}

TEST_F(ApprovalProofTest, EveryChangedByteIsSeen) {
  ApprovalProof proof = in_batch(1, 3, {&world.approver, &second});
  proof.policy = policy;
  const std::string good = format_approval_proof(proof);
  const Trust trust =
      trust_of({{"approver", &world.approver}, {"approver", &second}}, "need approve 2 approver\n");
  const auto holds = [&](const std::string& text) {
    try {
      return check_approval_proof(parse_approval_proof(text), trust).problem.empty();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Errc::corrupt) << error.what();
      return false;
    }
  };
  ASSERT_TRUE(holds(good));
  for (size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 1);
    EXPECT_FALSE(holds(bad)) << "byte " << at;
    EXPECT_FALSE(holds(good.substr(0, at) + good.substr(at + 1))) << "without byte " << at;
    if (at % 16 == 0) {
      EXPECT_FALSE(holds(good.substr(0, at))) << "the first " << at;
    }
  }
}

TEST_F(ApprovalProofTest, ParsesOnlyWhatFormatWrites) {
  const std::string good = format_approval_proof(in_batch(1, 3, {&world.approver}));
  const std::pair<const char*, const char*> changes[] = {{"v1", "v2"},
                                                         {"sample 1 2", "sample 1 2 "},
                                                         {"sample 1 2", "sample 01 2"},
                                                         {"sample", "sampler"},
                                                         {"policy none", "policy "},
                                                         {"policy none", "policy none "},
                                                         {"policy none", "policy ="},
                                                         {"shard ", "shard  "},
                                                         {"\n\n", "\n"},
                                                         {"\n\n", "\n \n"},
                                                         {"sample 1 2\n", "sample 1 2\n\n"},
                                                         {"sample 1 2\n", "sample 1 2\nAAAA\n"}};
  ASSERT_EQ(error_of([&] { parse_approval_proof(good); }), "");
  for (const auto& [from, to] : changes) {
    const std::string bad = replaced(good, from, to);
    EXPECT_THAT(error_of([&] { parse_approval_proof(bad); }), StartsWith("corrupt: "))
        << from << " -> " << to;
  }
}

// Of several approvals: what the policy asks for now, and of these the newest.
TEST_F(ApprovalProofTest, IsOfTheNewestThatIsValid) {
  const std::string one = from_ledger().approval;
  const auto approve = [&](const std::string& at, const std::vector<const SignerKey*>& signers) {
    const Digest shard = shard_root(world.manifest);
    const std::string note = sign_text(replaced(parse_note(one).text, "03:04:05Z", at), signers);
    world.append({approval_fact(note, {&shard, 1})});
    return note;
  };
  const std::string later = approve("03:04:06Z", {&world.approver});
  EXPECT_EQ(from_ledger().approval, later);
  const std::string two = approve("03:04:07Z", {&world.approver, &second});
  const std::string alone = approve("03:04:08Z", {&world.approver});
  EXPECT_EQ(from_ledger().approval, alone);
  Fact fact;
  fact.mutable_policy()->set_note(policy);
  world.append({fact});
  EXPECT_EQ(from_ledger().approval, two);
  const std::string newest = approve("03:04:09Z", {&world.approver, &second});
  EXPECT_EQ(from_ledger().approval, newest);
  EXPECT_NE(from_ledger().policy, "");
  const Store store(world.ledger, Access::read);
  const uint64_t clip = find("clip", sha256("clip 1"));
  EXPECT_THAT(error_of([&] { prove_approval(store, clip, FINETUNE); }),
              HasSubstr("was approved for FINETUNE"));
}

TEST_F(ApprovalProofTest, IsOfSomethingThatWasApproved) {
  const Store store(world.ledger, Access::read);
  EXPECT_THAT(error_of([&] { prove_approval(store, 0, TRAIN); }), StartsWith("not_found"));
  EXPECT_THAT(error_of([&] { prove_approval(store, 999, TRAIN); }), StartsWith("not_found"));
}

}  // namespace
}  // namespace cleared::ledger
