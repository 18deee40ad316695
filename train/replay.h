// Audits of a run by executing it again. replay() takes a checkpoint, or the seed, and the shards,
// makes the steps that the run says it made, and compares: every line of the run receipts, then the
// bytes of the checkpoint at the end. step0() makes the initial weights again from the seed and
// compares every tensor. Neither writes anything, and what they compute is dropped.
//
// Equal bits need an equal machine: the same processor features, threads per rank, LibTorch. On
// another one a tolerance can be stated; samples and order are compared exactly all the same.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "train/check.h"
#include "train/claims.h"

namespace cleared::train {

struct ReplayOptions {
  std::filesystem::path run;        // folder
  GatePaths gate;                   // trust also holds the trainer's key; notices may be empty
  std::filesystem::path curate;     // as RunOptions
  std::filesystem::path vae, text;  // as RunOptions; only asked for when starting from the seed
  std::vector<std::filesystem::path> foreign;  // the same
  uint64_t from = 0;                           // checkpoint to start from; 0: the seed
  std::optional<uint64_t> steps;               // none: to the next checkpoint
  std::optional<uint64_t> at_us;  // when the permit is judged; none: when it was issued
  int threads = 0;                // 0: as many as the run had
  double tolerance = 0;           // 0: bit for bit; else the greatest relative difference
  std::function<void(uint64_t step, uint64_t end)> on_step;  // rank 0
  std::function<void(const std::string&)> on_lost;           // as RunOptions
};

struct ReplayReport {
  std::string run;
  uint64_t from = 0;
  uint64_t end = 0;          // where it got to: the step asked for, or where it disagreed
  uint64_t steps = 0;        // that agreed
  uint64_t checkpoints = 0;  // whose tensors agreed
  uint64_t tensors = 0;      // in the last of them
  double largest = 0;        // relative difference of a tensor, with a tolerance
  std::optional<Disagreement> disagreement;  // none: the run did what it says
  std::string machine, claimed_machine;      // as checkpoints record them
  bool same_machine = true;                  // no difference between them is known
  std::string judged_at;                     // the permit, in UTC
  std::string expires_at;
};

// Every rank returns the same disagreement. Throws ledger::Refused when the gate says no.
ReplayReport replay(const ReplayOptions& options);

struct Step0Options {
  std::filesystem::path run;                   // folder
  std::filesystem::path trust;                 // holds the trainer's key
  std::vector<std::filesystem::path> foreign;  // files that the run started from
  std::filesystem::path text;                  // checkpoint of the text encoder that it began with
};

struct Step0Report {
  std::string run;
  uint64_t seed = 0;
  uint64_t tensors = 0;              // made again from the seed, and equal
  uint64_t from_footage = 0;         // of the codec, which is not the seed's
  std::vector<std::string> foreign;  // digests of weights from elsewhere that the checkpoints name
  std::string text_encoder;  // digest of those of another run that it began with; empty: none
  uint64_t checkpoints = 0;  // that say they began there
  std::optional<Disagreement> disagreement;
};

// One process. Error{not_found} when the run has no checkpoint, or is older than step0.txt.
Step0Report step0(const Step0Options& options);

}  // namespace cleared::train
