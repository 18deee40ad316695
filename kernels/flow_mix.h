// Rectified-flow mixture z = (1 - t) x + t noise: the noised sample a flow model is trained on.
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

  CLEARED_HD void at(int64_t i) const { z_BM[i] = x_BM[i] + t_B[i / m] * (noise_BM[i] - x_BM[i]); }
};

void flow_mix_cpu(const FlowMix& op);
void flow_mix_cuda(const FlowMix& op, Stream stream);  // queued; not finished on return

}  // namespace cleared::kernels
