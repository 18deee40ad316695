#include "curate/look.h"

#include <gtest/gtest.h>

#include "curate/config.pb.h"
#include "curate/delivery.h"
#include "curate/facts.h"
#include "curate/fingerprint.h"
#include "curate/protect.h"
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
  std::vector<LookReport> reports(const fs::path& ledger, bool keyframes) const {
    std::vector<LookReport> out;
    look({.ledger = ledger,
          .delivery = delivery(),
          .keyframes = keyframes,
          .worker = {.program = CLEARED_CURATE_MEDIA}},
         Config(), [&](const LookReport& file) { out.push_back(file); });
    return out;
  }
  testing::TemporaryFolder folder_;
};

TEST_F(Look, SaysWhatIsInEachFile) {
  const auto all = reports({}, false), keys = reports({}, true);
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
  const auto files = reports(ledger, true);
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

TEST_F(Look, NeedsADelivery) {
  EXPECT_THROW(look({.ledger = {},
                     .delivery = folder_.path() / "none",
                     .keyframes = true,
                     .worker = {.program = CLEARED_CURATE_MEDIA}},
                    Config(), [](const LookReport&) {}),
               Error);
}

}  // namespace
}  // namespace cleared::curate
