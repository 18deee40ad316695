#include "tools/train_stage_commands.h"

#include <algorithm>
#include <filesystem>
#include <memory>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "ledger/base/clock.h"
#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/extraction.h"
#include "ledger/key.h"
#include "ledger/note.h"
#include "ledger/notes.pb.h"
#include "ledger/textproto.h"
#include "tools/cli.h"
#include "tools/train_output.h"
#include "train/data/config.h"
#include "train/encode.h"
#include "train/evaluate.h"
#include "train/model/machine.h"
#include "train/model/peak.h"
#include "train/plan.h"
#include "train/setup.h"

namespace cleared::tools {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  train::EncodeOptions encode;
  train::EvaluateOptions eval;
  std::string extraction, key;
  std::filesystem::path config;
  int ranks = 1;
  int threads = 1;
  double share = 0.3;
  bool header = false;
  bool json = false;
  bool quiet = false;
};

unsigned long long number(uint64_t n) {
  return n;
}

int do_plan(const Options& options) {
  const train::LoadedConfig loaded = train::load_config(options.config);
  const train::Plan plan = train::plan_of(loaded.config);
  const std::string line = train::plan_line(loaded.config);
  if (options.header) {
    std::printf("# %s\n", line.c_str());
    return exit_ok;
  }
  train::prepare_machine(options.threads);
  const at::Device device = train::first_device();
  const double peak = train::measure_peak(device, train::precision_of(loaded.config));
  const double step_s = train::step_seconds(plan, peak * options.share, options.ranks);
  bool divides = true;
  for (const train::RunConfig& shape : train::by_shape(loaded.config)) {
    divides = divides && shape.batch() % static_cast<uint32_t>(options.ranks) == 0;
  }
  const train::Memory memory = train::memory_of(loaded.config, options.ranks);
  const uint64_t there = train::free_bytes(device);
  // Ranks share the memory of CPUs, and the checkpoint that is written lies there, too.
  const uint64_t all_needed =
      device.is_cpu() ? (memory.rank() + memory.states) * static_cast<uint64_t>(options.ranks) +
                            memory.preview + memory.copy
                      : memory.first_gpu();
  const uint64_t kept = train::kept_checkpoints(loaded.config);
  const bool fits = there == 0 || all_needed <= there;
  if (options.json) {
    print({{"config", loaded.config.name()},
           {"parameters", plan.parameters()},
           {"transformer", plan.transformer},
           {"text", plan.text},
           {"codec", plan.codec},
           {"discriminator", plan.discriminator},
           {"masking", plan.masking},
           {"tokens", plan.tokens},
           {"clip_flop", plan.clip_flop},
           {"step_flop", plan.step_flop},
           {"again_flop", plan.again_flop},
           {"adversary_flop", plan.adversary_flop},
           {"state_bytes", plan.state_bytes},
           {"activation_bytes", plan.activation_bytes},
           {"recomputed_bytes", plan.recomputed_bytes},
           {"checkpoint_bytes", plan.checkpoint_bytes},
           {"kept_checkpoints", kept},
           {"sums_bytes", memory.sums},
           {"codec_bytes", memory.codec},
           {"states_bytes", memory.states},
           {"preview_bytes", memory.preview},
           {"ranks", options.ranks},
           {"needed_bytes", all_needed},
           {"free_bytes", there},
           {"measured_flops_per_s", peak},
           {"share", options.share},
           {"step_seconds", step_s},
           {"run_seconds", step_s * static_cast<double>(loaded.config.steps())},
           {"fits", fits && divides}});
  } else if (!options.quiet) {
    std::printf("%s\n", line.c_str());
    const auto shapes = train::by_shape(loaded.config);
    for (size_t i = 1; i < shapes.size(); ++i) {
      const train::RunConfig::Clip& clip = shapes[i].clip();
      const train::Plan one = train::plan_of(shapes[i]);
      std::printf(
          "bucket %s: %u x %u, %u frame%s, %llu tokens, a step of %u: %.4g tokens, %.4g TFLOP\n",
          loaded.config.bucket(static_cast<int>(i) - 1).shards().c_str(), clip.width(),
          clip.height(), clip.frames(), clip.frames() == 1 ? "" : "s", number(one.tokens),
          shapes[i].batch(), static_cast<double>(one.tokens) * shapes[i].batch(),
          one.step_flop / 1e12);
    }
    std::printf(
        "here: %.4g TFLOP/s measured in %s on %s with %d thread%s; at %.0f %% of it on "
        "%d equal rank%s a step takes %s, %llu steps %s\n",
        peak / 1e12, loaded.config.precision() == train::RunConfig::BF16 ? "bfloat16" : "float32",
        device.is_cpu() ? "the CPU" : "the GPU", options.threads, options.threads == 1 ? "" : "s",
        100 * options.share, options.ranks, options.ranks == 1 ? "" : "s",
        text("%.3g s", step_s).c_str(), number(loaded.config.steps()),
        duration_text(step_s * static_cast<double>(loaded.config.steps())).c_str());
    std::printf(
        "memory: %s needed: on each rank %s of state, %s of gradient sums, %s of activations (%s "
        "with every block computed again; %s to encode, where samples are video); on the first %s "
        "for previews%s; %s free\n",
        train::bytes_text(all_needed).c_str(), train::bytes_text(memory.state).c_str(),
        train::bytes_text(memory.sums).c_str(), train::bytes_text(memory.activations).c_str(),
        train::bytes_text(memory.recomputed).c_str(), train::bytes_text(memory.codec).c_str(),
        train::bytes_text(memory.preview).c_str(),
        device.is_cpu() ? (", " + train::bytes_text(memory.copy) + " for checkpoints").c_str() : "",
        train::bytes_text(there).c_str());
    std::printf("disk: %s for %llu checkpoint%s and the next, in files of up to %s\n",
                train::bytes_text((kept + 1) * plan.checkpoint_bytes).c_str(), number(kept),
                kept == 1 ? "" : "s",
                train::bytes_text(loaded.config.checkpoints().file_bytes()).c_str());
  }
  if (!divides) {
    std::fprintf(stderr, "train: plan: batch %u cannot be shared equally by %d ranks\n",
                 loaded.config.batch(), options.ranks);
  }
  if (!fits) {
    std::fprintf(stderr,
                 "train: plan: does not fit here: %s needed, %s free; more ranks share the "
                 "clips and the sums, not the state\n",
                 train::bytes_text(all_needed).c_str(), train::bytes_text(there).c_str());
  }
  return fits && divides ? exit_ok : exit_no;
}

