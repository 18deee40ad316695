// A proof that a clip was approved, for people who have nothing of the ledger but public keys: one
// approval signs the Merkle root over a batch of shards, and each shard's root is one over its
// samples, so two short paths lead from the line of a sample to what the approvers signed
// (docs/formats/approval.md). Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/base/bytes.h"
#include "ledger/notes.pb.h"
#include "ledger/shard.h"
#include "ledger/trust.h"

namespace cleared::ledger {

struct ApprovalProof {
  ManifestSample sample;  // its offset is not part of the proof and stays 0
  uint64_t sample_index = 0, samples = 0;
  std::vector<Digest> sample_path;  // up to the shard's root, nearest first
  Digest shard;                     // root
  uint64_t shard_index = 0, shards = 0;
  std::vector<Digest> shard_path;  // up to the batch's root
  std::string policy;              // the note of the policy in force at the approval; empty: none
  std::string approval;            // note
};

// Error{corrupt} with the line unless `text` is exactly what format_approval_proof writes and its
// notes are notes. Signatures and paths are not looked at yet.
ApprovalProof parse_approval_proof(std::string_view text);
std::string format_approval_proof(const ApprovalProof& proof);

struct ApprovalAnswer {
  std::string problem;  // empty: it verifies
  Approval approval;
  std::vector<std::string> signers;  // names of the roles that were asked for, sorted
  uint32_t policy_version = 0;       // 0: no policy was in force
};

// Do keys of `trust` approve the clip? They must meet what `trust` asks for the act "approve" and
// what the policy in the proof asks for, which a key of `trust` must have signed: a policy can add
// to what its reader demands, never take away. Whether the approval was revoked since is the
// ledger's to say.
ApprovalAnswer check_approval_proof(const ApprovalProof& proof, const Trust& trust);

}  // namespace cleared::ledger
