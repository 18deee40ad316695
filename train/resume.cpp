#include "train/resume.h"

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/base/log.h"
#include "ledger/bundle.h"
#include "ledger/digest.h"
#include "ledger/key.h"
#include "ledger/textproto.h"
#include "ledger/trust.h"
#include "train/check.h"
#include "train/data/config.h"
#include "train/data/order.h"
#include "train/loop.h"
#include "train/model/machine.h"
#include "train/outbox.h"
#include "train/passes.h"
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

RunFile run_file_of(const State& state) {
  RunFile file;
  file.set_run(state.run());
  file.set_permit(state.permit());
  file.set_config(state.config());
  file.set_code_version(state.code_version());
  file.set_seed(state.seed());
  file.set_ranks(state.ranks());
  return file;
}

Digest digest_at(const std::string& name) {
  return ledger::parse_digest_name(name).value_or(Digest{});
}

bool has_run_file(const fs::path& run) {
  return fs::exists(run / "run.textproto");
}

// What the folder says it is: this checkpoint's run, or one that came after it. Lost, it is made
// again, as the run was told to the ledger, or else as it was at the checkpoint.
RunFile run_file_for(const fs::path& run, const State& state) {
  if (!has_run_file(run)) {
    write_run_file(run, delivered_run(run, state.run()).value_or(run_file_of(state)));
  }
  RunFile file = read_run_file(run);
  const auto& before = file.before();
  if (file.run() == state.run() ||
      std::find(before.begin(), before.end(), state.run()) != before.end()) {
    return file;
  }
  throw Error(Errc::corrupt, (run / "run.textproto").string(), ": is of run ", file.run(),
              ", and the checkpoint of step ", state.step(), " is of run ", state.run(),
              ": put back the right one, or take it away to have it made again");
}

State read_state(const fs::path& folder) {
  State state;
  const std::string path = (folder / "state.textproto").string();
  ledger::parse_textproto(read_file(path), path, state);
  return state;
}

// A run may have been killed between a checkpoint and its bundle. What it consumed is told before
// anything else becomes of the checkpoint, even where the weights have been damaged since.
void deliver_undelivered(const fs::path& run) {
  const auto told = told_receipts(run);
  const std::vector<uint64_t> steps = checkpoint_steps(run);
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    const fs::path folder = step_folder(run, *step);
    try {
      const State state = read_state(folder);
      if (told.contains(state.receipt())) continue;
      if (run_file_for(run, state).run() != state.run()) continue;
      for (const FileDigest& file : read_sums(folder)) {
        if (is_of_tensors(file.name)) continue;
        check_digest(folder, file, digest_of_file(folder / file.name));
      }
      deliver_checkpoint(run, folder);
    } catch (const Error& error) {
      if (error.code() != Errc::corrupt && error.code() != Errc::not_found) throw;
      log(Level::warn, "run.not_told", {{"checkpoint", folder.string()}, {"why", error.what()}});
    }
  }
}

// Refused before anything is set aside for it.
void require_passes(const RunOptions& options, const RunConfig& config, const ledger::Gate& gate,
                    const Position& position, uint64_t order_first_step) {
  const uint64_t step = position.state.step();
  const uint64_t end_step = std::min(options.until.value_or(config.steps()), config.steps());
  const Order order = order_of(config, gate, order_first_step);
  Totals consumed = position.consumed;
  if (step == 0) add_fit(consumed, gate, fit_samples(config, gate));
  check_passes(gate, order, passes_before(gate, order, consumed, step, end_step), end_step);
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
  if (checkpoint.state.step() != step) {
    throw Error(Errc::corrupt, "checkpoint ", folder.string(), ": holds the state of step ",
                checkpoint.state.step(), ": give the folder its name back, or --from another");
  }
  if (checkpoint.state.config() != ledger::digest_name(loaded.digest)) {
    throw Error(Errc::config, "resume ", folder.string(), ": it was made from another config (",
                checkpoint.state.config(), ") than ", options.config.string(),
                "; give that config, another --out, or --fresh");
  }
  return checkpoint;
}

// Checkpoints that the ledger was told of and that are gone: somebody took them away, and their
// steps would be made again as if they had not been.
void require_told(const fs::path& run, const RunFile& file, const std::set<uint64_t>& told,
                  uint64_t newest) {
  if (told.empty() || *told.rbegin() <= newest) return;
  throw Error(Errc::not_found, "resume ", run.string(), ": the ledger is told of run ", file.run(),
              " up to step ", *told.rbegin(), ", and ",
              step_folder(run, *told.rbegin()).filename().string(),
              " is not there: put it back, or say --from ", newest,
              " to make steps again as another run, which counts beside it");
}

// Whoever goes on with a copy of the folder makes steps that the ledger may be told of twice, once
// by each: they are another run's, as those made again are. A folder of before it said where it is
// is believed.
bool is_a_copy(const fs::path& run, const std::optional<RunFile>& file) {
  return file && file->has_place() && file->place() != place_of(run);
}

