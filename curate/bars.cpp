#include "curate/bars.h"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "curate/worker.pb.h"

namespace cleared::curate {
namespace {

constexpr int kBlackMean = 22;    // of 255: limited range has 16, and a little noise
constexpr int kBright = 60;       // at most one pixel of 200 in a line of a bar
constexpr int kPictureMean = 34;  // of the third line inside, where a picture begins sharply
constexpr double kLeast = 0.02;   // of a side of the picture, each of two bars
constexpr double kUneven = 0.25;  // of the larger of two bars
constexpr size_t kSides = 4, kEdgeFields = 5;

struct PixelLine {
  const uint8_t* pixels;
  ptrdiff_t step;
  int count;
};

int mean_of(const PixelLine& line) {
  int64_t sum = 0;
  for (int i = 0; i < line.count; ++i) sum += line.pixels[i * line.step];
  return static_cast<int>(sum / std::max(line.count, 1));
}

bool black(const PixelLine& line) {
  const int64_t most = int64_t{kBlackMean} * line.count;
  int64_t sum = 0;
  int bright = 0;
  for (int i = 0; i < line.count && sum <= most; ++i) {
    const int value = line.pixels[i * line.step];
    sum += value;
    bright += value > kBright;
  }
  return sum <= most && bright * 200 <= line.count;
}

// Black lines from an end inwards, as far as just before the middle.
template <class LineAt>
int black_lines(int most, const LineAt& line_at) {
  int n = 0;
  while (n < most && black(line_at(n))) ++n;
  return n;
}

int farthest(int size) {
  return size * 9 / 20;
}

bool two_bars(int a, int b, int size) {
  return std::min(a, b) >= std::max(2.0, kLeast * size) &&
         std::abs(a - b) <= kUneven * std::max(a, b) + 2;
}

Edges edges_at(const Analysis& analysis, int sample) {
  Edges out;
  const auto at = sample * static_cast<int>(kEdgeFields);
  for (int side = 0; side < 4; ++side) {
    out.black[side] = static_cast<int>(analysis.edge(at + side));
  }
  out.clear = analysis.edge(at + 4);
  return out;
}

// The black at one side that every sample has, when it is a bar: sharp in some, and there in most
// of those.
int common_black(const std::vector<Edges>& samples, size_t side, int size) {
  int least = size;
  for (const Edges& edges : samples) least = std::min(least, edges.black[side]);
  int clear = 0, there = 0;
  for (const Edges& edges : samples) {
    if ((edges.clear >> side & 1U) == 0) continue;
    ++clear;
    there += edges.black[side] - least <= 2 + size / 400;
  }
  return clear > 0 && 2 * there >= clear ? least : 0;
}

}  // namespace

std::optional<Edges> find_edges(const kernels::Luma& luma) {
  const auto row = [&](int y) { return PixelLine{luma.pixels + y * luma.stride, 1, luma.width}; };
  Edges out;
  const int most_y = farthest(luma.height), most_x = farthest(luma.width);
  out.black[Edges::top] = black_lines(most_y, row);
  if (out.black[Edges::top] >= most_y) return std::nullopt;
  out.black[Edges::bottom] = black_lines(most_y, [&](int n) { return row(luma.height - 1 - n); });
  if (out.black[Edges::bottom] >= most_y) return std::nullopt;
  // Every other pixel of a column is enough, and half of the cache lines.
  const int first = out.black[Edges::top];
  const int rows = luma.height - first - out.black[Edges::bottom];
  const auto column = [&](int x) {
    return PixelLine{luma.pixels + first * luma.stride + x, 2 * luma.stride, (rows + 1) / 2};
  };
  out.black[Edges::left] = black_lines(most_x, column);
  if (out.black[Edges::left] >= most_x) return std::nullopt;
  out.black[Edges::right] = black_lines(most_x, [&](int n) { return column(luma.width - 1 - n); });
  if (out.black[Edges::right] >= most_x) return std::nullopt;

  const auto inside = [&](Edges::Side side, int size) {
    return std::min(out.black[side] + 2, size - 1);
  };
  const std::array<PixelLine, kSides> begins = {
      column(inside(Edges::left, luma.width)), row(inside(Edges::top, luma.height)),
      column(luma.width - 1 - inside(Edges::right, luma.width)),
      row(luma.height - 1 - inside(Edges::bottom, luma.height))};
  for (size_t side = 0; side < kSides; ++side) {
    if (mean_of(begins[side]) >= kPictureMean) out.clear |= 1U << side;
  }
  return out;
}

Edges upright(const Edges& edges, Orientation orientation, EdgeSize stored, EdgeSize shown) {
  Edges out;
  const auto quarters = static_cast<size_t>(orientation.rotation / 90);
  if (quarters % 2 != 0) std::swap(stored.width, stored.height);
  for (size_t side = 0; side < kSides; ++side) {
    const size_t turned = orientation.mirrored && side % 2 == 0 ? (side + 2) % kSides : side;
    const size_t to = (turned + quarters) % kSides;  // clockwise, what was left is at the top
    const bool along_x = to % 2 == 0;
    const int from_size = along_x ? stored.width : stored.height;
    const int to_size = along_x ? shown.width : shown.height;
    out.black[to] = static_cast<int>((int64_t{edges.black[side]} * to_size + from_size / 2) /
                                     std::max(from_size, 1));
    out.clear |= (edges.clear >> side & 1U) << to;
  }
  return out;
}

bool look_like_bars(const Edges& edges, EdgeSize size) {
  const auto pair = [&](Edges::Side a, Edges::Side b, int along) {
    const bool sharp = (edges.clear >> a & edges.clear >> b & 1U) != 0;
    return sharp && two_bars(edges.black[a], edges.black[b], along);
  };
  return pair(Edges::left, Edges::right, size.width) ||
         pair(Edges::top, Edges::bottom, size.height);
}

std::vector<std::optional<Edges>> bars_of_shots(const Analysis& analysis,
                                                const std::vector<Shot>& shots) {
  std::vector<std::optional<Edges>> out(shots.size());
  const int width = static_cast<int>(analysis.width());
  const int height = static_cast<int>(analysis.height());
  int sample = 0;
  for (size_t s = 0; s < shots.size(); ++s) {
    const uint64_t start_us = analysis.pts_us(static_cast<int>(shots[s].first));
    const uint64_t last_us = analysis.pts_us(static_cast<int>(shots[s].end - 1));
    std::vector<Edges> samples;
    for (; sample < analysis.edge_pts_us_size(); ++sample) {
      const uint64_t at_us = analysis.edge_pts_us(sample);
      if (at_us > last_us) break;
      if (at_us >= start_us) samples.push_back(edges_at(analysis, sample));
    }
    if (samples.empty()) continue;
    Edges bars;
    for (size_t side = 0; side < kSides; ++side) {
      bars.black[side] = common_black(samples, side, side % 2 == 0 ? width : height);
    }
    if (!two_bars(bars.black[Edges::left], bars.black[Edges::right], width)) {
      bars.black[Edges::left] = bars.black[Edges::right] = 0;
    }
    if (!two_bars(bars.black[Edges::top], bars.black[Edges::bottom], height)) {
      bars.black[Edges::top] = bars.black[Edges::bottom] = 0;
    }
    if (bars.black[Edges::left] + bars.black[Edges::top] > 0) out[s] = bars;
  }
  return out;
}

const char* bars_name(const Edges& bars) {
  if (bars.black[Edges::left] == 0) return "letterbox";
  return bars.black[Edges::top] == 0 ? "pillarbox" : "windowbox";
}

}  // namespace cleared::curate
