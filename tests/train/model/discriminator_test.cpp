// Known answers: data/discriminator.safetensors, by PyTorch's Python side in double;
// make_discriminator.py makes it again.
#include "train/model/discriminator.h"

#include <cstdlib>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include "tests/train/model/support.h"
#include "train/model/klt.h"
#include "train/model/optim.h"
#include "train/model/random.h"
#include "train/model/safetensors.h"
#include "train/model/vae.h"

namespace cleared::train {
namespace {

constexpr AdversarialOptions kKnown{.weight = 0.05, .features = 0.07};

TensorMap known_answers() {
  return read_safetensors("train/model/data/discriminator.safetensors").tensors;
}

// Of `there`, by its length.
double far(const Tensor& here, const Tensor& there) {
  return ((here - there).norm() / there.norm()).item<double>();
}

TEST(Discriminator, LossesAndGradientsAreThoseOfPython) {
  const TensorMap known = known_answers();
  const Discriminator discriminator(2, 1);
  TensorMap weights;
  add_with_prefix(weights, kDiscriminatorPrefix, with_prefix(known, "w."));
  copy_tensors(weights, discriminator.parameters(), "known");
  const Tensor decoded = known.at("decoded").clone().set_requires_grad(true);
  const AdversarialLoss loss = adversarial_loss(discriminator, known.at("video"), decoded, kKnown);
  EXPECT_LE(far(loss.of_autoencoder.detach(), known.at("generator")[0]), 1e-5);
  EXPECT_LE(far(loss.of_discriminator.detach(), known.at("discriminator")[0]), 1e-5);

  loss.of_autoencoder.backward();
  EXPECT_LE(far(decoded.grad(), known.at("d.decoded")), 1e-5);
  for (const auto& [name, weight] : discriminator.parameters()) {
    EXPECT_FALSE(weight.grad().defined()) << name;  // it does not learn to be fooled
  }
  const Tensor before = decoded.grad().clone();
  loss.of_discriminator.backward();
  EXPECT_TRUE(at::equal(decoded.grad(), before));  // nor is the autoencoder taught to be caught
  for (const auto& [name, weight] : with_prefix(discriminator.parameters(), kDiscriminatorPrefix)) {
    EXPECT_LE(far(weight.grad(), known.at("d." + name)), 1e-5) << name;
  }
}

TEST(Discriminator, TheKnownAnswersCanBeMadeAgain) {
  const char* named = std::getenv("CLEARED_TORCH_PYTHON");
  const std::string python = named != nullptr ? named : CLEARED_PYTHON;
  const testing::TemporaryFolder folder;
  const auto made =
      testing::run_command(python + " train/model/make_discriminator.py " + folder.path().string());
  if (made.status != 0) {
    GTEST_SKIP() << python << " has no torch: data/discriminator.safetensors was not made again";
  }
  const TensorMap now = read_safetensors(folder.path() / "discriminator.safetensors").tensors;
  const TensorMap known = known_answers();
  ASSERT_EQ(known.size(), now.size());
  for (const auto& [name, tensor] : known) EXPECT_LE(far(now.at(name), tensor), 1e-6) << name;
}

// Of one clip in a batch it says what it says of that clip alone; and pictures are clips, too.
TEST(Discriminator, JudgesEachClipByItself) {
  const Discriminator discriminator(4, 1);
  const at::NoGradGuard no_grad;
  at::manual_seed(5);
  const Tensor video = at::randn({3, 3, 9, 24, 16});
  const Tensor all = discriminator.judge(video, false).verdict;
  EXPECT_EQ(all.sizes(), (at::IntArrayRef{3, 1, 3, 3, 2}));
  for (int64_t i = 0; i < 3; ++i) {
    const Tensor one = discriminator.judge(video.narrow(0, i, 1), true).verdict;
    EXPECT_TRUE(at::allclose(one, all.narrow(0, i, 1), 1e-5, 1e-6));
  }
  EXPECT_EQ(discriminator.judge(at::randn({1, 3, 1, 8, 8}), false).verdict.numel(), 1);
}

// It learns to tell, and the autoencoder that it judges does not forget what it had learned: what
// comes back of the clip is no more than 2 dB further from it than when it was first judged.
TEST(Discriminator, TheAutoencoderDoesNotCollapseWhileItIsJudged) {
  const Vae vae({.dim = 8, .channels = 8, .blocks = 1, .patch = 1}, 4);
  const Discriminator discriminator(4, 4);
  AdamW optimiser(vae.parameters(), {}), its(discriminator.parameters(), {.ema_decays = {}});
  Tensor video = at::full({1, 3, 5, 16, 16}, -0.5);
  for (int64_t t = 0; t < 5; ++t) {
    video.narrow(2, t, 1).narrow(3, 4, 6).narrow(4, 2 + t, 6).fill_(0.7);
  }
  const auto psnr = [&] {
    const at::NoGradGuard no_grad;
    return psnr_db(vae.decode(vae.encode(video).mean_BCTHW).clamp(-1, 1), video);
  };
  constexpr uint64_t kSteps = 120, kStart = 40;
  double at_start = 0;
  std::vector<double> losses, caught;
  for (uint64_t step = 0; step < kSteps; ++step) {
    if (step == kStart) at_start = psnr();
    const Draw draw{.seed = 1, .step = step, .sample = 0, .purpose = Purpose::latent};
    VaeLoss loss = vae_loss(vae, video, normal({&draw, 1}, {8, 2, 2, 2}), {});
    if (step >= kStart) {
      const AdversarialLoss against =
          adversarial_loss(discriminator, video, loss.decoded_BCTHW, {});
      loss.total = loss.total + against.of_autoencoder;
      against.of_discriminator.backward();
      its.step(5e-3);
      caught.push_back(against.of_discriminator.item<double>());
    }
    losses.push_back(loss.total.item<double>());
    loss.total.backward();
    optimiser.step(5e-3);
  }
  EXPECT_LT(losses.back(), losses.front());
  EXPECT_GT(psnr(), at_start - 2) << at_start;
  EXPECT_GT(psnr(), 14);
  EXPECT_LT(*std::min_element(caught.begin(), caught.end()), caught.front() - 0.1);
}

}  // namespace
}  // namespace cleared::train
