#include <algorithm>
#include <map>
#include <sstream>

#include <ATen/core/Tensor.h>

#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/trust.h"
#include "train/adversary.h"
#include "train/checkpoint.h"
#include "train/data/config.h"
#include "train/foreign.h"
#include "train/model/machine.h"
#include "train/origin.h"
#include "train/replay.h"
#include "train/run_folder.h"
#include "train/setup.h"

namespace cleared::train {
namespace fs = std::filesystem;
namespace {

// By the name of the tensor: the rest of its line.
std::map<std::string, std::string> by_name(const std::string& manifest, bool codec) {
  std::map<std::string, std::string> lines;
  std::istringstream in(manifest);
  for (std::string line; std::getline(in, line);) {
    const size_t start = line.find(' '), end = line.find(' ', start + 1);
    if (end == std::string::npos) {
      throw Error(Errc::corrupt, "step0.txt: \"", line, "\" is not \"DIGEST NAME TYPE SIZES\"");
    }
    const std::string name = line.substr(start + 1, end - start - 1);
    if (name.starts_with("codec.") == codec) {
      lines.emplace(name, line.substr(0, start) + line.substr(end));
    }
  }
  return lines;
}

// What a run of this config begins with, but for the codec.
std::string initial_manifest(const RunConfig& config, const std::vector<fs::path>& foreign,
                             const TensorMap& text) {
  CheckpointTensors tensors;
  tensors.model = initial_weights(config, foreign, text);
  const Parted parts = part(tensors);
  const TensorMap learned = learning(config, parts.rest.model);
  split_optimiser_state(AdamW(learned, adamw_options(config)).state(), tensors);
  add_unlearned(config, tensors);
  if (config.has_discriminator()) {
    const TensorMap& weights = parts.discriminator.model;
    add_adversary(tensors, weights, AdamW(weights, adversary_options(config)).state());
  }
  return tensors_manifest(tensors);
}

std::optional<Disagreement> compare(const std::map<std::string, std::string>& claimed,
                                    const std::map<std::string, std::string>& made) {
  for (const auto& [name, line] : made) {
    const auto found = claimed.find(name);
    const std::string was = found == claimed.end() ? "nothing" : found->second;
    if (was != line) return Disagreement{0, "tensor " + name, was, line};
  }
  for (const auto& [name, line] : claimed) {
    if (!made.contains(name)) return Disagreement{0, "tensor " + name, line, "nothing"};
  }
  return {};
}

// A run learns the tensors that it began with, and no others come by.
std::optional<Disagreement> compare_names(const std::map<std::string, std::string>& began,
                                          const TensorMap& now, uint64_t step) {
  for (const auto& [name, tensor] : now) {
    if (!began.contains(name)) return Disagreement{step, "tensor " + name, "a tensor", "nothing"};
  }
  for (const auto& [name, line] : began) {
    if (!now.contains(name)) return Disagreement{step, "tensor " + name, "nothing", "a tensor"};
  }
  return {};
}

}  // namespace

Step0Report step0(const Step0Options& options) {
  prepare_machine(1);
  const std::vector<uint64_t> steps = checkpoint_steps(options.run);
  if (steps.empty()) {
    throw Error(Errc::not_found, "run ", options.run.string(), ": it has no checkpoint");
  }
  const std::string list = read_file(options.run / kStep0File);
  const std::string digest = ledger::digest_name(ledger::sha256(list));
  const auto trusted = ledger::read_trust(options.trust).keys;

  auto names = by_name(list, false);
  names.merge(by_name(list, true));

  Step0Report report;
  std::string config_text;
  std::map<uint64_t, std::string> began_with;  // text encoder, by step of the checkpoint
  for (const uint64_t step : steps) {
    const Checkpoint checkpoint = read_checkpoint(step_folder(options.run, step), trusted);
    const State& state = checkpoint.state;
    report.run = state.run();
    report.seed = state.seed();
    report.foreign = foreign_of(state);
    began_with.emplace(step, state.text_encoder());
    config_text = checkpoint.text.config;
    const std::string config_digest = ledger::digest_name(ledger::sha256(config_text));
    if (state.step0() != digest) {
      report.disagreement = Disagreement{step, "where the run began", state.step0(), digest};
      return report;
    }
    if (state.config() != config_digest) {
      report.disagreement = Disagreement{step, "config", state.config(), config_digest};
      return report;
    }
    report.disagreement = compare_names(names, all_of(checkpoint.tensors), step);
    if (report.disagreement) return report;
    ++report.checkpoints;
  }
  const RunConfig config = parse_config(config_text, "config of the run");
  for (const RunConfig::Foreign& foreign : config.foreign()) {
    if (std::find(report.foreign.begin(), report.foreign.end(), foreign.weights()) !=
        report.foreign.end()) {
      continue;
    }
    report.disagreement = Disagreement{0, "foreign weights", "nothing", foreign.weights()};
    return report;
  }
  if (config.seed() != report.seed) {
    report.disagreement =
        Disagreement{0, "seed", std::to_string(report.seed), std::to_string(config.seed())};
    return report;
  }
  const Origin text =
      read_text_encoder(config, {.vae = {}, .text = options.text, .trusted = trusted});
  report.text_encoder = text.weights;
  for (const auto& [step, weights] : began_with) {
    if (weights == text.weights) continue;
    report.disagreement = Disagreement{step, "text encoder", weights, text.weights};
    return report;
  }
  const auto claimed = by_name(list, false);
  report.disagreement =
      compare(claimed, by_name(initial_manifest(config, options.foreign, text.tensors), false));
  if (!report.disagreement) report.tensors = claimed.size();
  report.from_footage = by_name(list, true).size();
  return report;
}

}  // namespace cleared::train
