// Pictures into a WebM file with VP9 (libvpx): royalty-free, and the same bytes for the same
// pictures. One thread.
#pragma once

#include <string>
#include <vector>

#include "curate/picture.h"

namespace cleared::curate {

struct EncodeOptions {
  int fps = 16;
  int quality = 12;  // constant quality of VP9, 0 (best) to 63
};

// RGB pictures of one even size. Error{usage} when they are none.
std::string encode_webm(const std::vector<Picture>& frames, const EncodeOptions& options);

}  // namespace cleared::curate
