#include "train/check.h"

#include <algorithm>
#include <iterator>

#include "ledger/gate.h"
#include "ledger/merkle.h"
#include "train/data/codec_shape.h"
#include "train/data/config.h"
#include "train/data/order.h"

namespace cleared::train {

ledger::GateOptions gate_options(const LoadedConfig& loaded, const GatePaths& paths) {
  std::vector<std::string> foreign;
  for (const auto& weights : loaded.config.foreign()) foreign.push_back(weights.weights());
  return {.permit = paths.permit,
          .trust = paths.trust,
          .shards = paths.shards,
          .notices = paths.notices,
          .run = loaded.config.name(),
          .config_digest = loaded.digest,
          .purpose = loaded.config.purpose(),
          .foreign = std::move(foreign),
          .leave_out = paths.leave_out};
}

Digest samples_root(const RunConfig& config, const ledger::Gate& gate) {
  std::vector<Digest> leaves;
  for (const auto& sample : gate.samples()) {
    leaves.push_back(ledger::leaf_digest(sample.digest.bytes));
    if (config.bucket().empty()) continue;
    const size_t shape = shape_of_shard(config, gate.shard_name(sample.shard));
    leaves.push_back(ledger::leaf_digest(as_bytes("shape " + std::to_string(shape))));
  }
  return ledger::root_digest(leaves);
}

namespace {

// Samples of shards that may have to be trained away again.
std::vector<uint64_t> revocable_samples(const ledger::Gate& gate) {
  std::vector<uint64_t> out;
  for (uint64_t i = 0; i < gate.samples().size(); ++i) {
    const auto& shard = gate.permit().shard(static_cast<int>(gate.samples()[i].shard));
    if (shard.revocable()) out.push_back(i);
  }
  return out;
}

// Those that the codec and the text may be fitted to: all but what comes last, or all.
std::vector<uint64_t> early_samples(const RunConfig& config, const ledger::Gate& gate) {
  std::vector<uint64_t> from;
  const auto last = config.sequence() == RunConfig::REVOCABLE_LAST ? revocable_samples(gate)
                                                                   : std::vector<uint64_t>();
  for (uint64_t i = 0; i < gate.samples().size(); ++i) {
    const bool late = std::binary_search(last.begin(), last.end(), i);
    if (!late || last.size() == gate.samples().size()) from.push_back(i);
  }
  return from;
}

std::vector<uint64_t> evenly_spread(uint64_t count, const std::vector<uint64_t>& from) {
  std::vector<uint64_t> chosen;
  const uint64_t some = std::min<uint64_t>(count, from.size());
  for (uint64_t i = 0; i < some; ++i) chosen.push_back(from[i * from.size() / some]);
  return chosen;
}

}  // namespace

Order order_of(const RunConfig& config, const ledger::Gate& gate, uint64_t first_step) {
  OrderOptions options{.seed = config.seed(),
                       .samples = gate.samples().size(),
                       .batch = config.batch(),
                       .first_step = first_step};
  options.end_step = config.steps();
  if (config.sequence() == RunConfig::REVOCABLE_LAST) options.last = revocable_samples(gate);
  if (config.bucket().empty()) return Order(options);
  for (const RunConfig& shape : by_shape(config)) options.batches.push_back(shape.batch());
  for (const auto& sample : gate.samples()) {
    const size_t shape = shape_of_shard(config, gate.shard_name(sample.shard));
    options.shape_of.push_back(static_cast<uint8_t>(shape));
  }
  return Order(options);
}

FitSamples fit_samples(const RunConfig& config, const ledger::Gate& gate) {
  const auto samples = early_samples(config, gate);
  constexpr uint64_t kMostCaptions = 65'536;
  FitSamples fit;
  if (config.stage() == RunConfig::TRANSFORMER && !config.codec().has_vae()) {
    fit.video = evenly_spread(config.codec().fit_samples(), samples);
  }
  if (pair_count(config) > 0) fit.captions = evenly_spread(kMostCaptions, samples);
  std::set_union(fit.video.begin(), fit.video.end(), fit.captions.begin(), fit.captions.end(),
                 std::back_inserter(fit.all));
  return fit;
}

std::vector<uint64_t> passes_before(const ledger::Gate& gate, const Order& order,
                                    const Totals& totals, uint64_t step,
                                    const std::string& resumed) {
  std::vector<uint64_t> before;
  const ledger::Permit& permit = gate.permit();
  const bool counted = permit.has_counted() && permit.counted().run() == resumed &&
                       permit.counted().end_step() >= step;
  for (uint64_t i = 0; i < gate.samples().size(); ++i) {
    const auto total = totals.find(gate.samples()[i].digest);
    const uint64_t consumed = counted || total == totals.end() ? 0 : total->second;
    const bool some = counted || total != totals.end();
    before.push_back(some ? consumed - order.passes(i, step) : 0);
  }
  return before;
}

void check_passes(const ledger::Gate& gate, const Order& order, const std::vector<uint64_t>& before,
                  uint64_t end_step) {
  for (uint64_t i = 0; i < gate.samples().size(); ++i) {
    const auto& sample = gate.samples()[i];
    const auto& shard = gate.permit().shard(static_cast<int>(sample.shard));
    const uint64_t passes = before[i] + order.passes(i, end_step);
    if (!shard.has_max_passes() || passes <= shard.max_passes()) continue;
    throw ledger::Refused(ledger::no(
        "passes_exceeded", "sample " + std::string(sample.key) + " may be consumed " +
                               std::to_string(shard.max_passes()) + " times by this run, and its " +
                               std::to_string(end_step) + " steps would consume it " +
                               std::to_string(passes) +
                               " times: lower steps, or permit more samples"));
  }
}

CheckReport check(const LoadedConfig& loaded, const GatePaths& paths, bool read_samples) {
  const ledger::Gate gate(gate_options(loaded, paths));
  const RunConfig& config = loaded.config;
  const Order order = order_of(config, gate, 0);
  std::vector<uint64_t> before(gate.samples().size(), 0);
  for (const uint64_t sample : fit_samples(config, gate).all) before[sample] = 1;
  check_passes(gate, order, before, config.steps());

  CheckReport report;
  report.run = gate.permit().run();
  report.permit = gate.permit_digest();
  report.expires_at = gate.permit().expires_at();
  report.shards = static_cast<uint64_t>(gate.permit().shard_size());
  report.samples = gate.samples().size();
  for (uint64_t i = 0; i < gate.samples().size(); ++i) {
    report.duration_us += gate.samples()[i].duration_us;
    report.most_passes = std::max(report.most_passes, before[i] + order.passes(i, config.steps()));
    if (!read_samples) continue;
    const ledger::ClearedSample cleared = gate.clear(i, 1);
    report.hashed_bytes += cleared.member(cleared.has("latent") ? "latent" : "webm").size() +
                           cleared.member("txt").size();
  }
  return report;
}

}  // namespace cleared::train
