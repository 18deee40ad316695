#include "train/autoencoder.h"

#include <cmath>

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>

#include "train/config.pb.h"
#include "train/data/config.h"
#include "train/model/random.h"
#include "train/setup.h"

namespace cleared::train {
namespace {

constexpr double kKeptStatistics = 0.95;  // of the past, a step

Vae build_vae(World& world, const RunConfig& config, const TensorMap& weights) {
  Vae vae(vae_config(config), config.seed());
  vae.to(world.device());
  if (!weights.empty()) copy_tensors(weights, vae.parameters(), "checkpoint");
  return vae;
}

LatentStatistics share_statistics(World& world, const RunConfig& config, const TensorMap& codec) {
  const auto channels = static_cast<int64_t>(config.codec().vae().channels());
  LatentStatistics statistics{at::zeros({channels}), at::ones({channels})};
  if (!codec.empty()) {
    copy_tensors(codec, {{"mean", statistics.mean_C}, {"square", statistics.square_C}},
                 "checkpoint");
  }
  world.broadcast(statistics.mean_C);
  world.broadcast(statistics.square_C);
  return statistics;
}

// The latents' mean and mean square by channel.
Tensor moments_by_channel(const VaeMoments& moments) {
  const at::NoGradGuard no_grad;
  const std::vector<int64_t> all_but_channels = {0, 2, 3, 4};
  const Tensor& mean = moments.mean_BCTHW;
  return at::stack({mean.mean(all_but_channels),
                    (mean * mean + at::exp(moments.log_variance_BCTHW)).mean(all_but_channels)});
}

}  // namespace

AutoencoderTrainee::AutoencoderTrainee(World& world, const RunConfig& config,
                                       const CheckpointTensors& tensors)
    : AutoencoderTrainee(world, config, tensors, part(tensors).rest) {}

AutoencoderTrainee::AutoencoderTrainee(World& world, const RunConfig& config,
                                       const CheckpointTensors& tensors,
                                       const CheckpointTensors& own)
    : world_(world),
      config_(config),
      shapes_(by_shape(config)),
      vae_(build_vae(world, config, own.model)),
      statistics_(share_statistics(world, config, tensors.codec)),
      parallel_(world, vae_.parameters(), gradient_options(config)),
      optimiser_(share_optimiser(world, adamw_options(config), vae_.parameters(), own)),
      adversary_(make_adversary(world, config, tensors)),
      schedule_(schedule_of(config)),
      counted_(optimiser_.steps() > 0) {}

void AutoencoderTrainee::prepare(const Batch& batch) {
  video_BCTHW_ = video_of(batch, shapes_[batch.shape]);
}

Learned AutoencoderTrainee::learn(const Batch& batch, uint32_t first_slot) {
  const int64_t rounds = parallel_.rounds(),
                size = static_cast<int64_t>(batch.items.size()) / rounds;
  const RunConfig::Vae& options = config_.codec().vae();
  const bool opposed = adversary_ && batch.step >= config_.discriminator().start();
  std::vector<Tensor> losses, moments, verdicts;
  for (int64_t round = 0; round < rounds; ++round) {
    const Tensor video = video_BCTHW_.narrow(0, round * size, size).to(world_.device());
    const Tensor noise =
        latent_noise(batch, first_slot + static_cast<uint64_t>(round * size), size);
    VaeLoss loss = vae_loss(vae_, video, noise,
                            {.gradient = options.gradient_loss(), .kl = options.kl_loss()});
    if (opposed) {
      const AdversarialLoss against = adversarial_loss(adversary_->discriminator, video,
                                                       loss.decoded_BCTHW, adversary_->options);
      loss.total = loss.total + against.of_autoencoder;
      adversary_->parallel.backward(against.of_discriminator);
      verdicts.push_back(against.of_discriminator.detach());
    }
    parallel_.backward(loss.total);
    losses.push_back(loss.total.detach());
    moments.push_back(moments_by_channel(loss.moments));
  }
  parallel_.finish();
  if (opposed) adversary_->parallel.finish();

  Learned learned;
  learned.learning_rate = schedule_.at(static_cast<int64_t>(batch.step));
  learned.loss = parallel_.mean(losses).item<double>();
  if (opposed) learned.discriminator_loss = parallel_.mean(verdicts).item<double>();
  update(opposed, learned);
  const Tensor now = parallel_.mean(moments);
  if (learned.applied) count(now);
  last_video_ = video_BCTHW_.narrow(0, 0, 1).to(at::kCPU);
  return learned;
}

// Both learn, or neither: what is not finite stops the run as it was, and an outlier is left out.
void AutoencoderTrainee::update(bool opposed, Learned& learned) {
  if (opposed && !std::isfinite(adversary_->optimiser.gradient_norm())) {
    learned.gradient_norm = adversary_->optimiser.gradient_norm();
    return;
  }
  const StepResult result = optimiser_.step(learned.learning_rate);
  learned.gradient_norm = result.gradient_norm;
  learned.applied = result.applied;
  if (opposed && learned.applied) adversary_->optimiser.step(learned.learning_rate);
  else if (opposed) adversary_->optimiser.skip();
}

Tensor AutoencoderTrainee::latent_noise(const Batch& batch, uint64_t first_slot,
                                        int64_t count) const {
  std::vector<Draw> draws;
  for (int64_t i = 0; i < count; ++i) {
    draws.push_back({.seed = config_.seed(),
                     .step = batch.step,
                     .sample = first_slot + static_cast<uint64_t>(i),
                     .purpose = Purpose::latent});
  }
  return normal(draws, latent_sizes(shapes_[batch.shape])).to(world_.device());
}

// The latents' mean and mean square by channel, over the step, averaged over the last steps.
void AutoencoderTrainee::count(const Tensor& moments_2C) {
  const Tensor now = moments_2C.to(at::kFloat);
  const double kept = counted_ ? kKeptStatistics : 0;
  statistics_.mean_C.mul_(kept).add_(now.select(0, 0), 1 - kept);
  statistics_.square_C.mul_(kept).add_(now.select(0, 1), 1 - kept);
  counted_ = true;
}

CheckpointTensors AutoencoderTrainee::tensors() const {
  CheckpointTensors tensors;
  tensors.model = vae_.parameters();
  tensors.codec = {{"mean", statistics_.mean_C}, {"square", statistics_.square_C}};
  split_optimiser_state(optimiser_.state(), tensors);
  if (adversary_) {
    add_adversary(tensors, adversary_->discriminator.parameters(), adversary_->optimiser.state());
  }
  return tensors;
}

// The clip above what becomes of it.
Preview AutoencoderTrainee::preview(CheckpointTensors copied) {
  return [copied = std::move(copied), video = last_video_.clone(),
          &config = config_](const AskGate& ask) {
    ask();
    const TensorMap state =
        vae_codec_state(copied.ema, {copied.codec.at("mean"), copied.codec.at("square")});
    const auto codec = make_codec(config, state);
    const Tensor both = at::cat({video, codec->decode(codec->encode(video))}, 3);
    return std::vector<Gif>{gif_of(both, config, 1)};
  };
}

}  // namespace cleared::train
