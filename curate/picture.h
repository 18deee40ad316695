// From a decoded frame of any size and pixel format to plain pictures, upright. Arithmetic of
// FFmpeg's scaler in its bit-exact mode. One object per thread.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "curate/av.h"
#include "kernels/luma.h"

namespace cleared::curate {

// Row-major; `channels` bytes a pixel: 1 is luma of full range, 3 is RGB.
struct Picture {
  int width = 0, height = 0, channels = 1;
  std::vector<uint8_t> pixels;
};

class PictureMaker {
 public:
  // Luma, upright, the longer side at most `longest` pixels; smaller frames keep their size unless
  // they are to be enlarged.
  Picture luma(const AVFrame& frame, int rotation, int longest, bool enlarge = false);
  // RGB, upright, scaled to cover width x height and cropped around the centre.
  Picture rgb(const AVFrame& frame, int rotation, int width, int height);

 private:
  Picture scale(const AVFrame& frame, int width, int height, AVPixelFormat format);
  Scaler scaler_;
};

// The luma of a frame where it lies, when its format has such a plane; none for RGB, palettes and
// packed formats. `bytes` holds it when its pixels had more than 8 bits.
std::optional<kernels::Luma> plain_luma(const AVFrame& frame, std::vector<uint8_t>& bytes);

// Displayed size of a frame: square pixels, upright. Never below 1.
struct Size {
  int width = 0, height = 0;
};
Size display_size(const AVFrame& frame, int rotation);

}  // namespace cleared::curate
