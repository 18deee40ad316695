#include "train/start.h"

#include <algorithm>
#include <set>

#include "ledger/base/log.h"
#include "train/check.h"
#include "train/checkpoint.h"
#include "train/codec.h"
#include "train/data/bpe.h"
#include "train/data/codec_shape.h"
#include "train/data/config.h"
#include "train/data/loader.h"
#include "train/data/order.h"
#include "train/difference.h"
#include "train/foreign.h"
#include "train/learner.h"
#include "train/model/dist.h"
#include "train/model/machine.h"
#include "train/trainee.h"

namespace cleared::train {

Outcome open_gate(World& world, const RunConfig& config, std::unique_ptr<ledger::Gate>& gate,
                  const std::function<std::unique_ptr<ledger::Gate>()>& open) {
  Outcome outcome = agree(world, outcome_of([&] { gate = open(); }));
  if (outcome.kind == Outcome::Kind::good && !world.agree(gate->permit_digest().text())) {
    outcome.kind = Outcome::Kind::refused;
    outcome.verdict = ledger::no("permits_differ", "the ranks were given different permits");
  } else if (outcome.kind == Outcome::Kind::good &&
             !world.agree(samples_root(config, *gate).text())) {
    outcome.kind = Outcome::Kind::failed;
    outcome.code = Errc::busy;
    outcome.text = "the ranks see different notices, and so other samples to leave out; run again";
  }
  return outcome;
}

void agree_on_machine(World& world, Machine& machine) {
  const auto libraries = world.all_gather(machine.libraries);
  for (size_t rank = 1; rank < libraries.size(); ++rank) {
    const auto differ = first_difference(libraries[0], libraries[rank]);
    if (!differ) continue;
    throw Error(Errc::config, "ranks: their libraries are not the same: rank 0 has ",
                differ->claimed, ", rank ", rank, " ", differ->made,
                ": install the same on every machine, and let nothing be preloaded on one alone");
  }
  const auto kinds = world.all_gather(kind_of(machine));
  for (size_t rank = 1; rank < kinds.size(); ++rank) {
    const auto differ = first_difference(kinds[0], kinds[rank], ' ');
    if (!differ) continue;
    throw Error(Errc::config, "ranks: their arithmetic is not the same: rank 0 has ",
                differ->claimed, ", rank ", rank, " ", differ->made,
                ": train on processors of one kind, with the same libraries and settings");
  }
  const auto names = world.all_gather(machine.cpu);
  const std::set<std::string> all(names.begin(), names.end());
  if (all.size() == 1) return;
  machine.cpu.clear();
  for (const std::string& name : all) machine.cpu += (machine.cpu.empty() ? "" : " and ") + name;
  if (!world.first()) return;
  log(Level::warn, "run.processors",
      {{"are", machine.cpu},
       {"note",
        "of one kind by all that is known to change bits; one machine may not make the same "
        "again"}});
}

void check_slots(const RunConfig& config, int world_size) {
  const auto ranks = static_cast<uint32_t>(world_size);
  for (const RunConfig& shape : by_shape(config)) {
    if (shape.batch() % ranks == 0) continue;
    throw Error(Errc::config, "batch: ", shape.batch(), " samples cannot be shared equally by ",
                ranks, " ranks");
  }
  if (config.gradients() == RunConfig::EXACT) {
    micro_batches_of_a_rank(micro_batches_of(config), world_size);
  }
}

std::vector<DecoderOptions> decoder_options(const std::filesystem::path& curate,
                                            const RunConfig& config) {
  std::vector<DecoderOptions> out;
  if (config.stage() == RunConfig::TEXT_ENCODER) return out;
  for (const RunConfig& shape : by_shape(config)) {
    out.push_back({.program = curate,
                   .width = shape.clip().width(),
                   .height = shape.clip().height(),
                   .frames = shape.clip().frames()});
  }
  return out;
}

void share_position(World& world, Position& position) {
  position.state.ParseFromString(world.broadcast(position.state.SerializePartialAsString()));
  position.totals =
      parse_totals(world.broadcast(format_totals(position.totals)), "totals of rank 0");
  position.consumed =
      parse_totals(world.broadcast(format_totals(position.consumed)), "passes of rank 0");
}

namespace {

// Video and captions of samples, in the order of the gate.
void fit_to_samples(const ledger::Gate& gate, const RunConfig& config, const FitSamples& samples,
                    const std::vector<DecoderOptions>& options, TensorMap& codec) {
  Decoders decoders(options);
  CodecFit fit(config);
  std::vector<std::string> captions;
  for (const uint64_t sample : samples.all) {
    const bool video = std::binary_search(samples.video.begin(), samples.video.end(), sample);
    if (video) {
      const size_t shape = shape_of(config, gate, sample);
      for (const View& view : views_to_fit(config)) {
        const Item item = load_item(gate, decoders.of(shape), sample, 1, view);
        fit.add(item, shape);
        if (view == View{}) captions.push_back(item.caption);
      }
    } else {
      captions.push_back(gate.clear(sample, 1).member("txt"));
    }
  }
  if (!samples.video.empty()) codec.merge(fit.finish());
  if (!samples.captions.empty()) {
    const uint64_t count = pair_count(config);
    codec.emplace(kPairs, write_pairs(learn_pairs(captions, count), static_cast<int64_t>(count)));
  }
}

}  // namespace

Beginning begin(World& world, const ledger::Gate& gate, const RunConfig& config,
                const std::vector<DecoderOptions>& options, const Origins& origins) {
  Beginning begun;
  const FitSamples samples = fit_samples(config, gate);
  for (const uint64_t sample : samples.all) begun.samples.push_back(gate.samples()[sample].digest);
  State brought;
  agree_or_throw(world, [&] {
    if (!world.first()) return;
    begun.vae = read_autoencoder(config, origins);
    begun.text = read_text_encoder(config, origins);
    begun.codec = std::move(begun.vae.tensors);
    begun.codec.insert(begun.text.pairs.begin(), begun.text.pairs.end());
    if (!samples.all.empty()) fit_to_samples(gate, config, samples, options, begun.codec);
    for (const Origin* origin : {&begun.vae, &begun.text}) {
      brought.mutable_foreign()->Add(origin->foreign.begin(), origin->foreign.end());
    }
  });
  brought.ParsePartialFromString(world.broadcast(brought.SerializePartialAsString()));
  begun.foreign.assign(brought.foreign().begin(), brought.foreign().end());
  return begun;
}

void record_beginning(const RunConfig& config, const Beginning& beginning, State& state) {
  if (!beginning.vae.weights.empty()) state.set_vae(beginning.vae.weights);
  if (!beginning.text.weights.empty()) state.set_text_encoder(beginning.text.weights);
  record_foreign(config, beginning.foreign, state);
}

void start_weights(World& world, const RunConfig& config,
                   const std::vector<std::filesystem::path>& files, const Origin& text,
                   Position& position) {
  if (config.foreign().empty() && files.empty() && !config.text().trained()) return;
  agree_or_throw(world, [&] {
    if (world.first()) position.tensors.model = initial_weights(config, files, text.tensors);
  });
}

std::unique_ptr<Loader> make_loader(const World& world, const RunConfig& config,
                                    const ledger::Gate& gate, const Order& order,
                                    const std::filesystem::path& curate, uint64_t first_step,
                                    uint64_t end_step, std::vector<uint64_t> before) {
  return std::make_unique<Loader>(
      std::make_unique<ledger::Gate>(gate), decoder_options(curate, config), order,
      LoaderOptions{.first_step = first_step,
                    .end_step = end_step,
                    .rank = static_cast<uint32_t>(world.rank()),
                    .ranks = static_cast<uint32_t>(world.size()),
                    .before = std::move(before),
                    .view = [&config](auto... slot) { return view_of(config, slot...); }});
}

void add_loss(State& state, uint64_t step, double loss) {
  constexpr double kSmooth = 0.95;
  if (step == 0) state.set_first_loss(loss);
  state.set_smooth_loss(step == 0 ? loss : kSmooth * state.smooth_loss() + (1 - kSmooth) * loss);
}

StepFacts facts_of(const Learned& learned, uint64_t step, const ledger::Gate& gate,
                   const Order& order) {
  StepFacts facts{.step = step,
                  .loss = static_cast<float>(learned.loss),
                  .gradient_norm = static_cast<float>(learned.gradient_norm),
                  .applied = learned.applied,
                  .samples = {}};
  for (uint32_t slot = 0; slot < order.batch(step); ++slot) {
    facts.samples.push_back(gate.samples()[order.at(step, slot).sample].digest);
  }
  return facts;
}

}  // namespace cleared::train
