// Every version of each kernel that this processor can run, against reference.h: results, and
// gradients by central differences of the reference along a random direction of each input.
#include <cmath>
#include <cstring>
#include <functional>
#include <string>
#include <type_traits>

#include <gtest/gtest.h>

#include "kernels/adamw.h"
#include "kernels/attention.h"
#include "kernels/flow_mix.h"
#include "kernels/gelu.h"
#include "kernels/residual_norm.h"
#include "kernels/split_heads.h"
#include "kernels/targets.h"
#include "tests/kernels/reference.h"

namespace cleared::kernels {
namespace {

using reference::draw;
using reference::exact;
using reference::Values;
using Floats = std::vector<float>;

class ModelKernels : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { use_target(GetParam()); }
  void TearDown() override { use_target(""); }
};
INSTANTIATE_TEST_SUITE_P(Targets, ModelKernels, ::testing::ValuesIn(targets()),
                         [](const auto& target) { return target.param; });

void expect_near(const Floats& got, const Values& want, double tolerance, const std::string& what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_NEAR(got[i], want[i], tolerance * (1 + std::fabs(want[i]))) << what << " at " << i;
  }
}

// The change of sum(weights f(inputs)) along `direction` of one input, by central differences.
double slope(const std::function<Values(const Values&)>& f, const Values& input,
             const Values& direction, const Floats& weights) {
  constexpr double kStep = 1e-5;
  const auto at = [&](double step) {
    Values moved = input;
    for (size_t i = 0; i < moved.size(); ++i) moved[i] += step * direction[i];
    const Values out = f(moved);
    double sum = 0;
    for (size_t i = 0; i < out.size(); ++i) sum += out[i] * weights[i];
    return sum;
  };
  return (at(kStep) - at(-kStep)) / (2 * kStep);
}

void expect_gradient(const Floats& gradient, const std::function<Values(const Values&)>& f,
                     const Floats& input, const Floats& weights, const std::string& what) {
  const Values direction = exact(draw(static_cast<int64_t>(input.size()), 77));
  ASSERT_EQ(gradient.size(), input.size()) << what;
  double got = 0, size = 1e-3;
  for (size_t i = 0; i < input.size(); ++i) {
    got += gradient[i] * direction[i];
    size += std::fabs(gradient[i] * direction[i]);
  }
  EXPECT_NEAR(got, slope(f, exact(input), direction, weights), 2e-5 * size) << what;
}

// The sums over chunks of parts [chunks][n].
Floats add_up(const Floats& parts, size_t n) {
  Floats sum(n, 0);
  for (size_t i = 0; i < parts.size(); ++i) sum[i % n] += parts[i];
  return sum;
}

TEST_P(ModelKernels, GeluAndItsGradient) {
  for (const auto& [rows, n] : {std::pair<int64_t, int64_t>{1, 1}, {3, 7}, {40, 16}, {65, 193}}) {
    const std::string what = std::to_string(rows) + "x" + std::to_string(n);
    Floats x = draw(rows * n, 1, 3), bias = draw(n, 2), out(x.size());
    x[0] = 40, x.back() = -40;  // beyond what an exponential takes
    Gelu<float> op{rows, n, x.data(), bias.data(), out.data()};
    gelu_cpu(op, 0, op.chunks());
    expect_near(out, reference::gelu(exact(x), exact(bias)), 1e-6, what);

    const Floats weights = draw(rows * n, 3);
    Floats d_x(x.size()), parts(static_cast<size_t>(op.chunks() * n));
    gelu_grad_cpu({op, weights.data(), d_x.data(), parts.data()}, 0, op.chunks());
    expect_gradient(
        d_x, [&](const Values& v) { return reference::gelu(v, exact(bias)); }, x, weights,
        what + " x");
    expect_gradient(
        add_up(parts, static_cast<size_t>(n)),
        [&](const Values& v) { return reference::gelu(exact(x), v); }, bias, weights,
        what + " bias");
  }
}

