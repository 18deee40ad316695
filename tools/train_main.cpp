// The `train` program: command line, progress and exit codes. What it does is in train/loop.h,
// train/sample.h and train/check.h.
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "ledger/base/error.h"
#include "ledger/digest.h"
#include "tools/arguments.h"
#include "tools/cli.h"
#include "tools/launch.h"
#include "tools/train_audit_commands.h"
#include "tools/train_output.h"
#include "tools/train_stage_commands.h"
#include "train/agree.h"
#include "train/check.h"
#include "train/data/config.h"
#include "train/environment.h"
#include "train/loop.h"
#include "train/model/memory.h"
#include "train/sample.h"
#include "train/version.h"

namespace {

using namespace cleared;
using tools::bar;
using tools::Lines;
using tools::print;
using tools::refused;
using tools::text;

constexpr const char* kExamples = R"(Examples:
  train check  --config configs/nano.textproto --permit nano.permit --trust approver.pub \
               --shards shards --notices notices
  train run    (the same) --key trainer.key --out runs/nano --nproc-per-node 2
  train resume (the same): fails rather than start from the seed
  torchrun --no-python --nproc-per-node 8 train run (the same) --key trainer.key --out runs/nano
  train vae    (the same, with a config of stage AUTOENCODER) --out runs/vae
  train text   (the same, with a config of stage TEXT_ENCODER) --out runs/text
  train encode --checkpoint runs/vae/step-001000 (permit, trust, shards, notices) --out latents
  train eval   --checkpoint runs/nano/step-000400 (permit, trust, shards, notices)
  train plan   configs/small.textproto
  train replay runs/nano --from 100 --permit nano.permit --trust auditor.trust --shards shards
  train step0  runs/nano --trust auditor.trust
  train sample --checkpoint runs/nano/step-000400 --release nano.release --trust approver.pub \
               --notices notices --caption "A city street" --out street.gif

Exit codes: 0 done, 1 a replay says no, 2 usage, 3 refused by the gate, 65 bad data, 66 no input, 70 a bug,
74 I/O or memory, 75 interrupted after a checkpoint (run again to go on), 77 key or permission, 78 bad config.)";

struct Options {
  train::RunOptions run;
  train::SampleCommand sample;
  int ranks = 1;
  int restarts = 3;
  std::optional<int> least;
  std::optional<train::RunConfig::Stage> stage;  // that the command is for
  bool json = false;
  bool quiet = false;
  bool dry_run = false;
  bool commercial = false;
};

std::atomic<bool> g_stop = false;

void show_start(Lines& lines, const train::StartReport& start) {
  if (lines.json()) {
    return print({{"event", "start"},
                  {"run", start.run},
                  {"step", start.first_step},
                  {"samples", start.samples},
                  {"parameters", start.parameters},
                  {"ranks", start.ranks},
                  {"backend", start.backend},
                  {"machine", start.machine},
                  {"peak_flops_per_s", start.peak_flops_per_s},
                  {"foreign", start.foreign},
                  {"resumed_from", start.resumed_from.string()},
                  {"set_aside", start.set_aside}});
  }
  const std::string from = start.resumed_from.empty()
                               ? "from the seed"
                               : "from " + start.resumed_from.filename().string();
  lines.lasting("run " + start.run + ": " + from +
                text(", %llu samples, %.2f M parameters, %d rank%s",
                     static_cast<unsigned long long>(start.samples),
                     static_cast<double>(start.parameters) / 1e6, start.ranks,
                     start.ranks == 1 ? "" : "s") +
                (start.backend == "none" ? "" : " over " + start.backend));
  for (const std::string& weights : start.foreign) {
    lines.lasting("it began with foreign weights " + weights);
  }
  if (start.set_aside > 0) {
    lines.lasting(text("%zu later checkpoints were set aside, none deleted", start.set_aside));
  }
}

