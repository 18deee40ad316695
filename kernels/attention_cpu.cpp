#include <algorithm>
#include <cmath>
#include <cstring>

#include <hwy/aligned_allocator.h>

#include "kernels/attention.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace cleared::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using D = hn::CappedTag<float, kAttentionDepth>;
using V = hn::Vec<D>;
HWY_INLINE int64_t lanes() {
  return static_cast<int64_t>(hn::Lanes(D()));
}

// Sums of a tile stay in registers, of which AVX-512 has 32 and AVX2 16.
constexpr int kTileRows = HWY_TARGET <= HWY_AVX3 ? 8 : 4;
constexpr int64_t kQueries = 64;  // whose scores are in the cache at a time

// Numbers in memory: element (i, j) is at p[i * row + j * step].
struct Matrix {
  const float* p;
  int64_t row, step;
};

// keep(i, c, sum) of sum_k a(i, k) b(k, c ...), for kRows rows i and kColumns vectors of columns c.
template <int kRows, int kColumns, class Keep>
HWY_INLINE void tile(int64_t k, Matrix a, const float* b, int64_t b_row, const Keep& keep) {
  const D d;
  const int64_t n = lanes();
  V sum[kRows][kColumns];
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
    for (int c = 0; c < kColumns; ++c) sum[i][c] = hn::Zero(d);
  }
  for (; k > 0; --k, a.p += a.step, b += b_row) {
    V of_b[kColumns];
#pragma GCC unroll 2
    for (int c = 0; c < kColumns; ++c) of_b[c] = hn::LoadU(d, b + c * n);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      const V of_a = hn::Set(d, a.p[i * a.row]);
#pragma GCC unroll 2
      for (int c = 0; c < kColumns; ++c) sum[i][c] = hn::MulAdd(of_a, of_b[c], sum[i][c]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
    for (int c = 0; c < kColumns; ++c) keep(i, c * n, sum[i][c]);
  }
}

// The same for any number of rows.
template <int kColumns, class Keep>
HWY_INLINE void tiles(int64_t rows, int64_t k, Matrix a, const float* b, int64_t b_row,
                      const Keep& keep) {
  int64_t i = 0;
  const auto some = [&](auto count) {
    constexpr int kRows = decltype(count)::value;
    for (; i + kRows <= rows; i += kRows) {
      tile<kRows, kColumns>(k, {a.p + i * a.row, a.row, a.step}, b, b_row,
                            [&](int64_t of, int64_t c, V sum) { keep(i + of, c, sum); });
    }
  };
  some(std::integral_constant<int, kTileRows>());
  some(std::integral_constant<int, 4>());
  some(std::integral_constant<int, 2>());
  some(std::integral_constant<int, 1>());
}

// The product of a [rows, k] and b [k, columns] row by row: keep(i, c, sum).
template <class Keep>
HWY_INLINE void multiply(int64_t rows, int64_t k, int64_t columns, Matrix a, const float* b,
                         int64_t b_row, const Keep& keep) {
  int64_t c = 0;
  const auto kept = [&](int64_t i, int64_t of, V sum) { keep(i, c + of, sum); };
  for (; c + 2 * lanes() <= columns; c += 2 * lanes()) tiles<2>(rows, k, a, b + c, b_row, kept);
  for (; c < columns; c += lanes()) tiles<1>(rows, k, a, b + c, b_row, kept);
}

// x [rows, depth] on its side: panels of 2 lanes() rows, each [depth, 2 lanes()]; zeros after the
// last row.
HWY_INLINE void lay(const float* x, int64_t rows, int64_t depth, float* out) {
  const int64_t width = 2 * lanes();
  for (int64_t first = 0; first < rows; first += width, out += width * depth) {
    int64_t i = 0;
#if HWY_TARGET != HWY_SCALAR
    const hn::FixedTag<float, 4> four;
    for (; i + 4 <= std::min(width, rows - first); i += 4) {
      const float* row = x + (first + i) * depth;
      for (int64_t k = 0; k < depth; k += 4) {
        const auto a = hn::LoadU(four, row + k), b = hn::LoadU(four, row + depth + k),
                   c = hn::LoadU(four, row + 2 * depth + k),
                   e = hn::LoadU(four, row + 3 * depth + k);
        const auto even = hn::InterleaveLower(four, a, c), odd = hn::InterleaveLower(four, b, e);
        const auto even2 = hn::InterleaveUpper(four, a, c), odd2 = hn::InterleaveUpper(four, b, e);
        float* to = out + k * width + i;
        hn::StoreU(hn::InterleaveLower(four, even, odd), four, to);
        hn::StoreU(hn::InterleaveUpper(four, even, odd), four, to + width);
        hn::StoreU(hn::InterleaveLower(four, even2, odd2), four, to + 2 * width);
        hn::StoreU(hn::InterleaveUpper(four, even2, odd2), four, to + 3 * width);
      }
    }
#endif
    for (; i < width; ++i) {
      const float* row = x + (first + i) * depth;
      for (int64_t k = 0; k < depth; ++k) out[k * width + i] = first + i < rows ? row[k] : 0;
    }
  }
}