TEST_P(ModelKernels, AttentionAndItsGradients) {
  const reference::AttentionShape shapes[] = {
      {1, 1, 1, 2, 16}, {2, 3, 67, 45, 16}, {1, 2, 7, 130, 48}, {1, 1, 130, 5, 64}};
  for (const auto& n : shapes) {
    const std::string what = std::to_string(&n - shapes);
    const auto b = static_cast<int64_t>(n.items), h = static_cast<int64_t>(n.heads),
               s = static_cast<int64_t>(n.queries), l = static_cast<int64_t>(n.keys),
               depth = static_cast<int64_t>(n.depth);
    const Floats q = draw(b * h * s * depth, 1, 2), k = draw(b * h * l * depth, 2),
                 v = draw(b * h * l * depth, 3), weights = draw(b * h * s * depth, 4);
    Floats out(q.size()), log_sums(static_cast<size_t>(b * h * s)), d_q(q.size()), d_k(k.size()),
        d_v(v.size());
    const Attention op{b,
                       h,
                       s,
                       l,
                       depth,
                       1 / std::sqrt(static_cast<float>(depth)),
                       q.data(),
                       k.data(),
                       v.data(),
                       out.data(),
                       log_sums.data()};
    attention_cpu(op, 0, op.pairs());
    expect_near(out, reference::attention(n, exact(q), exact(k), exact(v)), 2e-6, what);
    attention_grad_cpu({op, weights.data(), d_q.data(), d_k.data(), d_v.data()}, 0, op.pairs());
    expect_gradient(
        d_q, [&](const Values& x) { return reference::attention(n, x, exact(k), exact(v)); }, q,
        weights, what + " q");
    expect_gradient(
        d_k, [&](const Values& x) { return reference::attention(n, exact(q), x, exact(v)); }, k,
        weights, what + " k");
    expect_gradient(
        d_v, [&](const Values& x) { return reference::attention(n, exact(q), exact(k), x); }, v,
        weights, what + " v");
  }
}

TEST_P(ModelKernels, ResidualNormAndItsGradients) {
  const reference::NormShape shapes[] = {
      {1, 1, 4, false, false, false, true, 0, 1e-5}, {2, 33, 48, true, true, true, false, 1, 1e-6},
      {3, 5, 19, true, true, false, false, 1, 1e-6}, {2, 70, 32, true, false, false, true, 0, 1e-5},
      {2, 4, 21, true, false, true, true, 0, 1e-6},
  };
  for (const auto& s : shapes) {
    const std::string what = std::to_string(&s - shapes);
    const auto b = static_cast<int64_t>(s.items), rows = static_cast<int64_t>(s.rows),
               n = static_cast<int64_t>(s.n);
    const Floats x = draw(b * rows * n, 1, 2, 0.5), branch = draw(b * rows * n, 2),
                 bias = draw(n, 3), gate = draw(b * n, 4), scale = draw(s.shared ? n : b * n, 5),
                 shift = draw(s.shared ? n : b * n, 6), weights = draw(2 * b * rows * n, 7);
    Floats sum(x.size()), out(x.size()), moments(static_cast<size_t>(2 * b * rows));
    ResidualNorm<float> op{.items = b,
                           .rows = rows,
                           .n = n,
                           .x_RN = x.data(),
                           .branch_RN = s.branch ? branch.data() : nullptr,
                           .branch_bias_N = s.bias ? bias.data() : nullptr,
                           .gate_BN = s.gate ? gate.data() : nullptr,
                           .scale_BN = scale.data(),
                           .shift_BN = shift.data(),
                           .gate_stride = n,
                           .mod_stride = s.shared ? 0 : n,
                           .scale_offset = static_cast<float>(s.offset),
                           .eps = static_cast<float>(s.eps),
                           .sum_RN = sum.data(),
                           .out_RN = out.data(),
                           .mean_R = moments.data(),
                           .scatter_R = moments.data() + b * rows};
    residual_norm_cpu(op, 0, op.chunks());
    if (!s.branch) sum = x;
    Floats both = sum;
    both.insert(both.end(), out.begin(), out.end());
    const std::vector<Floats> in = {x, branch, bias, gate, scale, shift};
    const auto with = [&](size_t which, const Values& v) {
      std::vector<Values> all;
      for (const Floats& f : in) all.push_back(exact(f));
      all[which] = v;
      return reference::residual_norm(s, all[0], all[1], all[2], all[3], all[4], all[5]);
    };
    expect_near(both, with(0, exact(x)), 3e-6, what);

    op.sum_RN = sum.data();
    Floats d_x(x.size()), d_branch(x.size()), parts(static_cast<size_t>(op.chunks() * 4 * n));
    residual_norm_grad_cpu({.forward = op,
                            .d_sum_RN = weights.data(),
                            .d_out_RN = weights.data() + x.size(),
                            .d_x_RN = d_x.data(),
                            .d_branch_RN = s.gate ? d_branch.data() : nullptr,
                            .d_parts_C4N = parts.data()},
                           0, op.chunks());
    const auto part = [&](size_t which, bool shared) {
      Floats sums(shared ? s.n : s.items * s.n, 0);
      for (int64_t chunk = 0; chunk < op.chunks(); ++chunk) {
        const size_t item = static_cast<size_t>(chunk / op.chunks_of_item());
        for (size_t i = 0; i < s.n; ++i) {
          sums[(shared ? 0 : item * s.n) + i] +=
              parts[(static_cast<size_t>(chunk) * 4 + which) * s.n + i];
        }
      }
      return sums;
    };
    const auto check = [&](const Floats& gradient, size_t which, const char* name) {
      expect_gradient(
          gradient, [&](const Values& v) { return with(which, v); }, in[which], weights,
          what + " " + name);
    };
    check(d_x, 0, "x");
    if (s.branch) check(s.gate ? d_branch : d_x, 1, "branch");
    if (s.bias) check(part(3, true), 2, "bias");
    if (s.gate) check(part(2, false), 3, "gate");
    check(part(0, s.shared), 4, "scale");
    check(part(1, s.shared), 5, "shift");
  }
}