Json json_of(const std::optional<double>& value) {
  return value ? Json(*value) : Json(nullptr);
}

int do_encode(Options& options) {
  Lines lines(options.json, options.quiet);
  if (lines.terminal()) {
    options.encode.progress = [&](uint64_t done, uint64_t all) {
      lines.passing(text("%llu of %llu samples", number(done), number(all)));
    };
  }
  const train::EncodeReport report = train::encode(options.encode);
  if (options.json) {
    print({{"shards", report.shards},
           {"present", report.present},
           {"samples", report.samples},
           {"size_bytes", report.size_bytes},
           {"source_bytes", report.source_bytes},
           {"psnr_db", json_of(report.psnr_db)},
           {"codec", report.codec},
           {"bundle", report.bundle.string()}});
    return exit_ok;
  }
  lines.lasting(text("%llu latent shards (%llu were there), %llu samples, %s, by codec ",
                     number(report.shards), number(report.present), number(report.samples),
                     train::bytes_text(report.size_bytes).c_str()) +
                report.codec);
  if (report.psnr_db) {
    lines.lasting(text("decoded again they are %.1f dB from the footage", *report.psnr_db));
  } else if (report.present < report.shards) {
    lines.lasting(
        "how good the codec is was not measured: the permit does not say EVALUATE (ledger permit "
        "--evaluate)");
  }
  lines.lasting("for the ledger: " + report.bundle.string());
  return exit_ok;
}

uint64_t copies_in(const train::EvaluateReport& report) {
  return static_cast<uint64_t>(
      std::count_if(report.nearest.begin(), report.nearest.end(),
                    [](const auto& clip) { return clip.distance <= ledger::kLeastCopyBits; }));
}

// What a licence that limits memorisation asks for at release (ledger/extraction.h).
void write_extraction(const train::EvaluateReport& report, uint64_t seed, const std::string& path,
                      const ledger::SignerKey& key) {
  if (report.nearest.empty()) {
    throw Error(
        Errc::usage,
        "eval: --extraction is a test of clips, and none was made: give --release, and --clips");
  }
  ledger::ExtractionText text;
  ledger::ExtractionTest& test = *text.mutable_extraction();
  test.set_weights(report.weights);
  test.set_at(format_time(now_us()));
  test.set_clips(report.nearest.size());
  test.set_copies(copies_in(report));
  test.set_copy_bits(ledger::kLeastCopyBits);
  test.set_compared(report.compared);
  test.set_consumed(report.consumed);
  test.set_captions(report.captions);
  test.set_steps(static_cast<uint32_t>(report.steps));
  test.set_guidance(report.guidance);
  test.set_seed(seed);
  ledger::Note note{ledger::format_textproto(text), {}};
  ledger::add_signature(note, key);
  write_file(path, ledger::format_note(note));
}

