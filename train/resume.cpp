#include "train/resume.h"

#include <random>

#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/base/log.h"
#include "ledger/digest.h"
#include "ledger/key.h"
#include "ledger/trust.h"
#include "train/check.h"
#include "train/data/config.h"
#include "train/loop.h"
#include "train/model/machine.h"
#include "train/outbox.h"
#include "train/run_folder.h"
#include "train/statement.h"
#include "train/version.h"

namespace cleared::train {
namespace fs = std::filesystem;
namespace {

// The one thing here that is not a function of config and permit: two runs of one config are two
// runs.
std::string new_run_name(const std::string& config_name) {
  std::random_device random;
  uint64_t number = uint64_t{random()} << 32 | random();
  return config_name + "-" + to_hex(std::as_bytes(std::span(&number, 1)));
}

void start_run(const RunOptions& options, State& state) {
  RunFile file;
  file.set_run(state.run());
  file.set_permit(state.permit());
  file.set_config(state.config());
  file.set_code_version(state.code_version());
  file.set_seed(state.seed());
  file.set_ranks(state.ranks());
  write_run_file(options.out, file);
}

Checkpoint load(uint64_t step, const RunOptions& options, const LoadedConfig& loaded,
                const std::vector<ledger::PublicKey>& trusted) {
  const fs::path folder = step_folder(options.out, step);
  Checkpoint checkpoint;
  try {
    checkpoint = read_checkpoint(folder, {});
  } catch (const Error& error) {
    name_last_good(options.out, step, error);
  }
  verify_statement(folder, trusted);
  if (checkpoint.state.config() != ledger::digest_name(loaded.digest)) {
    throw Error(Errc::config, "resume ", folder.string(), ": it was made from another config (",
                checkpoint.state.config(), ") than ", options.config.string(),
                "; give that config, another --out, or --fresh");
  }
  return checkpoint;
}

}  // namespace

Position open_run(const RunOptions& options, const LoadedConfig& loaded, const ledger::Gate& gate,
                  const Machine& machine, int ranks, const ledger::SignerKey& trainer) {
  make_folders(options.out);
  if (options.fresh) set_aside_all(options.out);
  const auto newest = find_checkpoint(options.out, options.from);

  if (options.must_resume && !newest) {
    throw Error(Errc::not_found, "resume ", options.out.string(),
                ": there is no checkpoint to go on from; `train run` starts from the seed");
  }

  Position position;
  position.trusted = ledger::read_trust(options.gate.trust).keys;
  position.trusted.push_back({"trainer", trainer.verifier});
  State& state = position.state;
  if (newest) {
    position.resumed_from = step_folder(options.out, *newest);
    Checkpoint checkpoint = load(*newest, options, loaded, position.trusted);
    state = checkpoint.state;
    position.resumed_run = state.run();
    position.totals = std::move(checkpoint.text.totals);
    position.tensors = std::move(checkpoint.tensors);
    state.set_parent(state.weights());
    state.set_previous_receipt(state.receipt());
    if (state.machine() != describe(machine) || state.ranks() != static_cast<uint32_t>(ranks)) {
      log(Level::warn, "run.resume",
          {{"was", state.machine() + " ranks=" + std::to_string(state.ranks())},
           {"note", "another machine or number of ranks may give other bits"}});
    }
    // A crash may have come between a checkpoint and its bundle.
    if (read_run_file(options.out).run() == state.run()) {
      deliver_checkpoint(options.out, position.resumed_from);
    }
  }
  position.set_aside = set_aside_after(options.out, newest.value_or(0));

  const std::string samples = ledger::digest_name(samples_root(loaded.config, gate));
  const bool other_samples = newest && samples != state.samples_root();
  const ledger::Permit& permit = gate.permit();
  state.set_permit(ledger::digest_name(gate.permit_digest()));
  state.set_config(ledger::digest_name(loaded.digest));
  state.set_code_version(code_version());
  state.set_seed(loaded.config.seed());
  state.set_ranks(static_cast<uint32_t>(ranks));
  state.set_threads(static_cast<uint32_t>(machine.threads));
  state.set_machine(describe(machine));
  state.set_origin(permit.origin());
  state.set_tree_size(permit.tree_size());
  state.set_tree_root(permit.tree_root());
  state.set_samples_root(samples);
  if (!newest) {
    state.set_step(0);
    state.set_first_loss(0);
    state.set_smooth_loss(0);
  }
  if (!newest || other_samples) {
    state.set_order_first_step(state.step());
    const bool killed_before =
        !newest && !options.fresh && fs::exists(options.out / "run.textproto");
    // A run that was killed before its first checkpoint is still that run.
    state.set_run(killed_before && read_run_file(options.out).permit() == state.permit()
                      ? read_run_file(options.out).run()
                      : new_run_name(loaded.config.name()));
    start_run(options, state);
  }
  return position;
}

}  // namespace cleared::train
