// The learner of stage AUTOENCODER: a causal video autoencoder from frames alone
// (train/model/vae.h), and beside it, where the config says so, a discriminator of its own. Its
// averaged weights and the statistics of its latents are the codec of later runs.
#pragma once

#include "train/adversary.h"
#include "train/codec.h"
#include "train/data/config.h"
#include "train/learner.h"
#include "train/model/dist.h"
#include "train/model/optim.h"

namespace cleared::train {

class AutoencoderTrainee : public Learner {
 public:
  AutoencoderTrainee(World& world, const RunConfig& config, const CheckpointTensors& tensors);

  void prepare(const Batch& batch) override;
  Learned learn(const Batch& batch, uint32_t first_slot) override;
  CheckpointTensors tensors() const override;
  Preview preview(CheckpointTensors copied) override;
  int64_t parameter_count() const override { return vae_.parameter_count(); }

 private:
  AutoencoderTrainee(World& world, const RunConfig& config, const CheckpointTensors& tensors,
                     const CheckpointTensors& own);
  Tensor latent_noise(const Batch& batch, uint64_t first_slot, int64_t count) const;
  void update(bool opposed, Learned& learned);
  void count(const Tensor& moments_2C);

  World& world_;
  const RunConfig& config_;
  const std::vector<RunConfig> shapes_;
  Vae vae_;
  LatentStatistics statistics_;
  DataParallel parallel_;
  AdamW optimiser_;
  std::unique_ptr<Adversary> adversary_;  // none where the config has none
  Schedule schedule_;
  Tensor video_BCTHW_;    // of the batch that was prepared
  bool counted_ = false;  // statistics_ are of at least one step
  Tensor last_video_;     // of the step before, its first clip: what a preview shows
};

}  // namespace cleared::train