void show_step(Lines& lines, const train::StepReport& step, uint32_t every) {
  const bool due = step.step % every == 0 || step.step + 1 == step.steps;
  if (lines.json()) {
    return print({{"event", "step"},
                  {"step", step.step},
                  {"loss", step.loss},
                  {"loss_smooth", step.smooth_loss},
                  {"learning_rate", step.learning_rate},
                  {"gradient_norm", step.gradient_norm},
                  {"applied", step.applied},
                  {"discriminator_loss", step.discriminator_loss
                                             ? nlohmann::ordered_json(*step.discriminator_loss)
                                             : nlohmann::ordered_json()},
                  {"seconds", step.seconds},
                  {"samples_per_s", step.samples_per_s},
                  {"tokens_per_s", step.tokens_per_s},
                  {"peak_share", step.peak_share},
                  {"eta_s", step.eta_s},
                  {"memory_bytes", step.memory_bytes},
                  {"stall_share", step.stall_share},
                  {"gate_share", step.gate_share}});
  }
  const std::string line = text(
      "step %llu/%llu  loss %.4f (smooth %.4f)  lr %.2e  norm %.2f  %.1f samples/s  %.0f %% of "
      "peak  "
      "stall %.1f %%  gate %.2f %%  %s left",
      static_cast<unsigned long long>(step.step + 1), static_cast<unsigned long long>(step.steps),
      step.loss, step.smooth_loss, step.learning_rate, step.gradient_norm, step.samples_per_s,
      100 * step.peak_share, 100 * step.stall_share, 100 * step.gate_share,
      tools::duration_text(step.eta_s).c_str());
  if (lines.terminal()) {
    lines.passing(bar(static_cast<double>(step.step + 1) / static_cast<double>(step.steps)) + " " +
                  line);
  } else if (due) {
    lines.lasting(line);
  }
}

void show_checkpoint(Lines& lines, const train::CheckpointReport& checkpoint) {
  if (lines.json()) {
    return print({{"event", "checkpoint"},
                  {"step", checkpoint.step},
                  {"folder", checkpoint.folder.string()},
                  {"weights", checkpoint.weights},
                  {"tensors", checkpoint.tensors},
                  {"bundle", checkpoint.bundle.string()}});
  }
  lines.lasting("checkpoint " + checkpoint.folder.string() + "  weights " + checkpoint.weights);
}

void show_check(const Options& options, const train::CheckReport& report) {
  if (options.json) {
    return print({{"cleared", true},
                  {"run", report.run},
                  {"permit", to_hex(report.permit)},
                  {"expires_at", report.expires_at},
                  {"shards", report.shards},
                  {"samples", report.samples},
                  {"hashed_bytes", report.hashed_bytes},
                  {"seconds_of_footage", static_cast<double>(report.duration_us) / 1e6},
                  {"most_passes", report.most_passes}});
  }
  if (options.quiet) return;
  std::printf("cleared: run %s, %llu shards, %llu samples (%.1f s of footage), permit until %s\n",
              report.run.c_str(), static_cast<unsigned long long>(report.shards),
              static_cast<unsigned long long>(report.samples),
              static_cast<double>(report.duration_us) / 1e6, report.expires_at.c_str());
  std::printf("a whole run consumes a sample at most %llu times\n",
              static_cast<unsigned long long>(report.most_passes));
  if (report.hashed_bytes > 0) {
    std::printf("every sample's bytes were read and match the manifest\n");
  }
}

int do_check(const Options& options, bool read_samples) {
  try {
    show_check(options, train::check(train::load_config(options.run.config), options.run.gate,
                                     read_samples));
    return tools::exit_ok;
  } catch (const ledger::Refused& no) {
    return refused(options.json, no.verdict());
  }
}

// Ends after the step that is under way, with a checkpoint. A second Ctrl-C ends at once; SIGTERM
// may come twice, for timeout(1) and some schedulers tell a process and then its group.
void stop_on_signals() {
  // Whoever read what it says may go (`| head -1`): training goes on.
  struct sigaction unread {};
  unread.sa_handler = [](int) {};
  unread.sa_flags = SA_RESTART;
  ::sigaction(SIGPIPE, &unread, nullptr);
  struct sigaction stop {};
  stop.sa_handler = [](int) { g_stop = true; };
  stop.sa_flags = SA_RESTART;
  ::sigaction(SIGTERM, &stop, nullptr);
  stop.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
  ::sigaction(SIGINT, &stop, nullptr);
}

// Rank 0 speaks for what all ranks agreed on.
int do_other_rank(const Options& options) try {
  using End = train::RunResult::End;
  const End end = train::run(options.run).end;
  return end == End::refused       ? tools::exit_refused
         : end == End::interrupted ? tools::exit_busy
                                   : tools::exit_ok;
} catch (const train::SharedError& error) {
  return tools::exit_of(error.code());
}

