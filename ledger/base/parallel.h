// A loop over independent pieces of work on all cores. Standard threads, started for the call: for
// pieces of a millisecond and more.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace cleared {

inline size_t core_count() {
  return std::max(1U, std::thread::hardware_concurrency());
}

// Calls body(i) for every i below `count`, each once, in no order, from up to core_count() threads.
// The first exception is thrown again when all threads have stopped.
template <class Body>
void parallel_for(size_t count, const Body& body) {
  const size_t threads = std::min(count, core_count());
  if (threads <= 1) {
    for (size_t i = 0; i < count; ++i) body(i);
    return;
  }
  std::atomic<size_t> next{0};
  std::exception_ptr failure;
  std::mutex mutex;
  const auto work = [&] {
    try {
      for (size_t i = next++; i < count; i = next++) body(i);
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
      next = count;
    }
  };
  {
    std::vector<std::jthread> others;
    for (size_t i = 1; i < threads; ++i) others.emplace_back(work);
    work();
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace cleared
