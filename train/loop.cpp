#include "train/loop.h"

#include <chrono>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <unistd.h>

#include "ledger/base/log.h"
#include "ledger/digest.h"
#include "ledger/key.h"
#include "train/agree.h"
#include "train/checkpoint.h"
#include "train/data/config.h"
#include "train/data/loader.h"
#include "train/data/order.h"
#include "train/model/dist.h"
#include "train/model/events.h"
#include "train/model/machine.h"
#include "train/outbox.h"
#include "train/receipt.h"
#include "train/resume.h"
#include "train/run_folder.h"
#include "train/trainee.h"

namespace cleared::train {
namespace {

using Clock = std::chrono::steady_clock;
using Kind = Outcome::Kind;

constexpr double kSmooth = 0.95;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Every rank opens its own gate, and all of them must have been given the same permit.
Outcome open_gate(World& world, const ledger::GateOptions& options,
                  std::unique_ptr<ledger::Gate>& gate) {
  Outcome outcome =
      agree(world, outcome_of([&] { gate = std::make_unique<ledger::Gate>(options); }));
  if (outcome.kind == Kind::good && !world.agree(gate->permit_digest().text())) {
    outcome.kind = Kind::refused;
    outcome.verdict = ledger::no("permits_differ", "the ranks were given different permits");
  } else if (outcome.kind == Kind::good && !world.agree(samples_root(*gate).text())) {
    outcome.kind = Kind::failed;
    outcome.code = Errc::busy;
    outcome.text = "the ranks see different notices, and so other samples to leave out; run again";
  }
  return outcome;
}

uint32_t slots_of_a_rank(const RunConfig& config, int world_size) {
  const auto ranks = static_cast<uint32_t>(world_size);
  if (config.batch() % ranks != 0) {
    throw Error(Errc::config, "batch: ", config.batch(), " samples cannot be shared equally by ",
                ranks, " ranks");
  }
  return config.batch() / ranks;
}

DecoderOptions decoder_options(const RunOptions& options, const RunConfig::Clip& clip) {
  return {.program = options.curate,
          .width = clip.width(),
          .height = clip.height(),
          .frames = clip.frames()};
}

// Rank 0's state and totals on every rank.
void share_position(World& world, Position& position) {
  position.state.ParseFromString(world.broadcast(position.state.SerializePartialAsString()));
  position.totals =
      parse_totals(world.broadcast(format_totals(position.totals)), "totals of rank 0");
  position.resumed_run = world.broadcast(position.resumed_run);
}

// How many machines the ranks are on, by their host names.
uint64_t count_machines(World& world) {
  char name[256] = {};
  if (::gethostname(name, sizeof name - 1) != 0) name[0] = '\0';
  const auto names = world.all_gather(name);
  return std::set<std::string>(names.begin(), names.end()).size();
}

// A run under way: what the ranks do between two questions to the gate.
class Training {
 public:
  Training(const RunOptions& options, const LoadedConfig& loaded, World& world,
           const ledger::SignerKey* key, std::unique_ptr<ledger::Gate> gate, Position position)
      : options_(options),
        loaded_(loaded),
        config_(loaded.config),
        world_(world),
        key_(key),
        gate_(std::move(gate)),
        slots_(slots_of_a_rank(config_, world.size())),
        position_(std::move(position)),
        state_(position_.state),
        places_(std::make_shared<const Places>(places_of(*gate_))),
        span_(state_.step(), places_),
        end_step_(std::min(options.until.value_or(config_.steps()), config_.steps())),
        order_(order_of(config_, *gate_, state_.order_first_step())) {}

  void start();
  bool done() const { return state_.step() >= end_step_; }

  // This rank's batch of the next step and what the gate says about taking it.
  Outcome look();
  // Closes the span under the permit that it was consumed under, and goes on under the newer one
  // once every rank has it.
  void take_new_permit();
  void step();
  void checkpoint();
  bool checkpoint_due() const {
    return done() || state_.step() % config_.checkpoints().every() == 0;
  }
  RunResult end(const Outcome& outcome);

 private:
  void fit_codec();
  void report(const Learned& learned, double seconds);

  const RunOptions& options_;
  const LoadedConfig& loaded_;
  const RunConfig& config_;
  World& world_;
  const ledger::SignerKey* key_;  // rank 0 only
  std::unique_ptr<ledger::Gate> gate_;
  const uint32_t slots_;
  Position position_;
  State& state_;
  const std::shared_ptr<const Places> places_;
  Span span_;
  const uint64_t end_step_;
  const Order order_;

