#include "curate/looks.h"

#include <algorithm>
#include <cmath>

#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

namespace cleared::curate {
namespace {

constexpr int kLongest = 192;  // pixels are plenty for 16 waves
constexpr double kFlat = 5;    // standard deviation of luma along a line of a border

struct Part {
  double x, y, width, height;  // shares of the picture
};
constexpr Part middle(double share) {
  return {(1 - share) / 2, (1 - share) / 2, share, share};
}
constexpr Part kKeptParts[kKeptLooks] = {
    middle(1),        middle(0.95),    middle(0.9),         middle(0.85),         middle(0.8),
    middle(0.75),     middle(0.7),     {0.125, 0, 0.75, 1}, {0.22, 0, 0.5625, 1}, {0, 0, 1, 0.8},
    {0, 0.2, 1, 0.8}, {0, 0, 0.75, 1}, {0.25, 0, 0.75, 1},
};
constexpr double kMiddles[kMiddleInsets] = {0.5, 0.6, 2.0 / 3, 0.75, 0.85};
constexpr double kSizes[kInsetSizes] = {0.3, 0.35, 0.4, 0.5, 0.6};
constexpr double kMargins[kInsetMargins] = {0, 0.035};  // of the width

cv::Mat matrix_of(const Picture& luma) {
  return {luma.height, luma.width, CV_8UC1, const_cast<uint8_t*>(luma.pixels.data())};
}

cv::Mat small(const Picture& luma) {
  const cv::Mat whole = matrix_of(luma);
  const double scale = std::min(1.0, double(kLongest) / std::max(luma.width, luma.height));
  const cv::Size size(std::max(8, static_cast<int>(std::lround(luma.width * scale))),
                      std::max(8, static_cast<int>(std::lround(luma.height * scale))));
  cv::Mat out;
  cv::resize(whole, out, size, 0, 0, cv::INTER_AREA);
  return out;
}

bool flat(const cv::Mat& line) {
  cv::Scalar mean, deviation;
  cv::meanStdDev(line, mean, deviation);
  return deviation[0] < kFlat;
}

// Without flat lines at its edges, at most 40 percent from each side; whole when little is left.
cv::Mat trimmed(const cv::Mat& m) {
  int top = 0, bottom = m.rows, left = 0, right = m.cols;
  while (top < m.rows * 2 / 5 && flat(m.row(top))) ++top;
  while (bottom > m.rows * 3 / 5 && flat(m.row(bottom - 1))) --bottom;
  if (top == m.rows * 2 / 5 || bottom == m.rows * 3 / 5) top = 0, bottom = m.rows;
  const cv::Mat rows = m.rowRange(top, bottom);
  while (left < m.cols * 2 / 5 && flat(rows.col(left))) ++left;
  while (right > m.cols * 3 / 5 && flat(rows.col(right - 1))) --right;
  if (left == m.cols * 2 / 5 || right == m.cols * 3 / 5) left = 0, right = m.cols;
  // The line beside a border is half border.
  if (top > 0) ++top;
  if (bottom < m.rows) --bottom;
  if (left > 0) ++left;
  if (right < m.cols) --right;
  return m(cv::Range(top, bottom), cv::Range(left, right));
}

kernels::PdqPicture as_picture(const cv::Mat& m) {
  return {.pixels = m.data,
          .stride = static_cast<ptrdiff_t>(m.step[0]),
          .width = m.cols,
          .height = m.rows,
          .channels = 1};
}

// PDQ filters by a share of the size and takes 64 x 64 points: every part is given at one size.
kernels::PdqPicture part_of(const cv::Mat& m, const Part& part, cv::Mat& held) {
  const cv::Rect box(static_cast<int>(std::lround(part.x * m.cols)),
                     static_cast<int>(std::lround(part.y * m.rows)),
                     std::max(8, static_cast<int>(std::lround(part.width * m.cols))),
                     std::max(8, static_cast<int>(std::lround(part.height * m.rows))));
  const cv::Rect inside = box & cv::Rect(0, 0, m.cols, m.rows);
  cv::resize(m(inside), held, cv::Size(128, 128), 0, 0, cv::INTER_LINEAR);
  return as_picture(held);
}

}  // namespace

std::array<Fingerprint, kKeptLooks> Looks::kept(const Picture& luma) {
  std::array<Fingerprint, kKeptLooks> out;
  const cv::Mat whole = trimmed(small(luma));
  cv::Mat held;
  for (size_t i = 0; i < kKeptLooks; ++i) {
    out[i] = hasher_.fingerprint(part_of(whole, kKeptParts[i], held));
  }
  return out;
}

std::array<Fingerprint, kAskedLooks> Looks::asked(const Picture& luma) {
  std::array<Fingerprint, kAskedLooks> out;
  const cv::Mat whole = small(luma);
  cv::Mat held;
  // Pictures turned, not coefficients: of so small a picture the filter takes points that are not
  // in its middle, and a turned fingerprint would be 30 bits off.
  part_of(trimmed(whole), middle(1), held);
  for (size_t turn = 0; turn < kTurns; ++turn) {
    cv::Mat turned = held.clone();
    if ((turn & 1) != 0) cv::flip(turned, turned, 1);
    if ((turn & 2) != 0) cv::flip(turned, turned, 0);
    if ((turn & 4) != 0) cv::transpose(turned, turned);
    out[turn] = hasher_.fingerprint(as_picture(turned));
  }
  size_t at = kTurns;
  for (const double share : kMiddles) {
    out[at++] = hasher_.fingerprint(part_of(whole, middle(share), held));
  }
  for (const double size : kSizes) {
    for (const double margin : kMargins) {
      const double down = margin * whole.cols / whole.rows;
      for (int corner = 0; corner < 4; ++corner) {
        const Part part{(corner & 1) != 0 ? 1 - size - margin : margin,
                        (corner & 2) != 0 ? 1 - size - down : down, size, size};
        out[at++] = hasher_.fingerprint(part_of(whole, part, held));
      }
    }
  }
  return out;
}

const std::vector<LookPair>& look_pairs() {
  static const std::vector<LookPair> pairs = [] {
    std::vector<LookPair> out;
    const auto add = [&](size_t asked, size_t kept) {
      out.push_back({static_cast<uint8_t>(asked), static_cast<uint8_t>(kept)});
    };
    for (size_t turn = 0; turn < kTurns; ++turn) {
      for (size_t kept = kept_all; kept < kept_top; ++kept) add(turn, kept);
    }
    for (size_t inset = kTurns; inset < kAskedLooks; ++inset) add(inset, kept_all);
    for (size_t kept = kept_middle_95; kept < kept_top; ++kept) add(kAskedLooks + kept, kept_all);
    for (size_t kept = kept_top; kept < kKeptLooks; ++kept) add(kAskedLooks + kept, kept);
    return out;
  }();
  return pairs;
}

const char* describe(LookPair pair) {
  static const char* const turns[kTurns] = {"whole",      "mirrored", "upside down", "by 180",
                                            "transposed", "by 90",    "by 270",      "transversed"};
  if (pair.asked < kTurns && (pair.kept == kept_all || pair.asked != 0)) return turns[pair.asked];
  if (pair.asked < kTurns) return "cropped";
  if (pair.asked < kAskedLooks) return "inset";
  return pair.kept == kept_all ? "uncropped" : "partly covered";
}

}  // namespace cleared::curate
