// What a revocation reaches: from a licence, a source, a clip or a shard to the runs and
// checkpoints that consumed it, the checkpoints that did not, and what training again without it
// costs. Read from the tables as they are; `ledger verify` says whether they are what the log says.
// For one thread, which starts others of its own.
//
// A checkpoint is touched when its span consumed one of the clips, or when the checkpoint that it
// continued from is touched; all others are clean. Training again means doing the spans of the
// touched checkpoints once more, from the last clean one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ledger/licence.pb.h"
#include "ledger/store.h"
#include "ledger/tlog_proof.h"

namespace cleared::ledger {

// Steps, footage and machines of one or more spans.
struct Price {
  uint64_t steps = 0;
  uint64_t sample_us = 0;   // passes times duration of all that was consumed
  uint64_t machine_us = 0;  // as the runs measured it
  bool measured = true;     // false: some of the spans did not say, and cost more than machine_us
};

struct CheckpointImpact {
  uint64_t seq = 0;  // its record
  uint64_t step = 0;
  std::string digest;
  bool touched = false;
};

struct RunImpact {
  uint64_t seq = 0;
  std::string run;
  uint64_t first_step = 0;     // the first whose weights know of a clip
  uint64_t end_step = 0;       // steps [first_step, end_step) are touched
  std::string through;         // empty, or the run whose touched checkpoint it continued from
  uint64_t first_receipt = 0;  // record of the receipt that first_step is of
  uint64_t passes = 0;         // of the clips, by the run itself
  uint64_t sample_us = 0;      // of the clips, by the run itself
  std::vector<CheckpointImpact> checkpoints;  // by step
  std::optional<CheckpointImpact> clean;      // the last clean one; none: begin from the seed
  std::string clean_run;                      // whose it is
  Price price;
};

struct ShardImpact {
  uint64_t seq = 0;
  std::string root, name;
  uint64_t samples = 0;  // of the clips
  uint64_t of = 0;       // in the shard
  uint64_t runs = 0;     // that consumed one of them
};

// A note by which a touched checkpoint was released (`ledger release --out`).
struct ReleaseImpact {
  uint64_t seq = 0;  // its record
  std::string run, checkpoint;
  uint64_t step = 0;
  std::string use, territory, issued_at, expires_at, signers;
  std::string taken_back;  // when what it stands on was revoked (view released), or empty
  bool runs = false;       // neither taken back nor ended
};

struct Impact {
  std::string what;             // "licence LIC-1", "clip ...", ...
  std::vector<uint64_t> about;  // records: the versions of the licence, or the thing itself
  uint64_t sources = 0;
  uint64_t clips = 0, consumed_clips = 0;
  std::vector<uint64_t> clip_records;  // rising
  uint64_t duration_us = 0;            // of the clips, once
  std::vector<ShardImpact> shards;
  std::vector<RunImpact> runs;          // touched ones, in the order of their records
  std::vector<ReleaseImpact> releases;  // of their touched checkpoints, likewise
  uint64_t all_runs = 0, all_checkpoints = 0, touched_checkpoints = 0;
  Price price;  // of all runs together
};

// `what`: id of a licence (with or without version), or whatever names a source, clip or shard, as
// find_record() (ledger/query.h) takes it, with the same errors.
Impact impact_of(const Store& store, const std::string& what);
// Of all that a licence would cover, whether it is on record or not.
Impact impact_of(const Store& store, const LicenceText& terms);

// A run that consumed none of it, and continued from nothing that did: all its checkpoints are
// clean.
struct UntouchedRun {
  uint64_t seq = 0;
  std::string run;
  std::vector<CheckpointImpact> checkpoints;  // by step
};
// In the order of their records.
std::vector<UntouchedRun> untouched_runs(const Store& store, const Impact& impact);

// The ids of the clips, in hex, in the order of their records.
std::vector<std::string> clip_ids(const Store& store, const Impact& impact);

// What a run like `run` would cost if a licence were taken back after it.
struct Forecast {
  std::string model, run;  // the newest run of the model line
  uint64_t steps = 0, passes = 0;
  uint64_t samples = 0;         // that its permit lists
  uint64_t covered = 0;         // samples of the licence's footage among them, or added to them
  uint64_t first_step = 0;      // at which one is expected first, in the order that runs have
  uint64_t last_step = 0;       // the same when revocable footage comes last
  Price whole, expected, last;  // of the run; of training again from first_step, from last_step
};
// One for each model line that the licence allows and a run is on record for.
std::vector<Forecast> forecast(const Store& store, const LicenceText& terms, const Impact& impact);

// The records that an impact speaks of, rising.
std::vector<uint64_t> named_records(const Impact& impact);

// Proofs that records are in the log, under a signed head of it; `extra` is the record. Those that
// the head does not cover are left out, and without a head all.
std::vector<TlogProof> prove_records(const Store& store, const std::vector<uint64_t>& seqs,
                                     const std::string& head_note);

}  // namespace cleared::ledger
