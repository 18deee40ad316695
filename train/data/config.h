// Run configs: strict text form of train/config.proto, plus the rules that the schema cannot say.
// Pure but for load_config, which reads one file. Any thread.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/base/bytes.h"
#include "train/config.pb.h"

namespace cleared::train {

// Error{config} that names the place: "FILE:LINE:COLUMN: ..." for what does not parse, and
// "FILE: field: ..." for a value that makes no sense.
RunConfig parse_config(std::string_view text, std::string_view where);

struct LoadedConfig {
  RunConfig config;
  std::string text;  // byte for byte, for the checkpoint
  Digest digest;     // of `text`; a permit names it
};
// How many micro-batches a step is (config.proto says what is meant by none).
uint32_t micro_batches_of(const RunConfig& config);

// What the run declares to the gate: its `purpose`, and that it generates where it has a preview.
ledger::Purpose purpose_of(const RunConfig& config);

// The config as each of its shapes sees it, with that clip, batch and shift: of `clip` first, then
// of each bucket. How many there are is how many shapes a run has.
std::vector<RunConfig> by_shape(const RunConfig& config);

// Which of them takes the samples of a shard.
size_t shape_of_shard(const RunConfig& config, std::string_view shard);

LoadedConfig load_config(const std::filesystem::path& path);

}  // namespace cleared::train
