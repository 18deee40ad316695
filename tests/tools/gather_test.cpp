// Gathering a quorum from real witnesses behind real HTTP, all in this process.
#include "tools/gather.h"

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "ledger/base/error.h"
#include "ledger/cosignature.h"
#include "ledger/digest.h"
#include "ledger/merkle.h"
#include "tests/ledger/world.h"

namespace cleared::tools {
namespace {

using namespace cleared::ledger;

struct ServedWitness {
  TempFolder folder;
  SignerKey key;
  std::unique_ptr<Witness> witness;
  std::atomic<int> requests = 0;
  std::unique_ptr<HttpServer> server;

  ServedWitness(const std::string& name, const VerifierKey& log)
      : key(new_signer_key(name, SignatureType::ed25519_cosignature)) {
    const auto state = folder / "witness.db";
    WitnessState::create(state, key.verifier);
    WitnessState(state, Access::append).add_log(log);
    witness = std::make_unique<Witness>(state, key);
    server = std::make_unique<HttpServer>("127.0.0.1", 0, [this](const HttpRequest& request) {
      ++requests;
      const auto answer = witness->answer(request.body).answer;
      return HttpAnswer{answer.status, answer.content_type, answer.body};
    });
  }
};

struct Ring {
  SignerKey log = new_signer_key("log.example/film");
  std::vector<Digest> leaves;
  std::vector<std::unique_ptr<ServedWitness>> witnesses;
  WitnessPolicy policy;

  explicit Ring(size_t count, size_t threshold) {
    for (int i = 0; i < 50; ++i) leaves.push_back(sha256(std::to_string(i)));
    policy.logs.push_back({log.verifier, ""});
    WitnessPolicy::Group group{"all-of-them", threshold, {}};
    for (size_t i = 0; i < count; ++i) {
      const std::string name = "w" + std::to_string(i);
      witnesses.push_back(std::make_unique<ServedWitness>(name, log.verifier));
      policy.witnesses.push_back(
          {name, witnesses[i]->key.verifier,
           "http://127.0.0.1:" + std::to_string(witnesses[i]->server->port()) + "/"});
      group.members.push_back(name);
    }
    policy.groups.push_back(group);
    policy.quorum = group.name;
  }
  Note head(uint64_t size) const {
    Note note{
        format_tree_head({log.verifier.name, size, root_digest(std::span(leaves).first(size)), {}}),
        {}};
    add_signature(note, log);
    return note;
  }
  Gathered gather(const Note& note, const std::string& previous = "") const {
    return gather_cosignatures(policy, note,
                               [this](uint64_t from, uint64_t to) {
                                 return consistency_proof(std::span(leaves).first(to), from);
                               },
                               {.limits = {1 << 16, 5}, .previous = previous});
  }
  int requests() const {
    int sum = 0;
    for (const auto& witness : witnesses) sum += witness->requests.exchange(0);
    return sum;
  }
};

TEST(Gather, MoreWitnessesThanThreadsAllCosign) {
  const Ring ring(20, 20);
  const Gathered gathered = ring.gather(ring.head(7));
  EXPECT_TRUE(gathered.quorum.met);
  EXPECT_TRUE(gathered.failures.empty());
  EXPECT_EQ(gathered.note.signatures.size(), 21U);
  require_quorum(gathered);
}

TEST(Gather, ThePreviousHeadSparesAQuestionAndACosignatureThatIsThereAllOfThem) {
  const Ring ring(3, 3);
  const Gathered first = ring.gather(ring.head(7));
  EXPECT_EQ(ring.requests(), 3);
  EXPECT_TRUE(ring.gather(first.note).quorum.met);
  EXPECT_EQ(ring.requests(), 0);
  EXPECT_TRUE(ring.gather(ring.head(20)).quorum.met);
  EXPECT_EQ(ring.requests(), 6);  // 409 first
  const std::string previous = format_note(ring.gather(ring.head(20)).note);
  ring.requests();
  EXPECT_TRUE(ring.gather(ring.head(50), previous).quorum.met);
  EXPECT_EQ(ring.requests(), 3);
}

TEST(Gather, AQuorumThatIsNotMetSaysWhoFailedAndHow) {
  Ring ring(3, 2);
  ring.policy.witnesses[0].url = "";
  ring.witnesses[1]->server.reset();
  const Gathered gathered = ring.gather(ring.head(7));
  EXPECT_FALSE(gathered.quorum.met);
  EXPECT_EQ(gathered.note.signatures.size(), 2U);
  const std::string error = error_of([&] { require_quorum(gathered); });
  EXPECT_TRUE(error.starts_with("busy")) << error;
  for (const char* part : {"log.example/film", "1 cosigned", "w0: the policy names no URL",
                           "w1: http://127.0.0.1", "cannot connect"}) {
    EXPECT_NE(error.find(part), std::string::npos) << part << " is not in: " << error;
  }
  EXPECT_EQ(error.find("w2"), std::string::npos);
}

TEST(Gather, AWitnessThatContradictsIsNoReasonToTryAgain) {
  Ring ring(2, 2);
  EXPECT_TRUE(ring.gather(ring.head(9)).quorum.met);
  const Gathered behind = ring.gather(ring.head(8));
  EXPECT_TRUE(error_of([&] { require_quorum(behind); }).starts_with("corrupt"));
  ring.leaves[8] = sha256("another");
  const Gathered forked = ring.gather(ring.head(9));
  EXPECT_TRUE(error_of([&] { require_quorum(forked); }).starts_with("corrupt"));
}

TEST(Gather, AHeadThatTheLogDidNotSignIsNotPublishedByWitnessesAlone) {
  const Ring ring(1, 1);
  Note note = ring.gather(ring.head(3)).note;
  note.signatures.erase(note.signatures.begin());
  const Gathered gathered = ring.gather(note);
  EXPECT_NE(error_of([&] { require_quorum(gathered); }).find("no log of the policy"),
            std::string::npos);
}

}  // namespace
}  // namespace cleared::tools
