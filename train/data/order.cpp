#include "train/data/order.h"

#include <bit>

#include "kernels/philox.h"
#include "ledger/base/check.h"
#include "ledger/base/error.h"

namespace cleared::train {
namespace {

constexpr uint32_t kRounds = 4;
// Counters of this file never meet those of noise and times, which share the seed.
constexpr uint32_t kRoundTag = 0x6f726430;  // "ord0"
constexpr uint32_t kKeyTag = 0x6f72646b;    // "ordk"

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

Order::Order(const OrderOptions& options)
    : options_(options),
      permutation_(options.samples > 0 ? options.samples : 1,
                   philox64(options.first_step, 0, kKeyTag, options.seed)) {
  if (options.samples == 0) {
    throw Error(Errc::usage, "order: the permit lists no sample; approve a shard first");
  }
  if (options.batch == 0) throw Error(Errc::usage, "order: a step must have at least one slot");
}

Order::Slot Order::at(uint64_t step, uint32_t slot) const {
  CLEARED_CHECK(step >= options_.first_step && slot < options_.batch);
  const uint64_t position = (step - options_.first_step) * options_.batch + slot;
  const uint64_t epoch = position / options_.samples;
  return {.sample = permutation_.at(position % options_.samples, epoch), .passes = epoch + 1};
}

uint64_t Order::passes(uint64_t sample, uint64_t end_step) const {
  CLEARED_CHECK(end_step >= options_.first_step);
  const uint64_t consumed = (end_step - options_.first_step) * options_.batch;
  const uint64_t epoch = consumed / options_.samples;
  return epoch + (permutation_.index_of(sample, epoch) < consumed % options_.samples ? 1 : 0);
}

}  // namespace cleared::train
