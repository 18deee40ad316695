#include <algorithm>

#include "kernels/flow_mix.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/flow_mix_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/elements-inl.h"
#include "kernels/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace cleared::kernels::HWY_NAMESPACE {

void flow_mix(const FlowMix& op) {
  for (int64_t item = 0; item < op.b; ++item) {
    for_lanes(op.m, [&](auto o, int64_t i) { mix_at(o, op, item * op.m + i, op.t_B[item]); });
  }
}

void flow_loss(const FlowLoss& op, int64_t first_chunk, int64_t end_chunk) {
  for (int64_t chunk = first_chunk; chunk < end_chunk; ++chunk) {
    const int64_t first = chunk * kFlowChunk;
    Sum squares;
    for_lanes(std::min(op.m - first, kFlowChunk), [&](auto o, int64_t i) {
      const auto error = flow_error(o, op, first + i);
      squares.add_product(o, error, error);
      o.store(error, op.error_M + first + i);
    });
    op.squares_C[chunk] = static_cast<double>(squares.total());
  }
}

}  // namespace cleared::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cleared::kernels {
HWY_EXPORT(flow_mix);
HWY_EXPORT(flow_loss);
void flow_mix_cpu(const FlowMix& op) {
  HWY_DYNAMIC_DISPATCH(flow_mix)(op);
}
void flow_loss_cpu(const FlowLoss& op, int64_t first_chunk, int64_t end_chunk) {
  HWY_DYNAMIC_DISPATCH(flow_loss)(op, first_chunk, end_chunk);
}
}  // namespace cleared::kernels
#endif
