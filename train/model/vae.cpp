#include "train/model/vae.h"

#include <array>

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/silu.h>

#include "ledger/base/check.h"

namespace cleared::train {
namespace {

constexpr size_t kLevels = 4;
constexpr int64_t kFramesOfALatent = 4;

Tensor activated(const Tensor& x_BCTHW, const Tensor& norm_C) {
  return at::silu(channel_norm(x_BCTHW, norm_C));
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

// Every place twice in height and width; in time too, but for the first frame of a clip.
Tensor doubled(const Tensor& x, bool time, bool begins) {
  const auto s = x.sizes();
  const Tensor wide = x.reshape({s[0], s[1], s[2], s[3], 1, s[4], 1})
                          .expand({s[0], s[1], s[2], s[3], 2, s[4], 2})
                          .reshape({s[0], s[1], s[2], 2 * s[3], 2 * s[4]});
  if (!time) return wide;
  const auto w = wide.sizes();
  const Tensor twice = wide.unsqueeze(3)
                           .expand({w[0], w[1], w[2], 2, w[3], w[4]})
                           .reshape({w[0], w[1], 2 * w[2], w[3], w[4]});
  return begins ? twice.narrow(2, 1, 2 * w[2] - 1) : twice;
}

// For a clip of so many frames as the first part has one.
Tensor room(const Tensor& part_BCTHW, int64_t frames) {
  const auto s = part_BCTHW.sizes();
  return at::empty({s[0], s[1], frames, s[3], s[4]}, part_BCTHW.options());
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

// The frames that each convolution of one half saw last, in the order in which they are called.
class Vae::Carried {
 public:
  void next_part() { begins_ = false, at_ = 0; }
  bool begins() const { return begins_; }
  // Of the part before; what of this one is to be kept replaces it.
  const Tensor& before() const { return kept_[at_]; }
  void keep(const Tensor& frames) {
    if (begins_) kept_.push_back(frames);
    else kept_[at_++] = frames;
  }

 private:
  std::vector<Tensor> kept_;
  size_t at_ = 0;
  bool begins_ = true;
};

Tensor Vae::CausalConv::operator()(Tensor x, Carried* carried) const {
  const int64_t frames = weight.size(2), side = weight.size(3) / 2;
  if (frames == 1) return Conv::operator()(x, 0, side);
  const auto s = x.sizes();
  const bool begins = carried == nullptr || carried->begins();
  const Tensor before =
      begins ? x.narrow(2, 0, 1).expand({s[0], s[1], frames - 1, s[3], s[4]}) : carried->before();
  const Tensor all = at::cat({before, x}, 2);
  x.reset();  // a part's largest: without gradient nobody else may hold it
  if (carried != nullptr) {
    const int64_t again = frames - stride_t;  // that the next output sees too
    carried->keep(all.narrow(2, all.size(2) - again, again).clone());
  }
  return Conv::operator()(all, 0, side);
}

Tensor Vae::Residual::operator()(const Tensor& x, Carried* carried) const {
  Tensor change = conv1(activated(x, norm1), carried);
  change = conv2(activated(change, norm2), carried);
  return (past.weight.defined() ? past(x, carried) : x) + change;
}

Vae::CausalConv Vae::conv(const std::string& name, int64_t in, int64_t out, int64_t time,
                          int64_t side) {
  return {make_conv(parameters_, name, in, out, time, side)};
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
    CausalConv down = conv(name("enc", "down", i), widths[i], widths[i], i == 0 ? 1 : 3, 3);
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

Tensor Vae::moments(const Tensor& video_BCTHW, Carried* carried) const {
  Tensor x = encoder_.first(fold(video_BCTHW, config_.patch), carried);
  for (size_t i = 0; i < kLevels; ++i) {
    for (const Residual& block : encoder_.levels[i]) x = block(x, carried);
    if (i + 1 < kLevels) x = encoder_.between[i](x, carried);
  }
  for (const Residual& block : encoder_.middle) x = block(x, carried);
  return encoder_.last(activated(x, encoder_.norm), carried);
}

Tensor Vae::pixels(const Tensor& latent_BCTHW, Carried* carried) const {
  const bool begins = carried == nullptr || carried->begins();
  Tensor x = decoder_.first(latent_BCTHW, carried);
  for (const Residual& block : decoder_.middle) x = block(x, carried);
  for (size_t i = 0; i < kLevels; ++i) {
    if (i > 0) x = decoder_.between[i - 1](doubled(x, i + 1 < kLevels, begins), carried);
    for (const Residual& block : decoder_.levels[i]) x = block(x, carried);
  }
  x = decoder_.last(activated(x, decoder_.norm), carried);
  return unfold(x, config_.patch);
}

void Vae::check_video(const Tensor& video_BCTHW) const {
  const int64_t side = 8 * config_.patch;
  CLEARED_CHECK(video_BCTHW.dim() == 5 && video_BCTHW.size(2) % kFramesOfALatent == 1);
  CLEARED_CHECK(video_BCTHW.size(3) % side == 0 && video_BCTHW.size(4) % side == 0);
}

VaeMoments Vae::encode(const Tensor& video_BCTHW) const {
  check_video(video_BCTHW);
  const Tensor both = moments(video_BCTHW, nullptr);
  return {
      .mean_BCTHW = both.narrow(1, 0, config_.channels),
      .log_variance_BCTHW = both.narrow(1, config_.channels, config_.channels).clamp(-30.0, 20.0)};
}

Tensor Vae::decode(const Tensor& latent_BCTHW) const {
  return pixels(latent_BCTHW, nullptr);
}

// The first frame, then four at a time.
Tensor Vae::encode_in_parts(const Tensor& video_BCTHW) const {
  const at::NoGradGuard no_grad;
  check_video(video_BCTHW);
  const at::Device device = encoder_.norm.device();
  Carried carried;
  Tensor means;
  for (int64_t i = 0; i <= video_BCTHW.size(2) / kFramesOfALatent; ++i) {
    const int64_t first = i == 0 ? 0 : 1 + (i - 1) * kFramesOfALatent;
    const Tensor part = video_BCTHW.narrow(2, first, i == 0 ? 1 : kFramesOfALatent).to(device);
    const Tensor mean = moments(part, &carried).narrow(1, 0, config_.channels);
    if (i == 0) means = room(mean, 1 + video_BCTHW.size(2) / kFramesOfALatent);
    means.narrow(2, i, 1).copy_(mean);
    carried.next_part();
  }
  return means;
}

Tensor Vae::decode_in_parts(const Tensor& latent_BCTHW) const {
  const at::NoGradGuard no_grad;
  Carried carried;
  Tensor video;
  int64_t done = 0;
  for (int64_t i = 0; i < latent_BCTHW.size(2); ++i) {
    const Tensor part = pixels(latent_BCTHW.narrow(2, i, 1), &carried);
    if (i == 0) video = room(part, 1 + (latent_BCTHW.size(2) - 1) * kFramesOfALatent);
    video.narrow(2, done, part.size(2)).copy_(part);
    done += part.size(2);
    carried.next_part();
  }
  return video;
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
  const Tensor decoded = vae.decode(latent);
  const Tensor error = decoded - video_BCTHW;
  const Tensor difference = at::abs(error).mean();
  const Tensor divergence = 0.5 * (mean * mean + at::exp(log_variance) - log_variance - 1.0).mean();
  return {.total = difference + options.gradient * gradient_error(error) + options.kl * divergence,
          .difference = difference.detach(),
          .decoded_BCTHW = decoded,
          .moments = {mean.detach(), log_variance.detach()}};
}

}  // namespace cleared::train
