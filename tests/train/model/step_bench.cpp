// How long one training step of the nano model takes: forward, backward and optimiser.
//   train_step_bench [BATCH] [THREADS] [STEPS]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include <ATen/TensorOperators.h>

#include "train/model/flow.h"
#include "train/model/machine.h"
#include "train/model/optim.h"
#include "train/model/random.h"

using namespace cleared::train;

namespace {
double wall_ms() {
  return std::chrono::duration<double, std::milli>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}
double cpu_ms() {
  timespec t{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return 1e3 * static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_nsec);
}
}  // namespace

int main(int argc, char** argv) {
  const int64_t batch = argc > 1 ? std::atoi(argv[1]) : 8;
  const Machine machine = prepare_machine(argc > 2 ? std::atoi(argv[2]) : 1);
  const int steps = argc > 3 ? std::atoi(argv[3]) : 12;
  const Model model({}, 0);
  AdamW optimiser(model.parameters(), {});
  double best_wall = 1e12, best_cpu = 1e12;
  for (int step = 0; step < steps; ++step) {
    std::vector<Draw> draws;
    for (int64_t i = 0; i < batch; ++i) {
      draws.push_back({.step = static_cast<uint64_t>(step), .sample = static_cast<uint64_t>(i)});
    }
    const std::vector<std::string> captions(static_cast<size_t>(batch), "a street in the rain");
    const FlowBatch data{.x_BCTHW = normal(draws, {16, 4, 8, 8}),
                         .noise_BCTHW = normal(draws, {16, 4, 8, 8}) * -1,
                         .t_B = logit_normal(draws),
                         .tokens_BL = tokenize(captions, 64)};
    const double wall = wall_ms(), cpu = cpu_ms();
    flow_loss(model, data).backward();
    optimiser.step(1e-3);
    best_wall = std::min(best_wall, wall_ms() - wall);
    best_cpu = std::min(best_cpu, cpu_ms() - cpu);
  }
  std::printf("nano, %lld parameters, batch %lld: %.0f ms a step, %.0f ms of CPU; %s\n",
              static_cast<long long>(model.parameter_count()), static_cast<long long>(batch),
              best_wall, best_cpu, describe(machine).c_str());
}
