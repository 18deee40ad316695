// Byte-pair tokens learned from captions: the most frequent pair of neighbours becomes a token of
// its own, again and again (Sennrich, Haddow and Birch, Neural Machine Translation of Rare Words
// with Subword Units, 2016, over UTF-8 bytes as in GPT-2). Words keep the space before them and no
// pair crosses from one to the next, so that every text is its bytes again. Pure; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cleared::train {

// Tokens below this are bytes and padding (train/model/text.h); the first pair gets this number.
inline constexpr uint32_t kFirstPair = 257;

// Pairs by rank: pair i makes token kFirstPair + i.
using Pairs = std::vector<std::array<uint32_t, 2>>;

// At most `count` pairs, fewer when no pair is left that occurs twice. Of equally frequent ones the
// smallest comes first, so that the order of the captions does not matter.
Pairs learn_pairs(std::span<const std::string> captions, size_t count);

class Bpe {
 public:
  explicit Bpe(Pairs pairs);  // none: bytes
  std::vector<uint32_t> encode(std::string_view text) const;
  std::string decode(std::span<const uint32_t> tokens) const;  // padding and unknown ones: nothing
  const Pairs& pairs() const { return pairs_; }

 private:
  Pairs pairs_;
  std::map<std::array<uint32_t, 2>, uint32_t> rank_;
  std::vector<std::string> text_;  // of each pair's token
};

}  // namespace cleared::train
