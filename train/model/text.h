// Captions to states that the transformer attends to: a tokenizer over UTF-8 bytes and a small
// bidirectional encoder, trained together with the transformer, or before it
// (train/model/masking.h). Nothing here was learned elsewhere.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "train/data/bpe.h"
#include "train/model/parameters.h"
#include "train/model/tensor.h"

namespace cleared::train {

inline constexpr int64_t kPaddingToken = 256;  // 0 to 255 are bytes
inline constexpr int64_t kVocabulary = 257;

// tokens_BL, int64. Longer captions are cut at the end of a code point. An empty caption is all
// padding: the "no caption" of classifier-free guidance.
Tensor tokenize(const std::vector<std::string>& captions, int64_t length);
// The same in tokens of `bpe`: longer captions are cut after that many.
Tensor tokenize(const std::vector<std::string>& captions, int64_t length, const Bpe& bpe);

struct TextConfig {
  int64_t length = 64;
  int64_t dim = 192;  // a multiple of heads
  int64_t layers = 2;
  int64_t heads = 3;                      // heads_of_text(dim)
  int64_t vocabulary = kVocabulary;       // bytes and padding, and pairs after them
  at::ScalarType precision = at::kFloat;  // of products and attention, as DitConfig's
  void check() const;                     // Error{config}
};

// One for each 64 of the width.
int64_t heads_of_text(int64_t dim);

class TextEncoder {
 public:
  TextEncoder(const TextConfig& config, Parameters& parameters, const std::string& prefix);

  // tokens_BL to states_BLN. Padding is a token like any other, so that the empty caption has
  // states of its own and no position needs a mask.
  Tensor forward(const Tensor& tokens_BL) const { return encode(embed(tokens_BL)); }

  // Its two halves: what stands for each token, before anything says where it is; and the rest.
  Tensor embed(const Tensor& tokens_BL) const;
  Tensor encode(const Tensor& embedded_BLN) const;
  const Tensor& embedding() const { return embedding_; }  // of each token of the vocabulary

 private:
  struct Layer {
    Tensor norm1_weight, norm1_bias, norm2_weight, norm2_bias;
    Linear qkv, o, up, down;
  };
  // Output projections leave their bias to the next norm.
  Tensor attend(const Layer& layer, const Tensor& x_BLN) const;

  TextConfig config_;
  Tensor embedding_, position_, norm_weight_, norm_bias_;
  std::vector<Layer> layers_;
};

}  // namespace cleared::train
