#include "train/data/order.h"

#include <algorithm>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <set>
#include <string>
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

// A world of licensors with and without limits, drawn by lot.
ledger::ShareRequest some_world(std::mt19937_64& random) {
  ledger::ShareRequest out;
  const uint64_t groups = 1 + random() % 4, longest = 1 + random() % 20;
  for (uint64_t g = 1; g < groups; ++g) {
    out.limits.push_back(
        {"licensor-" + std::to_string(g), static_cast<double>(1 + random() % 99) / 100});
  }
  for (uint32_t g = 0; g < groups; ++g) {
    const bool none = g == 0 && random() % 3 == 0;  // all footage is under a limit
    for (uint64_t n = none ? 0 : random() % 30; n > 0; --n) {
      Digest digest;
      for (auto& byte : digest.bytes) byte = static_cast<std::byte>(random());
      out.samples.push_back({digest, (1 + random() % longest) * 1'000'000, g});
    }
  }
  out.draws = random() % 2000;
  out.fit = random() % 20;
  return out;
}

// No epoch, no whole number of epochs and no whole run, with what is read before it, is over a
// limit; and the closed form counts what the steps consume.
TEST(Order, HoldsSharesInEveryEpochAndInTheRun) {
  std::mt19937_64 random(12);
  int planned = 0, refused = 0, spared = 0;
  for (int world = 0; world < 400; ++world) {
    const ledger::ShareRequest request = some_world(random);
    if (request.samples.empty() || request.draws == 0) continue;
    std::shared_ptr<const ledger::SharePlan> plan;
    try {
      plan = std::make_shared<const ledger::SharePlan>(ledger::plan_shares(request));
    } catch (const Error& error) {
      ASSERT_EQ(error.code(), Errc::refused);
      ++refused;
      continue;
    }
    ++planned;
    const uint64_t first_step = random() % 50;
    const Order order({.seed = random(),
                       .samples = request.samples.size(),
                       .batch = 1,
                       .first_step = first_step,
                       .plan = plan});
    std::vector<uint64_t> us(plan->groups.size()), of_epoch(plan->groups.size());
    const auto holds = [&](const std::vector<uint64_t>& consumed) {
      const double all =
          static_cast<double>(std::accumulate(consumed.begin(), consumed.end(), 0UL));
      for (size_t g = 1; g < consumed.size(); ++g) {
        if (static_cast<double>(consumed[g]) > request.limits[g - 1].most * all + 1e-3)
          return false;
      }
      return true;
    };
    std::map<uint64_t, uint64_t> counted;
    for (uint64_t draw = 0; draw < request.draws; ++draw) {
      const auto [sample, passes] = order.at(first_step + draw, 0);
      ASSERT_EQ(passes, ++counted[sample]) << "world " << world << ", draw " << draw;
      const auto& its = request.samples[sample];
      us[its.group] += its.duration_us;
      of_epoch[its.group] += its.duration_us;
      if ((draw + 1) % plan->size() != 0) continue;
      ASSERT_TRUE(holds(of_epoch)) << "world " << world << ", epoch to " << draw;
      ASSERT_TRUE(holds(us)) << "world " << world << ", epochs to " << draw;
      of_epoch.assign(of_epoch.size(), 0);
    }
    for (const uint64_t end : {request.draws, request.draws / 2, request.draws / 3}) {
      std::map<uint64_t, uint64_t> again;
      for (uint64_t draw = 0; draw < end; ++draw) ++again[order.at(first_step + draw, 0).sample];
      for (uint64_t i = 0; i < request.samples.size(); ++i) {
        ASSERT_EQ(order.passes(i, first_step + end), again[i]) << "world " << world;
        ASSERT_LE(again[i], plan->most_passes(request.samples[i].group, end));
      }
    }
    for (const uint64_t sample : plan->fit(request.fit)) {
      us[request.samples[sample].group] += request.samples[sample].duration_us;
    }
    ASSERT_TRUE(holds(us)) << "world " << world;
    for (size_t g = 1; g < plan->groups.size(); ++g) {
      spared += plan->groups[g].take < plan->groups[g].samples.size() ? 1 : 0;
    }
  }
  EXPECT_GT(planned, 150);
  EXPECT_GT(refused, 20);
  EXPECT_GT(spared, 100);
}

