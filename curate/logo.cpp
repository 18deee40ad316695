#include "curate/logo.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace cleared::curate {
namespace {

constexpr int kLeastPictures = 7;
constexpr double kMoved = 4;           // mean change of luma since the picture before, of 255
constexpr double kLine = 10;           // slope of a line: difference over two pixels
constexpr double kAgrees = 0.75;       // |sum of slopes| of a line, of the sum of their sizes
constexpr double kMostStill = 0.15;    // of the lines outside the corners
constexpr double kCornerWidth = 0.35;  // of the picture without bars
constexpr double kCornerHeight = 0.3;
constexpr int kNear = 4;  // pixels between neighbours of a logo
constexpr int kLeastPixels = 12;
constexpr double kLeastDense = 0.08;  // of the logo's rectangle
constexpr double kSamePlace = 0.3;    // area in common, of both

double common_area(const LogoPlace& a, const LogoPlace& b) {
  const auto area = [](double width, double height) {
    return std::max(width, 0.0) * std::max(height, 0.0);
  };
  const double both = area(std::min(a.right, b.right) - std::max(a.left, b.left),
                           std::min(a.bottom, b.bottom) - std::max(a.top, b.top));
  const double any =
      area(a.right - a.left, a.bottom - a.top) + area(b.right - b.left, b.bottom - b.top) - both;
  return any > 0 ? both / any : 0;
}

}  // namespace

// Which pixels of a window lie on a line that stood still. Upright: x to the right, y down.
struct LogoFinder::Still {
  int width = 0, height = 0;
  int left = 0, top = 0, right = 0, bottom = 0;  // looked at
  std::vector<float> agreement;                  // [y][x]; 0: no line, or it moved
  int corner_width() const { return static_cast<int>((right - left) * kCornerWidth); }
  int corner_height() const { return static_cast<int>((bottom - top) * kCornerHeight); }
  bool in_corner(int x, int y) const {
    const bool beside = x < left + corner_width() || x >= right - corner_width();
    return beside && (y < top + corner_height() || y >= bottom - corner_height());
  }
  float at(int x, int y) const { return agreement[static_cast<size_t>(y * width + x)]; }
  // A line goes on: one dot that happened to agree is none.
  bool on_a_line(int x, int y) const {
    if (at(x, y) == 0) return false;
    int near = 0;
    for (int v = std::max(y - 1, top); v < std::min(y + 2, bottom); ++v) {
      for (int u = std::max(x - 1, left); u < std::min(x + 2, right); ++u) near += at(u, v) > 0;
    }
    return near >= 4;
  }
};

bool LogoFinder::moved(const kernels::SmallLuma& small) const {
  if (last_.lines != small.lines || last_.places != small.places) return true;
  const uint64_t change = kernels::changed_since(last_, small);
  return double(change) >= kMoved * small.lines * small.places;
}

void LogoFinder::take(uint64_t pts_us, const kernels::SmallLuma& small, const double (&black)[4]) {
  const bool other = last_.lines != small.lines || last_.places != small.places ||
                     last_.by_column != small.by_column;
  if (other || pts_us >= window_.start_us + kLogoWindowUs) {
    end_window(pts_us);
    const auto pixels = static_cast<size_t>(small.lines) * static_cast<size_t>(small.places);
    window_ = {};
    window_.start_us = pts_us;
    window_.along.assign(pixels, 0);
    window_.across.assign(pixels, 0);
    window_.all.assign(pixels, 0);
  }
  if (!other && !moved(small)) return;
  last_ = small;
  ++window_.pictures;
  for (size_t side = 0; side < 4; ++side) {
    window_.black[side] = std::min(window_.black[side], black[side]);
  }
  const int places = small.places;  // could change with what is written, for all the compiler knows
  const ptrdiff_t stride = small.stride;
  for (int l = 1; l + 1 < small.lines; ++l) {
    const uint8_t* line = small.pixels.data() + l * stride;
    const auto at = static_cast<ptrdiff_t>(l) * places;
    int32_t *along = window_.along.data() + at, *across = window_.across.data() + at;
    int32_t* all = window_.all.data() + at;
    for (int p = 1; p + 1 < places; ++p) {
      const int32_t dp = line[p + 1] - line[p - 1];
      const int32_t dl = line[p + stride] - line[p - stride];
      along[p] += dp;
      across[p] += dl;
      all[p] += std::abs(dp) + std::abs(dl);
    }
  }
}

