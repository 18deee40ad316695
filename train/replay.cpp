#include "train/replay.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <sstream>

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/linalg_vector_norm.h>

#include "ledger/base/clock.h"
#include "ledger/base/file.h"
#include "ledger/base/log.h"
#include "ledger/digest.h"
#include "ledger/textproto.h"
#include "ledger/trust.h"
#include "train/check.h"
#include "train/data/config.h"
#include "train/data/decoder.h"
#include "train/data/loader.h"
#include "train/data/order.h"
#include "train/difference.h"
#include "train/foreign.h"
#include "train/learner.h"
#include "train/model/dist.h"
#include "train/model/machine.h"
#include "train/passes.h"
#include "train/start.h"

namespace cleared::train {
namespace {

using Kind = Outcome::Kind;

double norm_of(const Tensor& x) {
  return at::linalg_vector_norm(x.detach().to(at::kCPU, at::kDouble)).item<double>();
}

// |a - b| over |a|, of one tensor.
double difference(const Tensor& claimed, const Tensor& made) {
  const double distance =
      norm_of(claimed.detach().to(at::kCPU, at::kDouble) - made.detach().to(at::kCPU, at::kDouble));
  return distance == 0 ? 0 : distance / std::max(norm_of(claimed), 1e-12);
}

bool same_bytes(const Tensor& claimed, const Tensor& made) {
  const auto bytes = [](const Tensor& x) {
    const Tensor flat = x.detach().to(at::kCPU).contiguous();
    return std::string_view(static_cast<const char*>(flat.const_data_ptr()), flat.nbytes());
  };
  return bytes(claimed) == bytes(made);
}

std::string shown(const Place& place) {
  return "sample " + std::to_string(place.index) + " of shard " + to_hex(place.shard) + ", " +
         std::to_string(place.duration_us) + " us";
}

std::string text_of(const Metadata& metadata) {
  std::string text;
  for (const auto& [key, value] : metadata) text += key + "=" + value + "\n";
  return text;
}

// A segment of a run, made again.
class Replay {
 public:
  Replay(const ReplayOptions& options, World& world, const Machine& machine)
      : options_(options), world_(world), machine_(machine) {
    report_.machine = describe(machine);
    report_.from = report_.end = options.from;
  }

  void read_run();
  Outcome ask_gate();
  bool disagrees() const { return report_.disagreement.has_value(); }
  void start();
  bool done() const { return step_ == claims_.end_step; }
  Outcome look();
  void step();
  ReplayReport report() const { return report_; }

 private:
  void begin_state();
  void compare_beginning(const Beginning& begun);
  void compare_places(const std::vector<Digest>& samples);
  void compare_state(const ClaimedCheckpoint& claimed, uint64_t step);
  void compare_checkpoint(const ClaimedCheckpoint& claimed);
  void compare_tensors(const TensorMap& made, const TensorMap& theirs, const std::string& name);
  bool close(double a, double b) const {
    return std::abs(a - b) <= options_.tolerance * std::max(std::abs(a), std::abs(b));
  }
  void compare_text(const std::string& what, const std::string& claimed, const std::string& made,
                    uint64_t step);
  void disagree(uint64_t step, const std::string& what, const std::string& claimed,
                const std::string& made) {
    report_.disagreement = Disagreement{step, what, claimed, made};
  }
  // Rank 0 found out; every rank learns.
  void share_disagreement();

