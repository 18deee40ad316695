// Clips at known distances from footage.
#include "train/guard.h"

#include <cmath>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ledger/digest.h"
#include "train/looks.h"

namespace cleared::train {
namespace {

using ledger::FootagePictures;
using ledger::Print;
using testing::HasSubstr;

constexpr int kWidth = 80, kHeight = 48;
constexpr size_t kFrame = size_t{3} * kWidth * kHeight;

// Some waves of light; others for another number.
std::vector<uint8_t> frame(int number) {
  std::vector<uint8_t> out;
  for (int y = 0; y < kHeight; ++y) {
    for (int x = 0; x < kWidth; ++x) {
      double light = 128;
      for (int i = 1; i < 9; ++i) {
        const double along = x * (0.03 * i + 0.011 * (number * i % 7)) + number * i;
        const double down = y * (0.04 * i + 0.013 * ((number + i) % 5)) - i;
        light += 24 * std::sin(along) * std::cos(down);
      }
      out.insert(out.end(), 3, static_cast<uint8_t>(std::clamp(light, 0.0, 255.0)));
    }
  }
  return out;
}

Print print_of(const std::vector<uint8_t>& rgb, uint32_t flipped = 0) {
  Print out = turned_looks(rgb, kWidth, kHeight)[0][0];
  for (uint32_t bit = 0; bit < flipped; ++bit) out[bit * 7 % 256 / 8] ^= 1 << bit * 7 % 8;
  return out;
}

FootagePictures pictures(std::vector<Print> prints, uint32_t width = 800, uint32_t height = 480) {
  std::sort(prints.begin(), prints.end());
  return {ledger::sha256("a film"), width, height, std::move(prints)};
}

std::vector<uint8_t> clip() {
  std::vector<uint8_t> out;
  for (const int number : {1, 2, 3}) {
    const auto one = frame(number);
    out.insert(out.end(), one.begin(), one.end());
  }
  return out;
}

ledger::Verdict judge(const ledger::Footage& footage, const std::vector<uint8_t>& rgb,
                      double most = 0.86) {
  return judge_clip({most, footage}, rgb, kWidth, kHeight);
}

TEST(Guard, FindsTheNearestFrameAtKnownDistances) {
  for (const uint32_t bits : {0, 1, 31, 35}) {
    const ledger::Verdict verdict = judge({pictures({Print{}, print_of(frame(2), bits)})}, clip());
    EXPECT_EQ(verdict.rule, "similarity_exceeded");
    EXPECT_THAT(verdict.fact, HasSubstr("frame 1 of the clip differs by " + std::to_string(bits) +
                                        " of 256 bits from a frame of source " +
                                        ledger::digest_name(ledger::sha256("a film"))));
  }
  EXPECT_TRUE(judge({pictures({print_of(frame(2), 36)})}, clip()).cleared);
  EXPECT_TRUE(judge({pictures({print_of(frame(2), 64)})}, clip(), 0.75).cleared);
  EXPECT_FALSE(judge({pictures({print_of(frame(2), 63)})}, clip(), 0.75).cleared);
  EXPECT_TRUE(judge({pictures({print_of(frame(4))})}, clip()).cleared);  // another picture
  EXPECT_TRUE(judge({pictures({})}, clip()).cleared);  // of frames that cannot be told apart
  EXPECT_TRUE(judge({}, clip()).cleared);
}

// The one that is too near may lie anywhere, also behind a block of others.
TEST(Guard, LooksAtEveryFingerprint) {
  for (const size_t others : {0, 1, 511, 512, 513, 2000}) {
    for (const bool last : {false, true}) {
      const Print very_far = print_of(frame(3), 120);
      std::vector<Print> prints;
      for (size_t i = 0; i < others; ++i) {
        Print far = very_far;
        far[0] = last ? 0 : 255;
        far[1] = static_cast<uint8_t>(i >> 8);
        far[2] = static_cast<uint8_t>(i);
        prints.push_back(far);
      }
      prints.push_back(print_of(frame(3), 3));
      EXPECT_THAT(judge({pictures(std::move(prints))}, clip()).fact, HasSubstr("by 3 of 256"))
          << others;
    }
  }
}

TEST(Guard, SeesMirroredAndTurnedFrames) {
  const std::vector<uint8_t> one = frame(5);
  const auto laid = [&](const auto& from) {  // where pixel (x, y) of the new one comes from
    std::vector<uint8_t> out(kFrame);
    for (int y = 0; y < kHeight; ++y) {
      for (int x = 0; x < kWidth; ++x) {
        for (int c = 0; c < 3; ++c) {
          out[static_cast<size_t>(3 * (y * kWidth + x) + c)] =
              one[static_cast<size_t>(3 * from(x, y) + c)];
        }
      }
    }
    return out;
  };
  const auto mirrored = laid([](int x, int y) { return y * kWidth + kWidth - 1 - x; });
  const auto upside_down = laid([](int x, int y) { return (kHeight - 1 - y) * kWidth + x; });
  for (const auto& clip : {one, mirrored, upside_down}) {
    EXPECT_EQ(judge({pictures({print_of(one)})}, clip).rule, "similarity_exceeded");
  }
}

TEST(Guard, RefusesWhatItCannotCompare) {
  const auto rule = [](const ledger::Footage& footage) { return judge(footage, clip()).rule; };
  EXPECT_EQ(rule({pictures({}, 480, 480)}), "similarity_unknown");
  EXPECT_EQ(rule({pictures({}, 480, 800)}), "similarity_unknown");
  EXPECT_EQ(rule({pictures({}, 0, 0)}), "similarity_unknown");  // nobody said what it shows
  EXPECT_EQ(rule({pictures({}, 832, 480)}), "cleared");         // 96.2 % of the width
  EXPECT_EQ(rule({pictures({}, 834, 480)}), "similarity_unknown");
  EXPECT_EQ(rule({pictures({}, 480, 480), pictures({}, 800, 480)}), "cleared");
  FootagePictures other = pictures({}, 480, 480);
  other.source = ledger::sha256("another film");
  EXPECT_EQ(rule({pictures({}, 800, 480), other}), "similarity_unknown");
}

}  // namespace
}  // namespace cleared::train
