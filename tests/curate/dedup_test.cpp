#include "curate/dedup.h"

#include <algorithm>
#include <bit>
#include <map>
#include <random>

#include <gtest/gtest.h>

#include "curate/decode.h"
#include "curate/encode.h"
#include "curate/facts.h"
#include "curate/sound.h"
#include "curate/worker.pb.h"
#include "ledger/digest.h"
#include "tests/curate/media.h"

namespace cleared::curate {
namespace {

Footage footage_of_bytes(std::string_view bytes) {
  Reader reader(bytes);
  Analysis analysis;
  analyse(reader, analysis);
  return footage_of(ledger::sha256(bytes), analysis);
}

// Scene `seed` from `first` on, through our own encoder.
Footage encoded(unsigned seed, int first, int frames, int width, int height, int quality) {
  std::vector<Picture> pictures;
  for (int i = first; i < first + frames; ++i) {
    pictures.push_back(testing::draw(seed, i, width, height));
  }
  return footage_of_bytes(encode_webm(pictures, {.fps = 16, .quality = quality}));
}

TEST(Duplicates, AreFoundThroughASecondEncodingAndSize) {
  DuplicateIndex index;
  index.add(encoded(5, 0, 64, 320, 240, 10));
  const Footage copy = encoded(5, 0, 64, 240, 180, 32);
  const auto matches = index.find(copy, Duplicates());
  ASSERT_EQ(matches.size(), 1U);
  EXPECT_EQ(matches[0].of, 0U);
  EXPECT_EQ(matches[0].start_us, 0U);
  EXPECT_EQ(matches[0].of_start_us, 0U);
  EXPECT_NEAR(double(matches[0].end_us), 4e6, 70'000);
  EXPECT_LT(matches[0].distance, 20);
}

TEST(Duplicates, GiveTheSpanOfAnExcerpt) {
  DuplicateIndex index;
  index.add(encoded(5, 0, 96, 320, 240, 10));
  const auto matches = index.find(encoded(5, 32, 32, 320, 240, 30), Duplicates());  // from 2 s on
  ASSERT_EQ(matches.size(), 1U);
  EXPECT_EQ(matches[0].start_us, 0U);
  EXPECT_NEAR(double(matches[0].end_us), 2e6, 70'000);
  EXPECT_NEAR(double(matches[0].of_start_us), 2e6, 70'000);
  EXPECT_NEAR(double(matches[0].of_end_us), 4e6, 140'000);
}

TEST(Duplicates, AreNotDifferentScenes) {
  DuplicateIndex index;
  for (unsigned seed = 1; seed < 8; ++seed) index.add(encoded(seed, 0, 32, 160, 120, 20));
  EXPECT_TRUE(index.find(encoded(9, 0, 32, 160, 120, 20), Duplicates()).empty());
}

TEST(Duplicates, NeedARunOfTheLengthAskedFor) {
  DuplicateIndex index;
  index.add(encoded(5, 0, 64, 160, 120, 10));
  const Footage flash = encoded(5, 0, 8, 160, 120, 10);  // half a second
  EXPECT_TRUE(index.find(flash, Duplicates()).empty());
  Duplicates shorter;
  shorter.set_min_run_ms(300);
  EXPECT_EQ(index.find(flash, shorter).size(), 1U);
}

TEST(Duplicates, AreNeverASourceAndItself) {
  const Footage film = encoded(5, 0, 64, 160, 120, 10);
  DuplicateIndex index;
  index.add(film);
  EXPECT_TRUE(index.find(film, Duplicates()).empty());
}

TEST(Duplicates, AreNotMadeOfFeaturelessFrames) {
  Footage black = encoded(5, 0, 64, 160, 120, 10);
  for (Fingerprint& print : black.prints) print.quality = kFeatureless - 1;
  for (auto* tracks : {&black.kept, &black.asked}) {
    for (Track& track : *tracks) {
      for (Fingerprint& print : track.prints) print.quality = kFeatureless - 1;
    }
  }
  DuplicateIndex index;
  index.add(black);
  black.digest = ledger::sha256("another");
  EXPECT_TRUE(index.find(black, Duplicates()).empty());
}

// A still agrees with itself for ever, and says nothing: it may be any title card.
TEST(Duplicates, AreNotMadeOfAStill) {
  Footage still = encoded(5, 0, 64, 160, 120, 10);
  for (Fingerprint& print : still.prints) print = still.prints[0];
  for (auto* tracks : {&still.kept, &still.asked}) {
    for (Track& track : *tracks) {
      for (Fingerprint& print : track.prints) print = track.prints[0];
    }
  }
  DuplicateIndex index;
  index.add(still);
  still.digest = ledger::sha256("another");
  EXPECT_TRUE(index.find(still, Duplicates()).empty());
}

// Encoded for real: what says nothing, whatever is heard beside it. Test card: bars of grey.
TEST(Duplicates, AreNotMadeOfBlackOrTestCardsOrTitles) {
  const std::map<std::string, Picture> cards = [] {
    Picture black = testing::draw(5, 0, 160, 120), bars = black;
    std::fill(black.pixels.begin(), black.pixels.end(), uint8_t{0});
    for (size_t i = 0; i < bars.pixels.size(); ++i) {
      const size_t column = i / static_cast<size_t>(bars.channels) % 160;
      bars.pixels[i] = static_cast<uint8_t>(column / 20 * 32);
    }
    return std::map<std::string, Picture>{
        {"black", black}, {"bars", bars}, {"title", testing::draw(5, 0, 160, 120)}};
  }();
  const auto heard = [](unsigned seed) {
    return footage_of_bytes(
               testing::make_media({.scenes = {seed}, .frames_per_scene = 160, .sound = true}))
        .sound;
  };
  const auto heard_3 = heard(3), heard_4 = heard(4);
  ASSERT_FALSE(heard_3.empty());
  for (const auto& [what, card] : cards) {
    const auto film = [&, &still = card](int quality) {
      return footage_of_bytes(
          encode_webm(std::vector<Picture>(160, still), {.fps = 16, .quality = quality}));
    };
    DuplicateIndex index;
    Footage first = film(10), second = film(30);
    first.sound = heard_3;
    index.add(first);
    second.sound = heard_4;
    EXPECT_TRUE(index.find(second, Duplicates()).empty()) << what;
    second.sound = first.sound;
    EXPECT_TRUE(index.find(second, Duplicates()).empty()) << what << " with the same sound";
  }
}

TEST(Duplicates, SoundThatNeverChangesIsNone) {
  const std::vector<uint32_t> tone(200, 0x12345678U), silence(200, 627964279U);
  EXPECT_EQ(sound_match(tone, 0, tone, 0, 10'000'000), -1);
  EXPECT_EQ(sound_match(silence, 0, silence, 0, 10'000'000), -1);
}

// Played at another speed, mirrored, cropped, and all of it: the span is right to half a second.
TEST(Duplicates, AreFoundMirroredCroppedAndFaster) {
  const auto film = [](int frames, int step, bool mirrored, double share) {
    std::vector<Picture> pictures;
    for (int i = 0; i < frames; ++i) {
      Picture whole = testing::draw(5, i * step, 320, 240), part;
      part.width = static_cast<int>(320 * share) / 2 * 2;
      part.height = static_cast<int>(240 * share) / 2 * 2;
      part.channels = whole.channels;
      const auto depth = static_cast<size_t>(whole.channels);
      for (int y = 0; y < part.height; ++y) {
        for (int x = 0; x < part.width; ++x) {
          const int from = x + (320 - part.width) / 2;
          const int column = mirrored ? 319 - from : from;
          const auto* pixel =
              &whole.pixels[depth *
                            static_cast<size_t>((y + (240 - part.height) / 2) * 320 + column)];
          part.pixels.insert(part.pixels.end(), pixel, pixel + depth);
        }
      }
      pictures.push_back(std::move(part));
    }
    return footage_of_bytes(encode_webm(pictures, {.fps = 16, .quality = 20}));
  };
  DuplicateIndex index;
  index.add(film(96, 1, false, 1));
  for (const auto& [copy, how] : {std::pair{film(96, 1, true, 1), "mirrored"},
                                  {film(96, 1, false, 0.8), "cropped"},
                                  {film(48, 2, false, 1), "whole"}}) {
    const auto matches = index.find(copy, Duplicates());
    ASSERT_EQ(matches.size(), 1U) << how;
    EXPECT_STREQ(matches[0].how, how);
    EXPECT_NEAR(double(matches[0].of_start_us), 0, 5e5) << how;
    EXPECT_NEAR(double(matches[0].of_end_us), 6e6, 5e5) << how;
  }
}

TEST(Duplicates, OfSoundAndPictureSayHowWellTheSoundAgrees) {
  const auto film = [](unsigned seed, const char* codec) {
    return footage_of_bytes(testing::make_media(
        {.codec = codec, .scenes = {seed}, .frames_per_scene = 96, .sound = true}));
  };
  DuplicateIndex index;
  index.add(film(3, "ffv1"));
  const auto same = index.find(film(3, "mpeg4"), Duplicates());
  ASSERT_EQ(same.size(), 1U);
  EXPECT_GT(same[0].audio_match, 0.9);

  Footage dubbed = film(3, "mpeg4");
  dubbed.sound = film(4, "ffv1").sound;
  const auto other = index.find(dubbed, Duplicates());
  ASSERT_EQ(other.size(), 1U);  // the pictures are still the same
  EXPECT_LT(other[0].audio_match, 0.8);
}

// Exact recall: fingerprints at every distance up to the radius are found, whichever bits differ.
TEST(Duplicates, IndexMissesNothingWithinTheRadius) {
  std::mt19937 random(7);
  DuplicateIndex index;
  Footage base;
  base.digest = ledger::sha256("base");
  for (uint64_t i = 0; i < 40; ++i) {
    Fingerprint print{.bits = {}, .quality = 100};
    for (uint8_t& byte : print.bits) byte = static_cast<uint8_t>(random());
    base.pts_us.push_back(i * 100'000);
    base.prints.push_back(print);
  }
  index.add(base);
  Duplicates rules;
  rules.set_max_distance(31);
  for (int differ = 0; differ <= 40; ++differ) {
    Footage copy = base;
    copy.digest = ledger::sha256("copy");
    for (Fingerprint& print : copy.prints) {
      std::vector<int> bits(256);
      for (int i = 0; i < 256; ++i) bits[static_cast<size_t>(i)] = i;
      std::shuffle(bits.begin(), bits.end(), random);
      for (int i = 0; i < differ; ++i) {
        const int bit = bits[static_cast<size_t>(i)];
        print.bits[static_cast<size_t>(bit / 8)] ^= static_cast<uint8_t>(1 << bit % 8);
      }
    }
    const auto matches = index.find(copy, rules);
    ASSERT_EQ(matches.size(), differ <= kAlike ? 1U : 0U) << differ << " bits";
    if (differ <= kAlike) {
      EXPECT_DOUBLE_EQ(matches[0].distance, differ);
      EXPECT_EQ(matches[0].end_us, 4'000'000U);
    }
  }
}

}  // namespace
}  // namespace cleared::curate
