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
  return {.permit = paths.permit,
          .trust = paths.trust,
          .shards = paths.shards,
          .notices = paths.notices,
          .run = loaded.config.name(),
          .config_digest = loaded.digest,
          .purpose = loaded.config.purpose()};
}

Digest samples_root(const ledger::Gate& gate) {
  std::vector<Digest> leaves;
  for (const auto& sample : gate.samples()) {
    leaves.push_back(ledger::leaf_digest(sample.digest.bytes));
  }
  return ledger::root_digest(leaves);
}

namespace {

std::vector<uint64_t> evenly_spread(uint64_t count, uint64_t samples) {
  std::vector<uint64_t> chosen;
  for (uint64_t i = 0; i < std::min(count, samples); ++i) {
    chosen.push_back(i * samples / std::min(count, samples));
  }
  return chosen;
}

}  // namespace

FitSamples fit_samples(const RunConfig& config, uint64_t samples) {
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
                                    const Totals& totals, uint64_t step) {
  std::vector<uint64_t> before;
  for (uint64_t i = 0; i < gate.samples().size(); ++i) {
    const auto total = totals.find(gate.samples()[i].digest);
    before.push_back(total == totals.end() ? 0 : total->second - order.passes(i, step));
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
  const Order order(
      {.seed = config.seed(), .samples = gate.samples().size(), .batch = config.batch()});
  std::vector<uint64_t> before(gate.samples().size(), 0);
  for (const uint64_t sample : fit_samples(config, before.size()).all) before[sample] = 1;
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
