#include "curate/insets.h"

#include <algorithm>
#include <cstdlib>
#include <functional>

namespace cleared::curate {
namespace {

constexpr double kSmallest = 0.2;  // of the picture, each way
constexpr size_t kSides = 8;       // looked at each way
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

// A side stands alone; lines through a texture are all alike.
void InsetFinder::Steps::choose(int along) {
  const auto count = static_cast<int>(sides.length.size());
  const auto length = [&](int at) {
    return at < 0 || at >= count ? 0 : sides.length[static_cast<size_t>(at)];
  };
  std::vector<std::pair<int, int>> longest;  // by how much, where
  for (int at = 1; at < count; ++at) {
    if (length(at) < kSmallest * along) continue;
    longest.emplace_back(length(at) - std::max(length(at - 2), length(at + 2)), at);
  }
  std::sort(longest.begin(), longest.end(), std::greater<>());
  best = {0, count};
  for (const auto& [more, at] : longest) {
    if (best.size() == kSides + 2) break;
    const bool beside = std::any_of(best.begin(), best.end(),
                                    [at = at](int other) { return std::abs(at - other) < 2; });
    if (!beside) best.push_back(at);
  }
  std::sort(best.begin(), best.end());
}

template <class IsStep>
void InsetFinder::Steps::count(const std::vector<int>& others, const IsStep& is_step) {
  const size_t n = others.size();
  shares.assign(best.size() * n * n, 0);
  std::vector<int> until(n);
  for (size_t side = 1; side + 1 < best.size(); ++side) {
    int steps = 0;
    for (size_t end = 0, at = 0; end < n; until[end++] = steps) {
      for (; at < static_cast<size_t>(others[end]); ++at) {
        steps += is_step(best[side], static_cast<int>(at));
      }
    }
    for (size_t a = 0; a < n; ++a) {
      for (size_t b = a + 1; b < n; ++b) {
        shares[(side * n + a) * n + b] = double(until[b] - until[a]) / (others[b] - others[a]);
      }
    }
  }
}

bool InsetFinder::Steps::support(size_t side, size_t from, size_t to,
                                 const std::vector<int>& others, double& length) const {
  if (side == 0 || side + 1 == best.size()) return true;
  const double share = shares[(side * others.size() + from) * others.size() + to];
  length += share * (others[to] - others[from]);
  return share >= kSupport;
}

const std::array<InsetBox, kFoundInsets>& InsetFinder::find(const kernels::SmallLuma& small) {
  kernels::sides_between_lines(small, lines_.sides);
  kernels::sides_between_places(small, places_.sides);
  lines_.choose(small.places);
  places_.choose(small.lines);
  const std::vector<int>&lines = lines_.best, &places = places_.best;
  lines_.count(places, [&](int line, int at) { return lines_.sides.step(line, at); });
  places_.count(lines, [&](int place, int at) { return places_.sides.step(at, place - 1); });
  std::vector<Found> found;
  const auto each = [](const std::vector<int>& best, const auto& visit) {
    for (size_t from = 0; from < best.size(); ++from) {
      for (size_t to = 0; to < best.size(); ++to) {
        if (best[to] - best[from] >= kSmallest * best.back()) visit(from, to);
      }
    }
  };
  each(lines, [&](size_t top, size_t bottom) {
    each(places, [&](size_t left, size_t right) {
      double length = 0;
      if (lines_.support(top, left, right, places, length) &&
          lines_.support(bottom, left, right, places, length) &&
          places_.support(left, top, bottom, lines, length) &&
          places_.support(right, top, bottom, lines, length) && length > 0) {
        found.push_back({{double(lines[top]), double(lines[bottom]), double(places[left]),
                          double(places[right])},
                         length});
      }
    });
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
