#include "train/checkpoint.h"

#include <map>
#include <memory>
#include <set>
#include <sstream>

#include <ATen/core/Tensor.h>

#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/key.h"
#include "ledger/textproto.h"
#include "train/adversary.h"
#include "train/data/config.h"
#include "train/model/optim.h"
#include "train/run_folder.h"
#include "train/statement.h"

namespace cleared::train {
namespace fs = std::filesystem;
namespace {

constexpr const char* kWeights = "weights.safetensors";
constexpr const char* kOptimiser = "optimizer.safetensors";
constexpr uint64_t kLimit = uint64_t{1} << 40;  // of a file

TensorMap weights_of(const CheckpointTensors& tensors) {
  TensorMap all;
  add_with_prefix(all, "codec.", tensors.codec);
  add_with_prefix(all, "ema.", tensors.ema);
  add_with_prefix(all, "model.", tensors.model);
  add_with_prefix(all, "", tensors.more_ema);
  return all;
}

// "none", or the digests.
std::string foreign_names(const State& state) {
  std::string names;
  for (const State::Foreign& foreign : state.foreign()) {
    names += (names.empty() ? "" : " ") + foreign.weights();
  }
  return names.empty() ? "none" : names;
}

ReceiptFacts receipt_facts(const State& state, const Digest& weights) {
  const auto digest = [](const std::string& name) {
    const auto parsed = ledger::parse_digest_name(name);
    if (!parsed) throw Error(Errc::corrupt, "checkpoint: \"", name, "\" is not a digest");
    return *parsed;
  };
  ReceiptFacts facts;
  facts.run = state.run();
  facts.permit = digest(state.permit());
  facts.origin = state.origin();
  facts.tree_size = state.tree_size();
  facts.tree_root = state.tree_root();
  if (state.has_previous_receipt()) facts.previous = digest(state.previous_receipt());
  facts.weights = weights;
  return facts;
}

// What a release is asked about is the state's word, and the state is a text of its own, which
// anyone can write: it must be that of the bytes that will be used.
void check_word_on_weights(const fs::path& folder, const Checkpoint& checkpoint) {
  const auto same = [&](const char* what, const std::string& state, const std::string& weights) {
    if (state == weights) return;
    throw Error(Errc::corrupt, "checkpoint ", folder.string(), ": state.textproto says ", what, " ",
                state, ", and ", kWeights, " is of ", weights,
                ": it is not what a run wrote; get the folder again");
  };
  same("weights", checkpoint.state.weights(), ledger::digest_name(checkpoint.weights));
  const auto foreign = checkpoint.weights_metadata.find("foreign_weights");
  same("foreign weights", foreign_names(checkpoint.state),
       foreign == checkpoint.weights_metadata.end() ? "none" : foreign->second);
}

// Every average has the tensors of the model, but for a discriminator (train/adversary.h), and the
// optimiser moments of no others. What is not one of a checkpoint's tensors would go out with it
// under the same signature.
void check_names(const fs::path& folder, const CheckpointTensors& tensors,
                 const TensorMap& weights) {
  const auto stranger = [&](const std::string& file, const std::string& name) {
    throw Error(Errc::corrupt, "checkpoint ", folder.string(), ": ", file, ": tensor ", name,
                " does not belong to it: it is not what a run wrote; get the folder again");
  };
  const TensorMap known = weights_of(tensors);
  for (const auto& [name, tensor] : weights) {
    if (!known.contains(name)) stranger(kWeights, name);
  }
  for (const auto& [name, tensor] : tensors.model) {
    if (!tensors.ema.contains(name) && !of_adversary(name)) stranger(kWeights, "model." + name);
  }
  for (const auto& [name, tensor] : known) {
    const bool average = name.starts_with("ema");
    if (average && !tensors.model.contains(name.substr(name.find('.') + 1)))
      stranger(kWeights, name);
  }
  for (const auto& [name, tensor] : tensors.optimiser) {
    if (of_adversary(name)) continue;
    const bool moment = name.starts_with("m.") || name.starts_with("v.");
    const bool mine =
        moment ? tensors.model.contains(name.substr(2)) : name == "steps" || name == "norms";
    if (!mine) stranger(kOptimiser, name);
  }
}

}  // namespace

Metadata weights_metadata(const State& state, const Span& span) {
  Metadata metadata = {
      {"format", "pt"},
      {"run", state.run()},
      {"step", std::to_string(state.step())},
      {"seed", std::to_string(state.seed())},
      {"config", state.config()},
      {"permit", state.permit()},
      {"tree_head.origin", state.origin()},
      {"tree_head.size", std::to_string(state.tree_size())},
      {"tree_head.root", state.tree_root()},
      {"receipt.steps_root", ledger::digest_name(span.steps_root())},
      {"receipt.consumed_root", ledger::digest_name(span.consumed_root(state.run()))},
      {"code_version", state.code_version()},
      {"ranks", std::to_string(state.ranks())},
      {"threads", std::to_string(state.threads())},
      {"machine", state.machine()},
      {"foreign_weights", foreign_names(state)},
  };
  if (state.has_vae()) metadata["vae"] = state.vae();
  if (state.has_parent()) metadata["parent"] = state.parent();
  return metadata;
}

Metadata optimiser_metadata() {
  return {{"format", "pt"}};
}

TensorMap average_of(const CheckpointTensors& tensors, const RunConfig& config,
                     std::optional<double> decay) {
  std::string all;
  for (int i = 0; i < config.optimiser().ema_size(); ++i) {
    const double its = config.optimiser().ema(i);
    if (decay.value_or(its) == its) {
      return i == 0 ? tensors.ema : with_prefix(tensors.more_ema, ema_prefix(size_t(i)));
    }
    std::ostringstream text;
    text << " " << its;
    all += text.str();
  }
  throw Error(Errc::usage, "checkpoint: it has no average of decay ", *decay, ", but of", all);
}

void split_optimiser_state(const TensorMap& state, CheckpointTensors& tensors) {
  for (const auto& [name, tensor] : state) {
    if (name.starts_with("ema.")) tensors.ema.emplace(name.substr(4), tensor);
    else (name.starts_with("ema") ? tensors.more_ema : tensors.optimiser).emplace(name, tensor);
  }
}

void copy_into(const CheckpointTensors& tensors, CheckpointTensors& copied) {
  const auto copy = [](const TensorMap& map, TensorMap& before) {
    TensorMap copies;
    for (const auto& [name, tensor] : map) {
      const auto old = before.find(name);
      if (old != before.end() && old->second.sizes() == tensor.sizes() &&
          old->second.scalar_type() == tensor.scalar_type()) {
        old->second.copy_(tensor.detach());
        copies.insert(*old);
      } else {
        copies.emplace(name, tensor.detach().to(at::kCPU, tensor.scalar_type(), false, true));
      }
    }
    before = std::move(copies);
  };
  copy(tensors.model, copied.model);
  copy(tensors.ema, copied.ema);
  copy(tensors.more_ema, copied.more_ema);
  copy(tensors.codec, copied.codec);
  copy(tensors.optimiser, copied.optimiser);
}

Digest tensor_digest(const Tensor& tensor) {
  const Tensor values = tensor.detach().to(at::kCPU).contiguous();
  return ledger::sha256(
      std::span(static_cast<const std::byte*>(values.const_data_ptr()), values.nbytes()));
}

TensorMap all_of(const CheckpointTensors& tensors) {
  TensorMap all = weights_of(tensors);
  add_with_prefix(all, "optimiser.", tensors.optimiser);
  return all;
}

std::string tensors_manifest(const CheckpointTensors& tensors) {
  std::string text;
  for (const auto& [name, tensor] : all_of(tensors)) {
    text += to_hex(tensor_digest(tensor)) + " " + name + " " + at::toString(tensor.scalar_type());
    for (const int64_t size : tensor.sizes()) text += " " + std::to_string(size);
    text += "\n";
  }
  return text;
}

Digest tensors_digest(const CheckpointTensors& tensors) {
  return ledger::sha256(tensors_manifest(tensors));
}

fs::path write_checkpoint(const fs::path& run, State& state, const CheckpointTensors& tensors,
                          const CheckpointText& text, const Span& span,
                          const ledger::SignerKey& trainer) {
  CheckpointWriter writer(run, state.step());
  const Digest weights = write_safetensors(writer.path() / kWeights, weights_of(tensors),
                                           weights_metadata(state, span));
  writer.add(kWeights, weights);
  writer.add(kOptimiser, write_safetensors(writer.path() / kOptimiser, tensors.optimiser,
                                           optimiser_metadata()));
  writer.write("config.textproto", text.config);
  writer.write("steps.txt", span.text());
  writer.write(kPlacesFile, span.places_text());
  writer.write("totals.txt", format_totals(text.totals));
  const Digest receipt =
      writer.write("receipt.note", write_receipt(span, receipt_facts(state, weights), trainer));

  state.set_tensors(ledger::digest_name(writer.write("tensors.txt", tensors_manifest(tensors))));
  state.set_weights(ledger::digest_name(weights));
  state.set_receipt(ledger::digest_name(receipt));
  writer.write("state.textproto", ledger::format_textproto(state));
  writer.write(kStatementFile, write_statement(state, span.steps_root(), writer.files(), trainer));
  return writer.commit();
}

Checkpoint read_checkpoint(const fs::path& folder, const std::vector<ledger::PublicKey>& trusted) {
  const std::set<std::string> used = {kWeights, kOptimiser, "config.textproto", "state.textproto",
                                      "totals.txt"};
  std::map<std::string, std::string> files;
  Checkpoint checkpoint;
  for (const FileDigest& file : listed_files(folder)) {
    if (file.name == kWeights) checkpoint.weights = file.digest;
    if (used.contains(file.name)) {
      std::string& bytes = files[file.name] = read_file(folder / file.name, kLimit);
      check_digest(folder, file, ledger::sha256(bytes));
    } else {
      check_digest(folder, file, digest_of_file(folder / file.name));
    }
  }
  for (const std::string& name : used) {
    if (files.contains(name)) continue;
    throw Error(Errc::corrupt, "checkpoint ", folder.string(), ": ", name, " is not listed");
  }
  if (!trusted.empty()) verify_statement(folder, trusted);

  const auto path = [&](const char* name) { return (folder / name).string(); };
  const auto tensors = [&](const char* name) {
    return parse_safetensors(std::make_shared<const std::string>(std::move(files[name])),
                             path(name));
  };
  ledger::parse_textproto(files["state.textproto"], path("state.textproto"), checkpoint.state);
  checkpoint.text.config = files["config.textproto"];
  checkpoint.text.totals = parse_totals(files["totals.txt"], path("totals.txt"));
  Safetensors weights = tensors(kWeights), optimiser = tensors(kOptimiser);
  checkpoint.tensors.model = with_prefix(weights.tensors, "model.");
  checkpoint.tensors.ema = with_prefix(weights.tensors, "ema.");
  checkpoint.tensors.codec = with_prefix(weights.tensors, "codec.");
  const RunConfig config = parse_config(checkpoint.text.config, path("config.textproto"));
  for (int i = 1; i < config.optimiser().ema_size(); ++i) {
    const std::string prefix = ema_prefix(size_t(i));
    add_with_prefix(checkpoint.tensors.more_ema, prefix, with_prefix(weights.tensors, prefix));
  }
  checkpoint.tensors.optimiser = std::move(optimiser.tensors);
  check_names(folder, checkpoint.tensors, weights.tensors);
  check_adversary(config, checkpoint.tensors, "checkpoint " + folder.string());
  checkpoint.weights_metadata = std::move(weights.metadata);
  checkpoint.optimiser_metadata = std::move(optimiser.metadata);
  check_word_on_weights(folder, checkpoint);
  return checkpoint;
}

}  // namespace cleared::train
