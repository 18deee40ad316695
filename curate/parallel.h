// Work on many items at once, results in order. Standard library only.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace cleared::curate {

// Calls work(i) for every i below `count` on `threads` threads, and take(i, result) for each on the
// calling thread in order of i, which first, while the work has begun, calls meanwhile(). Work runs
// at most a few items ahead of what was taken. The first exception of the three, in that order,
// ends it and is thrown here after running work has finished.
template <class Work, class Take, class Meanwhile>
void in_order(size_t count, unsigned threads, const Work& work, const Take& take,
              const Meanwhile& meanwhile) {
  using Result = std::invoke_result_t<Work, size_t>;
  struct Slot {
    std::optional<Result> result;
    std::exception_ptr error;
  };
  std::mutex mutex;
  std::condition_variable changed;
  std::map<size_t, Slot> finished;
  size_t next = 0, taken = 0;
  bool stop = false;
  const size_t ahead = 2 * std::max<size_t>(threads, 1);

  const auto worker = [&] {
    for (std::unique_lock lock(mutex);;) {
      changed.wait(lock, [&] { return stop || next >= count || next < taken + ahead; });
      if (stop || next >= count) return;
      const size_t item = next++;
      lock.unlock();
      Slot slot;
      try {
        slot.result.emplace(work(item));
      } catch (...) {
        slot.error = std::current_exception();
      }
      lock.lock();
      finished.insert_or_assign(item, std::move(slot));
      changed.notify_all();
    }
  };
  // Told to stop, whichever way this function is left, before the threads are joined.
  std::vector<std::jthread> pool;
  struct Stop {
    std::mutex& mutex;
    std::condition_variable& changed;
    bool& stop;
    ~Stop() {
      const std::lock_guard lock(mutex);
      stop = true;
      changed.notify_all();
    }
  } const stop_at_end{mutex, changed, stop};
  for (size_t i = 0; i < std::min<size_t>(std::max(threads, 1u), count); ++i) {
    pool.emplace_back(worker);
  }
  meanwhile();
  for (size_t i = 0; i < count; ++i) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return finished.contains(i); });
    Slot slot = std::move(finished.extract(i).mapped());
    ++taken;
    changed.notify_all();
    lock.unlock();
    if (slot.error) std::rethrow_exception(slot.error);
    take(i, std::move(*slot.result));
  }
}
template <class Work, class Take>
void in_order(size_t count, unsigned threads, const Work& work, const Take& take) {
  in_order(count, threads, work, take, [] {});
}

}  // namespace cleared::curate
