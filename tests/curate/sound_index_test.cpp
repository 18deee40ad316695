#include "curate/sound_index.h"

#include <algorithm>
#include <random>

#include <gtest/gtest.h>

namespace cleared::curate {
namespace {

// As Chromaprint's are: an item differs from the one before in some bits.
std::vector<uint32_t> any_sound(size_t items, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<uint32_t> out = {static_cast<uint32_t>(random())};
  while (out.size() < items) {
    uint32_t next = out.back();
    for (int i = 0; i < 4; ++i) next ^= 1U << random() % 32;
    out.push_back(next);
  }
  return out;
}

// As after another codec: two thirds of the items lose some bits.
std::vector<uint32_t> encoded(std::vector<uint32_t> sound, unsigned seed) {
  std::mt19937 random(seed);
  for (uint32_t& item : sound) {
    for (auto i = random() % 6; i > 2; --i) item ^= 1U << random() % 32;
  }
  return sound;
}

std::vector<uint32_t> part(const std::vector<uint32_t>& sound, size_t from, size_t count) {
  const auto begin = sound.begin() + static_cast<ptrdiff_t>(from);
  return {begin, begin + static_cast<ptrdiff_t>(count)};
}

TEST(SoundIndex, FindsAnExcerptAndWhereItIsFrom) {
  SoundIndex index;
  for (unsigned seed = 0; seed < 300; ++seed) index.add(any_sound(seed % 7 == 0 ? 0 : 900, seed));
  std::vector<uint32_t> asked = any_sound(50, 1000);
  const auto copied = encoded(part(any_sound(900, 201), 333, 100), 1);
  asked.insert(asked.end(), copied.begin(), copied.end());
  const auto found = index.find(asked, 40);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].source, 201U);
  EXPECT_NEAR(double(found[0].at), 50, 3);
  EXPECT_NEAR(double(found[0].of), 333, 3);
  EXPECT_NEAR(double(found[0].count), 100, 5);
  EXPECT_GT(found[0].agreement, 0.9);
}

TEST(SoundIndex, FindsEveryRunAndNotOnlyTheBest) {
  const auto music = any_sound(900, 201);
  const std::vector<uint32_t> silence(400, 627964279U);
  const auto joined = [](const std::vector<std::vector<uint32_t>>& parts) {
    std::vector<uint32_t> out;
    for (const auto& one : parts) out.insert(out.end(), one.begin(), one.end());
    return out;
  };
  SoundIndex index;
  index.add(joined({silence, music}));
  const auto asked = joined({encoded(part(music, 600, 200), 1), any_sound(60, 5),
                             encoded(part(music, 100, 150), 2), silence});
  const auto found = index.find(asked, 40);
  ASSERT_EQ(found.size(), 2U);
  const std::vector<std::vector<double>> wanted = {{0, 1000, 200}, {260, 500, 150}};
  std::vector<std::vector<double>> said;
  for (const SoundRun& run : found) {
    said.push_back({double(run.at), double(run.of), double(run.count)});
  }
  std::sort(said.begin(), said.end());
  for (size_t i = 0; i < said.size(); ++i) {
    for (size_t k = 0; k < 3; ++k) EXPECT_NEAR(said[i][k], wanted[i][k], 5) << i;
  }
}

TEST(SoundIndex, FindsNoOtherSoundAndNothingTooShort) {
  SoundIndex index;
  for (unsigned seed = 0; seed < 100; ++seed) index.add(any_sound(900, seed));
  for (unsigned seed = 200; seed < 300; ++seed) {
    EXPECT_TRUE(index.find(any_sound(900, seed), 20).empty());
  }
  const auto excerpt = part(any_sound(900, 7), 100, 30);
  EXPECT_EQ(index.find(excerpt, 30).size(), 1U);
  EXPECT_TRUE(index.find(excerpt, 31).empty());
  EXPECT_TRUE(index.find({}, 1).empty());
  EXPECT_TRUE(SoundIndex().find(excerpt, 1).empty());
}

TEST(SoundIndex, FindsNoSilenceAndNoTone) {
  const std::vector<uint32_t> silence(300, 627964279U);
  std::vector<uint32_t> two_tones;
  for (uint32_t i = 0; i < 300; ++i)
    two_tones.push_back(i / 30 % 2 == 0 ? 0x12345678U : 0x1234f678U);
  SoundIndex index;
  index.add(silence);
  index.add(two_tones);
  EXPECT_TRUE(index.find(silence, 20).empty());
  EXPECT_TRUE(index.find(two_tones, 20).empty());
}

}  // namespace
}  // namespace cleared::curate
