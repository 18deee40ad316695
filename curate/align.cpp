#include "curate/align.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <utility>

#include "ledger/base/check.h"

namespace cleared::curate {
namespace {

// Film and television conversions, and what editors do by hand.
constexpr double kSpeeds[] = {1,   24 / 25., 25 / 24., 0.9, 1.1, 0.8,  1.25, 0.75, 4 / 3., 2 / 3.,
                              1.5, 0.85,     1.176,    0.5, 2,   0.55, 0.6,  0.7,  1.75};
constexpr double kBinUs = 200'000;
constexpr size_t kFollowed = 2;  // bins of each speed, three lines each
constexpr size_t kLeastVotes = 2;
constexpr double kAgree = 44;   // bits: below it a picture speaks for a stretch
constexpr double kWorst = -16;  // bits: no picture speaks louder against a line
constexpr double kApart = -84;  // the same for where a stretch ends: unlike pictures end it
constexpr double kSpread = 8;   // of the distance of unlike pictures: sqrt(256) / 2

struct Line {
  double speed, offset_us;
};
struct Row {
  uint32_t at = 0, of = 0;
  double off_us = 0;  // from each other in time
};

// Between two rows of a line, of the copy's time: at a higher speed more of theirs have one. At a
// lower one fewer have, and each counts no more: of as good lines the one of more pictures is
// right.
double row_us(const Track& track, const Track& of, double speed) {
  return std::max(double(frame_us(track.pts_us)),
                  double(frame_us(of.pts_us)) / std::max(speed, 1.0));
}

int bits_of(const Track& track, const Track& of, const Row& row) {
  return distance(track.prints[row.at].bits, of.prints[row.of].bits);
}

// Gives `put` each pair of pictures along the line, in order of time, without those that say
// nothing.
template <class Put>
void along(const Track& track, const Track& of, const Line& line, const Put& put) {
  const auto &ours = track.pts_us, &theirs = of.pts_us;
  if (theirs.empty()) return;
  size_t next = 0;  // the first of theirs that is not before ours
  std::optional<Row> held;
  const double first_us = (-double(kNearUs) - line.offset_us) / line.speed;
  auto i = first_us <= 0 ? 0
                         : static_cast<size_t>(std::lower_bound(ours.begin(), ours.end(),
                                                                static_cast<uint64_t>(first_us)) -
                                               ours.begin());
  for (; i < ours.size(); ++i) {
    const double us = line.speed * double(ours[i]) + line.offset_us;
    if (us < -double(kNearUs)) continue;
    if (us > double(theirs.back() + kNearUs) + 1) break;
    const auto target = static_cast<uint64_t>(std::max(us, 0.0));
    while (next < theirs.size() && theirs[next] < target) ++next;
    size_t j = next;
    if (j == theirs.size() || (j > 0 && theirs[j] - target > target - theirs[j - 1])) --j;
    const uint64_t off = theirs[j] > target ? theirs[j] - target : target - theirs[j];
    if (off > kNearUs || track.prints[i].quality < kFeatureless ||
        of.prints[j].quality < kFeatureless) {
      continue;
    }
    const Row row{static_cast<uint32_t>(i), static_cast<uint32_t>(j),
                  std::abs(double(theirs[j]) - us)};
    // Where there are more of ours, the nearest in time speaks for all.
    if (held && held->of != row.of) put(*held);
    if (!held || held->of != row.of || row.off_us < held->off_us) held = row;
  }
  if (held) put(*held);
}

// The rows in a row whose sum of (kAgree - bits), each `worst` at least, is greatest; what is set
// aside ends them.
class BestRows {
 public:
  BestRows(const Track& track, const Track& of, const Aside& aside, double worst)
      : track_(track), of_(of), aside_(aside), worst_(worst) {}
  void put(const Row& row) {
    sum_ += std::max(kAgree - bits_of(track_, of_, row), worst_);
    if (sum_ <= 0 || aside_.has(track_.pts_us[row.at], of_.pts_us[row.of])) {
      sum_ = 0;
      from_.reset();
      return;
    }
    if (!from_) from_ = row;
    if (sum_ <= score) return;
    score = sum_;
    first = *from_;
    last = row;
  }

  double score = 0;
  Row first{}, last{};  // where it is above 0

