#include "ledger/shares.h"

#include <algorithm>
#include <optional>
#include <sstream>
#include <utility>

#include "ledger/base/check.h"
#include "ledger/gate.h"

namespace cleared::ledger {
namespace {

constexpr uint64_t kMostRounds = 1024;
constexpr uint32_t kPlaceBits = 32;
constexpr uint64_t kPlaceEnd = (uint64_t{1} << kPlaceBits) + 1;  // behind every place

// Where draw `j` of `take` stands in an epoch, in 1 / 2^32 of it; at equal places the lower group
// goes first. No two draws of a group have one place.
uint64_t place_of(size_t group, uint64_t j, uint64_t take) {
  return ((group == 0 ? j : j + 1) << kPlaceBits) / take;
}

// How many draws of the group stand before `place`.
uint64_t draws_before(size_t group, uint64_t take, uint64_t place) {
  const uint64_t up = (place * take + (uint64_t{1} << kPlaceBits) - 1) >> kPlaceBits;
  return std::min(take, group == 0 || up == 0 ? up : up - 1);
}

std::vector<uint64_t> drawn_of(const std::vector<uint64_t>& takes, uint64_t position) {
  const auto before = [&](uint64_t place) {
    uint64_t out = 0;
    for (size_t g = 0; g < takes.size(); ++g) out += draws_before(g, takes[g], place);
    return out;
  };
  uint64_t low = 0, high = kPlaceEnd;  // the last place with no more than `position` before it
  while (low < high) {
    const uint64_t middle = low + (high - low + 1) / 2;
    if (before(middle) <= position) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  std::vector<uint64_t> out;
  uint64_t rest = position - before(low);
  for (size_t g = 0; g < takes.size(); ++g) {
    out.push_back(draws_before(g, takes[g], low));
    if (rest > 0 && draws_before(g, takes[g], low + 1) > out.back()) {
      ++out.back();
      --rest;
    }
  }
  return out;
}

// The seconds of what is drawn of one group: as a range where only the seed says which samples.
struct Range {
  uint64_t least = 0, most = 0;
  Range& operator+=(const Range& other) {
    least += other.least;
    most += other.most;
    return *this;
  }
};

class Footage {
 public:
  Footage(const std::vector<ShareSample>& all, const std::vector<uint64_t>& samples)
      : in_order_{0}, shortest_{0} {
    std::vector<uint64_t> durations;
    for (const uint64_t sample : samples) durations.push_back(all[sample].duration_us);
    for (const uint64_t us : durations) in_order_.push_back(in_order_.back() + us);
    std::sort(durations.begin(), durations.end());
    for (const uint64_t us : durations) shortest_.push_back(shortest_.back() + us);
    longest_us_ = durations.empty() ? 0 : durations.back();
  }

  uint64_t size() const { return in_order_.size() - 1; }
  uint64_t total() const { return in_order_.back(); }
  uint64_t longest_us() const { return longest_us_; }

  // Of one epoch that takes `take`.
  Range epoch(uint64_t take) const {
    if (size() == 0) return {};
    if (take % size() == 0) return {take / size() * total(), take / size() * total()};
    Range out{UINT64_MAX, 0};
    for (uint64_t from = 0; from < size(); ++from) {
      const uint64_t end = from + take;
      const uint64_t us = end <= size() ? in_order_[end] - in_order_[from]
                                        : total() - in_order_[from] + in_order_[end - size()];
      out.least = std::min(out.least, us);
      out.most = std::max(out.most, us);
    }
    return out;
  }
  // Of `epochs` whole ones, and `more` draws of the next.
  Range run(uint64_t take, uint64_t epochs, uint64_t more) const {
    if (size() == 0) return {};
    const uint64_t whole = epochs * take, rest = more % size();
    Range out = first(whole % size());
    const uint64_t us = (whole / size() + more / size()) * total();
    out += {us, us};
    return out += {shortest_[rest], total() - shortest_[size() - rest]};
  }
  // Of its first samples, once each.
  Range first(uint64_t count) const { return {in_order_[count], in_order_[count]}; }

 private:
  std::vector<uint64_t> in_order_, shortest_;  // sums of the first so many
  uint64_t longest_us_ = 0;
};

class Planner {
 public:
  explicit Planner(const ShareRequest& request) : request_(request) {
    groups_.resize(request.limits.size() + 1);
    for (uint64_t i = 0; i < request.samples.size(); ++i) {
      groups_.at(request.samples[i].group).samples.push_back(i);
    }
    for (auto& group : groups_) {
      std::sort(group.samples.begin(), group.samples.end(), [&](uint64_t a, uint64_t b) {
        return std::pair(request.samples[a].digest, a) < std::pair(request.samples[b].digest, b);
      });
      footage_.emplace_back(request.samples, group.samples);
    }
  }

  // With as few rounds as let every licensor be drawn; when none does, with one.
  SharePlan plan() {
    std::optional<SharePlan> first;
    for (uint64_t rounds = 1; rounds <= kMostRounds; rounds *= 2) {
      if (rounds > 1 && request_.draws < rounds * request_.samples.size()) break;
      SharePlan plan = with_rounds(rounds);
      const bool all = std::all_of(groups_.begin(), groups_.end(),
                                   [](const auto& g) { return g.samples.empty() || g.take > 0; });
      if (all) return plan;
      if (!first && plan.size() > 0) first = std::move(plan);
    }
    if (!first) refuse();
    return *first;
  }

 private:
  double most(size_t group) const { return request_.limits[group - 1].most; }

  // As if seconds could be cut anywhere: those that would have too much share what the others
  // leave. Those who are furthest above are held first.
  void aim(uint64_t rounds) {
    std::vector<size_t> held;
    double free = 0, limits = 0;
    std::vector<std::pair<double, size_t>> furthest;
    for (size_t g = 0; g < groups_.size(); ++g) {
      const auto us = static_cast<double>(rounds * footage_[g].total());
      groups_[g].take = rounds * footage_[g].size();
      free += us;
      if (g > 0) furthest.emplace_back(-us / most(g), g);
    }
    std::sort(furthest.begin(), furthest.end());
    for (const auto& [minus_ratio, g] : furthest) {
      if (-minus_ratio <= free / (1 - limits) || limits + most(g) >= 1) break;
      free -= -minus_ratio * most(g);
      limits += most(g);
      held.push_back(g);
    }
    for (const size_t g : held) {
      const double us = most(g) * std::max(0.0, free) / (1 - limits);
      const auto& footage = footage_[g];
      const double mean =
          static_cast<double>(footage.total()) / static_cast<double>(footage.size());
      set_take(g, std::min(groups_[g].take, static_cast<uint64_t>(us / mean) + 1));
    }
  }

  void set_take(size_t g, uint64_t take) {
    if (take > footage_[g].size()) take -= take % footage_[g].size();
    groups_[g].take = take;
  }

  // Draws fewer of whoever has too much of `parts`, or says that nobody has. What of others is
  // there is counted as short as can be.
  bool hold(const std::vector<Range>& parts, uint64_t epochs) {
    uint64_t least = 0;
    for (const Range& part : parts) least += part.least;
    bool held = true;
    for (size_t g = 1; g < groups_.size(); ++g) {
      if (groups_[g].take == 0) continue;
      const auto own = static_cast<double>(parts[g].most);
      const double excess =
          own - most(g) * static_cast<double>(least - parts[g].least + parts[g].most);
      if (excess <= 0) continue;
      held = false;
      const double each = (1 - most(g)) * static_cast<double>(footage_[g].longest_us() * epochs);
      const auto fewer = static_cast<uint64_t>(std::clamp(excess / each, 1.0, 1e15));
      set_take(g, groups_[g].take - std::min(groups_[g].take, fewer));
    }
    return held;
  }

  std::vector<Range> epoch() const {
    std::vector<Range> out;
    for (size_t g = 0; g < groups_.size(); ++g) out.push_back(footage_[g].epoch(groups_[g].take));
    return out;
  }

  // What the whole run consumes, with what is read before it.
  std::vector<Range> run(const SharePlan& plan) const {
    const uint64_t size = plan.size(), epochs = request_.draws / size;
    const auto more = plan.drawn(request_.draws % size);
    std::vector<Range> out;
    for (size_t g = 0; g < groups_.size(); ++g) {
      out.push_back(footage_[g].run(groups_[g].take, epochs, more[g]));
    }
    const auto fit = plan.fit_takes(request_.fit);
    for (size_t g = 0; g < groups_.size(); ++g) out[g] += footage_[g].first(fit[g]);
    return out;
  }

  SharePlan with_rounds(uint64_t rounds) {
    aim(rounds);
    SharePlan plan;
    plan.rounds = rounds;
    for (;;) {
      while (!hold(epoch(), 1)) continue;
      plan.groups = groups_;
      if (plan.size() == 0 || request_.draws == 0) return plan;
      if (hold(run(plan), request_.draws / plan.size() + 1)) return plan;
    }
  }

  [[noreturn]] void refuse() const {
    std::ostringstream fact;
    fact << "no order holds the shares";
    if (footage_[0].size() == 0) fact << ": all footage is of licensors with a limit";
    const char* separator = "; ";
    for (size_t g = 1; g < groups_.size(); ++g) {
      if (footage_[g].size() == 0) continue;
      fact << separator << "licensor " << request_.limits[g - 1].licensor << " may have " << most(g)
           << " of the run's sample-seconds";
      separator = ", ";
    }
    fact << ": permit footage of others, or make the run longer";
    throw Refused(no("share_exceeded", fact.str(),
                     "no order holds the shares that licences allow: permit footage of others, or "
                     "make the run longer"));
  }

  const ShareRequest& request_;
  std::vector<SharePlan::Group> groups_;
  std::vector<Footage> footage_;
};

std::vector<uint64_t> takes_of(const SharePlan& plan) {
  std::vector<uint64_t> out;
  for (const auto& group : plan.groups) out.push_back(group.take);
  return out;
}

}  // namespace

uint64_t SharePlan::size() const {
  uint64_t out = 0;
  for (const Group& group : groups) out += group.take;
  return out;
}

std::vector<uint64_t> SharePlan::drawn(uint64_t position) const {
  return drawn_of(takes_of(*this), position);
}

std::vector<uint64_t> SharePlan::fit_takes(uint64_t count) const {
  std::vector<uint64_t> out(groups.size());
  if (rounds > 1 && !groups[0].samples.empty()) {
    out[0] = std::min<uint64_t>(count, groups[0].samples.size());
    return out;
  }
  const auto first = drawn(std::min(count, size() / rounds));
  for (size_t g = 0; g < groups.size(); ++g) {
    out[g] = std::min<uint64_t>(first[g], groups[g].samples.size());
  }
  return out;
}

std::vector<uint64_t> SharePlan::fit(uint64_t count) const {
  const auto takes = fit_takes(count);
  std::vector<uint64_t> out;
  for (size_t g = 0; g < groups.size(); ++g) {
    const auto begin = groups[g].samples.begin();
    out.insert(out.end(), begin, begin + static_cast<ptrdiff_t>(takes[g]));
  }
  std::sort(out.begin(), out.end());
  return out;
}

uint64_t SharePlan::most_passes(size_t group, uint64_t draws) const {
  const uint64_t take = groups[group].take, samples = groups[group].samples.size();
  if (take == 0) return 0;
  const uint64_t epochs = draws / size(), more = drawn(draws % size())[group];
  // Of an unfinished epoch, all that a whole one might draw.
  const uint64_t all = epochs * take + (take < samples && more > 0 ? take : more);
  return (all + samples - 1) / samples;
}

std::vector<uint32_t> SharePlan::turns() const {
  std::vector<std::pair<uint64_t, uint32_t>> places;
  places.reserve(size());
  for (uint32_t g = 0; g < groups.size(); ++g) {
    for (uint64_t j = 0; j < groups[g].take; ++j) {
      places.emplace_back(place_of(g, j, groups[g].take), g);
    }
  }
  std::sort(places.begin(), places.end());
  std::vector<uint32_t> out;
  out.reserve(places.size());
  for (const auto& [place, group] : places) out.push_back(group);
  return out;
}

std::vector<ShareLimit> limits_of(const Permit& permit) {
  std::vector<ShareLimit> out;
  for (const Permit::Share& share : permit.share()) {
    if (!(share.most() > 0 && share.most() <= 1)) {
      throw Error(Errc::corrupt, "permit.share: of ", share.licensor(), " is not in (0, 1]");
    }
    out.push_back({share.licensor(), share.most()});
  }
  return out;
}

std::vector<uint32_t> groups_of(const Permit::Shard& shard) {
  std::vector<uint32_t> out;
  if (shard.part_size() == 0) out.resize(shard.samples());
  for (const auto& part : shard.part()) {
    if (part.samples() > shard.samples() - out.size()) break;
    out.insert(out.end(), part.samples(), part.share());
  }
  if (out.size() != shard.samples()) {
    throw Error(Errc::corrupt, "permit: the parts of shard ", shard.root(),
                " do not add up to its samples");
  }
  return out;
}

void refuse_revocable_last(const Permit& permit) {
  const auto revocable = std::count_if(permit.shard().begin(), permit.shard().end(),
                                       [](const auto& shard) { return shard.revocable(); });
  if (revocable == 0 || revocable == permit.shard_size()) return;
  throw Refused(no("share_exceeded",
                   "sequence REVOCABLE_LAST keeps apart what an epoch must mix for the share of "
                   "licensor " +
                       permit.share(0).licensor() +
                       " to hold: use SHUFFLED, or permit shards of one kind"));
}

void refuse_buckets(const Permit& permit) {
  throw Refused(
      no("share_exceeded", "buckets keep apart what an epoch must mix for the share of licensor " +
                               permit.share(0).licensor() +
                               " to hold: use one size and length of clips, a run for each"));
}

SharePlan plan_shares(const ShareRequest& request) {
  return Planner(request).plan();
}

}  // namespace cleared::ledger
