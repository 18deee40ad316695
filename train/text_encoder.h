// The learner of stage TEXT_ENCODER: the text encoder from captions alone, spans of which are
// hidden (train/model/masking.h). Its averaged weights, and its pairs, are what runs of the
// transformer with `text.trained` begin with. No frame is decoded for it.
#pragma once

#include "train/data/bpe.h"
#include "train/learner.h"
#include "train/model/dist.h"
#include "train/model/masking.h"
#include "train/model/optim.h"

namespace cleared::train {

class TextTrainee : public Learner {
 public:
  TextTrainee(World& world, const RunConfig& config, const CheckpointTensors& tensors);

  void prepare(const Batch&) override {}
  Learned learn(const Batch& batch, uint32_t first_slot) override;
  CheckpointTensors tensors() const override;
  Preview preview(CheckpointTensors) override { return {}; }
  int64_t parameter_count() const override { return text_.parameter_count(); }

 private:
  Tensor loss(const Batch& batch, uint64_t first_slot, size_t first, size_t count) const;

  World& world_;
  const RunConfig& config_;
  const TensorMap pairs_;  // of the text, as a checkpoint keeps them; none: bytes
  const Bpe bpe_;
  MaskedText text_;
  DataParallel parallel_;
  AdamW optimiser_;
  Schedule schedule_;
};

}  // namespace cleared::train
