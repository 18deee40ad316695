// Approvals and permits as the ledger gives them: what may be trained on, by whom, until when.
// Answers that say no are thrown as Refused. One thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "ledger/rights.h"

namespace cleared::ledger {

struct PermitRequest {
  std::string run;
  Digest config_digest;
  Purpose purpose;
  uint32_t height_px = 0;      // of the frames that the model sees
  uint64_t draws = 0;          // samples the run will consume: steps * batch
  uint64_t passes_before = 0;  // passes over every sample before the first step: fitting a codec
  uint64_t hours = 24;         // 1 to 168
  bool leave_out_refused = false;  // go on without the shards that are refused
};

// The permit for every approved shard, to be signed and appended. The head is the newest signed
// one.
PermitText make_permit(const Store& store, const Rights& rights, const PermitRequest& request);

// One approval for several shards: what is to be signed, and the batch that it is about, sorted.
struct Batch {
  ApprovalText text;
  std::vector<Digest> shards;  // roots
};
constexpr size_t kMaxBatch = 1500;  // shards that a record can list

// Judges every shard (roots in hex) for `use`; Refused at the first that may not be used.
Batch make_approval(const Store& store, const Rights& rights, const std::vector<std::string>& roots,
                    Use use, const std::string& comment);
// Merkle root (RFC 6962) over the roots of shards: what an approval signs.
Digest batch_root(std::span<const Digest> shards);
Fact approval_fact(const std::string& note, std::span<const Digest> shards);

}  // namespace cleared::ledger