int do_eval(Options& options) {
  if (options.extraction.empty() != options.key.empty()) {
    throw Error(Errc::usage, "eval: --key signs what --extraction writes; give both or neither");
  }
  std::optional<ledger::SignerKey> key;
  if (!options.key.empty()) key = ledger::read_signer_key(options.key);
  if (key && options.eval.ema) {
    throw Error(Errc::usage,
                "eval: --extraction tests every average of the checkpoint: leave --ema out");
  }
  options.eval.extraction = key.has_value();
  Lines lines(options.json, options.quiet);
  if (lines.terminal()) {
    options.eval.progress = [&](const std::string& what, uint64_t done, uint64_t all) {
      lines.passing(text("%s: %llu of %llu", what.c_str(), number(done), number(all)));
    };
  }
  const train::EvaluateReport report = train::evaluate(options.eval);
  if (key) write_extraction(report, options.eval.seed, options.extraction, *key);
  const std::string others = report.unknown.empty() ? "held_out" : "others";
  if (options.json) {
    Json loss = Json::array(), nearest = Json::array();
    for (const auto& at : report.by_time) {
      loss.push_back({{"t", at.t},
                      {"seen", json_of(at.seen)},
                      {others, json_of(at.others)},
                      {"seen_psnr_db", json_of(at.seen_db)},
                      {others + "_psnr_db", json_of(at.others_db)}});
    }
    for (const auto& clip : report.nearest) {
      nearest.push_back({{"caption", clip.caption},
                         {"distance", clip.distance},
                         {"frame", clip.frame},
                         {"sample", clip.sample}});
    }
    print({{"run", report.run},
           {"step", report.step},
           {"seen", report.seen},
           {others, report.others},
           {"unknown", report.unknown},
           {"loss_by_time", loss},
           {"psnr_db", report.psnr_db},
           {"frames", report.frames},
           {"compared", report.compared},
           {"consumed", report.consumed},
           {"captions", report.captions},
           {"steps", report.steps},
           {"guidance", report.guidance},
           {"nearest", nearest}});
    return exit_ok;
  }
  lines.lasting(text("run %s, step %llu: %llu samples it consumed, %llu it did not",
                     report.run.c_str(), number(report.step), number(report.seen),
                     number(report.others)));
  for (const std::string& weights : report.unknown) {
    lines.lasting("what its autoencoder or text encoder, weights " + weights +
                  ", consumed is not known: give the checkpoint with --vae or --text");
  }
  for (const auto& at : report.by_time) {
    const auto shown = [](const std::optional<double>& loss, const std::optional<double>& db) {
      return loss ? text("%.4f %4.1f dB", *loss, *db) : "-";
    };
    lines.lasting(text("  t %.2f  loss, clip in one step:  %s seen  %s %s", at.t,
                       shown(at.seen, at.seen_db).c_str(), shown(at.others, at.others_db).c_str(),
                       report.unknown.empty() ? "held out" : "others"));
  }
  if (report.psnr_db > 0) lines.lasting(text("codec: %.1f dB", report.psnr_db));
  if (options.eval.release.empty() && options.eval.clips > 0) {
    lines.lasting("no clips were made: give the weights' release (ledger release) with --release");
  }
  if (!report.nearest.empty()) {
    lines.lasting(text(
        "clips, of captions of %llu clips in %d steps, compared with %llu of the "
        "%llu clips it consumed:",
        number(report.captions), report.steps, number(report.compared), number(report.consumed)));
  }
  for (const auto& clip : report.nearest) {
    lines.lasting(text("  nearest of %llu frames to \"%.60s\": %u bits of 256 from sample %s%s",
                       number(report.frames), printable(clip.caption).c_str(), clip.distance,
                       clip.sample.c_str(),
                       clip.distance <= ledger::kLeastCopyBits ? ": as near as a copy" : ""));
  }
  if (key) {
    lines.lasting(text("%s: %llu of %zu clips as near as a copy", options.extraction.c_str(),
                       number(copies_in(report)), report.nearest.size()));
  }
  return exit_ok;
}

}  // namespace