// The product of a [rows, depth] and what lay() made of `columns` rows.
template <class Keep>
HWY_INLINE void multiply_laid(int64_t rows, int64_t depth, int64_t columns, Matrix a,
                              const float* laid, const Keep& keep) {
  for (int64_t first = 0; first < columns; first += 2 * lanes()) {
    tiles<2>(rows, depth, a, laid + first * depth, 2 * lanes(),
             [&](int64_t i, int64_t c, V sum) { keep(i, first + c, sum); });
  }
}

// exp(x) for x <= 0 or a little more: 2^n times a polynomial of what is left, within a few units in
// the last place. Nearly 0 below float's exponents; NaN stays NaN, which Max's second argument
// does.
HWY_INLINE V exp_of(V x) {
  const D d;
  const hn::RebindToSigned<D> bits;
  const V y = hn::Max(hn::Set(d, -127.0F), hn::Mul(x, hn::Set(d, 1.44269504F)));
  const V n = hn::Round(y);
  const V f = hn::Sub(y, n);
  V p = hn::Set(d, 1.54035304e-4F);
  p = hn::MulAdd(p, f, hn::Set(d, 1.33335581e-3F));
  p = hn::MulAdd(p, f, hn::Set(d, 9.61812911e-3F));
  p = hn::MulAdd(p, f, hn::Set(d, 5.55041087e-2F));
  p = hn::MulAdd(p, f, hn::Set(d, 2.40226507e-1F));
  p = hn::MulAdd(p, f, hn::Set(d, 6.93147181e-1F));
  p = hn::MulAdd(p, f, hn::Set(d, 1.0F));
  const auto power = hn::ShiftLeft<23>(hn::Add(hn::ConvertTo(bits, n), hn::Set(bits, 127)));
  return hn::Mul(p, hn::BitCast(d, power));
}

// What one pair needs beside its arguments.
class Room {
 public:
  Room(int64_t queries, int64_t keys, int64_t depth, int parts)
      : width((keys + 2 * lanes() - 1) / (2 * lanes()) * 2 * lanes()),
        row(width + kAttentionDepth),  // so that rows do not meet in the same lines of the cache
        panels_(parts * width * depth),
        scores_(parts * std::min(queries, kQueries) * row) {
    const auto size = static_cast<size_t>(panels_ + scores_);
    if (size > size_) {
      floats_ = hwy::AllocateAligned<float>(size);
      size_ = size;
    }
    parts_ = parts;
  }
  float* panels(int part) { return floats_.get() + part * panels_ / parts_; }
  float* scores(int part) { return floats_.get() + panels_ + part * scores_ / parts_; }

  const int64_t width;  // keys, padded
  const int64_t row;    // from one query's scores to the next

 private:
  const int64_t panels_, scores_;
  int parts_;
  static thread_local hwy::AlignedFreeUniquePtr<float[]> floats_;
  static thread_local size_t size_;
};
thread_local hwy::AlignedFreeUniquePtr<float[]> Room::floats_;
thread_local size_t Room::size_ = 0;

