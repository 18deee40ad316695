#include "kernels/block_sum.cuh"
#include "kernels/elements-inl.h"

namespace cleared::kernels {
namespace device {

static __device__ float branch_at(const ResidualNorm& op, int64_t row, int64_t i) {
  const float bias = op.branch_bias_N != nullptr ? op.branch_bias_N[i] : 0.0F;
  return op.branch_RN[row * op.n + i] + bias;
}

static __device__ const float* gate_of(const ResidualNorm& op, int64_t row) {
  return op.gate_BN != nullptr ? op.gate_BN + row / op.rows * op.gate_stride : nullptr;
}

// A block has one row.
static __global__ void residual_norm(ResidualNorm op) {
  const int64_t row = blockIdx.x, mod = row / op.rows * op.mod_stride;
  const float* gate = gate_of(op, row);
  const float* sum = (op.branch_RN != nullptr ? op.sum_RN : op.x_RN) + row * op.n;
  float all = 0;
  for (int64_t i = threadIdx.x; i < op.n; i += kThreads) {
    float x = op.x_RN[row * op.n + i];
    if (op.branch_RN != nullptr) {
      x = fmaf(gate != nullptr ? gate[i] : 1.0F, branch_at(op, row, i), x);
      op.sum_RN[row * op.n + i] = x;
    }
    all += x;
  }
  const float part = 1.0F / static_cast<float>(op.n);
  const float mean = block_sum(all) * part;
  float squares = 0;
  for (int64_t i = threadIdx.x; i < op.n; i += kThreads) {
    squares = fmaf(sum[i] - mean, sum[i] - mean, squares);
  }
  const float scatter = 1.0F / sqrtf(block_sum(squares) * part + op.eps);
  for (int64_t i = threadIdx.x; i < op.n; i += kThreads) {
    op.out_RN[row * op.n + i] = modulate(OneLane(), op, (sum[i] - mean) * scatter,
                                         op.scale_BN[mod + i], op.shift_BN[mod + i]);
  }
  if (threadIdx.x == 0) op.mean_R[row] = mean, op.scatter_R[row] = scatter;
}

// One row's part of the gradients; a column belongs to one thread, so nobody else adds to `parts`.
static __device__ void grad_row(const ResidualNormGrad& grad, int64_t row, float* parts) {
  const ResidualNorm& op = grad.forward;
  const float* gate = gate_of(op, row);
  const float* scale = op.scale_BN + row / op.rows * op.mod_stride;
  const float mean = op.mean_R[row], scatter = op.scatter_R[row];
  float first = 0, second = 0;
  for (int64_t i = threadIdx.x; i < op.n; i += kThreads) {
    const int64_t at = row * op.n + i;
    const float normed = (op.sum_RN[at] - mean) * scatter, d = grad.d_out_RN[at];
    const float d_normed = d * (scale[i] + op.scale_offset);
    first += d_normed;
    second = fmaf(d_normed, normed, second);
    parts[i] = fmaf(d, normed, parts[i]);
    parts[op.n + i] += d;
  }
  const float part = 1.0F / static_cast<float>(op.n);
  const float mean_first = block_sum(first) * part, mean_second = block_sum(second) * part;
  for (int64_t i = threadIdx.x; i < op.n; i += kThreads) {
    const int64_t at = row * op.n + i;
    const float normed = (op.sum_RN[at] - mean) * scatter;
    const float d_normed = grad.d_out_RN[at] * (scale[i] + op.scale_offset);
    float d = fmaf(-normed, mean_second, d_normed - mean_first) * scatter;
    if (grad.d_sum_RN != nullptr) d += grad.d_sum_RN[at];
    grad.d_x_RN[at] = d;
    if (op.branch_RN == nullptr) continue;
    const float d_branch = gate != nullptr ? d * gate[i] : d;
    if (gate != nullptr) {
      parts[2 * op.n + i] = fmaf(d, branch_at(op, row, i), parts[2 * op.n + i]);
      grad.d_branch_RN[at] = d_branch;
    }
    parts[3 * op.n + i] += d_branch;
  }
}

// A block has one chunk of rows of an item.
static __global__ void residual_norm_grad(ResidualNormGrad grad) {
  const ResidualNorm& op = grad.forward;
  const int64_t item = blockIdx.x / op.chunks_of_item();
  const int64_t first = blockIdx.x % op.chunks_of_item() * kNormChunk;
  const int64_t end = first + kNormChunk < op.rows ? first + kNormChunk : op.rows;
  float* parts = grad.d_parts_C4N + int64_t{blockIdx.x} * 4 * op.n;
  for (int64_t i = threadIdx.x; i < op.n; i += kThreads) {
    for (int part = 0; part < 4; ++part) parts[part * op.n + i] = 0;
  }
  for (int64_t r = first; r < end; ++r) grad_row(grad, item * op.rows + r, parts);
}

}  // namespace device

void residual_norm_cuda(const ResidualNorm& op, Stream stream) {
  const auto rows = static_cast<unsigned>(op.items * op.rows);
  device::residual_norm<<<rows, device::kThreads, 0, stream>>>(op);
}

void residual_norm_grad_cuda(const ResidualNormGrad& op, Stream stream) {
  const auto chunks = static_cast<unsigned>(op.forward.chunks());
  device::residual_norm_grad<<<chunks, device::kThreads, 0, stream>>>(op);
}

}  // namespace cleared::kernels
