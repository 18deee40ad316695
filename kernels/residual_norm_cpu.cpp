#include <algorithm>
#include <cmath>

#include "kernels/residual_norm.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/residual_norm_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/elements-inl.h"
#include "kernels/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace cleared::kernels::HWY_NAMESPACE {

struct ItemRows {
  int64_t item, first, end;
};

template <class T>
ItemRows rows_of(const ResidualNorm<T>& op, int64_t chunk) {
  const int64_t item = chunk / op.chunks_of_item();
  const int64_t first = chunk % op.chunks_of_item() * kNormChunk;
  return {item, item * op.rows + first, item * op.rows + std::min(op.rows, first + kNormChunk)};
}

// Writes the row's sum, and returns the row that is to be normed.
template <class T>
const float* join(const ResidualNorm<T>& op, int64_t row, const float* gate) {
  const float* x = op.x_RN + row * op.n;
  if (op.branch_RN == nullptr) return x;
  const T* branch = op.branch_RN + row * op.n;
  float* sum = op.sum_RN + row * op.n;
  for_lanes(op.n, [&](auto o, int64_t i) {
    auto b = o.load(branch + i);
    if (op.branch_bias_N != nullptr) b = o.add(b, o.load(op.branch_bias_N + i));
    const auto was = o.load(x + i);
    o.store(gate != nullptr ? o.fma(o.load(gate + i), b, was) : o.add(was, b), sum + i);
  });
  return sum;
}

template <class T>
void residual_norm(const ResidualNorm<T>& op, int64_t first_chunk, int64_t end_chunk) {
  const float part = 1.0F / static_cast<float>(op.n);
  for (int64_t chunk = first_chunk; chunk < end_chunk; ++chunk) {
    const auto [item, first, end] = rows_of(op, chunk);
    const float* gate = op.gate_BN != nullptr ? op.gate_BN + item * op.gate_stride : nullptr;
    const float* scale = op.scale_BN + item * op.mod_stride;
    const float* shift = op.shift_BN + item * op.mod_stride;
    for (int64_t row = first; row < end; ++row) {
      const float* sum = join(op, row, gate);
      T* out = op.out_RN + row * op.n;
      Sum all, squares;
      for_lanes(op.n, [&](auto o, int64_t i) { all.add(o, o.load(sum + i)); });
      const float mean = all.total() * part;
      for_lanes(op.n, [&](auto o, int64_t i) {
        const auto d = o.sub(o.load(sum + i), o.set(mean));
        squares.add_product(o, d, d);
      });
      const float scatter = 1.0F / std::sqrt(squares.total() * part + op.eps);
      op.mean_R[row] = mean;
      op.scatter_R[row] = scatter;
      for_lanes(op.n, [&](auto o, int64_t i) {
        const auto normed = o.mul(o.sub(o.load(sum + i), o.set(mean)), o.set(scatter));
        o.store(modulate(o, op.scale_offset, normed, o.load(scale + i), o.load(shift + i)),
                out + i);
      });
    }
  }
}

// Gradients of the two means and the modulation: what the norm of one row passes back.
template <class T>
void norm_grad_row(const ResidualNormGrad<T>& grad, int64_t row, const float* scale, float* parts) {
  const ResidualNorm<T>& op = grad.forward;
  const int64_t n = op.n;
  const float part = 1.0F / static_cast<float>(n);
  const float mean = op.mean_R[row], scatter = op.scatter_R[row];
  const float* sum = op.sum_RN + row * n;
  const T* d_out = grad.d_out_RN + row * n;
  const float* d_sum = grad.d_sum_RN != nullptr ? grad.d_sum_RN + row * n : nullptr;
  float* d_x = grad.d_x_RN + row * n;
  float *d_scale = parts, *d_shift = parts + n;
  Sum first, second;
  for_lanes(n, [&](auto o, int64_t i) {
    const auto normed = o.mul(o.sub(o.load(sum + i), o.set(mean)), o.set(scatter));
    const auto d = o.load(d_out + i);
    const auto d_normed = o.mul(d, o.add(o.load(scale + i), o.set(op.scale_offset)));
    first.add(o, d_normed);
    second.add_product(o, d_normed, normed);
    o.store(o.fma(d, normed, o.load(d_scale + i)), d_scale + i);
    o.store(o.add(d, o.load(d_shift + i)), d_shift + i);
  });
  const float mean_first = first.total() * part, mean_second = second.total() * part;
  for_lanes(n, [&](auto o, int64_t i) {
    const auto normed = o.mul(o.sub(o.load(sum + i), o.set(mean)), o.set(scatter));
    const auto d_normed =
        o.mul(o.load(d_out + i), o.add(o.load(scale + i), o.set(op.scale_offset)));
    const auto centred = o.fnma(normed, o.set(mean_second), o.sub(d_normed, o.set(mean_first)));
    const auto d = o.mul(centred, o.set(scatter));
    o.store(d_sum != nullptr ? o.add(d, o.load(d_sum + i)) : d, d_x + i);
  });
}

// What the sum of one row passes back to gate and branch.
template <class T>
void join_grad_row(const ResidualNormGrad<T>& grad, int64_t row, const float* gate, float* parts) {
  const ResidualNorm<T>& op = grad.forward;
  const int64_t n = op.n;
  const float* d_x = grad.d_x_RN + row * n;
  const T* branch = op.branch_RN + row * n;
  T* d_branch = grad.d_branch_RN != nullptr ? grad.d_branch_RN + row * n : nullptr;
  float *d_gate = parts + 2 * n, *d_bias = parts + 3 * n;
  if (gate == nullptr) {
    for_lanes(n, [&](auto o, int64_t i) {
      o.store(o.add(o.load(d_x + i), o.load(d_bias + i)), d_bias + i);
      if (d_branch != nullptr) o.store(o.load(d_x + i), d_branch + i);
    });
    return;
  }
  for_lanes(n, [&](auto o, int64_t i) {
    auto b = o.load(branch + i);
    if (op.branch_bias_N != nullptr) b = o.add(b, o.load(op.branch_bias_N + i));
    const auto d = o.load(d_x + i), d_b = o.mul(d, o.load(gate + i));
    o.store(o.fma(d, b, o.load(d_gate + i)), d_gate + i);
    o.store(o.add(d_b, o.load(d_bias + i)), d_bias + i);
    o.store(d_b, d_branch + i);
  });
}

template <class T>
void residual_norm_grad(const ResidualNormGrad<T>& grad, int64_t first_chunk, int64_t end_chunk) {
  const ResidualNorm<T>& op = grad.forward;
  for (int64_t chunk = first_chunk; chunk < end_chunk; ++chunk) {
    const auto [item, first, end] = rows_of(op, chunk);
    const float* gate = op.gate_BN != nullptr ? op.gate_BN + item * op.gate_stride : nullptr;
    float* parts = grad.d_parts_C4N + chunk * 4 * op.n;
    std::fill_n(parts, 4 * op.n, 0.0F);
    for (int64_t row = first; row < end; ++row) {
      norm_grad_row(grad, row, op.scale_BN + item * op.mod_stride, parts);
      if (op.branch_RN != nullptr) join_grad_row(grad, row, gate, parts);
    }
  }
}

CLEARED_FOR_A_TARGET(residual_norm, ResidualNorm)
CLEARED_FOR_A_TARGET(residual_norm_grad, ResidualNormGrad)

}  // namespace cleared::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cleared::kernels {
CLEARED_FOR_ALL_TARGETS(residual_norm, ResidualNorm)
CLEARED_FOR_ALL_TARGETS(residual_norm_grad, ResidualNormGrad)
}  // namespace cleared::kernels
#endif
