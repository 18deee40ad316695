#include "train/loop.h"

#include <chrono>
#include <cmath>
#include <future>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/ops/full.h>
#include <unistd.h>

#include "ledger/base/file.h"
#include "ledger/base/log.h"
#include "ledger/digest.h"
#include "ledger/key.h"
#include "train/agree.h"
#include "train/checkpoint.h"
#include "train/data/config.h"
#include "train/data/decoder.h"
#include "train/data/loader.h"
#include "train/data/order.h"
#include "train/environment.h"
#include "train/foreign.h"
#include "train/learner.h"
#include "train/model/dist.h"
#include "train/model/divergence.h"
#include "train/model/events.h"
#include "train/model/machine.h"
#include "train/model/peak.h"
#include "train/model/profile.h"
#include "train/outbox.h"
#include "train/plan.h"
#include "train/receipt.h"
#include "train/resume.h"
#include "train/run_folder.h"
#include "train/setup.h"
#include "train/start.h"
#include "train/version.h"

namespace cleared::train {
namespace fs = std::filesystem;
namespace {

using Clock = std::chrono::steady_clock;
using Kind = Outcome::Kind;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// How many machines the ranks are on, by their host names.
uint64_t count_machines(World& world) {
  char name[256] = {};
  if (::gethostname(name, sizeof name - 1) != 0) name[0] = '\0';
  const auto names = world.all_gather(name);
  return std::set<std::string>(names.begin(), names.end()).size();
}

void ask(ledger::Gate& gate) {
  if (const auto verdict = gate.holds(); !verdict.cleared) throw ledger::Refused(verdict);
}

// A checkpoint that another thread writes while training goes on, and what came of it.
struct Written {
  CheckpointReport report;
  std::string receipt;    // digest of the run receipt
  std::vector<Gif> gifs;  // none where they could not be made
};

// A run under way: what the ranks do between two questions to the gate.
class Training {
 public:
  Training(const RunOptions& options, const LoadedConfig& loaded, World& world,
           const ledger::SignerKey* key, std::unique_ptr<ledger::Gate> gate, Position position,
           std::mutex& whole)
      : options_(options),
        loaded_(loaded),
        config_(loaded.config),
        world_(world),
        key_(key),
        gate_(std::move(gate)),
        position_(std::move(position)),
        state_(position_.state),
        first_step_(state_.step()),
        places_(std::make_shared<const Places>(places_of(*gate_))),
        span_(state_.step(), places_),
        end_step_(std::min(options.until.value_or(config_.steps()), config_.steps())),
        shapes_(by_shape(config_)),
        whole_(whole) {
    for (const RunConfig& shape : shapes_) plans_.push_back(plan_of(shape));
  }

  void start();
  bool done() const { return state_.step() >= end_step_; }

  // This rank's batch of the next step and what the gate says about taking it.
  Outcome look();
  // Closes the span under the permit that it was consumed under, and goes on under the newer one
  // once every rank has it.
  void take_new_permit();
  Outcome step();
  void checkpoint();
  bool checkpoint_due() const {
    return done() || state_.step() % config_.checkpoints().every() == 0;
  }
  RunResult end(const Outcome& outcome);

 private:
  Origin begin(const FitSamples& fit);
  void compare_ranks();
  void start_writing();
  void finish_writing();
  void judge_preview();
  std::string why_no_preview();
  std::optional<Totals> totals_of(const fs::path& checkpoint, const std::string& weights) const;
  std::string names_of_samples(uint64_t step) const;
  void report(const Learned& learned);
  void measure_machine();
  void save_profile();

  const RunOptions& options_;
  const LoadedConfig& loaded_;
  const RunConfig& config_;
  World& world_;
  const ledger::SignerKey* key_;  // rank 0 only
  std::unique_ptr<ledger::Gate> gate_;
  Position position_;
  State& state_;
  const uint64_t first_step_;  // of this call
  const std::shared_ptr<const Places> places_;
  Span span_;
  const uint64_t end_step_;
  std::optional<Order> order_;  // once it has started

