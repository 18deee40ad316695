// What is trained as one: the transformer and the text encoder. Parameter names are those of
// Dit, and "text." before those of TextEncoder. One thread changes it at a time.
#pragma once

#include <cstdint>
#include <memory>

#include "train/model/dit.h"
#include "train/model/tensor.h"
#include "train/model/text.h"

namespace cleared::train {

struct ModelConfig {
  DitConfig dit;
  int64_t text_layers = 2;
  int64_t vocabulary = kVocabulary;
};

class Model {
 public:
  // Weights are a function of (config, seed). Error{config} when the config makes no sense.
  Model(const ModelConfig& config, uint64_t seed);

  // The states of captions tokens_BL (text.h).
  Tensor read(const Tensor& tokens_BL) const;
  // Velocity of z_BCTHW at t_B under captions of these states, in the shape of z.
  Tensor velocity(const Tensor& z_BCTHW, const Tensor& t_B, const Tensor& states_BLN) const;

  const TensorMap& parameters() const { return parameters_.all(); }
  int64_t parameter_count() const;
  const ModelConfig& config() const { return config_; }

  // Moves weights and tables in place; call before anything else refers to them.
  void to(at::Device device);

 private:
  ModelConfig config_;
  Parameters parameters_;
  Dit dit_;
  TextEncoder text_;
};

}  // namespace cleared::train
