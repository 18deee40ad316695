// What is measured on every frame, from one pass over its luma (kernels/luma.h): the fingerprint,
// and what shot detection and the quality filters work on. Luma of full range, upright. Integers
// but for the fingerprint, so the same on every machine. One object per thread and source.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "curate/pdq.h"
#include "curate/picture.h"

namespace cleared::curate {

struct FrameMeasures {
  Fingerprint print;    // as of the picture averaged by area onto 512 x 512
  float luma = 0;       // [0, 255], mean
  float sharpness = 0;  // variance of the Laplacian: low where nothing is in focus. Pech-Pacheco
                        // and others, 2000
  float motion = 0;  // [0, 255], mean absolute difference to the frame before; 255 after a change
                     // of size
  float histogram = 0;  // [0, 1], half the sum of absolute differences of 64 bands of luma
  std::array<uint8_t, size_t{kernels::kThumbSide} * kernels::kThumbSide> thumb{};  // row by row
};

class Measurer {
 public:
  explicit Measurer(Orientation orientation) : orientation_(orientation) {}
  // Frames in order. The first has no motion.
  FrameMeasures measure(const AVFrame& frame);
  // The luma of the frame measured last, while that frame lives.
  const kernels::Luma& luma() const { return luma_; }
  // How its pixels have to be laid down to be upright.
  kernels::LumaTurn turn() const;
  // The second picture of kernels/luma.h of the frame measured last.
  const kernels::SmallLuma& small() const { return before_; }

 private:
  kernels::Luma luma_of(const AVFrame& frame);

  Orientation orientation_;
  int width_ = 0, height_ = 0;  // of the shrinker
  std::unique_ptr<kernels::LumaShrinker> shrinker_;
  PictureMaker pictures_;
  Picture grey_;
  kernels::Luma luma_{};
  std::vector<uint8_t> bytes_;
  kernels::SmallLuma small_, before_;
  std::array<uint32_t, 64> bands_before_{};
  bool first_ = true;
};

}  // namespace cleared::curate
