#include "curate/sound_index.h"

#include <algorithm>
#include <bit>
#include <map>
#include <set>

namespace cleared::curate {
namespace {

constexpr size_t kFresh = 1 << 17;
constexpr ptrdiff_t kCommon = 1000;  // an item that is there more often says nothing
constexpr size_t kVotes = 3, kShifts = 4;
constexpr int kAgree = 9;  // bits of 32: below it an item speaks for a run
constexpr double kLeastAgreement = 0.85;

bool says_something(std::span<const uint32_t> items) {
  return std::set<uint32_t>(items.begin(), items.end()).size() * 4 > items.size();
}

// The run along one shift whose sum of (kAgree - bits) is greatest.
SoundRun best_run(std::span<const uint32_t> ours, std::span<const uint32_t> theirs, int64_t shift,
                  int& best) {
  SoundRun out;
  best = 0;
  const size_t begin = shift < 0 ? static_cast<size_t>(-shift) : 0;
  int sum = 0;
  uint64_t bits = 0;
  for (size_t i = begin, from = begin; i < ours.size(); ++i) {
    const auto j = static_cast<size_t>(static_cast<int64_t>(i) + shift);
    if (j >= theirs.size()) break;
    const int differ = std::popcount(ours[i] ^ theirs[j]);
    sum += kAgree - differ;
    bits += static_cast<uint64_t>(differ);
    if (sum <= 0) {
      sum = 0;
      bits = 0;
      from = i + 1;
    } else if (sum > best) {
      best = sum;
      out.at = from;
      out.of = static_cast<size_t>(static_cast<int64_t>(from) + shift);
      out.count = i - from + 1;
      out.agreement = 1 - double(bits) / (32 * double(out.count));
    }
  }
  return out;
}

}  // namespace

void SoundIndex::add(std::vector<uint32_t> items) {
  const uint32_t first = ends_.empty() ? 0 : ends_.back();
  const auto middle = static_cast<ptrdiff_t>(fresh_.size());
  for (uint32_t i = 0; i < items.size(); ++i) {
    if (i == 0 || items[i] != items[i - 1]) fresh_.push_back({items[i], first + i});
  }
  std::sort(fresh_.begin() + middle, fresh_.end());
  std::inplace_merge(fresh_.begin(), fresh_.begin() + middle, fresh_.end());
  ends_.push_back(first + static_cast<uint32_t>(items.size()));
  sounds_.push_back(std::move(items));
  if (fresh_.size() < kFresh) return;
  const auto sorted = static_cast<ptrdiff_t>(entries_.size());
  entries_.insert(entries_.end(), fresh_.begin(), fresh_.end());
  std::inplace_merge(entries_.begin(), entries_.begin() + sorted, entries_.end());
  fresh_.clear();
}

std::vector<SoundRun> SoundIndex::find(std::span<const uint32_t> items, size_t least) const {
  std::map<size_t, std::map<int64_t, size_t>> votes;  // by source and shift
  const auto vote = [&](const std::vector<Entry>& entries, size_t at) {
    const auto begin = std::lower_bound(entries.begin(), entries.end(), Entry{items[at], 0});
    const auto end = std::upper_bound(begin, entries.end(), Entry{items[at], UINT32_MAX});
    if (end - begin > kCommon) return;
    for (auto it = begin; it != end; ++it) {
      const auto source =
          static_cast<size_t>(std::upper_bound(ends_.begin(), ends_.end(), it->id) - ends_.begin());
      const uint32_t first = source == 0 ? 0 : ends_[source - 1];
      ++votes[source][int64_t{it->id} - first - static_cast<int64_t>(at)];
    }
  };
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0 && items[i] == items[i - 1]) continue;
    vote(entries_, i);
    vote(fresh_, i);
  }
  std::vector<SoundRun> out;
  for (const auto& [source, shifts] : votes) {
    std::vector<std::pair<size_t, int64_t>> order;
    for (const auto& [shift, count] : shifts) order.emplace_back(count, shift);
    std::sort(order.begin(), order.end(), std::greater<>());
    SoundRun best;
    int best_sum = 0;
    for (size_t i = 0; i < std::min(kShifts, order.size()) && order[i].first >= kVotes; ++i) {
      int sum = 0;
      const SoundRun run = best_run(items, sounds_[source], order[i].second, sum);
      if (sum <= best_sum) continue;
      best_sum = sum;
      best = run;
    }
    best.source = source;
    if (best.count >= least && best.agreement >= kLeastAgreement &&
        says_something(items.subspan(best.at, best.count))) {
      out.push_back(best);
    }
  }
  return out;
}

}  // namespace cleared::curate
