// What proof costs a training step of the nano model on one thread. The gate: one question before
// the step, then reading, hashing and checking every sample of the batch, all of it in line
// although the loader does it beside training. Receipts: the step's line, and its share of what is
// hashed and signed at a checkpoint. Determinism: the step with LibTorch's deterministic algorithms
// against the step without. Ranks: this one's pass over what all of them compare. Prints a line of
// each; exit 1 when the share of the gate or of the ranks is 1 % or more, or that of receipts 0.5
// %.
//
//   train_gate_bench [STEPS]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <utility>

#include <ATen/Context.h>

#include "ledger/gate.h"
#include "ledger/key.h"
#include "tests/train/gate_fixture.h"
#include "train/data/config.h"
#include "train/data/order.h"
#include "train/model/divergence.h"
#include "train/model/machine.h"
#include "train/receipt.h"
#include "train/start.h"
#include "train/trainee.h"

namespace cleared::train {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kSampleBytes = 64 << 10;  // a nano sample has about 15 kB

double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

int measure(int steps) {
  prepare_machine(1);
  const LoadedConfig loaded = load_config("../configs/nano.textproto");
  const RunConfig& config = loaded.config;
  std::vector<std::string> videos;
  for (char c = 'a'; c < 'a' + 12; ++c) videos.emplace_back(kSampleBytes, c);
  const GateFixture fixture(loaded.text, videos);
  ledger::Gate gate(fixture.options());
  const Order order({.seed = config.seed(), .samples = 12, .batch = config.batch()});

  // Frames of any content cost the model the same.
  Batch batch;
  for (uint32_t slot = 0; slot < config.batch(); ++slot) {
    Item item{.sample = slot,
              .digest = {},
              .duration_us = 0,
              .caption = "a clip",
              .frames = {},
              .latent = {}};
    const auto& clip = config.clip();
    for (size_t i = 0; i < size_t{3} * clip.frames() * clip.height() * clip.width(); ++i) {
      item.frames.push_back(static_cast<uint8_t>(i * 7 + slot * 31));
    }
    batch.items.push_back(std::move(item));
  }
  CodecFit fit(config);
  for (const Item& item : batch.items) fit.add(item, 0);
  CheckpointTensors tensors;
  tensors.codec = fit.finish();
  World world({});
  Trainee trainee(world, config, tensors);

  // The best of all: other programs disturb them.
  double gate_ms = 1e30, step_ms = 1e30, free_ms = 1e30, receipt_ms = 1e30, ranks_ms = 1e30;
  const auto learn = [&](int step) {
    const auto start = Clock::now();
    batch.step = static_cast<uint64_t>(step);
    trainee.prepare(batch);
    const Learned learned = trainee.learn(batch, 0);
    return std::pair(ms_since(start), learned);
  };
  const auto places = std::make_shared<const Places>(places_of(gate));
  const ledger::SignerKey key = ledger::new_signer_key("bench");
  const uint64_t every = config.checkpoints().every();
  ReceiptFacts receipt;
  receipt.run = "bench";
  receipt.permit = gate.permit_digest();
  for (int step = 0; step < steps; ++step) {
    const auto start = Clock::now();
    if (!gate.holds().cleared) return 1;
    for (uint32_t slot = 0; slot < config.batch(); ++slot) {
      const auto [sample, passes] = order.at(static_cast<uint64_t>(step), slot);
      if (gate.clear(sample, passes).duration_us() == 0) return 1;
    }
    gate_ms = std::min(gate_ms, ms_since(start));
    const auto [ms, learned] = learn(2 * step);
    step_ms = std::min(step_ms, ms);

    const auto writing = Clock::now();
    Span span(0, places);
    for (uint64_t i = 0; i < every; ++i) {
      span.step(facts_of(learned, i, gate, order));
    }
    if (write_receipt(span, receipt, key).empty()) return 1;
    receipt_ms = std::min(receipt_ms, ms_since(writing) / static_cast<double>(every));

    const auto comparing = Clock::now();
    for (const auto& [name, tensor] : all_of(trainee.tensors())) fingerprint(tensor);
    ranks_ms = std::min(ranks_ms, ms_since(comparing) / kCompareRanksEvery);

    at::globalContext().setDeterministicAlgorithms(false, /*warn_only=*/false);
    free_ms = std::min(free_ms, learn(2 * step + 1).first);
    at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/false);
  }
  const double gate_share = 100 * gate_ms / step_ms, receipt_share = 100 * receipt_ms / step_ms,
               ranks_share = 100 * ranks_ms / step_ms;
  std::printf("a training step of %.1f ms: batch %u, %zu kB a sample\n", step_ms, config.batch(),
              kSampleBytes >> 10);
  std::printf("gate         %7.3f ms  %6.3f %%\n", gate_ms, gate_share);
  std::printf("receipts     %7.3f ms  %6.3f %%  (a checkpoint every %llu steps)\n", receipt_ms,
              receipt_share, static_cast<unsigned long long>(every));
  std::printf("ranks        %7.3f ms  %6.3f %%  (compared every %llu steps)\n", ranks_ms,
              ranks_share, static_cast<unsigned long long>(kCompareRanksEvery));
  std::printf("determinism  %7.3f ms  %6.3f %%\n", step_ms - free_ms,
              100 * (step_ms - free_ms) / step_ms);
  return gate_share < 1 && receipt_share < 0.5 && ranks_share < 1 ? 0 : 1;
}

}  // namespace
}  // namespace cleared::train

int main(int argc, char** argv) {
  return cleared::train::measure(argc > 1 ? std::max(1, std::atoi(argv[1])) : 4);
}
