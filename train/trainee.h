// What learns: model, codec, optimiser and the reducer that joins the ranks' gradients. One thread
// per rank; every rank makes the same calls in the same order.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "train/checkpoint.h"
#include "train/data/loader.h"
#include "train/model/dist.h"
#include "train/model/klt.h"
#include "train/model/model.h"
#include "train/model/optim.h"
#include "train/sample.h"

namespace cleared::train {

// Fits the codec to frames of cleared samples; in the order given, for the sums are of doubles.
class CodecFit {
 public:
  explicit CodecFit(const RunConfig& config) : config_(config) {}
  void add(const Item& item);
  TensorMap finish() const { return fit_.finish().state(); }

 private:
  const RunConfig& config_;
  KltFit fit_;
};

struct Learned {
  double loss = 0;           // mean over all ranks, before the update
  double gradient_norm = 0;  // before clipping
  double learning_rate = 0;
  bool applied = false;  // false: the gradient was not finite, and nothing changed
};

class Trainee {
 public:
  // Rank 0 gives the codec, and the weights unless they come from the seed; the others are told.
  Trainee(World& world, const RunConfig& config, const CheckpointTensors& tensors);

  // One update from this rank's part of the step. Noise, times and left-out captions are functions
  // of (seed, step, slot), so they do not depend on how many ranks share the step.
  Learned learn(const Batch& batch, uint32_t first_slot);

  // For a checkpoint; they share storage with what learns.
  CheckpointTensors tensors() const;
  // A clip from the averaged weights.
  Gif preview();
  int64_t parameter_count() const { return model_.parameter_count(); }

 private:
  World& world_;
  const RunConfig& config_;
  KltCodec codec_;
  Model model_;
  DataParallel parallel_;
  AdamW optimiser_;
  Schedule schedule_;
  std::optional<Model> averaged_;  // made when the first preview is
};

}  // namespace cleared::train
