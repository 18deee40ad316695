// What asking the gate costs a training step of the nano model on one thread: one question before
// the step, then reading, hashing and checking every sample of the batch, all of it in line
// although the loader does it beside training. Prints one line; exit 1 when the share is 1 % or
// more.
//
//   train_gate_bench [STEPS]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "ledger/gate.h"
#include "tests/train/gate_fixture.h"
#include "train/data/config.h"
#include "train/data/order.h"
#include "train/model/machine.h"
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
  for (const Item& item : batch.items) fit.add(item);
  CheckpointTensors tensors;
  tensors.codec = fit.finish();
  World world({});
  Trainee trainee(world, config, tensors);

  double gate_ms = 1e30, step_ms = 1e30;  // the best of all: other programs disturb both
  for (int step = 0; step < steps; ++step) {
    const auto start = Clock::now();
    if (!gate.holds().cleared) return 1;
    for (uint32_t slot = 0; slot < config.batch(); ++slot) {
      const auto [sample, passes] = order.at(static_cast<uint64_t>(step), slot);
      if (gate.clear(sample, passes).duration_us() == 0) return 1;
    }
    gate_ms = std::min(gate_ms, ms_since(start));
    const auto learning = Clock::now();
    batch.step = static_cast<uint64_t>(step);
    trainee.prepare(batch);
    trainee.learn(batch, 0);
    step_ms = std::min(step_ms, ms_since(learning));
  }
  const double share = 100 * gate_ms / step_ms;
  std::printf("gate %.3f ms of a training step of %.1f ms: %.3f %% (batch %u, %zu kB a sample)\n",
              gate_ms, step_ms, share, config.batch(), kSampleBytes >> 10);
  return share < 1 ? 0 : 1;
}

}  // namespace
}  // namespace cleared::train

int main(int argc, char** argv) {
  return cleared::train::measure(argc > 1 ? std::max(1, std::atoi(argv[1])) : 4);
}
