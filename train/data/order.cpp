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

uint64_t order_key(const OrderOptions& options, uint32_t tag) {
  return philox64(options.first_step, 0, tag, options.seed);
}

void check_options(const OrderOptions& options) {
  if (options.samples == 0) {
    throw Error(Errc::usage, "order: the permit lists no sample; approve a shard first");
  }
  if (options.batch == 0) throw Error(Errc::usage, "order: a step must have at least one slot");
  if (options.plan && (options.plan->size() == 0 || !options.last.empty())) {
    throw Error(Errc::usage, "order: a plan of shares must draw something, and all in one order");
  }
  if (options.last.empty()) return;
  if (!std::is_sorted(options.last.begin(), options.last.end(), std::less_equal<>()) ||
      options.last.back() >= options.samples || options.end_step < options.first_step) {
    throw Error(Errc::usage,
                "order: what comes last must be samples, rising, of a run with an end");
  }
}

std::vector<uint64_t> all_but(const OrderOptions& options) {
  std::vector<uint64_t> out;
  auto next = options.last.begin();
  for (uint64_t i = 0; i < options.samples; ++i) {
    if (next != options.last.end() && *next == i) {
      ++next;
    } else {
      out.push_back(i);
    }
  }
  return out;
}

// Every sample gets the same share of the draws; what is left over goes to those that come last, so
// that none of them comes a step sooner.
uint64_t draws_before(const OrderOptions& options) {
  if (options.last.empty() || options.last.size() == options.samples) {
    return options.last.empty() ? UINT64_MAX : 0;
  }
  const uint64_t draws = (options.end_step - options.first_step) * options.batch;
  const uint64_t early = options.samples - options.last.size();
  return draws / options.samples * early + std::min(draws % options.samples, early);
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

void Order::add_part(const std::vector<uint64_t>& samples, uint64_t take, uint64_t key) {
  for (uint64_t i = 0; i < samples.size(); ++i) {
    (*places_)[samples[i]] = {static_cast<uint32_t>(parts_.size()), i};
  }
  const uint64_t once = std::min<uint64_t>(samples.size(), take);
  parts_.push_back({samples.size(), take, std::make_shared<const std::vector<uint64_t>>(samples),
                    Permutation(std::max<uint64_t>(1, once), key)});
}

Order::Order(const OrderOptions& options)
    : options_((check_options(options), options)), early_draws_(draws_before(options)) {
  const uint64_t key = order_key(options, kKeyTag);
  if (!options.plan && options.last.empty()) {
    parts_.push_back(
        {options.samples, options.samples, nullptr, Permutation(options.samples, key)});
    return;
  }
  places_ = std::make_shared<std::vector<Place>>(options.samples);
  if (!options.plan) {
    const auto early = all_but(options);
    add_part(early, early.size(), key);
    add_part(options.last, options.last.size(), order_key(options, kLateTag));
    return;
  }
  for (const auto& group : options.plan->groups) {
    const auto number = static_cast<uint32_t>(parts_.size());
    add_part(group.samples, group.take, philox64(number, 0, kGroupTag, key));
  }
  turns_ = std::make_shared<const std::vector<uint32_t>>(options.plan->turns());
  std::vector<std::vector<uint32_t>> draws(parts_.size());
  for (uint32_t i = 0; i < turns_->size(); ++i) draws[(*turns_)[i]].push_back(i);
  draws_ = std::make_shared<const std::vector<std::vector<uint32_t>>>(std::move(draws));
}

Order::Slot Order::at(uint64_t step, uint32_t slot) const {
  CLEARED_CHECK(step >= options_.first_step && slot < options_.batch);
  uint64_t draw = (step - options_.first_step) * options_.batch + slot;
  if (turns_) {
    const auto turn = static_cast<uint32_t>(draw % turns_->size());
    const uint32_t part = (*turns_)[turn];
    const auto& draws = (*draws_)[part];
    const auto nth = std::lower_bound(draws.begin(), draws.end(), turn) - draws.begin();
    return parts_[part].at(draw / turns_->size(), static_cast<uint64_t>(nth));
  }
  const bool late = draw >= early_draws_;
  if (late) draw -= early_draws_;
  const Part& part = parts_[late ? 1 : 0];
  return part.at(draw / part.size, draw % part.size);
}

uint64_t Order::passes(uint64_t sample, uint64_t end_step) const {
  CLEARED_CHECK(end_step >= options_.first_step);
  uint64_t draws = (end_step - options_.first_step) * options_.batch;
  const Place place = places_ ? (*places_)[sample] : Place{0, sample};
  const Part& part = parts_[place.part];
  if (turns_) {
    const auto& its = (*draws_)[place.part];
    const uint64_t end = draws % turns_->size();
    const auto drawn = std::lower_bound(its.begin(), its.end(), end) - its.begin();
    return part.passes(place.index, draws / turns_->size(), static_cast<uint64_t>(drawn));
  }
  if (place.part == 0) {
    draws = std::min(draws, early_draws_);
  } else {
    draws -= std::min(draws, early_draws_);
  }
  return part.passes(place.index, draws / part.size, draws % part.size);
}

uint64_t Order::first_last_step() const {
  if (options_.last.empty()) return options_.end_step;
  return std::min(options_.end_step, options_.first_step + early_draws_ / options_.batch);
}

}  // namespace cleared::train
