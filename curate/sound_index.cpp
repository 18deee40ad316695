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

struct Vote {
  uint32_t at, of;
};

// Items of the two that were taken, and those of which nothing can be said.
class Aside {
 public:
  Aside(size_t ours, size_t theirs) : ours_(ours), theirs_(theirs) {}
  void put_found(const SoundRun& run) {
    std::fill_n(ours_.begin() + static_cast<ptrdiff_t>(run.at), run.count, true);
    std::fill_n(theirs_.begin() + static_cast<ptrdiff_t>(run.of), run.count, true);
  }
  void put_refused(const SoundRun& run) { refused_.push_back(run); }
  bool has(size_t at, size_t of) const {
    return (ours_[at] && theirs_[of]) ||
           std::any_of(refused_.begin(), refused_.end(), [&](const SoundRun& run) {
             return at - run.at < run.count && of - run.of < run.count;
           });
  }

 private:
  std::vector<bool> ours_, theirs_;
  std::vector<SoundRun> refused_;
};

// The run along one shift whose sum of (kAgree - bits) is greatest.
SoundRun best_run(std::span<const uint32_t> ours, std::span<const uint32_t> theirs, int64_t shift,
                  const Aside& aside, int& best) {
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
    if (sum <= 0 || aside.has(i, j)) {
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

// Of the shifts with most votes; without items when there is none.
SoundRun best_run(std::span<const uint32_t> ours, std::span<const uint32_t> theirs,
                  std::span<const Vote> votes, const Aside& aside) {
  std::map<int64_t, size_t> shifts;
  for (const Vote& vote : votes) {
    ++shifts[int64_t{vote.of} - vote.at];
  }
  std::vector<std::pair<size_t, int64_t>> order;
  for (const auto& [shift, count] : shifts) order.emplace_back(count, shift);
  std::sort(order.begin(), order.end(), std::greater<>());
  SoundRun best;
  int best_sum = 0;
  for (size_t i = 0; i < std::min(kShifts, order.size()) && order[i].first >= kVotes; ++i) {
    int sum = 0;
    const SoundRun run = best_run(ours, theirs, order[i].second, aside, sum);
    if (sum <= best_sum) continue;
    best_sum = sum;
    best = run;
  }
  return best;
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
  std::map<size_t, std::vector<Vote>> votes;  // by source
  const auto vote = [&](const std::vector<Entry>& entries, size_t at) {
    const auto begin = std::lower_bound(entries.begin(), entries.end(), Entry{items[at], 0});
    const auto end = std::upper_bound(begin, entries.end(), Entry{items[at], UINT32_MAX});
    if (end - begin > kCommon) return;
    for (auto it = begin; it != end; ++it) {
      const auto source =
          static_cast<size_t>(std::upper_bound(ends_.begin(), ends_.end(), it->id) - ends_.begin());
      const uint32_t first = source == 0 ? 0 : ends_[source - 1];
      votes[source].push_back({static_cast<uint32_t>(at), it->id - first});
    }
  };
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0 && items[i] == items[i - 1]) continue;
    vote(entries_, i);
    vote(fresh_, i);
  }
  std::vector<SoundRun> out;
  for (auto& [source, left] : votes) {
    const std::vector<uint32_t>& theirs = sounds_[source];
    Aside aside(items.size(), theirs.size());
    while (true) {
      SoundRun best = best_run(items, theirs, left, aside);
      if (best.count < least || best.agreement < kLeastAgreement) break;
      best.source = source;
      if (says_something(items.subspan(best.at, best.count))) {
        aside.put_found(best);
        out.push_back(best);
      } else {
        aside.put_refused(best);
      }
      std::erase_if(left, [&](const Vote& one) { return aside.has(one.at, one.of); });
    }
  }
  return out;
}

}  // namespace cleared::curate
