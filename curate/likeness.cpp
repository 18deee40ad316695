#include "curate/likeness.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "curate/worker.pb.h"

namespace cleared::curate {
namespace {

constexpr int kSide = PictureRow::kSide;
constexpr float kFlat = 5;           // deviation of luma, of 255
constexpr float kBlack = 12;         // mean luma, of 255
constexpr float kLeastLight = 2;     // the same: below it is noise
constexpr float kNoise = 2;          // of luma, in each pixel
constexpr int kBlock = 4;            // side, in pixels
constexpr int kReach = 6;            // of motion, in half pixels
constexpr float kExplained = 0.02f;  // of a block's variance: good enough, no need to search on
constexpr float kMostGain = 3;       // of light in a block
constexpr float kAlike = 0.01f;      // so little is nothing, whatever the other way says
constexpr int kMostShift = 4;        // of the whole picture, in pixels
constexpr size_t kKept = 64;

// Sums of so many numbers, and of their squares.
struct Sums {
  int64_t sum = 0, squares = 0;
  int count = 0;
  void add(int value) {
    sum += value;
    squares += value * value;
    ++count;
  }
  float variance() const {  // times the count
    return static_cast<float>(squares) -
           static_cast<float>(sum) * static_cast<float>(sum) / static_cast<float>(count);
  }
};

using Block = std::array<int16_t, size_t{kBlock} * kBlock>;

// The block of which the top left pixel is `first`.
Block block_at(const int16_t* first) {
  Block out;
  for (int y = 0; y < kBlock; ++y) {
    std::memcpy(&out[size_t(y * kBlock)], first + y * kSide, kBlock * sizeof(int16_t));
  }
  return out;
}

// Variance of the difference, times the pixels.
int variance_of_difference(const Block& one, const Block& other) {
  int sum = 0, squares = 0;
  for (size_t i = 0; i < one.size(); ++i) {
    const auto d = static_cast<int16_t>(one[i] - other[i]);
    sum += d;
    squares += d * d;
  }
  return squares - sum / kBlock * (sum / kBlock);
}

// The same after the best change of light.
float left_of_light(const Block& one, float whole, const Block& other) {
  int sum = 0, others = 0, squares = 0, products = 0;
  for (size_t i = 0; i < one.size(); ++i) {
    sum += one[i];
    others += other[i];
    squares += other[i] * other[i];
    products += one[i] * other[i];
  }
  const auto per_pixel = [](int a, int b) { return float(a) * float(b) / (kBlock * kBlock); };
  const float variance = float(squares) - per_pixel(others, others);
  if (variance <= 0) return whole;
  const float common = float(products) - per_pixel(sum, others);
  const float gain = std::clamp(common / variance, 1 / kMostGain, kMostGain);
  return std::max(0.0f, whole - 2 * gain * common + gain * gain * variance);
}

}  // namespace

std::string without_bars(const Analysis& analysis) {
  constexpr int kBarLuma = 24;      // of 255, at most
  constexpr size_t kOtherwise = 8;  // one frame in so many may have light there
  constexpr int kLeastInside = 6;   // of kSide
  const std::string& thumbs = analysis.thumb();
  const size_t frames = thumbs.size() / PictureRow::kPixels;
  std::array<size_t, kSide> lit_rows{}, lit_columns{};
  for (size_t frame = 0; frame < frames; ++frame) {
    std::array<int, kSide> rows{}, columns{};
    for (size_t i = 0; i < PictureRow::kPixels; ++i) {
      const int luma = static_cast<uint8_t>(thumbs[frame * PictureRow::kPixels + i]);
      rows[i / kSide] = std::max(rows[i / kSide], luma);
      columns[i % kSide] = std::max(columns[i % kSide], luma);
    }
    for (size_t i = 0; i < kSide; ++i) {
      lit_rows[i] += rows[i] > kBarLuma;
      lit_columns[i] += columns[i] > kBarLuma;
    }
  }
  // Where the picture is, [first, end).
  const auto inside = [&](const std::array<size_t, kSide>& lit) {
    int first = 0, end = kSide;
    while (first < end && lit[size_t(first)] * kOtherwise <= frames) ++first;
    while (end > first && lit[size_t(end - 1)] * kOtherwise <= frames) --end;
    return end - first < kLeastInside ? std::pair(0, kSide) : std::pair(first, end);
  };
  const auto [top, bottom] = inside(lit_rows);
  const auto [left, right] = inside(lit_columns);
  if (bottom - top == kSide && right - left == kSide) return thumbs;
  // Between which two pixels each lies, and how far from the first, in 32nds of a pixel.
  struct Between {
    int first, second, far;
  };
  const auto spread = [](int first, int end) {
    std::array<Between, kSide> out{};
    for (int i = 0; i < kSide; ++i) {
      const int at =
          std::clamp((2 * i + 1) * (end - first) - kSide, 0, 2 * kSide * (end - first - 1));
      out[size_t(i)] = {first + at / (2 * kSide), std::min(first + at / (2 * kSide) + 1, end - 1),
                        at % (2 * kSide)};
    }
    return out;
  };
  const auto rows = spread(top, bottom), columns = spread(left, right);
  std::string out;
  out.reserve(thumbs.size());
  for (size_t frame = 0; frame < frames; ++frame) {
    const auto pixel = [&](int y, int x) {
      return static_cast<uint8_t>(thumbs[frame * PictureRow::kPixels + size_t(y * kSide + x)]);
    };
    for (const Between& y : rows) {
      for (const Between& x : columns) {
        const auto along = [&](int row) {
          return pixel(row, x.first) * (2 * kSide - x.far) + pixel(row, x.second) * x.far;
        };
        out.push_back(
            static_cast<char>((along(y.first) * (2 * kSide - y.far) + along(y.second) * y.far) /
                              (4 * kSide * kSide)));
      }
    }
  }
  return out;
}

PictureRow::PictureRow(const Analysis& analysis, const std::string& thumbs,
                       const std::vector<int>& frames)
    : analysis_(analysis), thumbs_(thumbs), frames_(frames), kept_(kKept) {
  lights_.reserve(frames.size());
  for (int at = 0; at < size(); ++at) {
    const uint8_t* p = thumb(at);
    int sum = 0, squares = 0;
    for (size_t i = 0; i < kPixels; ++i) {
      sum += p[i];
      squares += p[i] * p[i];
    }
    const float mean = static_cast<float>(sum) / kPixels;
    const float variance = static_cast<float>(squares) / kPixels - mean * mean;
    lights_.push_back({mean, std::max(kLeastLight, std::sqrt(std::max(0.0f, variance)))});
  }
}

const uint8_t* PictureRow::thumb(int at) const {
  return reinterpret_cast<const uint8_t*>(thumbs_.data()) +
         static_cast<size_t>(frame(at)) * kPixels;
}

PictureRow::Kept& PictureRow::kept(int at) const {
  Kept& out = kept_[static_cast<size_t>(at) % kKept];
  if (out.at == at) return out;
  out.at = at;
  out.has_half = false;
  const Light light = lights_[static_cast<size_t>(at)];
  const float scale = kUnit / light.deviation;
  const uint8_t* p = thumb(at);
  for (size_t i = 0; i < kPixels; ++i) {
    out.pixels[i] = static_cast<int16_t>((float(p[i]) - light.mean) * scale);
  }
  return out;
}

const std::array<PictureRow::Pixels, 4>& PictureRow::half(int at) const {
  Kept& out = kept(at);
  if (out.has_half) return out.half;
  out.has_half = true;
  for (int y = 0; y < kSide; ++y) {
    for (int x = 0; x < kSide; ++x) {
      for (int shift = 0; shift < 4; ++shift) {
        const int right = std::min(x + shift % 2, kSide - 1),
                  down = std::min(y + shift / 2, kSide - 1);
        const auto pixel = [&](int j, int i) { return int{out.pixels[size_t(j * kSide + i)]}; };
        out.half[size_t(shift)][size_t(y * kSide + x)] = static_cast<int16_t>(
            (pixel(y, x) + pixel(y, right) + pixel(down, x) + pixel(down, right)) / 4);
      }
    }
  }
  return out.half;
}

uint64_t PictureRow::us_between(int a, int b) const {
  return analysis_.pts_us(frame(std::max(a, b))) - analysis_.pts_us(frame(std::min(a, b)));
}

bool PictureRow::is_black(int at) const {
  const Light light = lights_[static_cast<size_t>(at)];
  return light.mean <= kBlack && light.deviation <= kLeastLight;
}

bool PictureRow::is_flat(int at) const {
  return lights_[static_cast<size_t>(at)].deviation < kFlat;
}

float PictureRow::sharpness(int at) const {
  const float deviation = lights_[static_cast<size_t>(at)].deviation;
  return analysis_.sharpness(frame(at)) / (deviation * deviation);
}

float PictureRow::luma(int a, int b) const {
  const uint8_t *x = thumb(a), *y = thumb(b);
  int sum = 0;
  for (size_t i = 0; i < kPixels; ++i) sum += std::abs(x[i] - y[i]);
  return static_cast<float>(sum) / kPixels;
}

float PictureRow::change(int a, int b) const {
  const Pixels x = kept(a).pixels, &y = kept(b).pixels;  // what is kept moves on
  int sum = 0;
  for (size_t i = 0; i < kPixels; ++i) sum += std::abs(x[i] - y[i]);
  return static_cast<float>(sum) / (kPixels * kUnit);
}

float PictureRow::unlike(int a, int b) const {
  const float one = left_of(a, b);
  // Anything makes a flat one of another, but not the other way round.
  if (is_flat(a) || is_flat(b)) return std::max(one, left_of(b, a));
  return one < kAlike ? one : std::min(one, left_of(b, a));
}

float PictureRow::left_of(int from, int to) const {
  const auto& moved = half(from);
  const Pixels& pixels = kept(to).pixels;
  float all = 0, left = 0;
  for (int top = 0; top < kSide; top += kBlock) {
    for (int start = 0; start < kSide; start += kBlock) {
      const auto at = static_cast<size_t>(top * kSide + start);
      const Block block = block_at(&pixels[at]);
      Sums sums;
      for (const int value : block) sums.add(value);
      const float whole = sums.variance();
      float best = std::min(whole, left_of_light(block, whole, block_at(&moved[0][at])));
      // Of whole pixels the best, and around it of halves.
      int best_y = 2 * top, best_x = 2 * start;
      const auto search = [&](int y0, int x0, int reach, int step) {
        const auto low = [&](int centre) { return std::max(0, centre - reach); };
        const auto high = [&](int centre) {
          return std::min(2 * (kSide - kBlock), centre + reach);
        };
        for (int y = low(y0); y <= high(y0) && best > kExplained * whole; y += step) {
          for (int x = low(x0); x <= high(x0); x += step) {
            const Pixels& shifted = moved[size_t(y % 2 * 2 + x % 2)];
            const auto rest = static_cast<float>(
                variance_of_difference(block, block_at(&shifted[size_t(y / 2 * kSide + x / 2)])));
            if (rest >= best) continue;
            best = rest;
            best_y = y;
            best_x = x;
          }
        }
      };
      search(2 * top, 2 * start, kReach, 2);
      search(best_y, best_x, 1, 1);
      all += whole;
      left += best;
    }
  }
  const float noise = kNoise * kUnit / lights_[static_cast<size_t>(to)].deviation;
  return left / (all + kPixels * noise * noise);
}

bool PictureRow::is_relit(int a, int b) const {
  constexpr float kTimes = 3;
  const float deviation = lights_[static_cast<size_t>(b)].deviation;
  return luma(a, b) > kTimes * change(a, b) * deviation;
}

bool PictureRow::is_overlaid(int a, int b) const {
  constexpr int kChanged = 5;  // of luma
  constexpr float kMostOfPicture = 0.45f, kMostOfChange = 0.85f, kFilled = 0.7f;
  const uint8_t *x = thumb(a), *y = thumb(b);
  std::array<int, kSide> rows{}, columns{};
  int all = 0;
  for (size_t i = 0; i < kPixels; ++i) {
    const int d = std::abs(x[i] - y[i]);
    rows[i / kSide] += d;
    columns[i % kSide] += d;
    all += d;
  }
  const int row = *std::max_element(rows.begin(), rows.end()) / 4;
  const int column = *std::max_element(columns.begin(), columns.end()) / 4;
  int box = 0, inside = 0, changed = 0;
  for (size_t i = 0; i < kPixels; ++i) {
    if (rows[i / kSide] < row || columns[i % kSide] < column) continue;
    const int d = std::abs(x[i] - y[i]);
    ++box;
    inside += d;
    changed += d > kChanged;
  }
  return float(box) <= kMostOfPicture * kPixels && float(inside) >= kMostOfChange * float(all) &&
         float(changed) >= kFilled * float(box);
}

bool PictureRow::is_shifted(int a, int b) const {
  constexpr float kLeft = 0.2f;  // of the variance
  const Pixels from = kept(a).pixels, &to = kept(b).pixels;
  const auto left = [&](int dx, int dy) {
    Sums whole, rest;
    for (int y = std::max(0, -dy); y < std::min(kSide, kSide - dy); ++y) {
      for (int x = std::max(0, -dx); x < std::min(kSide, kSide - dx); ++x) {
        const int value = to[size_t(y * kSide + x)];
        whole.add(value);
        rest.add(value - from[size_t((y + dy) * kSide + x + dx)]);
      }
    }
    return rest.variance() / std::max(1.0f, whole.variance());
  };
  const float most = std::min(kLeft, left(0, 0) / 2);
  for (int dy = -kMostShift; dy <= kMostShift; ++dy) {
    for (int dx = -kMostShift; dx <= kMostShift; ++dx) {
      if (left(dx, dy) < most) return true;
    }
  }
  return false;
}

}  // namespace cleared::curate
