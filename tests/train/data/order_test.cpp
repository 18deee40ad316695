#include "train/data/order.h"

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include <gtest/gtest.h>

#include "ledger/base/error.h"

namespace cleared::train {
namespace {

// Known answers: make_order.py beside this file, which has a Philox4x32-10 and a network of its
// own; run it with Python 3 and no packages.
TEST(Order, IsTheOneWrittenDownForASeed) {
  const Order order({.seed = 20, .samples = 12, .batch = 8, .first_step = 0});
  const std::vector<uint64_t> want = {2,  0, 9, 4, 1, 8,  5, 7, 3, 11, 6, 10,
                                      11, 0, 8, 2, 9, 10, 7, 5, 3, 1,  4, 6};
  std::vector<uint64_t> got;
  for (uint64_t step = 0; step < 3; ++step) {
    for (uint32_t slot = 0; slot < 8; ++slot) got.push_back(order.at(step, slot).sample);
  }
  EXPECT_EQ(got, want);
}

TEST(Order, TakesEverySampleExactlyOnceInEachEpoch) {
  for (const uint64_t samples : {1u, 2u, 3u, 5u, 12u, 16u, 17u, 1000u}) {
    const Order order({.seed = 3, .samples = samples, .batch = 1, .first_step = 0});
    for (uint64_t epoch = 0; epoch < 3; ++epoch) {
      std::set<uint64_t> seen;
      for (uint64_t i = 0; i < samples; ++i) {
        const auto [sample, passes] = order.at(epoch * samples + i, 0);
        EXPECT_LT(sample, samples);
        EXPECT_EQ(passes, epoch + 1);
        seen.insert(sample);
      }
      EXPECT_EQ(seen.size(), samples) << "epoch " << epoch;
    }
  }
}

TEST(Order, GoesBackFromASampleToItsPlace) {
  for (const uint64_t size : {1u, 2u, 12u, 100u, 65537u}) {
    const Permutation permutation(size, 99);
    for (uint64_t i = 0; i < std::min<uint64_t>(size, 500); ++i) {
      EXPECT_EQ(permutation.index_of(permutation.at(i, 5), 5), i) << "of " << size;
    }
  }
}

// Footage that may be taken back: nothing of it before a step that can be told, and then as often
// as all else.
TEST(Order, WhatComesLastComesLastAndNotLess) {
  const std::vector<std::vector<uint64_t>> kLast = {
      {3}, {0, 5, 12}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}};
  for (const uint64_t steps : {1u, 7u, 20u, 33u}) {
    for (const auto& last : kLast) {
      const Order order({.seed = 11,
                         .samples = 13,
                         .batch = 4,
                         .first_step = 100,
                         .last = last,
                         .end_step = 100 + steps});
      std::map<uint64_t, uint64_t> counted;
      uint64_t first = 100 + steps;
      for (uint64_t step = 100; step < 100 + steps; ++step) {
        for (uint64_t sample = 0; sample < 13; ++sample) {
          ASSERT_EQ(order.passes(sample, step), counted[sample]) << sample << " at " << step;
        }
        for (uint32_t slot = 0; slot < 4; ++slot) {
          const auto [sample, passes] = order.at(step, slot);
          ASSERT_EQ(passes, ++counted[sample]);
          const bool late = std::find(last.begin(), last.end(), sample) != last.end();
          if (late) first = std::min(first, step);
          EXPECT_TRUE(late || step <= first);
        }
      }
      EXPECT_EQ(order.first_last_step(), first) << steps;
      const uint64_t least = steps * 4 / 13;
      for (uint64_t sample = 0; sample < 13; ++sample) {
        EXPECT_GE(counted[sample], least);
        EXPECT_LE(counted[sample], least + 1);
      }
    }
  }
  EXPECT_THROW(Order({.samples = 3, .batch = 1, .last = {2, 1}, .end_step = 3}), Error);
  EXPECT_THROW(Order({.samples = 3, .batch = 1, .last = {3}, .end_step = 3}), Error);
}

// The closed form, against counting.
TEST(Order, KnowsHowOftenASampleWasConsumed) {
  const Order order({.seed = 11, .samples = 13, .batch = 4, .first_step = 100});
  std::map<uint64_t, uint64_t> counted;
  for (uint64_t step = 100; step < 140; ++step) {
    for (uint64_t sample = 0; sample < 13; ++sample) {
      ASSERT_EQ(order.passes(sample, step), counted[sample])
          << "sample " << sample << " at " << step;
    }
    for (uint32_t slot = 0; slot < 4; ++slot) {
      const auto [sample, passes] = order.at(step, slot);
      EXPECT_EQ(passes, ++counted[sample]);
    }
  }
}

TEST(Order, ChangesWithSeedEpochAndBeginning) {
  const auto epoch = [](uint64_t seed, uint64_t number, uint64_t first) {
    const Order order({.seed = seed, .samples = 50, .batch = 50, .first_step = first});
    std::vector<uint64_t> samples;
    for (uint32_t slot = 0; slot < 50; ++slot) {
      samples.push_back(order.at(first + number, slot).sample);
    }
    return samples;
  };
  EXPECT_EQ(epoch(1, 0, 0), epoch(1, 0, 0));
  EXPECT_NE(epoch(1, 0, 0), epoch(2, 0, 0));
  EXPECT_NE(epoch(1, 0, 0), epoch(1, 1, 0));
  EXPECT_NE(epoch(1, 0, 0), epoch(1, 0, 7));
}

TEST(Order, NeedsSomethingToOrder) {
  EXPECT_THROW(Order({.seed = 0, .samples = 0, .batch = 1, .first_step = 0}), Error);
  EXPECT_THROW(Order({.seed = 0, .samples = 1, .batch = 0, .first_step = 0}), Error);
}

}  // namespace
}  // namespace cleared::train