void LogoFinder::end_window(uint64_t end_us) {
  if (window_.pictures < kLeastPictures) return;
  Still still;
  still.width = last_.by_column ? last_.lines : last_.places;
  still.height = last_.by_column ? last_.places : last_.lines;
  const auto inside = [](double share, int size) {  // the edge of a bar is a line, too
    return share > 0 ? static_cast<int>(std::ceil(share * size)) + 2 : 1;
  };
  still.left = inside(window_.black[0], still.width);
  still.top = inside(window_.black[1], still.height);
  still.right = still.width - inside(window_.black[2], still.width);
  still.bottom = still.height - inside(window_.black[3], still.height);
  if (still.right - still.left < 16 || still.bottom - still.top < 16) return;
  still.agreement.assign(window_.all.size(), 0);
  int lines = 0, still_lines = 0;  // outside the corners
  for (int y = still.top; y < still.bottom; ++y) {
    for (int x = still.left; x < still.right; ++x) {
      const auto at =
          static_cast<size_t>(last_.by_column ? x * last_.places + y : y * last_.places + x);
      const double all = window_.all[at],
                   sum = std::abs(window_.along[at]) + std::abs(window_.across[at]);
      const bool line = all >= kLine * window_.pictures;
      const bool agrees = line && sum >= kAgrees * all && sum >= kLine * window_.pictures;
      if (agrees) {
        still.agreement[static_cast<size_t>(y * still.width + x)] = static_cast<float>(sum / all);
      }
      if (still.in_corner(x, y)) continue;
      lines += line;
      still_lines += agrees;
    }
  }
  // Where most of it stands still the camera does, or nothing can be told.
  if (lines < still.width || still_lines > kMostStill * lines) return;
  for (int corner = 0; corner < 4; ++corner) add_place(still, corner, end_us);
}

// The most pixels in a corner of which each is near another one: letters of a word belong together,
// a dot that agreed by chance does not.
LogoFinder::Patch LogoFinder::largest_patch(const Still& still, int left, int top) {
  const int right = left + still.corner_width(), bottom = top + still.corner_height();
  std::vector<char> seen(still.agreement.size());
  const auto index = [&](int x, int y) { return static_cast<size_t>(y * still.width + x); };
  Patch largest;
  std::vector<std::pair<int, int>> open;
  for (int y = top; y < bottom; ++y) {
    for (int x = left; x < right; ++x) {
      if (seen[index(x, y)] != 0 || !still.on_a_line(x, y)) continue;
      Patch patch{.from_x = x, .from_y = y, .to_x = x + 1, .to_y = y + 1};
      open.assign(1, {x, y});
      seen[index(x, y)] = 1;
      while (!open.empty()) {
        const auto [at_x, at_y] = open.back();
        open.pop_back();
        ++patch.pixels;
        patch.agreement += still.at(at_x, at_y);
        patch.from_x = std::min(patch.from_x, at_x);
        patch.to_x = std::max(patch.to_x, at_x + 1);
        patch.to_y = std::max(patch.to_y, at_y + 1);
        patch.from_y = std::min(patch.from_y, at_y);
        for (int v = std::max(at_y - kNear, top); v <= std::min(at_y + kNear, bottom - 1); ++v) {
          for (int u = std::max(at_x - kNear, left); u <= std::min(at_x + kNear, right - 1); ++u) {
            if (seen[index(u, v)] != 0 || !still.on_a_line(u, v)) continue;
            seen[index(u, v)] = 1;
            open.emplace_back(u, v);
          }
        }
      }
      if (patch.pixels > largest.pixels) largest = patch;
    }
  }
  return largest;
}

void LogoFinder::add_place(const Still& still, int corner, uint64_t end_us) {
  const int left = (corner & 1) != 0 ? still.right - still.corner_width() : still.left;
  const int top = (corner & 2) != 0 ? still.bottom - still.corner_height() : still.top;
  const Patch patch = largest_patch(still, left, top);
  const auto& [from_x, from_y, to_x, to_y, pixels, agreement] = patch;
  if (pixels < kLeastPixels || pixels < kLeastDense * (to_x - from_x) * (to_y - from_y)) return;
  LogoPlace place{.start_us = window_.start_us,
                  .end_us = end_us,
                  .left = double(from_x) / still.width,
                  .top = double(from_y) / still.height,
                  .right = double(to_x) / still.width,
                  .bottom = double(to_y) / still.height,
                  .still = static_cast<float>(agreement / pixels)};
  for (LogoPlace& before : places_) {  // it goes on
    if (before.end_us != place.start_us || common_area(before, place) < kSamePlace) continue;
    before.end_us = end_us;
    before.still = std::min(before.still, place.still);
    return;
  }
  places_.push_back(place);
}

std::vector<LogoPlace> LogoFinder::finish(uint64_t end_us) {
  end_window(end_us);
  window_ = {};
  return std::move(places_);
}

}  // namespace cleared::curate