TEST_P(ModelKernels, SplitHeadsAndItsGradients) {
  const reference::HeadShape shapes[] = {
      {1, 1, 1, 2, 1, false, false, false}, {2, 35, 3, 64, 3, true, true, true},
      {2, 9, 2, 22, 3, true, true, true},   {3, 20, 2, 16, 2, true, true, false},
      {1, 40, 5, 12, 1, false, true, true}, {2, 3, 1, 6, 3, true, false, true},
  };
  for (const auto& s : shapes) {
    const std::string what = std::to_string(&s - shapes);
    const auto width = static_cast<int64_t>(s.parts * s.heads * s.depth);
    const auto rows = static_cast<int64_t>(s.items * s.rows), depth = static_cast<int64_t>(s.depth);
    const Floats x = draw(rows * width, 1, 2), bias = draw(width, 2),
                 norm = draw(static_cast<int64_t>(s.parts) * depth, 3),
                 weights = draw(rows * width, 4);
    Floats rope;
    for (const float angle : draw(static_cast<int64_t>(s.rows) * depth / 2, 5)) {
      rope.push_back(std::cos(angle));
      rope.push_back(std::sin(angle));
    }
    Floats out(x.size());
    const size_t part_size = x.size() / s.parts;
    SplitHeads<float> op{.items = static_cast<int64_t>(s.items),
                         .rows = static_cast<int64_t>(s.rows),
                         .heads = static_cast<int64_t>(s.heads),
                         .depth = depth,
                         .parts = static_cast<int>(s.parts),
                         .x_RPHD = x.data(),
                         .bias_PHD = s.bias ? bias.data() : nullptr,
                         .norm_D = {},
                         .rope_SD = s.rope ? rope.data() : nullptr,
                         .eps = 1e-6F,
                         .out_BHSD = {},
                         .item_stride = static_cast<int64_t>(s.heads * s.rows) * depth,
                         .head_stride = static_cast<int64_t>(s.rows) * depth,
                         .row_stride = depth};
    SplitHeadsGrad<float> grad{};
    for (size_t part = 0; part < s.parts; ++part) {
      if (s.normed(part)) op.norm_D[part] = norm.data() + part * s.depth;
      op.out_BHSD[part] = out.data() + part * part_size;
      grad.d_out[part] = {weights.data() + part * part_size,
                          static_cast<int64_t>(s.heads * s.rows) * depth,
                          static_cast<int64_t>(s.rows) * depth, depth};
    }
    split_heads_cpu(op, 0, op.chunks());
    expect_near(out, reference::split_heads(s, exact(x), exact(bias), exact(norm), exact(rope)),
                3e-6, what);

    Floats d_x(x.size()), parts(static_cast<size_t>(op.chunks() * 2 * width));
    grad.forward = op;
    grad.d_x_RPHD = d_x.data();
    grad.d_parts_C2PHD = parts.data();
    split_heads_grad_cpu(grad, 0, op.chunks());
    const Floats sums = add_up(parts, static_cast<size_t>(2 * width));
    const auto f = [&](size_t which) {
      return [&, which](const Values& v) {
        return reference::split_heads(s, which == 0 ? v : exact(x), which == 1 ? v : exact(bias),
                                      which == 2 ? v : exact(norm), exact(rope));
      };
    };
    expect_gradient(d_x, f(0), x, weights, what + " x");
    if (s.bias) {
      expect_gradient({sums.begin(), sums.begin() + width}, f(1), bias, weights, what + " bias");
    }
    Floats d_norm(norm.size(), 0);
    for (size_t i = 0; i < static_cast<size_t>(width); ++i) {
      const size_t part = i / (s.heads * s.depth);
      d_norm[part * s.depth + i % s.depth] += sums[static_cast<size_t>(width) + i];
    }
    expect_gradient(d_norm, f(2), norm, weights, what + " norm");
  }
}