  const ReplayOptions& options_;
  World& world_;
  const Machine machine_;
  ReplayReport report_;
  std::vector<ledger::PublicKey> trusted_;
  Claims claims_;
  LoadedConfig loaded_;
  Position position_;
  State made_;  // after the steps so far; not what only the machine that it ran on knows
  std::unique_ptr<ledger::Gate> gate_;
  Places places_;
  std::unique_ptr<Order> order_;
  std::unique_ptr<Learner> learner_;
  std::unique_ptr<Loader> loader_;
  Batch batch_;
  uint64_t step_ = 0;
};

void Replay::read_run() {
  trusted_ = ledger::read_trust(options_.gate.trust).keys;
  claims_ = read_claims({options_.run, options_.from, options_.steps}, trusted_);
  report_.disagreement = claims_.disagreement;
  const ClaimedCheckpoint& first = claims_.checkpoints.front();
  report_.run = first.state.run();
  report_.claimed_machine = first.state.machine();
  report_.same_machine = is_described(machine_, first.state.machine());
  step_ = options_.from;
  if (disagrees()) return;

  const std::filesystem::path config = first.folder / "config.textproto";
  loaded_ = load_config(config);
  if (first.state.config() != ledger::digest_name(loaded_.digest) ||
      first.state.seed() != loaded_.config.seed()) {
    report_.disagreement =
        Disagreement{step_, "config", first.state.config(), ledger::digest_name(loaded_.digest)};
  }
  position_.state = first.state;
  if (world_.first() && claims_.start) {
    Checkpoint checkpoint = read_checkpoint(claims_.start->folder, trusted_);
    position_.totals = std::move(checkpoint.text.totals);
    position_.tensors = std::move(checkpoint.tensors);
  }
  for (const ClaimedCheckpoint& checkpoint : claims_.checkpoints) {
    if (checkpoint.state.permit() == first.state.permit() &&
        checkpoint.state.config() == first.state.config() &&
        checkpoint.state.run() == first.state.run()) {
      continue;
    }
    throw Error(Errc::usage, "replay: up to checkpoint ", checkpoint.folder.string(),
                " the run had another permit, config or list of samples than before: replay the "
                "parts apart");
  }
}

Outcome Replay::ask_gate() {
  const Outcome outcome = open_gate(world_, loaded_.config, gate_, [&] {
    const uint64_t at_us =
        options_.at_us ? *options_.at_us : ledger::Gate::issued_at(options_.gate.permit);
    report_.judged_at = format_time(at_us);
    return std::make_unique<ledger::Gate>(
        ledger::Gate::as_of(gate_options(loaded_, options_.gate), at_us));
  });
  if (outcome.kind != Kind::good) return outcome;
  report_.expires_at = gate_->permit().expires_at();
  return agree(
      world_, outcome_of([&] {
        const std::string permit = ledger::digest_name(gate_->permit_digest());
        if (permit != position_.state.permit()) {
          throw ledger::Refused(ledger::no(
              "permit_other_run", "permit " + options_.gate.permit.string() + " is " + permit +
                                      ", the run was made under " + position_.state.permit()));
        }
        const auto verdict = gate_->judge_foreign(foreign_of(position_.state));
        if (!verdict.cleared) throw ledger::Refused(verdict);
        if (!world_.first() || !claims_.start) return;
        position_.consumed =
            passes_behind(*gate_, options_.run, claims_.start->state, position_.totals);
      }));
}

void Replay::start() {
  share_position(world_, position_);
  const RunConfig& config = loaded_.config;
  check_slots(config, world_.size());
  if (world_.first() && claims_.start) {
    compare_text("tensors.txt of " + claims_.start->folder.filename().string(),
                 read_file(claims_.start->folder / "tensors.txt"),
                 tensors_manifest(position_.tensors), step_);
  }
  begin_state();
  order_ = std::make_unique<Order>(order_of(config, *gate_, made_.order_first_step()));
  if (step_ == 0) {
    const Beginning begun = begin(world_, *gate_, config, decoder_options(options_.curate, config),
                                  {options_.vae, options_.text, trusted_});
    position_.tensors.codec = begun.codec;
    compare_beginning(begun);
    start_weights(world_, config, options_.foreign, begun.text, position_);
    const FitSamples fit = fit_samples(config, *gate_);
    add_fit(position_.totals, *gate_, fit);
    add_fit(position_.consumed, *gate_, fit);
    const std::string line = codec_line(begun.samples);
    if (claims_.codec != line) {
      disagree(0, "samples of the codec", claims_.codec.value_or("nothing"), line);
    } else {
      compare_places(begun.samples);
    }
    record_beginning(config, begun, made_);
  }
  const auto before = passes_before(*gate_, *order_, position_.consumed, step_, claims_.end_step);
  check_passes(*gate_, *order_, before, claims_.end_step);
  learner_ = make_learner(world_, config, position_.tensors);
  position_.tensors = {};
  if (step_ == 0 && world_.first()) {
    const State& claimed = claims_.checkpoints.front().state;
    made_.set_step0(options_.tolerance > 0
                        ? claimed.step0()
                        : ledger::digest_name(tensors_digest(learner_->tensors())));
  }
  uint64_t first_step = step_;
  for (const ClaimedCheckpoint& claimed : claims_.checkpoints) {
    if (world_.first() && !disagrees()) compare_state(claimed, first_step);
    first_step = claimed.state.step();
  }
  loader_ = make_loader(world_, config, *gate_, *order_, options_.curate, step_, claims_.end_step,
                        before);
  share_disagreement();
}

// As a run has it that goes on from a checkpoint, or begins. Where the order of the samples began
// is no choice of the trainer's: at the seed, or where the samples became others.
void Replay::begin_state() {
  places_ = places_of(*gate_);
  const std::string samples = ledger::digest_name(samples_root(loaded_.config, *gate_));
  if (claims_.start) made_ = claims_.start->state;
  if (!claims_.start || made_.samples_root() != samples) made_.set_order_first_step(step_);
  made_.set_run(claims_.checkpoints.front().state.run());
  const ledger::Permit& permit = gate_->permit();
  made_.set_permit(ledger::digest_name(gate_->permit_digest()));
  made_.set_config(ledger::digest_name(loaded_.digest));
  made_.set_seed(loaded_.config.seed());
  made_.set_origin(permit.origin());
  made_.set_tree_size(permit.tree_size());
  made_.set_tree_root(permit.tree_root());
  made_.set_samples_root(samples);
}

// What the run says it began with, against what its config and the checkpoints given say.
void Replay::compare_beginning(const Beginning& begun) {
  State made;
  record_beginning(loaded_.config, begun, made);
  const auto names = [](const State& state) {
    std::string text;
    for (const auto& foreign : state.foreign())
      text += foreign.part() + " " + foreign.weights() + " ";
    return text.empty() ? "none" : text;
  };
  const State& claimed = position_.state;
  const std::tuple<const char*, std::string, std::string> facts[] = {
      {"autoencoder", claimed.vae(), made.vae()},
      {"text encoder", claimed.text_encoder(), made.text_encoder()},
      {"foreign weights", names(claimed), names(made)}};
  for (const auto& [what, theirs, ours] : facts) {
    if (world_.first() && theirs != ours) {
      report_.disagreement = Disagreement{0, what, theirs, ours};
    }
  }
}

Outcome Replay::look() {
  return outcome_of([&] {
    batch_ = loader_->next();
    learner_->prepare(batch_);
  });
}

void Replay::step() {
  const auto slots = static_cast<uint32_t>(batch_.items.size());
  const Learned learned = learner_->learn(batch_, slots * static_cast<uint32_t>(world_.rank()));
  const StepFacts facts = facts_of(learned, step_, *gate_, *order_);
  if (world_.first()) {
    report_.disagreement =
        compare_lines(claims_.lines.at(step_), step_line(facts), step_, options_.tolerance);
    if (!disagrees()) compare_places(facts.samples);
  }
  for (uint32_t slot = 0; slot < order_->batch(step_); ++slot) {
    add_pass(position_.totals, *gate_, order_->at(step_, slot).sample);
  }
  add_loss(made_, step_, learned.loss);
  report_.end = ++step_;
  if (!disagrees()) ++report_.steps;
  for (const ClaimedCheckpoint& claimed : claims_.checkpoints) {
    if (world_.first() && !disagrees() && claimed.state.step() == step_) {
      compare_checkpoint(claimed);
    }
  }
  share_disagreement();
  if (world_.first() && options_.on_step) options_.on_step(step_, claims_.end_step);
}

// Shards, places and durations of what the step consumed: they are what is paid for.
void Replay::compare_places(const std::vector<Digest>& samples) {
  const auto claimed =
      std::find_if(claims_.checkpoints.begin(), claims_.checkpoints.end(),
                   [&](const ClaimedCheckpoint& at) { return at.state.step() > step_; });
  for (const Digest& sample : samples) {
    const Place &says = claimed->span->place(sample), &is = places_.at(sample);
    if (says == is) continue;
    return disagree(step_, "place of sample " + to_hex(sample), shown(says), shown(is));
  }
}

void Replay::compare_text(const std::string& what, const std::string& claimed,
                          const std::string& made, uint64_t step) {
  if (disagrees()) return;
  if (const auto lie = first_difference(claimed, made)) {
    disagree(step, what, lie->claimed, lie->made);
  }
}

// Of a checkpoint that has not been reached all but the losses.
void Replay::compare_state(const ClaimedCheckpoint& claimed, uint64_t step) {
  const State& theirs = claimed.state;
  State made = theirs;  // keeps what only the machine knew, and what the receipts were held against
  made.set_run(made_.run());
  made.set_permit(made_.permit());
  made.set_config(made_.config());
  made.set_seed(made_.seed());
  made.set_origin(made_.origin());
  made.set_tree_size(made_.tree_size());
  made.set_tree_root(made_.tree_root());
  made.set_order_first_step(made_.order_first_step());
  made.set_samples_root(made_.samples_root());
  made.clear_step0();
  if (made_.has_step0()) made.set_step0(made_.step0());
  made.clear_vae();
  if (made_.has_vae()) made.set_vae(made_.vae());
  made.clear_text_encoder();
  if (made_.has_text_encoder()) made.set_text_encoder(made_.text_encoder());
  *made.mutable_foreign() = made_.foreign();
  if (theirs.step() == step_) {
    if (!close(theirs.first_loss(), made_.first_loss())) made.set_first_loss(made_.first_loss());
    if (!close(theirs.smooth_loss(), made_.smooth_loss())) {
      made.set_smooth_loss(made_.smooth_loss());
    }
  }
  compare_text("state of " + claimed.folder.filename().string(), ledger::format_textproto(theirs),
               ledger::format_textproto(made), step);
}

void Replay::compare_checkpoint(const ClaimedCheckpoint& claimed) {
  const std::string name = claimed.folder.filename().string();
  const Checkpoint theirs = read_checkpoint(claimed.folder, trusted_);
  compare_tensors(all_of(learner_->tensors()), all_of(theirs.tensors), name);
  if (disagrees()) return;
  compare_state(claimed, step_);
  compare_text("tensors.txt of " + name, read_file(claimed.folder / "tensors.txt"),
               tensors_manifest(theirs.tensors), step_);
  compare_text("totals.txt of " + name, format_totals(theirs.text.totals),
               format_totals(position_.totals), step_);
  compare_text("metadata of the weights of " + name, text_of(theirs.weights_metadata),
               text_of(weights_metadata(claimed.state, *claimed.span)), step_);
  compare_text("metadata of the optimiser of " + name, text_of(theirs.optimiser_metadata),
               text_of(optimiser_metadata()), step_);
}

void Replay::compare_tensors(const TensorMap& made, const TensorMap& theirs,
                             const std::string& checkpoint) {
  const auto no = [&](const std::string& what, const std::string& a, const std::string& b) {
    disagree(step_, "weights after the step: " + what + " of " + checkpoint, a, b);
  };
  for (const auto& [name, claimed] : theirs) {
    if (!made.contains(name)) return no("tensor " + name, "a tensor", "nothing");
  }
  for (const auto& [name, mine] : made) {
    const auto found = theirs.find(name);
    if (found == theirs.end()) return no("tensor " + name, "nothing", "a tensor");
    const auto shape = [](const Tensor& x) {
      std::ostringstream text;
      text << at::toString(x.scalar_type()) << " " << x.sizes();
      return text.str();
    };
    if (shape(found->second) != shape(mine)) {
      return no("tensor " + name, shape(found->second), shape(mine));
    }
    // Only what was computed in floating point may come out otherwise on another machine.
    if (options_.tolerance > 0 && at::isFloatingType(mine.scalar_type())) {
      const double far = difference(found->second, mine);
      report_.largest = std::max(report_.largest, far);
      // The moments are sums of squares of what may differ, so they are told, not judged.
      if (!(far <= options_.tolerance) && !name.starts_with("optimiser.")) {
        return no("tensor " + name, "within " + std::to_string(options_.tolerance),
                  std::to_string(far) + " off");
      }
    } else if (!same_bytes(found->second, mine)) {
      return no("tensor " + name, to_hex(tensor_digest(found->second)),
                to_hex(tensor_digest(mine)));
    }
  }
  ++report_.checkpoints;
  report_.tensors = made.size();
}

void Replay::share_disagreement() {
  constexpr char kFieldEnd = '\x1f';
  std::string text;
  if (world_.first() && disagrees()) {
    const Disagreement& d = *report_.disagreement;
    text = std::to_string(d.step) + kFieldEnd + d.what + kFieldEnd + d.claimed + kFieldEnd +
           d.replayed;
  }
  text = world_.broadcast(text);
  if (world_.first() || text.empty()) return;
  report_.disagreement = Disagreement{std::stoull(text), "see rank 0", "", ""};
}

}  // namespace

ReplayReport replay(const ReplayOptions& options) {
  WorldOptions where = world_from_environment();
  Machine machine = prepare_machine(claimed_ranks({options.run, options.from, options.steps},
                                                  ledger::read_trust(options.gate.trust).keys,
                                                  {where.size, options.threads})
                                        .threads);
  machine.decoder = decoder_digest(options.curate);
  where.on_lost = options.on_lost;
  set_log_rank(where.rank);
  World world(where);
  agree_or_throw(world, [&] { agree_on_machine(world, machine); });
  Replay replay(options, world, machine);
  agree_or_throw(world, [&] { replay.read_run(); });
  if (replay.disagrees()) return replay.report();

  const auto stop_unless_good = [](const Outcome& outcome) {
    if (outcome.kind == Kind::refused) throw ledger::Refused(outcome.verdict);
    if (outcome.kind == Kind::failed) throw AgreedError(outcome);
  };
  stop_unless_good(replay.ask_gate());
  stop_unless_good(agree(world, outcome_of([&] { replay.start(); })));
  while (!replay.done() && !replay.disagrees()) {
    stop_unless_good(agree(world, replay.look()));
    replay.step();
  }
  return replay.report();
}

}  // namespace cleared::train
