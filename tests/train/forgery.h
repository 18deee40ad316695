// Checkpoints that are not what a run wrote, and yet are signed as if they were: for tests of what
// finds them out.
#pragma once

#include <functional>
#include <string>

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
  State state;
  std::string weights, optimiser, tensors;
};

inline Forgery read_forgery(const std::filesystem::path& folder) {
  Forgery forgery{.lines = read_file(folder / "steps.txt"),
                  .state = {},
                  .weights = read_file(folder / "weights.safetensors"),
                  .optimiser = read_file(folder / "optimizer.safetensors"),
                  .tensors = read_file(folder / "tensors.txt")};
  ledger::parse_textproto(read_file(folder / "state.textproto"), "state", forgery.state);
  return forgery;
}

// Writes RUN/step-NNNNNN anew, with everything that hangs on it, signed by the trainer.
inline void forge(const GateFixture& f, const std::filesystem::path& run, uint64_t step,
                  const std::function<void(Forgery&)>& change) {
  const std::filesystem::path folder = step_folder(run, step);
  Forgery forgery = read_forgery(folder);
  change(forgery);
  const std::string config = read_file(folder / "config.textproto");
  const std::string totals = read_file(folder / "totals.txt");
  const ledger::SignerKey trainer = ledger::read_signer_key(f.trainer_key());
  std::filesystem::remove_all(folder);

  State& state = forgery.state;
  uint64_t first_step = step;
  for (const char c : forgery.lines) first_step -= c == '\n' ? 1 : 0;
  if (forgery.lines.starts_with("codec")) ++first_step;
  const Span span = parse_span(forgery.lines, first_step, "forged");
  CheckpointWriter writer(run, step);
  const Digest weights = writer.write("weights.safetensors", forgery.weights);
  writer.write("optimizer.safetensors", forgery.optimiser);
  writer.write("config.textproto", config);
  writer.write("steps.txt", forgery.lines);
  writer.write("totals.txt", totals);
  ReceiptFacts facts;
  facts.run = state.run();
  facts.permit = *ledger::parse_digest_name(state.permit());
  facts.origin = state.origin();
  facts.tree_size = state.tree_size();
  facts.tree_root = state.tree_root();
  if (state.has_previous_receipt())
    facts.previous = *ledger::parse_digest_name(state.previous_receipt());
  facts.weights = weights;
  state.set_receipt(
      ledger::digest_name(writer.write("receipt.note", write_receipt(span, facts, trainer))));
  state.set_weights(ledger::digest_name(weights));
  state.set_tensors(ledger::digest_name(writer.write("tensors.txt", forgery.tensors)));
  writer.write("state.textproto", ledger::format_textproto(state));
  writer.write(std::string(kStatementFile),
               write_statement(state, span.steps_root(), writer.files(), trainer));
  writer.commit();
}

}  // namespace cleared::train
