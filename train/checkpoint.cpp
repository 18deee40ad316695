#include "train/checkpoint.h"

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <sstream>

#include <ATen/core/Tensor.h>

#include "ledger/attestation.h"
#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/key.h"
#include "ledger/note.h"
#include "ledger/notes.pb.h"
#include "ledger/textproto.h"
#include "train/adversary.h"
#include "train/data/config.h"
#include "train/model/optim.h"
#include "train/run_folder.h"
#include "train/setup.h"
#include "train/statement.h"

namespace cleared::train {
namespace fs = std::filesystem;
namespace {

const std::string kTexts[] = {
    "config.textproto", "steps.txt",   kPlacesFile,       "totals.txt",
    "receipt.note",     "tensors.txt", "state.textproto", std::string(kStatementFile)};
constexpr uint64_t kLimit = uint64_t{1} << 40;  // of a file

// Into one file, or into several and their index. The digest stands for all that was written.
Digest write_tensors(CheckpointWriter& writer, const char* stem, const TensorMap& tensors,
                     const Metadata& metadata, uint64_t file_bytes) {
  const auto write = [&](const std::string& name, const TensorMap& some) {
    return write_safetensors(writer.path() / name, some, metadata);
  };
  const auto files = split_tensors(tensors, file_bytes);
  if (files.size() == 1) {
    const Digest digest = write(whole_name(stem), tensors);
    writer.add(whole_name(stem), digest);
    return digest;
  }
  TensorIndex index;
  for (size_t i = 0; i < files.size(); ++i) {
    const std::string name = part_name(stem, i + 1, files.size());
    index.digests.emplace(name, write(name, files[i]));
    for (const auto& [tensor, values] : files[i]) {
      index.file_of.emplace(tensor, name);
      index.total_size += values.nbytes();
    }
  }
  const Digest digest = writer.write(index_name(stem), format_index(index));
  for (const auto& [name, part] : index.digests) writer.add(name, part);
  return digest;
}

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
                state, ", and its weights are of ", weights,
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
    if (!known.contains(name)) stranger(kWeightsStem, name);
  }
  for (const auto& [name, tensor] : tensors.model) {
    if (!tensors.ema.contains(name) && !of_adversary(name)) stranger(kWeightsStem, "model." + name);
  }
  for (const auto& [name, tensor] : known) {
    const bool average = name.starts_with("ema");
    if (average && !tensors.model.contains(name.substr(name.find('.') + 1)))
      stranger(kWeightsStem, name);
  }
  for (const auto& [name, tensor] : tensors.optimiser) {
    if (of_adversary(name)) continue;
    const bool moment = name.starts_with("m.") || name.starts_with("v.");
    const bool mine =
        moment ? tensors.model.contains(name.substr(2)) : name == "steps" || name == "norms";
    if (!mine) stranger(kOptimiserStem, name);
  }
}

// A line of tensors.txt, behind the digest.
std::string manifest_line(const std::string& name, const Tensor& tensor) {
  std::string line = std::string(" ") + name + " " + at::toString(tensor.scalar_type());
  for (const int64_t size : tensor.sizes()) line += " " + std::to_string(size);
  return line + "\n";
}

// What `text` lists with the digests that it has: making them again takes as long as the files'
// own, so it is left to train replay.
std::string manifest_with_digests_of(std::string_view text, const TensorMap& tensors) {
  std::string out;
  for (const auto& [name, tensor] : tensors) {
    const auto digest = parse_digest(text.substr(0, 64));
    out += to_hex(digest.value_or(Digest())) + manifest_line(name, tensor);
    text.remove_prefix(std::min(text.find('\n'), text.size() - 1) + 1);
  }
  return out;
}

// Tensors lie where a run puts them, so that nothing is told by how they are parted. `index`: none
// where they are in one file.
void check_split(const fs::path& folder, const char* stem, const TensorMap& tensors,
                 const std::optional<TensorIndex>& index, uint64_t file_bytes) {
  const auto files = split_tensors(tensors, file_bytes);
  for (size_t i = 0; i < files.size(); ++i) {
    const std::string right =
        files.size() == 1 ? whole_name(stem) : part_name(stem, i + 1, files.size());
    for (const auto& [name, tensor] : files[i]) {
      const std::string is = index ? index->file_of.at(name) : whole_name(stem);
      if (is == right) continue;
      throw Error(Errc::corrupt, "checkpoint ", folder.string(), ": ", is, ": tensor ", name,
                  " is in it, and a run with file_bytes ", file_bytes, " has it in ", right,
                  ": it is not what a run wrote; get the folder again");
    }
  }
}

