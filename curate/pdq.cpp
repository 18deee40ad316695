#include "curate/pdq.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "ledger/base/check.h"

namespace cleared::curate {
namespace {

constexpr int kSide = 64;   // of the filtered picture
constexpr int kWaves = 16;  // cosine coefficients each way
constexpr int kMinPixels = 5;

// The sums run in this order in the published code too: floats do not add up the same in another.

// Mean over a sliding window of `window` values, cut off at both ends; `stride` between values.
void box_filter(const float* in, float* out, int count, int stride, int window) {
  const int ahead = (window + 2) / 2 - 1;  // values right of the centre
  const float *right = in, *left = in;
  float sum = 0;
  int size = 0;
  for (int i = 0; i < ahead; ++i, right += stride, ++size) sum += *right;
  for (int i = 0; i < window - ahead; ++i, right += stride, out += stride) {
    sum += *right;
    *out = sum / static_cast<float>(++size);
  }
  for (int i = 0; i < count - window; ++i, right += stride, left += stride, out += stride) {
    sum += *right;
    sum -= *left;
    *out = sum / static_cast<float>(size);
  }
  for (int i = 0; i < ahead; ++i, left += stride, out += stride) {
    sum -= *left;
    *out = sum / static_cast<float>(--size);
  }
}

// The same down all columns at once, so that memory is walked in rows.
void box_filter_columns(const float* in, float* out, int width, int height, int window,
                        std::vector<float>& sums) {
  const int ahead = (window + 2) / 2 - 1;
  sums.assign(static_cast<size_t>(width), 0);
  const auto row = [&](int y) { return in + static_cast<ptrdiff_t>(y) * width; };
  int size = 0;
  for (int y = 0; y < ahead; ++y, ++size) {
    for (int x = 0; x < width; ++x) sums[static_cast<size_t>(x)] += row(y)[x];
  }
  for (int y = 0; y < height; ++y, out += width) {
    const bool adds = y + ahead < height, takes = y + ahead >= window;
    size += (adds ? 1 : 0) - (takes ? 1 : 0);
    const float* below = adds ? row(y + ahead) : nullptr;
    const float* above = takes ? row(y + ahead - window) : nullptr;
    const auto n = static_cast<float>(size);
    for (int x = 0; x < width; ++x) {
      float& sum = sums[static_cast<size_t>(x)];
      if (adds) sum += below[x];
      if (takes) sum -= above[x];
      out[x] = sum / n;
    }
  }
}

using Small = std::array<std::array<float, kSide>, kSide>;

int quality_of(const Small& picture) {
  const auto step = [](float a, float b) {
    return std::abs(static_cast<int>((a - b) * 100 / 255));
  };
  int sum = 0;
  for (size_t y = 0; y < kSide; ++y) {
    for (size_t x = 0; x < kSide; ++x) {
      if (y + 1 < kSide) sum += step(picture[y][x], picture[y + 1][x]);
      if (x + 1 < kSide) sum += step(picture[y][x], picture[y][x + 1]);
    }
  }
  return std::min(sum / 90, 100);
}

std::array<std::array<float, kSide>, kWaves> make_cosines() {
  std::array<std::array<float, kSide>, kWaves> out{};
  const auto scale = static_cast<float>(std::sqrt(2.0 / kSide));
  for (size_t i = 0; i < kWaves; ++i) {
    for (size_t j = 0; j < kSide; ++j) {
      out[i][j] = static_cast<float>(scale * std::cos(3.14159265358979323846 / 2.0 / kSide *
                                                      double(i + 1) * double(2 * j + 1)));
    }
  }
  return out;
}

std::array<float, kWaves * kWaves> cosine_transform(const Small& picture) {
  static const auto cosines = make_cosines();
  std::array<std::array<float, kSide>, kWaves> half{};
  for (size_t i = 0; i < kWaves; ++i) {
    for (size_t k = 0; k < kSide; ++k) {
      for (size_t j = 0; j < kSide; ++j) half[i][j] += cosines[i][k] * picture[k][j];
    }
  }
  std::array<float, kWaves * kWaves> out{};
  for (size_t i = 0; i < kWaves; ++i) {
    for (size_t j = 0; j < kWaves; ++j) {
      float sum = 0;
      for (size_t k = 0; k < kSide; ++k) sum += half[i][k] * cosines[j][k];
      out[i * kWaves + j] = sum;
    }
  }
  return out;
}

}  // namespace

Fingerprint PdqHasher::fingerprint(std::span<const uint8_t> luma, int width, int height) {
  CLEARED_CHECK(luma.size() == static_cast<size_t>(width) * static_cast<size_t>(height));
  if (width < kMinPixels || height < kMinPixels) return {};
  image_.assign(luma.begin(), luma.end());
  scratch_.resize(image_.size());

  if (width != kSide || height != kSide) {
    const auto window = [](int size) { return (size + 2 * kSide - 1) / (2 * kSide); };
    std::vector<float> sums;
    for (int pass = 0; pass < 2; ++pass) {  // two boxes make a tent
      for (int y = 0; y < height; ++y) {
        const ptrdiff_t row = static_cast<ptrdiff_t>(y) * width;
        box_filter(&image_[static_cast<size_t>(row)], &scratch_[static_cast<size_t>(row)], width, 1,
                   window(width));
      }
      box_filter_columns(scratch_.data(), image_.data(), width, height, window(height), sums);
    }
  }
  Small picture;
  for (size_t y = 0; y < kSide; ++y) {
    const auto from_y = static_cast<size_t>((double(y) + 0.5) * height / kSide);
    for (size_t x = 0; x < kSide; ++x) {
      const auto from_x = static_cast<size_t>((double(x) + 0.5) * width / kSide);
      picture[y][x] = image_[from_y * static_cast<size_t>(width) + from_x];
    }
  }

  const auto waves = cosine_transform(picture);
  auto sorted = waves;
  std::nth_element(sorted.begin(), sorted.begin() + 127, sorted.end());  // the lower median
  Fingerprint out{.bits = {}, .quality = quality_of(picture)};
  for (size_t k = 0; k < waves.size(); ++k) {
    if (waves[k] > sorted[127]) {
      out.bits[31 - k / 8] = static_cast<uint8_t>(out.bits[31 - k / 8] | (1u << (k % 8)));
    }
  }
  return out;
}

int distance(const Pdq& a, const Pdq& b) {
  int bits = 0;
  for (size_t i = 0; i < a.size(); i += 8) {
    uint64_t x = 0, y = 0;
    std::memcpy(&x, &a[i], 8);
    std::memcpy(&y, &b[i], 8);
    bits += std::popcount(x ^ y);
  }
  return bits;
}

Pdq pdq_at(std::string_view packed, size_t index) {
  Pdq out{};
  CLEARED_CHECK(packed.size() / out.size() > index);
  std::memcpy(out.data(), packed.data() + index * out.size(), out.size());
  return out;
}

}  // namespace cleared::curate
