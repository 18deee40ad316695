#include "train/check.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <memory>
#include <set>

#include "ledger/gate.h"
#include "ledger/merkle.h"
#include "ledger/shares.h"
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
          .purpose = purpose_of(loaded.config),
          .foreign = std::move(foreign),
          .leave_out = paths.leave_out};
}

size_t shape_of(const RunConfig& config, const ledger::Gate& gate, uint64_t sample) {
  return shape_of_shard(config, gate.shard_name(gate.samples()[sample].shard));
}

Digest samples_root(const RunConfig& config, const ledger::Gate& gate) {
  std::vector<Digest> leaves;
  for (uint64_t i = 0; i < gate.samples().size(); ++i) {
    leaves.push_back(ledger::leaf_digest(gate.samples()[i].digest.bytes));
    if (config.bucket().empty()) continue;
    const std::string shape = "shape " + std::to_string(shape_of(config, gate, i));
    leaves.push_back(ledger::leaf_digest(as_bytes(shape)));
  }
  for (const auto& share : gate.permit().share()) {
    leaves.push_back(ledger::leaf_digest(as_bytes(share.SerializeAsString())));
  }
  for (const auto& shard : gate.permit().shard()) {
    for (const auto& part : shard.part()) {
      leaves.push_back(ledger::leaf_digest(as_bytes(part.SerializeAsString())));
    }
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

// Videos that the codec is fitted to, and captions that the text learns from.
uint64_t fit_videos(const RunConfig& config) {
  const bool fits = config.stage() == RunConfig::TRANSFORMER && !config.codec().has_vae();
  return fits ? config.codec().fit_samples() : 0;
}
uint64_t fit_captions(const RunConfig& config) {
  constexpr uint64_t kMostCaptions = 65'536;
  return pair_count(config) > 0 && !config.text().trained() ? kMostCaptions : 0;
}

// Of a run that begins at `first_step`; null when the permit limits no share.
std::shared_ptr<const ledger::SharePlan> shares_of(const RunConfig& config,
                                                   const ledger::Gate& gate, uint64_t first_step) {
  if (gate.permit().share_size() == 0) return nullptr;
  if (config.sequence() == RunConfig::REVOCABLE_LAST) {
    ledger::refuse_revocable_last(gate.permit());
  }
  if (!config.bucket().empty()) ledger::refuse_buckets(gate.permit());
  ledger::ShareRequest request{.limits = ledger::limits_of(gate.permit()),
                               .samples = {},
                               .draws = (config.steps() - first_step) * config.batch(),
                               .fit = first_step == 0 ? fit_count(config) : 0};
  for (const auto& s : gate.samples())
    request.samples.push_back({s.digest, s.duration_us, s.group});
  return std::make_shared<const ledger::SharePlan>(ledger::plan_shares(request));
}

}  // namespace

uint64_t fit_count(const RunConfig& config) {
  return std::max(fit_videos(config), fit_captions(config));
}

Order order_of(const RunConfig& config, const ledger::Gate& gate, uint64_t first_step) {
  OrderOptions options{.seed = config.seed(),
                       .samples = gate.samples().size(),
                       .batch = config.batch(),
                       .first_step = first_step,
                       .end_step = config.steps(),
                       .plan = shares_of(config, gate, first_step)};
  if (config.sequence() == RunConfig::REVOCABLE_LAST && !options.plan) {
    options.last = revocable_samples(gate);
  }
  if (config.bucket().empty()) return Order(options);
  for (const RunConfig& shape : by_shape(config)) options.batches.push_back(shape.batch());
  for (uint64_t i = 0; i < gate.samples().size(); ++i) {
    options.shape_of.push_back(static_cast<uint8_t>(shape_of(config, gate, i)));
  }
  return Order(options);
}

FitSamples fit_samples(const RunConfig& config, const ledger::Gate& gate) {
  FitSamples fit;
  if (const auto plan = shares_of(config, gate, 0)) {
    fit.video = plan->fit(fit_videos(config));
    fit.captions = plan->fit(fit_captions(config));
  } else {
    const auto samples = early_samples(config, gate);
    fit.video = evenly_spread(fit_videos(config), samples);
    fit.captions = evenly_spread(fit_captions(config), samples);
  }
  std::set_union(fit.video.begin(), fit.video.end(), fit.captions.begin(), fit.captions.end(),
                 std::back_inserter(fit.all));
  return fit;
}

void add_pass(Totals& totals, const ledger::Gate& gate, uint64_t sample) {
  const auto& its = gate.samples()[sample];
  Total& total = totals[its.digest];
  ++total.passes;
  total.clip = its.clip;
}

void add_fit(Totals& totals, const ledger::Gate& gate, const FitSamples& fit) {
  for (const uint64_t sample : fit.all) add_pass(totals, gate, sample);
}

uint64_t count_unpermitted(const ledger::Gate& gate, const Totals& totals) {
  std::set<Digest> permitted, others;
  for (const auto& sample : gate.samples()) permitted.insert(sample.clip);
  for (const auto& [sample, total] : totals) {
    if (!permitted.contains(total.clip)) others.insert(total.clip);
  }
  return others.size();
}

std::vector<uint64_t> passes_before(const ledger::Gate& gate, const Order& order,
                                    const Totals& consumed, uint64_t step, uint64_t end_step) {
  struct Clip {
    uint64_t consumed = 0, by_order = 0, in_all = 0;
  };
  std::map<Digest, Clip> clips;
  for (uint64_t i = 0; i < gate.samples().size(); ++i) {
    Clip& clip = clips[gate.samples()[i].clip];
    clip.by_order += order.passes(i, step);
    clip.in_all += order.passes(i, end_step);
  }
  for (const auto& [sample, total] : consumed) {
    const auto found = clips.find(total.clip);
    if (found != clips.end()) found->second.consumed += total.passes;
  }
  std::vector<uint64_t> before;
  for (uint64_t i = 0; i < gate.samples().size(); ++i) {
    const auto& its = gate.samples()[i];
    const Clip& clip = clips[its.clip];
    // The same bytes under another clip are the same footage, too.
    const auto equal = consumed.find(its.digest);
    const bool more = equal != consumed.end() && equal->second.clip != its.clip;
    before.push_back(clip.consumed - clip.by_order + clip.in_all - order.passes(i, end_step) +
                     (more ? equal->second.passes : 0));
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
                               std::to_string(end_step) + " steps would consume its clip " +
                               std::to_string(passes) +
                               " times: lower steps, or permit more samples"));
  }
}

