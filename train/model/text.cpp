#include "train/model/text.h"

#include <algorithm>
#include <tuple>

#include <ATen/TensorOperators.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/full.h>

#include "ledger/base/error.h"
#include "train/model/ops.h"

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

int64_t heads_of_text(int64_t dim) {
  return std::max<int64_t>(1, dim / 64);
}

Tensor TextEncoder::embed(const Tensor& tokens_BL) const {
  return at::embedding(embedding_, tokens_BL);
}

Tensor TextEncoder::encode(const Tensor& embedded_BLN) const {
  Tensor x_BLN = embedded_BLN + position_, normed;
  Branch branch;
  const at::ScalarType type = config_.precision;
  for (const Layer& layer : layers_) {
    std::tie(x_BLN, normed) =
        residual_norm(x_BLN, branch, {.scale = layer.norm1_weight, .shift = layer.norm1_bias},
                      kTextNormEps, type);
    branch = {.value_BSN = attend(layer, normed), .bias_N = layer.o.bias, .gate_BN = {}};
    std::tie(x_BLN, normed) =
        residual_norm(x_BLN, branch, {.scale = layer.norm2_weight, .shift = layer.norm2_bias},
                      kTextNormEps, type);
    const Tensor hidden = gelu(layer.up.product(normed), layer.up.bias);
    branch = {.value_BSN = layer.down.product(hidden), .bias_N = layer.down.bias, .gate_BN = {}};
  }
  return residual_norm(x_BLN, branch, {.scale = norm_weight_, .shift = norm_bias_}, kTextNormEps,
                       type)
      .second.to(at::kFloat);
}

Tensor TextEncoder::attend(const Layer& layer, const Tensor& x_BLN) const {
  const auto qkv =
      split_heads(layer.qkv.product(x_BLN), layer.qkv.bias,
                  {.heads = config_.heads, .norm_D = std::vector<Tensor>(3), .rope_SD = {}});
  return layer.o.product(attention(qkv[0], qkv[1], qkv[2]));
}

}  // namespace cleared::train