 private:
  const Track &track_, &of_;
  const Aside& aside_;
  double worst_, sum_ = 0;
  std::optional<Row> from_;
};

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
    weight += std::max(0.0, median(copy) - bits_of(track, of, row)) / kSpread;
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
  for (const Row& row : rows) out.distance += bits_of(track, of, row);
  out.distance /= double(rows.size());
  weigh(track, of, rows, out);
  return out;
}

}  // namespace

uint64_t frame_us(const std::vector<uint64_t>& pts_us) {
  const size_t n = pts_us.size();
  return n < 2 ? 0 : (pts_us.back() - pts_us.front()) / (n - 1);
}

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
  std::vector<Row> rows;
  along(track, of, {1, offset_us}, [&](const Row& row) {
    const uint64_t us = track.pts_us[row.at];
    if (us >= start_us && us <= end_us && !aside.has(us, of.pts_us[row.of])) rows.push_back(row);
  });
  if (rows.empty()) return std::nullopt;
  return stretch_of(track, of, rows);
}

Alignment::Alignment(const Track& track, const Track& of, std::vector<Vote> votes)
    : track_(track), of_(of), votes_(std::move(votes)), gone_(votes_.size()) {
  CLEARED_CHECK(track.pts_us.size() == track.prints.size() && of.pts_us.size() == of.prints.size());
  by_of_.resize(votes_.size());
  std::iota(by_of_.begin(), by_of_.end(), 0);
  std::sort(by_of_.begin(), by_of_.end(),
            [&](uint32_t a, uint32_t b) { return votes_[a].of < votes_[b].of; });
  for (const double speed : kSpeeds) lines_.push_back(make_lines(speed));
}

int64_t Alignment::bin(const Vote& vote, double speed) const {
  const double offset = double(of_.pts_us[vote.of]) - speed * double(track_.pts_us[vote.at]);
  return std::llround(offset / kBinUs);
}

Alignment::Lines Alignment::make_lines(double speed) const {
  std::vector<std::pair<int64_t, uint32_t>> pairs;
  for (const Vote& vote : votes_) pairs.emplace_back(bin(vote, speed), vote.at);
  std::sort(pairs.begin(), pairs.end());
  pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
  Lines out{.speed = speed, .bins = {}, .popular = {}};
  for (size_t i = 0, end = 0; i < pairs.size(); i = end) {
    while (end < pairs.size() && pairs[end].first == pairs[i].first) ++end;
    if (end - i < kLeastVotes) continue;
    out.popular.emplace_back(end - i, out.bins.size());
    out.bins.push_back({.bin = pairs[i].first, .pictures = static_cast<uint32_t>(end - i)});
  }
  std::make_heap(out.popular.begin(), out.popular.end());
  return out;
}

// Counts ever fewer pictures, so what is on the heap is never too low.
std::vector<size_t> Alignment::most_popular(Lines& lines) {
  std::vector<size_t> out;
  auto& heap = lines.popular;
  while (out.size() < kFollowed && !heap.empty()) {
    std::pop_heap(heap.begin(), heap.end());
    const auto [count, place] = heap.back();
    heap.pop_back();
    const uint32_t now = lines.bins[place].pictures;
    if (now == count) {
      out.push_back(place);
    } else if (now >= kLeastVotes) {
      heap.emplace_back(now, place);
      std::push_heap(heap.begin(), heap.end());
    }
  }
  for (const size_t place : out) {
    heap.emplace_back(lines.bins[place].pictures, place);
    std::push_heap(heap.begin(), heap.end());
  }
  return out;
}

std::optional<Stretch> Alignment::best() {
  double best = 0;
  Line best_line{1, 0};
  for (Lines& lines : lines_) {
    for (const size_t place : most_popular(lines)) {
      Bin& one = lines.bins[place];
      if (one.stretches.empty()) {
        for (const double shift : {-0.5, 0.0, 0.5}) {
          one.stretches.push_back({.offset_us = (double(one.bin) + shift) * kBinUs});
        }
        lines.asked.push_back(place);
      }
      for (BinStretch& stretch : one.stretches) {
        const Line line{lines.speed, stretch.offset_us};
        if (!stretch.known) {
          BestRows rows(track_, of_, aside_, kWorst);
          along(track_, of_, line, [&](const Row& row) { rows.put(row); });
          stretch.known = true;
          stretch.score = rows.score;
          stretch.start_us = track_.pts_us[rows.first.at];
          stretch.end_us = track_.pts_us[rows.last.at];
          stretch.of_start_us = of_.pts_us[rows.first.of];
          stretch.of_end_us = of_.pts_us[rows.last.of];
        }
        // Another speed has to be better, not only as good.
        const double score = stretch.score * row_us(track_, of_, lines.speed);
        if (score > best * (lines.speed == best_line.speed ? 1 : 1.05)) {
          best = score;
          best_line = line;
        }
      }
    }
  }
  if (best == 0) return std::nullopt;
  BestRows found(track_, of_, aside_, kApart);
  std::vector<Row> rows;
  along(track_, of_, best_line, [&](const Row& row) {
    found.put(row);
    rows.push_back(row);
  });
  std::erase_if(rows,
                [&](const Row& row) { return row.at < found.first.at || row.at > found.last.at; });
  Stretch out = stretch_of(track_, of_, rows);
  out.speed = best_line.speed;
  out.score = found.score * row_us(track_, of_, best_line.speed);
  return out;
}

