// Cosignatures from all witnesses of a policy, over HTTP: what makes a signed tree head one that
// counts as published. The protocol is in ledger/witness.h, the rule in ledger/witness_policy.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ledger/note.h"
#include "ledger/store.h"
#include "ledger/witness.h"
#include "ledger/witness_policy.h"
#include "tools/http.h"

namespace cleared::tools {

constexpr uint64_t kMaxPolicyBytes = 1 << 20;

// The policy that a ledger's heads must meet: of the file, or if `path` is empty the newest that
// the ledger holds, if any. Error{config} when it names no key that the log has now: no head could
// meet it, however often the witnesses are asked.
std::optional<ledger::WitnessPolicy> policy_for(const ledger::Store& store,
                                                const std::string& path);
// The same for the text of a policy, which errors call `where`.
ledger::WitnessPolicy policy_about(const ledger::Store& store, const std::string& text,
                                   const std::string& where);

struct GatherOptions {
  HttpLimits limits = {.body_bytes = 1 << 16, .timeout_s = 10};  // of one request; two at most each
  // The head published before this one, as a note with its cosignatures; may be empty. It spares
  // each witness that signed it a question.
  std::string previous;
};

struct Gathered {
  ledger::Note note;            // the head with every cosignature that verifies
  ledger::QuorumAnswer quorum;  // the policy's answer to that note
  struct Failure {
    std::string witness;  // its name in the policy
    std::string why;
    bool contradicts = false;  // ledger::AskedWitness::contradicts
  };
  std::vector<Failure> failures;  // in the order of the policy
};

// Asks every witness of the policy that has a URL and whose cosignature is not on `head` yet, 16 at
// a time. `prove` is called from other threads, one at a time. Never throws for what a witness
// does.
Gathered gather_cosignatures(const ledger::WitnessPolicy& policy, const ledger::Note& head,
                             const ledger::ConsistencyProver& prove,
                             const GatherOptions& options = {});

// Returns when the quorum is met and throws otherwise, naming each witness that failed and how:
// Error{corrupt} when one contradicts us (a fork or a rollback: trying again does not help), else
// Error{busy}.
void require_quorum(const Gathered& gathered);

}  // namespace cleared::tools
