// The fast path from a decoded frame, against PDQ as published (tests/curate/pdq_test.cpp shows it
// equal to PyPI's pdqhash 0.2.8) of the same picture in RGB, averaged by area onto 512 x 512 pixels
// by the plain loop below.
#include "curate/measure.h"

#include <gtest/gtest.h>

#include "kernels/targets.h"
#include "tests/curate/media.h"

namespace cleared::curate {
namespace {

using testing::draw;

// Share-weighted mean over each cell, the slow way.
Picture averaged(const Picture& in, int width, int height) {
  Picture out{.width = width, .height = height, .channels = in.channels, .pixels = {}};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const double top = double(y) * in.height / height,
                   bottom = double(y + 1) * in.height / height;
      const double left = double(x) * in.width / width, right = double(x + 1) * in.width / width;
      for (int c = 0; c < in.channels; ++c) {
        double sum = 0;
        for (int v = int(top); v < std::min<double>(in.height, bottom); ++v) {
          for (int u = int(left); u < std::min<double>(in.width, right); ++u) {
            sum += in.pixels[static_cast<size_t>((v * in.width + u) * in.channels + c)] *
                   (std::min<double>(v + 1, bottom) - std::max<double>(v, top)) *
                   (std::min<double>(u + 1, right) - std::max<double>(u, left));
          }
        }
        out.pixels.push_back(
            static_cast<uint8_t>(std::lround(sum / ((bottom - top) * (right - left)))));
      }
    }
  }
  return out;
}

Fingerprint published(const Picture& picture) {
  const Picture grid = averaged(picture, 512, 512);
  PdqHasher hasher;
  return hasher.fingerprint(
      {grid.pixels.data(), ptrdiff_t{512} * grid.channels, 512, 512, grid.channels});
}

Frame frame_of(const Picture& picture, AVPixelFormat format, AVColorRange range) {
  Frame frame(av_frame_alloc());
  frame->width = picture.width;
  frame->height = picture.height;
  frame->format = format;
  frame->color_range = range;
  frame->colorspace = AVCOL_SPC_SMPTE170M;
  av_check(av_frame_get_buffer(frame.get(), 0), "test frame");
  const Scaler scaler(sws_getContext(
      picture.width, picture.height, picture.channels == 1 ? AV_PIX_FMT_GRAY8 : AV_PIX_FMT_RGB24,
      picture.width, picture.height, format, SWS_AREA | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT,
      nullptr, nullptr, nullptr));
  const int* table = sws_getCoefficients(SWS_CS_ITU601);
  sws_setColorspaceDetails(scaler.get(), table, 1, table, range == AVCOL_RANGE_JPEG, 0, 1 << 16,
                           1 << 16);
  const uint8_t* planes[4] = {picture.pixels.data(), nullptr, nullptr, nullptr};
  const int strides[4] = {picture.width * picture.channels, 0, 0, 0};
  sws_scale(scaler.get(), planes, strides, 0, picture.height, frame->data, frame->linesize);
  return frame;
}

FrameMeasures measured(const AVFrame& frame, Orientation orientation = {}) {
  return Measurer(orientation).measure(frame);
}

TEST(Measure, IsPdqOfTheFrameAsRgbWithinFourBits) {
  struct Case {
    int width, height;
    AVPixelFormat format;
    AVColorRange range;
  };
  const std::vector<Case> cases = {
      {512, 512, AV_PIX_FMT_YUV420P, AVCOL_RANGE_JPEG},
      {640, 512, AV_PIX_FMT_YUV420P, AVCOL_RANGE_MPEG},
      {1280, 720, AV_PIX_FMT_YUV420P, AVCOL_RANGE_MPEG},
      {1281, 719, AV_PIX_FMT_YUV444P, AVCOL_RANGE_MPEG},
      {1920, 1080, AV_PIX_FMT_YUV420P10, AVCOL_RANGE_MPEG},
      {720, 576, AV_PIX_FMT_NV12, AVCOL_RANGE_JPEG},
      {720, 576, AV_PIX_FMT_P010, AVCOL_RANGE_MPEG},
      {720, 540, AV_PIX_FMT_GBRP, AVCOL_RANGE_JPEG},
      {720, 540, AV_PIX_FMT_YUYV422, AVCOL_RANGE_MPEG},
      {640, 520, AV_PIX_FMT_YUV422P12, AVCOL_RANGE_MPEG},
  };
  for (const Case& c : cases) {
    for (unsigned seed = 1; seed <= 2; ++seed) {
      const Picture picture = draw(seed, 3, c.width, c.height);
      const Fingerprint expected = published(picture);
      const Fingerprint print = measured(*frame_of(picture, c.format, c.range)).print;
      EXPECT_LE(distance(print.bits, expected.bits), 4)
          << c.width << " x " << c.height << " " << av_get_pix_fmt_name(c.format);
      EXPECT_NEAR(print.quality, expected.quality, 3);
    }
  }
}

