// How a text encoder learns from captions alone: spans of a caption's tokens are hidden, and it
// says from what is left which they were. Sources: Joshi and others, SpanBERT, 2020 (spans); Raffel
// and others, Exploring the Limits of Transfer Learning, 2020 (how many, cut at random); Press and
// Wolf, Using the Output Embedding, 2017 (the embedding says what a token is worth at both ends).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "train/model/parameters.h"
#include "train/model/random.h"
#include "train/model/text.h"

namespace cleared::train {

struct MaskingOptions {
  double share = 0.3;  // (0, 1): of a caption's tokens, at least one
  double span = 3;     // at least 1: tokens in a row, on average
};

// Which of a caption's `count` tokens are hidden, a function of the draw alone: so many spans that
// they are of `span` tokens, at places and of lengths of which all are equally likely.
std::vector<bool> hidden_tokens(int64_t count, const MaskingOptions& options, Draw draw);

// hidden_BL, bool, of captions tokens_BL on the CPU: one draw each. Padding is never hidden.
Tensor hide(const Tensor& tokens_BL, const MaskingOptions& options, const std::vector<Draw>& draws);

// The encoder, under the names that it has in a Model, and what only this needs ("masking."): what
// stands for a hidden token, and a layer between a state and the embedding it is compared with.
class MaskedText {
 public:
  MaskedText(const TextConfig& config, uint64_t seed);  // weights are a function of both

  // Mean over the captions of the mean over the hidden tokens of -log p(token), in nats: a caption
  // that hides none counts as 0. A scalar to call backward() on.
  Tensor loss(const Tensor& tokens_BL, const Tensor& hidden_BL) const;

  const TensorMap& parameters() const { return parameters_.all(); }
  int64_t parameter_count() const;
  void to(at::Device device);  // in place, before anything else refers to them

 private:
  TextConfig config_;
  Parameters parameters_;
  TextEncoder text_;
  Tensor token_N_, bias_V_;
  Linear head_;
};

}  // namespace cleared::train
