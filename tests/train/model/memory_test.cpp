#include "train/model/memory.h"

#include <ATen/Functions.h>
#include <c10/core/CPUAllocator.h>
#include <gtest/gtest.h>

namespace cleared::train {
namespace {

TEST(Memory, IsPooledBySizesThatWasteLittle) {
  const std::pair<size_t, size_t> rows[] = {{0, 0},
                                            {100, 0},
                                            {(32 << 10) - 1, 0},
                                            {32 << 10, 32 << 10},
                                            {40000, 10 * 4096},
                                            {1'500'000, 12 * 131072},
                                            {32 << 20, 32 << 20},
                                            {(32 << 20) + 1, 0}};
  for (const auto& [bytes, size] : rows) EXPECT_EQ(pooled_size(bytes), size) << bytes;
  for (size_t bytes = 32 << 10; bytes < 32 << 20; bytes = bytes * 5 / 4 + 1) {
    EXPECT_GE(pooled_size(bytes), bytes);
    EXPECT_LE(pooled_size(bytes), bytes + bytes / 8 + 8);
    EXPECT_EQ(pooled_size(bytes) % 4096, 0U);
  }
}

TEST(Memory, OfATensorThatIsGoneServesTheNextOfItsSize) {
  use_pooled_memory();
  const void* first = nullptr;
  {
    const at::Tensor gone = at::zeros({1000, 123});
    first = gone.const_data_ptr();
  }
  const at::Tensor next = at::ones({123, 1000}), other = at::ones({123, 1000});
  EXPECT_EQ(next.const_data_ptr(), first);
  EXPECT_NE(other.const_data_ptr(), first);
  EXPECT_EQ(next.sum().item<double>(), 123'000);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(first) % 64, 0U);
}

// oneDNN asks for scratch of no bytes, and gives it back.
TEST(Memory, OfNoBytesIsNullAndMayBeGivenBack) {
  use_pooled_memory();
  c10::Allocator& allocator = *c10::GetCPUAllocator();
  void* const none = allocator.raw_allocate(0);
  EXPECT_EQ(none, nullptr);
  allocator.raw_deallocate(none);
}

}  // namespace
}  // namespace cleared::train