  std::unique_ptr<ledger::Gate> preview_gate_;  // of the thread that makes clips to look at
  bool may_preview_ = true;                     // rank 0; not once the gate has said no
  std::optional<Totals> vae_totals_,
      text_totals_;  // rank 0: what those of --vae, --text learned from
  std::unique_ptr<Learner> learner_;
  std::unique_ptr<Loader> loader_;
  std::unique_ptr<EventWriter> events_;
  Batch batch_;
  bool has_batch_ = false;  // of the next step
  uint64_t machines_ = 1;
  Clock::time_point span_started_;
  Clock::time_point started_, last_step_;
  const std::vector<RunConfig> shapes_;
  std::vector<Plan> plans_;      // of each shape
  std::string differing_;        // permits that the ranks did not agree on, when it was last said
  double peak_flops_per_s_ = 0;  // of all ranks
  double pace_s_ = 0;            // of a step, smoothed
  std::optional<Profile> profile_;
  std::optional<CheckpointReport> last_;
  CheckpointTensors copied_;             // rank 0: what is being written, and room for the next
  std::mutex& whole_;                    // held while a checkpoint is written
  std::shared_future<Written> writing_;  // last: its thread reads the above
};

void Training::start() {
  measure_machine();
  machines_ = count_machines(world_);
  span_started_ = Clock::now();
  order_.emplace(order_of(config_, *gate_, state_.order_first_step()));
  const FitSamples fit =
      state_.order_first_step() == 0 ? fit_samples(config_, *gate_) : FitSamples();
  Origin text;
  if (state_.step() == 0) text = begin(fit);  // later all comes from the checkpoint
  if (const auto verdict = gate_->judge_foreign(foreign_of(state_)); !verdict.cleared) {
    throw ledger::Refused(verdict);
  }
  if (state_.step() == 0) start_weights(world_, config_, options_.foreign, text, position_);
  const auto before = passes_before(*gate_, *order_, position_.consumed, state_.step(), end_step_);
  check_passes(*gate_, *order_, before, end_step_);
  check_shares(*gate_, *order_, fit, config_.steps());

  learner_ = make_learner(world_, config_, position_.tensors);
  position_.tensors = {};
  if (world_.first() && state_.step() == 0) {
    const std::string tensors = tensors_manifest(learner_->tensors());
    write_file(options_.out / kStep0File, tensors);
    state_.set_step0(ledger::digest_name(ledger::sha256(tensors)));
  }
  loader_ = make_loader(world_, config_, *gate_, *order_, options_.curate, state_.step(), end_step_,
                        before);
  if (world_.first()) {
    events_ = std::make_unique<EventWriter>(options_.out / "tensorboard");
    copy_into(learner_->tensors(), copied_);  // makes room before the first step
    preview_gate_ = std::make_unique<ledger::Gate>(*gate_);
    judge_preview();
  }
  started_ = last_step_ = Clock::now();
  if (world_.first() && options_.on_start) {
    options_.on_start({.run = state_.run(),
                       .first_step = state_.step(),
                       .samples = gate_->samples().size(),
                       .parameters = learner_->parameter_count(),
                       .ranks = world_.size(),
                       .backend = world_.backend(),
                       .machine = state_.machine(),
                       .peak_flops_per_s = peak_flops_per_s_,
                       .foreign = foreign_of(state_),
                       .resumed_from = position_.resumed_from,
                       .set_aside = position_.set_aside});
  }
}

void Training::judge_preview() {
  const std::string why = why_no_preview();
  if (why.empty()) return;
  may_preview_ = false;
  log(Level::warn, "run.no_preview", {{"why", why}});
}

// The permit was judged for clips of what it lists. Empty: that is all that the weights, and those
// of other runs that they began with, have learned from. What an autoencoder shows is its footage,
// and what is left of it: that is EVALUATE.
std::string Training::why_no_preview() {
  if (config_.stage() == RunConfig::AUTOENCODER &&
      !ledger::declares(gate_->permit().purpose(), ledger::EVALUATE)) {
    return "the permit does not say EVALUATE (ledger permit --evaluate): training goes on, and "
           "shows nothing of the footage";
  }
  const auto learned_from = [&](const std::string& what, const Totals& totals) -> std::string {
    const uint64_t clips = count_unpermitted(*gate_, totals);
    if (clips == 0) return "";
    return what + " learned from clips that are not in the permit (" + std::to_string(clips) +
           "): training goes on, and shows nothing of it";
  };
  const std::string own = learned_from(position_.resumed_from.string(), position_.totals);
  if (!own.empty() || !config_.has_preview()) return own;
  const auto others = [&](const std::string& what, const char* flag, const std::string& weights,
                          const fs::path& checkpoint, std::optional<Totals>& totals) {
    if (weights.empty()) return std::string();
    if (!totals) totals = totals_of(checkpoint, weights);
    if (totals) return learned_from(what, *totals);
    return "what " + what + " learned from is not known: give its checkpoint with " + flag;
  };
  const std::string why =
      others("the autoencoder", "--vae", state_.vae(), options_.vae, vae_totals_);
  if (!why.empty()) return why;
  return others("the text encoder", "--text", state_.text_encoder(), options_.text, text_totals_);
}

// Where the run goes on from its own checkpoint, those of --vae and --text were not read yet.
std::optional<Totals> Training::totals_of(const fs::path& checkpoint,
                                          const std::string& weights) const {
  try {
    const Checkpoint read = read_checkpoint(checkpoint, position_.trusted);
    if (read.state.weights() == weights) return read.text.totals;
  } catch (const Error&) {
  }
  return {};
}

// All ranks at once, for they share the machine.
void Training::measure_machine() {
  constexpr double kSeconds = 0.2;
  const Tensor peak =
      at::full({1}, measure_peak(world_.device(), precision_of(config_), kSeconds), at::kDouble);
  world_.all_reduce(peak);
  peak_flops_per_s_ = peak.item<double>();
}

// What another run's text encoder learned goes into the weights, once the gate has said yes.
Origin Training::begin(const FitSamples& fit) {
  Beginning begun = train::begin(world_, *gate_, config_, decoder_options(options_.curate, config_),
                                 {options_.vae, options_.text, position_.trusted});
  position_.tensors.codec = begun.codec;
  record_beginning(config_, begun, state_);
  if (state_.has_vae()) vae_totals_ = begun.vae.totals;
  if (state_.has_text_encoder()) text_totals_ = begun.text.totals;
  span_.codec(begun.samples);
  add_fit(position_.totals, *gate_, fit);
  add_fit(position_.consumed, *gate_, fit);
  return std::move(begun.text);
}

Outcome Training::look() {
  if (options_.stop != nullptr && *options_.stop) {
    Outcome outcome;
    outcome.kind = Kind::interrupted;
    return outcome;
  }
  Outcome outcome = outcome_of([&] {
    using namespace std::chrono_literals;
    ask(*gate_);
    if (writing_.valid() && writing_.wait_for(0s) == std::future_status::ready) finish_writing();
    if (has_batch_) return;
    batch_ = loader_->next();
    learner_->prepare(batch_);
    has_batch_ = true;
  });
  if (outcome.kind == Kind::good && gate_->has_next()) outcome.kind = Kind::refresh;
  return outcome;
}

void Training::take_new_permit() {
  const std::string next = gate_->has_next() ? to_hex(gate_->next_digest()) : "none yet";
  if (!world_.agree(next)) {
    // Some notices folders may be slower than others: the old one goes on, and they look again.
    const auto all = world_.all_gather(next);
    std::string differing;
    for (const std::string& one : all) differing += (differing.empty() ? "" : " ") + one;
    if (world_.first() && differing != std::exchange(differing_, differing)) {
      log(Level::warn, "run.permits_differ", {{"step", state_.step()}, {"next", differing}});
    }
    return;
  }
  checkpoint();
  gate_->take_next();
  const ledger::Permit& permit = gate_->permit();
  state_.set_permit(ledger::digest_name(gate_->permit_digest()));
  state_.set_origin(permit.origin());
  state_.set_tree_size(permit.tree_size());
  state_.set_tree_root(permit.tree_root());
  if (world_.first() && may_preview_) judge_preview();
  log(Level::info, "run.permit", {{"until", permit.expires_at()}, {"step", state_.step()}});
}

// Every rank comes to the same end: loss and norm are those of the whole step.
Outcome Training::step() {
  has_batch_ = false;
  const uint64_t step = state_.step();
  if (options_.profile > 0 && world_.first() && step == first_step_ + 1) {
    profile_.emplace();
  }
  const auto first_slot =
      static_cast<uint32_t>(batch_.items.size()) * static_cast<uint32_t>(world_.rank());
  const Learned learned = learner_->learn(batch_, first_slot);

  if (!std::isfinite(learned.gradient_norm) || !std::isfinite(learned.loss)) {
    Outcome outcome;
    outcome.kind = Kind::failed;
    outcome.code = Errc::corrupt;
    outcome.text = "step " + std::to_string(step) + ": loss " + std::to_string(learned.loss) +
                   ", gradient norm " + std::to_string(learned.gradient_norm) +
                   ": not finite, so nothing was applied; look at its samples (" +
                   names_of_samples(step) + "), or go on with a lower learning rate";
    return outcome;
  }

  if (!learned.applied && world_.first()) {
    log(Level::warn, "run.outlier",
        {{"step", step}, {"norm", learned.gradient_norm}, {"samples", names_of_samples(step)}});
  }
  const StepFacts facts = facts_of(learned, step, *gate_, *order_);
  for (uint32_t slot = 0; slot < order_->batch(step); ++slot) {
    add_pass(position_.totals, *gate_, order_->at(step, slot).sample);
  }
  span_.step(facts);
  add_loss(state_, step, learned.loss);
  state_.set_step(step + 1);
  if (world_.first()) report(learned);
  if (state_.step() % kCompareRanksEvery == 0 && !checkpoint_due()) compare_ranks();
  return {};
}

// Ranks whose weights have parted must not go on, and nothing of theirs may become a checkpoint.
void Training::compare_ranks() {
  const auto parted = divergence(world_, all_of(learner_->tensors()));
  if (!parted) return;
  Outcome outcome;
  outcome.kind = Kind::failed;
  outcome.code = Errc::corrupt;
  outcome.text = "step " + std::to_string(state_.step() - 1) + ": after it " + *parted +
                 ": no checkpoint was written of it; run again, on machines of one kind, and "
                 "suspect the memory of one that does so twice";
  throw AgreedError(outcome);
}

std::string Training::names_of_samples(uint64_t step) const {
  constexpr uint32_t kShown = 8;
  std::string names;
  const uint32_t batch = order_->batch(step);
  for (uint32_t slot = 0; slot < std::min(batch, kShown); ++slot) {
    names += (slot == 0 ? "" : ", ");
    names += gate_->samples()[order_->at(step, slot).sample].key;
  }
  if (batch > kShown) names += ", " + std::to_string(batch - kShown) + " more";
  return names;
}

void Training::report(const Learned& learned) {
  const double so_far = seconds_since(started_), seconds = seconds_since(last_step_);
  last_step_ = Clock::now();
  pace_s_ = pace_s_ == 0 ? seconds : 0.9 * pace_s_ + 0.1 * seconds;
  const LoaderTimes times = loader_->times();
  const size_t shape = order_->shape(state_.step() - 1);
  const double batch = shapes_[shape].batch();
  const double flop =
      plans_[shape].step_flop + (learned.discriminator_loss ? plans_[shape].adversary_flop : 0);
  const StepReport report{
      .step = state_.step() - 1,
      .steps = config_.steps(),
      .loss = learned.loss,
      .smooth_loss = state_.smooth_loss(),
      .learning_rate = learned.learning_rate,
      .gradient_norm = learned.gradient_norm,
      .applied = learned.applied,
      .discriminator_loss = learned.discriminator_loss,
      .samples_per_s = batch / seconds,
      .tokens_per_s = static_cast<double>(plans_[shape].tokens) * batch / seconds,
      .peak_share = flop / seconds / peak_flops_per_s_,
      .eta_s = pace_s_ * static_cast<double>(end_step_ - state_.step()),
      .memory_bytes = peak_bytes(world_.device()),
      .seconds = seconds,
      .stall_share = times.stall / so_far,
      .gate_share = times.gate / so_far};
  const std::pair<const char*, double> curves[] = {
      {"loss", report.loss},
      {"loss_smooth", report.smooth_loss},
      {"learning_rate", report.learning_rate},
      {"gradient_norm", report.gradient_norm},
      {"samples_per_second", report.samples_per_s},
      {"tokens_per_second", report.tokens_per_s},
      {"share_of_measured_peak", report.peak_share},
      {"memory_mib", static_cast<double>(report.memory_bytes >> 20)},
      {"stall_share", report.stall_share},
      {"gate_share", report.gate_share}};
  for (const auto& [name, value] : curves) {
    events_->scalar(name, value, static_cast<int64_t>(report.step));
  }
  if (report.discriminator_loss) {
    events_->scalar("discriminator_loss", *report.discriminator_loss,
                    static_cast<int64_t>(report.step));
  }
  if (options_.on_step) options_.on_step(report);
  if (profile_ && state_.step() - first_step_ > options_.profile) save_profile();
}

void Training::save_profile() {
  if (!profile_) return;
  const fs::path trace = options_.out / "trace.json";
  profile_->save(trace);
  profile_.reset();
  log(Level::info, "run.trace", {{"file", trace.string()}});
}

// Rank 0 copies, and another thread of it writes; all go on at once. At most one is being written.
void Training::checkpoint() {
  if (span_.end_step() == span_.first_step()) return;
  compare_ranks();
  span_.spent(static_cast<uint64_t>(seconds_since(span_started_) * 1e6) * machines_);
  agree_or_throw(world_, [&] {
    if (!world_.first()) return;
    finish_writing();
    start_writing();
  });
  span_ = Span(state_.step(), places_);
  span_started_ = Clock::now();
}

void Training::start_writing() {
  copy_into(learner_->tensors(), copied_);
  Preview preview = may_preview_ ? learner_->preview(copied_) : Preview();
  writing_ = std::async(std::launch::async, [this, state = state_, totals = position_.totals,
                                             span = span_, preview = std::move(preview)]() mutable {
    Written written;
    {
      const std::lock_guard until_it_is_whole(whole_);
      const auto folder =
          write_checkpoint(options_.out, state, copied_, {loaded_.text, totals}, span, *key_);
      written.receipt = state.receipt();
      written.report = {.step = state.step(),
                        .folder = folder,
                        .weights = state.weights(),
                        .tensors = state.tensors(),
                        .bundle = deliver_checkpoint(options_.out, folder, span.machine_us())};
      prune(options_.out, config_.checkpoints().keep(), config_.checkpoints().keep_every());
    }
    if (preview) {
      written.gifs =
          try_preview([&] { return preview([&] { ask(*preview_gate_); }); }, state.step());
    }
    return written;
  });
}

// Waits when it must, throws what the writing met, and again whenever it is asked: after a
// checkpoint that could not be written none is, for its receipt would skip what that one consumed.
void Training::finish_writing() {
  if (!writing_.valid()) return;
  const Written written = writing_.get();
  writing_ = {};
  last_ = written.report;
  for (size_t i = 0; may_preview_ && i < written.gifs.size(); ++i) {
    const Gif& gif = written.gifs[i];
    const auto step = static_cast<int64_t>(written.report.step);
    const std::string tag = i == 0 ? "sample" : "sample/" + std::to_string(i + 1);
    events_->image(tag, {gif.bytes, gif.width, gif.height}, step);
    if (!gif.caption.empty()) events_->text(tag + "/caption", gif.caption, step);
  }
  state_.set_parent(written.report.weights);
  state_.set_previous_receipt(written.receipt);
  if (options_.on_checkpoint) options_.on_checkpoint(*last_);
}

RunResult Training::end(const Outcome& outcome) {
  agree_or_throw(world_, [&] { save_profile(); });
  may_preview_ = may_preview_ && outcome.kind != Kind::refused;
  checkpoint();
  agree_or_throw(world_, [&] { finish_writing(); });
  if (outcome.kind == Kind::failed) throw AgreedError(outcome);
  RunResult result{.end = RunResult::End::finished,
                   .verdict = outcome.verdict,
                   .run = state_.run(),
                   .step = state_.step(),
                   .first_loss = state_.first_loss(),
                   .smooth_loss = state_.smooth_loss(),
                   .last = last_};
  if (outcome.kind == Kind::interrupted) result.end = RunResult::End::interrupted;
  if (outcome.kind == Kind::refused) {
    result.end = RunResult::End::refused;
    if (world_.first()) {
      deliver_refusal(options_.out, to_hex(gate_->permit_digest()), outcome.verdict);
    }
  }
  return result;
}

// Before anything else is said: the same programs, the same config and the same end on every rank.
void agree_on_run(World& world, const LoadedConfig& loaded, const RunOptions& options,
                  Machine& machine) {
  agree_or_throw(world, [&] {
    if (!world.agree(program_digest())) {
      throw Error(Errc::config, "ranks: they do not run the same train program: ", code_version(),
                  " here; copy one build to every machine");
    }
    if (!world.agree(machine.decoder)) {
      throw Error(Errc::config,
                  "ranks: they do not decode with the same curate and curate-media "
                  "programs; copy one build to every machine");
    }
    const std::pair<const char*, std::string> given[] = {
        {"configs", std::string(loaded.digest.text())},
        {"--until", options.until ? std::to_string(*options.until) : "none"},
        {"--threads", std::to_string(machine.threads)},
        {"--leave-out-revoked", options.gate.leave_out ? "yes" : "no"}};
    for (const auto& [what, mine] : given) {
      if (!world.agree(mine)) {
        throw Error(Errc::config, "ranks: they were given different ", what,
                    ": start all of them with the same command");
      }
    }
    agree_on_machine(world, machine);
  });
}

RunResult refused_at_the_door(const RunOptions& options, const World& world,
                              const ledger::Verdict& verdict) {
  if (world.first()) deliver_refusal(options.out, options.gate.permit.filename(), verdict);
  RunResult result;
  result.end = RunResult::End::refused;
  result.verdict = verdict;
  return result;
}

// From the newest checkpoint, or the seed, until it is done or somebody says no.
RunResult run_once(const RunOptions& options, const LoadedConfig& loaded, const Machine& machine,
                   World& world, std::mutex& whole) {
  std::unique_ptr<ledger::Gate> gate;
  const Outcome opened = open_gate(world, loaded.config, gate, [&] {
    return std::make_unique<ledger::Gate>(gate_options(loaded, options.gate));
  });
  if (opened.kind == Kind::refused) return refused_at_the_door(options, world, opened.verdict);
  if (opened.kind == Kind::failed) throw AgreedError(opened);
  if (world.first()) {
    for (const auto& [root, why] : gate->left_out()) {
      log(Level::warn, "run.left_out", {{"shard", root}, {"why", why}});
    }
  }

  std::optional<ledger::SignerKey> key;
  std::optional<FileLock> lock;  // of the run's folder: two runs in one would spoil each other
  Position position;
  try {
    agree_or_throw(world, [&] {
      if (!world.first()) return;
      make_folders(options.out);
      lock.emplace(options.out / kLockFile);
      key = ledger::read_signer_key(options.key);
      position = open_run(options, loaded, *gate, machine, world.size(), *key);
      if (options.fresh || options.from) write_file(options.out / kLaunchFile, launch_name());
    });
  } catch (const ledger::Refused& refused) {
    return refused_at_the_door(options, world, refused.verdict());
  }
  share_position(world, position);

  Training training(options, loaded, world, key ? &*key : nullptr, std::move(gate),
                    std::move(position), whole);
  const Outcome started = agree(world, outcome_of([&] { training.start(); }));
  if (started.kind != Kind::good) return training.end(started);
  while (!training.done()) {
    const Outcome outcome = agree(world, training.look());
    if (outcome.kind == Kind::refresh) {
      training.take_new_permit();
    } else if (outcome.kind != Kind::good) {
      return training.end(outcome);
    }
    if (const Outcome stepped = training.step(); stepped.kind != Kind::good) {
      return training.end(stepped);
    }
    if (training.checkpoint_due()) training.checkpoint();
  }
  return training.end({});
}

// Is it a no to some of the footage, which a run may go on without?
bool is_about_footage(const RunResult& result) {
  return result.end == RunResult::End::refused &&
         (result.verdict.rule == "revoked" || result.verdict.rule == "expired");
}

}  // namespace

RunResult run(const RunOptions& options) {
  Machine machine = prepare_machine(options.threads);
  machine.decoder = decoder_digest(options.curate);
  const LoadedConfig loaded = load_config(options.config);
  WorldOptions where = world_from_environment();
  std::mutex whole;
  if (options.on_lost) {
    where.on_lost = [&](const std::string& line) {
      const std::lock_guard after_what_is_written(whole);
      options.on_lost(line);
    };
  }
  set_log_rank(where.rank);
  World world(where);
  agree_or_throw(world, [&] { check_slots(loaded.config, world.size()); });
  agree_on_run(world, loaded, options, machine);

  RunOptions rest = options;
  rest.fresh = false;
  rest.from.reset();
  // Ranks that were started again after a loss go on from the last checkpoint, once this launch has
  // begun where it was told to.
  const fs::path begun = options.out / kLaunchFile;
  const bool again = where.rank == 0 && where.attempt > 0 && fs::exists(begun) &&
                     read_file(begun) == launch_name();
  const RunOptions& first = again ? rest : options;
  RunResult result = run_once(first, loaded, machine, world, whole);
  // Every rank is here with the same result; each time a shard more is left out.
  while (options.gate.leave_out && is_about_footage(result) && result.step > 0) {
    result = run_once(rest, loaded, machine, world, whole);
  }
  return result;
}

}  // namespace cleared::train
