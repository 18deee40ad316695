// What a run trains, whichever stage it is of: the transformer with its text encoder
// (train/trainee.h), the video autoencoder (train/autoencoder.h) or the text encoder alone
// (train/text_encoder.h). One thread per rank; every rank makes the same calls in the same order.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "train/checkpoint.h"
#include "train/data/loader.h"
#include "train/model/dist.h"
#include "train/model/optim.h"
#include "train/sample.h"

namespace cleared::train {

class RunConfig;

struct Learned {
  double loss = 0;           // mean over all ranks, before the update
  double gradient_norm = 0;  // before clipping
  double learning_rate = 0;
  bool applied = false;  // false: the gradient was not finite, or an outlier, and nothing changed
  std::optional<double> discriminator_loss;  // of a step in which one learned
};

class Learner {
 public:
  virtual ~Learner() = default;

  // Takes what `learn` will need of the batch, and says what is wrong with it: Error{corrupt} for a
  // latent that is not of this run's codec. Before any rank computes, so that all can stop
  // together.
  virtual void prepare(const Batch& batch) = 0;

  // One update from this rank's part of the step. Noise, times and left-out captions are functions
  // of (seed, step, slot), so they do not depend on how many ranks share the step.
  virtual Learned learn(const Batch& batch, uint32_t first_slot) = 0;

  // For a checkpoint; they share storage with what learns.
  virtual CheckpointTensors tensors() const = 0;

  // Clips for people to look at, from the averaged weights of `copied`; none where the config asks
  // for none. What is returned touches nothing that learns, so that another thread may call it
  // while training goes on; the one before must have ended.
  virtual Preview preview(CheckpointTensors copied) = 0;

  virtual int64_t parameter_count() const = 0;
};

// An optimiser of `parameters` with rank 0's moments on every rank; there are none when the run
// starts from the seed. Averages of what is not among the parameters are left out.
AdamW share_optimiser(World& world, const AdamWOptions& options, const TensorMap& parameters,
                      const CheckpointTensors& tensors);

// A step of one network: the loss of each micro-batch, from `first` on so many of the batch's
// items, their gradients' mean over all ranks, and the update.
Learned descend(const Batch& batch, DataParallel& parallel, AdamW& optimiser,
                const Schedule& schedule,
                const std::function<Tensor(size_t first, size_t count)>& loss);

// Rank 0's codec, with the text's pairs, on every rank.
TensorMap share_codec(World& world, const RunConfig& config, TensorMap state);

// One tensor of frames of a whole batch, of which `config` is the shape's. Error{corrupt} where a
// sample has a latent and no video.
Tensor video_of(const Batch& batch, const RunConfig& config);

// By the stage of the config. Rank 0 gives the codec, and the weights unless they come from the
// seed; the others are told.
std::unique_ptr<Learner> make_learner(World& world, const RunConfig& config,
                                      const CheckpointTensors& tensors);

}  // namespace cleared::train
