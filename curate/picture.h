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

// Which part of a picture that is larger than what is wanted, in 2^-32 of the room there is: 0 is
// the left edge, the top.
struct Place {
  static constexpr uint32_t kMiddle = 0x7fffffff;  // half of the room, rounded down
  uint32_t across = kMiddle, down = kMiddle;
  bool mirror = false;  // left for right, once it is cut
};

// Of the places 0 to `room`, that at `share` of it.
inline int share_of(uint32_t share, int room) {
  return static_cast<int>(uint64_t{share} * (static_cast<uint64_t>(room) + 1) >> 32);
}

// How a stored picture has to be laid down to be upright: mirrored first, left for right, and then
// turned clockwise.
struct Orientation {
  int rotation = 0;  // 0, 90, 180 or 270 degrees
  bool mirrored = false;
};

class PictureMaker {
 public:
  // Luma, upright, the longer side at most `longest` pixels; smaller frames keep their size unless
  // they are to be enlarged.
  Picture luma(const AVFrame& frame, Orientation orientation, int longest, bool enlarge = false);
  // RGB, upright, scaled to cover width x height and cropped at the place.
  Picture rgb(const AVFrame& frame, Orientation orientation, int width, int height,
              const Place& place = {});

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
Size display_size(const AVFrame& frame, Orientation orientation);

}  // namespace cleared::curate
