#include "train/model/text.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

#include "ledger/base/error.h"

namespace cleared::train {
namespace {

std::vector<int64_t> tokens_of(const std::string& caption, int64_t length) {
  const Tensor row = tokenize({caption}, length)[0];
  return {row.const_data_ptr<int64_t>(), row.const_data_ptr<int64_t>() + length};
}

TEST(Text, TokensAreBytesThenPadding) {
  constexpr int64_t P = kPaddingToken;
  const std::tuple<std::string, int64_t, std::vector<int64_t>> rows[] = {
      {"", 3, {P, P, P}},
      {"ab", 3, {'a', 'b', P}},
      {"abcd", 3, {'a', 'b', 'c'}},
      {"\xC3\xA9t", 3, {0xC3, 0xA9, 't'}},       // é
      {"ab\xC3\xA9", 3, {'a', 'b', P}},          // é would be cut in two
      {"a\xF0\x9F\x8E\xAC", 4, {'a', P, P, P}},  // a clapper board
      {std::string("\0x", 2), 3, {0, 'x', P}},
      {"\xA9\xA9\xA9\xA9", 2, {P, P}},  // no code point starts here
  };
  for (const auto& [caption, length, tokens] : rows) {
    EXPECT_EQ(tokens_of(caption, length), tokens) << caption;
  }
}

TEST(Text, EncoderReadsBothWaysAndTellsCaptionsApart) {
  Parameters parameters(1);
  const TextEncoder encoder({.length = 8, .dim = 24, .layers = 2, .heads = 2}, parameters, "text.");
  const Tensor states = encoder.forward(tokenize({"red car", "red cat", ""}, 8));
  EXPECT_EQ(states.sizes(), (std::vector<int64_t>{3, 8, 24}));
  EXPECT_FALSE(at::allclose(states[0][0], states[1][0]));  // the first state sees the last letter
  EXPECT_FALSE(at::allclose(states[0], states[2]));
  EXPECT_TRUE(parameters.all().contains("text.layers.1.qkv.weight"));
}

TEST(Text, RefusesConfigsThatMakeNoSense) {
  for (const TextConfig& config : {TextConfig{.length = 0}, TextConfig{.dim = 0},
                                   TextConfig{.dim = 10, .heads = 3}, TextConfig{.heads = 0}}) {
    EXPECT_THROW(config.check(), Error);
  }
}

}  // namespace
}  // namespace cleared::train
