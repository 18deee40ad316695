// Checkpoints that are not what a run wrote, and yet are signed as if they were: for tests of what
// finds them out.
#pragma once

#include <bit>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/key.h"
#include "ledger/textproto.h"
#include "tests/train/gate_fixture.h"
#include "train/checkpoint.pb.h"
#include "train/receipt.h"
#include "train/run_folder.h"
#include "train/statement.h"

namespace cleared::train {

// What a forger changes of a checkpoint before signing it anew.
struct Forgery {
  std::string lines;  // steps.txt
  Places places;      // of the samples in `lines`
  State state;
  std::string weights_name, weights, optimiser_name, optimiser;  // or of the index of several
  std::string tensors, totals;
  std::map<std::string, std::string> more;  // the files of an index, and what no run writes
  // Of what the receipt, and the statement, are to say of the state.
  std::function<void(ReceiptFacts&)> receipt = [](ReceiptFacts&) {};
  std::function<void(State&)> statement = [](State&) {};
  // Of the state as it is written, once it says what the files are.
  std::function<void(State&)> last = [](State&) {};
  // Of the bytes of state, receipt and statement.
  std::function<void(const std::string& name, std::string& bytes)> bytes = [](const std::string&,
                                                                              std::string&) {};
};

inline Forgery read_forgery(const std::filesystem::path& folder) {
  const auto listed = listed_files(folder);
  const std::string weights = tensors_file(folder, listed, kWeightsStem).name,
                    optimiser = tensors_file(folder, listed, kOptimiserStem).name;
  Forgery forgery{.lines = read_file(folder / "steps.txt"),
                  .places = parse_places(read_file(folder / kPlacesFile), "places"),
                  .state = {},
                  .weights_name = weights,
                  .weights = read_file(folder / weights),
                  .optimiser_name = optimiser,
                  .optimiser = read_file(folder / optimiser),
                  .tensors = read_file(folder / "tensors.txt"),
                  .totals = read_file(folder / "totals.txt"),
                  .more = {}};
  for (const auto& [name, digest] : listed) {
    if (is_of_tensors(name) && name != weights && name != optimiser) {
      forgery.more.emplace(name, read_file(folder / name));
    }
  }
  ledger::parse_textproto(read_file(folder / "state.textproto"), "state", forgery.state);
  return forgery;
}

// A span with these lines, whether a run writes such or not; a sample without a place gets one.
inline Span forged_span(const std::string& lines, uint64_t first_step, Places places) {
  std::vector<std::pair<StepFacts, bool>> steps;  // and whether the line is a codec's
  std::istringstream text(lines);
  for (std::string line; std::getline(text, line);) {
    std::istringstream words(line);
    std::string word, loss, norm, applied;
    StepFacts facts;
    words >> word;
    const bool codec = word == "codec";
    if (!codec) words >> facts.step >> word >> loss >> word >> norm >> applied;
    const auto value = [](const std::string& bits) {
      return std::bit_cast<float>(static_cast<uint32_t>(std::stoul("0" + bits, nullptr, 16)));
    };
    facts.loss = value(loss);
    facts.gradient_norm = value(norm);
    facts.applied = applied == "applied";
    while (words >> word) {
      facts.samples.push_back(*parse_digest(word));
      places.try_emplace(facts.samples.back(), Place{places.begin()->second.shard, 99, 1'000'000});
    }
    steps.emplace_back(facts, codec);
  }
  Span span(first_step, std::make_shared<const Places>(places));
  for (const auto& [facts, codec] : steps) codec ? span.codec(facts.samples) : span.step(facts);
  return span;
}

// The safetensors file `bytes` with `to` for `from` in its header, which is then as a run writes
// it.
inline std::string with_header(const std::string& bytes, const std::string& from,
                               const std::string& to) {
  uint64_t size = 0;
  std::memcpy(&size, bytes.data(), sizeof size);
  std::string header = bytes.substr(8, size);
  header.erase(header.find_last_not_of(' ') + 1);
  header.replace(header.find(from), from.size(), to);
  header.resize((header.size() + 7) / 8 * 8, ' ');
  const uint64_t now = header.size();
  return std::string(reinterpret_cast<const char*>(&now), sizeof now) + header +
         bytes.substr(8 + size);
}

// SHA256SUMS as it must be for the files that lie there now.
inline void sum_again(const std::filesystem::path& folder) {
  std::string sums;
  for (const FileDigest& file : read_sums(folder)) {
    sums += to_hex(ledger::sha256(read_file(folder / file.name))) + "  " + file.name + "\n";
  }
  write_file(folder / "SHA256SUMS", sums);
}

// Writes RUN/step-NNNNNN anew, with everything that hangs on it, signed by the trainer.
inline void forge(const GateFixture& f, const std::filesystem::path& run, uint64_t step,
                  const std::function<void(Forgery&)>& change) {
  const std::filesystem::path folder = step_folder(run, step);
  Forgery forgery = read_forgery(folder);
  change(forgery);
  const std::string config = read_file(folder / "config.textproto");
  const ledger::SignerKey trainer = ledger::read_signer_key(f.trainer_key());
  std::filesystem::remove_all(folder);

  State& state = forgery.state;
  const size_t first = forgery.lines.find("step ");
  const Span span =
      forged_span(forgery.lines, std::stoull(forgery.lines.substr(first + 5)), forgery.places);
  CheckpointWriter writer(run, step);
  const auto write = [&](const std::string& name, std::string bytes) {
    forgery.bytes(name, bytes);
    return writer.write(name, bytes);
  };
  const Digest weights = writer.write(forgery.weights_name, forgery.weights);
  writer.write(forgery.optimiser_name, forgery.optimiser);
  writer.write("config.textproto", config);
  writer.write("steps.txt", forgery.lines);
  writer.write(kPlacesFile, span.places_text());
  writer.write("totals.txt", forgery.totals);
  ReceiptFacts facts;
  facts.run = state.run();
  facts.permit = *ledger::parse_digest_name(state.permit());
  facts.origin = state.origin();
  facts.tree_size = state.tree_size();
  facts.tree_root = state.tree_root();
  if (state.has_previous_receipt())
    facts.previous = *ledger::parse_digest_name(state.previous_receipt());
  facts.weights = weights;
  forgery.receipt(facts);
  state.set_receipt(
      ledger::digest_name(write("receipt.note", write_receipt(span, facts, trainer))));
  state.set_weights(ledger::digest_name(weights));
  state.set_tensors(ledger::digest_name(writer.write("tensors.txt", forgery.tensors)));
  forgery.last(state);
  write("state.textproto", ledger::format_textproto(state));
  for (const auto& [name, text] : forgery.more) writer.write(name, text);
  State stated = state;
  forgery.statement(stated);
  write(std::string(kStatementFile),
        write_statement(stated, span.steps_root(), writer.files(), trainer));
  writer.commit();
}

}  // namespace cleared::train
