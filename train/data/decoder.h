// Frames of cleared samples, decoded by a child process: `curate decode --serve`, sandboxed there,
// so that no codec runs in the process that holds the weights (docs/formats/decode.md).
//
// To the child [u64 n][u32 start, across, down, how: a View][n bytes: the sample's video
// member]; back [u8 status][u64 n][n bytes], where status 0 carries frames x height x width x 3
// bytes of RGB24 and status 1 one line of error text. Numbers are little-endian. One Decoder per
// thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <sys/types.h>

#include "ledger/base/file.h"
#include "train/data/view.h"

namespace cleared::ledger {
class ClearedSample;
}

namespace cleared::train {

struct DecoderOptions {
  std::filesystem::path program;  // `curate`; empty: the one beside this program
  uint32_t width = 0;             // pixels
  uint32_t height = 0;            // pixels
  uint32_t frames = 0;
  int timeout_ms = 60'000;  // for one sample; a child that takes longer is killed
};

// RGB24, rows from the top: frames x height x width x 3 bytes.
using Frames = std::vector<uint8_t>;

class Decoder {
 public:
  // Starts the child. Error{not_found} when there is no such program.
  explicit Decoder(const DecoderOptions& options);
  ~Decoder();
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  // Error{corrupt} with the child's own words for a sample that does not decode. A child that dies
  // or hangs is started again once for a sample; if that one fails too, Error{io}.
  Frames decode(const ledger::ClearedSample& sample, const View& view = {});

 private:
  void start();
  void stop() noexcept;
  Frames ask(const std::string& key, const std::string& video, const View& view);
  void send(const void* data, size_t size_bytes);
  void receive(void* data, size_t size_bytes);

  DecoderOptions options_;
  Fd socket_;
  pid_t child_ = -1;
};

// A decoder for each shape of samples, started when the first of that shape is asked for.
class Decoders {
 public:
  explicit Decoders(std::vector<DecoderOptions> shapes)
      : shapes_(std::move(shapes)), decoders_(shapes_.size()) {}
  // `shape` is below their number. As Decoder's constructor.
  Decoder& of(size_t shape) {
    auto& decoder = decoders_.at(shape);
    if (!decoder) decoder = std::make_unique<Decoder>(shapes_[shape]);
    return *decoder;
  }

 private:
  std::vector<DecoderOptions> shapes_;
  std::vector<std::unique_ptr<Decoder>> decoders_;
};

// SHA-256, in hex, over `curate`, as in DecoderOptions, and the `curate-media` beside it, whose
// frames the bits depend on. "none" where there is no such program: latents need none.
std::string decoder_digest(const std::filesystem::path& curate);

// The program `name` in the folder of the running program. Error{not_found} when it is not there.
std::filesystem::path program_beside_this(const std::string& name);

}  // namespace cleared::train
