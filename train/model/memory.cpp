#include "train/model/memory.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <string_view>
#include <vector>

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/util/Exception.h>
#include <sys/mman.h>

#include "ledger/base/error.h"

namespace cleared::train {
namespace {

constexpr size_t kSmallest = 64;        // and what sizes are multiples of
constexpr size_t kLargest = 32 << 20;   // more is rare enough to be mapped each time
constexpr size_t kHuge = 2 << 20;       // a huge page
constexpr size_t kSlab = 64 << 20;

// Blocks by size; none goes back to the system.
class Pool {
 public:
  void* take(size_t size) {
    const std::lock_guard lock(mutex_);
    std::vector<void*>& free = free_[size];
    if (!free.empty()) {
      void* block = free.back();
      free.pop_back();
      return block;
    }
    if (left_ < size) start_slab();
    void* block = next_;
    next_ += size;
    left_ -= size;
    return block;
  }

  void give(void* block, size_t size) {
    const std::lock_guard lock(mutex_);
    free_[size].push_back(block);
  }

 private:
  // What is left of the old slab is lost, at most half of one.
  void start_slab() {
    void* mapped = ::mmap(nullptr, kSlab + kHuge, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED) throw std::bad_alloc();
    const auto address = reinterpret_cast<uintptr_t>(mapped);
    next_ = static_cast<char*>(mapped) + (kHuge - address % kHuge) % kHuge;
    left_ = kSlab;
    static_cast<void>(::madvise(next_, kSlab, MADV_HUGEPAGE));  // a wish, granted or not
  }

  std::mutex mutex_;
  std::map<size_t, std::vector<void*>> free_;
  char* next_ = nullptr;
  size_t left_ = 0;
};

Pool& pool() {
  static Pool* const pool = new Pool;  // outlives every tensor
  return *pool;
}

// Stands before every tensor's data, which keeps its alignment.
struct alignas(64) Header {
  size_t pooled;  // size of the block in the pool; 0: it is of the C library
};

void give_back(void* data) {
  if (data == nullptr) return;  // of a tensor without elements
  auto* header = static_cast<Header*>(data) - 1;
  if (header->pooled != 0) pool().give(header, header->pooled);
  else std::free(header);
}

class PooledAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    if (bytes == 0) return {nullptr, nullptr, give_back, at::Device(at::kCPU)};
    const size_t whole = bytes + sizeof(Header), pooled = pooled_size(whole);
    void* block = pooled != 0 ? pool().take(pooled)
                              : std::aligned_alloc(alignof(Header), (whole + 63) / 64 * 64);
    if (block == nullptr) throw std::bad_alloc();
    void* data = new (block) Header{pooled} + 1;
    return {data, data, give_back, at::Device(at::kCPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return give_back; }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    std::memcpy(to, from, bytes);
  }
};

[[noreturn]] void out_of_memory(std::string_view where) {
  throw Error(Errc::io, "memory: not enough ", where,
              ": lower batch or raise micro_batches of the config, or give it a larger machine; "
              "train plan says what it needs");
}

}  // namespace

void with_memory(const std::function<void()>& body) {
  try {
    body();
  } catch (const std::bad_alloc&) {
    out_of_memory("on this machine");
  } catch (const c10::OutOfMemoryError&) {
    out_of_memory("on the GPU");
  }
}

// Sizes are multiples of an eighth of the power of two below.
size_t pooled_size(size_t bytes) {
  if (bytes > kLargest) return 0;
  const size_t step = std::max(kSmallest, std::bit_floor(bytes) / 8);
  return (bytes + step - 1) / step * step;
}

void use_pooled_memory() {
  static PooledAllocator allocator;
  c10::SetCPUAllocator(&allocator, /*priority=*/1);
}

}  // namespace cleared::train