// A run writes each text in one way. One that only parses, with comments, blanks, another order or
// a signature more, could carry what nobody looks for, under the trainer's signature.
void check_written(const fs::path& folder, const std::map<std::string, std::string>& files,
                   const Checkpoint& checkpoint) {
  const auto path = [&](const std::string& name) { return (folder / name).string(); };
  const auto same = [&](const std::string& name, std::string_view written) {
    const std::string_view text = files.at(name);
    if (text == written) return;
    const auto parted =
        std::mismatch(text.begin(), text.end(), written.begin(), written.end()).first;
    throw Error(Errc::corrupt, "checkpoint ", folder.string(), ": ", name, ":",
                1 + std::count(text.begin(), parted, '\n'),
                ": not as a run writes it; get the folder again");
  };
  ledger::Note note = ledger::parse_note(files.at("receipt.note"), path("receipt.note"));
  ledger::ReceiptText receipt;
  ledger::parse_textproto(note.text, path("receipt.note"), receipt);
  note.text = ledger::format_textproto(receipt);
  note.signatures.resize(1);
  same("receipt.note", ledger::format_note(note));

  const Span span = parse_span(
      files.at("steps.txt"), receipt.receipt().first_step(), path("steps.txt"),
      std::make_shared<const Places>(parse_places(files.at(kPlacesFile), path(kPlacesFile))));
  same(kPlacesFile, span.places_text());
  same("totals.txt", format_totals(checkpoint.text.totals));
  same("tensors.txt",
       manifest_with_digests_of(files.at("tensors.txt"), all_of(checkpoint.tensors)));
  same("state.textproto", ledger::format_textproto(checkpoint.state));
  for (const char* stem : {kWeightsStem, kOptimiserStem}) {
    const auto index = files.find(index_name(stem));
    if (index == files.end()) continue;
    same(index->first, format_index(parse_index(index->second, stem, path(index->first))));
  }

  ledger::Envelope statement = ledger::parse_envelope(files.at(std::string(kStatementFile)));
  statement.signatures.resize(std::min<size_t>(statement.signatures.size(), 1));
  same(std::string(kStatementFile), ledger::format_envelope(statement));
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
  if (state.has_text_encoder()) metadata["text_encoder"] = state.text_encoder();
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

void add_unlearned(const RunConfig& config, CheckpointTensors& tensors) {
  for (const auto& [name, tensor] : tensors.model) {
    if (learns(config, name)) continue;
    tensors.ema.emplace(name, tensor);
    for (int i = 1; i < config.optimiser().ema_size(); ++i) {
      tensors.more_ema.emplace(ema_prefix(static_cast<size_t>(i)) + name, tensor);
    }
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
    text += to_hex(tensor_digest(tensor)) + manifest_line(name, tensor);
  }
  return text;
}

Digest tensors_digest(const CheckpointTensors& tensors) {
  return ledger::sha256(tensors_manifest(tensors));
}

fs::path write_checkpoint(const fs::path& run, State& state, const CheckpointTensors& tensors,
                          const CheckpointText& text, const Span& span,
                          const ledger::SignerKey& trainer) {
  const uint64_t file_bytes =
      parse_config(text.config, "config.textproto").checkpoints().file_bytes();
  CheckpointWriter writer(run, state.step());
  const Digest weights = write_tensors(writer, kWeightsStem, weights_of(tensors),
                                       weights_metadata(state, span), file_bytes);
  write_tensors(writer, kOptimiserStem, tensors.optimiser, optimiser_metadata(), file_bytes);
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
  const std::vector<FileDigest> listed = listed_files(folder);
  std::map<std::string, std::string> files;
  std::map<std::string, Digest> digests;
  for (const FileDigest& file : listed) {
    digests.emplace(file.name, file.digest);
    std::string& bytes = files[file.name] = read_file(folder / file.name, kLimit);
    check_digest(folder, file, ledger::sha256(bytes));
  }
  for (const std::string& name : kTexts) {
    if (files.contains(name)) continue;
    throw Error(Errc::corrupt, "checkpoint ", folder.string(), ": ", name, " is not listed");
  }
  if (!trusted.empty()) verify_statement(folder, trusted);

  const auto path = [&](const std::string& name) { return (folder / name).string(); };
  const auto tensors_in = [&](const std::string& name) {
    Safetensors file = parse_own_safetensors(
        std::make_shared<const std::string>(std::move(files[name])), path(name));
    file.digest = digests.at(name);
    return file;
  };
  const RunConfig config = parse_config(files["config.textproto"], path("config.textproto"));
  const auto tensors_of = [&](const char* stem) {
    const FileDigest first = tensors_file(folder, listed, stem);
    std::optional<TensorIndex> index;
    if (first.name != whole_name(stem)) {
      index = listed_index(folder, listed, stem, files[first.name]);
    }
    Safetensors all = index ? join_safetensors(*index, "checkpoint " + path(first.name), tensors_in)
                            : tensors_in(first.name);
    all.digest = first.digest;
    check_split(folder, stem, all.tensors, index, config.checkpoints().file_bytes());
    return all;
  };
  Checkpoint checkpoint;
  ledger::parse_textproto(files["state.textproto"], path("state.textproto"), checkpoint.state);
  checkpoint.text.config = files["config.textproto"];
  checkpoint.text.totals = parse_totals(files["totals.txt"], path("totals.txt"));
  Safetensors weights = tensors_of(kWeightsStem), optimiser = tensors_of(kOptimiserStem);
  checkpoint.weights = weights.digest;
  checkpoint.tensors.model = with_prefix(weights.tensors, "model.");
  checkpoint.tensors.ema = with_prefix(weights.tensors, "ema.");
  checkpoint.tensors.codec = with_prefix(weights.tensors, "codec.");
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
  check_written(folder, files, checkpoint);
  return checkpoint;
}

}  // namespace cleared::train
