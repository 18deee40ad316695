#include "train/text_encoder.h"

#include <ATen/core/Tensor.h>

#include "train/codec.h"
#include "train/config.pb.h"
#include "train/setup.h"

namespace cleared::train {
namespace {

MaskedText build_text(World& world, const RunConfig& config, const TensorMap& weights) {
  MaskedText text(text_config(config), config.seed());
  text.to(world.device());
  if (!weights.empty()) copy_tensors(weights, text.parameters(), "checkpoint");
  return text;
}

}  // namespace

TextTrainee::TextTrainee(World& world, const RunConfig& config, const CheckpointTensors& tensors)
    : world_(world),
      config_(config),
      pairs_(share_codec(world, config, tensors.codec)),
      bpe_(read_pairs(pairs_)),
      text_(build_text(world, config, tensors.model)),
      parallel_(world, text_.parameters(), gradient_options(config)),
      optimiser_(share_optimiser(world, adamw_options(config), text_.parameters(), tensors)),
      schedule_(schedule_of(config)) {}

Learned TextTrainee::learn(const Batch& batch, uint32_t first_slot) {
  return descend(batch, parallel_, optimiser_, schedule_,
                 [&](size_t first, size_t count) { return loss(batch, first_slot, first, count); });
}

// What is hidden is drawn by slot, so it does not depend on who has the slot.
Tensor TextTrainee::loss(const Batch& batch, uint64_t first_slot, size_t first,
                         size_t count) const {
  std::vector<std::string> captions;
  std::vector<Draw> draws;
  for (size_t i = first; i < first + count; ++i) {
    captions.push_back(batch.items[i].caption);
    draws.push_back({.seed = config_.seed(),
                     .step = batch.step,
                     .sample = first_slot + i,
                     .purpose = Purpose::mask});
  }
  const Tensor tokens_BL = tokenize(captions, config_.text().length(), bpe_);
  const RunConfig::Masking& masking = config_.masking();
  const Tensor hidden_BL =
      hide(tokens_BL, {.share = masking.share(), .span = masking.span()}, draws);
  return text_.loss(tokens_BL.to(world_.device()), hidden_BL.to(world_.device()));
}

CheckpointTensors TextTrainee::tensors() const {
  CheckpointTensors tensors;
  tensors.model = text_.parameters();
  tensors.codec = pairs_;
  split_optimiser_state(optimiser_.state(), tensors);
  return tensors;
}

}  // namespace cleared::train
