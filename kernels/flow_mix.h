// Rectified-flow mixture z = (1 - t) x + t noise: the noised sample a flow model is trained on; and
// the loss of what the model says, the mean of (v - (noise - x))^2.
// Source: Liu, Gong and Liu, Flow Straight and Fast, ICLR 2023, equation 1.
//
// Row-major, contiguous. B batch, M values per batch item; t in [0, 1], one per item. z_BM may be
// x_BM. Sizes and pointers are the caller's to check. Safe from any thread.
#pragma once

#include <cstdint>

#include "kernels/device.h"

namespace cleared::kernels {

struct FlowMix {
  const float* x_BM;
  const float* noise_BM;
  const float* t_B;
  float* z_BM;
  int64_t b;
  int64_t m;
};

void flow_mix_cpu(const FlowMix& op);
void flow_mix_cuda(const FlowMix& op, Stream stream);  // queued; not finished on return

inline constexpr int64_t kFlowChunk = 4096;  // values whose squares are summed on their own

struct FlowLoss {
  const float* v_M;
  const float* noise_M;
  const float* x_M;
  float* error_M;     // v - (noise - x), for the gradient: 2 error / M
  double* squares_C;  // of each chunk
  int64_t m;          // all values of all items

  CLEARED_HD int64_t chunks() const { return (m + kFlowChunk - 1) / kFlowChunk; }
};

void flow_loss_cpu(const FlowLoss& op, int64_t first_chunk, int64_t end_chunk);
void flow_loss_cuda(const FlowLoss& op, Stream stream);  // queued; not finished on return

}  // namespace cleared::kernels
