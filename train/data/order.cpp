#include "train/data/order.h"

#include <algorithm>
#include <bit>
#include <functional>

#include "kernels/philox.h"
#include "ledger/base/check.h"
#include "ledger/base/error.h"

namespace cleared::train {
namespace {

constexpr uint32_t kRounds = 4;
// Counters of this file never meet those of noise and times, which share the seed.
constexpr uint32_t kRoundTag = 0x6f726430;  // "ord0"
constexpr uint32_t kKeyTag = 0x6f72646b;    // "ordk"
constexpr uint32_t kLateTag = 0x6f72646c;   // "ordl"
constexpr uint32_t kGroupTag = 0x6f726467;  // "ordg"

uint64_t philox64(uint64_t a, uint32_t b, uint32_t tag, uint64_t key) {
  const auto low = [](uint64_t x) { return static_cast<uint32_t>(x); };
  const auto high = [](uint64_t x) { return static_cast<uint32_t>(x >> 32); };
  kernels::Philox philox{.key = {low(key), high(key)}, .counter = {low(a), high(a), b, tag}};
  philox.scramble();
  return uint64_t{philox.counter[1]} << 32 | philox.counter[0];
}

}  // namespace

Permutation::Permutation(uint64_t size, uint64_t key)
    : size_(size),
      key_(key),
      half_bits_((static_cast<uint32_t>(std::bit_width(size > 1 ? size - 1 : 1)) + 1) / 2),
      half_mask_((uint64_t{1} << half_bits_) - 1) {
  CLEARED_CHECK(size >= 1 && half_bits_ <= 31);
}

uint64_t Permutation::mix(uint64_t half, uint64_t epoch, uint32_t round) const {
  // One half and the round fill a word of the counter: 31 bits and 2.
  return philox64(half << 2 | round, static_cast<uint32_t>(epoch),
                  kRoundTag ^ static_cast<uint32_t>(epoch >> 32), key_) &
         half_mask_;
}

uint64_t Permutation::encrypt(uint64_t value, uint64_t epoch) const {
  uint64_t left = value >> half_bits_, right = value & half_mask_;
  for (uint32_t round = 0; round < kRounds; ++round) {
    const uint64_t next = left ^ mix(right, epoch, round);
    left = right;
    right = next;
  }
  return left << half_bits_ | right;
}

uint64_t Permutation::decrypt(uint64_t value, uint64_t epoch) const {
  uint64_t left = value >> half_bits_, right = value & half_mask_;
  for (uint32_t round = kRounds; round-- > 0;) {
    const uint64_t before = right ^ mix(left, epoch, round);
    right = left;
    left = before;
  }
  return left << half_bits_ | right;
}

// The network permutes the next power of four, so a walk of few steps comes back below size_.
uint64_t Permutation::at(uint64_t index, uint64_t epoch) const {
  CLEARED_CHECK(index < size_);
  do index = encrypt(index, epoch);
  while (index >= size_);
  return index;
}

uint64_t Permutation::index_of(uint64_t value, uint64_t epoch) const {
  CLEARED_CHECK(value < size_);
  do value = decrypt(value, epoch);
  while (value >= size_);
  return value;
}

namespace {

uint64_t order_key(const OrderOptions& options, uint32_t shape, uint32_t tag) {
  return philox64(options.first_step, shape, tag, options.seed);
}

void check_options(const OrderOptions& options) {
  if (options.samples == 0) {
    throw Error(Errc::usage, "order: the permit lists no sample; approve a shard first");
  }
  if (options.batch == 0) throw Error(Errc::usage, "order: a step must have at least one slot");
  CLEARED_CHECK(options.batches.empty() || options.shape_of.size() == options.samples);
  if (options.plan &&
      (options.plan->size() == 0 || !options.last.empty() || !options.batches.empty())) {
    throw Error(Errc::usage, "order: a plan of shares must draw something, and all in one order");
  }
  const bool needs_end = !options.last.empty() || !options.batches.empty();
  if (!std::is_sorted(options.last.begin(), options.last.end(), std::less_equal<>()) ||
      (!options.last.empty() && options.last.back() >= options.samples) ||
      (needs_end && options.end_step < options.first_step)) {
    throw Error(Errc::usage,
                "order: what comes last must be samples, rising, of a run with an end");
  }
}

// Every sample gets the same share of the draws; what is left over goes to those that come last, so
// that none of them comes a step sooner.
uint64_t draws_before(uint64_t draws, uint64_t early, uint64_t late) {
  if (late == 0) return UINT64_MAX;
  const uint64_t samples = early + late;
  return draws / samples * early + std::min(draws % samples, early);
}

}  // namespace

Order::Slot Order::Part::at(uint64_t epoch, uint64_t draw) const {
  uint64_t index = 0, before = 0;
  if (take < size) {
    const uint64_t from = epoch * take;
    index = (from + permutation.at(draw, epoch)) % size;
    before = (from + size - 1 - index) / size;  // draws below `from` that come to this index
  } else {
    before = epoch * (take / size) + draw / size;
    index = permutation.at(draw % size, before);
  }
  return {.sample = samples ? (*samples)[index] : index, .passes = before + 1};
}

uint64_t Order::Part::passes(uint64_t index, uint64_t epochs, uint64_t draws) const {
  if (take == 0) return 0;
  if (take < size) {
    const uint64_t from = epochs * take, behind = (index + size - from % size) % size;
    const bool drawn = behind < take && permutation.index_of(behind, epochs) < draws;
    return (from + size - 1 - index) / size + (drawn ? 1 : 0);
  }
  const uint64_t rounds = epochs * (take / size) + draws / size;
  return rounds + (permutation.index_of(index, rounds) < draws % size ? 1 : 0);
}

void Order::Track::add(std::vector<uint64_t> samples, uint64_t take, uint64_t key) {
  const uint64_t size = samples.size(), once = std::min(size, take);
  parts.push_back({size, take, std::make_shared<const std::vector<uint64_t>>(std::move(samples)),
                   Permutation(std::max<uint64_t>(1, once), key)});
}

Order::Slot Order::Track::at(uint64_t draw) const {
  if (turns) {
    const auto turn = static_cast<uint32_t>(draw % turns->size());
    const uint32_t part = (*turns)[turn];
    const auto& its = (*draws)[part];
    const auto nth = std::lower_bound(its.begin(), its.end(), turn) - its.begin();
    return parts[part].at(draw / turns->size(), static_cast<uint64_t>(nth));
  }
  const bool late = draw >= early_draws;
  if (late) draw -= early_draws;
  const Part& part = parts[late ? 1 : 0];
  return part.at(draw / part.size, draw % part.size);
}

uint64_t Order::Track::passes(Place place, uint64_t first) const {
  const Part& part = parts[place.part];
  if (turns) {
    const auto& its = (*draws)[place.part];
    const uint64_t end = first % turns->size();
    const auto drawn = std::lower_bound(its.begin(), its.end(), end) - its.begin();
    return part.passes(place.index, first / turns->size(), static_cast<uint64_t>(drawn));
  }
  const uint64_t own =
      place.part == 0 ? std::min(first, early_draws) : first - std::min(first, early_draws);
  return part.passes(place.index, own / part.size, own % part.size);
}

Order::Track Order::plan_track() const {
  Track track{.batch = options_.batch, .parts = {}, .turns = nullptr, .draws = nullptr};
  const uint64_t key = order_key(options_, 0, kKeyTag);
  for (const auto& group : options_.plan->groups) {
    const auto number = static_cast<uint32_t>(track.parts.size());
    track.add(group.samples, group.take, philox64(number, 0, kGroupTag, key));
  }
  track.turns = std::make_shared<const std::vector<uint32_t>>(options_.plan->turns());
  std::vector<std::vector<uint32_t>> draws(track.parts.size());
  for (uint32_t i = 0; i < track.turns->size(); ++i) draws[(*track.turns)[i]].push_back(i);
  track.draws = std::make_shared<const std::vector<std::vector<uint32_t>>>(std::move(draws));
  return track;
}

// Of a run in which the shape has `steps` steps.
Order::Track Order::make_track(uint8_t shape, uint64_t steps) const {
  const bool one = options_.batches.empty();
  Track track{.batch = one ? options_.batch : options_.batches[shape],
              .parts = {},
              .turns = nullptr,
              .draws = nullptr};
  const uint64_t key = order_key(options_, shape, kKeyTag);
  if (one && options_.last.empty()) {
    const uint64_t all = options_.samples;
    track.parts.push_back({all, all, nullptr, Permutation(all, key)});
    return track;
  }
  std::vector<uint64_t> early, late;
  auto next = options_.last.begin();
  for (uint64_t i = 0; i < options_.samples; ++i) {
    const bool last = next != options_.last.end() && *next == i;
    if (last) ++next;
    if (one || options_.shape_of[i] == shape) (last ? late : early).push_back(i);
  }
  track.early_draws = draws_before(steps * track.batch, early.size(), late.size());
  const uint64_t early_take = early.size(), late_take = late.size();
  track.add(std::move(early), early_take, key);
  track.add(std::move(late), late_take, order_key(options_, shape, kLateTag));
  return track;
}

void Order::find_places() {
  auto places = std::make_shared<std::vector<Place>>(options_.samples);
  for (const Track& track : tracks_) {
    for (uint32_t part = 0; part < track.parts.size(); ++part) {
      const Part& its = track.parts[part];
      if (!its.samples) return;  // all, in one part
      for (uint64_t i = 0; i < its.size; ++i) (*places)[(*its.samples)[i]] = {part, i};
    }
  }
  places_ = std::move(places);
}

// The shape of each step: that of which a sample has been consumed least, counted to the middle of
// the step. Exact in whole numbers, so that every machine finds the same.
void Order::interleave() {
  __extension__ using Wide = unsigned __int128;
  const size_t count = options_.batches.size();
  std::vector<uint64_t> sizes(count, 0), done(count, 0);
  for (const uint8_t shape : options_.shape_of) ++sizes[shape];
  for (size_t i = 0; i < count; ++i) {
    if (sizes[i] == 0 || sizes[i] >= options_.batches[i]) continue;
    throw Error(Errc::config, i == 0 ? "clip" : "bucket", ": its ", sizes[i],
                " samples are fewer than the ", options_.batches[i],
                " of a step; lower its batch, or permit more");
  }
  const uint64_t steps = options_.end_step - options_.first_step;
  auto shapes = std::make_shared<std::vector<uint8_t>>();
  std::vector<std::shared_ptr<std::vector<uint32_t>>> before;
  for (size_t i = 0; i < count; ++i) before.push_back(std::make_shared<std::vector<uint32_t>>());
  for (uint64_t step = 0; step <= steps; ++step) {
    size_t next = count;
    for (size_t i = 0; i < count; ++i) {
      before[i]->push_back(static_cast<uint32_t>(done[i]));
      if (sizes[i] == 0) continue;
      // (2 done + 1) batch / size, of one and of the other.
      if (next == count || Wide{2 * done[i] + 1} * options_.batches[i] * sizes[next] <
                               Wide{2 * done[next] + 1} * options_.batches[next] * sizes[i]) {
        next = i;
      }
    }
    if (step == steps) break;
    shapes->push_back(static_cast<uint8_t>(next));
    ++done[next];
  }
  shapes_ = std::move(shapes);
  before_.assign(before.begin(), before.end());
}

Order::Order(const OrderOptions& options) : options_((check_options(options), options)) {
  if (options_.plan) {
    tracks_.push_back(plan_track());
  } else if (options_.batches.empty()) {
    tracks_.push_back(make_track(0, options_.end_step - options_.first_step));
  } else {
    interleave();
    for (size_t i = 0; i < options_.batches.size(); ++i) {
      tracks_.push_back(make_track(static_cast<uint8_t>(i), before_[i]->back()));
    }
  }
  find_places();
}

size_t Order::shape(uint64_t step) const {
  CLEARED_CHECK(step >= options_.first_step);
  return shapes_ ? shapes_->at(step - options_.first_step) : 0;
}

uint32_t Order::batch(uint64_t step) const {
  return tracks_[shape(step)].batch;
}

uint64_t Order::steps_before(size_t shape, uint64_t step) const {
  const uint64_t since = step - options_.first_step;
  return shapes_ ? before_[shape]->at(since) : since;
}

Order::Slot Order::at(uint64_t step, uint32_t slot) const {
  const size_t own = shape(step);
  const Track& track = tracks_[own];
  CLEARED_CHECK(slot < track.batch);
  return track.at(steps_before(own, step) * track.batch + slot);
}

uint64_t Order::passes(uint64_t sample, uint64_t end_step) const {
  CLEARED_CHECK(end_step >= options_.first_step);
  const size_t own = shapes_ ? options_.shape_of[sample] : 0;
  const Track& track = tracks_[own];
  return track.passes(places_ ? (*places_)[sample] : Place{0, sample},
                      steps_before(own, end_step) * track.batch);
}

uint64_t Order::first_last_step() const {
  uint64_t first = options_.end_step;
  if (options_.last.empty()) return first;
  for (size_t i = 0; i < tracks_.size(); ++i) {
    if (tracks_[i].parts[1].size == 0) continue;
    const uint64_t own = tracks_[i].early_draws / tracks_[i].batch;  // step of this shape
    uint64_t step = options_.first_step + own;
    if (shapes_) {
      const auto& before = *before_[i];
      step = options_.first_step +
             static_cast<uint64_t>(std::upper_bound(before.begin(), before.end(), own) -
                                   before.begin()) -
             1;
    }
    first = std::min(first, step);
  }
  return first;
}

}  // namespace cleared::train
