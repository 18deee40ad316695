#include "curate/align.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "ledger/base/check.h"

namespace cleared::curate {
namespace {

// Film and television conversions, and what editors do by hand.
constexpr double kSpeeds[] = {1,      24 / 25., 25 / 24., 0.9,  1.1,   0.8, 1.25, 0.75,
                              4 / 3., 2 / 3.,   1.5,      0.85, 1.176, 0.5, 2};
constexpr double kBinUs = 200'000;
constexpr size_t kLines = 6;    // that are followed for each speed
constexpr double kAgree = 44;   // bits: below it a picture speaks for a stretch
constexpr double kWorst = -16;  // bits: no picture speaks louder against a line
constexpr double kApart = -84;  // the same for where a stretch ends: unlike pictures end it
constexpr double kSpread = 8;   // of the distance of unlike pictures: sqrt(256) / 2
constexpr uint64_t kNearUs = 140'000;

struct Line {
  double speed, offset_us;
};
struct Row {
  uint32_t at, of;
  int bits;
  double off_us;  // from each other in time
  bool aside;     // ends a stretch
};

std::optional<uint32_t> nearest(const Track& track, double us) {
  const auto& pts = track.pts_us;
  if (us < -double(kNearUs) || pts.empty()) return std::nullopt;
  const auto target = static_cast<uint64_t>(std::max(us, 0.0));
  auto it = std::lower_bound(pts.begin(), pts.end(), target);
  if (it == pts.end() || (it != pts.begin() && *it - target > target - *(it - 1))) --it;
  const uint64_t off = *it > target ? *it - target : target - *it;
  if (off > kNearUs) return std::nullopt;
  return static_cast<uint32_t>(it - pts.begin());
}

// Those that most pictures vote for, and no two that are next to each other.
std::vector<Line> popular(const Track& track, const Track& of, std::span<const Vote> votes,
                          double speed) {
  std::map<int64_t, std::pair<uint32_t, uint32_t>> bins;  // bin: pictures, the last one counted
  for (const Vote& vote : votes) {                        // in order of `at`
    const double offset = double(of.pts_us[vote.of]) - speed * double(track.pts_us[vote.at]);
    auto [it, fresh] = bins.try_emplace(std::llround(offset / kBinUs), 1, vote.at);
    if (!fresh && it->second.second != vote.at) {
      ++it->second.first;
      it->second.second = vote.at;
    }
  }
  std::vector<std::pair<uint32_t, int64_t>> order;
  for (const auto& [bin, count] : bins) order.emplace_back(count.first, bin);
  std::sort(order.begin(), order.end(), std::greater<>());
  std::vector<Line> out;
  for (const auto& [count, bin] : order) {
    if (out.size() == kLines || count < 2) break;
    for (const double shift : {-0.5, 0.0, 0.5}) {
      out.push_back({speed, (double(bin) + shift) * kBinUs});
    }
  }
  return out;
}

std::vector<Row> rows_along(const Track& track, const Track& of, const Line& line,
                            const Aside& aside) {
  std::vector<Row> out;
  for (size_t i = 0; i < track.pts_us.size(); ++i) {
    const auto j = nearest(of, line.speed * double(track.pts_us[i]) + line.offset_us);
    if (!j || track.prints[i].quality < kFeatureless || of.prints[*j].quality < kFeatureless) {
      continue;
    }
    const double us = line.speed * double(track.pts_us[i]) + line.offset_us;
    const Row row{static_cast<uint32_t>(i), *j, distance(track.prints[i].bits, of.prints[*j].bits),
                  std::abs(double(of.pts_us[*j]) - us),
                  !aside.empty() && aside.has(track.pts_us[i], of.pts_us[*j])};
    // Where there are more of ours, the nearest in time speaks for all.
    if (out.empty() || out.back().of != row.of) {
      out.push_back(row);
    } else if (row.off_us < out.back().off_us) {
      out.back() = row;
    }
  }
  return out;
}

// The rows in a row whose sum of (kAgree - bits), each `worst` at least, is greatest.
std::span<const Row> best_rows(std::span<const Row> rows, double worst, double& score) {
  double sum = 0;
  size_t from = 0;
  std::span<const Row> best;
  score = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    sum += std::max(kAgree - rows[i].bits, worst);
    if (sum <= 0 || rows[i].aside) {
      sum = 0;
      from = i + 1;
    } else if (sum > score) {
      score = sum;
      best = rows.subspan(from, i - from + 1);
    }
  }
  return best;
}

double median(std::vector<double> values) {
  auto middle = values.begin() + static_cast<ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// Weight and likeness of the rows, from the pictures of the stretch alone.
void weigh(const Track& track, const Track& of, std::span<const Row> all, Stretch& out) {
  std::vector<Row> rows;
  const size_t step = (all.size() + 63) / 64;
  for (size_t i = 0; i < all.size(); i += step) rows.push_back(all[i]);
  double weight = 0, xy = 0, xx = 0, yy = 0;
  for (const Row& row : rows) {
    std::vector<double> copy, original;
    for (const Row& other : rows) {
      copy.push_back(distance(track.prints[row.at].bits, of.prints[other.of].bits));
      original.push_back(distance(of.prints[row.of].bits, of.prints[other.of].bits));
    }
    weight += std::max(0.0, median(copy) - row.bits) / kSpread;
    double mean_copy = 0, mean_original = 0;
    for (size_t i = 0; i < rows.size(); ++i) {
      mean_copy += copy[i] / double(rows.size());
      mean_original += original[i] / double(rows.size());
    }
    for (size_t i = 0; i < rows.size(); ++i) {
      const double x = copy[i] - mean_copy, y = original[i] - mean_original;
      xy += x * y;
      xx += x * x;
      yy += y * y;
    }
  }
  out.weight = weight / double(rows.size());
  out.likeness = xx > 0 && yy > 0 ? xy / std::sqrt(xx * yy) : 0;
}

Stretch stretch_of(const Track& track, const Track& of, std::span<const Row> rows) {
  Stretch out{.start_us = track.pts_us[rows.front().at],
              .end_us = track.pts_us[rows.back().at],
              .of_start_us = of.pts_us[rows.front().of],
              .of_end_us = of.pts_us[rows.back().of],
              .pictures = rows.size()};
  for (const Row& row : rows) out.distance += row.bits;
  out.distance /= double(rows.size());
  weigh(track, of, rows, out);
  return out;
}

}  // namespace

void Seconds::add(uint64_t start_us, uint64_t end_us) {
  auto it = end_of_.upper_bound(start_us);
  if (it != end_of_.begin() && std::prev(it)->second >= start_us) start_us = (--it)->first;
  for (; it != end_of_.end() && it->first <= end_us; it = end_of_.erase(it)) {
    end_us = std::max(end_us, it->second);
  }
  end_of_[start_us] = end_us;
}

bool Seconds::has(uint64_t us) const {
  const auto after = end_of_.upper_bound(us);
  return after != end_of_.begin() && us <= std::prev(after)->second;
}

uint64_t Seconds::length_us(uint64_t start_us, uint64_t end_us) const {
  uint64_t sum = 0;
  for (const auto& [start, end] : end_of_) {
    if (start < end_us && start_us < end) sum += std::min(end, end_us) - std::max(start, start_us);
  }
  return sum;
}

void Aside::put_found(const Stretch& stretch) {
  ours_.add(stretch.start_us, stretch.end_us);
  theirs_.add(stretch.of_start_us, stretch.of_end_us);
}

bool Aside::has(uint64_t us, uint64_t of_us) const {
  if (ours_.has(us) && theirs_.has(of_us)) return true;
  return std::any_of(refused_.begin(), refused_.end(), [&](const Stretch& one) {
    return one.start_us <= us && us <= one.end_us && one.of_start_us <= of_us &&
           of_us <= one.of_end_us;
  });
}

std::optional<Stretch> compare(const Track& track, const Track& of, double offset_us,
                               uint64_t start_us, uint64_t end_us, const Aside& aside) {
  CLEARED_CHECK(track.pts_us.size() == track.prints.size() && of.pts_us.size() == of.prints.size());
  auto rows = rows_along(track, of, {1, offset_us}, aside);
  std::erase_if(rows, [&](const Row& row) {
    return row.aside || track.pts_us[row.at] < start_us || track.pts_us[row.at] > end_us;
  });
  if (rows.empty()) return std::nullopt;
  return stretch_of(track, of, rows);
}

std::optional<Stretch> align(const Track& track, const Track& of, std::span<const Vote> votes,
                             const Aside& aside) {
  CLEARED_CHECK(track.pts_us.size() == track.prints.size() && of.pts_us.size() == of.prints.size());
  double best = 0;
  Line best_line{1, 0};
  for (const double speed : kSpeeds) {
    for (const Line& line : popular(track, of, votes, speed)) {
      double score = 0;
      best_rows(rows_along(track, of, line, aside), kWorst, score);
      // Another speed has to be better, not only as good.
      if (score > best * (speed == best_line.speed ? 1 : 1.05)) {
        best = score;
        best_line = line;
      }
    }
  }
  if (best == 0) return std::nullopt;
  const auto all = rows_along(track, of, best_line, aside);
  double score = 0;
  const auto rows = best_rows(all, kApart, score);
  Stretch out = stretch_of(track, of, rows);
  out.speed = best_line.speed;
  out.score = score;
  return out;
}

}  // namespace cleared::curate
