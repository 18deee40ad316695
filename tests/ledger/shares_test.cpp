#include "ledger/shares.h"

#include <algorithm>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ledger/digest.h"
#include "tests/ledger/world.h"

namespace cleared::ledger {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

// Groups of samples of so many seconds each; limits of all groups but the first.
ShareRequest request(const std::vector<std::vector<uint64_t>>& seconds,
                     const std::vector<double>& limits, uint64_t draws = 0) {
  ShareRequest out;
  out.draws = draws;
  for (size_t i = 0; i < limits.size(); ++i) {
    out.limits.push_back({"licensor-" + std::to_string(i + 1), limits[i]});
  }
  for (uint32_t g = 0; g < seconds.size(); ++g) {
    for (const uint64_t s : seconds[g]) {
      const Digest digest = sha256(std::to_string(out.samples.size()));
      out.samples.push_back({digest, s * 1'000'000, g});
    }
  }
  return out;
}
std::vector<uint64_t> takes(const SharePlan& plan) {
  std::vector<uint64_t> out;
  for (const auto& group : plan.groups) out.push_back(group.take);
  return out;
}
std::string no_plan(const ShareRequest& r) {
  return error_of([&] { plan_shares(r); });
}

TEST(Shares, OnlyWhoHasTooMuchIsDrawnLess) {
  const std::vector<uint64_t> four(4, 5), eight(8, 5), two(2, 5);
  EXPECT_THAT(takes(plan_shares(request({four, four}, {0.5}))), ElementsAre(4, 4));
  EXPECT_THAT(takes(plan_shares(request({four, eight}, {0.5}))), ElementsAre(4, 4));
  EXPECT_THAT(takes(plan_shares(request({four, eight}, {0.2}))), ElementsAre(4, 1));
  EXPECT_THAT(takes(plan_shares(request({four, eight, two}, {0.5, 0.2}))), ElementsAre(4, 6, 2));
  EXPECT_THAT(takes(plan_shares(request({{}, eight, eight, two}, {0.5, 0.6, 0.2}))),
              ElementsAre(0, 8, 8, 2));
  // Others are repeated until one of them fits in.
  const SharePlan plan = plan_shares(request({two, eight}, {0.2}, 1000));
  EXPECT_EQ(plan.rounds, 2U);
  EXPECT_THAT(takes(plan), ElementsAre(4, 1));
}

TEST(Shares, AnOrderThatCannotHoldThemIsRefused) {
  const std::vector<uint64_t> four(4, 5);
  EXPECT_THAT(no_plan(request({{}, four}, {0.9})),
              testing::AllOf(StartsWith("refused: share_exceeded: no order holds the shares: all "
                                        "footage is of licensors with a limit"),
                             HasSubstr("licensor licensor-1 may have 0.9")));
  EXPECT_THAT(no_plan(request({{}, four, four}, {0.6, 0.3})),
              StartsWith("refused: share_exceeded"));
  EXPECT_THAT(no_plan(request({{}, four, four}, {0.6, 0.6}, 1)),
              StartsWith("refused: share_exceeded"));  // too short
  EXPECT_EQ(no_plan(request({{}, four, four}, {0.6, 0.6}, 8)), "");
}

TEST(Shares, CountsOfAPrefixAreThoseOfItsTurns) {
  std::mt19937_64 random(5);
  for (int world = 0; world < 200; ++world) {
    SharePlan plan;
    plan.groups.resize(1 + random() % 5);
    for (auto& group : plan.groups) group.take = random() % 40;
    const auto turns = plan.turns();
    ASSERT_EQ(turns.size(), plan.size());
    std::vector<uint64_t> counted(plan.groups.size());
    for (uint64_t position = 0; position <= turns.size(); ++position) {
      ASSERT_EQ(plan.drawn(position), counted) << position;
      if (position < turns.size()) ++counted[turns[position]];
    }
  }
}

// With one limit and samples of one length no beginning of an epoch is over it either.
TEST(Shares, OthersMakeRoomFirst) {
  for (const double most : {0.1, 0.3, 0.5, 0.77}) {
    const SharePlan plan =
        plan_shares(request({std::vector<uint64_t>(60, 5), std::vector<uint64_t>(300, 5)}, {most}));
    EXPECT_GT(plan.groups[1].take, 0U);
    for (uint64_t n = 1; n <= plan.size(); ++n) {
      EXPECT_LE(static_cast<double>(plan.drawn(n)[1]), most * static_cast<double>(n) + 1e-9) << n;
    }
  }
}

// Of the seconds that a limit leaves, next to all are drawn.
TEST(Shares, AreUsed) {
  std::mt19937_64 random(6);
  std::vector<std::vector<uint64_t>> seconds(2);
  for (int i = 0; i < 2000; ++i) seconds[0].push_back(2 + random() % 9);
  for (int i = 0; i < 9000; ++i) seconds[1].push_back(2 + random() % 9);
  const SharePlan plan = plan_shares(request(seconds, {0.4}, 50'000));
  const double share = static_cast<double>(plan.groups[1].take) / static_cast<double>(plan.size());
  EXPECT_GT(share, 0.38);
  EXPECT_LE(share, 0.40);
}

}  // namespace
}  // namespace cleared::ledger