  std::unique_ptr<Trainee> trainee_;
  std::unique_ptr<Loader> loader_;
  std::unique_ptr<EventWriter> events_;
  Batch batch_;
  bool has_batch_ = false;  // of the next step
  uint64_t machines_ = 1;
  Clock::time_point started_, span_started_;
  std::optional<CheckpointReport> last_;
};

void Training::start() {
  machines_ = count_machines(world_);
  span_started_ = Clock::now();
  if (state_.step() == 0) fit_codec();  // later it comes from the checkpoint
  const auto before =
      passes_before(*gate_, order_, position_.totals, state_.step(), position_.resumed_run);
  check_passes(*gate_, order_, before, end_step_);

  trainee_ = std::make_unique<Trainee>(world_, config_, position_.tensors);
  position_.tensors = {};
  const auto first_slot = slots_ * static_cast<uint32_t>(world_.rank());
  loader_ = std::make_unique<Loader>(std::make_unique<ledger::Gate>(*gate_),
                                     decoder_options(options_, config_.clip()), order_,
                                     LoaderOptions{.first_step = state_.step(),
                                                   .end_step = end_step_,
                                                   .first_slot = first_slot,
                                                   .end_slot = first_slot + slots_,
                                                   .before = before});
  if (world_.first()) events_ = std::make_unique<EventWriter>(options_.out / "tensorboard");
  started_ = Clock::now();
  if (world_.first() && options_.on_start) {
    options_.on_start({.run = state_.run(),
                       .first_step = state_.step(),
                       .samples = gate_->samples().size(),
                       .parameters = trainee_->parameter_count(),
                       .ranks = world_.size(),
                       .backend = world_.backend(),
                       .machine = state_.machine(),
                       .resumed_from = position_.resumed_from,
                       .set_aside = position_.set_aside});
  }
}

// The codec is computed from cleared samples, so reading them for it is a pass like any other. Rank
// 0 reads; every rank counts.
void Training::fit_codec() {
  std::vector<Digest> digests;
  const auto samples = fit_samples(config_, *gate_);
  for (const uint64_t sample : samples) digests.push_back(gate_->samples()[sample].digest);
  agree_or_throw(world_, [&] {
    if (!world_.first()) return;
    Decoder decoder(decoder_options(options_, config_.clip()));
    CodecFit fit(config_);
    for (const uint64_t sample : samples) fit.add(load_item(*gate_, decoder, sample, 1));
    position_.tensors.codec = fit.finish();
  });
  span_.codec(digests);
  for (const Digest& digest : digests) ++position_.totals[digest];
}

Outcome Training::look() {
  if (options_.stop != nullptr && *options_.stop) {
    Outcome outcome;
    outcome.kind = Kind::interrupted;
    return outcome;
  }
  Outcome outcome = outcome_of([&] {
    if (const auto verdict = gate_->holds(); !verdict.cleared) throw ledger::Refused(verdict);
    if (!has_batch_) batch_ = loader_->next();
    has_batch_ = true;
  });
  if (outcome.kind == Kind::good && gate_->has_next()) outcome.kind = Kind::refresh;
  return outcome;
}

void Training::take_new_permit() {
  if (!world_.agree(gate_->has_next() ? "here" : "not yet") || !gate_->has_next()) return;
  checkpoint();
  gate_->take_next();
  const ledger::Permit& permit = gate_->permit();
  state_.set_permit(ledger::digest_name(gate_->permit_digest()));
  state_.set_origin(permit.origin());
  state_.set_tree_size(permit.tree_size());
  state_.set_tree_root(permit.tree_root());
  log(Level::info, "run.permit", {{"until", permit.expires_at()}, {"step", state_.step()}});
}

void Training::step() {
  const auto start = Clock::now();
  has_batch_ = false;
  const uint64_t step = state_.step();
  const Learned learned = trainee_->learn(batch_, slots_ * static_cast<uint32_t>(world_.rank()));

  StepFacts facts{.step = step,
                  .loss = static_cast<float>(learned.loss),
                  .gradient_norm = static_cast<float>(learned.gradient_norm),
                  .applied = learned.applied,
                  .samples = {}};
  for (uint32_t slot = 0; slot < config_.batch(); ++slot) {
    facts.samples.push_back(gate_->samples()[order_.at(step, slot).sample].digest);
    ++position_.totals[facts.samples.back()];
  }
  span_.step(facts);
  if (step == 0) state_.set_first_loss(learned.loss);
  state_.set_smooth_loss(step == 0 ? learned.loss
                                   : kSmooth * state_.smooth_loss() + (1 - kSmooth) * learned.loss);
  state_.set_step(step + 1);
  if (world_.first()) report(learned, seconds_since(start));
}

void Training::report(const Learned& learned, double seconds) {
  const double so_far = seconds_since(started_);
  const LoaderTimes times = loader_->times();
  const StepReport report{.step = state_.step() - 1,
                          .steps = config_.steps(),
                          .loss = learned.loss,
                          .smooth_loss = state_.smooth_loss(),
                          .learning_rate = learned.learning_rate,
                          .gradient_norm = learned.gradient_norm,
                          .samples_per_s = config_.batch() / seconds,
                          .seconds = seconds,
                          .stall_share = times.stall / so_far,
                          .gate_share = times.gate / so_far};
  const auto at = static_cast<int64_t>(report.step);
  events_->scalar("loss", report.loss, at);
  events_->scalar("loss_smooth", report.smooth_loss, at);
  events_->scalar("learning_rate", report.learning_rate, at);
  events_->scalar("gradient_norm", report.gradient_norm, at);
  events_->scalar("samples_per_second", report.samples_per_s, at);
  events_->scalar("stall_share", report.stall_share, at);
  events_->scalar("gate_share", report.gate_share, at);
  if (options_.on_step) options_.on_step(report);
}

// Rank 0 writes; the others go on only when it has.
void Training::checkpoint() {
  if (span_.end_step() == span_.first_step()) return;
  span_.spent(static_cast<uint64_t>(seconds_since(span_started_) * 1e6) * machines_);
  agree_or_throw(world_, [&] {
    if (!world_.first()) return;
    const auto folder = write_checkpoint(options_.out, state_, trainee_->tensors(),
                                         {loaded_.text, position_.totals}, span_, *key_);
    last_ = {.step = state_.step(),
             .folder = folder,
             .weights = state_.weights(),
             .tensors = state_.tensors(),
             .bundle = deliver_checkpoint(options_.out, folder)};
    prune(options_.out, config_.checkpoints().keep());
    const Gif gif = trainee_->preview();
    events_->image("sample", {gif.bytes, gif.width, gif.height},
                   static_cast<int64_t>(state_.step()));
    if (options_.on_checkpoint) options_.on_checkpoint(*last_);
    state_.set_parent(state_.weights());
    state_.set_previous_receipt(state_.receipt());
  });
  span_ = Span(state_.step(), places_);
  span_started_ = Clock::now();
}

RunResult Training::end(const Outcome& outcome) {
  if (outcome.kind == Kind::failed) throw AgreedError(outcome);
  checkpoint();
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

RunResult refused_at_the_door(const RunOptions& options, const World& world,
                              const ledger::Verdict& verdict) {
  if (world.first()) deliver_refusal(options.out, options.gate.permit.filename(), verdict);
  RunResult result;
  result.end = RunResult::End::refused;
  result.verdict = verdict;
  return result;
}

}  // namespace

namespace {

// From the newest checkpoint, or the seed, until it is done or somebody says no.
RunResult run_once(const RunOptions& options, const LoadedConfig& loaded, const Machine& machine,
                   World& world) {
  std::unique_ptr<ledger::Gate> gate;
  const Outcome opened = open_gate(world, gate_options(loaded, options.gate), gate);
  if (opened.kind == Kind::refused) return refused_at_the_door(options, world, opened.verdict);
  if (opened.kind == Kind::failed) throw AgreedError(opened);
  if (world.first()) {
    for (const auto& [root, why] : gate->left_out()) {
      log(Level::warn, "run.left_out", {{"shard", root}, {"why", why}});
    }
  }

  std::optional<ledger::SignerKey> key;
  Position position;
  agree_or_throw(world, [&] {
    if (!world.first()) return;
    key = ledger::read_signer_key(options.key);
    position = open_run(options, loaded, *gate, machine, world.size(), *key);
  });
  share_position(world, position);

  Training training(options, loaded, world, key ? &*key : nullptr, std::move(gate),
                    std::move(position));
  const Outcome started = agree(world, outcome_of([&] { training.start(); }));
  if (started.kind != Kind::good) return training.end(started);
  while (!training.done()) {
    const Outcome outcome = agree(world, training.look());
    if (outcome.kind == Kind::refresh) {
      training.take_new_permit();
    } else if (outcome.kind != Kind::good) {
      return training.end(outcome);
    }
    training.step();
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
  const Machine machine = prepare_machine(options.threads);
  const LoadedConfig loaded = load_config(options.config);
  const WorldOptions where = world_from_environment();
  set_log_rank(where.rank);
  World world(where);
  agree_or_throw(world, [&] { slots_of_a_rank(loaded.config, world.size()); });

  RunResult result = run_once(options, loaded, machine, world);
  RunOptions rest = options;
  rest.fresh = false;
  rest.from.reset();
  // Every rank is here with the same result; each time a shard more is left out.
  while (options.gate.leave_out && is_about_footage(result) && result.step > 0) {
    result = run_once(rest, loaded, machine, world);
  }
  return result;
}

}  // namespace cleared::train