// Scores of a row become exp(scale (score - greatest)), and 0 after the last: their sum, and the
// greatest times scale.
HWY_INLINE float exp_row(float scale, int64_t keys, int64_t width, float* row, float* greatest) {
  const D d;
  const int64_t n = lanes();
  for (int64_t j = keys; j < width; ++j) row[j] = row[keys - 1];
  V most = hn::LoadU(d, row);
  for (int64_t j = n; j < width; j += n) most = hn::Max(most, hn::LoadU(d, row + j));
  *greatest = hn::GetLane(hn::MaxOfLanes(d, most)) * scale;
  const V times = hn::Set(d, scale), less = hn::Set(d, *greatest);
  V sum = hn::Zero(d);
  for (int64_t j = 0; j < width; j += n) {
    V e = exp_of(hn::MulSub(hn::LoadU(d, row + j), times, less));
    if (j + n > keys)
      e = hn::IfThenElseZero(hn::FirstN(d, keys > j ? static_cast<size_t>(keys - j) : 0), e);
    hn::StoreU(e, d, row + j);
    sum = hn::Add(sum, e);
  }
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

void attend(const Attention& op, int64_t first_pair, int64_t end_pair) {
  const D d;
  const int64_t s = op.queries, l = op.keys, depth = op.depth, out_row = op.heads * depth;
  Room room(s, l, depth, 1);
  float* const scores = room.scores(0);
  for (int64_t pair = first_pair; pair < end_pair; ++pair) {
    const int64_t item = pair / op.heads, head = pair % op.heads;
    lay(op.k_BHLD + pair * l * depth, l, depth, room.panels(0));
    for (int64_t first = 0; first < s; first += kQueries) {
      const int64_t rows = std::min(kQueries, s - first);
      const float* q = op.q_BHSD + (pair * s + first) * depth;
      multiply_laid(
          rows, depth, room.width, {q, depth, 1}, room.panels(0),
          [&](int64_t i, int64_t j, V sum) { hn::StoreU(sum, d, scores + i * room.row + j); });
      float shares[kQueries];
      for (int64_t i = 0; i < rows; ++i) {
        float greatest = 0;
        const float sum = exp_row(op.scale, l, room.width, scores + i * room.row, &greatest);
        shares[i] = 1 / sum;
        op.log_sums_BHS[pair * s + first + i] = greatest + std::log(sum);
      }
      float* out = op.out_BSHD + (item * s + first) * out_row + head * depth;
      multiply(rows, l, depth, {scores, room.row, 1}, op.v_BHLD + pair * l * depth, depth,
               [&](int64_t i, int64_t c, V sum) {
                 hn::StoreU(hn::Mul(sum, hn::Set(d, shares[i])), d, out + i * out_row + c);
               });
    }
  }
}

void attend_grad(const AttentionGrad& grad, int64_t first_pair, int64_t end_pair) {
  const D d;
  const Attention& op = grad.forward;
  const int64_t s = op.queries, l = op.keys, depth = op.depth, out_row = op.heads * depth;
  Room room(s, l, depth, 2);
  float *const p = room.scores(0), *const d_scores = room.scores(1);
  for (int64_t pair = first_pair; pair < end_pair; ++pair) {
    const int64_t item = pair / op.heads, head = pair % op.heads;
    const float *k = op.k_BHLD + pair * l * depth, *v = op.v_BHLD + pair * l * depth;
    float *d_k = grad.d_k_BHLD + pair * l * depth, *d_v = grad.d_v_BHLD + pair * l * depth;
    std::fill_n(d_k, l * depth, 0.0F);
    std::fill_n(d_v, l * depth, 0.0F);
    lay(k, l, depth, room.panels(0));
    lay(v, l, depth, room.panels(1));
    for (int64_t first = 0; first < s; first += kQueries) {
      const int64_t rows = std::min(kQueries, s - first);
      const int64_t out_at = (item * s + first) * out_row + head * depth;
      const float* q = op.q_BHSD + (pair * s + first) * depth;
      const float* d_out = grad.d_out_BSHD + out_at;
      const float* log_sums = op.log_sums_BHS + pair * s + first;
      float pulls[kQueries];  // sum_j P_ij dP_ij, which is d_out . out
      for (int64_t i = 0; i < rows; ++i) {
        V sum = hn::Zero(d);
        for (int64_t c = 0; c < depth; c += lanes()) {
          sum = hn::MulAdd(hn::LoadU(d, d_out + i * out_row + c),
                           hn::LoadU(d, op.out_BSHD + out_at + i * out_row + c), sum);
        }
        pulls[i] = hn::GetLane(hn::SumOfLanes(d, sum));
      }
      multiply_laid(rows, depth, room.width, {q, depth, 1}, room.panels(0),
                    [&](int64_t i, int64_t j, V sum) {
                      const V x = hn::MulSub(sum, hn::Set(d, op.scale), hn::Set(d, log_sums[i]));
                      hn::StoreU(exp_of(x), d, p + i * room.row + j);
                    });
      multiply_laid(rows, depth, room.width, {d_out, out_row, 1}, room.panels(1),
                    [&](int64_t i, int64_t j, V sum) {
                      const V share = hn::LoadU(d, p + i * room.row + j);
                      const V away =
                          hn::Mul(hn::Sub(sum, hn::Set(d, pulls[i])), hn::Set(d, op.scale));
                      hn::StoreU(hn::Mul(share, away), d, d_scores + i * room.row + j);
                    });
      float* d_q = grad.d_q_BHSD + (pair * s + first) * depth;
      multiply(rows, l, depth, {d_scores, room.row, 1}, k, depth,
               [&](int64_t i, int64_t c, V sum) { hn::StoreU(sum, d, d_q + i * depth + c); });
      const auto add_to = [&](float* to) {
        return [=](int64_t j, int64_t c, V sum) {
          float* at = to + j * depth + c;
          hn::StoreU(hn::Add(hn::LoadU(d, at), sum), d, at);
        };
      };
      multiply(l, rows, depth, {p, 1, room.row}, d_out, out_row, add_to(d_v));
      multiply(l, rows, depth, {d_scores, 1, room.row}, q, depth, add_to(d_k));
    }
  }
}

}  // namespace cleared::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cleared::kernels {
HWY_EXPORT(attend);
HWY_EXPORT(attend_grad);
void attention_cpu(const Attention& op, int64_t first_pair, int64_t end_pair) {
  HWY_DYNAMIC_DISPATCH(attend)(op, first_pair, end_pair);
}
void attention_grad_cpu(const AttentionGrad& op, int64_t first_pair, int64_t end_pair) {
  HWY_DYNAMIC_DISPATCH(attend_grad)(op, first_pair, end_pair);
}
}  // namespace cleared::kernels
#endif
