#include "curate/look.h"

#include <algorithm>
#include <optional>

#include <gtest/gtest.h>

#include "curate/config.pb.h"
#include "curate/decode.h"
#include "curate/delivery.h"
#include "curate/facts.h"
#include "curate/fingerprint.h"
#include "curate/protect.h"
#include "curate/worker.pb.h"
#include "ledger/base/error.h"
#include "ledger/key.h"
#include "ledger/store.h"
#include "tests/curate/media.h"

namespace cleared::curate {
namespace fs = std::filesystem;
namespace {

using testing::make_media;

class Look : public ::testing::Test {
 protected:
  void SetUp() override {
    make_folders(delivery());
    write_file(delivery() / "a.mkv", make_media({.codec = "mpeg4", .scenes = {1, 2}}));
    write_file(delivery() / "b.mkv", make_media({.codec = "mpeg4", .scenes = {3}, .sound = true}));
    write_file(delivery() / "c.mp4", "no film");
  }
  fs::path delivery() const { return folder_.path() / "delivery"; }
  std::vector<LookReport> reports(const fs::path& ledger, std::optional<uint64_t> every_us) const {
    std::vector<LookReport> out;
    look({.ledger = ledger,
          .delivery = delivery(),
          .keyframes_every_us = every_us,
          .worker = {.program = CLEARED_CURATE_MEDIA}},
         Config(), [&](const LookReport& file) { out.push_back(file); });
    return out;
  }
  testing::TemporaryFolder folder_;
};

TEST_F(Look, SaysWhatIsInEachFile) {
  const auto all = reports({}, std::nullopt), keys = reports({}, 0);
  ASSERT_EQ(all.size(), 3u);
  ASSERT_EQ(keys.size(), 3u);
  EXPECT_EQ(all[0].path, "a.mkv");
  EXPECT_EQ(all[0].shots, 2u);
  EXPECT_EQ(all[0].problem, "");
  EXPECT_FALSE(all[0].judged);
  EXPECT_EQ(all[1].shots, 1u);
  EXPECT_NE(all[1].audio_codec, "");
  EXPECT_EQ(all[2].pictures, 0u);
  EXPECT_NE(all[2].problem, "");
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_GE(keys[i].pictures, 1u);
    EXPECT_LT(keys[i].pictures, all[i].pictures);
    EXPECT_EQ(keys[i].width, all[i].width);
    EXPECT_EQ(keys[i].problem, "");
    EXPECT_NEAR(double(keys[i].duration_us), double(all[i].duration_us), 200'000);
    EXPECT_GE(keys[i].shots, all[i].shots);  // drawings move much from keyframe to keyframe
  }
}

TEST_F(Look, AsksTheLedgerAndChangesNothing) {
  const fs::path ledger = folder_.path() / "L.db";
  ledger::Store::create(ledger, ledger::new_signer_key("log").verifier);
  const ExaminedFile work =
      examine_file(delivery() / "a.mkv", Config().limits(), {.program = CLEARED_CURATE_MEDIA});
  add_protected(protected_folder(ledger), work.fingerprint);
  const std::string before = read_file(ledger);
  const auto files = reports(ledger, 0);
  ASSERT_EQ(files.size(), 3u);
  EXPECT_TRUE(files[0].judged);
  EXPECT_FALSE(files[0].cleared);  // no licence covers it
  EXPECT_NE(files[0].verdict, "");
  ASSERT_EQ(files[0].like.size(), 1u);
  EXPECT_TRUE(files[0].like[0].is_protected);
  EXPECT_EQ(files[0].like[0].pictures, files[0].pictures);
  EXPECT_TRUE(files[1].like.empty());
  EXPECT_EQ(read_file(ledger), before);
  EXPECT_FALSE(fs::exists(index_folder(ledger)));
}

// The pictures of a look at one keyframe in so much film are those of the whole at these times.
// Films of keyframes alone, and of one in half a second and in four.
TEST(Keyframes, AreTakenAsFarApartAsAsked) {
  const std::vector<testing::MediaOptions> films = {
      {.container = "mov",
       .codec = "mjpeg",
       .format = AV_PIX_FMT_YUVJ420P,
       .scenes = {1, 2},
       .frames_per_scene = 80},
      {.codec = "mpeg4", .scenes = {1, 2}, .frames_per_scene = 80},
      {.container = "mpegts", .codec = "mpeg2video", .fps = 25, .scenes = {3}, .sound = false},
      {.container = "mov", .codec = "libx264", .scenes = {1, 2}, .frames_per_scene = 80},
      {.codec = "mpeg4", .fps = 2, .scenes = {3, 4}, .frames_per_scene = 40}};
  for (const testing::MediaOptions& film : films) {
    const std::string bytes = make_media(film);
    const auto seen = [&](std::optional<uint64_t> every_us) {
      Analyse request;
      if (every_us) request.set_keyframes_every_us(*every_us);
      Analysis out;
      Reader reader(bytes);
      analyse(reader, request, out);
      return footage_of({}, out);
    };
    const Footage whole = seen(std::nullopt), each = seen(0);
    ASSERT_GE(each.pts_us.size(), 4u) << film.codec;
    for (const uint64_t every_us : {0, 500'000, 1'000'000, 3'000'000, 4'000'000, 100'000'000}) {
      std::vector<uint64_t> expected;
      for (const uint64_t at : each.pts_us) {
        if (expected.empty() || at >= expected.back() + every_us) expected.push_back(at);
      }
      const Footage some = seen(every_us);
      EXPECT_EQ(some.pts_us, expected) << film.codec << ' ' << every_us;
      for (size_t i = 0; i < some.pts_us.size(); ++i) {
        const auto at = std::find(whole.pts_us.begin(), whole.pts_us.end(), some.pts_us[i]);
        ASSERT_NE(at, whole.pts_us.end());
        EXPECT_EQ(some.prints[i].bits, whole.prints[size_t(at - whole.pts_us.begin())].bits);
      }
    }
  }
}

TEST_F(Look, NeedsADelivery) {
  EXPECT_THROW(look({.ledger = {},
                     .delivery = folder_.path() / "none",
                     .keyframes_every_us = 0,
                     .worker = {.program = CLEARED_CURATE_MEDIA}},
                    Config(), [](const LookReport&) {}),
               Error);
}

}  // namespace
}  // namespace cleared::curate