// Values that are the same as floats and as Bf16.
Floats draw_short(int64_t n, uint32_t seed, float deviation = 1) {
  Floats values = draw(n, seed, deviation);
  for (float& value : values) value = to_float(to_bf16(value));
  return values;
}

template <class T>
std::vector<T> as(const Floats& values) {
  if constexpr (std::is_same_v<T, float>) return values;
  else {
    std::vector<T> rounded;
    for (const float value : values) rounded.push_back(to_bf16(value));
    return rounded;
  }
}

// What a kernel writes: of type T, and sums, which are floats for either.
template <class T>
struct Written {
  std::vector<T> values;
  Floats sums;
};

template <class T>
Written<T> write_gelu() {
  const int64_t rows = 35, n = 43;
  Floats odd = draw_short(rows * n, 1, 3);
  odd[3] = NAN, odd[20] = INFINITY;
  const auto x = as<T>(odd), d_out = as<T>(draw_short(rows * n, 3));
  const Floats bias = draw(n, 2);
  std::vector<T> out(x.size()), d_x(x.size());
  const Gelu<T> op{rows, n, x.data(), bias.data(), out.data()};
  Floats parts(static_cast<size_t>(op.chunks() * n));
  gelu_cpu(op, 0, op.chunks());
  gelu_grad_cpu(GeluGrad<T>{op, d_out.data(), d_x.data(), parts.data()}, 0, op.chunks());
  out.insert(out.end(), d_x.begin(), d_x.end());
  return {out, parts};
}

template <class T>
Written<T> write_norm(bool gated) {
  const int64_t items = 2, rows = 37, n = 43, count = items * rows * n;
  const Floats x = draw(count, 1, 2), bias = draw(n, 3), gate = draw(items * n, 4),
               scale = draw(items * n, 5), shift = draw(items * n, 6), d_sum = draw(count, 7);
  const auto branch = as<T>(draw_short(count, 2)), d_out = as<T>(draw_short(count, 8));
  std::vector<T> out(branch.size()), d_branch(branch.size());
  Floats sum(x.size()), d_x(x.size()), moments(static_cast<size_t>(2 * items * rows));
  ResidualNorm<T> op{.items = items,
                     .rows = rows,
                     .n = n,
                     .x_RN = x.data(),
                     .branch_RN = branch.data(),
                     .branch_bias_N = bias.data(),
                     .gate_BN = gated ? gate.data() : nullptr,
                     .scale_BN = scale.data(),
                     .shift_BN = shift.data(),
                     .gate_stride = n,
                     .mod_stride = n,
                     .scale_offset = 1,
                     .eps = 1e-6F,
                     .sum_RN = sum.data(),
                     .out_RN = out.data(),
                     .mean_R = moments.data(),
                     .scatter_R = moments.data() + items * rows};
  Floats parts(static_cast<size_t>(op.chunks() * 4 * n));
  residual_norm_cpu(op, 0, op.chunks());
  residual_norm_grad_cpu(ResidualNormGrad<T>{.forward = op,
                                             .d_sum_RN = d_sum.data(),
                                             .d_out_RN = d_out.data(),
                                             .d_x_RN = d_x.data(),
                                             .d_branch_RN = d_branch.data(),
                                             .d_parts_C4N = parts.data()},
                         0, op.chunks());
  out.insert(out.end(), d_branch.begin(), d_branch.end());
  for (const Floats* more : {&sum, &d_x, &moments}) {
    parts.insert(parts.end(), more->begin(), more->end());
  }
  return {out, parts};
}

