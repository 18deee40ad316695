// Known cuts: PySceneDetect 0.7.2 (PyPI scenedetect), `detect(file, AdaptiveDetector())` and
// ContentDetector alike, give frame 116 for cityCC0.mpg and none for bigbuckbunny.mp4.
#include "curate/shots.h"

#include <algorithm>
#include <ctime>
#include <functional>
#include <map>

#include <gtest/gtest.h>

#include "curate/decode.h"
#include "curate/pdq.h"
#include "curate/worker.pb.h"
#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "tests/curate/media.h"

namespace cleared::curate {
namespace {

using testing::make_media;

std::vector<size_t> cuts(const Analysis& analysis) {
  std::vector<size_t> out;
  for (const Shot& shot : find_shots(analysis)) {
    if (shot.first > 0) out.push_back(shot.first);
  }
  return out;
}

TEST(Shots, FindsTheCutOfRealFootage) {
  const std::map<std::string, std::vector<size_t>> cases = {{"cityCC0.mpg", {116}},
                                                            {"bigbuckbunny.mp4", {}}};
  for (const auto& [name, expected] : cases) {
    const auto file = testing::footage(name);
    if (file.empty()) GTEST_SKIP() << "no sample footage: set CLEARED_FOOTAGE or run ./try.sh";
    const Fd fd = open_read(file);
    Reader reader(fd.get());
    Analysis analysis;
    analyse(reader, analysis);
    EXPECT_EQ(cuts(analysis), expected) << name;
  }
}

// The takes of Intel IoT Devkit's sample-videos, each a single shot.
TEST(Shots, FindsNoCutInsideSingleTakes) {
  const auto file = testing::footage("one-by-one-person-detection.mp4");
  if (file.empty()) GTEST_SKIP() << "no such footage: set CLEARED_FOOTAGE";
  for (const auto& entry : std::filesystem::directory_iterator(file.parent_path())) {
    const Fd fd = open_read(entry.path());
    Reader reader(fd.get());
    Analysis analysis;
    analyse(reader, analysis);
    EXPECT_EQ(find_shots(analysis).size(), 1U) << entry.path();
  }
}

TEST(Shots, FindsEveryCutBetweenDrawnScenes) {
  const std::string media = make_media({.scenes = {1, 2, 3}, .frames_per_scene = 20});
  Reader reader(media);
  Analysis analysis;
  analyse(reader, analysis);
  EXPECT_EQ(cuts(analysis), (std::vector<size_t>{20, 40}));
}

// 10 frames of one picture, 12 of the way to another, 10 of that. `mix` says how the frames between
// come about: as a dissolve, or as one picture pushed out by the other.
Analysis on_the_way(const std::function<int(int from, int to, int step, int place)>& mix) {
  Analysis a;
  for (int i = 0; i < 32; ++i) {
    const int step = std::clamp(i - 9, 0, 12);
    a.add_pts_us(static_cast<uint64_t>(i) * 40'000);
    a.add_motion(4);
    a.add_histogram(0.01f);
    a.add_luma(100);
    a.mutable_pdq()->append(32, step < 6 ? '\x0F' : '\x70');
    for (int place = 0; place < 256; ++place) {
      const int from = 40 + place * 37 % 150, to = 40 + place * 91 % 170;
      a.mutable_thumb()->push_back(static_cast<char>(mix(from, to, step, place)));
    }
  }
  a.set_frame_us(40'000);
  return a;
}

TEST(Shots, LeaveADissolveOut) {
  const Analysis a =
      on_the_way([](int from, int to, int step, int) { return from + (to - from) * step / 12; });
  const std::vector<Shot> shots = find_shots(a);
  ASSERT_EQ(shots.size(), 2U);
  EXPECT_EQ(shots[1].begins, Transition::dissolve);
  EXPECT_NEAR(double(shots[0].end), 10, 3);
  EXPECT_NEAR(double(shots[1].first), 21, 3);
}

TEST(Shots, DoNotTakeAPushForADissolve) {
  const Analysis a = on_the_way(
      [](int from, int to, int step, int place) { return place < step * 22 ? to : from; });
  EXPECT_EQ(find_shots(a).size(), 1U);
}

// Light that comes up: each frame is a mixture of the first and the last, as in a dissolve.
TEST(Shots, DoNotTakeLightForADissolve) {
  const Analysis a =
      on_the_way([](int from, int, int step, int) { return from + from * step / 24; });
  EXPECT_EQ(find_shots(a).size(), 1U);
}

TEST(Shots, EndAtBlackBetweenTwoPictures) {
  for (const bool returns : {false, true}) {
    Analysis a = on_the_way([](int from, int to, int step, int) { return step < 6 ? from : to; });
    for (int i = 14; i < 18; ++i) {
      a.set_luma(i, 3);
      a.mutable_thumb()->replace(static_cast<size_t>(i) * 256, 256, 256, '\x03');
    }
    if (returns) {
      a.mutable_pdq()->assign(32 * 32, '\x0F');  // a moment without light
    }
    const std::vector<Shot> shots = find_shots(a);
    ASSERT_EQ(shots.size(), returns ? 1U : 2U);
    if (returns) continue;
    EXPECT_EQ(shots[0].end, 14U);
    EXPECT_EQ(shots[1].first, 18U);
    EXPECT_EQ(shots[1].begins, Transition::fade);
  }
}

// A quiet shot of 40 frames; what happens at frame 20 is each test's own.
Analysis quiet() {
  Analysis a;
  for (int i = 0; i < 40; ++i) {
    a.add_pts_us(static_cast<uint64_t>(i) * 40'000);
    a.add_motion(1);
    a.add_histogram(0.01f);
    a.mutable_pdq()->append(32, '\x0F');
  }
  a.set_frame_us(40'000);
  return a;
}

void jump(Analysis& a, int at, char bits, int until) {
  a.set_motion(at, 50);
  a.set_histogram(at, 0.5f);
  for (int i = at; i < until; ++i)
    a.mutable_pdq()->replace(static_cast<size_t>(i) * 32, 32, 32, bits);
}

TEST(Shots, KeepAQuietShotWhole) {
  EXPECT_TRUE(cuts(quiet()).empty());
}

TEST(Shots, CutWhereThePictureBecomesAnotherForGood) {
  Analysis a = quiet();
  jump(a, 20, '\x70', 40);
  EXPECT_EQ(cuts(a), std::vector<size_t>{20});
}

TEST(Shots, DoNotCutAtAFlash) {
  Analysis a = quiet();
  jump(a, 20, '\x70', 21);  // one frame of light
  jump(a, 21, '\x0F', 22);  // and back
  EXPECT_TRUE(cuts(a).empty());
}

TEST(Shots, DoNotCutWhereEverythingMoves) {
  Analysis a = quiet();
  for (int i = 1; i < 40; ++i) a.set_motion(i, 40);
  jump(a, 20, '\x70', 40);
  a.set_histogram(20, 0.1f);
  EXPECT_TRUE(cuts(a).empty());
}

// From one shot by hand to another: motion says nothing, but the light is another at once.
TEST(Shots, CutWhereEverythingMovesAndTheLightIsAnother) {
  Analysis a = quiet();
  for (int i = 1; i < 40; ++i) a.set_motion(i, 40);
  jump(a, 20, '\x70', 40);
  EXPECT_EQ(cuts(a), std::vector<size_t>{20});
}

// Two frames of white or black between two shots: one cut, and the frames belong to neither.
TEST(Shots, CutOnceOverAFlash) {
  Analysis a = quiet();
  jump(a, 20, '\x33', 22);
  jump(a, 22, '\x70', 40);
  a.mutable_pdq_quality()->assign(40, 100);
  a.mutable_pdq_quality()->replace(20, 2, 2, 0);
  const std::vector<Shot> shots = find_shots(a);
  ASSERT_EQ(shots.size(), 2U);
  EXPECT_EQ(shots[0].end, 20U);
  EXPECT_EQ(shots[1].first, 22U);
  // In one take the picture comes back.
  a.mutable_pdq()->replace(size_t{22} * 32, size_t{18} * 32, size_t{18} * 32, '\x0F');
  EXPECT_TRUE(cuts(a).empty());
}

// Half a second of a fast zoom in quiet footage: motion starts at once, but goes on.
TEST(Shots, DoNotCutWhereAZoomBegins) {
  Analysis a = quiet();
  for (int i = 18; i < 30; ++i) a.set_motion(i, i < 20 ? 17 : 15);
  jump(a, 20, '\x70', 40);
  a.set_motion(20, 18);
  a.set_histogram(20, 0.1f);
  EXPECT_TRUE(cuts(a).empty());
}

// A frame that is half the one picture and half the other, as rates are converted.
TEST(Shots, CutOnceWhereAFrameIsBlended) {
  Analysis a = quiet();
  jump(a, 20, '\x3C', 21);
  jump(a, 21, '\x70', 40);
  EXPECT_EQ(cuts(a), std::vector<size_t>{20});
}

// Whose fingerprints differ though the pictures do not.
TEST(Shots, DoNotCutBetweenPicturesThatLookTheSame) {
  Analysis a = quiet();
  jump(a, 20, '\x70', 40);
  EXPECT_EQ(cuts(a), std::vector<size_t>{20});
  for (int i = 0; i < 40; ++i) a.add_luma(100);
  a.mutable_thumb()->assign(40 * 256, '\x40');
  EXPECT_TRUE(cuts(a).empty());
}

// Each picture `times` times, as of a film of 10 frames a second that was made one of 30 or 60.
Analysis held(const Analysis& film, int times) {
  Analysis a;
  std::string pdq;
  for (int i = 0; i < film.pts_us_size(); ++i) {
    for (int again = 0; again < times; ++again) {
      a.add_pts_us(static_cast<uint64_t>(a.pts_us_size()) * 40'000);
      a.add_motion(again == 0 ? film.motion(i) : 0.05f);
      a.add_histogram(again == 0 ? film.histogram(i) : 0);
      pdq += film.pdq().substr(32 * static_cast<size_t>(i), 32);
    }
  }
  a.set_pdq(pdq);
  a.set_frame_us(40'000);
  return a;
}

// Somebody walks through the picture, and it stays the same place: fast for a moment, and after a
// while all looks as before.
TEST(Shots, DoNotCutWherePicturesAreHeld) {
  Analysis walk = quiet();
  for (int i = 12; i < 28; ++i) walk.set_motion(i, 5);
  walk.set_motion(20, 9);
  jump(walk, 20, '\x70', 22);
  walk.set_motion(20, 9);
  Analysis cut = quiet();
  jump(cut, 20, '\x70', 40);
  for (const int times : {1, 2, 3, 6}) {
    EXPECT_TRUE(cuts(held(walk, times)).empty()) << times;
    EXPECT_EQ(cuts(held(cut, times)), std::vector<size_t>{20U * static_cast<size_t>(times)})
        << times;
  }
}

// Stills, and a short one between two others.
TEST(Shots, CutBetweenStills) {
  for (const int length : {5, 8}) {
    Analysis a = quiet();
    for (int i = 1; i < 40; ++i) a.set_motion(i, 0);
    jump(a, 20, '\x70', 20 + length);
    jump(a, 20 + length, '\x0F', 40);
    EXPECT_EQ(cuts(a), (std::vector<size_t>{20, 20 + static_cast<size_t>(length)})) << length;
  }
}

TEST(Shots, CutAtAGapOfTime) {
  Analysis a = quiet();
  for (int i = 20; i < 40; ++i) a.set_pts_us(i, a.pts_us(i) + 3'000'000);
  EXPECT_EQ(cuts(a), std::vector<size_t>{20});
}

// Picture and black in turns, which is nothing for a camera and 30,000 fades deep for a search that
// calls itself.
TEST(Shots, OfAStrobeAreFoundHoweverLongItLasts) {
  Analysis a;
  a.set_frame_us(2'000);
  for (int i = 0; i < 60'000; ++i) {
    const bool black = i % 2 == 1;
    a.add_pts_us(static_cast<uint64_t>(i) * 2'000);
    a.add_motion(90);
    a.add_histogram(0.9f);
    a.add_luma(black ? 2 : 120);
    a.mutable_pdq()->append(32, static_cast<char>(i / 2 * 0x35));
    for (int place = 0; place < 256; ++place) {
      const int light = 40 + (place * 37 + i / 2 * place * 11) % 150;
      a.mutable_thumb()->push_back(static_cast<char>(black ? 2 : light));
    }
  }
  EXPECT_GE(find_shots(a).size(), 1U);
}

// Another picture every six frames.
TEST(Shots, AreCountedAndBounded) {
  constexpr char kPictures[] = {'\x00', '\x0F', '\x33', '\x55', '\xFF', '\xF0', '\xCC', '\xAA'};
  Analysis a;
  const auto grow = [&](int frames) {
    for (int i = a.pts_us_size(); i < frames; ++i) {
      const int picture = i / 6;
      a.add_pts_us(static_cast<uint64_t>(i) * 40'000);
      a.add_motion(i % 6 == 0 ? 40.0f : 2.0f);
      a.add_histogram(i % 6 == 0 ? 0.4f : 0.001f);
      a.add_luma(120);
      a.mutable_pdq()->append(32, kPictures[picture % 8]);
      for (int place = 0; place < 256; ++place) {
        a.mutable_thumb()->push_back(
            static_cast<char>(40 + (place * 37 + picture * place * 11) % 150));
      }
    }
  };
  grow(12'000);
  EXPECT_GT(find_shots(a).size(), 1'900U);
  grow(132'000);
  try {
    find_shots(a);
    FAIL() << "so many shots are none";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Errc::unsupported);
    EXPECT_STREQ(error.what(), "has more than 20000 shots: deliver it in parts");
  }
}

// A thousand dissolves: each frame is looked at once a length, not again for each one found.
TEST(Shots, OfManyDissolvesTakeNoLongerEach) {
  const auto seconds = [](int dissolves) {
    const Analysis one =
        on_the_way([](int from, int to, int step, int) { return from + (to - from) * step / 12; });
    Analysis a;
    std::string pdq, thumb;
    for (int i = 0; i < dissolves; ++i) {
      a.MergeFrom(one);
      pdq += one.pdq();
      thumb += one.thumb();
    }
    a.set_pdq(pdq);
    a.set_thumb(thumb);
    for (int i = 0; i < a.pts_us_size(); ++i) a.set_pts_us(i, static_cast<uint64_t>(i) * 40'000);
    const std::clock_t start = std::clock();
    EXPECT_GT(find_shots(a).size(), static_cast<size_t>(dissolves));
    return double(std::clock() - start) / CLOCKS_PER_SEC;
  };
  EXPECT_LT(seconds(1600), 9 * (seconds(400) + 0.01));
}

TEST(Shots, OfNothingAreNone) {
  EXPECT_TRUE(find_shots(Analysis()).empty());
}

}  // namespace
}  // namespace cleared::curate
