// Frames into a WebM file, by a child process: `curate webm`, for `train` links no codec. Any
// thread.
#pragma once

#include <filesystem>

#include "train/data/decoder.h"

namespace cleared::train {

struct WebmOptions {
  std::filesystem::path program;  // `curate`; empty: the one beside this program
  int width = 0;                  // pixels, even
  int height = 0;
  int frames_per_second = 16;
};

// `rgb` is frames x height x width x 3. The file is whole or absent. Error{not_found} when there is
// no such program, Error{io} when it failed: then it has said why on stderr.
void write_webm(const std::filesystem::path& path, const Frames& rgb, const WebmOptions& options);

}  // namespace cleared::train
