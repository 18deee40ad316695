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

// Turns pairs by their angles (sign 1) or back (sign -1): n values. out may be x.
template <class T>
void turn(const float* rope, int64_t n, float sign, const float* x, T* out) {
  int64_t i = 0;
#if HWY_TARGET != HWY_SCALAR
  const Lanes o;
  const Lanes::D d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  for (; i + lanes <= n; i += lanes) {
    const auto angle = o.load(rope + i), was = o.load(x + i);
    const auto crossed = o.mul(hn::Reverse2(d, was), o.mul(hn::DupOdd(angle), o.set(sign)));
    const auto signed_cross = hn::OddEven(crossed, hn::Neg(crossed));
    o.store(o.fma(was, hn::DupEven(angle), signed_cross), out + i);
  }
#endif
  const OneLane one;
  for (; i < n; i += 2) {
    const float cos = rope[i], sin = sign * rope[i + 1], a = x[i], b = x[i + 1];
    one.store(one.fma(a, cos, -(b * sin)), out + i);
    one.store(one.fma(b, cos, a * sin), out + i + 1);
  }
}

// u = x + bias into `out`, and the sum of its squares.
template <class T, class To>
HWY_INLINE float biased(const T* x, const float* bias, int64_t n, To* out) {
  Sum squares;
  for_lanes(n, [&](auto o, int64_t i) {
    auto u = o.load(x + i);
    if (bias != nullptr) u = o.add(u, o.load(bias + i));
    squares.add_product(o, u, u);
    o.store(u, out + i);
  });
  return squares.total();
}

HWY_INLINE float rms_scale(float squares, int64_t depth, float eps) {
  return 1.0F / std::sqrt(squares / static_cast<float>(depth) + eps);
}

template <class To>
HWY_INLINE void scaled(const float* u, float scale, const float* norm, int64_t n, To* out) {
  for_lanes(n, [&](auto o, int64_t i) {
    o.store(o.mul(o.mul(o.load(u + i), o.set(scale)), o.load(norm + i)), out + i);
  });
}

template <class T>
void split_heads(const SplitHeads<T>& op, int64_t first_chunk, int64_t end_chunk) {
  std::vector<float> head_D(static_cast<size_t>(op.depth));
  float* u = head_D.data();
  const int64_t end = std::min(op.items * op.rows, end_chunk * kHeadChunk);
  for (int64_t r = first_chunk * kHeadChunk; r < end; ++r) {
    const int64_t item = r / op.rows, row = r % op.rows;
    for (int64_t part = 0; part < op.parts; ++part) {
      const float* norm = op.norm_D[part];
      for (int64_t head = 0; head < op.heads; ++head) {
        const int64_t at = (part * op.heads + head) * op.depth;
        const T* x = op.x_RPHD + r * op.width() + at;
        const float* bias = op.bias_PHD != nullptr ? op.bias_PHD + at : nullptr;
        T* out =
            op.out_BHSD[part] + item * op.item_stride + head * op.head_stride + row * op.row_stride;
        if (norm == nullptr) {
          biased(x, bias, op.depth, out);
          continue;
        }
        const float scale = rms_scale(biased(x, bias, op.depth, u), op.depth, op.eps);
        if (op.rope_SD == nullptr) {
          scaled(u, scale, norm, op.depth, out);
          continue;
        }
        scaled(u, scale, norm, op.depth, u);
        turn(op.rope_SD + row * op.depth, op.depth, 1, u, out);
      }
    }
  }
}

// The gradient `d` of y becomes that of u: norm and root mean square undone. `u` holds u.
HWY_INLINE void norm_grad(int64_t depth, float scale, const float* norm, const float* u, float* d,
                          float* d_norm) {
  Sum along;
  for_lanes(depth, [&](auto o, int64_t i) {
    const auto was = o.load(d + i), value = o.load(u + i);
    o.store(o.fma(o.mul(was, value), o.set(scale), o.load(d_norm + i)), d_norm + i);
    const auto weighted = o.mul(was, o.load(norm + i));
    along.add_product(o, weighted, value);
    o.store(weighted, d + i);
  });
  const float pull = along.total() * scale * scale / static_cast<float>(depth);
  for_lanes(depth, [&](auto o, int64_t i) {
    const auto centred = o.fnma(o.load(u + i), o.set(pull), o.load(d + i));
    o.store(o.mul(centred, o.set(scale)), d + i);
  });
}

template <class T>
void split_heads_grad(const SplitHeadsGrad<T>& grad, int64_t first_chunk, int64_t end_chunk) {
  const SplitHeads<T>& op = grad.forward;
  std::vector<float> heads_2D(static_cast<size_t>(2 * op.depth));
  float *u = heads_2D.data(), *d = u + op.depth;
  for (int64_t chunk = first_chunk; chunk < end_chunk; ++chunk) {
    float* d_bias = grad.d_parts_C2PHD + chunk * 2 * op.width();
    float* d_norm = d_bias + op.width();
    std::fill_n(d_bias, 2 * op.width(), 0.0F);
    const int64_t end = std::min(op.items * op.rows, (chunk + 1) * kHeadChunk);
    for (int64_t r = chunk * kHeadChunk; r < end; ++r) {
      const int64_t item = r / op.rows, row = r % op.rows;
      for (int64_t part = 0; part < op.parts; ++part) {
        const HeadGrad<T>& from = grad.d_out[part];
        const float* norm = op.norm_D[part];
        for (int64_t head = 0; head < op.heads; ++head) {
          const int64_t at = (part * op.heads + head) * op.depth;
          const T* d_out = from.d_out + item * from.item_stride + head * from.head_stride +
                           row * from.row_stride;
          for_lanes(op.depth, [&](auto o, int64_t i) { o.store(o.load(d_out + i), d + i); });
          if (norm != nullptr) {
            if (op.rope_SD != nullptr) turn(op.rope_SD + row * op.depth, op.depth, -1, d, d);
            const float* bias = op.bias_PHD != nullptr ? op.bias_PHD + at : nullptr;
            const float squares = biased(op.x_RPHD + r * op.width() + at, bias, op.depth, u);
            norm_grad(op.depth, rms_scale(squares, op.depth, op.eps), norm, u, d, d_norm + at);
          }
          T* d_x = grad.d_x_RPHD + r * op.width() + at;
          for_lanes(op.depth, [&](auto o, int64_t i) {
            o.store(o.load(d + i), d_x + i);
            o.store(o.add(o.load(d + i), o.load(d_bias + at + i)), d_bias + at + i);
          });
        }
      }
    }
  }
}

CLEARED_FOR_A_TARGET(split_heads, SplitHeads)
CLEARED_FOR_A_TARGET(split_heads_grad, SplitHeadsGrad)

}  // namespace cleared::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cleared::kernels {
CLEARED_FOR_ALL_TARGETS(split_heads, SplitHeads)
CLEARED_FOR_ALL_TARGETS(split_heads_grad, SplitHeadsGrad)
}  // namespace cleared::kernels
#endif
