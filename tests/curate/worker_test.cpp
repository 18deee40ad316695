// The real `curate` program as a child.
#include "curate/worker.h"

#include <cstdlib>

#include <gtest/gtest.h>

#include "curate/encode.h"
#include "curate/worker.pb.h"
#include "ledger/base/error.h"
#include "tests/curate/media.h"

namespace cleared::curate {
namespace {

Request request() {
  Request out;
  out.mutable_limits();
  out.mutable_analyse();
  return out;
}

class Worker : public ::testing::Test {
 protected:
  Fd source(std::string_view bytes) {
    write_file(folder_.path() / "source", bytes);
    return open_read(folder_.path() / "source");
  }
  std::string failure(std::string_view bytes, const Request& asked, const WorkerOptions& options) {
    try {
      run_worker(asked, source(bytes), options);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
  WorkerOptions answering(const Reply& reply) {
    const auto program = folder_.path() / "stand-in", said = folder_.path() / "said";
    write_file(said, reply.SerializeAsString());
    write_file(program, "#!/bin/sh\nexec cat '" + said.string() + "'\n");
    std::filesystem::permissions(program, std::filesystem::perms::owner_all);
    return {.program = program};
  }
  testing::TemporaryFolder folder_;
  const WorkerOptions curate_{.program = CLEARED_CURATE_MEDIA};
};

TEST_F(Worker, AnswersWithTheMeasuresOfEveryFrame) {
  const Reply reply = run_worker(request(), source(testing::make_media({.sound = true})), curate_);
  EXPECT_EQ(reply.analysis().pts_us_size(), 32);
  EXPECT_EQ(reply.analysis().video_codec(), "ffv1");
  EXPECT_EQ(reply.analysis().audio_codec(), "flac");
}

// Every decoder and parser has to get along with the calls that the sandbox leaves.
TEST_F(Worker, DecodesTheCommonCodecsInsideTheSandbox) {
  const std::vector<testing::MediaOptions> cases = {
      {.container = "mp4", .codec = "mpeg4"},
      {.container = "mpeg", .codec = "mpeg2video", .fps = 25},
      {.container = "webm", .codec = "libvpx-vp9"},
      {.container = "webm", .codec = "libvpx"},
      {.container = "mov", .codec = "prores", .format = AV_PIX_FMT_YUV422P10},
      {.container = "avi", .codec = "mjpeg", .format = AV_PIX_FMT_YUVJ420P},
      {.container = "mp4", .codec = "libx264"},
      {.container = "mp4", .codec = "libx265"},
      {.container = "matroska", .codec = "libaom-av1", .frames_per_scene = 4},
  };
  // Elsewhere the program loads all that FFmpeg is linked to, and not what stands in for it.
  const WorkerOptions whole{.program = folder_.path() / "curate-media"};
  std::filesystem::copy_file(curate_.program, whole.program);
  for (const auto& media : cases) {
    const Fd bytes = source(testing::make_media(media));
    const Reply reply = run_worker(request(), bytes, curate_);
    EXPECT_EQ(reply.analysis().pts_us_size(), media.frames_per_scene) << media.codec;
    EXPECT_EQ(reply.analysis().problem(), "") << media.codec;
    EXPECT_EQ(run_worker(request(), bytes, whole).SerializeAsString(), reply.SerializeAsString())
        << media.codec;
  }
}

TEST_F(Worker, ThatCannotBeLoadedIsNoFaultOfTheSource) {
  const auto program = folder_.path() / "unloadable";
  write_file(program, "#!/bin/sh\nexit 127\n");
  std::filesystem::permissions(program, std::filesystem::perms::owner_all);
  try {
    run_worker(request(), source("x"), {.program = program});
    ADD_FAILURE() << "it was loaded";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Errc::io);
    EXPECT_NE(std::string(error.what()).find("build it again"), std::string::npos) << error.what();
  }
}

TEST_F(Worker, SaysWhatIsWrongWithTheSource) {
  EXPECT_EQ(failure("no video", request(), curate_), "not a video file");
}

TEST_F(Worker, ThatTakesTooLongIsStopped) {
  Request hurried = request();
  hurried.mutable_limits()->set_wall_s(0);
  EXPECT_EQ(failure(testing::make_media({}), hurried, curate_),
            "its worker hung and was stopped after 0 s");
}

TEST_F(Worker, ThatGivesNoAnswerIsNamed) {
  EXPECT_EQ(failure("x", request(), {.program = "/bin/false"}),
            "its worker gave no answer (status 1)");
  EXPECT_NE(failure("x", request(), {.program = "/nonexistent"}), "");
}

// A worker that was taken over answers what it likes.
TEST_F(Worker, WhatAFailureSaysIsPrintable) {
  Reply said;
  said.mutable_failure()->set_code(static_cast<uint32_t>(Errc::corrupt));
  said.mutable_failure()->set_text("\x1b[2J\nkept b/other.mkv\xff" + std::string(1000, 'x'));
  const std::string shown = failure("x", request(), answering(said));
  EXPECT_EQ(shown.substr(0, 32), "%1B[2J%0Akept b/other.mkv%FFxxxx");
  EXPECT_LT(shown.size(), 520U);
}

TEST_F(Worker, OfManyEmptyMessagesIsNotRead) {
  Reply said;
  for (int i = 0; i < 200'000; ++i) said.mutable_analysis()->add_logo();
  EXPECT_EQ(failure("x", request(), answering(said)), "its worker gave no answer (status 0)");
  said.mutable_analysis()->mutable_logo()->DeleteSubrange(0, 199'000);
  EXPECT_EQ(failure("x", request(), answering(said)), "");
}

TEST_F(Worker, AnswersAtNoGreaterLengthThanItsQuestionNeeds) {
  Reply said;
  FoundMarks::Mark& mark = *said.mutable_marks()->add_mark();
  mark.set_name("");
  mark.set_says("");
  mark.set_value(std::string(17 << 20, 'x'));
  mark.set_place("");
  Request marks;
  marks.mutable_limits();
  marks.mutable_marks();
  EXPECT_EQ(failure("x", marks, answering(said)),
            "its worker answered with more than 16777216 bytes");
}

#ifndef CLEARED_SANITIZED
TEST_F(Worker, ThatNeedsTooMuchMemoryCostsOnlyItsFile) {
  Request poor = request();
  poor.mutable_limits()->set_memory_mb(8);
  // What malloc has at hand when the limit comes is enough for small pictures.
  const auto large = testing::make_media({.width = 2560, .height = 1440, .frames_per_scene = 4});
  EXPECT_NE(failure(large, poor, curate_), "");
  EXPECT_EQ(failure(large, request(), curate_), "");
}
#endif

std::string little_endian(uint64_t n) {
  std::string out;
  for (int i = 0; i < 8; ++i) out.push_back(static_cast<char>(n >> (8 * i)));
  return out;
}

TEST_F(Worker, ServesClipsUntilTheInputEnds) {
  std::vector<Picture> frames;
  for (int i = 0; i < 16; ++i) frames.push_back(testing::draw(1, i, 64, 64));
  const std::string webm = encode_webm(frames, {});
  const auto request = [](const std::string& clip, char mirror) {
    return little_endian(clip.size()) +
           std::string("\0\0\0\0\xff\xff\xff\x7f\xff\xff\xff\x7f", 12) + mirror +
           std::string(3, '\0') + clip;
  };
  write_file(folder_.path() / "in", request(webm, 0) + request("abc", 0) + request(webm, 1));
  const std::string out = (folder_.path() / "out").string();
  const std::string command = std::string(CLEARED_CURATE_MEDIA) +
                              " decode --serve --width 64 --height 64 --frames 16 < " +
                              (folder_.path() / "in").string() + " > " + out;
  ASSERT_EQ(std::system(command.c_str()), 0);
  const std::string answer = read_file(out);
  const uint64_t size = 16 * 64 * 64 * 3;
  const std::string error = "not a video file";
  ASSERT_EQ(answer.size(), 2 * (9 + size) + 9 + error.size());
  EXPECT_EQ(answer.substr(0, 9), '\0' + little_endian(size));
  EXPECT_EQ(answer.substr(9 + size, 9 + error.size()), '\1' + little_endian(error.size()) + error);
  const std::string mirrored = answer.substr(3 * 9 + size + error.size());
  for (const size_t x : {0, 20, 63}) {
    EXPECT_EQ(answer.substr(9 + 3 * x, 3), mirrored.substr(3 * (63 - x), 3)) << x;
  }
}

TEST_F(Worker, FailsWhenTheInputEndsInsideAClip) {
  write_file(folder_.path() / "in", little_endian(1000) + std::string(16, '\0') + "abc");
  const std::string command = std::string(CLEARED_CURATE_MEDIA) +
                              " decode --serve --width 64 --height 64 --frames 16 < " +
                              (folder_.path() / "in").string() + " > /dev/null 2>&1";
  EXPECT_EQ(std::system(command.c_str()), 65 << 8);
}

}  // namespace
}  // namespace cleared::curate
