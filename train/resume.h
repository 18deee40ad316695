// Where a run goes on from: the newest checkpoint of its folder, one that was asked for, or the
// seed. Rank 0, one thread; the other ranks are told.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "ledger/gate.h"
#include "ledger/key.h"
#include "ledger/note.h"
#include "train/checkpoint.h"

namespace cleared::train {

struct LoadedConfig;
struct Machine;
struct RunOptions;

struct Position {
  State state;  // of the next checkpoint, as far as it is known
  Totals totals;
  CheckpointTensors tensors;               // none when the run starts from the seed
  std::vector<ledger::PublicKey> trusted;  // of trainers, this one included
  std::filesystem::path resumed_from;
  size_t set_aside = 0;
  Totals consumed;  // of what this permit allows (train/passes.h)
};

// Makes the folder, whose lock is held, and its run.textproto when the run is new. Steps that are
// made again after others like them, a folder that was copied, and a permit that lists other
// samples than the checkpoint's, give the run a new name, the latter also its data order a new
// beginning; weights, receipts and totals go on. Refused where the permit is for another run going
// on, Error{config} when the folder belongs to another config, Error{corrupt} for a damaged
// checkpoint, or files of another run.
Position open_run(const RunOptions& options, const LoadedConfig& loaded, const ledger::Gate& gate,
                  const Machine& machine, int ranks, const ledger::SignerKey& trainer);

}  // namespace cleared::train
