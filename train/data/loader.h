// Feeds one rank: for each of its slots the gate clears a sample, and a child decodes those very
// bytes. Works ahead in a thread of its own, a few steps and no more.
//
// The thread owns its gate and its decoder; next() and times() belong to the thread that made the
// loader. Frames come only from a ledger::ClearedSample, so nothing uncleared can get this far.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "ledger/base/bytes.h"
#include "train/data/decoder.h"
#include "train/data/order.h"

namespace cleared::ledger {
class Gate;
}

namespace cleared::train {

// One sample as the model consumes it.
struct Item {
  uint64_t sample = 0;  // index into Gate::samples()
  Digest digest;
  uint64_t duration_us = 0;
  std::string caption;
  Frames frames;       // empty when there is a latent, or nobody decodes
  std::string latent;  // the member of that name (train/latent.h), of a sample of a latent shard
};

struct Batch {
  uint64_t step = 0;
  size_t shape = 0;         // of all of them: Order::shape
  std::vector<Item> items;  // this rank's slots, in order
};

// Clears the sample and decodes it. `passes` counts this consumption: Gate::clear says why.
// Error{refused} from the gate, Error{corrupt} or Error{io} from the decoder.
Item load_item(const ledger::Gate& gate, Decoder& decoder, uint64_t sample, uint64_t passes,
               const View& view = {});

struct LoaderOptions {
  uint64_t first_step = 0;
  uint64_t end_step = 0;  // one past the last
  uint32_t rank = 0;      // has the slots [rank, rank + 1) / ranks of every step
  uint32_t ranks = 1;
  std::vector<uint64_t> before = {};  // by sample: passes consumed before the order began
  // What a slot sees of its sample; none: as View says by itself.
  std::function<View(uint64_t step, uint32_t slot)> view = {};
  size_t ahead = 2;  // steps loaded but not yet taken, at most
};

// Seconds since the loader was made.
struct LoaderTimes {
  double stall = 0;   // next() waited
  double gate = 0;    // reading, hashing and checking, in the loader's thread
  double decode = 0;  // waiting for the child, in the loader's thread
};

class Loader {
 public:
  // `decoders` are of the order's shapes, one of each; none: captions alone are read.
  Loader(std::unique_ptr<ledger::Gate> gate, std::vector<DecoderOptions> decoders,
         const Order& order, LoaderOptions options);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  // The next step's batch. Throws what went wrong while loading it, and then again each time.
  Batch next();
  LoaderTimes times() const;

 private:
  void run(const std::stop_token& stop);
  void push(Batch batch, const std::stop_token& stop);

  std::unique_ptr<ledger::Gate> gate_;
  std::vector<DecoderOptions> decoders_;
  Order order_;
  LoaderOptions options_;

  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<Batch> ready_;
  std::exception_ptr failure_;
  LoaderTimes times_;
  std::jthread thread_;  // last: it uses all of the above
};

}  // namespace cleared::train
