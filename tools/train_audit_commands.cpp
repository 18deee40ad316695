#include "tools/train_audit_commands.h"

#include <cstdlib>
#include <memory>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "ledger/base/clock.h"
#include "ledger/base/error.h"
#include "ledger/trust.h"
#include "tools/cli.h"
#include "tools/launch.h"
#include "tools/train_output.h"
#include "train/agree.h"
#include "train/environment.h"
#include "train/replay.h"

namespace cleared::tools {
namespace {

struct Options {
  train::ReplayOptions replay;
  train::Step0Options step0;
  std::string at;
  int ranks = 0;
  bool json = false;
  bool quiet = false;
  char** argv = nullptr;
};

nlohmann::ordered_json to_json(const std::optional<train::Disagreement>& no) {
  if (!no) return nullptr;
  return {
      {"step", no->step}, {"what", no->what}, {"claimed", no->claimed}, {"replayed", no->replayed}};
}

int say_no(const train::Disagreement& no, const std::string& hint = "") {
  std::fprintf(stderr, "train: step %llu disagrees: %s: the run says %s, it is %s%s\n",
               static_cast<unsigned long long>(no.step), printable(no.what).c_str(),
               printable(no.claimed).c_str(), printable(no.replayed).c_str(), hint.c_str());
  return exit_no;
}

void show(const Options& options, const train::ReplayReport& report) {
  const bool agrees = !report.disagreement;
  if (options.json) {
    return print({{"agrees", agrees},
                  {"run", report.run},
                  {"from", report.from},
                  {"end", report.end},
                  {"steps", report.steps},
                  {"checkpoints", report.checkpoints},
                  {"tensors", report.tensors},
                  {"exact", options.replay.tolerance == 0},
                  {"tolerance", options.replay.tolerance},
                  {"largest_difference", report.largest},
                  {"same_machine", report.same_machine},
                  {"machine", report.machine},
                  {"claimed_machine", report.claimed_machine},
                  {"permit_judged_at", report.judged_at},
                  {"permit_expires_at", report.expires_at},
                  {"disagreement", to_json(report.disagreement)}});
  }
  Lines lines(options.json, options.quiet);
  if (!report.judged_at.empty()) {
    lines.lasting("permit judged at " + report.judged_at + ", " +
                  (options.replay.at_us ? "as asked for" : "when it was issued") +
                  ": it ended at " + report.expires_at);
  }
  if (!agrees) return;
  const auto number = [](uint64_t n) { return static_cast<unsigned long long>(n); };
  lines.lasting(text("agrees: run %s, steps %llu to %llu made again: %llu of %llu lines of its run "
                     "receipts, %llu tensors of %llu checkpoint%s, ",
                     report.run.c_str(), number(report.from), number(report.end - 1),
                     number(report.steps), number(report.end - report.from), number(report.tensors),
                     number(report.checkpoints), report.checkpoints == 1 ? "" : "s") +
                (options.replay.tolerance == 0
                     ? std::string("bit for bit")
                     : text("at most %.2g of a tensor off", report.largest)));
  if (report.checkpoints == 0) {
    lines.lasting("no checkpoint lies at the end, so only the lines were compared");
  }
}

int do_replay(Options& options) {
  if (!options.at.empty()) {
    options.replay.at_us = parse_time(options.at);
    if (!options.replay.at_us) {
      throw Error(Errc::usage, "--at ", options.at, ": not a time like 2026-01-31T23:59:59Z");
    }
  }
  if (std::getenv("RANK") == nullptr) {
    const auto& replay = options.replay;
    const int ranks = train::claimed_ranks({replay.run, replay.from, replay.steps},
                                           ledger::read_trust(replay.gate.trust).keys,
                                           {options.ranks, replay.threads})
                          .ranks;
    if (ranks > 1) return launch_ranks({.ranks = ranks, .restarts = 0, .least = {}}, options.argv);
  }
  const bool first = train::world_from_environment().rank == 0;
  Lines lines(options.json, options.quiet);
  if (lines.terminal()) {
    options.replay.on_step = [&](uint64_t step, uint64_t end) {
      lines.passing(text("step %llu/%llu", static_cast<unsigned long long>(step),
                         static_cast<unsigned long long>(end)));
    };
  }
  options.replay.on_lost = end_lost;
  try {
    const train::ReplayReport report = train::replay(options.replay);
    if (!first) return report.disagreement ? exit_no : exit_ok;
    show(options, report);
    if (!report.disagreement) return exit_ok;
    return say_no(*report.disagreement,
                  !report.same_machine && options.replay.tolerance == 0
                      ? "; this machine is another than the run's, so give a --tolerance"
                      : "");
  } catch (const ledger::Refused& no) {
    return first ? refused(options.json, no.verdict()) : exit_refused;
  } catch (const train::SharedError& error) {
    if (first) throw;
    return exit_of(error.code());
  }
}

int do_step0(const Options& options) {
  const train::Step0Report report = train::step0(options.step0);
  if (options.json) {
    print({{"agrees", !report.disagreement},
           {"run", report.run},
           {"seed", report.seed},
           {"tensors", report.tensors},
           {"from_footage", report.from_footage},
           {"foreign", report.foreign},
           {"text_encoder", report.text_encoder},
           {"checkpoints", report.checkpoints},
           {"disagreement", to_json(report.disagreement)}});
  }
  if (report.disagreement) return say_no(*report.disagreement);
  Lines lines(options.json, options.quiet);
  const auto number = [](uint64_t n) { return static_cast<unsigned long long>(n); };
  lines.lasting(text(
      "agrees: run %s began from its seed: %llu tensors made again from seed %llu, "
      "as %llu checkpoints say",
      report.run.c_str(), number(report.tensors), number(report.seed), number(report.checkpoints)));
  for (const std::string& weights : report.foreign) {
    lines.lasting("and from foreign weights " + weights);
  }
  if (!report.text_encoder.empty()) {
    lines.lasting("and from the text encoder of " + report.text_encoder);
  }
  lines.lasting(
      text("%llu tensors of the codec come from the footage: replay --from 0 makes them "
           "again, and shows that training went on from there",
           number(report.from_footage)));
  return exit_ok;
}

}  // namespace

std::function<std::optional<int>()> add_audit_commands(CLI::App& app, char** argv) {
  auto o = std::make_shared<Options>();
  o->argv = argv;
  const auto add_output = [&](CLI::App* command) {
    command->add_flag("--json", o->json, "one JSON object a line on stdout");
    command->add_flag("-q,--quiet", o->quiet, "print nothing but errors");
  };
  CLI::App* replay = app.add_subcommand(
      "replay", "make steps of a run again and compare: receipts, then every tensor");
  replay->footer(R"(Examples:
  train replay runs/nano --permit nano.permit --trust auditor.trust --shards shards
  train replay runs/nano --from 100 --steps 100 (the same) --tolerance 1e-3

The trust file holds the keys that signed the permit, and the trainer's. A permit lives for hours:
here it is judged at the time it was issued, or at --at, and nothing that is computed is kept.
Exit codes: 0 it agrees, 1 it does not (the line names the first step), 3 refused by the gate,
65 damaged files, 66 no such checkpoint.)");
  auto& r = o->replay;
  replay->add_option("run", r.run, "the run's folder")->required();
  replay->add_option("--from", r.from, "step of the checkpoint to start from; 0: the seed")
      ->capture_default_str();
  replay->add_option("--steps", r.steps, "how many; default: to the next checkpoint")
      ->check(CLI::PositiveNumber);
  replay->add_option("--permit", r.gate.permit, "the permit that the run was made under")
      ->required();
  replay->add_option("--trust", r.gate.trust, "public keys of approver, log and trainer")
      ->required();
  replay->add_option("--shards", r.gate.shards, "folder of shards and manifests")->required();
  replay->add_option("--notices", r.gate.notices,
                     "folder of revocations; those after the permit's time do not count");
  replay->add_option("--at", o->at, "judge the permit at this time, as 2026-01-31T23:59:59Z");
  replay
      ->add_option("--tolerance", r.tolerance,
                   "greatest relative difference, for another machine; 0: bit for bit")
      ->check(CLI::Range(0.0, 1.0));
  replay->add_option("--threads", r.threads, "of each rank; default: as the run had")
      ->check(CLI::Range(1, 1024));
  replay->add_option("--nproc-per-node", o->ranks, "ranks to start; default: as the run had")
      ->check(CLI::Range(1, 1024));
  replay->add_option("--curate", r.curate, "the curate program, for decoding");
  replay->add_option("--foreign", r.foreign, "weights from elsewhere that the run started from");
  replay->add_option("--vae", r.vae, "checkpoint of the autoencoder, where the config wants one");
  replay->add_option("--text", r.text,
                     "checkpoint of the text encoder, where the config begins with a trained one");
  add_output(replay);

  CLI::App* step0 = app.add_subcommand(
      "step0", "make a run's initial weights again from its seed, and compare every tensor");
  step0->footer(R"(Example:
  train step0 runs/nano --trust auditor.trust

Exit codes: 0 the run began from its seed, 1 it did not, 65 damaged files, 66 no checkpoint.)");
  step0->add_option("run", o->step0.run, "the run's folder")->required();
  step0->add_option("--foreign", o->step0.foreign, "weights from elsewhere that it started from");
  step0->add_option("--text", o->step0.text, "checkpoint of the text encoder that it began with");
  step0->add_option("--trust", o->step0.trust, "public keys: the trainer's must be there")
      ->required();
  add_output(step0);

  return [o, replay, step0]() -> std::optional<int> {
    if (replay->parsed()) return do_replay(*o);
    if (step0->parsed()) return do_step0(*o);
    return {};
  };
}

}  // namespace cleared::tools
