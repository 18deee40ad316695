#include <algorithm>

#include "kernels/block_sum.cuh"
#include "kernels/elements-inl.h"

namespace cleared::kernels {
namespace device {

// A model has hundreds of parameters, most of them small: one launch for some of them.
template <class Op>
struct Many {
  static constexpr int64_t kMost = 32;
  Op ops[kMost];
};

constexpr unsigned kMostBlocks = 528;  // for one parameter: four for each processor of an H100

static __global__ void adamw(const __grid_constant__ Many<AdamWPass> many) {
  const AdamWPass& op = many.ops[blockIdx.y];
  const int64_t threads = int64_t{gridDim.x} * kThreads;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < op.count; i += threads) {
    adamw_at(OneLane(), op, i);
  }
}

static __global__ void squares(const __grid_constant__ Many<Squares> many) {
  const Squares& op = many.ops[blockIdx.y];
  if (blockIdx.x >= op.chunks()) return;
  const int64_t first = int64_t{blockIdx.x} * kSquaresChunk;
  double sum = 0;
  for (int64_t i = threadIdx.x; i < kSquaresChunk && first + i < op.count; i += kThreads) {
    sum += static_cast<double>(op.x_M[first + i]) * op.x_M[first + i];
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) op.sum_C[blockIdx.x] = sum;
}

// Calls launch(many, blocks) for each group; `blocks_of` says how many blocks one of them wants.
template <class Op, class BlocksOf, class Launch>
void for_groups(std::span<const Op> ops, const BlocksOf& blocks_of, const Launch& launch) {
  for (size_t first = 0; first < ops.size(); first += Many<Op>::kMost) {
    const auto group = ops.subspan(first, std::min<size_t>(Many<Op>::kMost, ops.size() - first));
    Many<Op> many{};
    std::copy(group.begin(), group.end(), many.ops);
    unsigned most = 1;
    for (const Op& op : group) most = std::max(most, blocks_of(op));
    launch(many, dim3(most, static_cast<unsigned>(group.size())));
  }
}

}  // namespace device

void adamw_cuda(std::span<const AdamWPass> ops, Stream stream) {
  device::for_groups(
      ops,
      [](const AdamWPass& op) {
        return std::min(device::kMostBlocks, device::blocks_for(op.count));
      },
      [&](const auto& many, dim3 blocks) {
        device::adamw<<<blocks, device::kThreads, 0, stream>>>(many);
      });
}

void squares_cuda(std::span<const Squares> ops, Stream stream) {
  device::for_groups(
      ops, [](const Squares& op) { return static_cast<unsigned>(op.chunks()); },
      [&](const auto& many, dim3 blocks) {
        device::squares<<<blocks, device::kThreads, 0, stream>>>(many);
      });
}

}  // namespace cleared::kernels
