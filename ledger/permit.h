// Approvals and permits as the ledger gives them: what may be trained on, by whom, until when.
// Answers that say no are thrown as Refused. One thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ledger/approval_proof.h"
#include "ledger/rights.h"
#include "ledger/shares.h"

namespace cleared::ledger {

struct PermitRequest {
  std::string run;
  Digest config_digest;
  Purpose purpose;
  uint32_t height_px = 0;       // of the frames that the model sees
  uint64_t draws = 0;           // samples the run will consume: steps * batch
  uint64_t drawn = 0;           // that it has consumed already, where it goes on
  uint64_t passes_before = 0;   // passes over every sample before the first step: fitting a codec
  uint64_t fit = 0;             // samples that are read for that, at most
  bool revocable_last = false;  // the config's sequence
  bool buckets = false;         // the config has some
  uint64_t hours = 24;          // 1 to 168
  bool leave_out_refused = false;  // go on without the shards that are refused
  std::string resumes;  // name of a run on record that goes on: what it consumed is counted
  std::string only;     // shards whose name starts like this; empty: all
  // Weights from elsewhere: digests that the config names, and those that are described by notes
  // which the caller has checked. All that are described go on the permit.
  std::vector<std::string> starts_from = {};
  std::vector<Foreign> foreign = {};
};

// A permit, and how the run will draw so that shares hold; no plan when it limits none.
struct PlannedPermit {
  PermitText text;
  std::optional<SharePlan> plan;
};
// The permit for every approved shard, to be signed and appended. The head is the newest signed
// one. Refused, too, when no order holds the shares.
PlannedPermit make_permit(const Store& store, const Rights& rights, const PermitRequest& request);

// The step up to which the record has the run: what it consumed until then is counted in what
// limits leave. Error{not_found} for a run without a checkpoint.
uint64_t end_of_run(const Store& store, const std::string& run);

// May this permit, which others have signed since it was made, still be recorded: the same terms,
// passes that nobody else was given, a tree head of this ledger. Refused, or Error{corrupt} when
// the ledger would write it differently now.
void check_permit(const Store& store, const Rights& rights, const Permit& permit);

// The gate's yes for finished weights (ledger/release.h), to be signed. It ends with the terms at
// the latest. Refused where `standing`, of judge_checkpoint() for just this, says no.
struct ReleaseRequest {
  Digest weights;
  Use use = GENERATE_INTERNAL;
  std::string model, field, territory;
  uint64_t hours = 24;  // 1 to 168
  Digest footage = {};  // of the file beside it, where a licence limits similarity
};
ReleaseText make_release(const Store& store, const CheckpointStanding& standing,
                         const ReleaseRequest& request);

// What a training node that knows the log's key asks for beside the permit (ledger/shard_proof.h).
std::string shard_proofs(const Store& store, const Permit& permit);

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
// The record of the approval that the shard of this record stands on: the newest one for `use` that
// has the signatures that the policy asks for now; without one the newest. Nothing when it was
// never approved for that.
std::optional<uint64_t> approval_of(const Store& store, uint64_t shard, Use use);
// The proof of that approval of a clip or a sample; `what` is the number of its record. Of several
// shards one that was not revoked. Error{not_found} when it was never approved for `use`.
ApprovalProof prove_approval(const Store& store, uint64_t what, Use use);
Fact approval_fact(const std::string& note, std::span<const Digest> shards);

}  // namespace cleared::ledger
