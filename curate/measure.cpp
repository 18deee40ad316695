#include "curate/measure.h"

#include <cmath>
#include <cstdlib>

#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

namespace cleared::curate {
namespace {

cv::Mat view(const Picture& luma) {
  return {luma.height, luma.width, CV_8UC1, const_cast<uint8_t*>(luma.pixels.data())};
}

}  // namespace

float mean_luma(const Picture& luma) {
  return static_cast<float>(cv::mean(view(luma))[0]);
}

float sharpness(const Picture& luma) {
  cv::Mat edges;
  cv::Laplacian(view(luma), edges, CV_16S);
  cv::Scalar mean, deviation;
  cv::meanStdDev(edges, mean, deviation);
  return static_cast<float>(deviation[0] * deviation[0]);
}

float motion(const Picture& luma, const Picture& before) {
  if (luma.width != before.width || luma.height != before.height) return 255;
  return static_cast<float>(cv::norm(view(luma), view(before), cv::NORM_L1) /
                            double(luma.pixels.size()));
}

Histogram histogram(const Picture& luma) {
  std::array<uint32_t, 64> counts{};
  for (const uint8_t value : luma.pixels) ++counts[value / 4];
  Histogram out{};
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = static_cast<float>(counts[i]) / static_cast<float>(luma.pixels.size());
  }
  return out;
}

float difference(const Histogram& a, const Histogram& b) {
  float sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += std::abs(a[i] - b[i]);
  return sum / 2;
}

}  // namespace cleared::curate