int do_run(Options& options, char** argv) {
  if (options.dry_run) return do_check(options, false);
  const train::RunConfig config = train::load_config(options.run.config).config;
  if (options.stage && config.stage() != *options.stage) {
    throw Error(Errc::config, options.run.config.string(), ": stage: must be ",
                train::RunConfig::Stage_Name(*options.stage), "; train run is for the others");
  }
  if (std::getenv("RANK") == nullptr && options.ranks > 1) {
    if (options.least && *options.least > options.ranks) {
      throw Error(Errc::usage, "--nproc-min is more than --nproc-per-node");
    }
    return tools::launch_ranks({options.ranks, options.restarts, options.least}, argv);
  }
  const train::WorldOptions where = train::world_from_environment();
  if (where.launched) tools::end_with_parent();
  stop_on_signals();
  Lines lines(options.json, options.quiet);
  const uint32_t every = config.log_every();
  options.run.stop = &g_stop;
  options.run.on_start = [&](const auto& start) { show_start(lines, start); };
  options.run.on_step = [&](const auto& step) { show_step(lines, step, every); };
  options.run.on_checkpoint = [&](const auto& checkpoint) { show_checkpoint(lines, checkpoint); };
  options.run.on_lost = tools::end_lost;

  using End = train::RunResult::End;
  if (where.rank != 0) return do_other_rank(options);
  const train::RunResult result = train::run(options.run);
  if (result.end == End::refused) {
    if (result.last) {
      lines.lasting("stopped after step " + std::to_string(result.step) + ", checkpoint " +
                    result.last->folder.string());
    }
    return refused(options.json, result.verdict);
  }
  if (options.json) {
    print({{"event", "end"},
           {"run", result.run},
           {"step", result.step},
           {"interrupted", result.end == End::interrupted},
           {"first_loss", result.first_loss},
           {"loss_smooth", result.smooth_loss}});
  }
  if (result.end == End::interrupted) {
    std::fprintf(stderr,
                 "train: interrupted after step %llu; run the same command again to go on\n",
                 static_cast<unsigned long long>(result.step));
    return tools::exit_busy;
  }
  lines.lasting(text("done: step %llu, loss %.4f at the start, %.4f now (smooth)",
                     static_cast<unsigned long long>(result.step), result.first_loss,
                     result.smooth_loss));
  return tools::exit_ok;
}

int do_sample(Options& options) {
  Lines lines(options.json, options.quiet);
  if (lines.terminal()) {
    options.sample.progress = [&](int step, int steps) {
      lines.passing(bar(static_cast<double>(step) / steps) + " sampling");
    };
  }
  if (options.commercial) options.sample.use = ledger::GENERATE_COMMERCIAL;
  train::SampleReport report;
  try {
    report = train::sample_command(options.sample);
  } catch (const ledger::Refused& no) {
    return refused(options.json, no.verdict());
  }
  if (options.json) {
    print({{"run", report.run},
           {"step", report.step},
           {"caption", report.caption},
           {"seed", report.seed},
           {"file", options.sample.out.string()},
           {"size_bytes", report.size_bytes}});
    return tools::exit_ok;
  }
  lines.lasting(options.sample.out.string() + ": \"" + report.caption + "\", run " + report.run +
                ", step " + std::to_string(report.step) + ", seed " + std::to_string(report.seed));
  return tools::exit_ok;
}

void add_output(CLI::App* command, Options& o) {
  command->add_flag("--json", o.json, "one JSON object a line on stdout");
  command->add_flag("-q,--quiet", o.quiet, "print nothing but errors");
}

void add_gate(CLI::App* command, Options& o) {
  command->add_option("--config", o.run.config, "the run's config")->required();
  command->add_option("--permit", o.run.gate.permit, "signed permit for that config")->required();
  command->add_option("--trust", o.run.gate.trust, "public keys that may have signed the permit")
      ->required();
  command->add_option("--shards", o.run.gate.shards, "folder of shards and manifests")->required();
  command->add_option("--notices", o.run.gate.notices, "folder that revocations are delivered to")
      ->required();
}

void add_run(CLI::App* run, Options& o) {
  add_gate(run, o);
  add_output(run, o);
  run->add_option("--key", o.run.key, "the trainer's private key: signs receipts and statements")
      ->required();
  run->add_option("--out", o.run.out, "the run's folder")->required();
  run->add_option("--nproc-per-node", o.ranks,
                  "ranks to start on this machine, unless RANK says this is one")
      ->check(CLI::Range(1, 1024));
  run->add_option("--restarts", o.restarts,
                  "how often --nproc-per-node starts all ranks again when one was lost")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  run->add_option("--nproc-min", o.least,
                  "after --restarts go on with fewer ranks, a power of two, down to so many")
      ->check(CLI::Range(1, 1024));
  run->add_option("--threads", o.run.threads, "threads of each rank; the bits depend on it")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  run->add_option("--until", o.run.until, "stop after so many steps, with a checkpoint");
  run->add_option("--from", o.run.from, "go on from this step's checkpoint; later ones are kept");
  run->add_option("--curate", o.run.curate, "the curate program, for decoding");
  run->add_option("--vae", o.run.vae, "checkpoint of the autoencoder, where the config wants one");
  run->add_option("--text", o.run.text,
                  "checkpoint of the text encoder, where the config begins with a trained one");
  run->add_option(
      "--foreign", o.run.foreign,
      "weights from elsewhere, where the config starts from some (not when it goes on)");
  run->add_option("--profile", o.run.profile, "trace so many steps into OUT/trace.json (Chrome)")
      ->check(CLI::Range(1, 1000));
  run->add_flag("--leave-out-revoked", o.run.gate.leave_out,
                "when footage is revoked or its terms end: a checkpoint, then go on without it");
  run->add_flag("--dry-run", o.dry_run, "ask the gate, and say what the run would consume");
}

}  // namespace

