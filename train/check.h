// The gate alone: what would keep a run from starting or from reaching its end, found out without
// training. One thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "ledger/base/bytes.h"
#include "train/totals.h"

namespace cleared::ledger {
class Gate;
struct GateOptions;
}  // namespace cleared::ledger

namespace cleared::train {

class Order;
class RunConfig;
struct LoadedConfig;

// What every act of `train` at the gate needs to be told.
struct GatePaths {
  std::filesystem::path permit;
  std::filesystem::path trust;
  std::filesystem::path shards;
  std::filesystem::path notices;
  bool leave_out = false;  // GateOptions::leave_out
};
ledger::GateOptions gate_options(const LoadedConfig& loaded, const GatePaths& paths);

// Which of the config's shapes (by_shape in train/data/config.h) takes a sample, by its place in
// Gate::samples().
size_t shape_of(const RunConfig& config, const ledger::Gate& gate, uint64_t sample);

// Merkle root over the digests of the permitted samples, in their order, whose share each counts
// for, where shares are limited, and over their shapes, where the config has buckets: names what a
// data order is an order of.
Digest samples_root(const RunConfig& config, const ledger::Gate& gate);

// The data order that the config asks for, of the samples that the gate permits, from `first_step`.
// Where the permit limits shares it holds them; throws ledger::Refused when no order does.
Order order_of(const RunConfig& config, const ledger::Gate& gate, uint64_t first_step);

// What is read before the first step, each list ascending and evenly spread: the samples that the
// codec is fitted to, those whose captions the text's pairs are learned from, and both together.
struct FitSamples {
  std::vector<uint64_t> video, captions, all;
};
// Of those that come last none is read, as long as there are others. Where shares are limited,
// those that an epoch begins with, for they count.
uint64_t fit_count(const RunConfig& config);  // of `all`, at most
FitSamples fit_samples(const RunConfig& config, const ledger::Gate& gate);

// One pass more of a sample.
void add_pass(Totals& totals, const ledger::Gate& gate, uint64_t sample);
// One of each that is read before the first step.
void add_fit(Totals& totals, const ledger::Gate& gate, const FitSamples& fit);

// Clips of `totals` of which the gate permits no sample.
uint64_t count_unpermitted(const ledger::Gate& gate, const Totals& totals);

// By sample, the passes of its clip but for those that `order` counts for the sample itself: what
// was consumed before `order` began, from totals at `step`, and what other samples of the clip, as
// its latent is one, will have been consumed at `end_step`. To be added to what the order has
// consumed, modulo 2^64. Where the permit has counted what run `resumed` consumed up to this step,
// none of it counts again; what was `set_aside` counts on top.
std::vector<uint64_t> passes_before(const ledger::Gate& gate, const Order& order,
                                    const Totals& totals, uint64_t step, uint64_t end_step,
                                    const std::string& resumed = {}, const Totals& set_aside = {});

// Throws ledger::Refused when the steps up to `end_step` would consume a clip more often than the
// permit allows: better now than there.
void check_passes(const ledger::Gate& gate, const Order& order, const std::vector<uint64_t>& before,
                  uint64_t end_step);

// Throws ledger::Refused when a licensor has more than its share of what the steps [first_step,
// end_step) consume, and of the samples that were read before: counted sample by sample, whatever
// was planned.
void check_shares(const ledger::Gate& gate, const Order& order, const FitSamples& before,
                  uint64_t end_step);

struct CheckReport {
  std::string run;
  Digest permit;
  std::string expires_at;
  uint64_t shards = 0;
  uint64_t samples = 0;
  uint64_t hashed_bytes = 0;  // of members, 0: not asked
  uint64_t duration_us = 0;   // of all samples, one pass
  uint64_t most_passes = 0;   // of a sample, by a whole run from step 0
};

// Opens the gate and checks the passes of a whole run; with `read_samples` it also reads and hashes
// the bytes of every sample. Throws ledger::Refused with the first rule that says no.
CheckReport check(const LoadedConfig& loaded, const GatePaths& paths, bool read_samples);

}  // namespace cleared::train
