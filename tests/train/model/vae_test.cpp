#include "train/model/vae.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include "tests/train/model/support.h"
#include "train/model/klt.h"
#include "train/model/optim.h"
#include "train/model/random.h"
#include "train/plan.h"

namespace cleared::train {
namespace {

constexpr VaeConfig kTinyVae{.dim = 4, .channels = 4, .blocks = 1, .patch = 1};

Tensor random_video(int64_t frames, uint64_t seed = 3) {
  const Draw draw{.seed = seed, .step = 0, .sample = 0, .purpose = Purpose::noise};
  return normal({&draw, 1}, {3, frames, 16, 16}).clamp(-1, 1);
}

TEST(Vae, ShapesAreThoseOfACausalCodec) {
  struct Case {
    int64_t frames, latent_frames;
    VaeConfig config;
    int64_t side;
  };
  VaeConfig folded = kTinyVae;
  folded.patch = 2;
  for (const Case& c :
       {Case{1, 1, kTinyVae, 2}, {5, 2, kTinyVae, 2}, {9, 3, kTinyVae, 2}, {17, 5, folded, 1}}) {
    const Vae vae(c.config, 1);
    const Tensor video = random_video(c.frames);
    const VaeMoments moments = vae.encode(video);
    const std::vector<int64_t> latent = {1, 4, c.latent_frames, c.side, c.side};
    EXPECT_EQ(moments.mean_BCTHW.sizes(), at::IntArrayRef(latent));
    EXPECT_EQ(moments.log_variance_BCTHW.sizes(), at::IntArrayRef(latent));
    EXPECT_EQ(vae.decode(moments.mean_BCTHW).sizes(), video.sizes());
  }
}

// A latent frame knows its own four frames and those before, never a later one; and so back.
TEST(Vae, SeesNoLaterFrame) {
  const Vae vae(kTinyVae, 1);
  Tensor video = random_video(9);
  const Tensor before = vae.encode(video).mean_BCTHW.detach();
  video.narrow(2, 5, 4).neg_();
  const Tensor after = vae.encode(video).mean_BCTHW.detach();
  EXPECT_TRUE(at::equal(before.narrow(2, 0, 2), after.narrow(2, 0, 2)));
  EXPECT_FALSE(at::allclose(before.narrow(2, 2, 1), after.narrow(2, 2, 1)));

  const Tensor decoded = vae.decode(before).detach();
  Tensor latent = before.clone();
  latent.narrow(2, 2, 1).neg_();
  const Tensor other = vae.decode(latent).detach();
  EXPECT_TRUE(at::equal(decoded.narrow(2, 0, 5), other.narrow(2, 0, 5)));
  EXPECT_FALSE(at::allclose(decoded.narrow(2, 5, 4), other.narrow(2, 5, 4)));
}

// As codecs do it, for latents of any length, to the bits of the whole clip at once.
TEST(Vae, PartByPartIsTheWholeClip) {
  if (!at::hasMKLDNN()) GTEST_SKIP() << "LibTorch without oneDNN: other frames, other rounding";
  const at::NoGradGuard no_grad;
  VaeConfig folded{.dim = 8, .channels = 16, .blocks = 2, .patch = 2};
  for (const VaeConfig& config : {kTinyVae, folded}) {
    const Vae vae(config, 1);
    for (const int64_t frames : {1, 5, 9, 17, 49}) {
      const Tensor video = at::cat({random_video(frames, 3), random_video(frames, 4)});
      const Tensor mean = vae.encode(video).mean_BCTHW;
      EXPECT_TRUE(at::equal(vae.encode_in_parts(video), mean)) << frames;
      EXPECT_TRUE(at::equal(vae.decode_in_parts(mean), vae.decode(mean))) << frames;
      // And so the beginning of a clip is that of any longer one.
      EXPECT_TRUE(at::equal(vae.encode_in_parts(video.narrow(2, 0, 1)), mean.narrow(2, 0, 1)));
    }
  }
}

// Beside the clip and its latents, which are held all the same.
TEST(Vae, PartByPartMemoryDoesNotGrowWithTheClip) {
  const at::NoGradGuard no_grad;
  const Vae vae({.dim = 8, .channels = 16, .blocks = 1, .patch = 1}, 1);
  const auto peak_of = [&](int64_t frames, bool whole) {
    const Tensor video = random_video(frames), latent = vae.encode(video).mean_BCTHW;
    testing::MemoryPeak peak;
    const Tensor there = whole ? vae.encode(video).mean_BCTHW : vae.encode_in_parts(video);
    const Tensor back = whole ? vae.decode(latent) : vae.decode_in_parts(latent);
    return peak.bytes() - there.nbytes() - back.nbytes();
  };
  EXPECT_GT(peak_of(49, true), 2 * peak_of(17, true));
  EXPECT_LE(peak_of(49, false), peak_of(17, false));
  EXPECT_LT(peak_of(17, false), peak_of(17, true));
}

// The plan's number is of the wider of the two ways: enough, and no more than a quarter above what
// is taken.
TEST(Vae, PartByPartMemoryIsWhatThePlanSays) {
  const at::NoGradGuard no_grad;
  for (const auto& [dim, blocks] : {std::pair{8, 1}, {16, 2}, {32, 2}}) {
    const VaeConfig config{.dim = dim, .channels = 16, .blocks = blocks, .patch = 1};
    const Vae vae(config, 1);
    const Draw draw{.seed = 1, .step = 0, .sample = 0, .purpose = Purpose::noise};
    const Tensor video = normal({&draw, 1}, {3, 13, 64, 64});
    const Tensor latent = vae.encode_in_parts(video);
    testing::MemoryPeak peak;
    size_t most = 0;
    {
      const Tensor there = vae.encode_in_parts(video);
      most = peak.bytes() - there.nbytes();
    }
    {
      const testing::MemoryPeak decoding;
      const Tensor back = vae.decode_in_parts(latent);
      most = std::max(most, decoding.bytes() - back.nbytes());
    }
    const uint64_t planned = part_bytes(64, 64, config.dim, config.patch);
    EXPECT_LE(most, planned) << dim;
    EXPECT_GT(most, planned * 4 / 5) << dim;
  }
}

// Against PyTorch's own operations: the sum over channels is another, the gradient written by hand.
TEST(Vae, ChannelNormIsTheRootMeanSquareAndSoIsItsGradient) {
  at::manual_seed(1);
  for (const int64_t channels : {1, 3, 8, 13}) {
    const Tensor x = at::randn({2, channels, 3, 2, 5}).set_requires_grad(true);
    const Tensor y = x.detach().to(at::kDouble).set_requires_grad(true);
    const Tensor weight = at::randn({channels}), to = at::randn({2, channels, 3, 2, 5});
    const Tensor mine = channel_norm(x, weight);
    const Tensor plain =
        y * at::rsqrt((y * y).mean(1, true) + 1e-6) * weight.view({1, -1, 1, 1, 1});
    EXPECT_TRUE(at::allclose(mine.to(at::kDouble), plain, 1e-5, 1e-6)) << channels;
    (mine * to).sum().backward();
    (plain * to).sum().backward();
    EXPECT_TRUE(at::allclose(x.grad().to(at::kDouble), y.grad(), 1e-4, 1e-5)) << channels;
  }
}

TEST(Vae, WeightsAreAFunctionOfTheSeed) {
  const Vae a(kTinyVae, 5), b(kTinyVae, 5), c(kTinyVae, 6);
  EXPECT_TRUE(
      at::equal(a.parameters().at("enc.first.weight"), b.parameters().at("enc.first.weight")));
  EXPECT_FALSE(
      at::equal(a.parameters().at("enc.first.weight"), c.parameters().at("enc.first.weight")));
}

// The gradient of the whole loss against differences of the loss itself, in a few weights.
TEST(Vae, GradientsAreThoseOfTheLoss) {
  const Vae vae(kTinyVae, 2);
  const Tensor video = random_video(5);
  const Draw draw{.seed = 9, .step = 0, .sample = 0, .purpose = Purpose::latent};
  const Tensor noise = normal({&draw, 1}, {4, 2, 2, 2});
  const VaeLossOptions options{.gradient = 0.5, .kl = 0.1};
  vae_loss(vae, video, noise, options).total.backward();
  for (const char* name : {"enc.first.weight", "enc.last.bias", "dec.up.1.weight", "dec.norm"}) {
    const Tensor weight = vae.parameters().at(name);
    const double gradient = weight.grad().flatten()[0].item<double>();
    const auto at_offset = [&](double offset) {
      const at::NoGradGuard no_grad;
      Tensor value = weight.detach().flatten()[0];
      value.add_(offset);
      const double loss = vae_loss(vae, video, noise, options).total.item<double>();
      value.sub_(offset);
      return loss;
    };
    constexpr double kStep = 2e-3;
    const double slope = (at_offset(kStep) - at_offset(-kStep)) / (2 * kStep);
    EXPECT_NEAR(gradient, slope, 0.02 * std::abs(slope) + 2e-4) << name;
  }
}

TEST(Vae, LearnsToReproduceAClip) {
  const Vae vae({.dim = 8, .channels = 8, .blocks = 1, .patch = 1}, 4);
  // A bright square that moves over a dark ground.
  Tensor video = at::full({1, 3, 5, 16, 16}, -0.5);
  for (int64_t t = 0; t < 5; ++t) {
    video.narrow(2, t, 1).narrow(3, 4, 6).narrow(4, 2 + t, 6).fill_(0.7);
  }
  AdamW optimiser(vae.parameters(), {});
  double psnr_before = 0, psnr_after = 0;
  const auto psnr = [&] {
    const at::NoGradGuard no_grad;
    return psnr_db(vae.decode(vae.encode(video).mean_BCTHW).clamp(-1, 1), video);
  };
  psnr_before = psnr();
  for (uint64_t step = 0; step < 80; ++step) {
    const Draw draw{.seed = 1, .step = step, .sample = 0, .purpose = Purpose::latent};
    const VaeLoss loss = vae_loss(vae, video, normal({&draw, 1}, {8, 2, 2, 2}), {});
    loss.total.backward();
    optimiser.step(5e-3);
  }
  psnr_after = psnr();
  EXPECT_GT(psnr_after, psnr_before + 6) << psnr_before << " to " << psnr_after;
  EXPECT_GT(psnr_after, 16);
}

}  // namespace
}  // namespace cleared::train