TEST(Measure, SeesTheSamePictureInEverySize) {
  const Picture large = draw(5, 0, 1920, 1080);
  const Fingerprint print = measured(*frame_of(large, AV_PIX_FMT_YUV420P, AVCOL_RANGE_MPEG)).print;
  for (const auto& [width, height] : std::vector<std::pair<int, int>>{
           {1280, 720}, {854, 480}, {640, 480}, {320, 180}, {160, 90}}) {
    const Picture other = averaged(large, width, height);
    const auto frame = frame_of(other, AV_PIX_FMT_YUV420P, AVCOL_RANGE_MPEG);
    EXPECT_LE(distance(measured(*frame).print.bits, print.bits), 4) << width;
  }
}

TEST(Measure, TurnsUpright) {
  const Picture upright = draw(4, 0, 512, 512);
  const auto at = [&](int x, int y) {
    return upright.pixels[static_cast<size_t>((y * 512 + x) * 3)];
  };
  const FrameMeasures expected = measured(*frame_of(upright, AV_PIX_FMT_GRAY8, AVCOL_RANGE_JPEG));
  for (const auto& [rotation, mirrored] : {Orientation{0, false},
                                           {90, false},
                                           {180, false},
                                           {270, false},
                                           {0, true},
                                           {90, true},
                                           {180, true},
                                           {270, true}}) {
    Picture lying{.width = 512, .height = 512, .channels = 3, .pixels = {}};
    for (int y = 0; y < 512; ++y) {
      for (int i = 0; i < 512; ++i) {  // where the orientation will take it
        const int x = mirrored ? 511 - i : i;
        const int u = rotation == 90    ? 511 - y
                      : rotation == 180 ? 511 - x
                      : rotation == 270 ? y
                                        : x;
        const int v = rotation == 90    ? x
                      : rotation == 180 ? 511 - y
                      : rotation == 270 ? 511 - x
                                        : y;
        lying.pixels.insert(lying.pixels.end(), 3, at(u, v));
      }
    }
    Picture grey = upright;
    for (int i = 0; i < 512 * 512; ++i) {
      for (size_t c = 0; c < 3; ++c) {
        grey.pixels[static_cast<size_t>(i) * 3 + c] = at(i % 512, i / 512);
      }
    }
    const FrameMeasures plain = measured(*frame_of(grey, AV_PIX_FMT_GRAY8, AVCOL_RANGE_JPEG));
    const FrameMeasures turned =
        measured(*frame_of(lying, AV_PIX_FMT_GRAY8, AVCOL_RANGE_JPEG), {rotation, mirrored});
    EXPECT_LE(distance(turned.print.bits, plain.print.bits), 4) << rotation;
    EXPECT_NEAR(turned.luma, plain.luma, 0.5) << rotation;
  }
  EXPECT_GT(expected.sharpness, 0);
}