// A permit that has counted what one run consumed is for that run going on, and for what began
// under it already.
void require_counted(const ledger::Gate& gate, const std::string& resumed, bool begun) {
  const ledger::Permit& permit = gate.permit();
  if (!permit.has_counted() || permit.counted().run() == resumed || begun) return;
  throw ledger::Refused(
      ledger::no("permit_other_run",
                 "the permit is for run " + permit.counted().run() + " going on, and this one " +
                     (resumed.empty() ? "starts from the seed" : "goes on from " + resumed)));
}

}  // namespace

Position open_run(const RunOptions& options, const LoadedConfig& loaded, const ledger::Gate& gate,
                  const Machine& machine, int ranks, const ledger::SignerKey& trainer) {
  make_folders(options.out);
  sweep(options.out);
  deliver_undelivered(options.out);
  const std::string permit_name = ledger::digest_name(gate.permit_digest());
  const auto newest = options.fresh ? std::nullopt : find_checkpoint(options.out, options.from);
  const uint64_t newest_step = newest.value_or(0);

  if (options.must_resume && !newest) {
    throw Error(Errc::not_found, "resume ", options.out.string(),
                ": there is no checkpoint to go on from; `train run` starts from the seed");
  }

  Position position;
  position.trusted = ledger::read_trust(options.gate.trust).keys;
  position.trusted.push_back({"trainer", trainer.verifier});
  State& state = position.state;
  std::optional<RunFile> file;
  if (!newest && !options.fresh && has_run_file(options.out)) file = read_run_file(options.out);
  if (newest) {
    position.resumed_from = step_folder(options.out, newest_step);
    Checkpoint checkpoint = load(newest_step, options, loaded, position.trusted);
    state = checkpoint.state;
    position.totals = std::move(checkpoint.text.totals);
    position.tensors = std::move(checkpoint.tensors);
    state.set_parent(state.weights());
    state.set_previous_receipt(state.receipt());
    if (!is_described(machine, state.machine())) {
      log(Level::warn, "run.resume",
          {{"was", state.machine()}, {"note", "another machine may give other bits"}});
    }
    if (state.ranks() != static_cast<uint32_t>(ranks) &&
        loaded.config.gradients() == RunConfig::REDUCER) {
      log(Level::warn, "run.resume",
          {{"was", std::to_string(state.ranks()) + " ranks"},
           {"note", "another number of ranks gives other bits with gradients: REDUCER"}});
    }
    if (state.code_version() != code_version()) {
      log(Level::warn, "run.resume",
          {{"was", state.code_version()},
           {"is", code_version()},
           {"note", "another program may give other bits"}});
    }
    file = run_file_for(options.out, state);
  }
  if (!newest) state.set_step(0);
  const auto told = file ? delivered_steps(options.out, file->run()) : std::set<uint64_t>();
  if (!options.from && file) require_told(options.out, *file, told, state.step());
  const auto permits = gate.permits();
  const bool began_under_it =
      file && std::find(permits.begin(), permits.end(), digest_at(file->permit())) != permits.end();
  require_counted(gate, state.run(), newest && began_under_it);
  const std::string samples = ledger::digest_name(samples_root(loaded.config, gate));
  const bool other_samples = newest && samples != state.samples_root();
  if (!newest || other_samples) state.set_order_first_step(state.step());
  position.consumed = passes_under(gate, options.out, state, position.totals);
  require_passes(options, loaded.config, gate, position, state.order_first_step());

  if (options.fresh) set_aside_all(options.out);
  position.set_aside = set_aside_after(options.out, newest_step);

  const ledger::Permit& permit = gate.permit();
  state.set_permit(permit_name);
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
    state.set_first_loss(0);
    state.set_smooth_loss(0);
  }

  // A step is told of a run once: what is made again after it was told is another run.
  const bool copied = is_a_copy(options.out, file);
  const bool again = copied || position.set_aside > 0 ||
                     (options.from && !told.empty() && *told.rbegin() > state.step());
  if (newest && !other_samples && !again && file->run() == state.run()) {
    if (!file->has_place()) {
      file->set_place(place_of(options.out));
      write_run_file(options.out, *file);
    }
    return position;
  }
  // One that was killed before its first checkpoint is still that run.
  const bool begun =
      file && !again && told.empty() && began_under_it && (!newest || file->run() != state.run());
  state.set_run(begun ? file->run() : new_run_name(loaded.config.name()));
  if (copied) {
    log(Level::warn, "run.copied",
        {{"was", file->run()},
         {"is", state.run()},
         {"note", "the folder was copied or moved here, so what it makes now is another run's"}});
  }
  RunFile begins = run_file_of(state);
  begins.set_place(place_of(options.out));
  if (file) *begins.mutable_before() = file->before();
  if (file && !begun) begins.add_before(file->run());
  write_run_file(options.out, begins);
  return position;
}

}  // namespace cleared::train
