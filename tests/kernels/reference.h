// The kernels of a model as their formulas say, in double: what kernels/*.h promise and no faster.
#pragma once

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

namespace cleared::kernels::reference {

using Values = std::vector<double>;

inline std::vector<float> draw(int64_t n, uint32_t seed, float deviation = 1, float mean = 0) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(mean, deviation);
  std::vector<float> out(static_cast<size_t>(n));
  for (float& value : out) value = normal(random);
  return out;
}

inline Values exact(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

// R rows of N.
inline Values gelu(const Values& x_RN, const Values& bias_N) {
  Values out(x_RN.size());
  for (size_t i = 0; i < x_RN.size(); ++i) {
    const double u = x_RN[i] + bias_N[i % bias_N.size()];
    out[i] = 0.5 * u * (1 + std::tanh(std::sqrt(2 / M_PI) * (u + 0.044715 * u * u * u)));
  }
  return out;
}

// Q [B, H, S, D] to K and V [B, H, L, D]: out [B, S, H, D].
struct AttentionShape {
  size_t items, heads, queries, keys, depth;
};
inline Values attention(const AttentionShape& n, const Values& q, const Values& k,
                        const Values& v) {
  Values out(q.size());
  for (size_t r = 0; r < n.items * n.heads * n.queries; ++r) {
    const size_t pair = r / n.queries, row = r % n.queries;
    const size_t item = pair / n.heads, head = pair % n.heads;
    double* to = out.data() + ((item * n.queries + row) * n.heads + head) * n.depth;
    Values weights(n.keys);
    double sum = 0;
    for (size_t j = 0; j < n.keys; ++j) {
      double score = 0;
      for (size_t c = 0; c < n.depth; ++c) {
        score += q[r * n.depth + c] * k[(pair * n.keys + j) * n.depth + c];
      }
      sum += weights[j] = std::exp(score / std::sqrt(static_cast<double>(n.depth)));
    }
    for (size_t j = 0; j < n.keys; ++j) {
      for (size_t c = 0; c < n.depth; ++c) {
        to[c] += weights[j] / sum * v[(pair * n.keys + j) * n.depth + c];
      }
    }
  }
  return out;
}

struct NormShape {
  size_t items, rows, n;
  bool branch, bias, gate, shared;  // shared: one scale and shift for all items
  double offset, eps;
};

// sum and then out; parts that the shape leaves out are not read.
inline Values residual_norm(const NormShape& s, const Values& x, const Values& branch,
                            const Values& bias, const Values& gate, const Values& scale,
                            const Values& shift) {
  Values both(2 * x.size());
  for (size_t r = 0; r < s.items * s.rows; ++r) {
    const size_t item = r / s.rows, mod = s.shared ? 0 : item * s.n;
    double* sum = both.data() + r * s.n;
    double mean = 0, variance = 0;
    for (size_t i = 0; i < s.n; ++i) {
      double b = s.branch ? branch[r * s.n + i] : 0;
      if (s.bias) b += bias[i];
      sum[i] = x[r * s.n + i] + (s.gate ? gate[item * s.n + i] : 1) * b;
      mean += sum[i] / static_cast<double>(s.n);
    }
    for (size_t i = 0; i < s.n; ++i) {
      variance += (sum[i] - mean) * (sum[i] - mean) / static_cast<double>(s.n);
    }
    for (size_t i = 0; i < s.n; ++i) {
      const double normed = (sum[i] - mean) / std::sqrt(variance + s.eps);
      both[x.size() + r * s.n + i] = normed * (s.offset + scale[mod + i]) + shift[mod + i];
    }
  }
  return both;
}

struct HeadShape {
  size_t items, rows, heads, depth, parts;
  bool bias, norm, rope;  // norm: all parts but the last of three, or of two
  bool normed(size_t part) const { return norm && (parts == 1 || part + 1 < parts); }
};

// All parts one after the other, each [B, H, S, D]; norm_PD; rope_SD holds pairs (cos, sin).
inline Values split_heads(const HeadShape& s, const Values& x, const Values& bias,
                          const Values& norm_PD, const Values& rope_SD) {
  Values out(x.size());
  const size_t width = s.parts * s.heads * s.depth;
  for (size_t part = 0; part < s.parts; ++part) {
    for (size_t item = 0; item < s.items; ++item) {
      for (size_t head = 0; head < s.heads; ++head) {
        for (size_t row = 0; row < s.rows; ++row) {
          const size_t at = (part * s.heads + head) * s.depth;
          Values u(s.depth);
          double squares = 0;
          for (size_t i = 0; i < s.depth; ++i) {
            u[i] = x[(item * s.rows + row) * width + at + i] + (s.bias ? bias[at + i] : 0);
            squares += u[i] * u[i] / static_cast<double>(s.depth);
          }
          if (s.normed(part)) {
            for (size_t i = 0; i < s.depth; ++i) {
              u[i] *= norm_PD[part * s.depth + i] / std::sqrt(squares + 1e-6);
            }
          }
          for (size_t i = 0; s.normed(part) && s.rope && i < s.depth; i += 2) {
            const double cos = rope_SD[row * s.depth + i], sin = rope_SD[row * s.depth + i + 1];
            const double a = u[i], b = u[i + 1];
            u[i] = a * cos - b * sin;
            u[i + 1] = b * cos + a * sin;
          }
          for (size_t i = 0; i < s.depth; ++i) {
            out[(((part * s.items + item) * s.heads + head) * s.rows + row) * s.depth + i] = u[i];
          }
        }
      }
    }
  }
  return out;
}

}  // namespace cleared::kernels::reference
