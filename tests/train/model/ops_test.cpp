// Each of ops.h's functions against the LibTorch operators it stands for, over shapes: values, and
// the gradients that autograd finds for them.
#include "train/model/ops.h"

#include <cmath>
#include <ctime>
#include <functional>

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

#include "train/model/machine.h"
#include "train/model/product.h"
#include "train/model/random.h"

namespace cleared::train {
namespace {

using Tensors = std::vector<Tensor>;

Tensor draw(at::IntArrayRef shape, uint64_t sample) {
  const std::vector<Draw> draws = {{.seed = 5, .sample = sample}};
  return normal(draws, shape)[0].clone();
}

// Inputs of the given shapes that want gradients.
Tensors draw_all(const std::vector<std::vector<int64_t>>& shapes) {
  Tensors all;
  for (const auto& shape : shapes) {
    all.push_back(draw(shape, all.size()).set_requires_grad(true));
  }
  return all;
}

// Runs both on copies of the same inputs, pushes the same gradient back, and compares all.
void expect_same(const std::string& what, const Tensors& inputs,
                 const std::function<Tensors(const Tensors&)>& ours,
                 const std::function<Tensors(const Tensors&)>& theirs) {
  const auto run = [&](const std::function<Tensors(const Tensors&)>& f) {
    Tensors in;
    for (const Tensor& t : inputs) in.push_back(t.detach().clone().set_requires_grad(true));
    const Tensors out = f(in);
    Tensor sum = at::zeros({});
    for (size_t i = 0; i < out.size(); ++i) {
      sum = sum + (out[i] * draw(out[i].sizes(), 50 + i)).sum();
    }
    sum.backward();
    Tensors all;
    for (const Tensor& t : out) all.push_back(t.detach());
    for (const Tensor& t : in) all.push_back(t.grad());
    return all;
  };
  const Tensors a = run(ours), b = run(theirs);
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    ASSERT_TRUE(a[i].defined() && b[i].defined()) << what << " tensor " << i;
    const double scale = b[i].abs().max().item<double>() + 1e-6;
    EXPECT_LE((a[i] - b[i]).abs().max().item<double>(), 1e-5 * scale)
        << what << " tensor " << i << " of " << a.size();
  }
}

// Both libraries; oneDNN's product is called where the processor has what it asks for, and else the
// test says so.
TEST(Product, IsTheProductOfEitherLibrary) {
  const Tensors shapes[] = {draw_all({{2, 40, 24}, {36, 24}}),
                            draw_all({{8, 320, 192}, {576, 192}}), draw_all({{3, 17}, {5, 17}}),
                            draw_all({{1, 1, 64}, {64, 64}})};
  const Machine machine = prepare_machine(1);
  if (machine.features.find("avx512f") == std::string::npos) {
    GTEST_SKIP() << "SKIPPED ALOUD: LibTorch calls oneDNN for float32 with AVX-512 alone";
  }
  for (const Products products : {Products::mkl, Products::onednn}) {
    set_products(products);
    for (const Tensors& inputs : shapes) {
      expect_same(
          products == Products::mkl ? "mkl" : "onednn", inputs,
          [](const Tensors& in) { return Tensors{product(in[0], in[1])}; },
          [](const Tensors& in) { return Tensors{at::matmul(in[0], in[1].t())}; });
    }
    // Of parts of a tensor, as they lie; and again, to the bit.
    const Tensor whole = draw({6, 50, 64}, 7);
    const Tensor x = whole.transpose(0, 1).slice(2, 0, 32), weight = draw({48, 64}, 8).slice(1, 32);
    const Tensor once = product(x, weight);
    EXPECT_LE((once - at::matmul(x, weight.t())).abs().max().item<double>(), 1e-4);
    EXPECT_TRUE(at::equal(once, product(x, weight)));
  }
  prepare_machine(1);
}

// A weight that wants no gradient gets none, and neither does an input.
TEST(Product, MakesNoGradientThatNobodyWants) {
  if (prepare_machine(1).features.find("avx512f") == std::string::npos) {
    GTEST_SKIP() << "SKIPPED ALOUD: LibTorch calls oneDNN for float32 with AVX-512 alone";
  }
  set_products(Products::onednn);
  const Tensor x = draw({4, 32}, 1), weight = draw({16, 32}, 2).set_requires_grad(true);
  product(x, weight).sum().backward();
  EXPECT_FALSE(x.grad().defined());
  EXPECT_LE((weight.grad() - x.sum({0}).expand({16, 32})).abs().max().item<double>(), 1e-5);
  const Tensor y = draw({4, 32}, 3).set_requires_grad(true);
  product(y, weight.detach()).sum().backward();
  EXPECT_TRUE(y.grad().defined());
  prepare_machine(1);
}

TEST(Ops, GeluIsLibTorchs) {
  for (const auto& shape : {std::vector<int64_t>{1, 1, 3}, {2, 40, 96}, {5, 17}}) {
    expect_same(
        "gelu", draw_all({shape, {shape.back()}}),
        [](const Tensors& in) { return Tensors{gelu(in[0], in[1])}; },
        [](const Tensors& in) { return Tensors{at::gelu(in[0] + in[1], "tanh")}; });
  }
}

TEST(Ops, ResidualNormIsLibTorchsAdaptiveNorm) {
  for (const auto& [b, s, n] :
       {std::tuple<int64_t, int64_t, int64_t>{1, 1, 8}, {3, 40, 192}, {2, 33, 50}}) {
    expect_same(
        "adaptive", draw_all({{b, s, n}, {b, s, n}, {n}, {b, n}, {b, n}, {b, n}}),
        [](const Tensors& in) {
          const auto [sum, out] =
              residual_norm(in[0], {in[1], in[2], in[3]}, {in[4], in[5], 1}, 1e-6);
          return Tensors{sum, out};
        },
        [n = n](const Tensors& in) {
          const Tensor sum = in[0] + in[3].unsqueeze(1) * (in[1] + in[2]);
          const Tensor normed = at::layer_norm(sum, {n}, {}, {}, 1e-6);
          return Tensors{sum, normed * (1 + in[4].unsqueeze(1)) + in[5].unsqueeze(1)};
        });
    expect_same(
        "affine", draw_all({{b, s, n}, {b, s, n}, {n}, {n}, {n}}),
        [](const Tensors& in) {
          const auto [sum, out] = residual_norm(in[0], {in[1], in[2], {}}, {in[3], in[4], 0}, 1e-5);
          return Tensors{sum, out};
        },
        [n = n](const Tensors& in) {
          const Tensor sum = in[0] + (in[1] + in[2]);
          return Tensors{sum, at::layer_norm(sum, {n}, in[3], in[4], 1e-5)};
        });
    expect_same(
        "alone", draw_all({{b, s, n}, {n}, {n}}),
        [](const Tensors& in) {
          return Tensors{residual_norm(in[0], {}, {in[1], in[2], 0}, 1e-5).second};
        },
        [n = n](const Tensors& in) {
          return Tensors{at::layer_norm(in[0], {n}, in[1], in[2], 1e-5)};
        });
  }
}

// Modulation as the transformer has it: slices of one tensor, with the items far apart.
TEST(Ops, ResidualNormTakesSlices) {
  expect_same(
      "slices", draw_all({{2, 9, 16}, {2, 9, 16}, {2, 6, 16}}),
      [](const Tensors& in) {
        const auto mod = in[2].unbind(1);
        return Tensors{residual_norm(in[0], {in[1], {}, mod[2]}, {mod[0], mod[1], 1}, 1e-6).second};
      },
      [](const Tensors& in) {
        const auto mod = in[2].unsqueeze(2).unbind(1);
        const Tensor sum = in[0] + mod[2] * in[1];
        return Tensors{at::layer_norm(sum, {16}, {}, {}, 1e-6) * (1 + mod[0]) + mod[1]};
      });
}

TEST(Ops, SplitHeadsIsLibTorchsNormAndRotation) {
  for (const auto& [b, s, heads, depth] :
       {std::tuple<int64_t, int64_t, int64_t, int64_t>{1, 1, 1, 4},
        {2, 40, 3, 64},
        {2, 9, 2, 22}}) {
    const int64_t n = heads * depth;
    const Tensor angle = draw({s, depth / 2}, 90);
    const Tensor rope = at::stack({angle.cos(), angle.sin()}, -1).flatten(1);
    const Tensor turn = at::polar(at::ones_like(angle), angle).unsqueeze(0).unsqueeze(0);
    const auto heads_of = [h = heads](const Tensor& x) {
      return x.unflatten(-1, {h, -1}).transpose(1, 2);
    };
    const auto normed = [&, d = depth](const Tensor& x, const Tensor& weight) {
      return at::rms_norm(heads_of(x), {d}, weight, 1e-6);
    };
    const auto turned = [&](const Tensor& x) {
      const Tensor pairs = at::view_as_complex(x.contiguous().unflatten(-1, {-1, 2}));
      return at::view_as_real(pairs * turn).flatten(-2);
    };
    expect_same(
        "within", draw_all({{b, s, 3 * n}, {3 * n}, {depth}, {depth}}),
        [&, h = heads](const Tensors& in) {
          return split_heads(in[0], in[1],
                             {.heads = h, .norm_D = {in[2], in[3], Tensor()}, .rope_SD = rope});
        },
        [&](const Tensors& in) {
          const auto parts = (in[0] + in[1]).chunk(3, -1);
          return Tensors{turned(normed(parts[0], in[2])), turned(normed(parts[1], in[3])),
                         heads_of(parts[2])};
        });
    expect_same(
        "across", draw_all({{b, s, 2 * n}, {2 * n}, {depth}}),
        [&, h = heads](const Tensors& in) {
          return split_heads(in[0], in[1],
                             {.heads = h, .norm_D = {in[2], Tensor()}, .rope_SD = {}});
        },
        [&](const Tensors& in) {
          const auto parts = (in[0] + in[1]).chunk(2, -1);
          return Tensors{normed(parts[0], in[2]), heads_of(parts[1])};
        });
  }
}

// Against LibTorch's in double: values, and the gradients of queries, keys and values.
TEST(Ops, AttentionIsLibTorchs) {
  struct Shape {
    int64_t items, heads, queries, keys, depth;
  };
  for (const auto& [b, h, s, l, depth] : {Shape{8, 3, 320, 320, 64},
                                          {1, 3, 256, 64, 64},
                                          {2, 2, 61, 37, 16},
                                          {1, 1, 1, 1, 48},
                                          {2, 1, 70, 1024, 128},
                                          {1, 2, 9, 1100, 32},
                                          {2, 2, 13, 7, 24}}) {
    const std::string what =
        std::to_string(s) + " to " + std::to_string(l) + " of " + std::to_string(depth);
    const Tensors in = draw_all({{b, h, s, depth}, {b, h, l, depth}, {b, h, l, depth}});
    const Tensor back = draw({b, s, h * depth}, 50);
    const auto run = [&](at::ScalarType type, const auto& f) {
      Tensors copies;
      for (const Tensor& t : in)
        copies.push_back(t.detach().to(type, false, true).set_requires_grad(true));
      const Tensor out = f(copies);
      (out * back).sum().backward();
      Tensors all = {out.detach()};
      for (const Tensor& t : copies) all.push_back(t.grad());
      return all;
    };
    const Tensors ours =
        run(at::kFloat, [](const Tensors& t) { return attention(t[0], t[1], t[2]); });
    const Tensors theirs = run(at::kDouble, [](const Tensors& t) {
      return at::scaled_dot_product_attention(t[0], t[1], t[2]).transpose(1, 2).flatten(2);
    });
    for (size_t i = 0; i < ours.size(); ++i) {
      EXPECT_LE((ours[i] - theirs[i]).abs().max().item<double>(),
                5e-6 * theirs[i].abs().max().item<double>() + 2e-7)
          << what << " tensor " << i;
    }
  }
}

// Large scores, and what is no number, which must not vanish in a maximum.
TEST(Ops, AttentionOfExtremeScores) {
  const Tensors in = draw_all({{1, 1, 4, 16}, {1, 1, 40, 16}, {1, 1, 40, 16}});
  const at::NoGradGuard no_grad;
  const Tensor sharp = attention(in[0] * 300, in[1], in[2]);
  const Tensor exact = at::scaled_dot_product_attention(
      in[0].to(at::kDouble) * 300, in[1].to(at::kDouble), in[2].to(at::kDouble));
  EXPECT_LE((sharp - exact.transpose(1, 2).flatten(2)).abs().max().item<double>(), 1e-4);
  const Tensor keys = in[1].clone();
  keys[0][0][39][3] = NAN;
  EXPECT_TRUE(attention(in[0], keys, in[2]).isnan().all().item<bool>());
  keys[0][0][39][3] = INFINITY;
  EXPECT_TRUE(attention(in[0], keys, in[2]).isnan().any().item<bool>());
}

// By processor time, which does not depend on what else the machine does.
TEST(Ops, AreSharedAmongThreads) {
  const auto seconds = [](clockid_t clock) {
    timespec t{};
    ::clock_gettime(clock, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
  };
  const Tensors in = draw_all({{4, 2, 256, 64}, {4, 2, 256, 64}, {4, 2, 256, 64}});
  const at::NoGradGuard no_grad;
  at::set_num_threads(2);
  const double own = seconds(CLOCK_THREAD_CPUTIME_ID), all = seconds(CLOCK_PROCESS_CPUTIME_ID);
  for (int i = 0; i < 30; ++i) attention(in[0], in[1], in[2]);
  const double own_share =
      (seconds(CLOCK_THREAD_CPUTIME_ID) - own) / (seconds(CLOCK_PROCESS_CPUTIME_ID) - all);
  at::set_num_threads(1);
  EXPECT_LT(own_share, 0.8);
}

// A micro-batch has the same bits wherever its items are computed.
TEST(Ops, AttentionOfAnItemHasTheBitsOfTheItemAlone) {
  const Tensors in = draw_all({{3, 2, 90, 32}, {3, 2, 50, 32}, {3, 2, 50, 32}});
  const auto run = [&](int threads, int64_t first, int64_t count) {
    at::set_num_threads(threads);
    Tensors part;
    for (const Tensor& t : in)
      part.push_back(t.detach().narrow(0, first, count).clone().set_requires_grad(true));
    const Tensor out = attention(part[0], part[1], part[2]);
    out.pow(3).sum().backward();
    at::set_num_threads(1);
    return Tensors{out.detach(), part[0].grad(), part[1].grad(), part[2].grad()};
  };
  const Tensors all = run(2, 0, 3);
  for (int64_t i = 0; i < 3; ++i) {
    const Tensors one = run(1, i, 1);
    for (size_t t = 0; t < all.size(); ++t)
      EXPECT_TRUE(at::equal(all[t][i], one[t][0])) << i << ", " << t;
  }
}

TEST(Ops, FlowErrorIsLibTorchsMeanSquare) {
  const Tensor noise = draw({3, 700, 5}, 8), x = draw({3, 700, 5}, 9);
  expect_same(
      "loss", draw_all({{3, 700, 5}}),
      [&](const Tensors& in) { return Tensors{flow_error(in[0], noise, x)}; },
      [&](const Tensors& in) { return Tensors{at::mse_loss(in[0], noise - x)}; });
}

// Bits that do not depend on the threads: what replay on another machine needs of our own kernels.
TEST(Ops, GiveTheSameBitsOnAnyNumberOfThreads) {
  const auto run = [](int threads) {
    at::set_num_threads(threads);
    const Tensors in = draw_all({{3, 70, 96}, {3, 70, 96}, {96}, {3, 96}, {3, 96}, {3, 96}});
    const auto [sum, out] = residual_norm(in[0], {in[1], in[2], in[3]}, {in[4], in[5], 1}, 1e-6);
    const auto qkv =
        split_heads(gelu(sum, in[2]), in[2],
                    {.heads = 2, .norm_D = {Tensor(), Tensor(), Tensor()}, .rope_SD = {}});
    ((qkv[0] * qkv[1]).sum() + qkv[2].sum() + out.pow(3).sum()).backward();
    Tensors all = {out.detach(), in[0].grad(), in[1].grad(), in[2].grad(),
                   in[3].grad(), in[4].grad(), in[5].grad()};
    at::set_num_threads(1);
    return all;
  };
  const Tensors one = run(1), two = run(2);
  // All but what at::sum adds is ours; its sums are of one thread's size here.
  for (size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(at::equal(one[i], two[i])) << i;
}

TEST(Recomputed, RunsOnceMoreInTheBackwardPassAndGivesTheSameBits) {
  const Tensors in = draw_all({{3, 5}, {5}}), weights = draw_all({{5, 5}});
  int runs = 0;
  const Segment segment = [&](const Tensors& x) -> Tensors {
    ++runs;
    const Tensor y = at::matmul(x[0], weights[0]).sin() * x[1];
    return {y, y.exp().sum(), x[1] * 2};
  };
  const auto gradients = [&](const Tensors& out) {
    (out[0].sum() + out[1]).backward();  // the third is not used
    Tensors all;
    for (const Tensor* t : {&in[0], &in[1], &weights[0]}) {
      all.push_back(t->grad().clone());
      t->mutable_grad().reset();
    }
    return all;
  };
  const Tensors kept = segment(in), expected = gradients(kept);
  runs = 0;
  const Tensors out = recomputed(segment, in, weights);
  EXPECT_EQ(runs, 1);
  for (size_t i = 0; i < kept.size(); ++i) EXPECT_TRUE(at::equal(out[i], kept[i])) << i;
  const Tensors found = gradients(out);
  EXPECT_EQ(runs, 2);
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_TRUE(at::equal(found[i], expected[i])) << i;

  const at::NoGradGuard no_grad;  // nothing to come back for
  recomputed(segment, in, weights);
  EXPECT_EQ(runs, 3);
}

// What the kernels write in bfloat16 is checked in tests/kernels; here, that the right tensors
// reach them: near what the same functions give in float32.
TEST(Ops, InBfloat16AreNearThoseInFloat32) {
  constexpr int64_t kB = 2, kS = 35, kN = 24;
  const Tensors inputs =
      draw_all({{kB, kS, kN}, {kB, kS, kN}, {kB, kN}, {kB, kN}, {3 * kN, kN}, {12}});
  const auto run = [&](at::ScalarType type) {
    Tensors in;
    for (const Tensor& t : inputs) in.push_back(t.detach().clone().set_requires_grad(true));
    const auto [sum, normed] =
        residual_norm(in[0], {in[1].to(type), {}, in[2]}, {in[3], in[2], 1}, 1e-6, type);
    const auto [same, plain] =
        residual_norm(sum, {in[1].to(type), {}, {}}, {in[3][0], in[2][0], 0}, 1e-6, type);
    EXPECT_EQ(normed.scalar_type(), type);
    const auto heads = split_heads(at::linear(normed + plain, in[4].to(type)), {},
                                   {.heads = 2, .norm_D = {in[5], in[5], Tensor()}, .rope_SD = {}});
    const Tensor hidden = gelu(heads[0] * heads[1] + heads[2], in[5]);
    EXPECT_EQ(hidden.scalar_type(), type);
    (hidden.to(at::kFloat).pow(2).sum() + sum.sum() + same.pow(2).mean()).backward();
    Tensors all = {sum.detach(), hidden.detach().to(at::kFloat)};
    for (const Tensor& t : in) all.push_back(t.grad());
    return all;
  };
  const Tensors a = run(at::kBFloat16), b = run(at::kFloat);
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_LE((a[i] - b[i]).norm().item<double>(), 0.02 * b[i].norm().item<double>()) << i;
  }
}

}  // namespace
}  // namespace cleared::train
