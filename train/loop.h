// Training, from a config and a permit to checkpoints: train::run reads top to bottom like the
// sentence it implements. One process is one rank; train/model/dist.h finds the others.
//
// Nothing is printed: progress goes to the callbacks, which only rank 0 calls, from its own thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "ledger/gate.h"
#include "train/check.h"

namespace cleared::train {

struct StepReport {
  uint64_t step = 0;   // just done, from 0
  uint64_t steps = 0;  // of the whole run
  double loss = 0;     // mean over the batch of all ranks
  double smooth_loss = 0;
  double learning_rate = 0;
  double gradient_norm = 0;
  bool applied = true;                       // false: the gradient was an outlier
  std::optional<double> discriminator_loss;  // where one learned
  double samples_per_s = 0;
  double tokens_per_s = 0;    // of latents that the transformer sees
  double peak_share = 0;      // of the ranks' measured peak, by the arithmetic of train/plan.h
  double eta_s = 0;           // to the end of the run, at the pace of the last steps
  uint64_t memory_bytes = 0;  // that this process has held at most
  double seconds = 0;         // from the end of the step before to the end of this one
  double stall_share = 0;     // of the time so far, waiting for data
  double gate_share = 0;      // of the time so far, reading, hashing and checking (beside training)
};

struct CheckpointReport {
  uint64_t step = 0;
  std::filesystem::path folder;
  std::string weights;  // digest of the file
  std::string tensors;  // digest of the values alone
  std::filesystem::path bundle;
};

struct StartReport {
  std::string run;
  uint64_t first_step = 0;
  uint64_t samples = 0;
  int64_t parameters = 0;
  int ranks = 1;
  std::string backend;
  std::string machine;
  double peak_flops_per_s = 0;         // of all ranks at once, measured
  std::vector<std::string> foreign;    // digests of weights from elsewhere that the run began with
  std::filesystem::path resumed_from;  // empty: from the seed
  size_t set_aside = 0;                // checkpoints after --from, moved away
};

struct RunOptions {
  std::filesystem::path config;
  GatePaths gate;
  std::filesystem::path key;     // the trainer's, read by rank 0
  std::filesystem::path out;     // the run's folder
  std::filesystem::path curate;  // program that decodes; empty: the one beside this program
  std::filesystem::path vae;     // checkpoint of the autoencoder, where the config wants one
  std::filesystem::path text;    // of the text encoder, where the config begins with a trained one
  std::vector<std::filesystem::path> foreign;  // files that the config starts from, read by rank 0
  std::optional<uint64_t> until;               // stop after so many steps, with a checkpoint
  std::optional<uint64_t> from;  // go on from this step's checkpoint, not from the newest
  uint64_t profile = 0;          // steps to trace, from the second on: RUN/trace.json
  bool must_resume = false;      // Error{not_found} where there is no checkpoint to go on from
  bool fresh = false;            // set everything aside and start from the seed
  // gate.leave_out: when footage is revoked or its terms end, go on without it after a checkpoint,
  // as a run of another name; else the run ends.
  int threads = 1;  // of each rank; the bits depend on it

  const std::atomic<bool>* stop = nullptr;  // set by a signal: end after this step
  std::function<void(const StartReport&)> on_start;
  std::function<void(const StepReport&)> on_step;
  std::function<void(const CheckpointReport&)> on_checkpoint;
  // Another rank was lost, in one line: from a thread of its own, once, while the run's thread may
  // wait for that rank for minutes. It should end the process; a checkpoint that was being written
  // is whole by then. Without it a rank that is stopped is noticed late.
  std::function<void(const std::string&)> on_lost;
};

struct RunResult {
  enum class End { finished, interrupted, refused };
  End end = End::finished;
  ledger::Verdict verdict;  // refused: what the gate said
  std::string run;
  uint64_t step = 0;  // updates done
  double first_loss = 0;
  double smooth_loss = 0;
  std::optional<CheckpointReport> last;  // written by this call
};

// Every rank returns the same end at the same step. Throws Error for what is no verdict;
// Error{busy} when another rank was lost or another run writes to the folder, Error{corrupt} when
// loss or gradient are not finite: then the weights before that step are in a checkpoint.
RunResult run(const RunOptions& options);

}  // namespace cleared::train
