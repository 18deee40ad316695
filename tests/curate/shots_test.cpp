// Known cuts: PySceneDetect 0.7.2 (PyPI scenedetect), `detect(file, AdaptiveDetector())` and
// ContentDetector alike, give frame 116 for cityCC0.mpg and none for bigbuckbunny.mp4. Those of
// bikes.mp4 were found by eye.
#include "curate/shots.h"

#include <algorithm>
#include <cmath>
#include <ctime>
#include <functional>
#include <map>

#include <gtest/gtest.h>

#include "curate/decode.h"
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
  const std::map<std::string, std::vector<size_t>> cases = {
      {"cityCC0.mpg", {116}}, {"bigbuckbunny.mp4", {}}, {"bikes.mp4", {30, 76, 137, 187, 242}}};
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

// Short shots in which all moves, between bars (Debian's source of libopenshot).
TEST(Shots, FindsTheCutsOfAWideFilm) {
  const auto file = testing::footage("sintel_trailer-720p.mp4");
  if (file.empty()) GTEST_SKIP() << "no such footage: set CLEARED_FOOTAGE";
  const Fd fd = open_read(file);
  Reader reader(fd.get());
  Analysis analysis;
  analyse(reader, analysis);
  const std::vector<size_t> found = cuts(analysis);
  for (const size_t cut : {334U, 404U, 571U, 621U, 658U}) {
    EXPECT_EQ(std::count(found.begin(), found.end(), cut), 1) << cut;
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
    a.add_sharpness(100);
    a.add_histogram(0.01f);
    a.add_luma(100);
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
    // Where it returns, a moment without light.
    Analysis a = on_the_way(
        [=](int from, int to, int step, int) { return step < 6 || returns ? from : to; });
    for (int i = 14; i < 20; ++i) {
      a.set_luma(i, 3);
      a.mutable_thumb()->replace(static_cast<size_t>(i) * 256, 256, 256, '\x03');
    }
    const std::vector<Shot> shots = find_shots(a);
    ASSERT_EQ(shots.size(), returns ? 1U : 2U);
    if (returns) continue;
    EXPECT_EQ(shots[0].end, 14U);
    EXPECT_EQ(shots[1].first, 20U);
    EXPECT_EQ(shots[1].begins, Transition::fade);
  }
}

// A picture without repeats, `right` pixels on.
std::string picture(int which, double right = 0) {
  const auto spot = [=](int x, int y) {  // one in three pixels each way
    return int((unsigned(which * 1013 + x + 500) * 2654435761U ^
                unsigned(y + 9) * 40503U * 65599U) >>
               8) %
           160;
  };
  std::string out;
  for (int y = 0; y < 16; ++y) {
    for (int x = 0; x < 16; ++x) {
      const double at = (x + right) / 3, down = y / 3.0;
      const int i = int(std::floor(at)), j = y / 3;
      const double u = at - i, v = down - j;
      out.push_back(static_cast<char>(40 + (1 - v) * ((1 - u) * spot(i, j) + u * spot(i + 1, j)) +
                                      v * ((1 - u) * spot(i, j + 1) + u * spot(i + 1, j + 1))));
    }
  }
  return out;
}

std::string mixed(const std::string& a, const std::string& b, int times_a, int times_b,
                  int add = 0) {
  std::string out;
  for (size_t i = 0; i < a.size(); ++i) {
    const int light = uint8_t(a[i]) * times_a / 8 + uint8_t(b[i]) * times_b / 8 + add;
    out.push_back(static_cast<char>(std::clamp(light, 0, 255)));
  }
  return out;
}

