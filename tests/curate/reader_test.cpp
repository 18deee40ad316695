// Real files of every odd kind, made on the spot, and what is no video at all.
#include "curate/reader.h"

#include <gtest/gtest.h>

#include "curate/decode.h"
#include "curate/pdq.h"
#include "curate/worker.pb.h"
#include "ledger/base/error.h"
#include "tests/curate/media.h"

namespace cleared::curate {
namespace {

using testing::make_media;
using testing::MediaOptions;

Analysis analysed(std::string_view bytes) {
  Reader reader(bytes);
  Analysis out;
  analyse(reader, out);
  return out;
}

std::string failure(std::string_view bytes, Errc code) {
  try {
    analysed(bytes);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "it was read";
  return "";
}

TEST(Reader, RefusesWhatIsNoVideo) {
  EXPECT_EQ(failure("", Errc::corrupt), "the file is empty: deliver it again");
  EXPECT_EQ(failure("just a text, and a short one\n", Errc::corrupt), "not a video file");
  EXPECT_EQ(failure(std::string(100'000, 'x'), Errc::corrupt), "not a video file");
  EXPECT_EQ(failure(make_media({.picture = false, .sound = true}), Errc::not_found),
            "no moving pictures in it");
}

// A playlist is a text that names other files: neither opened as one, nor followed.
TEST(Reader, FollowsNoPlaylist) {
  failure("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n",
          Errc::unsupported);
  failure("ffconcat version 1.0\nfile '/etc/passwd'\n", Errc::unsupported);
}

TEST(Reader, RefusesACodecThatIsNotOnTheList) {
  failure(make_media({.container = "avi", .codec = "msmpeg4v2"}), Errc::unsupported);
}

TEST(Reader, ReadsSizesDepthsAndContainers) {
  struct Case {
    MediaOptions media;
    unsigned width, height;
  };
  const std::vector<Case> cases = {
      {{.width = 161, .height = 121}, 161, 121},
      {{.format = AV_PIX_FMT_YUV420P10}, 160, 120},
      {{.format = AV_PIX_FMT_YUV444P12, .width = 33, .height = 77}, 33, 77},
      {{.container = "avi", .codec = "mpeg4"}, 160, 120},
      {{.container = "mpeg", .codec = "mpeg2video", .fps = 25}, 160, 120},
      {{.container = "mp4", .codec = "mpeg4"}, 160, 120},
      {{.container = "webm", .codec = "libvpx"}, 160, 120},
      {{.container = "avi", .codec = "mjpeg", .format = AV_PIX_FMT_YUVJ420P}, 160, 120},
      {{.width = 16, .height = 16}, 16, 16},
  };
  for (const Case& c : cases) {
    const Analysis a = analysed(make_media(c.media));
    EXPECT_EQ(a.width(), c.width) << c.media.codec;
    EXPECT_EQ(a.height(), c.height) << c.media.codec;
    EXPECT_EQ(a.pts_us_size(), 32) << c.media.codec;
    EXPECT_EQ(a.problem(), "") << c.media.codec;
    EXPECT_FALSE(a.variable_frame_rate()) << c.media.codec;
  }
}

TEST(Reader, CountsTimeFromTheFirstFrame) {
  for (const char* container : {"matroska", "mp4", "mpegts"}) {
    const Analysis a =
        analysed(make_media({.container = container, .codec = "mpeg4", .start_ticks = 160}));
    EXPECT_EQ(a.pts_us(0), 0U) << container;
    EXPECT_NEAR(double(a.pts_us(31)), 31 * 62'500.0, 1000) << container;
    EXPECT_EQ(a.problem(), "") << container << ": the wait before it is no missing part";
  }
}

TEST(Reader, NoticesAVariableFrameRate) {
  const Analysis a = analysed(make_media({.uneven = true}));
  EXPECT_TRUE(a.variable_frame_rate());
  EXPECT_NEAR(double(a.frame_us()), 62'500, 500);  // Matroska counts in milliseconds
}

TEST(Reader, TurnsAPictureUpright) {
  // The drawing as shot lying on its side, and as it should be seen.
  const Analysis upright = analysed(make_media({.container = "mp4", .codec = "mpeg4"}));
  const Analysis turned =
      analysed(make_media({.container = "mp4", .codec = "mpeg4", .rotation = 90}));
  EXPECT_EQ(turned.width(), 120U);
  EXPECT_EQ(turned.height(), 160U);
  EXPECT_GT(distance(pdq_at(upright.pdq(), 0), pdq_at(turned.pdq(), 0)), 60);
  const Picture wide = [] {
    Picture out{.width = 96, .height = 64, .channels = 3, .pixels = {}};
    for (int i = 0; i < 96 * 64 * 3; ++i) out.pixels.push_back(i / 3 % 96 < 48 ? 250 : 5);
    return out;
  }();
  const Frame frame(av_frame_alloc());  // left half white, right half black
  frame->width = 96;
  frame->height = 64;
  frame->format = AV_PIX_FMT_RGB24;
  ASSERT_GE(av_frame_get_buffer(frame.get(), 0), 0);
  for (int y = 0; y < 64; ++y) {
    std::copy_n(&wide.pixels[static_cast<size_t>(y) * 288], 288,
                frame->data[0] + y * frame->linesize[0]);
  }
  PictureMaker pictures;
  const auto corner = [&](Orientation orientation, int x, int y) {
    const Picture p = pictures.luma(*frame, orientation, 512);
    return int{p.pixels[static_cast<size_t>(y * p.width + x)]};
  };
  EXPECT_GT(corner({0}, 5, 5), 200);   // white stays left
  EXPECT_GT(corner({90}, 5, 5), 200);  // clockwise: left becomes top
  EXPECT_LT(corner({90}, 5, 90), 50);
  EXPECT_LT(corner({180}, 5, 5), 50);
  EXPECT_LT(corner({270}, 5, 5), 50);  // left becomes bottom
  EXPECT_GT(corner({270}, 5, 90), 200);
  EXPECT_LT(corner({0, true}, 5, 5), 50);   // white goes right
  EXPECT_LT(corner({90, true}, 5, 5), 50);  // and from there to the bottom
  EXPECT_GT(corner({180, true}, 5, 5), 200);
  EXPECT_GT(corner({270, true}, 5, 5), 200);
}

TEST(Reader, KeepsTheGoodPartOfATruncatedFile) {
  for (const char* container : {"matroska", "avi"}) {
    const std::string whole = make_media({.container = container, .codec = "mpeg4"});
    const Analysis a = analysed(std::string_view(whole).substr(0, whole.size() / 2));
    EXPECT_GT(a.pts_us_size(), 8) << container;
    EXPECT_LT(a.pts_us_size(), 30) << container;
    EXPECT_NE(a.problem(), "") << container;
  }
  // MP4 has its index at the end: without it nothing can be read.
  const std::string mp4 = make_media({.container = "mp4", .codec = "mpeg4"});
  failure(std::string_view(mp4).substr(0, mp4.size() / 2), Errc::corrupt);
}

// Whatever the damage: an answer or an Error, and every list as long as the others.
TEST(Reader, SurvivesFlippedBytes) {
  for (const char* container : {"matroska", "mp4", "mpeg"}) {
    const std::string whole = make_media({.container = container,
                                          .codec = "mpeg2video",
                                          .width = 64,
                                          .height = 48,
                                          .fps = 25,
                                          .frames_per_scene = 12});
    for (uint32_t round = 0; round < 60; ++round) {
      std::string damaged = whole;
      for (uint32_t i = 0; i < 8; ++i) {
        const uint32_t random = (round * 8 + i + 1) * 2654435761U;
        damaged[random % damaged.size()] = static_cast<char>(random >> 24);
      }
      try {
        const Analysis a = analysed(damaged);
        EXPECT_EQ(a.pdq().size(), 32 * static_cast<size_t>(a.pts_us_size()));
        EXPECT_EQ(a.luma_size(), a.pts_us_size());
      } catch (const Error&) {
      }
    }
  }
}

TEST(Reader, StopsAtTheLimitOfPixels) {
  const std::string media = make_media({});
  EXPECT_THROW(Reader(media, {.max_pixels = 1000}), Error);
  Reader few(media, {.max_pixel_frames = 5 * 160 * 120});
  Analysis cut_off;
  analyse(few, cut_off);
  EXPECT_EQ(cut_off.pts_us_size(), 5);
  EXPECT_NE(cut_off.problem(), "");
  for (const bool keyframes : {false, true}) {
    Reader none(media, {.max_pixel_frames = 160 * 120 - 1});
    Analyse request;
    if (keyframes) request.set_keyframes_every_us(0);
    Analysis empty;
    try {
      analyse(none, request, empty);
      ADD_FAILURE();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Errc::unsupported);
      EXPECT_NE(std::string_view(error.what()).find("limits.max_pixel_frames"),
                std::string_view::npos);
    }
  }
}

}  // namespace
}  // namespace cleared::curate
