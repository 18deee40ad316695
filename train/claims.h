// What a run's folder claims about a span of steps: the run receipts of its checkpoints, checked
// against each other, against the signed statements and against the trainer's key. Whether the
// steps were really made like that is for train/replay.h to find out. Knows files, not tensors;
// one thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ledger/key.h"
#include "train/checkpoint.pb.h"
#include "train/receipt.h"

namespace cleared::train {

// Something that a run claims and that is not so. `step` is the first that disagrees.
struct Disagreement {
  uint64_t step = 0;
  std::string what;      // "loss", "samples", "norm", "weights", "receipt", ...
  std::string claimed;   // by the run
  std::string replayed;  // what it should have been
};

struct ClaimedCheckpoint {
  std::filesystem::path folder;
  State state;
  std::optional<Span> span;  // what it says was consumed, and where that lies; the start has none
};

struct Claims {
  std::optional<ClaimedCheckpoint> start;      // none: the run starts from the seed
  std::vector<ClaimedCheckpoint> checkpoints;  // after it, ascending, up to the one that covers
                                               // the last step asked for
  std::map<uint64_t, std::string> lines;       // of the steps from the start on
  std::optional<std::string> codec;            // the line before step 0
  uint64_t end_step = 0;                       // of the replay: what was asked for
  std::optional<Disagreement> disagreement;    // the receipts do not even agree with themselves
};

struct ClaimsOptions {
  std::filesystem::path run;
  uint64_t from = 0;              // step of the checkpoint to start from; 0: the seed
  std::optional<uint64_t> steps;  // none: to the next checkpoint
};

// `trusted` must hold the trainer's key. Error{not_found} when a checkpoint that is needed is not
// there, Error{corrupt} when its files are damaged. A receipt that was forged is an answer.
Claims read_claims(const ClaimsOptions& options, const std::vector<ledger::PublicKey>& trusted);

// How many ranks, and threads of each, to make that part of the run again with: `asked`, and where
// that is 0 as many as the run says. Processes are started by its word, so it counts only where a
// trusted trainer has signed it and a run of its config can have had them: else Error{corrupt},
// before anything else in the folder is believed.
struct Ranks {
  int ranks = 0;
  int threads = 0;
};
Ranks claimed_ranks(const ClaimsOptions& options, const std::vector<ledger::PublicKey>& trusted,
                    const Ranks& asked);

// Two step lines of docs/formats/receipt.md: the first word by which they differ, or nothing. With
// `tolerance` above 0 losses and norms may differ by so much of themselves, samples never.
std::optional<Disagreement> compare_lines(const std::string& claimed, const std::string& replayed,
                                          uint64_t step, double tolerance);

}  // namespace cleared::train
