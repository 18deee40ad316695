// Weights that were not trained here (docs/design/0014-foreign-weights.md): which files a config
// starts from, and what a run of it begins with. Whether it may is the gate's to say, before
// (ledger::Gate::judge_foreign). One thread.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "train/checkpoint.pb.h"
#include "train/model/tensor.h"

namespace cleared::train {

class RunConfig;

// What learns in a run of this config, before the first step, under its names in a checkpoint: from
// the seed, where the config says so from `text`, an encoder that another run of ours trained
// (train/origin.h), and from `files`, each read once and hashed in the memory that
// its tensors are taken from. Throws ledger::Refused (foreign_changed) for a file that the config
// does not name, Error{config} when one is missing, Error{corrupt} for tensors that are not those
// of the part.
TensorMap initial_weights(const RunConfig& config, const std::vector<std::filesystem::path>& files,
                          const TensorMap& text);

// Puts on the state what the config starts from, and what came with weights of other runs.
void record_foreign(const RunConfig& config, const std::vector<State::Foreign>& brought,
                    State& state);

// The digests of what is on the state.
std::vector<std::string> foreign_of(const State& state);

}  // namespace cleared::train
