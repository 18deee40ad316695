// The kernels of a transformer as functions of tensors with gradients: they check shapes, pick the
// half for the device and share the work among threads. What products and attention take and give
// is float32 or bfloat16, all else float32; any device that has a kernel. The results do not depend
// on the number of threads. Thread rule of autograd.
#pragma once

#include <functional>
#include <utility>
#include <vector>

#include "train/model/tensor.h"

namespace cleared::train {

// What a half of a block adds to the stream x: gate (value + bias).
struct Branch {
  Tensor value_BSN;  // undefined: nothing is added
  Tensor bias_N;     // undefined: none
  Tensor gate_BN;    // undefined: 1
};

// norm (offset + scale) + shift: [B, N] each and offset 1 for adaLN, [N] each and offset 0 for a
// LayerNorm with weight and bias.
struct Modulation {
  Tensor scale, shift;
  double offset = 0;
};

// (x + branch, the same normed and modulated): kernels/residual_norm.h. The latter is of type
// `out`, and so is what the branch adds.
std::pair<Tensor, Tensor> residual_norm(const Tensor& x_BSN, const Branch& branch,
                                        const Modulation& modulation, double eps,
                                        at::ScalarType out = at::kFloat);

// GELU (tanh form) of x + bias: kernels/gelu.h. bias is as wide as the last axis of x.
Tensor gelu(const Tensor& x, const Tensor& bias_N);

struct HeadOptions {
  int64_t heads = 1;
  double eps = 1e-6;
  std::vector<Tensor> norm_D;  // one a part; undefined: the part is passed on
  Tensor rope_SD;              // D / 2 pairs (cos, sin) a row, no gradient; undefined: none
};

// Parts of x + bias as [B, H, S, D], queries and keys normed and turned: kernels/split_heads.h.
// One result for each of norm_D.
std::vector<Tensor> split_heads(const Tensor& x_BSN, const Tensor& bias_N,
                                const HeadOptions& options);

// Softmax attention of queries [B, H, S, D] to keys and values [B, H, L, D] without a mask, heads
// side by side as the next product takes them: [B, S, H D]. On the CPU in float32 by
// kernels/attention.h, where D and L suit it; else LibTorch's.
Tensor attention(const Tensor& q_BHSD, const Tensor& k_BHLD, const Tensor& v_BHLD);

// What `run` makes of `inputs`, but keeping nothing else of it for the backward pass, which runs it
// once more: the same values and the same gradients, bit for bit. `weights` are what else it reads
// that wants a gradient. Its results must not be inputs. Chen and others, Training Deep Nets with
// Sublinear Memory Cost, 2016.
using Segment = std::function<std::vector<Tensor>(const std::vector<Tensor>& inputs)>;
std::vector<Tensor> recomputed(const Segment& run, const std::vector<Tensor>& inputs,
                               const std::vector<Tensor>& weights);

// Mean of (v - (noise - x))^2; a gradient flows to v alone: kernels/flow_mix.h.
Tensor flow_error(const Tensor& v, const Tensor& noise, const Tensor& x);

}  // namespace cleared::train
