#include "train/model/vae.h"

#include <array>
#include <cmath>

#include <ATen/TensorOperators.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/conv3d.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/silu.h>

#include "ledger/base/check.h"

namespace cleared::train {
namespace {

constexpr double kVaeNormEps = 1e-6;
constexpr size_t kLevels = 4;

// Over channels, at every place.
Tensor channel_norm(const Tensor& x_BCTHW, const Tensor& weight_C) {
  const Tensor scale = at::rsqrt((x_BCTHW * x_BCTHW).mean(1, true) + kVaeNormEps);
  return x_BCTHW * scale * weight_C.view({1, -1, 1, 1, 1});
}

// [B, C, T, H p, W p] to [B, C p p, T, H, W], and back.
Tensor fold(const Tensor& x, int64_t p) {
  if (p == 1) return x;
  const auto s = x.sizes();
  return x.reshape({s[0], s[1], s[2], s[3] / p, p, s[4] / p, p})
      .permute({0, 1, 4, 6, 2, 3, 5})
      .reshape({s[0], s[1] * p * p, s[2], s[3] / p, s[4] / p});
}

Tensor unfold(const Tensor& x, int64_t p) {
  if (p == 1) return x;
  const auto s = x.sizes();
  return x.reshape({s[0], s[1] / (p * p), p, p, s[2], s[3], s[4]})
      .permute({0, 1, 4, 5, 2, 6, 3})
      .reshape({s[0], s[1] / (p * p), s[2], s[3] * p, s[4] * p});
}

// Every place twice in height and width; in time too, but for the first frame.
Tensor doubled(const Tensor& x, bool time) {
  const auto s = x.sizes();
  const Tensor wide = x.reshape({s[0], s[1], s[2], s[3], 1, s[4], 1})
                          .expand({s[0], s[1], s[2], s[3], 2, s[4], 2})
                          .reshape({s[0], s[1], s[2], 2 * s[3], 2 * s[4]});
  if (!time) return wide;
  const auto w = wide.sizes();
  return wide.unsqueeze(3)
      .expand({w[0], w[1], w[2], 2, w[3], w[4]})
      .reshape({w[0], w[1], 2 * w[2], w[3], w[4]})
      .narrow(2, 1, 2 * w[2] - 1);
}

Tensor difference_along(const Tensor& x, int64_t axis) {
  const int64_t n = x.size(axis) - 1;
  return x.narrow(axis, 1, n) - x.narrow(axis, 0, n);
}

// Means over 2 x 2 pixels. (avg_pool3d has no deterministic gradient on CUDA.)
Tensor halved(const Tensor& x) {
  const int64_t h = x.size(3) / 2, w = x.size(4) / 2;
  const Tensor y =
      x.narrow(3, 0, 2 * h).narrow(4, 0, 2 * w).unflatten(4, {w, 2}).unflatten(3, {h, 2});
  const auto corner = [&](int64_t row, int64_t column) {
    return y.select(6, column).select(4, row);
  };
  return (corner(0, 0) + corner(0, 1) + corner(1, 0) + corner(1, 1)) / 4;
}

// Mean absolute error of the differences between neighbours along time, height and width, at full,
// half and quarter size.
Tensor gradient_error(Tensor error_BCTHW) {
  Tensor sum;
  for (int scale = 0; scale < 3; ++scale) {
    if (scale > 0) {
      if (error_BCTHW.size(3) < 4 || error_BCTHW.size(4) < 4) break;
      error_BCTHW = halved(error_BCTHW);
    }
    for (const int64_t axis : {2, 3, 4}) {
      if (error_BCTHW.size(axis) < 2) continue;
      const Tensor part = at::abs(difference_along(error_BCTHW, axis)).mean();
      sum = sum.defined() ? sum + part : part;
    }
  }
  return sum / 3.0;
}

}  // namespace

Tensor Vae::Conv::operator()(const Tensor& x) const {
  const int64_t front = weight.size(2) - 1, side = weight.size(3) / 2;
  const auto s = x.sizes();
  const Tensor padded =
      front == 0 ? x : at::cat({x.narrow(2, 0, 1).expand({s[0], s[1], front, s[3], s[4]}), x}, 2);
  return at::conv3d(padded, weight, bias, {stride_t, stride_s, stride_s}, {0, side, side});
}

Tensor Vae::Residual::operator()(const Tensor& x) const {
  const Tensor hidden = conv1(at::silu(channel_norm(x, norm1)));
  const Tensor change = conv2(at::silu(channel_norm(hidden, norm2)));
  return (past.weight.defined() ? past(x) : x) + change;
}

Vae::Conv Vae::conv(const std::string& name, int64_t in, int64_t out, int64_t time, int64_t side) {
  const double fan_in = static_cast<double>(in * time * side * side);
  return {.weight = parameters_.normal(name + ".weight", {out, in, time, side, side},
                                       1.0 / std::sqrt(fan_in)),
          .bias = parameters_.constant(name + ".bias", {out}, 0)};
}

Vae::Residual Vae::residual(const std::string& name, int64_t in, int64_t out) {
  Residual made{.norm1 = parameters_.constant(name + ".n1", {in}, 1),
                .norm2 = parameters_.constant(name + ".n2", {out}, 1),
                .conv1 = conv(name + ".c1", in, out, 3, 3),
                .conv2 = conv(name + ".c2", out, out, 3, 3),
                .past = {}};
  if (in != out) made.past = conv(name + ".past", in, out, 1, 1);
  return made;
}

std::vector<Vae::Residual> Vae::residuals(const std::string& name, int64_t in, int64_t out,
                                          int64_t count) {
  std::vector<Residual> made;
  for (int64_t i = 0; i < count; ++i) {
    made.push_back(residual(name + "." + std::to_string(i), i == 0 ? in : out, out));
  }
  return made;
}

Vae::Vae(const VaeConfig& config, uint64_t seed) : config_(config), parameters_(seed) {
  const int64_t d = config.dim, z = config.channels, blocks = config.blocks;
  const int64_t pixels = 3 * config.patch * config.patch;
  const std::array<int64_t, kLevels> widths = {d, 2 * d, 4 * d, 4 * d};
  const auto name = [](const std::string& half, const char* part, size_t level) {
    return half + "." + part + "." + std::to_string(level);
  };
  // Down: level by level, and after each but the last a step of two, the first only in space.
  encoder_.first = conv("enc.first", pixels, d, 3, 3);
  for (size_t i = 0; i < kLevels; ++i) {
    encoder_.levels.push_back(
        residuals(name("enc", "level", i), i == 0 ? d : widths[i - 1], widths[i], blocks));
    if (i + 1 == kLevels) break;
    Conv down = conv(name("enc", "down", i), widths[i], widths[i], i == 0 ? 1 : 3, 3);
    down.stride_s = 2;
    down.stride_t = i == 0 ? 1 : 2;
    encoder_.between.push_back(down);
  }
  encoder_.middle = residuals("enc.middle", widths.back(), widths.back(), 2);
  encoder_.norm = parameters_.constant("enc.norm", {widths.back()}, 1);
  encoder_.last = conv("enc.last", widths.back(), 2 * z, 3, 3);

  decoder_.first = conv("dec.first", z, widths.back(), 3, 3);
  decoder_.middle = residuals("dec.middle", widths.back(), widths.back(), 2);
  for (size_t i = kLevels; i-- > 0;) {
    const int64_t above = i + 1 == kLevels ? widths.back() : widths[i + 1];
    if (i + 1 < kLevels) {
      decoder_.between.push_back(conv(name("dec", "up", i), above, above, i == 0 ? 1 : 3, 3));
    }
    decoder_.levels.push_back(residuals(name("dec", "level", i), above, widths[i], blocks));
  }
  decoder_.norm = parameters_.constant("dec.norm", {d}, 1);
  decoder_.last = conv("dec.last", d, pixels, 3, 3);
}

VaeMoments Vae::encode(const Tensor& video_BCTHW) const {
  const int64_t side = 8 * config_.patch;
  CLEARED_CHECK(video_BCTHW.dim() == 5 && video_BCTHW.size(2) % 4 == 1);
  CLEARED_CHECK(video_BCTHW.size(3) % side == 0 && video_BCTHW.size(4) % side == 0);
  Tensor x = encoder_.first(fold(video_BCTHW, config_.patch));
  for (size_t i = 0; i < kLevels; ++i) {
    for (const Residual& block : encoder_.levels[i]) x = block(x);
    if (i + 1 < kLevels) x = encoder_.between[i](x);
  }
  for (const Residual& block : encoder_.middle) x = block(x);
  const Tensor both = encoder_.last(at::silu(channel_norm(x, encoder_.norm)));
  return {
      .mean_BCTHW = both.narrow(1, 0, config_.channels),
      .log_variance_BCTHW = both.narrow(1, config_.channels, config_.channels).clamp(-30.0, 20.0)};
}

Tensor Vae::decode(const Tensor& latent_BCTHW) const {
  Tensor x = decoder_.first(latent_BCTHW);
  for (const Residual& block : decoder_.middle) x = block(x);
  for (size_t i = 0; i < kLevels; ++i) {
    if (i > 0) x = decoder_.between[i - 1](doubled(x, i + 1 < kLevels));
    for (const Residual& block : decoder_.levels[i]) x = block(x);
  }
  return unfold(decoder_.last(at::silu(channel_norm(x, decoder_.norm))), config_.patch);
}

int64_t Vae::parameter_count() const {
  int64_t count = 0;
  for (const auto& [name, tensor] : parameters()) count += tensor.numel();
  return count;
}

void Vae::to(at::Device device) {
  for (const auto& [name, tensor] : parameters()) tensor.set_data(tensor.detach().to(device));
}

VaeLoss vae_loss(const Vae& vae, const Tensor& video_BCTHW, const Tensor& noise_BCTHW,
                 const VaeLossOptions& options) {
  const VaeMoments moments = vae.encode(video_BCTHW);
  const Tensor& mean = moments.mean_BCTHW;
  const Tensor& log_variance = moments.log_variance_BCTHW;
  const Tensor latent = mean + at::exp(0.5 * log_variance) * noise_BCTHW;
  const Tensor error = vae.decode(latent) - video_BCTHW;
  const Tensor difference = at::abs(error).mean();
  const Tensor divergence = 0.5 * (mean * mean + at::exp(log_variance) - log_variance - 1.0).mean();
  return {.total = difference + options.gradient * gradient_error(error) + options.kl * divergence,
          .difference = difference.detach(),
          .moments = {mean.detach(), log_variance.detach()}};
}

}  // namespace cleared::train
