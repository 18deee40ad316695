#include "train/model/gif.h"

#include <cstring>
#include <memory>
#include <vector>

#include <gif_lib.h>
#include <gtest/gtest.h>

#include "ledger/base/error.h"
#include "train/sample.h"

namespace cleared::train {
namespace {

struct Source {
  const std::string* bytes;
  size_t at = 0;
};

int read_bytes(GifFileType* gif, GifByteType* out, int count) {
  auto* source = static_cast<Source*>(gif->UserData);
  const size_t n = std::min(static_cast<size_t>(count), source->bytes->size() - source->at);
  std::memcpy(out, source->bytes->data() + source->at, n);
  source->at += n;
  return static_cast<int>(n);
}

TEST(Gif, FramesColoursDelayAndLoopComeBack) {
  // Frame 0 is red on the left and blue on the right, frame 1 is green.
  std::vector<uint8_t> rgb;
  for (int pixel = 0; pixel < 4 * 2; ++pixel) {
    const bool left = pixel % 4 < 2;
    rgb.insert(rgb.end(), {uint8_t(left ? 248 : 0), 0, uint8_t(left ? 0 : 248)});
  }
  for (int pixel = 0; pixel < 4 * 2; ++pixel) rgb.insert(rgb.end(), {0, 248, 0});
  const std::string bytes =
      encode_gif(rgb, {.width = 4, .height = 2, .frames_per_second = 10, .scale = 2});
  EXPECT_EQ(bytes.substr(0, 6), "GIF89a");
  EXPECT_EQ(bytes.back(), ';');

  Source source{&bytes};
  int error = 0;
  GifFileType* gif = DGifOpen(&source, read_bytes, &error);
  ASSERT_NE(gif, nullptr);
  ASSERT_EQ(DGifSlurp(gif), GIF_OK);
  EXPECT_EQ(gif->SWidth, 8);
  EXPECT_EQ(gif->SHeight, 4);
  ASSERT_EQ(gif->ImageCount, 2);
  const auto colour_at = [&](int frame, int x, int y) {
    const SavedImage& image = gif->SavedImages[frame];
    const GifColorType c = image.ImageDesc.ColorMap->Colors[image.RasterBits[y * 8 + x]];
    return std::array<int, 3>{c.Red, c.Green, c.Blue};
  };
  EXPECT_GT(colour_at(0, 0, 0)[0], 230);
  EXPECT_LT(colour_at(0, 3, 3)[2], 20);
  EXPECT_GT(colour_at(0, 4, 0)[2], 230);
  EXPECT_GT(colour_at(1, 7, 3)[1], 230);
  for (int i = 0; i < 2; ++i) {
    GraphicsControlBlock control;
    ASSERT_EQ(DGifSavedExtensionToGCB(gif, i, &control), GIF_OK);
    EXPECT_EQ(control.DelayTime, 10);
  }
  EXPECT_NE(bytes.find("NETSCAPE2.0"), std::string::npos);
  EXPECT_EQ(source.at, bytes.size());
  DGifCloseFile(gif, nullptr);
}

TEST(Gif, RefusesSizesThatDoNotFit) {
  const std::vector<uint8_t> rgb(4 * 2 * 3, 0);
  for (const GifOptions& o :
       {GifOptions{}, GifOptions{.width = 4, .height = 3}, GifOptions{.width = -4, .height = -2},
        GifOptions{.width = 4, .height = 2, .frames_per_second = 0},
        GifOptions{.width = 4, .height = 2, .scale = 0},
        GifOptions{.width = 4, .height = 2, .scale = 1 << 30}}) {
    EXPECT_THROW(encode_gif(rgb, o), Error);
  }
  EXPECT_THROW(encode_gif({}, {.width = 4, .height = 2}), Error);
}

// The checkpoint that it belongs to is whole, so the run goes on.
TEST(Gif, ThatCannotBeMadeIsALineInTheLog) {
  const auto gifs = [](const std::function<std::vector<Gif>()>& preview) {
    ::testing::internal::CaptureStderr();
    const size_t count = try_preview(preview, 7).size();
    return std::to_string(count) + " " + ::testing::internal::GetCapturedStderr();
  };
  EXPECT_EQ(gifs([] { return std::vector<Gif>(2); }), "2 ");
  for (const std::function<std::vector<Gif>()>& preview :
       {std::function<std::vector<Gif>()>([]() -> std::vector<Gif> { throw std::bad_alloc(); }),
        std::function<std::vector<Gif>()>(
            []() -> std::vector<Gif> { throw Error(Errc::usage, "a line\nand another"); })}) {
    const std::string said = gifs(preview);
    EXPECT_EQ(said.substr(0, 2), "0 ");
    EXPECT_NE(said.find("run.preview"), std::string::npos) << said;
    EXPECT_NE(said.find("step=7"), std::string::npos) << said;
    EXPECT_EQ(said.find("and another"), std::string::npos) << said;
  }
}

}  // namespace
}  // namespace cleared::train
