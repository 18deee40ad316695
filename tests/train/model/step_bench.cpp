// How long one training step of a transformer takes, nano's unless --small, on as many ranks as the
// environment says, on their GPUs where this build and machine have any: forward, backward, sum
// over the ranks, clipping, AdamW and average. tools/bench/train runs it beside the same model in
// Python and compares losses.
//   train_step_bench [--batch N] [--threads N] [--steps N] [--micro-batches N] [--reducer]
//                    [--case FILE] [--whole] [--small] [--bf16] [--trace FILE]
// --batch is of one rank. --micro-batches of the step over all ranks: 0 is one batch a rank;
// --reducer sums with c10d's Reducer. --case: weights and batches by tools/bench/train (w.NAME,
// bI.tok .noise .t .text, of the whole step). --whole: with the text encoder, as a run has it.
// --trace: the last step for chrome://tracing. Prints one line of JSON.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <optional>
#include <string>
#include <vector>

#include <ATen/TensorOperators.h>

#include "ledger/base/error.h"
#include "train/model/dist.h"
#include "train/model/flow.h"
#include "train/model/machine.h"
#include "train/model/ops.h"
#include "train/model/optim.h"
#include "train/model/peak.h"
#include "train/model/profile.h"
#include "train/model/random.h"
#include "train/model/safetensors.h"

using namespace cleared;
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

struct Options {
  int64_t batch = 8, micro_batches = 0;
  int threads = 1, steps = 12;
  bool reducer = false, whole = false, small = false;
  at::ScalarType precision = at::kFloat;
  std::string file, trace;
};

Options parse(int argc, char** argv) {
  Options o;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    const auto value = [&] { return i + 1 < argc ? argv[++i] : ""; };
    if (name == "--batch") o.batch = std::atoll(value());
    else if (name == "--threads") o.threads = std::atoi(value());
    else if (name == "--steps") o.steps = std::atoi(value());
    else if (name == "--micro-batches") o.micro_batches = std::atoll(value());
    else if (name == "--case") o.file = value();
    else if (name == "--trace") o.trace = value();
    else if (name == "--reducer") o.reducer = true;
    else if (name == "--whole") o.whole = true;
    else if (name == "--small") o.small = true;
    else if (name == "--bf16") o.precision = at::kBFloat16;
    else throw Error(Errc::usage, "train_step_bench: unknown option ", name);
  }
  return o;
}

// The shapes of tools/bench/train/model.py, or of configs/nano.textproto.
ModelConfig shapes(const Options& options) {
  ModelConfig config;
  if (!options.whole) config.dit.latent = {5, 8, 8}, config.dit.text_len = 32;
  if (options.small) {
    config.dit = {.dim = 768,
                  .layers = 16,
                  .heads = 12,
                  .ffn = 3072,
                  .latent = {13, 32, 32},
                  .patch = {1, 2, 2},
                  .text_len = 128,
                  .text_dim = 512};
    config.text_layers = 6;
  }
  config.dit.precision = options.precision;
  return config;
}

// What a step learns from: slices of the batches of a case, or random numbers.
class Data {
 public:
  Data(const DitConfig& dit, const TensorMap& known, at::Device device)
      : dit_(dit), known_(known), device_(device) {
    while (known_.contains("b" + std::to_string(count_) + ".tok")) ++count_;
  }
  TensorMap at(uint64_t step, int64_t first, int64_t size) const {
    if (count_ > 0) {
      TensorMap part;
      const std::string prefix = "b" + std::to_string(step % count_) + ".";
      for (const auto& [name, tensor] : with_prefix(known_, prefix)) {
        part.emplace(name, tensor.narrow(0, first, size).to(device_));
      }
      return part;
    }
    const auto draw = [&](uint64_t purpose, at::IntArrayRef shape) {
      std::vector<Draw> draws;
      for (int64_t i = 0; i < size; ++i) {
        draws.push_back(
            {.seed = purpose, .step = step, .sample = static_cast<uint64_t>(first + i)});
      }
      return normal(draws, shape).to(device_);
    };
    return {{"tok", draw(1, {dit_.tokens(), dit_.patch_dim()})},
            {"noise", draw(2, {dit_.tokens(), dit_.patch_dim()})},
            {"t", draw(3, {}).sigmoid()},
            {"text", draw(4, {dit_.text_len, dit_.text_dim})}};
  }

