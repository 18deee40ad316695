#include "train/model/text.h"

#include <algorithm>
#include <cmath>

#include <ATen/TensorOperators.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/full.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/scaled_dot_product_attention.h>

#include "ledger/base/error.h"

namespace cleared::train {
namespace {

constexpr double kTextNormEps = 1e-5;

// The longest prefix of at most `limit` bytes that does not end inside a code point.
size_t whole_code_points(const std::string& text, size_t limit) {
  if (text.size() <= limit) return text.size();
  size_t end = limit;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return end;
}

}  // namespace

Tensor tokenize(const std::vector<std::string>& captions, int64_t length) {
  Tensor tokens_BL =
      at::full({static_cast<int64_t>(captions.size()), length}, kPaddingToken, at::kLong);
  int64_t* row = tokens_BL.mutable_data_ptr<int64_t>();
  for (const std::string& caption : captions) {
    const size_t end = whole_code_points(caption, static_cast<size_t>(length));
    std::transform(caption.begin(), caption.begin() + static_cast<std::ptrdiff_t>(end), row,
                   [](char c) { return static_cast<unsigned char>(c); });
    row += length;
  }
  return tokens_BL;
}

Tensor tokenize(const std::vector<std::string>& captions, int64_t length, const Bpe& bpe) {
  if (bpe.pairs().empty()) return tokenize(captions, length);
  Tensor tokens_BL =
      at::full({static_cast<int64_t>(captions.size()), length}, kPaddingToken, at::kLong);
  int64_t* row = tokens_BL.mutable_data_ptr<int64_t>();
  for (const std::string& caption : captions) {
    const auto tokens = bpe.encode(caption);
    std::copy_n(tokens.begin(), std::min(tokens.size(), static_cast<size_t>(length)), row);
    row += length;
  }
  return tokens_BL;
}

void TextConfig::check() const {
  if (length <= 0 || dim <= 0 || layers <= 0 || heads <= 0 || dim % heads != 0) {
    throw Error(Errc::config, "model: text length, layers and heads must be positive, and the ",
                "text width a multiple of the heads");
  }
}

TextEncoder::TextEncoder(const TextConfig& config, Parameters& p, const std::string& prefix)
    : config_(config) {
  config.check();
  const int64_t n = config.dim;
  embedding_ = p.normal(prefix + "embedding", {config.vocabulary, n}, 1.0);
  position_ = p.normal(prefix + "position", {config.length, n}, 0.1);
  for (int64_t i = 0; i < config.layers; ++i) {
    const std::string at = prefix + "layers." + std::to_string(i);
    layers_.push_back({.norm1_weight = p.constant(at + ".n1.weight", {n}, 1),
                       .norm1_bias = p.constant(at + ".n1.bias", {n}, 0),
                       .norm2_weight = p.constant(at + ".n2.weight", {n}, 1),
                       .norm2_bias = p.constant(at + ".n2.bias", {n}, 0),
                       .qkv = p.linear(at + ".qkv", n, 3 * n),
                       .o = p.linear(at + ".o", n, n),
                       .up = p.linear(at + ".f1", n, 4 * n),
                       .down = p.linear(at + ".f2", 4 * n, n)});
  }
  norm_weight_ = p.constant(prefix + "norm.weight", {n}, 1);
  norm_bias_ = p.constant(prefix + "norm.bias", {n}, 0);
}

Tensor TextEncoder::forward(const Tensor& tokens_BL) const {
  const auto norm = [&](const Tensor& x, const Tensor& weight, const Tensor& bias) {
    return at::layer_norm(x, {config_.dim}, weight, bias, kTextNormEps);
  };
  const auto split = [&](const Tensor& x_BLN) {
    return x_BLN.unflatten(-1, {config_.heads, -1}).transpose(1, 2);
  };
  Tensor x_BLN = at::embedding(embedding_, tokens_BL) + position_;
  for (const Layer& layer : layers_) {
    const auto qkv = layer.qkv(norm(x_BLN, layer.norm1_weight, layer.norm1_bias)).chunk(3, -1);
    const Tensor y_BHLD =
        at::scaled_dot_product_attention(split(qkv[0]), split(qkv[1]), split(qkv[2]));
    x_BLN = x_BLN + layer.o(y_BHLD.transpose(1, 2).flatten(2));
    const Tensor hidden =
        at::gelu(layer.up(norm(x_BLN, layer.norm2_weight, layer.norm2_bias)), "tanh");
    x_BLN = x_BLN + layer.down(hidden);
  }
  return norm(x_BLN, norm_weight_, norm_bias_);
}

}  // namespace cleared::train
