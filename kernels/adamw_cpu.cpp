#include <algorithm>

#include "kernels/adamw.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/adamw_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/elements-inl.h"
#include "kernels/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace cleared::kernels::HWY_NAMESPACE {

void adamw(const AdamWPass& op, int64_t first, int64_t end) {
  for_lanes(end - first, [&](auto o, int64_t i) { adamw_at(o, op, first + i); });
}

// Squares of 256 values are summed as floats, and these sums as doubles: a gradient's squares span
// many orders of magnitude.
void squares(const Squares& op, int64_t first_chunk, int64_t end_chunk) {
  constexpr int64_t kPiece = 256;
  for (int64_t chunk = first_chunk; chunk < end_chunk; ++chunk) {
    const int64_t end = std::min(op.count, (chunk + 1) * kSquaresChunk);
    double all = 0;
    for (int64_t at = chunk * kSquaresChunk; at < end; at += kPiece) {
      Sum piece;
      for_lanes(std::min(end - at, kPiece), [&](auto o, int64_t i) {
        const auto x = o.load(op.x_M + at + i);
        piece.add_product(o, x, x);
      });
      all += static_cast<double>(piece.total());
    }
    op.sum_C[chunk] = all;
  }
}

}  // namespace cleared::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cleared::kernels {
HWY_EXPORT(adamw);
HWY_EXPORT(squares);
void adamw_cpu(const AdamWPass& op, int64_t first, int64_t end) {
  HWY_DYNAMIC_DISPATCH(adamw)(op, first, end);
}
void squares_cpu(const Squares& op, int64_t first_chunk, int64_t end_chunk) {
  HWY_DYNAMIC_DISPATCH(squares)(op, first_chunk, end_chunk);
}
}  // namespace cleared::kernels
#endif