// What is drawn less often is drawn evenly: whose turn it is goes round.
TEST(Order, SparesNoSampleOfALicensorMoreThanAnother) {
  ledger::ShareRequest request{.limits = {{"licensor", 0.25}}, .samples = {}, .draws = 10'000};
  for (uint64_t i = 0; i < 40; ++i) {
    Digest digest;
    digest.bytes[0] = static_cast<std::byte>(i * 37);
    request.samples.push_back({digest, 1'000'000, i < 31 ? 1U : 0U});
  }
  const auto plan = std::make_shared<const ledger::SharePlan>(ledger::plan_shares(request));
  const Order order({.seed = 3, .samples = 40, .batch = 10, .plan = plan});
  EXPECT_EQ(plan->groups[1].take, 3U);
  uint64_t least = UINT64_MAX, most = 0;
  for (uint64_t i = 0; i < 31; ++i) {
    least = std::min(least, order.passes(i, 1000));
    most = std::max(most, order.passes(i, 1000));
  }
  EXPECT_GE(least, 2500U / 31 - 1);
  EXPECT_LE(most, least + 1);
  // Two epochs draw their parts in other orders.
  const auto part = [&](uint64_t seed) {
    const Order with({.seed = seed, .samples = 40, .batch = 12, .plan = plan});
    std::vector<uint64_t> out;
    for (uint32_t slot = 0; slot < 12; ++slot) out.push_back(with.at(0, slot).sample);
    return out;
  };
  EXPECT_NE(part(1), part(2));
}

TEST(Order, NeedsSomethingToOrder) {
  const auto nothing = std::make_shared<const ledger::SharePlan>();
  EXPECT_THROW(Order({.samples = 1, .batch = 1, .plan = nothing}), Error);
  EXPECT_THROW(Order({.seed = 0, .samples = 0, .batch = 1, .first_step = 0}), Error);
  EXPECT_THROW(Order({.seed = 0, .samples = 1, .batch = 0, .first_step = 0}), Error);
}

struct Shapes {
  OrderOptions options;
  std::vector<uint64_t> sizes;
};

// Samples of three shapes, mixed; 4, 2 and 8 slots.
Shapes three_shapes(uint64_t steps, uint64_t first_step = 0) {
  Shapes out;
  out.options = {.seed = 3,
                 .samples = 300,
                 .batch = 4,
                 .first_step = first_step,
                 .end_step = first_step + steps,
                 .batches = {4, 2, 8}};
  out.sizes.resize(3);
  for (uint64_t i = 0; i < 300; ++i) {
    const uint8_t shape = i % 10 < 2 ? 1 : i % 7 < 3 ? 2 : 0;
    out.options.shape_of.push_back(shape);
    ++out.sizes[shape];
  }
  return out;
}

TEST(Order, OfSeveralShapesAStepIsOfOneAndAllAreConsumedAsOften) {
  const Shapes shapes = three_shapes(500, 7);
  const Order order(shapes.options);
  std::vector<uint64_t> passes(300), steps(3);
  for (uint64_t step = 7; step < 507; ++step) {
    // Closed form, at every step.
    if (step % 50 == 0) {
      for (uint64_t i = 0; i < 300; ++i) ASSERT_EQ(order.passes(i, step), passes[i]) << step;
      const auto [least, most] = std::minmax_element(passes.begin(), passes.end());
      EXPECT_LE(*most - *least, 2u) << step;
    }
    const size_t shape = order.shape(step);
    ++steps[shape];
    ASSERT_EQ(order.batch(step), shapes.options.batches[shape]);
    std::set<uint64_t> step_samples;
    for (uint32_t slot = 0; slot < order.batch(step); ++slot) {
      const auto [sample, pass] = order.at(step, slot);
      ASSERT_EQ(shapes.options.shape_of[sample], shape);
      ASSERT_EQ(pass, ++passes[sample]);
      step_samples.insert(sample);
    }
  }
  for (uint64_t i = 0; i < 300; ++i) EXPECT_EQ(order.passes(i, 507), passes[i]);
  // As many steps of each as its samples need.
  for (size_t i = 0; i < 3; ++i) {
    const double share = static_cast<double>(steps[i]) * shapes.options.batches[i] /
                         static_cast<double>(shapes.sizes[i]);
    EXPECT_NEAR(share, static_cast<double>(steps[0]) * 4 / static_cast<double>(shapes.sizes[0]),
                0.2);
  }
  // A run that ends later begins the same; another seed draws others in steps of the same shapes.
  OrderOptions longer = shapes.options, other = shapes.options;
  longer.end_step += 1000;
  other.seed = 4;
  const Order more(longer), drawn(other);
  bool differs = false;
  for (uint64_t step = 7; step < 507; ++step) {
    EXPECT_EQ(more.at(step, 1).sample, order.at(step, 1).sample);
    EXPECT_EQ(drawn.shape(step), order.shape(step));
    differs = differs || drawn.at(step, 1).sample != order.at(step, 1).sample;
  }
  EXPECT_TRUE(differs);
}

TEST(Order, OfSeveralShapesWhatComesLastComesLastInEach) {
  Shapes shapes = three_shapes(400);
  for (uint64_t i = 0; i < 300; i += 3) shapes.options.last.push_back(i);
  const Order order(shapes.options);
  std::vector<uint64_t> passes(300);
  std::vector<bool> late(3, false);
  uint64_t first = 400;
  for (uint64_t step = 0; step < 400; ++step) {
    for (uint32_t slot = 0; slot < order.batch(step); ++slot) {
      const auto [sample, pass] = order.at(step, slot);
      ASSERT_EQ(pass, ++passes[sample]);
      const bool last = sample % 3 == 0;
      ASSERT_TRUE(last || !late[order.shape(step)]) << step;
      late[order.shape(step)] = last;
      if (last) first = std::min(first, step);
    }
  }
  EXPECT_EQ(order.first_last_step(), first);
  EXPECT_GT(first, 200u);
  for (uint64_t i = 0; i < 300; ++i) EXPECT_EQ(order.passes(i, 400), passes[i]);
  const auto [least, most] = std::minmax_element(passes.begin(), passes.end());
  EXPECT_LE(*most - *least, 2u);
}

TEST(Order, AShapeWithoutSamplesHasNoSteps) {
  OrderOptions options = three_shapes(50).options;
  for (uint8_t& shape : options.shape_of) shape = shape == 1 ? 0 : shape;
  const Order order(options);
  for (uint64_t step = 0; step < 50; ++step) EXPECT_NE(order.shape(step), 1u);
}

TEST(Order, AShapeOfFewerSamplesThanAStepIsRefused) {
  OrderOptions options = three_shapes(50).options;
  options.batches[1] = 1000;
  try {
    const Order order(options);
    ADD_FAILURE() << "took it";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Errc::config);
    EXPECT_NE(std::string(error.what()).find("fewer than the 1000"), std::string::npos);
  }
}

}  // namespace
}  // namespace cleared::train
