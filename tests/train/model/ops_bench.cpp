// Our kernels beside the LibTorch operators that they replace, forward and backward, the best of
// some, taken in turn: on a CPU at the shapes of nano (batch 8), processor time; on a GPU, where
// the build and the machine have one, at those of small (batch 4), time until all is done, and what
// share it is of a copy's speed by the bytes that have to be read and written at least.
//   train_ops_bench [THREADS]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <torch/csrc/autograd/autograd.h>

#include "train/model/flow.h"
#include "train/model/machine.h"
#include "train/model/ops.h"
#include "train/model/optim.h"
#include "train/model/peak.h"
#include "train/model/random.h"

using namespace cleared::train;

namespace {

using Tensors = std::vector<Tensor>;
using Step = std::function<void()>;

const at::Device kDevice = first_device();
const bool kGpu = kDevice.is_cuda();
const int64_t kB = kGpu ? 4 : 8, kS = kGpu ? 3328 : 320, kN = kGpu ? 768 : 192;
const int64_t kHeads = kN / 64, kWide = 4 * kN;
at::ScalarType g_type = at::kFloat;  // of what products take and give
double g_copy_bytes_per_ms = 0;

double now_ms() {
  timespec t{};
  wait_for(kDevice);
  ::clock_gettime(kGpu ? CLOCK_MONOTONIC : CLOCK_PROCESS_CPUTIME_ID, &t);
  return 1e3 * static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_nsec);
}

Tensor draw(at::IntArrayRef shape, at::ScalarType type = at::kFloat) {
  static uint64_t sample = 0;
  const std::vector<Draw> draws = {{.sample = sample++}};
  return normal(draws, shape)[0].to(kDevice, type, false, true).set_requires_grad(true);
}

// A GPU is not waited for between the times that f is called.
double ms_of(const Step& f) {
  const int times = kGpu ? 20 : 1;
  const double start = now_ms();
  for (int i = 0; i < times; ++i) f();
  return (now_ms() - start) / times;
}

// `bytes`: read and written at least.
void compare(const char* name, double bytes, const Step& ours, const Step& theirs) {
  double best[2] = {1e9, 1e9};
  for (int repeat = 0; repeat < 12; ++repeat) {
    for (const int side : {0, 1})
      best[side] = std::min(best[side], ms_of(side == 0 ? ours : theirs));
  }
  std::printf("%-5s%-34s ours %7.3f ms   LibTorch %7.3f ms   %5.2f times as fast",
              g_type == at::kFloat ? "" : "bf16", name, best[0], best[1], best[1] / best[0]);
  if (kGpu)
    std::printf("   %3.0f %% of a copy's speed", 100 * bytes / best[0] / g_copy_bytes_per_ms);
  std::printf("\n");
}

// Runs f forward and backward, as if every result had a gradient of ones.
Step both_ways(const Tensors& in, const std::function<Tensors(const Tensors&)>& f) {
  Tensors ones;
  for (const Tensor& t : f(in)) ones.push_back(at::ones_like(t));
  return [in, f, ones] {
    for (const Tensor& t : in) t.mutable_grad().reset();
    torch::autograd::backward(f(in), ones);
  };
}

double values(int64_t width) {
  return static_cast<double>(kB * kS * width);
}
double size() {
  return g_type == at::kFloat ? 4 : 2;
}

void norms() {
  const Tensors in = {draw({kB, kS, kN}), draw({kB, kS, kN}, g_type),
                      draw({kN}),         draw({kB, kN}),
                      draw({kB, kN}),     draw({kB, kN})};
  compare("bias, gate, residual, norm, adaLN", values(kN) * (5 * 4 + 5 * size()),
          both_ways(in,
                    [](const Tensors& t) {
                      const auto [sum, out] =
                          residual_norm(t[0], {t[1], t[2], t[3]}, {t[4], t[5], 1}, 1e-6, g_type);
                      return Tensors{sum, out};
                    }),
          both_ways(in, [](const Tensors& t) {
            const Tensor sum = at::addcmul(t[0], t[3].unsqueeze(1), t[1] + t[2]);
            const Tensor normed = at::layer_norm(sum, {kN}, {}, {}, 1e-6);
            return Tensors{
                sum, at::addcmul(t[5].unsqueeze(1), normed, 1 + t[4].unsqueeze(1)).to(g_type)};
          }));
}

void heads() {
  const Tensor angle = draw({kS, kN / kHeads / 2}).detach();
  const Tensor rope = at::stack({angle.cos(), angle.sin()}, -1).flatten(1);
  const Tensor turn = at::polar(at::ones_like(angle), angle).unsqueeze(1);
  const Tensors in = {draw({kB, kS, 3 * kN}, g_type), draw({3 * kN}), draw({kN / kHeads}),
                      draw({kN / kHeads})};
  const auto normed = [turn](const Tensor& x, const Tensor& weight) {
    const Tensor y = at::rms_norm(x.unflatten(-1, {kHeads, -1}), weight.sizes(), weight, 1e-6);
    const Tensor pairs = at::view_as_complex(y.unflatten(-1, {-1, 2}));
    return at::view_as_real(pairs * turn).flatten(-2).transpose(1, 2).to(g_type);
  };
  compare("bias, heads, QK-norm, RoPE", values(3 * kN) * 5 * size(),
          both_ways(in,
                    [rope](const Tensors& t) {
                      return split_heads(
                          t[0], t[1],
                          {.heads = kHeads, .norm_D = {t[2], t[3], Tensor()}, .rope_SD = rope});
                    }),
          both_ways(in, [normed](const Tensors& t) {
            const auto parts = (t[0] + t[1]).chunk(3, -1);
            return Tensors{normed(parts[0], t[2]), normed(parts[1], t[3]),
                           parts[2].unflatten(-1, {kHeads, -1}).transpose(1, 2).to(g_type)};
          }));
}