void check_shares(const ledger::Gate& gate, const Order& order, const FitSamples& before,
                  uint64_t end_step) {
  const auto limits = ledger::limits_of(gate.permit());
  if (limits.empty()) return;
  std::vector<uint64_t> consumed_us(limits.size() + 1);
  uint64_t all_us = 0;
  const auto count = [&](uint64_t sample, uint64_t passes) {
    const auto& its = gate.samples()[sample];
    consumed_us[its.group] += passes * its.duration_us;
    all_us += passes * its.duration_us;
  };
  for (const uint64_t sample : before.all) count(sample, 1);
  for (uint64_t i = 0; i < gate.samples().size(); ++i) count(i, order.passes(i, end_step));
  for (size_t i = 0; i < limits.size(); ++i) {
    const auto own = static_cast<double>(consumed_us[i + 1]);
    if (own <= limits[i].most * static_cast<double>(all_us)) continue;
    throw ledger::Refused(
        ledger::no("share_exceeded", "licensor " + limits[i].licensor + " may have " +
                                         std::to_string(limits[i].most) +
                                         " of the run's sample-seconds, and would have " +
                                         std::to_string(own / static_cast<double>(all_us)) +
                                         ": permit footage of others, or make the run longer"));
  }
}

CheckReport check(const LoadedConfig& loaded, const GatePaths& paths, bool read_samples) {
  const ledger::Gate gate(gate_options(loaded, paths));
  const RunConfig& config = loaded.config;
  const Order order = order_of(config, gate, 0);
  const FitSamples fit = fit_samples(config, gate);
  Totals totals;
  add_fit(totals, gate, fit);
  const auto before = passes_before(gate, order, totals, 0, config.steps());
  check_passes(gate, order, before, config.steps());
  check_shares(gate, order, fit, config.steps());

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
