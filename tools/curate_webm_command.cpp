#include "tools/curate_webm_command.h"

#include <cerrno>
#include <system_error>
#include <vector>

#include <CLI/CLI.hpp>
#include <unistd.h>

#include "curate/encode.h"
#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "tools/cli.h"

namespace cleared::tools {
namespace {

constexpr size_t kMostBytes = size_t{1} << 32;

// Until the end; false when it is no whole frame.
bool read_frame(std::vector<uint8_t>& pixels) {
  size_t have = 0;
  while (have < pixels.size()) {
    const ssize_t n = ::read(STDIN_FILENO, pixels.data() + have, pixels.size() - have);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw Error(Errc::io, "read stdin: ", std::generic_category().message(errno));
    if (n == 0) break;
    have += static_cast<size_t>(n);
  }
  if (have != 0 && have != pixels.size()) {
    throw Error(Errc::corrupt, "webm: stdin ends inside a frame of ", pixels.size(), " bytes");
  }
  return have != 0;
}

}  // namespace

WebmCommand::WebmCommand(CLI::App& app)
    : app_(app.add_subcommand("webm", "raw RGB24 frames on stdin to a WebM file")) {
  app_->footer(R"(Example:
  curate decode shards/nano-000000.tar 0123456789abcdef | curate webm --width 64 --height 64 --out clip.webm

Exit codes: 0 done, 2 usage, 65 the last frame is not whole, 74 I/O.)");
  app_->add_option("--width", width_, "pixels, even")->required()->check(CLI::Range(2, 8192));
  app_->add_option("--height", height_, "pixels, even")->required()->check(CLI::Range(2, 8192));
  app_->add_option("--fps", fps_, "frames a second")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  app_->add_option("--codec", codec_, "vp9 or av1")
      ->check(CLI::IsMember({"vp9", "av1"}))
      ->capture_default_str();
  app_->add_option("--out", out_, "file to write, whole or not at all")->required();
}

bool WebmCommand::parsed() const {
  return app_->parsed();
}

int WebmCommand::run() const {
  std::vector<curate::Picture> frames;
  const size_t size = size_t{3} * static_cast<size_t>(width_) * static_cast<size_t>(height_);
  for (;;) {
    curate::Picture frame{width_, height_, 3, std::vector<uint8_t>(size)};
    if (!read_frame(frame.pixels)) break;
    if ((frames.size() + 1) * size > kMostBytes) {
      throw Error(Errc::usage, "webm: more than 4 GiB of frames; make several files");
    }
    frames.push_back(std::move(frame));
  }
  curate::EncodeOptions options;
  options.codec = codec_ == "av1" ? curate::VideoCodec::av1 : curate::VideoCodec::vp9;
  options.fps = fps_;
  write_file(out_, curate::encode_webm(frames, options));
  return exit_ok;
}

}  // namespace cleared::tools
