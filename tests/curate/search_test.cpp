#include "curate/search.h"

#include <algorithm>
#include <numeric>
#include <random>

#include <gtest/gtest.h>

namespace cleared::curate {
namespace {

std::mt19937_64& dice() {
  static std::mt19937_64 random(11);
  return random;
}
Pdq any() {
  Pdq out;
  for (uint8_t& byte : out) byte = static_cast<uint8_t>(dice()());
  return out;
}
Pdq changed(Pdq print, int bits) {
  std::array<size_t, 256> order;
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), dice());
  for (size_t i = 0; i < static_cast<size_t>(bits); ++i) {
    print[order[i] / 8] ^= static_cast<uint8_t>(1U << order[i] % 8);
  }
  return print;
}
std::vector<Near> one_by_one(const Pdq& query, const std::vector<Pdq>& base) {
  std::vector<Near> out;
  for (size_t i = 0; i < base.size(); ++i) {
    const int bits = distance(query, base[i]);
    if (bits <= kAlike) out.push_back({static_cast<uint32_t>(i), bits});
  }
  return out;
}

// Random fingerprints, shots whose frames drift, and the same one many times over; queries at every
// distance around the radius. The answer of each way is that of comparing one by one.
TEST(Search, FindsWhatComparingOneByOneFinds) {
  std::vector<Pdq> base;
  for (int i = 0; i < 6000; ++i) base.push_back(any());
  for (int i = 0; i < 6000; ++i) base.push_back(changed(base.back(), 3));
  for (int i = 0; i < 500; ++i) base.push_back(base[5]);
  std::vector<Pdq> queries;
  for (int bits = 0; bits <= 40; ++bits) {
    for (int i = 0; i < 6; ++i) queries.push_back(changed(base[dice()() % base.size()], bits));
  }
  const SearchRun run(base);
  SearchIndex index;
  for (const Pdq& print : base) index.add(print);
  EXPECT_EQ(index.size(), base.size());
  EXPECT_LT(index.size_bytes(), 400 * base.size());
  const auto all = near_of_all(queries, base);
  size_t found = 0;
  for (size_t q = 0; q < queries.size(); ++q) {
    const auto expected = one_by_one(queries[q], base);
    found += expected.size();
    std::vector<Near> out;
    run.near(queries[q], 0, out);
    EXPECT_EQ(out, expected);
    index.near(queries[q], out);
    EXPECT_EQ(out, expected);
    EXPECT_EQ(all[q], expected);
  }
  EXPECT_GT(found, 1000U);
}

// The worst case of the proof: the bits differ as evenly over the chunks as 31 can.
TEST(Search, MissesNothingAtTheEdgeOfEveryChunk) {
  constexpr int kFirst[] = {0, 24, 48, 72, 96, 120, 144, 167, 190, 213, 236, 256};
  const Pdq base = any();
  const SearchRun run({base});
  for (int saved = 0; saved < 11; ++saved) {  // the chunk that differs in one bit less
    Pdq query = base;
    for (int c = 0; c < 11; ++c) {
      const int bits = (c < 10 ? 3 : 2) - (c == saved ? 1 : 0);
      for (int i = 0; i < bits; ++i) {
        const auto bit = static_cast<size_t>(kFirst[c + 1] - 1 - i * 7);
        query[bit / 8] ^= static_cast<uint8_t>(1U << bit % 8);
      }
    }
    std::vector<Near> out;
    run.near(query, 0, out);
    ASSERT_EQ(out.size(), 1U) << saved;
    EXPECT_EQ(out[0].distance, kAlike);
    EXPECT_EQ(near_of_all(std::span(&query, 1), run.prints())[0], out);
  }
}

TEST(Search, OfNothingFindsNothing) {
  std::vector<Near> out = {{1, 1}};
  SearchIndex().near(any(), out);
  EXPECT_TRUE(out.empty());
  EXPECT_TRUE(near_of_all({}, {}).empty());
  const Pdq query = any();
  EXPECT_EQ(near_of_all(std::span(&query, 1), {}), std::vector<std::vector<Near>>(1));
}

}  // namespace
}  // namespace cleared::curate
