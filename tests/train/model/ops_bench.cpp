// Our kernels beside the LibTorch operators that they replace, forward and backward, at the shapes
// of nano (batch 8): processor time, the best of some, taken in turn.
//   train_ops_bench [THREADS]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <torch/csrc/autograd/autograd.h>

#include "train/model/machine.h"
#include "train/model/ops.h"
#include "train/model/optim.h"
#include "train/model/random.h"

using namespace cleared::train;

namespace {

using Tensors = std::vector<Tensor>;
using Step = std::function<void()>;

constexpr int64_t kB = 8, kS = 320, kN = 192, kHeads = 3, kWide = 768;

double cpu_ms() {
  timespec t{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return 1e3 * static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_nsec);
}

Tensor draw(at::IntArrayRef shape) {
  static uint64_t sample = 0;
  const std::vector<Draw> draws = {{.sample = sample++}};
  return normal(draws, shape)[0].clone().set_requires_grad(true);
}

void compare(const char* name, const Step& ours, const Step& theirs) {
  double best[2] = {1e9, 1e9};
  for (int repeat = 0; repeat < 12; ++repeat) {
    for (const int side : {0, 1}) {
      const double start = cpu_ms();
      side == 0 ? ours() : theirs();
      best[side] = std::min(best[side], cpu_ms() - start);
    }
  }
  std::printf("%-34s ours %7.3f ms   LibTorch %7.3f ms   %5.2f times as fast\n", name, best[0],
              best[1], best[1] / best[0]);
}

// Runs f forward and backward, as if every result had a gradient of ones.
Step both_ways(const Tensors& in, const std::function<Tensors(const Tensors&)>& f) {
  return [in, f] {
    for (const Tensor& t : in) t.mutable_grad().reset();
    const Tensors out = f(in);
    Tensors ones;
    for (const Tensor& t : out) ones.push_back(at::ones_like(t));
    torch::autograd::backward(out, ones);
  };
}

void norms() {
  const Tensors in = {draw({kB, kS, kN}), draw({kB, kS, kN}), draw({kN}),
                      draw({kB, kN}),     draw({kB, kN}),     draw({kB, kN})};
  compare(
      "bias, gate, residual, norm, adaLN",
      both_ways(
          in,
          [](const Tensors& t) {
            const auto [sum, out] = residual_norm(t[0], {t[1], t[2], t[3]}, {t[4], t[5], 1}, 1e-6);
            return Tensors{sum, out};
          }),
      both_ways(in, [](const Tensors& t) {
        const Tensor sum = at::addcmul(t[0], t[3].unsqueeze(1), t[1] + t[2]);
        const Tensor normed = at::layer_norm(sum, {kN}, {}, {}, 1e-6);
        return Tensors{sum, at::addcmul(t[5].unsqueeze(1), normed, 1 + t[4].unsqueeze(1))};
      }));
}

void heads() {
  const Tensor angle = draw({kS, kN / kHeads / 2}).detach();
  const Tensor rope = at::stack({angle.cos(), angle.sin()}, -1).flatten(1);
  const Tensor turn = at::polar(at::ones_like(angle), angle).unsqueeze(1);
  const Tensors in = {draw({kB, kS, 3 * kN}), draw({3 * kN}), draw({kN / kHeads}),
                      draw({kN / kHeads})};
  const auto normed = [turn](const Tensor& x, const Tensor& weight) {
    const Tensor y = at::rms_norm(x.unflatten(-1, {kHeads, -1}), weight.sizes(), weight, 1e-6);
    const Tensor pairs = at::view_as_complex(y.unflatten(-1, {-1, 2}));
    return at::view_as_real(pairs * turn).flatten(-2).transpose(1, 2);
  };
  compare("bias, heads, QK-norm, RoPE",
          both_ways(in,
                    [rope](const Tensors& t) {
                      return split_heads(
                          t[0], t[1],
                          {.heads = kHeads, .norm_D = {t[2], t[3], Tensor()}, .rope_SD = rope});
                    }),
          both_ways(in, [normed](const Tensors& t) {
            const auto parts = (t[0] + t[1]).chunk(3, -1);
            return Tensors{normed(parts[0], t[2]), normed(parts[1], t[3]),
                           parts[2].unflatten(-1, {kHeads, -1}).transpose(1, 2)};
          }));
}

void gelus() {
  const Tensors in = {draw({kB, kS, kWide}), draw({kWide})};
  compare("bias, GELU", both_ways(in, [](const Tensors& t) { return Tensors{gelu(t[0], t[1])}; }),
          both_ways(in, [](const Tensors& t) { return Tensors{at::gelu(t[0] + t[1], "tanh")}; }));
}

void losses() {
  const Tensor noise = draw({kB, kS, 16}).detach(), x = draw({kB, kS, 16}).detach();
  const Tensors in = {draw({kB, kS, 16})};
  compare("flow loss",
          both_ways(in, [=](const Tensors& t) { return Tensors{flow_error(t[0], noise, x)}; }),
          both_ways(in, [=](const Tensors& t) { return Tensors{at::mse_loss(t[0], noise - x)}; }));
}

// As many values as nano has weights, in tensors of about its sizes.
void optimisers() {
  constexpr int kCount = 32;
  TensorMap ours_p, theirs_p;
  Tensors g, m, v, ema, p, steps;
  for (int i = 0; i < kCount; ++i) {
    const Tensor weight = draw({kWide, kN});
    ours_p.emplace(std::to_string(i), weight.detach().clone());
    p.push_back(weight.detach().clone());
    g.push_back(draw({kWide, kN}).detach() * 1e-3);
    m.push_back(at::zeros_like(p.back()));
    v.push_back(at::zeros_like(p.back()));
    ema.push_back(p.back().clone());
    steps.push_back(at::ones({}));
  }
  AdamW optimiser(ours_p, {});
  compare(
      "clip, AdamW, average (4.7 M)",
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

int main(int argc, char** argv) {
  const Machine machine = prepare_machine(argc > 1 ? std::atoi(argv[1]) : 1);
  std::printf("%s\n", describe(machine).c_str());
  norms();
  heads();
  gelus();
  losses();
  optimisers();
}