int main(int argc, char** argv) {
  const auto command = [&]() -> int {
    Options o;
    CLI::App app("Train video models from cleared shards, and nothing else.", "train");
    app.footer(kExamples);
    app.require_subcommand(1);
    app.set_version_flag("--version", train::code_version());

    CLI::App* check = app.add_subcommand("check", "ask the gate, and hash every sample");
    add_gate(check, o);
    add_output(check, o);

    CLI::App* run = app.add_subcommand("run", "train; goes on from the newest checkpoint in OUT");
    add_run(run, o);
    run->add_flag("--fresh", o.run.fresh, "set what is in OUT aside and start from the seed");
    CLI::App* resume =
        app.add_subcommand("resume", "as run, but only where there is a checkpoint to go on from");
    add_run(resume, o);

    CLI::App* vae = app.add_subcommand(
        "vae", "train a video autoencoder: as run, with a config of stage AUTOENCODER");
    CLI::App* text = app.add_subcommand(
        "text", "train a text encoder on captions: as run, with a config of stage TEXT_ENCODER");
    for (CLI::App* stage : {vae, text}) {
      add_run(stage, o);
      stage->add_flag("--fresh", o.run.fresh, "set what is in OUT aside and start from the seed");
    }

    const auto stage = tools::add_stage_commands(app);
    const auto audit = tools::add_audit_commands(app, argv);

    CLI::App* sample = app.add_subcommand("sample", "make a clip from a checkpoint");
    sample->add_option("--checkpoint", o.sample.checkpoint, "folder of a checkpoint")->required();
    sample->add_option("--out", o.sample.out, "animated GIF, or NAME.webm, to write")->required();
    sample->add_option("--caption", o.sample.caption, "what to show (default: the config's)");
    sample
        ->add_option("--release", o.sample.release,
                     "the gate's yes for these weights: ledger release --use GENERATE_... --out")
        ->required();
    sample
        ->add_option("--trust", o.sample.trust,
                     "public keys: approvers that may have signed it; a trainer, of the checkpoint")
        ->required();
    sample->add_option("--notices", o.sample.notices, "folder that revocations are delivered to")
        ->required();
    sample->add_flag("--commercial", o.commercial, "for GENERATE_COMMERCIAL, not _INTERNAL");
    sample->add_option("--curate", o.sample.curate, "the curate program, for WebM files");
    sample->add_option("--ema", o.sample.ema, "which average, by its decay (default: the first)");
    sample->add_option("--shape", o.sample.shape,
                       "WIDTHxHEIGHTxFRAMES, of a config with buckets (default: its clip)");
    sample->add_option("--seed", o.sample.seed, "of the noise (default: the config's)");
    sample->add_option("--steps", o.sample.steps, "of the sampler")->check(CLI::Range(1, 10000));
    sample->add_option("--guidance", o.sample.guidance, "how much the caption counts; 1: plainly");
    sample->add_option("--scale", o.sample.scale, "pixels for each of the clip's")
        ->check(CLI::Range(1, 16))
        ->capture_default_str();
    sample->add_option("--threads", o.sample.threads, "0: one for each core")
        ->capture_default_str();
    add_output(sample, o);

    if (!tools::parse_arguments(app, argc, argv)) return tools::exit_ok;
    if (const auto code = stage()) return *code;
    if (const auto code = audit()) return *code;
    if (vae->parsed()) o.stage = train::RunConfig::AUTOENCODER;
    if (text->parsed()) o.stage = train::RunConfig::TEXT_ENCODER;
    o.run.must_resume = resume->parsed();
    if (check->parsed()) return do_check(o, true);
    if (sample->parsed()) return do_sample(o);
    return do_run(o, argv);
  };
  return tools::run_main("train", [&] {
    int code = tools::exit_internal;
    train::with_memory([&] { code = command(); });
    return code;
  });
}
