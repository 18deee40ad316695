#include "kernels/block_sum.cuh"
#include "kernels/split_heads.h"

namespace cleared::kernels {
namespace device {

// One head of one part of one row, for one warp; a lane has pairs of neighbours.
struct Head {
  int64_t x;   // its first value in x_RPHD
  int64_t at;  // and in bias_PHD
  int64_t item, row, head;
  int part;
};

static __device__ Head head_of(const SplitHeads& op, int64_t r, int64_t which) {
  Head h;
  h.at = which * op.depth;
  h.x = r * op.width() + h.at;
  h.item = r / op.rows;
  h.row = r % op.rows;
  h.part = static_cast<int>(which / op.heads);
  h.head = which % op.heads;
  return h;
}

static __device__ float warp_sum(float value) {
  for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffU, value, step);
  return value;
}

static __device__ float biased(const SplitHeads& op, const Head& h, int64_t i) {
  return op.x_RPHD[h.x + i] + (op.bias_PHD != nullptr ? op.bias_PHD[h.at + i] : 0.0F);
}

static __device__ float rms_scale(const SplitHeads& op, const Head& h, int lane) {
  float squares = 0;
  for (int64_t i = lane; i < op.depth; i += 32) {
    const float u = biased(op, h, i);
    squares = fmaf(u, u, squares);
  }
  return 1.0F / sqrtf(warp_sum(squares) / static_cast<float>(op.depth) + op.eps);
}

static __global__ void split_heads(SplitHeads op) {
  const int lane = threadIdx.x % 32;
  for (int64_t which = threadIdx.x / 32; which < op.parts * op.heads; which += kThreads / 32) {
    const Head h = head_of(op, blockIdx.x, which);
    const float* norm = op.norm_D[h.part];
    float* out = op.out_BHSD[h.part] + ((h.item * op.heads + h.head) * op.rows + h.row) * op.depth;
    const float scale = norm != nullptr ? rms_scale(op, h, lane) : 1.0F;
    for (int64_t i = 2 * lane; i < op.depth; i += 64) {
      float a = biased(op, h, i), b = biased(op, h, i + 1);
      if (norm != nullptr) {
        a = a * scale * norm[i], b = b * scale * norm[i + 1];
        if (op.rope_SD != nullptr) {
          const float cos = op.rope_SD[h.row * op.depth + i];
          const float sin = op.rope_SD[h.row * op.depth + i + 1];
          const float turned = fmaf(a, cos, -(b * sin));
          b = fmaf(b, cos, a * sin);
          a = turned;
        }
      }
      out[i] = a, out[i + 1] = b;
    }
  }
}

static __device__ void grad_head(const SplitHeadsGrad& grad, const Head& h, int lane, float* d_bias,
                                 float* d_norm) {
  const SplitHeads& op = grad.forward;
  const float* norm = op.norm_D[h.part];
  const HeadGrad& from = grad.d_out[h.part];
  const float* d_out =
      from.d_out + h.item * from.item_stride + h.head * from.head_stride + h.row * from.row_stride;
  const float scale = norm != nullptr ? rms_scale(op, h, lane) : 1.0F;
  float along = 0;
  for (int64_t i = 2 * lane; i < op.depth; i += 64) {
    float a = d_out[i], b = d_out[i + 1];
    if (norm != nullptr) {
      if (op.rope_SD != nullptr) {
        const float cos = op.rope_SD[h.row * op.depth + i];
        const float sin = op.rope_SD[h.row * op.depth + i + 1];
        const float turned = fmaf(a, cos, b * sin);
        b = fmaf(b, cos, -(a * sin));
        a = turned;
      }
      const float u = biased(op, h, i), v = biased(op, h, i + 1);
      d_norm[i] = fmaf(a * u, scale, d_norm[i]);
      d_norm[i + 1] = fmaf(b * v, scale, d_norm[i + 1]);
      a *= norm[i], b *= norm[i + 1];
      along = fmaf(a, u, fmaf(b, v, along));
    }
    grad.d_x_RPHD[h.x + i] = a, grad.d_x_RPHD[h.x + i + 1] = b;
  }
  const float pull = warp_sum(along) * scale * scale / static_cast<float>(op.depth);
  for (int64_t pair = 2 * lane; pair < op.depth; pair += 64) {
    for (int64_t i = pair; i < pair + 2; ++i) {  // its own lane wrote it
      float& d = grad.d_x_RPHD[h.x + i];
      if (norm != nullptr) d = fmaf(-biased(op, h, i), pull, d) * scale;
      d_bias[i] += d;
    }
  }
}

// A block has one chunk of rows. A warp takes the same heads of every row, so nobody else adds to
// their parts.
static __global__ void split_heads_grad(SplitHeadsGrad grad) {
  const SplitHeads& op = grad.forward;
  const int lane = threadIdx.x % 32;
  const int64_t first = int64_t{blockIdx.x} * kHeadChunk, all = op.items * op.rows;
  const int64_t end = first + kHeadChunk < all ? first + kHeadChunk : all;
  for (int64_t which = threadIdx.x / 32; which < op.parts * op.heads; which += kThreads / 32) {
    float* d_bias = grad.d_parts_C2PHD + int64_t{blockIdx.x} * 2 * op.width() + which * op.depth;
    float* d_norm = d_bias + op.width();
    for (int64_t i = 2 * lane; i < op.depth; i += 64) {
      d_bias[i] = d_bias[i + 1] = d_norm[i] = d_norm[i + 1] = 0;
    }
    for (int64_t r = first; r < end; ++r) {
      grad_head(grad, head_of(op, r, which), lane, d_bias, d_norm);
    }
  }
}

}  // namespace device

void split_heads_cuda(const SplitHeads& op, Stream stream) {
  const auto rows = static_cast<unsigned>(op.items * op.rows);
  device::split_heads<<<rows, device::kThreads, 0, stream>>>(op);
}

void split_heads_grad_cuda(const SplitHeadsGrad& op, Stream stream) {
  const auto chunks = static_cast<unsigned>(op.forward.chunks());
  device::split_heads_grad<<<chunks, device::kThreads, 0, stream>>>(op);
}

}  // namespace cleared::kernels