TEST(Measure, KnowsFlatAndFrozenAndMovingPictures) {
  Picture flat{.width = 300, .height = 200, .channels = 1, .pixels = {}};
  flat.pixels.assign(300 * 200, 200);
  Picture dark = flat;
  dark.pixels.assign(300 * 200, 40);
  for (const AVColorRange range : {AVCOL_RANGE_JPEG, AVCOL_RANGE_MPEG}) {
    const auto format = range == AVCOL_RANGE_JPEG ? AV_PIX_FMT_YUVJ420P : AV_PIX_FMT_YUV420P;
    Measurer measurer({});
    const FrameMeasures first = measurer.measure(*frame_of(flat, format, range));
    EXPECT_NEAR(first.luma, 200, 1);
    EXPECT_EQ(first.motion, 0);
    EXPECT_EQ(first.sharpness, 0);
    EXPECT_EQ(first.print.quality, 0);
    const FrameMeasures frozen = measurer.measure(*frame_of(flat, format, range));
    EXPECT_EQ(frozen.motion, 0);
    EXPECT_EQ(frozen.histogram, 0);
    const FrameMeasures changed = measurer.measure(*frame_of(dark, format, range));
    EXPECT_NEAR(changed.motion, 160, 1);
    EXPECT_EQ(changed.histogram, 1);
    EXPECT_NEAR(changed.thumb[0], 40, 1);
    const Picture small = draw(1, 0, 64, 64);
    EXPECT_EQ(measurer.measure(*frame_of(small, format, range)).motion, 255);
  }
}

// The variance of the Laplacian of a chequerboard of single pixels, 0 and 8: each is 4 x 8 from its
// neighbours, so the variance is 32 squared.
TEST(Measure, ThumbIsTheMeanOfFourByFour) {
  std::vector<float> filtered;
  for (int i = 0; i < 64 * 64; ++i) filtered.push_back(static_cast<float>(i * 7919 % 2551) / 10);
  for (const std::string& target : kernels::targets()) {
    kernels::use_target(target);
    std::array<uint8_t, 256> thumb{};
    kernels::make_thumb(filtered.data(), thumb.data());
    for (size_t y = 0; y < 16; ++y) {
      for (size_t x = 0; x < 16; ++x) {
        float sum = 0;
        for (size_t i = 0; i < 16; ++i) sum += filtered[(4 * y + i / 4) * 64 + 4 * x + i % 4];
        EXPECT_EQ(thumb[16 * y + x], static_cast<uint8_t>(sum / 16 + 0.5f)) << target;
      }
    }
  }
  kernels::use_target("");
}

// Rows are fetched and summed in strips of sixteen: sizes that end within one, or within a vector.
TEST(Measure, IsTheSameOnEveryProcessor) {
  for (const auto& [width, height] : {std::pair{768, 432}, {130, 77}, {500, 1}, {9, 640}}) {
    std::vector<uint8_t> bytes;
    for (int i = 0; i < width * height; ++i)
      bytes.push_back(static_cast<uint8_t>(i % 1009 * (i % 1009) % 251));
    const kernels::Luma luma{bytes.data(), width, width, height, true};
    std::vector<float> first;
    kernels::SmallLuma first_small;
    for (const std::string& target : kernels::targets()) {
      kernels::use_target(target);
      kernels::LumaShrinker shrinker(width, height, {});
      std::vector<float> filtered(64 * 64);
      kernels::SmallLuma small;
      shrinker.shrink(luma, filtered.data(), small);
      if (first.empty()) {
        first = filtered;
        first_small = small;
      }
      EXPECT_EQ(filtered, first) << target << " " << width;
      EXPECT_EQ(kernels::changed_since(first_small, small), 0U) << target << " " << width;
      small.pixels[0] ^= 64;
      EXPECT_EQ(kernels::changed_since(first_small, small), 64U) << target;
      EXPECT_EQ(kernels::measure_small(small, &first_small).changed, 64U) << target;
    }
    kernels::use_target("");
  }
}

TEST(Measure, SharpnessIsTheVarianceOfTheLaplacian) {
  Picture board{.width = 100, .height = 60, .channels = 1, .pixels = {}};
  for (int i = 0; i < 100 * 60; ++i) {
    board.pixels.push_back(static_cast<uint8_t>(100 + 8 * ((i % 100 + i / 100) % 2)));
  }
  const auto frame = frame_of(board, AV_PIX_FMT_GRAY8, AVCOL_RANGE_JPEG);
  EXPECT_NEAR(measured(*frame).sharpness, 32 * 32, 0.01);
}

}  // namespace
}  // namespace cleared::curate