 private:
  const DitConfig& dit_;
  const TensorMap& known_;
  const at::Device device_;
  uint64_t count_ = 0;
};

Tensor loss_of(const Dit& dit, const TensorMap& batch) {
  const Tensor z = flow_mix(batch.at("tok"), batch.at("noise"), batch.at("t"));
  return flow_error(dit.forward(z, batch.at("t"), batch.at("text")), batch.at("noise"),
                    batch.at("tok"));
}

Tensor loss_of(const Model& model, const TensorMap& batch) {
  const DitConfig& dit = model.config().dit;
  const std::vector<int64_t> shape = {-1, dit.channels, dit.latent[0], dit.latent[1],
                                      dit.latent[2]};
  const std::vector<std::string> captions(static_cast<size_t>(batch.at("t").size(0)),
                                          "a street in the rain");
  return flow_loss(
      model,
      {.x_BCTHW = batch.at("tok").reshape(shape),
       .noise_BCTHW = batch.at("noise").reshape(shape),
       .t_B = batch.at("t"),
       .states_BLN = model.read(tokenize(captions, dit.text_len).to(batch.at("t").device()))});
}

void bench(const Options& options) {
  const Machine machine = prepare_machine(options.threads);
  World world(world_from_environment());
  const ModelConfig config = shapes(options);
  const TensorMap known =
      options.file.empty() ? TensorMap{} : read_safetensors(options.file).tensors;
  Parameters parameters(0);
  Dit dit(config.dit, parameters);
  for (const auto& [name, tensor] : parameters.all()) {
    tensor.set_data(tensor.detach().to(world.device()));
  }
  dit.to(world.device());
  std::optional<Model> model;
  if (options.whole) model.emplace(config, 0).to(world.device());
  if (!known.empty()) copy_tensors(with_prefix(known, "w."), parameters.all(), options.file);
  const TensorMap& learned = options.whole ? model->parameters() : parameters.all();
  const int64_t micro =
      options.reducer ? 0 : std::max<int64_t>(options.micro_batches, world.size());
  DataParallel parallel(world, learned, {.micro_batches = micro});
  AdamW optimiser(learned, {});
  const Data data(config.dit, known, world.device());
  const int64_t size = options.batch / parallel.rounds();
  std::vector<std::vector<TensorMap>> steps(4);  // as the Python side, four batches in turn
  for (uint64_t step = 0; step < steps.size(); ++step) {
    for (int64_t round = 0; round < parallel.rounds(); ++round) {
      steps[step].push_back(data.at(step, world.rank() * options.batch + round * size, size));
    }
  }
  std::vector<double> wall, cpu, losses;
  for (int step = 0; step < options.steps; ++step) {
    std::optional<Profile> profile;
    if (!options.trace.empty() && step + 1 == options.steps) profile.emplace();
    const double wall_start = wall_ms(), cpu_start = cpu_ms();
    double loss_sum = 0;
    for (const TensorMap& batch : steps[static_cast<size_t>(step) % steps.size()]) {
      const Tensor loss = options.whole ? loss_of(*model, batch) : loss_of(dit, batch);
      parallel.backward(loss);
      loss_sum += loss.item<double>() / static_cast<double>(parallel.rounds());
    }
    parallel.finish();
    optimiser.step(1e-3);
    wait_for(world.device());
    wall.push_back(wall_ms() - wall_start);
    cpu.push_back(cpu_ms() - cpu_start);
    losses.push_back(loss_sum);
    if (profile) profile->save(options.trace);
  }
  std::sort(wall.begin(), wall.end());
  if (!world.first()) return;
  std::printf(
      "{\"step_ms\": %.2f, \"median_ms\": %.2f, \"cpu_ms\": %.1f, \"loss0\": %.7f, \"batch\": "
      "%lld, "
      "\"ranks\": %d, \"threads\": %d, \"machine\": \"%s\"}\n",
      wall.front(), wall[wall.size() / 2], *std::min_element(cpu.begin(), cpu.end()),
      losses.front(), static_cast<long long>(options.batch * world.size()), world.size(),
      machine.threads, world.device().is_cpu() ? machine.features.c_str() : machine.gpu.c_str());
}

}  // namespace

int main(int argc, char** argv) try {
  bench(parse(argc, argv));
  return 0;
} catch (const Error& error) {
  std::fprintf(stderr, "train_step_bench: %s\n", error.what());
  return error.code() == Errc::usage ? 2 : 74;
}