template <class T>
Written<T> write_heads() {
  const int64_t items = 2, rows = 35, heads = 2, depth = 22, part = items * rows * heads * depth;
  const auto x = as<T>(draw_short(3 * part, 1)), d_out = as<T>(draw_short(3 * part, 5));
  const Floats bias = draw(3 * heads * depth, 2), norm = draw(2 * depth, 3),
               rope = draw(rows * depth, 4);
  std::vector<T> out(x.size()), d_x(x.size());
  SplitHeads<T> op{.items = items,
                   .rows = rows,
                   .heads = heads,
                   .depth = depth,
                   .parts = 3,
                   .x_RPHD = x.data(),
                   .bias_PHD = bias.data(),
                   .norm_D = {norm.data(), norm.data() + depth, nullptr},
                   .rope_SD = rope.data(),
                   .eps = 1e-6F,
                   .out_BHSD = {out.data(), out.data() + part, out.data() + 2 * part},
                   .item_stride = heads * rows * depth,
                   .head_stride = depth,
                   .row_stride = heads * depth};
  Floats parts(static_cast<size_t>(op.chunks() * 2 * op.width()));
  SplitHeadsGrad<T> grad{op, {}, d_x.data(), parts.data()};
  for (int i = 0; i < 3; ++i) {
    grad.d_out[i] = {d_out.data() + i * part, heads * rows * depth, rows * depth, depth};
  }
  split_heads_cpu(op, 0, op.chunks());
  split_heads_grad_cpu(grad, 0, op.chunks());
  out.insert(out.end(), d_x.begin(), d_x.end());
  return {out, parts};
}

void expect_rounded_once(const Written<Bf16>& got, const Written<float>& floats, const char* what) {
  const auto want = as<Bf16>(floats.values);
  ASSERT_EQ(got.values.size(), want.size()) << what;
  for (size_t i = 0; i < want.size(); ++i) {
    ASSERT_EQ(got.values[i].bits, want[i].bits) << what << " at " << i;
  }
  ASSERT_EQ(got.sums.size(), floats.sums.size()) << what;
  EXPECT_EQ(std::memcmp(got.sums.data(), floats.sums.data(), 4 * got.sums.size()), 0) << what;
}

// Inputs that both types hold: the arithmetic is one, in floats, and only what is written differs.
TEST_P(ModelKernels, OnBf16WriteWhatTheyWriteOnFloatsRoundedOnce) {
  expect_rounded_once(write_gelu<Bf16>(), write_gelu<float>(), "gelu");
  for (const bool gated : {true, false}) {
    expect_rounded_once(write_norm<Bf16>(gated), write_norm<float>(gated), "norm");
  }
  expect_rounded_once(write_heads<Bf16>(), write_heads<float>(), "heads");
}

// IEEE 754 rounding by hand: of two equally near ones the even.
TEST(Bf16, IsTheNearestToAFloat) {
  const std::pair<uint32_t, uint16_t> rows[] = {
      {0x3F800000, 0x3F80}, {0x3F807FFF, 0x3F80}, {0x3F808000, 0x3F80}, {0x3F808001, 0x3F81},
      {0x3F818000, 0x3F82}, {0x7F7FFFFF, 0x7F80}, {0xFF800000, 0xFF80}, {0x7F800001, 0x7FC0},
      {0xFFFFFFFF, 0x7FC0}, {0x00000001, 0x0000}, {0x80008001, 0x8001}, {0x80000000, 0x8000}};
  for (const auto& [bits, want] : rows) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    EXPECT_EQ(to_bf16(value).bits, want) << std::hex << bits;
  }
}

