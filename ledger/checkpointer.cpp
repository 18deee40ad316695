#include "ledger/checkpointer.h"

#include "ledger/base/error.h"
#include "ledger/sqlite.h"

namespace cleared::ledger {
namespace {

// Pages of 8 KB.
constexpr int kWorthCopying = 128;
constexpr int kTooLarge = 32'000;
constexpr int kSmallCommit = 32;

}  // namespace

Checkpointer::~Checkpointer() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  changed_.notify_all();
}

void Checkpointer::committed(int pages) {
  if (pages < pages_) pages_ = asked_pages_ = 0;  // begun anew
  const int added = pages - std::exchange(pages_, pages);
  if (pages - asked_pages_ < kWorthCopying) return;
  asked_pages_ = pages;
  small_ = added <= kSmallCommit;
  const std::lock_guard lock(mutex_);
  asked_ = true;
  if (!thread_.joinable()) {
    thread_ = std::jthread([this](const std::stop_token& stop) { work(stop); });
  }
  changed_.notify_all();
}

void Checkpointer::before_transaction(int pages) {
  if (pages > kTooLarge || (small_ && pages == asked_pages_)) finish();
}

void Checkpointer::finish() {
  std::unique_lock lock(mutex_);
  if (thread_.joinable()) changed_.wait(lock, [&] { return !asked_ && !busy_; });
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

void Checkpointer::work(const std::stop_token& stop) {
  try {
    const Database db = Database::open(database_, Access::append);
    db.exec("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0");
    while (true) {
      std::unique_lock lock(mutex_);
      if (!changed_.wait(lock, stop, [&] { return asked_; })) return;
      asked_ = false;
      busy_ = true;
      lock.unlock();
      db.integer("PRAGMA wal_checkpoint(PASSIVE)");
      lock.lock();
      busy_ = false;
      changed_.notify_all();
    }
  } catch (const Error&) {
    const std::lock_guard lock(mutex_);
    failure_ = std::current_exception();
    asked_ = busy_ = false;
    changed_.notify_all();
  }
}

}  // namespace cleared::ledger
