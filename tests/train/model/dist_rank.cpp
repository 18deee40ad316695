// One rank of a world that dist_test.cpp makes, told who it is by the environment. Prints what it
// saw, one line per fact; exit code 75 is Error{busy}. DEVICE_OF_1="gpu a" has rank 1 say that,
// TIMEOUT_S=2 has it wait for no longer.
//   dist_rank talk | train | exact MICRO_BATCHES [PIECE] | die_in_backward | reducer | part | die |
//   device
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <unistd.h>

#include "ledger/base/error.h"
#include "ledger/digest.h"
#include "train/model/dist.h"
#include "train/model/divergence.h"
#include "train/model/machine.h"
#include "train/model/optim.h"
#include "train/model/parameters.h"
#include "train/model/random.h"

using namespace cleared;
using namespace cleared::train;

namespace {

void talk(World& world) {
  const Tensor sum = at::full({3}, world.rank() + 1.0);
  world.all_reduce(sum);
  std::printf("sum %g\n", sum[0].item<double>());
  const Tensor copy = at::full({2}, world.rank() * 10.0 + 5.0);
  world.broadcast(copy, 1);
  std::printf("broadcast %g\n", copy[1].item<double>());
  std::printf("gathered");
  for (const Tensor& part : world.all_gather(at::full({1}, world.rank() * 2, at::kLong))) {
    std::printf(" %lld", static_cast<long long>(part.item<int64_t>()));
  }
  const std::string longer(static_cast<size_t>(world.rank()) * 3, 'x');
  std::printf("\ntexts");
  for (const std::string& text : world.all_gather("<" + longer + ">")) {
    std::printf(" %s", text.c_str());
  }
  std::printf("\ntold %s\n", world.broadcast(world.first() ? "a\tb" : "").c_str());
  std::printf("agree %d %d\n", world.agree("same"), world.agree(world.first() ? "no" : "yes"));
  std::printf("backend %s\n", world.backend().c_str());
}

// Every kind of message, between the GPUs where there are any.
void talk_on_devices(World& world) {
  const at::TensorOptions here = at::TensorOptions(world.device()).dtype(at::kFloat);
  const int64_t ranks = world.size();
  const Tensor own = at::arange(4 * ranks, here) + 100 * world.rank();
  const Tensor sum = own.clone(), told = own.clone(), all = at::zeros({4 * ranks}, here),
               parts = at::zeros({4 * ranks}, here);
  world.all_reduce(sum);
  world.broadcast(told);
  world.all_to_all(parts, own)();
  world.all_gather_into(all, parts.narrow(0, 0, 4))();
  std::printf("%s sum %g broadcast %g parts %g gathered %g\n", world.backend().c_str(),
              sum.sum().item<double>(), told.sum().item<double>(), all.sum().item<double>(),
              world.all_gather(own).back().sum().item<double>());
}

// Five steps of gradient descent on a sum over samples that the ranks share out; prints the bits of
// the result.
void train_a_little(World& world) {
  const TensorMap p = {{"w", at::full({4, 4}, 0.5 + world.rank()).set_requires_grad(true)},
                       {"b", at::full({4}, 0.25 + world.rank()).set_requires_grad(true)}};
  DataParallel parallel(world, p);
  for (int step = 0; step < 5; ++step) {
    Tensor loss = at::zeros({});
    constexpr int kSamples = 4;
    for (int i = world.rank(); i < kSamples; i += world.size()) {
      const Tensor x = at::linspace(-1, 1 + i, 4) * (step + 1);
      loss = loss + (at::linear(x, p.at("w"), p.at("b")).tanh() - 0.1 * i).pow(2).sum();
    }
    loss = loss / (kSamples / world.size());
    parallel.backward(loss);
    for (const auto& [name, tensor] : p) {
      tensor.detach().sub_(tensor.grad(), 0.05);
      tensor.mutable_grad().reset();
    }
  }
  std::printf("w %.5f b %.5f\n", p.at("w").sum().item<double>(), p.at("b").sum().item<double>());
}

// A model of some size for four steps of AdamW; prints a digest of weights, moments and average,
// and the weights' sum. `micro_batches` 0: by the Reducer. `die`: only rank 0 comes to the third
// step.
void train_exactly(World& world, const GradientOptions& options, bool die = false) {
  const int64_t micro_batches = options.micro_batches;
  Parameters parameters(3);
  const Linear a = parameters.linear("a", 24, 40), b = parameters.linear("b", 40, 7);
  DataParallel parallel(world, parameters.all(), options);
  AdamW optimiser(parameters.all(), {.max_norm = 0.5});
  constexpr int64_t kBatch = 8;
  const int64_t size =
      micro_batches > 0 ? kBatch / micro_batches : kBatch / static_cast<int64_t>(world.size());
  for (uint64_t step = 0; step < 4; ++step) {
    if (die && step == 2 && !world.first()) ::_exit(9);
    for (int64_t round = 0; round < parallel.rounds(); ++round) {
      std::vector<Draw> draws;
      for (int64_t i = 0; i < size; ++i) {
        const int64_t sample = (world.rank() * parallel.rounds() + round) * size + i;
        draws.push_back({.step = step, .sample = static_cast<uint64_t>(sample)});
      }
      const Tensor out = b(a(normal(draws, {5, 24})).tanh());
      parallel.backward((out - 0.5).pow(2).mean());
    }
    if (die && step == 2) std::printf("backward ended\n");
    parallel.finish();
    optimiser.step(0.01);
  }
  TensorMap all = optimiser.state();
  add_with_prefix(all, "", parameters.all());
  std::string bytes;
  double sum = 0;
  for (const auto& [name, tensor] : all) {
    const Tensor flat = tensor.detach().contiguous();
    bytes.append(static_cast<const char*>(flat.const_data_ptr()), flat.nbytes());
    sum += tensor.detach().to(at::kDouble).abs().sum().item<double>();
  }
  std::printf("sum %.9g\n", sum);
  if (micro_batches > 0) std::printf("bits %s\n", to_hex(ledger::sha256(bytes)).c_str());
}

// The same tensors on every rank, then a bit of one turned over on some of them.
void part_from_the_others(World& world) {
  const Tensor weights = at::linspace(-1, 1, 70'000).view({7, 10'000}), count = at::full({}, 3L);
  const TensorMap all = {
      {"count", count}, {"pairs", at::arange(5, at::kByte)}, {"weights", weights}};
  const auto say = [&] {
    const auto parted = divergence(world, all);
    std::printf("%s\n", parted ? parted->c_str() : "all the same");
  };
  const auto turn_over = [](const Tensor& tensor, int64_t word, int bit) {
    tensor.view({-1}).view(at::kInt)[word].bitwise_xor_(int64_t{1} << bit);
  };
  say();
  if (world.rank() == 1) turn_over(weights, 69'999, 0);
  say();
  if (world.rank() % 2 == 1) turn_over(count, 1, 3);
  say();
}

}  // namespace

