#include "train/data/bpe.h"

#include <gtest/gtest.h>

namespace cleared::train {
namespace {

std::vector<std::string> repeated(std::vector<std::pair<std::string, int>> words) {
  std::vector<std::string> all;
  for (const auto& [word, count] : words) all.insert(all.end(), static_cast<size_t>(count), word);
  return all;
}

// The dictionary of the figure 1 of the paper (Sennrich and others, 2016), whose end-of-word mark
// is a full stop here: es, est and its mark, lo, low. Where pairs are equally frequent the smallest
// is first.
TEST(Bpe, LearnsThePairsOfThePaper) {
  const auto captions = repeated({{"low.", 5}, {"lower.", 2}, {"newest.", 6}, {"widest.", 3}});
  const Bpe bpe(learn_pairs(captions, 6));
  std::vector<std::string> learned;
  for (size_t i = 0; i < bpe.pairs().size(); ++i) {
    const uint32_t token = kFirstPair + static_cast<uint32_t>(i);
    learned.push_back(bpe.decode({&token, 1}));
  }
  EXPECT_EQ(learned, (std::vector<std::string>{"es", "t.", "est.", "lo", "low", "ew"}));
}

TEST(Bpe, EveryTextIsItsBytesAgain) {
  const std::vector<std::string> captions = {"a city at night", "a city by day", "night  rain"};
  const Bpe bpe(learn_pairs(captions, 40));
  for (const std::string text : {"a city at night", "", " ", "  a  city ", "Ünïcödé ☔ rain",
                                 "zzz\n\ttabs", "\xff\xfe raw"}) {
    const auto tokens = bpe.encode(text);
    EXPECT_EQ(bpe.decode(tokens), text);
    EXPECT_LE(tokens.size(), text.size());
  }
  EXPECT_LT(bpe.encode("a city at night").size(), 8u);
  EXPECT_EQ(Bpe({}).encode("ab"), (std::vector<uint32_t>{'a', 'b'}));
}

TEST(Bpe, DoesNotDependOnTheOrderOfCaptionsAndStopsWhenNothingRepeats) {
  const std::vector<std::string> one = {"blue car", "red car", "blue sky"};
  const std::vector<std::string> two = {"blue sky", "blue car", "red car"};
  EXPECT_EQ(learn_pairs(one, 100), learn_pairs(two, 100));
  EXPECT_LT(learn_pairs(one, 100).size(), 12u);
  EXPECT_TRUE(learn_pairs(std::vector<std::string>{"abc"}, 10).empty());
  // A pair of the same byte: overlapping ones are joined from the left.
  EXPECT_EQ(Bpe(learn_pairs(std::vector<std::string>{"aaaa", "aaaa"}, 1)).encode("aaaaa").size(),
            3u);
}

}  // namespace
}  // namespace cleared::train
