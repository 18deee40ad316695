// Known answers: `fpcalc bigbuckbunny.mp4` of Debian's libchromaprint-tools 1.5.1; ten items as
// chromaprint_encode_fingerprint() of the same version packs them.
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

TEST(Sound, UnpacksWhatChromaprintPacked) {
  const std::vector<uint32_t> items = {
      283'524'951, 1'535'344'467, 830'456'065,   679'461'121,   2'072'909'727,
      0,           1'593'835'520, 2'050'422'343, 2'050'422'343, 1'010'234'951};
  EXPECT_EQ(
      parse_chromaprint("AQAACkkkJUmYJcUuLYoGTUsSLUkiKfgCJZkiJUySTEiSLImaMFESPEmEJFyURFGmAQ8BRcoJ"),
      items);
}

// The library's own reading of these is undefined: the first crashes it.
TEST(Sound, DamagedFingerprintsAreNone) {
  std::string high(kBunny), short_of_items(kBunny), past_32_bits("AQAAAQcf");
  high[30] = '\xf8';
  short_of_items[4] = '_';
  EXPECT_TRUE(parse_chromaprint(high).empty());
  EXPECT_TRUE(parse_chromaprint(short_of_items).empty());
  EXPECT_TRUE(parse_chromaprint(past_32_bits).empty());
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
