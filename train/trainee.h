// The learner of stage TRANSFORMER: model, codec, optimiser and the reducer that joins the ranks'
// gradients.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "train/codec.h"
#include "train/data/bpe.h"
#include "train/data/config.h"
#include "train/learner.h"
#include "train/model/dist.h"
#include "train/model/flow.h"
#include "train/model/klt.h"
#include "train/model/model.h"
#include "train/model/optim.h"
#include "train/text_states.h"

namespace cleared::train {

// Fits the codec to frames of cleared samples; in the order given, for the sums are of doubles.
class CodecFit {
 public:
  explicit CodecFit(const RunConfig& config)
      : shapes_(by_shape(config)), whiten_(config.codec().whiten()) {}
  void add(const Item& item, size_t shape);
  TensorMap finish() const { return fit_.finish(kKltChannels, whiten_).state(); }

 private:
  std::vector<RunConfig> shapes_;
  double whiten_;
  KltFit fit_;
};

class Trainee : public Learner {
 public:
  Trainee(World& world, const RunConfig& config, const CheckpointTensors& tensors);

  void prepare(const Batch& batch) override;
  Learned learn(const Batch& batch, uint32_t first_slot) override;
  CheckpointTensors tensors() const override;
  Preview preview(CheckpointTensors copied) override;
  int64_t parameter_count() const override { return model_.parameter_count(); }

 private:
  Trainee(World& world, const RunConfig& config, const CheckpointTensors& tensors,
          const TensorMap& codec);

  FlowBatch micro_batch(const Batch& batch, uint32_t first_slot, size_t first, size_t count);

  World& world_;
  const RunConfig& config_;
  const std::vector<RunConfig> shapes_;
  std::unique_ptr<Codec> codec_;
  const TensorMap pairs_;  // of the text, as a checkpoint keeps them; none: bytes
  const Bpe bpe_;
  const std::string codec_name_;
  Tensor latent_BCTHW_;  // of the batch that was prepared
  Model model_;
  std::optional<TextStates> states_;  // where the text encoder does not learn
  DataParallel parallel_;
  AdamW optimiser_;
  Schedule schedule_;
  std::optional<Model> averaged_;  // of previews alone: made when the first one is
};

}  // namespace cleared::train
