#include "curate/clips.h"

#include <gtest/gtest.h>

#include "curate/shots.h"
#include "curate/worker.pb.h"
#include "ledger/digest.h"

namespace cleared::curate {
namespace {

struct Film {
  int frames = 50;
  uint64_t frame_us = 40'000;
  int cut = 0;  // frame; 0: none
  float luma = 100, sharpness = 500, motion = 2;
};

Analysis film(const Film& f) {
  Analysis a;
  a.set_frame_us(f.frame_us);
  for (int i = 0; i < f.frames; ++i) {
    const bool cut = f.cut > 0 && i == f.cut, second = f.cut > 0 && i >= f.cut;
    a.add_pts_us(static_cast<uint64_t>(i) * f.frame_us);
    a.add_luma(f.luma);
    a.add_sharpness(f.sharpness);
    a.add_motion(cut ? 60 : f.motion);
    a.add_histogram(cut ? 0.5f : 0.01f);
    a.mutable_pdq()->append(32, second ? '\x70' : '\x0F');
    for (int k = 0; k < 256; ++k) {  // two pictures of which neither moved becomes the other
      a.mutable_thumb()->push_back(static_cast<char>(40 + (second ? k * k * 7 + k : k * 29) % 120));
    }
  }
  return a;
}

std::vector<Clip> clips_of(const Analysis& a) {
  return choose_clips(a, find_shots(a), Clips(), Quality());
}

TEST(Clips, FollowOneAnotherWithoutOverlap) {
  const auto clips = clips_of(film({.frames = 132}));  // 5.28 s
  ASSERT_EQ(clips.size(), 5U);
  for (size_t i = 0; i < clips.size(); ++i) {
    EXPECT_EQ(clips[i].start_us, i * 1'000'000);
    EXPECT_EQ(clips[i].end_us, (i + 1) * 1'000'000);
    EXPECT_EQ(clips[i].verdict, "kept");
  }
}

TEST(Clips, StayInsideTheirShot) {
  const auto clips = clips_of(film({.frames = 190, .cut = 116}));  // 4.64 s and 2.96 s
  ASSERT_EQ(clips.size(), 6U);
  EXPECT_EQ(clips[3].shot, 0U);
  EXPECT_EQ(clips[3].end_us, 4'000'000U);
  EXPECT_EQ(clips[4].shot, 1U);
  EXPECT_EQ(clips[4].start_us, 4'640'000U);
  EXPECT_EQ(clips[5].end_us, 6'640'000U);
}

TEST(Clips, FillAShotWithTheLongestThatFits) {
  Clips lengths;
  lengths.add_longer(32);
  lengths.add_longer(64);
  const Analysis a = film({.frames = 190, .cut = 183});
  const auto clips = choose_clips(a, find_shots(a), lengths, Quality());
  ASSERT_EQ(clips.size(), 3U);  // 7.32 s: four, two and one; then 0.28 s
  const uint64_t ends[] = {4'000'000, 6'000'000, 7'000'000};
  for (size_t i = 0; i < clips.size(); ++i) {
    EXPECT_EQ(clips[i].start_us, i == 0 ? 0 : ends[i - 1]);
    EXPECT_EQ(clips[i].end_us, ends[i]);
  }
}

// 30000/1001 frames a second: no whole number of frames is exactly a second.
TEST(Clips, AllowForAThirdOfAFrame) {
  const auto clips = clips_of(film({.frames = 120, .frame_us = 33'367}));
  ASSERT_EQ(clips.size(), 4U);
  EXPECT_EQ(clips[0].end_us, 30U * 33'367);
  EXPECT_EQ(clips[3].end_us, 120U * 33'367);
}

// As where frames that were the same were dropped: of five, two.
Analysis uneven_film(uint64_t longest_us) {
  Analysis a = film({.frames = 60});
  for (int i = 0; i < 60; ++i) {
    a.set_pts_us(i, static_cast<uint64_t>(i / 3) * (80'000 + longest_us) +
                        static_cast<uint64_t>(i % 3) * 40'000);
  }
  return a;
}

TEST(Clips, OfAVariableRateLastUntilTheNextPicture) {
  const auto clips = clips_of(uneven_film(120'000));
  ASSERT_EQ(clips.size(), 3U);
  for (size_t i = 0; i < clips.size(); ++i) {
    EXPECT_EQ(clips[i].start_us, i * 1'000'000);
    EXPECT_EQ(clips[i].end_us, (i + 1) * 1'000'000);
  }
}

TEST(Clips, HaveNoGapAtTheirEnd) {
  EXPECT_TRUE(clips_of(uneven_film(320'000)).empty());  // the last picture would stand for 0.28 s
  Analysis damaged = uneven_film(120'000);
  damaged.set_problem("1 damaged piece, at 0.92 s; 3.92 s in all");
  EXPECT_TRUE(clips_of(damaged).empty());
}

TEST(Clips, OfAFilmThatIsTooShortAreNone) {
  EXPECT_TRUE(clips_of(film({.frames = 24})).empty());
  EXPECT_EQ(clips_of(film({.frames = 25})).size(), 1U);
}

TEST(Clips, SayWhyTheyAreNotKept) {
  const std::vector<std::pair<Film, const char*>> cases = {
      {{.luma = 3}, "black"},
      {{.motion = 0}, "frozen"},
      {{.sharpness = 2}, "blurred"},
      {{.motion = 0.05f}, "kept"},  // a static camera has noise
  };
  for (const auto& [f, verdict] : cases) {
    for (const Clip& clip : clips_of(film(f))) EXPECT_EQ(clip.verdict, verdict);
  }
}

TEST(Clips, OneMovingFrameIsNotFrozen) {
  Analysis a = film({.frames = 25, .motion = 0});
  a.set_motion(12, 1);
  EXPECT_EQ(clips_of(a).at(0).verdict, "kept");
}

// printf 'clip\n%064d\n0\n1000000\n' 0 | sha256sum
TEST(Clips, AreNamedByTheirSpan) {
  Clip clip;
  clip.end_us = 1'000'000;
  EXPECT_EQ(to_hex(clip_id(Digest(), clip)),
            "3b86e540fe97b3af6964fe26a2ba1434b6b2207c3fe9b7c3c1091ce8cf8b317a");
}

}  // namespace
}  // namespace cleared::curate
