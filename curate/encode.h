// Pictures into a WebM file with VP9 (libvpx) or AV1 (libaom): royalty-free, and the same bytes for
// the same pictures. One thread.
#pragma once

#include <string>
#include <vector>

#include "curate/picture.h"

namespace cleared::curate {

enum class VideoCodec { vp9, av1 };

struct EncodeOptions {
  VideoCodec codec = VideoCodec::vp9;
  int fps = 16;
  int quality = 12;  // constant quality of the codec, 0 (best) to 63
};

// RGB pictures of one even size. Error{usage} when they are none.
std::string encode_webm(const std::vector<Picture>& frames, const EncodeOptions& options);

// A small picture for people: RGB of an even size. One thread.
std::string encode_jpeg(const Picture& picture);

}  // namespace cleared::curate
