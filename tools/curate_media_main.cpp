// The `curate-media` program: what parses footage, in a process of its own and in a sandbox.
// `curate` starts it, and becomes it for `curate decode` and `curate webm`. The work is in
// curate/worker.h, curate/serve.h and curate/encode.h.
#include <cstdio>
#include <string>
#include <string_view>

#include <CLI/CLI.hpp>
#include <unistd.h>

#include "curate/serve.h"
#include "curate/worker.h"
#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "tools/arguments.h"
#include "tools/cli.h"
#include "tools/curate_webm_command.h"

namespace {

using namespace cleared;
using tools::Exit;

constexpr const char* kDecodeExamples = R"(Examples:
  curate decode shards/nano-000000.tar 0123456789abcdef > clip.rgb
  curate decode shards/nano-000000.tar 0123456789abcdef --width 32 --height 32 --frames 8 | less)";

struct DecodeOptions {
  curate::ClipShape shape;
  std::string shard, key;
  bool serve = false, quiet = false;
};

int decode(const DecodeOptions& o) {
  if (o.serve) {
    if (o.shape.width <= 0 || o.shape.height <= 0 || o.shape.frames <= 0) {
      throw Error(Errc::usage, "decode --serve needs --width, --height and --frames above 0");
    }
    curate::serve(STDIN_FILENO, STDOUT_FILENO, o.shape);
    return Exit::exit_ok;
  }
  if (o.shard.empty() || o.key.empty()) {
    throw Error(Errc::usage, "decode needs a SHARD and a KEY, or --serve");
  }
  if (::isatty(STDOUT_FILENO) == 1) {
    throw Error(Errc::usage, "decode writes raw frames: send them to a file or a pipe");
  }
  const curate::RawClip clip = curate::decode_sample(o.shard, o.key, o.shape);
  if (!o.quiet) {
    std::fprintf(stderr,
                 "%d frames of rgb24, %dx%d; play with: ffplay -f rawvideo -pixel_format rgb24 "
                 "-video_size %dx%d -\n",
                 clip.frames, clip.width, clip.height, clip.width, clip.height);
  }
  write_all(STDOUT_FILENO, clip.rgb, "the frames");
  return Exit::exit_ok;
}

}  // namespace

int main(int argc, char** argv) {
  return tools::run_main("curate", [&]() -> int {
    // Before anything else: thousands of files may come one after the other.
    if (argc == 2 && std::string_view(argv[1]) == "worker") return curate::worker_main();
    DecodeOptions o;
    CLI::App app("What parses footage, for curate: use that.", "curate");
    app.require_subcommand(1);
    CLI::App* decode_app =
        app.add_subcommand("decode", "frames of a sample as raw RGB24 to stdout");
    decode_app->footer(kDecodeExamples);
    decode_app->add_option("SHARD", o.shard, "NAME.tar, with its manifest beside it");
    decode_app->add_option("KEY", o.key, "sample");
    decode_app->add_option("--width", o.shape.width, "scale and crop to this; default: as stored");
    decode_app->add_option("--height", o.shape.height, "as --width");
    decode_app->add_option("--frames", o.shape.frames, "the first frames only; default: all");
    decode_app->add_flag("--serve", o.serve,
                         "decode clips from stdin until it ends (docs/formats/decode.md)");
    decode_app->add_flag("-q,--quiet", o.quiet, "do not say how to play it");
    const tools::WebmCommand webm_command(app);
    if (!tools::parse_arguments(app, argc, argv)) return Exit::exit_ok;
    return webm_command.parsed() ? webm_command.run() : decode(o);
  });
}