std::function<std::optional<int>()> add_stage_commands(CLI::App& app) {
  auto o = std::make_shared<Options>();
  const auto add_output = [&](CLI::App* command) {
    command->add_flag("--json", o->json, "one JSON object on stdout");
    command->add_flag("-q,--quiet", o->quiet, "print nothing but errors");
  };
  const auto add_checkpoint = [&](CLI::App* command, std::filesystem::path& checkpoint,
                                  train::GatePaths& gate, std::filesystem::path& curate,
                                  int& threads) {
    command->add_option("--checkpoint", checkpoint, "folder of a checkpoint")->required();
    command->add_option("--permit", gate.permit, "permit for the config of that run")->required();
    command
        ->add_option("--trust", gate.trust,
                     "public keys of approver and log, and of the trainer of the checkpoint")
        ->required();
    command->add_option("--shards", gate.shards, "folder of shards and manifests")->required();
    command->add_option("--notices", gate.notices, "folder that revocations are delivered to")
        ->required();
    command->add_option("--curate", curate, "the curate program, for decoding");
    command->add_option("--threads", threads, "to compute with")
        ->check(CLI::Range(1, 1024))
        ->capture_default_str();
    add_output(command);
  };

  CLI::App* plan = app.add_subcommand(
      "plan", "what a config costs: parameters, arithmetic, memory, time; and does it fit here");
  plan->footer(R"(Examples:
  train plan configs/small.textproto
  train plan configs/nano.textproto --nproc-per-node 2 --json

Nothing is read but the config, and nothing trained: half a second measures what this machine does.
Exit codes: 0 it fits, 1 it does not, 78 bad config.)");
  plan->add_option("config", o->config, "config of a run")->required();
  plan->add_option("--nproc-per-node", o->ranks, "ranks on this machine, or GPUs")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  plan->add_option("--threads", o->threads, "of each rank")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  plan->add_option("--share", o->share, "of the measured peak that a step reaches")
      ->check(CLI::Range(0.001, 1.0))
      ->capture_default_str();
  plan->add_flag("--header", o->header, "print only the line that configs carry");
  add_output(plan);

  CLI::App* encode = app.add_subcommand(
      "encode", "make latent shards of the permitted shards, with a trained autoencoder");
  encode->footer(R"(Example:
  train encode --checkpoint runs/vae/step-001000 --permit vae.permit --trust encode.trust \
               --shards shards --notices notices --out latents
  ledger append ledger.db latents/outbox/*.bundle; ledger approve ledger.db --all --key approver.key
  ledger permit ledger.db --run configs/small.textproto --only latent- (and so on)

The permit must say ENCODE: ledger permit --encode.
Killed and started again it goes on with the next shard, to the same bytes.
Exit codes: 0 done, 3 refused by the gate, 65 damaged files, 78 bad config.)");
  add_checkpoint(encode, o->encode.checkpoint, o->encode.gate, o->encode.curate, o->encode.threads);
  encode->add_option("--out", o->encode.out, "folder for the new shards")->required();

  CLI::App* eval = app.add_subcommand(
      "eval",
      "measure a checkpoint: loss by time, the codec, and how near its clips are to footage");
  eval->footer(R"(Example:
  train eval --checkpoint runs/nano/step-000400 --permit eval.permit --trust eval.trust \
             --shards shards --notices notices --release nano.release

Samples that the permit lists and neither the run nor what it began with (--vae, --text) consumed are
the held-out ones.
The permit must say EVALUATE: ledger permit --evaluate.
Exit codes: 0 measured, 3 refused by the gate, 65 damaged files.)");
  add_checkpoint(eval, o->eval.checkpoint, o->eval.gate, o->eval.curate, o->eval.threads);
  const std::pair<const char*, const char*> parents[] = {
      {"--vae", "checkpoint of the autoencoder, where the run has one: what it consumed counts"},
      {"--text", "the same of the text encoder that it began with"}};
  for (const auto& [name, what] : parents) {
    eval->add_option_function<std::filesystem::path>(
        name, [o](const auto& path) { o->eval.parents.push_back(path); }, what);
  }
  eval->add_option("--release", o->eval.release,
                   "the gate's yes for clips of these weights: `ledger release --out`; none: no "
                   "clips are made");
  eval->add_option("--samples", o->eval.samples, "to measure, at most")->capture_default_str();
  eval->add_option("--nearest", o->eval.nearest,
                   "samples to compare clips with beside them, at most")
      ->capture_default_str();
  eval->add_option("--clips", o->eval.clips, "to make, of captions of the samples, spread evenly")
      ->capture_default_str();
  eval->add_option(
      "--extraction", o->extraction,
      "write how many clips are as near as a copy, for `ledger release --extraction`: "
      "of 16 clips or more, of captions of all that was consumed, each made with every average "
      "and with the weights as trained, and compared with all of it");
  eval->add_option("--key", o->key, "trainer's private key, to sign --extraction with");
  eval->add_option("--seed", o->eval.seed, "of the noise")->capture_default_str();
  eval->add_option("--ema", o->eval.ema, "which average, by its decay (default: the first)");

  return [o, plan, encode, eval]() -> std::optional<int> {
    if (plan->parsed()) return do_plan(*o);
    try {
      if (encode->parsed()) return do_encode(*o);
      if (eval->parsed()) return do_eval(*o);
    } catch (const ledger::Refused& no) {
      return refused(o->json, no.verdict());
    }
    return {};
  };
}

}  // namespace cleared::tools
