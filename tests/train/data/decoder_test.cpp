#include "train/data/decoder.h"

#include <cstdlib>
#include <set>

#include <gtest/gtest.h>

#include "ledger/base/error.h"
#include "tests/train/gate_fixture.h"

namespace cleared::train {
namespace {

namespace fs = std::filesystem;

DecoderOptions fake(const std::string& mode, int timeout_ms = 20'000) {
  ::setenv("FAKE_CURATE", mode.c_str(), 1);
  return {.program = program_beside_this("fake_curate"),
          .width = 8,
          .height = 8,
          .frames = 4,
          .timeout_ms = timeout_ms};
}

// One cleared sample whose video is "V".
struct Sample {
  GateFixture fixture{tiny_config(), {"V"}};
  ledger::Gate gate{fixture.options()};
  ledger::ClearedSample sample = gate.clear(0, 1);
};

std::string error_of(const DecoderOptions& options, Errc want) {
  const Sample s;
  try {
    Decoder(options).decode(s.sample);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), want) << error.what();
    return error.what();
  }
  return "no error";
}

TEST(Decoder, HandsOverTheFramesOfEverySample) {
  const Sample s;
  Decoder decoder(fake("echo"));
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(decoder.decode(s.sample), Frames(size_t{3} * 8 * 8 * 4, 'V'));
  }
}

TEST(Decoder, AsksForThePartOfTheSample) {
  const Sample s;
  const View view{.start = 1, .across = 0x02030405, .down = 6, .mirror = true};
  const Frames frames = Decoder(fake("part")).decode(s.sample, view);
  EXPECT_EQ(Frames(frames.begin(), frames.begin() + 16),
            (Frames{1, 0, 0, 0, 5, 4, 3, 2, 6, 0, 0, 0, 1, 0, 0, 0}));
  const View all{.start = 1, .mirror = true, .whole = true};
  EXPECT_EQ(Decoder(fake("part")).decode(s.sample, all).at(12), 3);
}

// As many as the sample has, but no fewer than a clip.
TEST(Decoder, HandsOverAllFramesWhereTheyAreAskedFor) {
  const Sample s;
  EXPECT_EQ(Decoder(fake("long")).decode(s.sample, {.whole = true}),
            Frames(size_t{2} * 3 * 8 * 8 * 4, 'V'));
  EXPECT_THROW(Decoder(fake("long")).decode(s.sample), Error);
  EXPECT_THROW(Decoder(fake("short")).decode(s.sample, {.whole = true}), Error);
}

TEST(Decoder, StartsADeadChildAgainOnce) {
  const Sample s;
  const fs::path flag = s.fixture.folder() / "died";
  Decoder decoder(fake("die_once " + flag.string()));
  EXPECT_EQ(decoder.decode(s.sample).size(), size_t{3} * 8 * 8 * 4);
  EXPECT_TRUE(fs::exists(flag));
}

TEST(Decoder, SaysWhatWentWrong) {
  EXPECT_NE(error_of(fake("text"), Errc::corrupt).find("clip0: no key frame"), std::string::npos);
  EXPECT_NE(error_of(fake("die"), Errc::io).find("ended, twice"), std::string::npos);
  EXPECT_NE(error_of(fake("short"), Errc::io).find("another number of bytes"), std::string::npos);
  EXPECT_NE(error_of(fake("hang", 200), Errc::io).find("no answer in time"), std::string::npos);
  DecoderOptions missing = fake("echo");
  missing.program = "/nowhere/curate";
  EXPECT_NE(error_of(missing, Errc::not_found).find("/nowhere/curate"), std::string::npos);
}

// With the real program, when it is built: the frames are those that ffmpeg decodes. The means are
// of `ffmpeg -i clip0.webm -f rawvideo -pix_fmt rgb24 -`, over each channel; another scaler's
// rounding is allowed for.
TEST(Decoder, DecodesWithTheRealProgram) {
  const fs::path curate =
      program_beside_this("fake_curate").parent_path().parent_path() / ".." / "tools" / "curate";
  if (!fs::exists(curate)) GTEST_SKIP() << "curate is not built: " << curate;
  const GateFixture fixture(tiny_config(), {sample_video(0)});
  const ledger::Gate gate(fixture.options());
  Decoder decoder({.program = curate, .width = 64, .height = 64, .frames = 16});
  const Frames frames = decoder.decode(gate.clear(0, 1));
  ASSERT_EQ(frames.size(), size_t{3} * 64 * 64 * 16);
  const double want[3] = {79.11, 130.62, 138.54};
  for (size_t channel = 0; channel < 3; ++channel) {
    double sum = 0;
    for (size_t i = channel; i < frames.size(); i += 3) sum += frames[i];
    EXPECT_NEAR(sum * 3 / static_cast<double>(frames.size()), want[channel], 2.0);
  }
}

}  // namespace
}  // namespace cleared::train
