// Checkpoints: everything a run needs to go on, and everything anyone needs to know where the
// weights came from (docs/formats/checkpoint.md). A folder, written whole or not at all:
//
//   weights.safetensors     model.* trained, ema.* averaged (also ema2.* to ema4.*), codec.*; its
//                           metadata says what made them
//   optimizer.safetensors   m.* and v.* moments, steps
//   *.safetensors.index.json, *-00001-of-00003.safetensors
//                           instead of either, where its tensors are of more than
//                           checkpoints.file_bytes (train/tensor_index.h)
//   config.textproto        the run config, byte for byte
//   tensors.txt             a digest, a type and a shape for every tensor of the two
//   steps.txt, totals.txt   what was consumed since the checkpoint before, and since the start
//   places.txt              in which shards the samples of steps.txt lie
//   receipt.note            the run receipt, signed
//   state.textproto         State of checkpoint.proto
//   statement.dsse.json     signed statement about all of the above
//   SHA256SUMS              written last
//
// One thread, of rank 0.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "ledger/base/bytes.h"
#include "train/checkpoint.pb.h"
#include "train/model/safetensors.h"
#include "train/model/tensor.h"
#include "train/receipt.h"
#include "train/totals.h"

namespace cleared::ledger {
struct PublicKey;
struct SignerKey;
}  // namespace cleared::ledger

namespace cleared::train {

class RunConfig;

struct CheckpointTensors {
  TensorMap model, ema, codec;
  TensorMap more_ema;   // averages beside `ema`: ema2.* and so on
  TensorMap optimiser;  // m.*, v.*, steps, norms
};

// The average of that decay, of a checkpoint of this config; the first where none is named.
// Error{usage} names those that there are.
TensorMap average_of(const CheckpointTensors& tensors, const RunConfig& config,
                     std::optional<double> decay);

// The optimiser's part of `state` (train/model/optim.h), and what it averages.
void split_optimiser_state(const TensorMap& state, CheckpointTensors& tensors);

// What does not learn in a run of this config (train/setup.h) is its own average.
void add_unlearned(const RunConfig& config, CheckpointTensors& tensors);

// The same values in storage of their own, on the CPU, so that training may go on. Into that of
// `copied` where it fits, for new memory takes longer than the copy: all that refer to it change.
void copy_into(const CheckpointTensors& tensors, CheckpointTensors& copied);

// SHA-256 of the values as they lie in memory.
Digest tensor_digest(const Tensor& tensor);

// The tensors under the names that tensors.txt has for them.
TensorMap all_of(const CheckpointTensors& tensors);

// tensors.txt of a checkpoint: "HEX NAME TYPE SIZE SIZE..." for each tensor, by name.
std::string tensors_manifest(const CheckpointTensors& tensors);

// SHA-256 of that text: says "the same weights" whatever run, permit or key is written beside them.
Digest tensors_digest(const CheckpointTensors& tensors);

struct CheckpointText {
  std::string config;
  Totals totals;
};

// Writes RUN/step-NNNNNN. Fills what `state` can only know afterwards: tensors, weights, receipt.
std::filesystem::path write_checkpoint(const std::filesystem::path& run, State& state,
                                       const CheckpointTensors& tensors, const CheckpointText& text,
                                       const Span& span, const ledger::SignerKey& trainer);

// What a reader of a file of weights alone can see: a function of state and span.
Metadata weights_metadata(const State& state, const Span& span);
Metadata optimiser_metadata();

struct Checkpoint {
  State state;     // its word on weights and foreign weights is that of the weights file
  Digest weights;  // of that file, or of the index of several
  CheckpointTensors tensors;
  CheckpointText text;
  Metadata weights_metadata, optimiser_metadata;
};

// Reads every file once: what is used are the bytes that were hashed. Each must be as a run writes
// it, to the byte, but for the config, which is the user's. Checks the statement too when `trusted`
// has keys. Error{corrupt}.
Checkpoint read_checkpoint(const std::filesystem::path& folder,
                           const std::vector<ledger::PublicKey>& trusted);

}  // namespace cleared::train
