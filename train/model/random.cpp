#include "train/model/random.h"

#include <cmath>
#include <numbers>

#include <ATen/ops/empty.h>

#include "kernels/philox.h"
#include "ledger/base/check.h"

namespace cleared::train {
namespace {

uint32_t low(uint64_t x) {
  return static_cast<uint32_t>(x);
}
uint32_t high(uint64_t x) {
  return static_cast<uint32_t>(x >> 32);
}

// Counter: block of four numbers, then what the draw is for.
kernels::Philox generator(const Draw& draw) {
  CLEARED_CHECK(high(draw.step) == 0 && high(draw.sample) == 0);
  return {{low(draw.seed), high(draw.seed)},
          {0, low(draw.sample), low(draw.step), static_cast<uint32_t>(draw.purpose)}};
}

// FNV-1a, 64 bits: names are few and known, so that a clash would be seen.
uint64_t name_hash(std::string_view name) {
  uint64_t h = 0xcbf29ce484222325;
  for (const char c : name) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return h;
}

kernels::Philox generator(uint64_t seed, std::string_view name) {
  const uint64_t h = name_hash(name);
  return {{low(seed), high(seed)}, {0, low(h), high(h), static_cast<uint32_t>(Purpose::init)}};
}

// Calls `use(first, second)` with pairs of uniform numbers until `count` values are served.
template <class Use>
void for_each_pair(kernels::Philox start, int64_t count, const Use& use) {
  for (int64_t i = 0; i < count; i += 4) {
    kernels::Philox p = start;
    p.counter[0] = static_cast<uint32_t>(i / 4);
    p.scramble();
    use(i, kernels::unit_interval(p.counter[0]), kernels::unit_interval(p.counter[1]));
    if (i + 2 < count) {
      use(i + 2, kernels::unit_interval(p.counter[2]), kernels::unit_interval(p.counter[3]));
    }
  }
}

void fill_normal(float* out, int64_t count, kernels::Philox start, double deviation) {
  for_each_pair(start, count, [&](int64_t i, double a, double b) {
    const double radius = deviation * std::sqrt(-2.0 * std::log(a));
    const double angle = 2.0 * std::numbers::pi * b;
    out[i] = static_cast<float>(radius * std::cos(angle));
    if (i + 1 < count) out[i + 1] = static_cast<float>(radius * std::sin(angle));
  });
}

}  // namespace

double uniform(const Draw& draw) {
  kernels::Philox p = generator(draw);
  p.scramble();
  return kernels::unit_interval(p.counter[0]);
}

std::vector<double> uniform(const Draw& draw, size_t count) {
  std::vector<double> out(count);
  for_each_pair(generator(draw), static_cast<int64_t>(count), [&](int64_t i, double a, double b) {
    const auto at = static_cast<size_t>(i);
    out[at] = a;
    if (at + 1 < count) out[at + 1] = b;
  });
  return out;
}

Tensor normal(std::span<const Draw> draws, at::IntArrayRef shape) {
  std::vector<int64_t> sizes = {static_cast<int64_t>(draws.size())};
  sizes.insert(sizes.end(), shape.begin(), shape.end());
  Tensor out = at::empty(sizes, at::kFloat);
  const int64_t count = draws.empty() ? 0 : out.numel() / out.size(0);
  for (size_t i = 0; i < draws.size(); ++i) {
    fill_normal(out.mutable_data_ptr<float>() + static_cast<int64_t>(i) * count, count,
                generator(draws[i]), 1.0);
  }
  return out;
}

Tensor logit_normal(std::span<const Draw> draws, double shift) {
  Tensor t_B = normal(draws, {});
  float* values = t_B.mutable_data_ptr<float>();
  for (size_t i = 0; i < draws.size(); ++i) {
    const double t = 1.0 / (1.0 + std::exp(-static_cast<double>(values[i])));
    values[i] = static_cast<float>(shift * t / (1.0 + (shift - 1.0) * t));
  }
  return t_B;
}

void init_uniform(Tensor& parameter, uint64_t seed, std::string_view name, double bound) {
  float* out = parameter.mutable_data_ptr<float>();
  const int64_t count = parameter.numel();
  for_each_pair(generator(seed, name), count, [&](int64_t i, double a, double b) {
    out[i] = static_cast<float>(bound * (2.0 * a - 1.0));
    if (i + 1 < count) out[i + 1] = static_cast<float>(bound * (2.0 * b - 1.0));
  });
}

void init_normal(Tensor& parameter, uint64_t seed, std::string_view name, double deviation) {
  fill_normal(parameter.mutable_data_ptr<float>(), parameter.numel(), generator(seed, name),
              deviation);
}

}  // namespace cleared::train
