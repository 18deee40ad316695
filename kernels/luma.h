// A decoded picture, read once: its luma becomes two small pictures that all later measures work
// on. Every sum of pixels is of whole numbers, and floats are added in one order without fusing, so
// the result is the same to the bit on every processor; vectors of whatever width it has, chosen
// when the program runs. Sizes are the caller's to check.
//
// The first is what PDQ (kernels/pdq.h) makes of the picture averaged by area onto 512 x 512
// pixels, the size that its authors hash, or enlarged to it by linear interpolation. Both steps are
// linear and separable, so they are one weighted sum each way. From whatever size a picture comes,
// it is sampled at the same places; PDQ of the full size shifts them by up to 1.5 pixels, which
// costs about 10 bits of 256. The second is an average over boxes of whole pixels, for statistics.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/pdq.h"

namespace cleared::kernels {

inline constexpr int kSmallPixels = 192;   // longer side of the second picture, at most
inline constexpr int kMostPixels = 12288;  // of a side: sums stay within 16 bits

struct Luma {
  const uint8_t* pixels;
  ptrdiff_t stride;  // bytes from row to row
  int width, height;
  bool limited;  // 16 is black and 235 white; what comes out has full range
};
// Pixels of `depth` bits, 9 to 16, two bytes each in the machine's order: their upper 8 bits, kept
// in `bytes`.
Luma narrowed(const Luma& in, int depth, std::vector<uint8_t>& bytes);

// How a picture has to be laid down to be upright: axes are reversed first, then swapped.
struct LumaTurn {
  bool flip_x = false, flip_y = false, swap = false;
};

// [line][place], `lines` lines of `places` bytes, each `stride` from the one before: which of the
// two is x is `by_column`'s to say.
struct SmallLuma {
  int lines = 0, places = 0, stride = 0;
  bool by_column = true;  // a line is a column of the upright picture; else it is a row
  std::vector<uint8_t> pixels;
};

// For pictures of one shape, neither side above kMostPixels. Keeps its buffers: one per thread.
class LumaShrinker {
 public:
  LumaShrinker(int width, int height, LumaTurn turn);
  // `filtered` gets kPdqSide x kPdqSide values in [0, 255], upright, as pdq_filter() makes them.
  void filter(const Luma& in, float* filtered);
  // That and the second picture, in one pass.
  void shrink(const Luma& in, float* filtered, SmallLuma& small);

  struct Tent {  // weights of the pixels from `first` on
    int first = 0;
    std::vector<uint16_t> sum_256;  // whole numbers
    std::vector<float> sum_1;
  };
  struct Axis {
    std::array<Tent, kPdqSide> tents;
    std::vector<int> ends;  // of each box of the second picture
  };

 private:
  using Columns = std::array<float, size_t{kPdqSide} * kPdqSide>;
  void filter_row(const Luma& in, int j, float* columns);
  void shrink_row(const Luma& in, int place, SmallLuma& small);
  uint16_t* row_of(std::vector<uint16_t>& rows, int row) const;
  void finish(const Luma& in, const float* columns, float* filtered) const;

  int width_;
  LumaTurn turn_;
  Axis x_, y_;
  std::vector<uint16_t> rows_, means_, turned_;
};

struct SmallMeasures {
  uint64_t sum = 0;                  // of all pixels
  uint64_t changed = 0;              // sum of absolute differences to the picture before
  double sharpness = 0;              // variance of the Laplacian inside the border
  std::array<uint32_t, 64> bands{};  // pixels of every fourth line, by their value / 4
};
// `before` has the same shape, or is null.
SmallMeasures measure_small(const SmallLuma& small, const SmallLuma* before);
// SmallMeasures::changed alone.
uint64_t changed_since(const SmallLuma& before, const SmallLuma& small);

// The first picture at a quarter of its side, each value a mean of 4 x 4.
inline constexpr int kThumbSide = kPdqSide / 4;
void make_thumb(const float* filtered, uint8_t* out);

}  // namespace cleared::kernels
