#include "train/data/loader.h"

#include <chrono>
#include <utility>

#include "ledger/base/check.h"
#include "ledger/gate.h"

namespace cleared::train {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Without a decoder its caption alone.
Item decode(Decoder* decoder, const ledger::ClearedSample& cleared, uint64_t sample,
            const View& view) {
  const bool encoded = cleared.has("latent");
  return {.sample = sample,
          .digest = cleared.digest(),
          .duration_us = cleared.duration_us(),
          .caption = cleared.member("txt"),
          .frames = encoded || !decoder ? Frames{} : decoder->decode(cleared, view),
          .latent = encoded && decoder ? cleared.member("latent") : ""};
}

}  // namespace

Item load_item(const ledger::Gate& gate, Decoder& decoder, uint64_t sample, uint64_t passes,
               const View& view) {
  return decode(&decoder, gate.clear(sample, passes), sample, view);
}

Loader::Loader(std::unique_ptr<ledger::Gate> gate, std::vector<DecoderOptions> decoders,
               const Order& order, LoaderOptions options)
    : gate_(std::move(gate)),
      decoders_(std::move(decoders)),
      order_(order),
      options_(std::move(options)),
      thread_([this](const std::stop_token& stop) { run(stop); }) {}

Loader::~Loader() {
  thread_.request_stop();  // wakes push(); the thread is joined before anything else goes
  thread_.join();
}

void Loader::run(const std::stop_token& stop) try {
  CLEARED_CHECK(options_.before.size() == gate_->samples().size());
  Decoders decoders(decoders_);
  for (uint64_t step = options_.first_step; step < options_.end_step; ++step) {
    Batch batch{.step = step, .shape = order_.shape(step), .items = {}};
    Decoder* decoder = decoders_.empty() ? nullptr : &decoders.of(batch.shape);
    const uint32_t slots = order_.batch(step) / options_.ranks;
    const uint32_t first_slot = slots * options_.rank;
    for (uint32_t slot = first_slot; slot < first_slot + slots; ++slot) {
      if (stop.stop_requested()) return;
      const auto [sample, passes] = order_.at(step, slot);
      const auto start = Clock::now();
      const ledger::ClearedSample cleared = gate_->clear(sample, options_.before[sample] + passes);
      const double gate_s = seconds_since(start);
      const View view = options_.view ? options_.view(step, slot) : View();
      batch.items.push_back(decode(decoder, cleared, sample, view));
      const double decode_s = seconds_since(start) - gate_s;
      const std::lock_guard lock(mutex_);
      times_.gate += gate_s;
      times_.decode += decode_s;
    }
    push(std::move(batch), stop);
  }
} catch (...) {
  const std::lock_guard lock(mutex_);
  failure_ = std::current_exception();
  changed_.notify_all();
}

void Loader::push(Batch batch, const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  if (!changed_.wait(lock, stop, [&] { return ready_.size() < options_.ahead; })) return;
  ready_.push_back(std::move(batch));
  changed_.notify_all();
}

Batch Loader::next() {
  const auto start = Clock::now();
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !ready_.empty() || failure_; });
  times_.stall += seconds_since(start);
  if (ready_.empty()) std::rethrow_exception(failure_);
  Batch batch = std::move(ready_.front());
  ready_.pop_front();
  changed_.notify_all();
  return batch;
}

LoaderTimes Loader::times() const {
  const std::lock_guard lock(mutex_);
  return times_;
}

}  // namespace cleared::train