int main(int argc, char** argv) try {
  prepare_machine(1);
  WorldOptions options = world_from_environment();
  const char* timeout = std::getenv("TIMEOUT_S");
  options.timeout = std::chrono::seconds(timeout != nullptr ? std::atoi(timeout) : 20);
  const std::string device = "DEVICE_OF_" + std::to_string(options.rank);
  if (const char* says = std::getenv(device.c_str())) options.device = says;
  World world(options);
  const char* act = argc > 1 ? argv[1] : "";
  if (std::strcmp(act, "talk") == 0) talk(world);
  if (std::strcmp(act, "device") == 0) talk_on_devices(world);
  if (std::strcmp(act, "train") == 0) train_a_little(world);
  if (std::strcmp(act, "exact") == 0) {
    GradientOptions exact{.micro_batches = std::atoi(argv[2])};
    if (argc > 3) exact.piece = std::atoi(argv[3]);
    train_exactly(world, exact);
  }
  if (std::strcmp(act, "die_in_backward") == 0) {
    train_exactly(world, {.micro_batches = 4, .piece = 37}, true);
  }
  if (std::strcmp(act, "reducer") == 0) train_exactly(world, {.micro_batches = 0});
  if (std::strcmp(act, "part") == 0) part_from_the_others(world);
  if (std::strcmp(act, "die") == 0) {
    if (!world.first()) ::_exit(9);
    world.barrier();
    std::printf("nobody noticed\n");
  }
  return 0;
} catch (const Error& error) {
  std::printf("error: %s\n", error.what());
  return error.code() == Errc::busy ? 75 : 78;
}