// Frames of 40 ms, with motion and luma as they are measured.
Analysis film(const std::vector<std::string>& pictures) {
  Analysis a;
  for (const std::string& now : pictures) {
    const std::string& before = a.pts_us_size() == 0 ? now : pictures[size_t(a.pts_us_size() - 1)];
    int luma = 0, motion = 0;
    for (size_t i = 0; i < now.size(); ++i) {
      luma += uint8_t(now[i]);
      motion += std::abs(uint8_t(now[i]) - uint8_t(before[i]));
    }
    a.add_pts_us(static_cast<uint64_t>(a.pts_us_size()) * 40'000);
    a.add_luma(float(luma) / 256);
    a.add_motion(float(motion) / 256);
    a.add_sharpness(100);
    a.add_histogram(0.01f);
    a.mutable_thumb()->append(now);
  }
  a.set_frame_us(40'000);
  return a;
}

// 40 frames of one picture, in which something moves a little.
std::vector<std::string> quiet(int which = 0) {
  std::vector<std::string> out;
  for (int i = 0; i < 40; ++i) out.push_back(picture(which, 0.1 * (i % 3)));
  return out;
}

// 20 frames of one and 20 of another.
std::vector<std::string> joined(std::vector<std::string> one, const std::vector<std::string>& two) {
  std::copy(two.begin() + 20, two.end(), one.begin() + 20);
  return one;
}

using Cuts = std::vector<size_t>;

TEST(Shots, KeepAQuietShotWhole) {
  EXPECT_EQ(cuts(film(quiet())), Cuts());
}

TEST(Shots, CutWhereThePictureBecomesAnotherForGood) {
  EXPECT_EQ(cuts(film(joined(quiet(0), quiet(1)))), Cuts{20});
}

TEST(Shots, DoNotCutAtWhatIsThereForAMoment) {
  for (const int length : {1, 2, 5, 8}) {
    std::vector<std::string> take = quiet();
    for (int i = 20; i < 20 + length; ++i) take[size_t(i)] = picture(1);  // dirt, a passer-by
    EXPECT_EQ(cuts(film(take)), Cuts()) << length;
    for (int i = 20; i < 20 + length; ++i) take[size_t(i)].assign(256, '\xF0');
    EXPECT_EQ(cuts(film(take)), Cuts()) << length;
  }
}

std::vector<std::string> pan(int which, double step) {
  std::vector<std::string> out;
  for (int i = 0; i < 40; ++i) out.push_back(picture(which, step * i));
  return out;
}

TEST(Shots, DoNotCutWhereEverythingMoves) {
  EXPECT_EQ(cuts(film(pan(0, 2.5))), Cuts());
  std::vector<std::string> begins = quiet();
  for (int i = 20; i < 40; ++i) begins[size_t(i)] = picture(0, 2.5 * (i - 19));
  EXPECT_EQ(cuts(film(begins)), Cuts());
}

TEST(Shots, CutWhereEverythingMovesIntoAnotherPicture) {
  EXPECT_EQ(cuts(film(joined(pan(0, 2.5), pan(1, -2)))), Cuts{20});
}

// Two frames of white between two shots: one cut, and the frames belong to neither.
TEST(Shots, CutOnceOverAFlash) {
  std::vector<std::string> two = joined(quiet(0), quiet(1));
  two[20] = two[21] = std::string(256, '\xF0');
  const std::vector<Shot> shots = find_shots(film(two));
  ASSERT_EQ(shots.size(), 2U);
  EXPECT_EQ(shots[0].end, 20U);
  EXPECT_EQ(shots[1].first, 22U);
}

// A frame that is half the one picture and half the other, as rates are converted.
TEST(Shots, CutOnceWhereAFrameIsBlended) {
  std::vector<std::string> two = joined(quiet(0), quiet(1));
  two[20] = mixed(two[19], two[21], 4, 4);
  EXPECT_EQ(cuts(film(two)).size(), 1U);
}

// Two to four frames, ever more of the next shot: a soft cut, and they belong to neither.
TEST(Shots, CutOnceOverAShortDissolve) {
  for (const int length : {2, 3, 4}) {
    std::vector<std::string> two = joined(quiet(0), quiet(1)), lit = quiet(0);
    for (int i = 1; i <= length; ++i) {
      const size_t at = 19 + size_t(i);
      two[at] = mixed(two[19], two[at], 8 - 8 * i / (length + 1), 8 * i / (length + 1));
    }
    const std::vector<Shot> shots = find_shots(film(two));
    ASSERT_EQ(shots.size(), 2U) << length;
    EXPECT_EQ(shots[0].end, 20U) << length;
    EXPECT_EQ(shots[1].first, 20U + size_t(length));
    EXPECT_EQ(shots[1].begins, Transition::cut);
    // Light that comes up as fast.
    for (size_t i = 20; i < 40; ++i) {
      lit[i] = mixed(lit[i], lit[i], 8 + std::min(int(i) - 19, length), 0, 10);
    }
    EXPECT_EQ(cuts(film(lit)), Cuts()) << length;
  }
}

TEST(Shots, CutToAPlainPictureThatStays) {
  EXPECT_EQ(cuts(film(joined(quiet(), std::vector<std::string>(40, std::string(256, '\xC0'))))),
            Cuts{20});
}

// Switched on, a strobe, and lightning from one side.
TEST(Shots, DoNotCutWhereTheLightIsAnother) {
  std::vector<std::string> lit = quiet(), strobe = quiet(), lightning = quiet();
  for (size_t i = 20; i < 40; ++i) {
    lit[i] = mixed(lit[i], lit[i], 12, 0, 70);
    if (i % 4 < 2) strobe[i] = mixed(strobe[i], strobe[i], 3, 0);
    if (i % 3 > 0) continue;
    for (size_t at = 0; at < 256; ++at) {
      const int light = uint8_t(lightning[i][at]) + 70 * (16 - int(at % 16)) / 16;
      lightning[i][at] = static_cast<char>(std::min(light, 255));
    }
  }
  EXPECT_EQ(cuts(film(lit)), Cuts());
  EXPECT_EQ(cuts(film(strobe)), Cuts());
  EXPECT_EQ(cuts(film(lightning)), Cuts());
  std::vector<std::string> other = quiet(1);
  for (size_t i = 20; i < 40; ++i) {
    if (i % 4 < 2) other[i] = mixed(other[i], other[i], 3, 0);
  }
  EXPECT_EQ(cuts(film(joined(strobe, other))), Cuts{20});
}

// A title over the lower third, and a page that is scrolled.
TEST(Shots, DoNotCutAtTitlesAndWhereAPageIsScrolled) {
  std::vector<std::string> title = quiet(), page = quiet();
  for (size_t i = 20; i < 40; ++i) {
    for (size_t at = 11 * 16; at < 15 * 16; ++at) title[i][at] = '\x20';
    page[i] = picture(0, i < 30 ? 3 : 6);
  }
  EXPECT_EQ(cuts(film(title)), Cuts());
  EXPECT_EQ(cuts(film(page)), Cuts());
}

// Confetti: no picture is like any other, and so none is a cut.
TEST(Shots, DoNotCutWhereNothingIsLikeAnything) {
  std::vector<std::string> confetti;
  for (int i = 0; i < 40; ++i) confetti.push_back(picture(i));
  EXPECT_EQ(cuts(film(confetti)), Cuts());
}

// The camera swings: where it is fast, nothing is sharp.
TEST(Shots, DoNotCutIntoASmear) {
  Analysis a = film(joined(pan(0, 2.5), pan(1, -2)));
  EXPECT_EQ(cuts(a), Cuts{20});
  a.set_sharpness(20, 2);
  EXPECT_EQ(cuts(a), Cuts());
}

// As a wide film in a narrow picture, or the other way round: the middle `inside` of 16 pixels.
std::vector<std::string> barred(const std::vector<std::string>& pictures, int inside, bool above) {
  std::vector<std::string> out;
  const int bar = (16 - inside) / 2;
  for (const std::string& one : pictures) {
    std::string small(256, '\0');
    for (int i = 0; i < inside; ++i) {
      for (int j = 0; j < 16; ++j) {
        const int from = i * 16 / inside;
        small[size_t(above ? (i + bar) * 16 + j : j * 16 + i + bar)] =
            one[size_t(above ? from * 16 + j : j * 16 + from)];
      }
    }
    out.push_back(small);
  }
  return out;
}

// Black that all pictures have is no likeness of theirs, and no change of theirs is small beside
// it.
TEST(Shots, DoNotCareForBars) {
  for (const bool above : {true, false}) {
    for (const int inside : {8, 12, 16}) {
      EXPECT_EQ(cuts(film(barred(joined(pan(0, 1.5), pan(1, -1)), inside, above))), Cuts{20})
          << inside;
      EXPECT_EQ(cuts(film(barred(pan(0, 1.5), inside, above))), Cuts()) << inside;
    }
  }
}

// From one rest to another in five pictures, each smeared along the way: none of them is like the
// one before, and the last rest is like none.
TEST(Shots, DoNotCutInAWhipPan) {
  const auto smeared = [](double right) {
    const std::string one = mixed(picture(0, right), picture(0, right + 4), 4, 4);
    const std::string two = mixed(picture(0, right + 8), picture(0, right + 12), 4, 4);
    return mixed(one, two, 4, 4);
  };
  std::vector<std::string> whip = quiet();
  for (size_t i = 20; i < 40; ++i) {
    whip[i] = i < 25 ? smeared(40 + 9 * (double(i) - 20)) : picture(0, 100 + 0.1 * double(i % 3));
  }
  Analysis a = film(whip);
  for (int i = 20; i < 25; ++i) a.set_sharpness(i, 5);
  EXPECT_EQ(cuts(a), Cuts());
}

// Each picture `times` times, as of a film of 10 frames a second that was made one of 30 or 60.
Analysis held(const std::vector<std::string>& pictures, int times) {
  std::vector<std::string> out;
  for (const std::string& one : pictures) out.insert(out.end(), size_t(times), one);
  return film(out);
}

// Somebody walks through the picture, and it stays the same place: fast for a moment, and after a
// while all looks as before.
TEST(Shots, DoNotCutWherePicturesAreHeld) {
  std::vector<std::string> walk = quiet();
  for (size_t i = 12; i < 28; ++i) {
    for (size_t y = 2; y < 14; ++y) {
      for (size_t x = i - 12; x < std::min<size_t>(i - 8, 16); ++x) walk[i][y * 16 + x] = '\x30';
    }
  }
  for (const int times : {1, 2, 3, 6}) {
    EXPECT_EQ(cuts(held(walk, times)), Cuts()) << times;
    EXPECT_EQ(cuts(held(joined(quiet(0), quiet(1)), times)), Cuts{20U * size_t(times)}) << times;
  }
}

// Stills, and a short one between two others.
TEST(Shots, CutBetweenStills) {
  for (const size_t length : {5U, 8U}) {
    std::vector<std::string> stills(40, picture(0));
    for (size_t i = 20; i < 40; ++i) stills[i] = picture(i < 20 + length ? 1 : 2);
    EXPECT_EQ(cuts(film(stills)), (Cuts{20, 20 + length})) << length;
  }
}

TEST(Shots, CutAtAGapOfTime) {
  Analysis a = film(quiet());
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
    a.add_sharpness(100);
    a.add_histogram(0.01f);
    a.add_luma(black ? 2 : 120);
    for (int place = 0; place < 256; ++place) {
      const int light = 40 + (place * 37 + i / 2 * place * 11) % 150;
      a.mutable_thumb()->push_back(static_cast<char>(black ? 2 : light));
    }
  }
  EXPECT_GE(find_shots(a).size(), 1U);
}

// Another picture every six frames.
TEST(Shots, AreCountedAndBounded) {
  Analysis a;
  const auto grow = [&](int frames) {
    for (int i = a.pts_us_size(); i < frames; ++i) {
      const int which = i / 6;
      a.add_pts_us(static_cast<uint64_t>(i) * 40'000);
      a.add_motion(i % 6 == 0 ? 40.0f : 2.0f);
      a.add_sharpness(100);
      a.add_histogram(0.01f);
      a.add_luma(120);
      for (int place = 0; place < 256; ++place) {
        a.mutable_thumb()->push_back(
            static_cast<char>(40 + (place * 37 + which * place * 11) % 150));
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
    std::string thumb;
    for (int i = 0; i < dissolves; ++i) {
      a.MergeFrom(one);
      thumb += one.thumb();
    }
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
