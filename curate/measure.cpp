#include "curate/measure.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace cleared::curate {
namespace {

constexpr size_t kFiltered = kernels::kPdqSide;

float difference(const std::array<uint32_t, 64>& a, const std::array<uint32_t, 64>& b) {
  const auto all = std::accumulate(a.begin(), a.end(), uint64_t{0});
  uint64_t sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] > b[i] ? a[i] - b[i] : b[i] - a[i];
  return all == 0 ? 0 : static_cast<float>(double(sum) / double(2 * all));
}

}  // namespace

kernels::Luma Measurer::luma_of(const AVFrame& frame) {
  if (const auto plain = plain_luma(frame, bytes_)) return *plain;
  grey_ = pictures_.luma(frame, {}, kernels::kMostPixels / 2);
  return {.pixels = grey_.pixels.data(),
          .stride = grey_.width,
          .width = grey_.width,
          .height = grey_.height,
          .limited = false};
}

// Clockwise by 90: what was at the bottom left comes to the top left.
kernels::LumaTurn Measurer::turn() const {
  const auto [rotation, mirrored] = orientation_;
  return {.flip_x = (rotation == 180 || rotation == 270) != mirrored,
          .flip_y = rotation == 90 || rotation == 180,
          .swap = rotation % 180 != 0};
}

FrameMeasures Measurer::measure(const AVFrame& frame) {
  luma_ = luma_of(frame);
  const kernels::Luma& luma = luma_;
  if (!shrinker_ || luma.width != width_ || luma.height != height_) {
    width_ = luma.width;
    height_ = luma.height;
    shrinker_ = std::make_unique<kernels::LumaShrinker>(width_, height_, turn());
  }
  FrameMeasures out;
  std::array<float, kFiltered * kFiltered> filtered;
  shrinker_->shrink(luma, filtered.data(), small_);
  out.print = PdqHasher::fingerprint_filtered(filtered.data());
  kernels::make_thumb(filtered.data(), out.thumb.data());

  const bool comparable =
      !first_ && small_.lines == before_.lines && small_.places == before_.places;
  const kernels::SmallMeasures small =
      kernels::measure_small(small_, comparable ? &before_ : nullptr);
  const double pixels = double(small_.lines) * small_.places;
  out.luma = static_cast<float>(double(small.sum) / pixels);
  out.sharpness = static_cast<float>(small.sharpness);
  if (!first_) {
    out.motion = comparable ? static_cast<float>(double(small.changed) / pixels) : 255;
    out.histogram = comparable ? difference(small.bands, bands_before_) : 1;
  }
  bands_before_ = small.bands;
  std::swap(small_, before_);
  first_ = false;
  return out;
}

}  // namespace cleared::curate
