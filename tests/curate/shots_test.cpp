// Known cuts: PySceneDetect 0.7.2 (PyPI scenedetect), `detect(file, AdaptiveDetector())` and
// ContentDetector alike, give frame 116 for cityCC0.mpg and none for bigbuckbunny.mp4.
#include "curate/shots.h"

#include <map>

#include <gtest/gtest.h>

#include "curate/decode.h"
#include "curate/pdq.h"
#include "curate/worker.pb.h"
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

TEST(Shots, FindsEveryCutBetweenDrawnScenes) {
  const std::string media = make_media({.scenes = {1, 2, 3}, .frames_per_scene = 20});
  Reader reader(media);
  Analysis analysis;
  analyse(reader, analysis);
  EXPECT_EQ(cuts(analysis), (std::vector<size_t>{20, 40}));
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
  EXPECT_TRUE(cuts(a).empty());
}

TEST(Shots, CutAtAGapOfTime) {
  Analysis a = quiet();
  for (int i = 20; i < 40; ++i) a.set_pts_us(i, a.pts_us(i) + 3'000'000);
  EXPECT_EQ(cuts(a), std::vector<size_t>{20});
}

TEST(Shots, OfNothingAreNone) {
  EXPECT_TRUE(find_shots(Analysis()).empty());
}

}  // namespace
}  // namespace cleared::curate
