// What a licence that limits how alike clips may be does to `train sample` and to the clips of a
// run.
#include <cstring>
#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "curate/fingerprint.pb.h"
#include "ledger/digest.h"
#include "tests/train/train_program.h"

namespace cleared::train {
namespace {

using testing::HasSubstr;
using testing::Not;

// The fingerprints that `curate` makes of a video, as a ledger has them of a source of this shape.
ledger::FootagePictures pictures_of(const fs::path& video, uint32_t width = 64,
                                    uint32_t height = 64) {
  const fs::path out = video.string() + ".prints";  // a folder
  Process process(CLEARED_CURATE, {"fingerprint", video, "--out", out});
  EXPECT_EQ(process.wait(), 0) << process.output();
  curate::FootagePrint print;
  EXPECT_TRUE(print.ParseFromString(read_file(fs::directory_iterator(out)->path())
                                        .substr(strlen("cleared fingerprint 2\n") + 32)));
  ledger::FootagePictures pictures{ledger::sha256(read_file(video)), width, height, {}};
  for (size_t i = 0; i < print.quality().size(); ++i) {
    std::memcpy(pictures.prints.emplace_back().data(), print.pdq().data() + 32 * i, 32);
  }
  std::sort(pictures.prints.begin(), pictures.prints.end());
  pictures.prints.erase(std::unique(pictures.prints.begin(), pictures.prints.end()),
                        pictures.prints.end());
  return pictures;
}

class SimilarityRun : public TrainRun {
 protected:
  static Ended sample(const GateFixture& f, const std::string& out,
                      const std::vector<std::string>& more = {}) {
    return train(std::vector<std::string>{"sample", "--checkpoint", f.folder() / "a/step-000006",
                                          "--out", f.folder() / out, "--release",
                                          f.folder() / "a.release", "--trust",
                                          f.folder() / "trust-release", "--notices",
                                          f.paths().notices, "--curate", CLEARED_CURATE} +
                 more);
  }
};

TEST_F(SimilarityRun, AClipThatIsFootageIsNotWritten) {
  GateFixture f = make();
  ASSERT_EQ(run(f, "a").code, 0);
  const Digest weights =
      *ledger::parse_digest_name(state_of(f.folder() / "a/step-000006").weights());
  f.release(weights);
  ASSERT_EQ(sample(f, "a.webm").code, 0);

  // The very clip becomes footage, as curate sees it: lossy, in a file of its own.
  ledger::SimilarityLimit limit{0.86, {pictures_of(f.folder() / "a.webm")}};
  f.release(weights, {}, &limit);
  for (const char* out : {"again.webm", "again.gif"}) {
    const Ended same = sample(f, out);
    EXPECT_EQ(same.code, 3) << same.output;
    EXPECT_THAT(same.output, HasSubstr("similarity_exceeded: frame "));
    EXPECT_THAT(same.output, HasSubstr(ledger::digest_name(limit.footage[0].source)));
    EXPECT_FALSE(fs::exists(f.folder() / out));
  }
  const Ended far = sample(f, "far.gif", {"--seed", "4242"});
  EXPECT_EQ(far.code, 0) << far.output;
  EXPECT_TRUE(fs::exists(f.folder() / "far.gif"));

  // Nothing differs so much from anything.
  limit.most = 0;
  f.release(weights, {}, &limit);
  EXPECT_THAT(sample(f, "far2.gif", {"--seed", "4242"}).output, HasSubstr("similarity_exceeded"));
}

TEST_F(SimilarityRun, TheFileOfTheFootageIsTheOneThatTheReleaseNames) {
  GateFixture f = make();
  ASSERT_EQ(run(f, "a").code, 0);
  write_file(f.folder() / "film.webm", sample_video(0));
  const ledger::SimilarityLimit limit{0.86, {pictures_of(f.folder() / "film.webm")}};
  const fs::path footage = f.folder() / "a.release.footage";
  f.release(*ledger::parse_digest_name(state_of(f.folder() / "a/step-000006").weights()), {},
            &limit);
  ASSERT_EQ(sample(f, "good.gif").code, 0);
  const std::string good = read_file(footage);
  const std::function<void()> changes[] = {
      [&] { fs::remove(footage); }, [&] { write_file(footage, good.substr(0, good.size() - 32)); },
      [&] {  // of no footage: nothing would be too near
        write_file(footage, ledger::format_footage({}));
      }};
  for (const auto& change : changes) {
    change();
    const Ended ended = sample(f, "a.gif");
    EXPECT_EQ(ended.code, 3) << ended.output;
    EXPECT_THAT(ended.output, HasSubstr("release_other_footage: "));
    EXPECT_THAT(ended.output, HasSubstr("copy it beside the release"));
    EXPECT_FALSE(fs::exists(f.folder() / "a.gif"));
  }
}

TEST_F(SimilarityRun, AClipOfAnotherShapeThanTheFootageIsRefused) {
  GateFixture f = make();
  ASSERT_EQ(run(f, "a").code, 0);
  write_file(f.folder() / "film.webm", sample_video(0));
  const ledger::SimilarityLimit limit{0.86, {pictures_of(f.folder() / "film.webm", 1280, 720)}};
  f.release(*ledger::parse_digest_name(state_of(f.folder() / "a/step-000006").weights()), {},
            &limit);
  const Ended ended = sample(f, "a.gif");
  EXPECT_EQ(ended.code, 3) << ended.output;
  EXPECT_THAT(ended.output, HasSubstr("similarity_unknown: clips of 64 x 64 show too little"));
}

// `train eval` shows nobody its clips: it measures them, copies too.
TEST_F(SimilarityRun, EvalMeasuresWhatItDoesNotShow) {
  GateFixture f = make();
  ASSERT_EQ(run(f, "a").code, 0);
  write_file(f.folder() / "film.webm", sample_video(0));
  const ledger::SimilarityLimit limit{0, {pictures_of(f.folder() / "film.webm")}};
  f.release(*ledger::parse_digest_name(state_of(f.folder() / "a/step-000006").weights()), {},
            &limit);
  const GatePaths paths = f.paths();
  const Ended eval = train({"eval", "--checkpoint", f.folder() / "a/step-000006", "--permit",
                            paths.permit, "--trust", f.folder() / "trust-release", "--shards",
                            paths.shards, "--notices", paths.notices, "--curate", CLEARED_CURATE,
                            "--release", f.folder() / "a.release", "--clips", "1"});
  EXPECT_EQ(eval.code, 0) << eval.output;
  EXPECT_THAT(eval.output, HasSubstr("nearest of"));
}

}  // namespace
}  // namespace cleared::train