bool Alignment::put_found(const Stretch& stretch) {
  aside_.put_found(stretch);
  return forget(stretch);
}

bool Alignment::put_refused(const Stretch& stretch) {
  aside_.put_refused(stretch);
  return forget(stretch);
}

// What is set aside with `stretch` has one picture or both in it.
bool Alignment::forget(const Stretch& stretch) {
  const auto touches = [](uint64_t start, uint64_t end, uint64_t other, uint64_t other_end) {
    return start <= other_end && other <= end;
  };
  for (Lines& lines : lines_) {
    for (const size_t place : lines.asked) {
      for (BinStretch& one : lines.bins[place].stretches) {
        if (one.score > 0 &&
            (touches(one.start_us, one.end_us, stretch.start_us, stretch.end_us) ||
             touches(one.of_start_us, one.of_end_us, stretch.of_start_us, stretch.of_end_us))) {
          one.known = false;
        }
      }
    }
  }

  std::vector<uint32_t> leave;
  const auto try_vote = [&](uint32_t i) {
    const Vote& vote = votes_[i];
    if (!gone_[i] && aside_.has(track_.pts_us[vote.at], of_.pts_us[vote.of])) leave.push_back(i);
  };
  for (auto i = static_cast<size_t>(std::partition_point(votes_.begin(), votes_.end(),
                                                         [&](const Vote& vote) {
                                                           return track_.pts_us[vote.at] <
                                                                  stretch.start_us;
                                                         }) -
                                    votes_.begin());
       i < votes_.size() && track_.pts_us[votes_[i].at] <= stretch.end_us; ++i) {
    try_vote(static_cast<uint32_t>(i));
  }
  for (auto it = std::partition_point(
           by_of_.begin(), by_of_.end(),
           [&](uint32_t i) { return of_.pts_us[votes_[i].of] < stretch.of_start_us; });
       it != by_of_.end() && of_.pts_us[votes_[*it].of] <= stretch.of_end_us; ++it) {
    try_vote(*it);
  }
  std::sort(leave.begin(), leave.end());
  leave.erase(std::unique(leave.begin(), leave.end()), leave.end());
  for (size_t i = 0, end = 0; i < leave.size(); i = end) {
    const uint32_t at = votes_[leave[i]].at;
    while (end < leave.size() && votes_[leave[end]].at == at) ++end;
    count(leave[i], -1);
    for (size_t k = i; k < end; ++k) gone_[leave[k]] = true;
    count(leave[i], 1);
  }
  return !leave.empty();
}

// Adds `change` to each line that the picture of this vote votes for.
void Alignment::count(uint32_t vote, int change) {
  const uint32_t at = votes_[vote].at;
  uint32_t first = vote, end = vote;
  while (first > 0 && votes_[first - 1].at == at) --first;
  while (end < votes_.size() && votes_[end].at == at) ++end;
  std::vector<int64_t> bins;
  for (Lines& lines : lines_) {
    bins.clear();
    for (uint32_t i = first; i < end; ++i) {
      if (!gone_[i]) bins.push_back(bin(votes_[i], lines.speed));
    }
    std::sort(bins.begin(), bins.end());
    bins.erase(std::unique(bins.begin(), bins.end()), bins.end());
    for (const int64_t bin : bins) {
      const auto it = std::lower_bound(lines.bins.begin(), lines.bins.end(), bin,
                                       [](const Bin& one, int64_t b) { return one.bin < b; });
      if (it == lines.bins.end() || it->bin != bin) continue;
      it->pictures = static_cast<uint32_t>(static_cast<int>(it->pictures) + change);
    }
  }
}

}  // namespace cleared::curate
