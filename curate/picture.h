// From a decoded frame of any size and pixel format to plain pictures, upright. Whole numbers
// throughout, FFmpeg's scaler in its bit-exact mode: the same everywhere. One object per thread.
#pragma once

#include <cstdint>
#include <vector>

#include "curate/av.h"

namespace cleared::curate {

// Row-major; `channels` bytes a pixel: 1 is luma of full range, 3 is RGB.
struct Picture {
  int width = 0, height = 0, channels = 1;
  std::vector<uint8_t> pixels;
};

class PictureMaker {
 public:
  // Luma, upright, the longer side at most `longest` pixels. A frame whose luma is a plane is
  // shrunk by a whole factor, the least that fits; a rest of less than that at its right and lower
  // edge is left out. Smaller frames keep their size unless they are to be enlarged.
  Picture luma(const AVFrame& frame, int rotation, int longest, bool enlarge = false);
  // RGB, upright, scaled to cover width x height and cropped around the centre.
  Picture rgb(const AVFrame& frame, int rotation, int width, int height);

 private:
  Picture shrink(const AVFrame& frame, const AVComponentDescriptor& luma, int factor);
  Picture scale(const AVFrame& frame, int width, int height, AVPixelFormat format);
  Scaler scaler_;
  std::vector<uint32_t> sums_;
};

// Displayed size of a frame: square pixels, upright. Never below 1.
struct Size {
  int width = 0, height = 0;
};
Size display_size(const AVFrame& frame, int rotation);

}  // namespace cleared::curate