TEST_P(ModelKernels, FlowLossIsTheMeanSquareOfTheError) {
  for (const int64_t m : {int64_t{1}, int64_t{37}, 2 * kFlowChunk + 5}) {
    const Floats v = draw(m, 1), noise = draw(m, 2), x = draw(m, 3);
    Floats error(v.size());
    FlowLoss op{v.data(), noise.data(), x.data(), error.data(), nullptr, m};
    std::vector<double> squares(static_cast<size_t>(op.chunks()));
    op.squares_C = squares.data();
    flow_loss_cpu(op, 0, op.chunks());
    double got = 0, want = 0;
    for (const double part : squares) got += part;
    for (size_t i = 0; i < v.size(); ++i) {
      const double e = static_cast<double>(v[i]) - (static_cast<double>(noise[i]) - x[i]);
      ASSERT_NEAR(error[i], e, 1e-6);
      want += e * e;
    }
    EXPECT_NEAR(got, want, 1e-5 * want);
  }
}

TEST_P(ModelKernels, AdamWMovesWeightsMomentsAndAverageAsTheFormulasSay) {
  for (const int64_t m : {int64_t{1}, int64_t{16}, int64_t{131}}) {
    const Floats g = draw(m, 1);
    Floats p = draw(m, 2), first = draw(m, 3, 0.1F), second(g.size()), ema = draw(m, 4);
    for (size_t i = 0; i < g.size(); ++i) second[i] = 0.01F * g[i] * g[i];
    const Floats p0 = p, first0 = first, second0 = second, ema0 = ema;
    const AdamWRates r{.scale = 0.5F,
                       .beta1 = 0.9F,
                       .beta2 = 0.95F,
                       .keep = 0.99F,
                       .rate = 0.01F,
                       .root = 0.8F,
                       .eps = 1e-8F,
                       .follow = 0.1F};
    adamw_cpu({r, g.data(), p.data(), first.data(), second.data(), ema.data(), m}, 0, m);
    for (size_t i = 0; i < g.size(); ++i) {
      const double grad = 0.5 * g[i], m1 = first0[i] + 0.1 * (grad - first0[i]),
                   m2 = 0.95 * second0[i] + 0.05 * grad * grad,
                   moved = 0.99 * p0[i] - 0.01 * m1 / (std::sqrt(m2) / 0.8 + 1e-8);
      ASSERT_NEAR(first[i], m1, 1e-6);
      ASSERT_NEAR(second[i], m2, 1e-6);
      ASSERT_NEAR(p[i], moved, 2e-6);
      ASSERT_NEAR(ema[i], ema0[i] + 0.1 * (moved - ema0[i]), 2e-6);
    }
  }
}

TEST_P(ModelKernels, SquaresOfAllSizesAreSummed) {
  const int64_t m = 2 * kSquaresChunk + 77;
  Floats x = draw(m, 1);
  x[5] = 1e4F;
  Squares op{x.data(), nullptr, m};
  std::vector<double> sums(static_cast<size_t>(op.chunks()));
  op.sum_C = sums.data();
  squares_cpu(op, 0, op.chunks());
  double got = 0, want = 0;
  for (const double sum : sums) got += sum;
  for (const float value : x) want += static_cast<double>(value) * value;
  EXPECT_NEAR(got, want, 1e-5 * want);  // one lane alone adds 256 small ones to a large one
}

// What threads share is ranges of chunks: any cut gives the same bits.
TEST_P(ModelKernels, GiveTheSameBitsHoweverTheChunksAreShared) {
  const int64_t rows = 3 * kGeluChunk + 5, n = 50;
  const Floats x = draw(rows * n, 1), bias = draw(n, 2), d = draw(rows * n, 3);
  const auto run = [&](int64_t cut) {
    Floats out(x.size()), d_x(x.size());
    const Gelu<float> op{rows, n, x.data(), bias.data(), out.data()};
    Floats parts(static_cast<size_t>(op.chunks() * n));
    gelu_cpu(op, cut, op.chunks());
    gelu_cpu(op, 0, cut);
    const GeluGrad<float> grad{op, d.data(), d_x.data(), parts.data()};
    gelu_grad_cpu(grad, cut, op.chunks());
    gelu_grad_cpu(grad, 0, cut);
    out.insert(out.end(), d_x.begin(), d_x.end());
    out.insert(out.end(), parts.begin(), parts.end());
    return out;
  };
  for (const int64_t cut : {1, 2, 4}) EXPECT_EQ(run(0), run(cut)) << cut;
}

}  // namespace
}  // namespace cleared::kernels
