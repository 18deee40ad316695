#include "train/model/memory.h"

#include <algorithm>

#include <ATen/Functions.h>
#include <c10/core/CPUAllocator.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ledger/base/error.h"
#include "train/agree.h"

namespace cleared::train {
namespace {

TEST(Memory, IsPooledBySizesThatWasteLittle) {
  const std::pair<size_t, size_t> rows[] = {{0, 0},
                                            {1, 64},
                                            {100, 128},
                                            {1025, 1152},
                                            {32 << 10, 32 << 10},
                                            {40000, 10 * 4096},
                                            {1'500'000, 12 * 131072},
                                            {32 << 20, 32 << 20},
                                            {(32 << 20) + 1, 0}};
  for (const auto& [bytes, size] : rows) EXPECT_EQ(pooled_size(bytes), size) << bytes;
  for (size_t bytes = 1; bytes < 32 << 20; bytes = bytes * 5 / 4 + 1) {
    EXPECT_GE(pooled_size(bytes), bytes);
    EXPECT_LE(pooled_size(bytes), bytes + std::max<size_t>(bytes / 8 + 8, 63));
    EXPECT_EQ(pooled_size(bytes) % 64, 0U);
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

// For the machine, what a tensor larger than any address does; for a GPU, what CUDA's allocator
// throws.
TEST(Memory, ThatIsNotEnoughIsALineThatSaysWhatHelps) {
  use_pooled_memory();
  const std::pair<const char*, std::function<void()>> rows[] = {
      {"memory: not enough on this machine: lower batch",
       [] { at::empty({int64_t{1} << 45}).sum(); }},
      {"memory: not enough on this machine: lower batch", [] { throw std::bad_alloc(); }},
      {"memory: not enough on the GPU: lower batch",
       [] { TORCH_CHECK_WITH(OutOfMemoryError, false, "CUDA out of memory. Tried 2 GiB"); }},
  };
  for (const auto& [line, body] : rows) {
    const Outcome outcome = outcome_of(body);  // as the ranks agree on it
    EXPECT_EQ(outcome.kind, Outcome::Kind::failed);
    EXPECT_EQ(outcome.code, Errc::io);
    EXPECT_THAT(outcome.text, ::testing::StartsWith(line));
    EXPECT_EQ(outcome.text.find('\n'), std::string::npos);
  }
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