void attentions() {
  if (kGpu || g_type != at::kFloat) return;  // LibTorch's on both sides
  for (const int64_t keys : {kS, int64_t{32}}) {
    const int64_t depth = kN / kHeads;
    const Tensors in = {draw({kB, kHeads, kS, depth}), draw({kB, kHeads, keys, depth}),
                        draw({kB, kHeads, keys, depth})};
    compare(keys == kS ? "attention to itself" : "attention to a text", 0,
            both_ways(in, [](const Tensors& t) { return Tensors{attention(t[0], t[1], t[2])}; }),
            both_ways(in, [](const Tensors& t) {
              return Tensors{
                  at::scaled_dot_product_attention(t[0], t[1], t[2]).transpose(1, 2).flatten(2)};
            }));
  }
}

void gelus() {
  const Tensors in = {draw({kB, kS, kWide}, g_type), draw({kWide})};
  compare("bias, GELU", values(kWide) * 5 * size(),
          both_ways(in, [](const Tensors& t) { return Tensors{gelu(t[0], t[1])}; }),
          both_ways(in, [](const Tensors& t) {
            return Tensors{at::gelu(t[0] + t[1].to(g_type), "tanh")};
          }));
}

void losses() {
  const Tensor noise = draw({kB, kS, 16}).detach(), x = draw({kB, kS, 16}).detach();
  const Tensors in = {draw({kB, kS, 16})};
  const Tensor t_B = draw({kB}).detach().sigmoid();
  compare(
      "flow mix", values(16) * 3 * 4, [=] { flow_mix(x, noise, t_B); },
      [=] {
        at::lerp(x, noise, t_B.view({-1, 1, 1}));
      });
  compare("flow loss", values(16) * 6 * 4,
          both_ways(in, [=](const Tensors& t) { return Tensors{flow_error(t[0], noise, x)}; }),
          both_ways(in, [=](const Tensors& t) { return Tensors{at::mse_loss(t[0], noise - x)}; }));
}

// As many values as nano has weights, in tensors of about its sizes.
void optimisers() {
  const int count = kGpu ? 64 : 32;
  TensorMap ours_p, theirs_p;
  Tensors g, m, v, ema, p, steps;
  for (int i = 0; i < count; ++i) {
    const Tensor weight = draw({kWide, kN});
    ours_p.emplace(std::to_string(i), weight.detach().clone());
    p.push_back(weight.detach().clone());
    g.push_back(draw({kWide, kN}).detach() * 1e-3);
    m.push_back(at::zeros_like(p.back()));
    v.push_back(at::zeros_like(p.back()));
    ema.push_back(p.back().clone());
    steps.push_back(at::ones({}).to(kDevice));
  }
  AdamW optimiser(ours_p, {});
  compare(
      kGpu ? "clip, AdamW, average (151 M)" : "clip, AdamW, average (4.7 M)",
      static_cast<double>(count * kWide * kN) * 10 * 4,
      [&] {
        size_t i = 0;
        for (auto& [name, weight] : ours_p) weight.mutable_grad() = g[i++];
        optimiser.step(1e-3);
      },
      [&] {
        const double norm = at::linalg_vector_norm(at::stack(at::_foreach_norm(g))).item<double>();
        at::_foreach_mul_(g, std::min(1.0, 1e6 / norm));
        at::_fused_adamw_(p, g, m, v, {}, steps, 1e-3, 0.9, 0.95, 0.01, 1e-8, false, false);
        at::_foreach_lerp_(ema, p, 0.01);
      });
}

}  // namespace

int main(int argc, char** argv) try {
  const Machine machine = prepare_machine(argc > 1 ? std::atoi(argv[1]) : 1);
  std::printf("%s\n", describe(machine).c_str());
  if (kGpu) {
    const Tensor from = at::ones({int64_t{1} << 27}).to(kDevice);
    const Tensor to = at::empty_like(from);
    double best = 1e9;
    for (int i = 0; i < 5; ++i) best = std::min(best, ms_of([&] { to.copy_(from); }));
    g_copy_bytes_per_ms = 2 * static_cast<double>(from.nbytes()) / best;
    std::printf("a copy reads and writes %.2f TB/s\n", g_copy_bytes_per_ms / 1e9);
  }
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    g_type = type;
    norms();
    heads();
    attentions();
    gelus();
  }
  g_type = at::kFloat;
  losses();
  optimisers();
} catch (const std::exception& error) {
  std::fprintf(stderr, "train_ops_bench: %.400s\n", error.what());
  return 74;
}
