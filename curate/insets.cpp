#include "curate/insets.h"

#include <algorithm>
#include <cstdlib>

namespace cleared::curate {
namespace {

constexpr int kStep = 7;           // of luma from pixel to pixel: less is no side
constexpr int kGap = 3;            // places without a step that a side may have in a row
constexpr double kSmallest = 0.2;  // of the picture, each way
constexpr size_t kSides = 8;       // looked at each way
constexpr int kLasting = 90;       // a step now, or one in each of the two pictures before
constexpr double kSupport = 0.6;   // of a side that is a step

double area(const InsetBox& box) {
  return (box.line_end - box.line) * (box.place_end - box.place);
}

double overlap(const InsetBox& a, const InsetBox& b) {
  const double lines = std::min(a.line_end, b.line_end) - std::max(a.line, b.line);
  const double places = std::min(a.place_end, b.place_end) - std::max(a.place, b.place);
  if (lines <= 0 || places <= 0) return 0;
  return lines * places / (area(a) + area(b) - lines * places);
}

}  // namespace

void InsetFinder::Steps::sum(const kernels::SmallLuma& small, bool across_lines) {
  count = across_lines ? small.lines : small.places;
  along = across_lines ? small.places : small.lines;
  const ptrdiff_t step = across_lines ? small.stride : 1, next = across_lines ? 1 : small.stride;
  until.assign(static_cast<size_t>(count) * static_cast<size_t>(along + 1), 0);
  lasting.resize(static_cast<size_t>(count) * static_cast<size_t>(along));
  std::vector<int> length(static_cast<size_t>(count) + 4);  // of the longest side, from line -2 on
  for (int line = 1; line < count; ++line) {
    const uint8_t* pixels = small.pixels.data() + line * step;
    uint16_t* sums = until.data() + static_cast<ptrdiff_t>(line) * (along + 1);
    uint8_t* last = lasting.data() + static_cast<ptrdiff_t>(line) * along;
    int run = 0, gap = kGap, most = 0;
    for (int place = 0; place < along; ++place) {
      const uint8_t* pixel = pixels + place * next;
      const int now = std::abs(*pixel - pixel[-step]) >= kStep ? 255 : 0;
      last[place] = static_cast<uint8_t>((last[place] + now) / 2);
      const bool is_step = last[place] >= kLasting;
      sums[place + 1] = static_cast<uint16_t>(sums[place] + is_step);
      gap = is_step ? 0 : gap + 1;
      run = gap > kGap ? 0 : run + 1;
      most = std::max(most, run - gap);
    }
    length[static_cast<size_t>(line) + 2] = most;
  }
  // A side stands alone; lines through a texture are all alike.
  std::vector<std::pair<int, int>> longest;  // by how much, line
  for (int line = 1; line < count; ++line) {
    const int* here = length.data() + line + 2;
    if (*here >= kSmallest * along) longest.emplace_back(*here - std::max(here[-2], here[2]), line);
  }
  std::sort(longest.begin(), longest.end(), std::greater<>());
  best = {0, count};
  for (const auto& [more, line] : longest) {
    if (best.size() == kSides + 2) break;
    const bool beside = std::any_of(best.begin(), best.end(),
                                    [&, at = line](int other) { return std::abs(at - other) < 2; });
    if (!beside) best.push_back(line);
  }
  std::sort(best.begin(), best.end());
}

double InsetFinder::Steps::share(int line, int from, int to) const {
  const uint16_t* sums = until.data() + static_cast<ptrdiff_t>(line) * (along + 1);
  return double(sums[to] - sums[from]) / (to - from);
}

void InsetFinder::consider(int top, int bottom, int left, int right,
                           std::vector<Found>& found) const {
  double length = 0;
  const auto side = [&](const Steps& steps, int line, int from, int to) {
    if (line == 0 || line == steps.count) return true;  // the picture's own
    const double share = steps.share(line, from, to);
    length += share * (to - from);
    return share >= kSupport;
  };
  if (!side(lines_, top, left, right) || !side(lines_, bottom, left, right) ||
      !side(places_, left, top, bottom) || !side(places_, right, top, bottom)) {
    return;
  }
  if (length > 0)
    found.push_back({{double(top), double(bottom), double(left), double(right)}, length});
}

const std::array<InsetBox, kFoundInsets>& InsetFinder::find(const kernels::SmallLuma& small) {
  lines_.sum(small, true);
  places_.sum(small, false);
  std::vector<Found> found;
  const auto each = [](const Steps& steps, const auto& visit) {
    for (const int from : steps.best) {
      for (const int to : steps.best) {
        if (to - from >= kSmallest * steps.count) visit(from, to);
      }
    }
  };
  each(lines_, [&](int top, int bottom) {
    each(places_, [&](int left, int right) { consider(top, bottom, left, right, found); });
  });
  std::stable_sort(found.begin(), found.end(),
                   [](const Found& a, const Found& b) { return a.score > b.score; });
  constexpr double kSame = 0.9;
  std::vector<InsetBox> fresh;
  for (const Found& one : found) {
    const bool known = std::any_of(fresh.begin(), fresh.end(), [&](const InsetBox& box) {
      return overlap(box, one.box) > kSame;
    });
    if (!known && fresh.size() < kFoundInsets) fresh.push_back(one.box);
  }
  std::array<InsetBox, kFoundInsets> next{};
  for (size_t i = 0; i < kFoundInsets; ++i) {
    const auto same = std::find_if(fresh.begin(), fresh.end(), [&](const InsetBox& box) {
      return overlap(boxes_[i], box) > kSame;
    });
    if (same == fresh.end()) continue;
    next[i] = *same;
    fresh.erase(same);
  }
  for (const InsetBox& box : fresh) {
    *std::find_if(next.begin(), next.end(), [](const InsetBox& b) { return b.empty(); }) = box;
  }
  return boxes_ = next;
}

}  // namespace cleared::curate
