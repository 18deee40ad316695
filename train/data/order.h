// Which sample each slot of each step consumes: a pure function of the seed, the step and the
// number of permitted samples. It does not know how many ranks there are, keeps no state and reads
// no clock, so that any rank, and any auditor, can compute the whole of it.
//
// An epoch is a keyed permutation: a balanced Feistel network of four rounds (Luby and Rackoff,
// How to Construct Pseudorandom Permutations, 1988) whose round function is Philox4x32-10, walked
// in cycles until it lands below the number of samples (Black and Rogaway, Ciphers with Arbitrary
// Finite Domains, 2002). Slots run through the epochs without a gap. Any thread.
//
// With a plan of shares (ledger/shares.h) an epoch has so many draws of each group of samples as
// the plan says; which draws are whose is the same in all of them, which sample comes at a group's
// next draw is its own permutation.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "ledger/shares.h"

namespace cleared::train {

// The permutation of [0, size) that belongs to `key`; size at least 1, below 2^62.
class Permutation {
 public:
  Permutation(uint64_t size, uint64_t key);
  uint64_t at(uint64_t index, uint64_t epoch) const;
  uint64_t index_of(uint64_t value, uint64_t epoch) const;  // at(index_of(v, e), e) == v

 private:
  uint64_t encrypt(uint64_t value, uint64_t epoch) const;
  uint64_t decrypt(uint64_t value, uint64_t epoch) const;
  uint64_t mix(uint64_t half, uint64_t epoch, uint32_t round) const;

  uint64_t size_;
  uint64_t key_;
  uint32_t half_bits_;
  uint64_t half_mask_;
};

struct OrderOptions {
  uint64_t seed = 0;
  uint64_t samples = 0;     // that the permit lists, at least 1
  uint32_t batch = 0;       // slots a step, at least 1
  uint64_t first_step = 0;  // where this list of samples came into use: a permit that lists other
                            // samples than the one before starts an order of its own
  // Samples, rising, that come after all others: of footage that may be taken back, so that as many
  // steps as can be know nothing of it. Every sample is still consumed as often as any other, give
  // or take one pass, by the steps up to end_step, which must be given then.
  std::vector<uint64_t> last = {};
  uint64_t end_step = 0;                                    // of the whole run
  std::shared_ptr<const ledger::SharePlan> plan = nullptr;  // of all samples, of one shape; then
                                                            // `last` is empty
  // Where samples are of several shapes: the slots of a step of each, in place of `batch`, and the
  // shape of each sample. A step is of one shape; the next is of the shape whose samples are
  // furthest behind, so that all are consumed about as often. end_step must be given then.
  std::vector<uint32_t> batches = {};
  std::vector<uint8_t> shape_of = {};
};

class Order {
 public:
  // Error{usage} when there is no sample or no slot, Error{config} when a shape has fewer samples
  // than a step of it takes.
  explicit Order(const OrderOptions& options);

  // The first step that consumes one of `last`; the end of the run when none does.
  uint64_t first_last_step() const;

  struct Slot {
    uint64_t sample = 0;
    uint64_t passes = 0;  // times this order will have consumed it, this time included
  };
  // `step` is at least first_step, and below end_step where samples are of several shapes.
  size_t shape(uint64_t step) const;
  uint32_t batch(uint64_t step) const;
  // `slot` is below batch(step).
  Slot at(uint64_t step, uint32_t slot) const;

  // Times `sample` is consumed by the steps [first_step, end_step). Closed form.
  uint64_t passes(uint64_t sample, uint64_t end_step) const;

 private:
  // Samples that are drawn in epochs of their own: their numbers, or all below `size`. An epoch
  // takes `take` of them: all of them, once or several times, or a part, and the next goes on
  // behind it.
  struct Part {
    uint64_t size = 0, take = 0;
    std::shared_ptr<const std::vector<uint64_t>> samples;  // null: the numbers themselves
    Permutation permutation;  // of what an epoch takes, at most once each
    // The draw of this number in the epoch, and the passes of the sample with it.
    Slot at(uint64_t epoch, uint64_t draw) const;
    // Of the sample at `index`, in so many epochs and `draws` of the next.
    uint64_t passes(uint64_t index, uint64_t epochs, uint64_t draws) const;
  };
  struct Place {
    uint32_t part = 0;  // of the sample's track
    uint64_t index = 0;
  };
  // The draws of one shape.
  struct Track {
    uint32_t batch = 0;
    std::vector<Part> parts;            // those of the plan; else all but `last`, and `last`
    uint64_t early_draws = UINT64_MAX;  // before the first of `last`
    // Of the plan: whose each draw of an epoch is, and the draws of each part, rising.
    std::shared_ptr<const std::vector<uint32_t>> turns;
    std::shared_ptr<const std::vector<std::vector<uint32_t>>> draws;

    void add(std::vector<uint64_t> samples, uint64_t take, uint64_t key);
    Slot at(uint64_t draw) const;
    uint64_t passes(Place place, uint64_t draws) const;  // by the first so many
  };
  void interleave();
  Track plan_track() const;
  Track make_track(uint8_t shape, uint64_t steps) const;
  void find_places();
  uint64_t steps_before(size_t shape, uint64_t step) const;  // of the shape

  OrderOptions options_;
  std::vector<Track> tracks_;  // by shape
  // By step from first_step, where there are several shapes: its shape, and how many steps of each
  // shape come before it.
  std::shared_ptr<const std::vector<uint8_t>> shapes_;
  std::vector<std::shared_ptr<const std::vector<uint32_t>>> before_;
  std::shared_ptr<const std::vector<Place>> places_;  // by sample; null: one part of all
};

}  // namespace cleared::train
