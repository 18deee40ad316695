#include "train/model/masking.h"

#include <cmath>
#include <set>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include "train/codec.h"
#include "train/model/model.h"
#include "train/text_states.h"

namespace cleared::train {
namespace {

Draw draw_of(uint64_t sample, uint64_t step = 0) {
  return {.seed = 3, .step = step, .sample = sample, .purpose = Purpose::mask};
}

int64_t spans_of(const std::vector<bool>& hidden) {
  int64_t spans = 0;
  for (size_t i = 0; i < hidden.size(); ++i) spans += hidden[i] && (i == 0 || !hidden[i - 1]);
  return spans;
}

// So many as the share says, in no more spans than their length says, at every place as often.
TEST(Masking, HidesSpansOfSoManyTokens) {
  const struct {
    int64_t count;
    MaskingOptions options;
    int64_t hidden, spans;
  } rows[] = {{0, {.share = 0.3, .span = 3}, 0, 0},     {1, {.share = 0.3, .span = 3}, 1, 1},
              {2, {.share = 0.9, .span = 1}, 2, 2},     {20, {.share = 0.3, .span = 3}, 6, 2},
              {64, {.share = 0.01, .span = 8}, 1, 1},   {512, {.share = 0.5, .span = 4}, 256, 64},
              {10, {.share = 0.999, .span = 64}, 10, 1}};
  for (const auto& row : rows) {
    for (uint64_t sample = 0; sample < 50; ++sample) {
      const auto hidden = hidden_tokens(row.count, row.options, draw_of(sample));
      ASSERT_EQ(hidden.size(), static_cast<size_t>(row.count));
      EXPECT_EQ(std::count(hidden.begin(), hidden.end(), true), row.hidden);
      EXPECT_LE(spans_of(hidden), row.spans);  // two may lie side by side
      EXPECT_GE(spans_of(hidden), row.hidden > 0 ? 1 : 0);
    }
  }
  constexpr int kDraws = 4000;
  std::vector<int> times(20), lengths(7);
  for (uint64_t sample = 0; sample < kDraws; ++sample) {
    const auto hidden = hidden_tokens(20, {.share = 0.3, .span = 3}, draw_of(sample));
    for (size_t i = 0; i < 20; ++i) times[i] += hidden[i];
    const auto first = std::find(hidden.begin(), hidden.end(), true);
    ++lengths[static_cast<size_t>(std::find(first, hidden.end(), false) - first)];
  }
  // Of 15 places for two spans one at the edge is taken as often as any: 2 in 16 begin there.
  EXPECT_NEAR(times[0], kDraws * 2.0 / 16, 5 * std::sqrt(kDraws / 8.0));
  EXPECT_NEAR(times[19], kDraws * 2.0 / 16, 5 * std::sqrt(kDraws / 8.0));
  for (size_t i = 3; i < 17; ++i) EXPECT_NEAR(times[i], kDraws * 0.33, kDraws * 0.05) << i;
  for (size_t i = 1; i <= 6; ++i) EXPECT_GT(lengths[i], kDraws / 20) << i;
}

TEST(Masking, IsAFunctionOfSeedStepAndSlot) {
  const MaskingOptions options{.share = 0.3, .span = 3};
  const auto one = hidden_tokens(40, options, draw_of(5, 7));
  EXPECT_EQ(hidden_tokens(40, options, draw_of(5, 7)), one);
  std::set<std::vector<bool>> others = {one};
  others.insert(hidden_tokens(40, options, draw_of(6, 7)));
  others.insert(hidden_tokens(40, options, draw_of(5, 8)));
  others.insert(hidden_tokens(40, options, {.seed = 4, .step = 7, .sample = 5}));
  EXPECT_EQ(others.size(), 4U);
  // Beside others or alone, and whatever a purpose was given.
  const Tensor tokens = tokenize({"a clapper board", "", "rain"}, 20);
  const Tensor all = hide(tokens, options, {draw_of(0), draw_of(1), draw_of(2)});
  EXPECT_TRUE(at::equal(all[2], hide(tokens.narrow(0, 2, 1), options, {draw_of(2)})[0]));
  EXPECT_FALSE(at::logical_and(all, tokens == kPaddingToken).any().item<bool>());
  EXPECT_FALSE(all[1].any().item<bool>());
}

const TextConfig kSmall = {.length = 20, .dim = 24, .layers = 2, .heads = 2};

// The encoder and its loss as one would write them down, in double.
class Reference {
 public:
  explicit Reference(const TensorMap& parameters) {
    for (const auto& [name, tensor] : parameters) {
      p_[name] = tensor.detach().to(at::kDouble).requires_grad_();
    }
  }
  Tensor loss(const Tensor& tokens_BL, const Tensor& hidden_BL) const {
    const Tensor embedding = p_.at("text.embedding");
    Tensor x =
        at::where(hidden_BL.unsqueeze(2), p_.at("masking.token"), embedding.index({tokens_BL})) +
        p_.at("text.position");
    for (int64_t i = 0; i < kSmall.layers; ++i) {
      const std::string at = "text.layers." + std::to_string(i) + ".";
      x = x + linear(at + "o", attention(linear(at + "qkv", norm(at + "n1", x))));
      x = x + linear(at + "f2", at::gelu(linear(at + "f1", norm(at + "n2", x)), "tanh"));
    }
    const Tensor said = linear("masking.head", norm("text.norm", x));
    const Tensor logits = at::matmul(said, embedding.t()) / std::sqrt(24.0) + p_.at("masking.bias");
    const Tensor log_p = at::log_softmax(logits, -1).gather(2, tokens_BL.unsqueeze(2)).squeeze(2);
    Tensor sum = at::zeros({}, at::kDouble);
    for (int64_t b = 0; b < tokens_BL.size(0); ++b) {
      const Tensor mask = hidden_BL[b];
      if (mask.any().item<bool>()) sum = sum - log_p[b].masked_select(mask).mean();
    }
    return sum / tokens_BL.size(0);
  }
  const TensorMap& parameters() const { return p_; }

