// Known answer: `fpcalc bigbuckbunny.mp4` of Debian's libchromaprint-tools 1.5.1.
#include "curate/sound.h"

#include <gtest/gtest.h>

#include "curate/decode.h"
#include "curate/worker.pb.h"
#include "ledger/base/file.h"
#include "tests/curate/media.h"

namespace cleared::curate {
namespace {

constexpr const char* kBunny =
    "AQAAFVkSKYlERUoQapE-9Bl-6tiuHdlTiSE0z8cNiFyW4wmdDvmFaA-"
    "ePFAV5ngWIS12JkyC55rwCzsAgYkAAADBEDIKAyeQ"
    "IYIIBA";

TEST(Sound, FingerprintIsThatOfFpcalc) {
  const auto file = testing::footage("bigbuckbunny.mp4");
  if (file.empty()) GTEST_SKIP() << "no sample footage: set CLEARED_FOOTAGE or run ./try.sh";
  const Fd fd = open_read(file);
  Reader reader(fd.get());
  Analysis analysis;
  analyse(reader, analysis);
  EXPECT_EQ(analysis.chromaprint(), kBunny);
}

TEST(Sound, FingerprintUnpacksToItemsAndGarbageToNone) {
  EXPECT_EQ(parse_chromaprint(kBunny).size(), 21U);  // 0x15, as its fourth byte says
  EXPECT_TRUE(parse_chromaprint("").empty());
  EXPECT_TRUE(parse_chromaprint("!!!").empty());
}

TEST(Sound, MatchesItselfAndNotSilence) {
  std::vector<uint32_t> song, silence(80, 627'964'279U);
  for (uint32_t i = 0; i < 80; ++i) song.push_back((i + 1) * 2'654'435'761U);
  EXPECT_DOUBLE_EQ(sound_match(song, 0, song, 0, 5'000'000), 1.0);
  EXPECT_LT(sound_match(song, 0, song, 5'000'000, 4'000'000), 0.7);
  EXPECT_EQ(sound_match(silence, 0, silence, 0, 5'000'000), -1);
  EXPECT_EQ(sound_match(song, 0, {}, 0, 5'000'000), -1);
}

}  // namespace
}  // namespace cleared::curate
