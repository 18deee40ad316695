#include "curate/encode.h"

#include <cmath>

#include <gtest/gtest.h>

#include "curate/decode.h"
#include "curate/worker.pb.h"
#include "ledger/base/error.h"
#include "tests/curate/media.h"

namespace cleared::curate {
namespace {

std::vector<Picture> scene(int frames, int width, int height) {
  std::vector<Picture> out;
  for (int i = 0; i < frames; ++i) out.push_back(testing::draw(3, i, width, height));
  return out;
}

double psnr(const std::vector<Picture>& frames, std::string_view rgb) {
  double sum = 0;
  size_t at = 0;
  for (const Picture& frame : frames) {
    for (const uint8_t value : frame.pixels) {
      const double error = value - static_cast<uint8_t>(rgb[at++]);
      sum += error * error;
    }
  }
  return 10 * std::log10(255.0 * 255.0 * double(at) / sum);
}

constexpr VideoCodec kCodecs[] = {VideoCodec::vp9, VideoCodec::av1};

TEST(Encode, ComesBackLookingTheSame) {
  const auto frames = scene(16, 64, 64);
  for (const VideoCodec codec : kCodecs) {
    const RawClip clip = decode_clip(encode_webm(frames, {.codec = codec}), {});
    ASSERT_EQ(clip.frames, 16);
    ASSERT_EQ(clip.rgb.size(), 16U * 64 * 64 * 3);
    EXPECT_GT(psnr(frames, clip.rgb), 34);
  }
}

TEST(Encode, GivesTheSameBytesForTheSamePictures) {
  const auto frames = scene(16, 64, 64);
  for (const VideoCodec codec : kCodecs) {
    EXPECT_EQ(encode_webm(frames, {.codec = codec}), encode_webm(frames, {.codec = codec}));
  }
}

TEST(Encode, WritesTheCodecThatIsAskedFor) {
  const auto frames = scene(4, 64, 64);
  EXPECT_EQ(Reader(encode_webm(frames, {})).video_codec(), "vp9");
  EXPECT_EQ(Reader(encode_webm(frames, {.codec = VideoCodec::av1})).video_codec(), "av1");
}

TEST(Encode, TakesOnlyPicturesOfOneEvenSize) {
  EXPECT_THROW(encode_webm({}, {}), Error);
  EXPECT_THROW(encode_webm(scene(2, 63, 64), {}), Error);
  auto mixed = scene(2, 64, 64);
  mixed.push_back(testing::draw(3, 0, 32, 32));
  EXPECT_THROW(encode_webm(mixed, {}), Error);
}

TEST(Decode, ScalesCropsAndCountsAsAsked) {
  const std::string webm = encode_webm(scene(16, 96, 64), {});
  const RawClip clip = decode_clip(webm, {.width = 32, .height = 32, .frames = 9});
  EXPECT_EQ(clip.frames, 9);
  EXPECT_EQ(clip.rgb.size(), 9U * 32 * 32 * 3);
  EXPECT_THROW(decode_clip(webm, {.frames = 17}), Error);
}

TEST(Decode, TakesThePartThatIsAskedFor) {
  const auto frames = scene(16, 96, 64);
  const std::string webm = encode_webm(frames, {});
  const ClipShape shape{.width = 64, .height = 64, .frames = 4};
  const RawClip all = decode_clip(webm, {});
  constexpr uint32_t kEnd = UINT32_MAX;
  struct {
    ClipPart part;
    int start, left;
  } const rows[] = {{{}, 0, 16},
                    {{.start = kEnd}, 12, 16},
                    {{.start = 1U << 31}, 6, 16},  // of 0 to 12
                    {{.place = {.across = 0}}, 0, 0},
                    {{.start = 1U << 30, .place = {.across = kEnd, .down = 0}}, 3, 32},
                    {{.place = {.across = 0, .mirror = true}}, 0, 0}};
  for (const auto& [part, start, left] : rows) {
    const RawClip clip = decode_clip(webm, shape, part);
    ASSERT_EQ(clip.rgb.size(), 4U * 64 * 64 * 3);
    for (const int frame : {0, 3}) {
      for (const int x : {0, 5, 63}) {
        const int column = part.place.mirror ? 63 - x : x;
        const auto at = static_cast<size_t>(((start + frame) * 64 + 20) * 96 + left + column) * 3;
        const auto ours = static_cast<size_t>((frame * 64 + 20) * 64 + x) * 3;
        EXPECT_EQ(clip.rgb.substr(ours, 3), all.rgb.substr(at, 3)) << start << " " << left;
      }
    }
  }
  const RawClip whole = decode_clip(webm, shape, {.start = kEnd, .whole = true});
  EXPECT_EQ(whole.frames, 16);
  EXPECT_EQ(whole.rgb, decode_clip(webm, {.width = 64, .height = 64}).rgb);
  EXPECT_THROW(decode_clip(webm, {.frames = 17}, {.whole = true}), Error);
  // Nothing to choose from: the whole.
  EXPECT_EQ(decode_clip(webm, {.frames = 16}, {.start = kEnd}).rgb, all.rgb);
  EXPECT_THROW(decode_clip(webm, {.frames = 17}, {.start = kEnd}), Error);
}

// 32 frames a second into 16: every second frame, and none from outside the span.
TEST(Cut, TakesTheFrameThatIsOnScreen) {
  const std::string source =
      testing::make_media({.width = 64, .height = 64, .fps = 32, .scenes = {1, 2}});
  Cut request;
  request.mutable_shards();
  Cut::Span& span = *request.add_span();
  span.set_start_us(1'000'000);
  span.set_end_us(2'000'000);
  request.mutable_clips();
  Reader reader(source);
  const auto webms = cut(reader, request);
  ASSERT_EQ(webms.size(), 1U);
  std::vector<Picture> expected;
  for (int i = 0; i < 16; ++i) expected.push_back(testing::draw(2, 2 * i, 64, 64));
  EXPECT_GT(psnr(expected, decode_clip(webms[0], {}).rgb), 30);
}

TEST(Cut, HoldsAFrameWhereTheSourceIsSlower) {
  const std::string source = testing::make_media(
      {.width = 64, .height = 64, .fps = 8, .scenes = {4}, .frames_per_scene = 8});
  Cut request;
  request.mutable_shards();
  request.mutable_clips();
  Cut::Span& span = *request.add_span();
  span.set_start_us(0);
  span.set_end_us(1'000'000);
  Reader reader(source);
  const auto webms = cut(reader, request);
  ASSERT_EQ(webms.size(), 1U);
  std::vector<Picture> expected;
  for (int i = 0; i < 16; ++i) expected.push_back(testing::draw(4, i / 2, 64, 64));
  EXPECT_GT(psnr(expected, decode_clip(webms[0], {}).rgb), 30);
}

}  // namespace
}  // namespace cleared::curate