 private:
  Tensor linear(const std::string& name, const Tensor& x) const {
    return at::linear(x, p_.at(name + ".weight"), p_.at(name + ".bias"));
  }
  Tensor norm(const std::string& name, const Tensor& x) const {
    return at::layer_norm(x, {x.size(-1)}, p_.at(name + ".weight"), p_.at(name + ".bias"), 1e-5);
  }
  static Tensor attention(const Tensor& qkv_BLN) {
    const auto parts = qkv_BLN.chunk(3, -1);
    const auto heads = [](const Tensor& x) {
      return x.reshape({x.size(0), x.size(1), 2, -1}).transpose(1, 2);
    };
    const Tensor q = heads(parts[0]), k = heads(parts[1]), v = heads(parts[2]);
    const double scale = 1 / std::sqrt(static_cast<double>(q.size(-1)));
    const Tensor y = at::matmul(at::softmax(at::matmul(q, k.transpose(2, 3)) * scale, -1), v);
    return y.transpose(1, 2).flatten(2);
  }
  TensorMap p_;
};

TEST(Masking, LossAndGradientsAreThoseOfTheReference) {
  const MaskedText text(kSmall, 11);
  const Reference reference(text.parameters());
  const Tensor tokens = tokenize({"a red car", "", "rain on a tin roof", "x"}, kSmall.length);
  const Tensor hidden =
      hide(tokens, {.share = 0.4, .span = 2}, {draw_of(0), draw_of(1), draw_of(2), draw_of(3)});
  const Tensor loss = text.loss(tokens, hidden), expected = reference.loss(tokens, hidden);
  EXPECT_NEAR(loss.item<double>(), expected.item<double>(), 1e-5 * expected.item<double>());
  loss.backward();
  expected.backward();
  for (const auto& [name, tensor] : reference.parameters()) {
    const Tensor mine = text.parameters().at(name).grad().to(at::kDouble);
    const double off = (mine - tensor.grad()).norm().item<double>();
    EXPECT_GT(tensor.grad().norm().item<double>(), 0) << name;
    EXPECT_LT(off, 2e-5 * tensor.grad().norm().item<double>()) << name;
  }
}

// Captions that hide nothing say nothing, and no gradient is missing.
TEST(Masking, NothingHiddenIsNothingLearned) {
  const MaskedText text(kSmall, 11);
  const Tensor tokens = tokenize({"", ""}, kSmall.length);
  const Tensor loss = text.loss(tokens, hide(tokens, {}, {draw_of(0), draw_of(1)}));
  EXPECT_EQ(loss.item<double>(), 0);
  loss.backward();
  for (const auto& [name, tensor] : text.parameters()) {
    ASSERT_TRUE(tensor.grad().defined()) << name;
    EXPECT_EQ(tensor.grad().abs().max().item<double>(), 0) << name;
  }
}

// What it learns is under the names, and from the seed the values, that a model has.
TEST(Masking, ItsEncoderIsThatOfAModel) {
  ModelConfig config;
  config.dit.text_len = kSmall.length;
  config.dit.text_dim = 128;
  const Model model(config, 5);
  TextConfig alone{.length = kSmall.length, .dim = 128, .layers = 2, .heads = heads_of_text(128)};
  const MaskedText text(alone, 5);
  size_t same = 0;
  for (const auto& [name, tensor] : model.parameters()) {
    if (!name.starts_with("text.")) continue;
    EXPECT_TRUE(at::equal(tensor, text.parameters().at(name))) << name;
    ++same;
  }
  EXPECT_EQ(text.parameters().size(), same + 4);
}

ModelConfig tiny_model() {
  ModelConfig config;
  config.dit.dim = 24;
  config.dit.heads = 1;
  config.dit.layers = 1;
  config.dit.ffn = 24;
  config.dit.text_len = 16;
  config.dit.text_dim = 16;
  return config;
}

const Model& frozen(const Model& model) {
  for (const auto& [name, tensor] : model.parameters()) {
    if (name.starts_with("text.")) Tensor(tensor).requires_grad_(false);
  }
  return model;
}

// Whichever captions come with it, kept before or not: the same bits.
TEST(TextStates, AreTheEncodersAndComputedOnce) {
  const Model model(tiny_model(), 1);
  const Bpe bytes({});
  TextStates states(frozen(model), bytes), none(model, bytes, 0);
  const Tensor first = states.of({"a", "b", "a"});
  EXPECT_EQ(states.kept(), 2U);
  EXPECT_TRUE(at::equal(first[0], first[2]));
  EXPECT_TRUE(at::allclose(first, model.read(tokenize({"a", "b", "a"}, 16)), 1e-5, 1e-6));
  EXPECT_TRUE(at::equal(states.of({"c", "b"})[1], first[1]));
  EXPECT_TRUE(at::equal(none.of({"a", "b", "a"}), first));
  EXPECT_EQ(none.kept(), 0U);
  // What was kept is what is handed out.
  const at::NoGradGuard no_grad;
  Tensor(model.parameters().at("text.norm.bias")).add_(1);
  EXPECT_TRUE(at::equal(states.of({"a", "b", "a"}), first));
  EXPECT_FALSE(at::equal(none.of({"a", "b", "a"}), first));
}

TEST(TextStates, KeepsNoMoreThanItHasRoomFor) {
  const Model model(tiny_model(), 1);
  const Bpe bytes({});
  TextStates states(frozen(model), bytes, 2 * 16 * 16 * sizeof(float));
  states.of({"a", "b", "c", "d"});
  EXPECT_EQ(states.kept(), 2U);
}

TEST(TextStates, AreNoneOfAnEncoderThatLearns) {
  const Model model(tiny_model(), 1);
  const Bpe bytes({});
  EXPECT_DEATH(TextStates(model, bytes), "requires_grad");
}

}  // namespace
}  // namespace cleared::train
