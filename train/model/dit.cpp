#include "train/model/dit.h"

#include <cmath>
#include <tuple>

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/polar.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/view_as_real.h>

#include "ledger/base/error.h"

namespace cleared::train {
namespace {

constexpr double kNormEps = 1e-6;
constexpr double kRopeBase = 10000.0;

// norm(x) (1 + scale) + shift: what adaLN does before each half of a block.
Modulation adaptive(const Tensor& scale_BN, const Tensor& shift_BN) {
  return {.scale = scale_BN, .shift = shift_BN, .offset = 1};
}

}  // namespace

std::array<int64_t, 3> DitConfig::grid(const std::array<int64_t, 3>& sizes) const {
  return {sizes[0] / patch[0], sizes[1] / patch[1], sizes[2] / patch[2]};
}

int64_t DitConfig::tokens() const {
  const auto g = grid();
  return g[0] * g[1] * g[2];
}

int64_t DitConfig::patch_dim() const {
  return channels * patch[0] * patch[1] * patch[2];
}

void DitConfig::check() const {
  const auto need = [](bool holds, const char* what) {
    if (!holds) throw Error(Errc::config, "model: ", what);
  };
  need(dim > 0 && heads > 0 && dim % heads == 0, "dim must be a positive multiple of heads");
  need(dim / heads >= 12 && dim / heads % 2 == 0, "dim / heads must be even and at least 12");
  need(layers > 0 && ffn > 0 && channels > 0, "layers, ffn and channels must be positive");
  need(text_len > 0 && text_dim > 0, "text_len and text_dim must be positive");
  need(freq >= 2 && freq % 2 == 0, "freq must be even");
  const auto check_sides = [&](const std::array<int64_t, 3>& sizes) {
    for (size_t i = 0; i < 3; ++i) {
      need(patch[i] > 0 && sizes[i] > 0 && sizes[i] % patch[i] == 0,
           "every side of latent must be a positive multiple of that of patch");
    }
  };
  check_sides(latent);
  for (const auto& sizes : latents) check_sides(sizes);
}

Tensor rope_table(const std::array<int64_t, 3>& grid, int64_t head_dim) {
  const int64_t side = head_dim / 6;
  const std::array<int64_t, 3> pairs = {head_dim / 2 - 2 * side, side, side};
  std::vector<Tensor> angles;
  for (size_t axis = 0; axis < 3; ++axis) {
    const Tensor exponent =
        at::arange(pairs[axis], at::kDouble) / -static_cast<double>(pairs[axis]);
    const Tensor position = at::arange(grid[axis], at::kDouble);
    std::vector<int64_t> shape = {1, 1, 1, pairs[axis]}, full = {grid[0], grid[1], grid[2], -1};
    shape[axis] = grid[axis];
    const Tensor angle = position.unsqueeze(1) * at::pow(kRopeBase, exponent);
    angles.push_back(angle.view(shape).expand(full));
  }
  const Tensor angle_SD = at::cat(angles, -1).flatten(0, 2);
  return at::polar(at::ones_like(angle_SD), angle_SD).to(at::kComplexFloat);
}

Dit::Dit(const DitConfig& config, Parameters& p, const std::string& prefix) : config_(config) {
  config.check();
  const int64_t n = config.dim, head = n / config.heads;
  const double mod_deviation = 1.0 / std::sqrt(static_cast<double>(n));
  inp_ = p.linear(prefix + "inp", config.patch_dim(), n);
  t1_ = p.linear(prefix + "t1", config.freq, n);
  t2_ = p.linear(prefix + "t2", n, n);
  tp_ = p.linear(prefix + "tp", n, 6 * n);
  x1_ = p.linear(prefix + "x1", config.text_dim, n);
  x2_ = p.linear(prefix + "x2", n, n);
  for (int64_t i = 0; i < config.layers; ++i) {
    const std::string at = prefix + "blocks." + std::to_string(i);
    Block block;
    block.mod = p.normal(at + ".mod", {6, n}, mod_deviation);
    block.norm_weight = p.constant(at + ".n3.weight", {n}, 1);
    block.norm_bias = p.constant(at + ".n3.bias", {n}, 0);
    block.within.qkv = p.linear(at + ".sa.qkv", n, 3 * n);
    block.across.q = p.linear(at + ".ca.q", n, n);
    block.across.kv = p.linear(at + ".ca.kv", n, 2 * n);
    for (auto [attention, name] : {std::pair{&block.within, ".sa"}, {&block.across, ".ca"}}) {
      attention->o = p.linear(at + name + ".o", n, n);
      attention->norm_q = p.constant(at + name + ".nq", {head}, 1);
      attention->norm_k = p.constant(at + name + ".nk", {head}, 1);
    }
    block.up = p.linear(at + ".f1", n, config.ffn);
    block.down = p.linear(at + ".f2", config.ffn, n);
    blocks_.push_back(block);
  }
  mod_out_ = p.normal(prefix + "modf", {2, n}, mod_deviation);
  out_ = p.zero_linear(prefix + "out", n, config.patch_dim());
  const auto add_grid = [&](const Grid& grid) {
    rope_SD_.emplace(grid, at::view_as_real(rope_table(grid, head)).flatten(1).contiguous());
  };
  add_grid(config.grid());
  for (const auto& sizes : config.latents) add_grid(config.grid(sizes));
}

// All that run_block reads.
std::vector<Tensor> Dit::weights_of(const Block& block) {
  std::vector<Tensor> weights = {block.mod,       block.norm_weight, block.norm_bias,
                                 block.up.weight, block.up.bias,     block.down.weight};
  for (const Attention* a : {&block.within, &block.across}) {
    for (const Linear* linear : {&a->q, &a->kv, &a->qkv, &a->o}) {
      if (!linear->weight.defined()) continue;
      weights.insert(weights.end(), {linear->weight, linear->bias});
    }
    weights.insert(weights.end(), {a->norm_q, a->norm_k});
  }
  return weights;
}

void Dit::to(at::Device device) {
  for (auto& [grid, table] : rope_SD_) table = table.to(device);
}

Dit::Grid Dit::grid_of(const Tensor& z_BCTHW) const {
  return config_.grid({z_BCTHW.size(2), z_BCTHW.size(3), z_BCTHW.size(4)});
}

Tensor Dit::patchify(const Tensor& z_BCTHW) const {
  const auto [t, h, w] = grid_of(z_BCTHW);
  const auto [p, q, r] = config_.patch;
  return z_BCTHW.reshape({-1, config_.channels, t, p, h, q, w, r})
      .permute({0, 2, 4, 6, 1, 3, 5, 7})
      .reshape({z_BCTHW.size(0), t * h * w, config_.patch_dim()});
}

Tensor Dit::unpatchify(const Tensor& tokens_BSD, const Grid& grid) const {
  const auto [t, h, w] = grid;
  const auto [p, q, r] = config_.patch;
  return tokens_BSD.reshape({-1, t, h, w, config_.channels, p, q, r})
      .permute({0, 4, 1, 5, 2, 6, 3, 7})
      .reshape({tokens_BSD.size(0), config_.channels, t * p, h * q, w * r});
}

Tensor Dit::forward(const Tensor& tokens_BSD, const Tensor& t_B, const Tensor& text_BLN,
                    const Grid& grid) const {
  const int64_t half = config_.freq / 2;
  const Tensor rates =
      at::exp(at::arange(half, t_B.options()) * (-std::log(10000.0) / static_cast<double>(half)));
  const Tensor angles = 1000.0 * t_B.unsqueeze(1) * rates;
  const Tensor time_BN = t2_(at::silu(t1_(at::cat({angles.cos(), angles.sin()}, 1))));
  const Around around{
      .time_B6N = tp_(at::silu(time_BN)).unflatten(-1, {6, -1}),
      .context_BLN = x2_(gelu(x1_.product(text_BLN), x1_.bias)).to(config_.precision),
      .rope_SD = rope_SD_.at(grid)};

  Stream stream{inp_(tokens_BSD), {}};
  for (const Block& block : blocks_) {
    stream = config_.recompute ? run_block_again(block, stream, around)
                               : run_block(block, stream, around);
  }

  const auto mod = (time_BN.unsqueeze(1) + mod_out_).unbind(1);
  return out_(residual_norm(stream.x_BSN, stream.rest, adaptive(mod[0], mod[1]), kNormEps,
                            config_.precision)
                  .second.to(at::kFloat));
}

Dit::Stream Dit::run_block(const Block& block, Stream stream, const Around& around) const {
  const auto mod = (around.time_B6N + block.mod).unbind(1);  // six [B, N]
  const at::ScalarType type = config_.precision;
  auto [x_BSN, normed] =
      residual_norm(stream.x_BSN, stream.rest, adaptive(mod[0], mod[1]), kNormEps, type);
  const Branch within{attend_within(block.within, normed, around.rope_SD), block.within.o.bias,
                      mod[2]};
  std::tie(x_BSN, normed) = residual_norm(
      x_BSN, within, {.scale = block.norm_weight, .shift = block.norm_bias}, kNormEps, type);
  const Branch across{
      attend_across(block.across, normed, around.context_BLN), block.across.o.bias, {}};
  std::tie(x_BSN, normed) = residual_norm(x_BSN, across, adaptive(mod[3], mod[4]), kNormEps, type);
  const Tensor hidden = gelu(block.up.product(normed), block.up.bias);
  return {x_BSN, {block.down.product(hidden), block.down.bias, mod[5]}};
}

// The bias of what is still to be added is a weight, and goes around.
Dit::Stream Dit::run_block_again(const Block& block, Stream stream, const Around& around) const {
  std::vector<Tensor> inputs = {around.time_B6N, around.context_BLN, stream.x_BSN};
  const Branch& rest = stream.rest;
  if (rest.value_BSN.defined()) {
    inputs.insert(inputs.end(), {rest.value_BSN, rest.bias_N, rest.gate_BN});
  }
  const auto run = [this, &block, rope_SD = around.rope_SD](
                       const std::vector<Tensor>& in) -> std::vector<Tensor> {
    Stream before{in[2], {}};
    if (in.size() > 3) before.rest = {in[3], in[4], in[5]};
    const Stream after = run_block(block, before, {in[0], in[1], rope_SD});
    return {after.x_BSN, after.rest.value_BSN, after.rest.gate_BN.contiguous()};
  };
  const auto out = recomputed(run, inputs, weights_of(block));
  return {out[0], {out[1], block.down.bias, out[2]}};
}

Tensor Dit::attend_within(const Attention& a, const Tensor& x_BSN, const Tensor& rope_SD) const {
  const auto qkv = split_heads(a.qkv.product(x_BSN), a.qkv.bias,
                               {.heads = config_.heads,
                                .eps = kNormEps,
                                .norm_D = {a.norm_q, a.norm_k, Tensor()},
                                .rope_SD = rope_SD});
  return a.o.product(attention(qkv[0], qkv[1], qkv[2]));
}

Tensor Dit::attend_across(const Attention& a, const Tensor& x_BSN,
                          const Tensor& context_BLN) const {
  const auto q =
      split_heads(a.q.product(x_BSN), a.q.bias,
                  {.heads = config_.heads, .eps = kNormEps, .norm_D = {a.norm_q}, .rope_SD = {}});
  const auto kv = split_heads(
      a.kv.product(context_BLN), a.kv.bias,
      {.heads = config_.heads, .eps = kNormEps, .norm_D = {a.norm_k, Tensor()}, .rope_SD = {}});
  return a.o.product(attention(q[0], kv[0], kv[1]));
}

}  // namespace cleared::train
