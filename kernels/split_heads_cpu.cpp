#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/split_heads.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/split_heads_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace cleared::kernels::HWY_NAMESPACE {

// Turns pairs by their angles (sign 1) or back (sign -1): n values, in place.
void turn(const float* rope, int64_t n, float sign, float* x) {
  int64_t i = 0;
#if HWY_TARGET != HWY_SCALAR
  const Lanes o;
  const Lanes::D d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  for (; i + lanes <= n; i += lanes) {
    const auto angle = o.load(rope + i), was = o.load(x + i);
    const auto crossed = o.mul(hn::Reverse2(d, was), o.mul(hn::DupOdd(angle), o.set(sign)));
    const auto signed_cross = hn::OddEven(crossed, hn::Neg(crossed));
    o.store(o.fma(was, hn::DupEven(angle), signed_cross), x + i);
  }
#endif
  const OneLane one;
  for (; i < n; i += 2) {
    const float cos = rope[i], sin = sign * rope[i + 1], a = x[i], b = x[i + 1];
    x[i] = one.fma(a, cos, -(b * sin));
    x[i + 1] = one.fma(b, cos, a * sin);
  }
}

// u = x + bias into `out`, and the sum of its squares.
HWY_INLINE float biased(const float* x, const float* bias, int64_t n, float* out) {
  Sum squares;
  for_lanes(n, [&](auto o, int64_t i) {
    auto u = o.load(x + i);
    if (bias != nullptr) u = o.add(u, o.load(bias + i));
    squares.add_product(o, u, u);
    o.store(u, out + i);
  });
  return squares.total();
}

HWY_INLINE float rms_scale(const SplitHeads& op, float squares) {
  return 1.0F / std::sqrt(squares / static_cast<float>(op.depth) + op.eps);
}

void split_heads(const SplitHeads& op, int64_t first_chunk, int64_t end_chunk) {
  const int64_t end = std::min(op.items * op.rows, end_chunk * kHeadChunk);
  for (int64_t r = first_chunk * kHeadChunk; r < end; ++r) {
    const int64_t item = r / op.rows, row = r % op.rows;
    for (int64_t part = 0; part < op.parts; ++part) {
      const float* norm = op.norm_D[part];
      for (int64_t head = 0; head < op.heads; ++head) {
        const int64_t at = (part * op.heads + head) * op.depth;
        const float* bias = op.bias_PHD != nullptr ? op.bias_PHD + at : nullptr;
        float* out = op.out_BHSD[part] + ((item * op.heads + head) * op.rows + row) * op.depth;
        const float squares = biased(op.x_RPHD + r * op.width() + at, bias, op.depth, out);
        if (norm == nullptr) continue;
        const float scale = rms_scale(op, squares);
        for_lanes(op.depth, [&](auto o, int64_t i) {
          o.store(o.mul(o.mul(o.load(out + i), o.set(scale)), o.load(norm + i)), out + i);
        });
        if (op.rope_SD != nullptr) turn(op.rope_SD + row * op.depth, op.depth, 1, out);
      }
    }
  }
}

// The gradient `d` of y becomes that of u: norm and root mean square undone. `u` holds u.
HWY_INLINE void norm_grad(const SplitHeads& op, const float* norm, const float* u, float squares,
                          float* d, float* d_norm) {
  const float scale = rms_scale(op, squares);
  Sum along;
  for_lanes(op.depth, [&](auto o, int64_t i) {
    const auto was = o.load(d + i), value = o.load(u + i);
    o.store(o.fma(o.mul(was, value), o.set(scale), o.load(d_norm + i)), d_norm + i);
    const auto weighted = o.mul(was, o.load(norm + i));
    along.add_product(o, weighted, value);
    o.store(weighted, d + i);
  });
  const float pull = along.total() * scale * scale / static_cast<float>(op.depth);
  for_lanes(op.depth, [&](auto o, int64_t i) {
    const auto centred = o.fnma(o.load(u + i), o.set(pull), o.load(d + i));
    o.store(o.mul(centred, o.set(scale)), d + i);
  });
}

void split_heads_grad(const SplitHeadsGrad& grad, int64_t first_chunk, int64_t end_chunk) {
  const SplitHeads& op = grad.forward;
  std::vector<float> biased_D(static_cast<size_t>(op.depth));
  float* u = biased_D.data();
  for (int64_t chunk = first_chunk; chunk < end_chunk; ++chunk) {
    float* d_bias = grad.d_parts_C2PHD + chunk * 2 * op.width();
    float* d_norm = d_bias + op.width();
    std::fill_n(d_bias, 2 * op.width(), 0.0F);
    const int64_t end = std::min(op.items * op.rows, (chunk + 1) * kHeadChunk);
    for (int64_t r = chunk * kHeadChunk; r < end; ++r) {
      const int64_t item = r / op.rows, row = r % op.rows;
      for (int64_t part = 0; part < op.parts; ++part) {
        const HeadGrad& from = grad.d_out[part];
        for (int64_t head = 0; head < op.heads; ++head) {
          const int64_t at = (part * op.heads + head) * op.depth;
          const float* d_out = from.d_out + item * from.item_stride + head * from.head_stride +
                               row * from.row_stride;
          float* d = grad.d_x_RPHD + r * op.width() + at;
          std::copy_n(d_out, op.depth, d);
          if (op.norm_D[part] != nullptr) {
            if (op.rope_SD != nullptr) turn(op.rope_SD + row * op.depth, op.depth, -1, d);
            const float* bias = op.bias_PHD != nullptr ? op.bias_PHD + at : nullptr;
            const float squares = biased(op.x_RPHD + r * op.width() + at, bias, op.depth, u);
            norm_grad(op, op.norm_D[part], u, squares, d, d_norm + at);
          }
          for_lanes(op.depth, [&](auto o, int64_t i) {
            o.store(o.add(o.load(d + i), o.load(d_bias + at + i)), d_bias + at + i);
          });
        }
      }
    }
  }
}

}  // namespace cleared::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cleared::kernels {
HWY_EXPORT(split_heads);
HWY_EXPORT(split_heads_grad);
void split_heads_cpu(const SplitHeads& op, int64_t first_chunk, int64_t end_chunk) {
  HWY_DYNAMIC_DISPATCH(split_heads)(op, first_chunk, end_chunk);
}
void split_heads_grad_cpu(const SplitHeadsGrad& op, int64_t first_chunk, int64_t end_chunk) {
  HWY_DYNAMIC_DISPATCH(split_heads_grad)(op, first_chunk, end_chunk);
}
}  // namespace cleared::kernels
#endif
