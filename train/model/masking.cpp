#include "train/model/masking.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <ATen/TensorOperators.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/nonzero.h>
#include <ATen/ops/where.h>

#include "ledger/base/check.h"

namespace cleared::train {
namespace {

// `some` of the numbers below `all`, every set of them as likely as any other; takes `all` numbers.
std::vector<bool> choose(int64_t some, int64_t all, std::vector<double>::const_iterator numbers) {
  std::vector<int64_t> order(static_cast<size_t>(all));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return numbers[a] < numbers[b]; });
  std::vector<bool> chosen(static_cast<size_t>(all));
  for (int64_t i = 0; i < some; ++i)
    chosen[static_cast<size_t>(order[static_cast<size_t>(i)])] = true;
  return chosen;
}

}  // namespace

std::vector<bool> hidden_tokens(int64_t count, const MaskingOptions& options, Draw draw) {
  CLEARED_CHECK(options.share > 0 && options.share < 1 && options.span >= 1);
  std::vector<bool> hidden;
  if (count == 0) return hidden;
  draw.purpose = Purpose::mask;
  const auto near = [](double x, int64_t most) {
    return std::clamp<int64_t>(std::llround(x), 1, most);
  };
  const int64_t tokens = near(options.share * static_cast<double>(count), count);
  const int64_t spans = near(static_cast<double>(tokens) / options.span, tokens);
  // What is hidden is cut at spans - 1 of the tokens - 1 places between its tokens; the spans then
  // lie among the tokens that are seen.
  const int64_t places = count - tokens + spans;
  const auto numbers = uniform(draw, static_cast<size_t>(tokens - 1 + places));
  const auto cuts = choose(spans - 1, tokens - 1, numbers.begin());
  const auto is_span = choose(spans, places, numbers.begin() + tokens - 1);
  size_t next = 0;  // hidden token
  for (const bool span : is_span) {
    hidden.push_back(span);
    while (span && next < cuts.size() && !cuts[next++]) hidden.push_back(true);
  }
  CLEARED_CHECK(hidden.size() == static_cast<size_t>(count));
  return hidden;
}

Tensor hide(const Tensor& tokens_BL, const MaskingOptions& options,
            const std::vector<Draw>& draws) {
  const int64_t length = tokens_BL.size(1);
  Tensor hidden_BL = at::empty_like(tokens_BL, at::kBool);
  const int64_t* token = tokens_BL.const_data_ptr<int64_t>();
  bool* hidden = hidden_BL.mutable_data_ptr<bool>();
  for (const Draw& draw : draws) {
    const int64_t count = std::find(token, token + length, kPaddingToken) - token;
    const auto which = hidden_tokens(count, options, draw);
    std::fill(std::copy(which.begin(), which.end(), hidden), hidden + length, false);
    token += length, hidden += length;
  }
  return hidden_BL;
}

MaskedText::MaskedText(const TextConfig& config, uint64_t seed)
    : config_(config),
      parameters_(seed),
      text_(config, parameters_, "text."),
      token_N_(parameters_.normal("masking.token", {config.dim}, 1.0)),
      bias_V_(parameters_.constant("masking.bias", {config.vocabulary}, 0)),
      head_(parameters_.linear("masking.head", config.dim, config.dim)) {}

Tensor MaskedText::loss(const Tensor& tokens_BL, const Tensor& hidden_BL) const {
  const Tensor seen = at::where(hidden_BL.unsqueeze(2), token_N_, text_.embed(tokens_BL));
  const Tensor states = text_.encode(seen).flatten(0, 1);
  const Tensor rows = at::nonzero(hidden_BL.flatten()).flatten();
  const Tensor said = head_(at::index_select(states, 0, rows));
  // An embedding is as long as the root of its width, and so is a state.
  const double scale = 1 / std::sqrt(static_cast<double>(config_.dim));
  const Tensor logits = at::linear(said * scale, text_.embedding(), bias_V_);
  const Tensor target = at::index_select(tokens_BL.flatten(), 0, rows);
  const Tensor errors = at::cross_entropy_loss(logits, target, {}, at::Reduction::None);
  const Tensor each_BL =
      hidden_BL.to(at::kFloat) / hidden_BL.sum(1, true).clamp_min(1) / tokens_BL.size(0);
  return (errors * at::index_select(each_BL.flatten(), 0, rows)).sum();
}

int64_t MaskedText::parameter_count() const {
  int64_t count = 0;
  for (const auto& [name, tensor] : parameters()) count += tensor.numel();
  return count;
}

void MaskedText::to(at::Device device) {
  for (const auto& [name, tensor] : parameters()) tensor.set_data(tensor.detach().to(device));
}

}  // namespace cleared::train
