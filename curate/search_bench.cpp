// Exact search at 10^6 and 10^7 fingerprints, random ones and runs of frames that change slowly.
// On one core: taskset -c 0 search_bench
#include <random>

#include <benchmark/benchmark.h>

#include "curate/search.h"

namespace cleared::curate {
namespace {

// `drift`: bits that change from one frame to the next, in shots of 100 frames; 0: all random.
std::vector<Pdq> prints(size_t count, int drift, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<Pdq> out(count);
  for (size_t i = 0; i < count; ++i) {
    if (drift > 0 && i % 100 != 0) {
      out[i] = out[i - 1];
      for (int b = 0; b < drift; ++b) {
        const auto bit = random() % 256;
        out[i][bit / 8] ^= static_cast<uint8_t>(1U << bit % 8);
      }
    } else {
      for (uint8_t& byte : out[i]) byte = static_cast<uint8_t>(random());
    }
  }
  return out;
}

std::vector<Pdq> queries_near(const std::vector<Pdq>& base, size_t count) {
  std::mt19937_64 random(3);
  std::vector<Pdq> out(count);
  for (Pdq& query : out) {
    query = base[random() % base.size()];
    for (int b = 0; b < 24; ++b) query[random() % 32] ^= static_cast<uint8_t>(1U << random() % 8);
  }
  return out;
}

void query(benchmark::State& state) {
  const auto base =
      prints(static_cast<size_t>(state.range(0)), static_cast<int>(state.range(1)), 1);
  const SearchRun run(base);
  const auto queries = queries_near(base, 20000);
  std::vector<Near> out;
  size_t at = 0, found = 0;
  for (auto _ : state) {
    out.clear();
    run.near(queries[at++ % queries.size()], 0, out);
    found += out.size();
  }
  state.SetItemsProcessed(state.iterations());
  state.counters["found"] = double(found) / double(state.iterations());
  state.counters["bytes_each"] = double(run.size_bytes()) / double(base.size());
}
BENCHMARK(query)
    ->Args({1'000'000, 0})
    ->Args({1'000'000, 3})
    ->Args({10'000'000, 0})
    ->Args({10'000'000, 3});

// One part of the largest run of curate/look_index.h, asked by some seconds of a stranger's looks:
// of each part there are 64 questions a second.
void looks(benchmark::State& state) {
  const auto base = prints(size_t{1} << 22, 3, 1);
  const SearchRun run(base);
  const auto queries = prints(static_cast<size_t>(64 * state.range(0)), 3, 9);
  std::vector<NearPair> out;
  for (auto _ : state) {
    out.clear();
    run.near_all(queries, out);
    benchmark::DoNotOptimize(out.data());
  }
  state.counters["found"] = double(out.size());
  state.counters["ms_a_second_asked"] = benchmark::Counter(
      double(state.range(0)) * 1e-3,
      benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}
BENCHMARK(looks)->Arg(3)->Arg(60)->Arg(600)->Unit(benchmark::kMillisecond);

void brute_force(benchmark::State& state) {
  const auto base = prints(1'000'000, static_cast<int>(state.range(0)), 1);
  const auto queries = queries_near(base, 256);
  for (auto _ : state) benchmark::DoNotOptimize(near_of_all(queries, base));
  state.SetItemsProcessed(state.iterations() * 256 * 1'000'000);  // pairs
}
BENCHMARK(brute_force)->Arg(0)->Arg(3);

}  // namespace
}  // namespace cleared::curate

BENCHMARK_MAIN();
