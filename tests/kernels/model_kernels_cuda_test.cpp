// Both halves of each kernel of a model on the same random input. Built by the cuda preset; skips
// aloud without a GPU. What the CPU halves do is checked in model_kernels_test.cpp.
#include <functional>
#include <memory>
#include <vector>

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include "kernels/adamw.h"
#include "kernels/flow_mix.h"
#include "kernels/gelu.h"
#include "kernels/residual_norm.h"
#include "kernels/split_heads.h"
#include "tests/kernels/reference.h"

namespace cleared::kernels {
namespace {

using reference::draw;

// Arrays that the host and the device both see, so that one operation can be given to either half.
class Arrays {
 public:
  ~Arrays() {
    for (void* data : all_) cudaFree(data);
  }
  template <class T = float>
  T* make(int64_t count) {
    void* data = nullptr;
    EXPECT_EQ(cudaMallocManaged(&data, static_cast<size_t>(count) * sizeof(T)), cudaSuccess);
    all_.push_back(data);
    return static_cast<T*>(data);
  }
  float* filled(int64_t count, uint32_t seed, float deviation = 1) {
    float* data = make(count);
    const auto values = draw(count, seed, deviation);
    std::copy(values.begin(), values.end(), data);
    return data;
  }

 private:
  std::vector<void*> all_;
};

template <class T>
void expect_equal(const T* got, const T* want, int64_t count, double tolerance, const char* what) {
  for (int64_t i = 0; i < count; ++i) {
    ASSERT_NEAR(got[i], want[i], tolerance * (1 + std::fabs(want[i]))) << what << " at " << i;
  }
}

class ModelKernelsCuda : public ::testing::Test {
 protected:
  void SetUp() override {
    int devices = 0;
    if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
      GTEST_SKIP() << "no CUDA device: the device halves were compiled and not run";
    }
  }
  static void wait() { ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess); }
  Arrays a;
};

TEST_F(ModelKernelsCuda, Gelu) {
  const int64_t rows = 77, n = 301, count = rows * n;
  Gelu op{rows, n, a.filled(count, 1, 3), a.filled(n, 2), a.make(count)};
  GeluGrad grad{op, a.filled(count, 3), a.make(count), a.make(op.chunks() * n)};
  Gelu host = op;
  host.out_RN = a.make(count);
  GeluGrad host_grad{host, grad.d_out_RN, a.make(count), a.make(op.chunks() * n)};
  gelu_cuda(op, nullptr);
  gelu_grad_cuda(grad, nullptr);
  wait();
  gelu_cpu(host, 0, host.chunks());
  gelu_grad_cpu(host_grad, 0, host.chunks());
  expect_equal(op.out_RN, host.out_RN, count, 2e-6, "out");
  expect_equal(grad.d_x_RN, host_grad.d_x_RN, count, 2e-6, "x");
  expect_equal(grad.d_bias_CN, host_grad.d_bias_CN, op.chunks() * n, 1e-5, "bias");
}

TEST_F(ModelKernelsCuda, ResidualNorm) {
  const int64_t items = 3, rows = 41, n = 200, count = items * rows * n;
  for (const bool gated : {true, false}) {
    ResidualNorm op{.items = items,
                    .rows = rows,
                    .n = n,
                    .x_RN = a.filled(count, 1),
                    .branch_RN = a.filled(count, 2),
                    .branch_bias_N = a.filled(n, 3),
                    .gate_BN = gated ? a.filled(items * n, 4) : nullptr,
                    .scale_BN = a.filled(items * n, 5),
                    .shift_BN = a.filled(items * n, 6),
                    .gate_stride = n,
                    .mod_stride = gated ? n : 0,
                    .scale_offset = gated ? 1.0F : 0.0F,
                    .eps = 1e-6F,
                    .sum_RN = a.make(count),
                    .out_RN = a.make(count),
                    .mean_R = a.make(items * rows),
                    .scatter_R = a.make(items * rows)};
    ResidualNorm host = op;
    host.sum_RN = a.make(count);
    host.out_RN = a.make(count);
    host.mean_R = a.make(items * rows);
    host.scatter_R = a.make(items * rows);
    const float *d_sum = a.filled(count, 7), *d_out = a.filled(count, 8);
    const auto gradient = [&](const ResidualNorm& of) {
      return ResidualNormGrad{of,
                              d_sum,
                              d_out,
                              a.make(count),
                              gated ? a.make(count) : nullptr,
                              a.make(of.chunks() * 4 * n)};
    };
    residual_norm_cuda(op, nullptr);
    const ResidualNormGrad grad = gradient(op), host_grad = gradient(host);
    residual_norm_grad_cuda(grad, nullptr);
    wait();
    residual_norm_cpu(host, 0, host.chunks());
    residual_norm_grad_cpu(host_grad, 0, host.chunks());
    expect_equal(op.sum_RN, host.sum_RN, count, 1e-6, "sum");
    expect_equal(op.out_RN, host.out_RN, count, 5e-6, "out");
    expect_equal(grad.d_x_RN, host_grad.d_x_RN, count, 1e-5, "x");
    if (gated) expect_equal(grad.d_branch_RN, host_grad.d_branch_RN, count, 1e-5, "branch");
    expect_equal(grad.d_parts_C4N, host_grad.d_parts_C4N, op.chunks() * 4 * n, 3e-5, "parts");
  }
}

TEST_F(ModelKernelsCuda, SplitHeads) {
  const int64_t items = 2, rows = 45, heads = 3, depth = 44, part = items * rows * heads * depth;
  SplitHeads op{.items = items,
                .rows = rows,
                .heads = heads,
                .depth = depth,
                .parts = 3,
                .x_RPHD = a.filled(3 * part, 1),
                .bias_PHD = a.filled(3 * heads * depth, 2),
                .norm_D = {a.filled(depth, 3), a.filled(depth, 4), nullptr},
                .rope_SD = a.filled(rows * depth, 5),
                .eps = 1e-6F,
                .out_BHSD = {a.make(part), a.make(part), a.make(part)}};
  SplitHeads host = op;
  for (float*& out : host.out_BHSD) out = a.make(part);
  SplitHeadsGrad grad{op, {}, a.make(3 * part), a.make(op.chunks() * 2 * op.width())};
  for (uint32_t i = 0; i < 3; ++i) {
    grad.d_out[i] = {a.filled(part, 6 + i), rows * heads * depth, depth, heads * depth};
  }
  SplitHeadsGrad host_grad = grad;
  host_grad.d_x_RPHD = a.make(3 * part);
  host_grad.d_parts_C2PHD = a.make(op.chunks() * 2 * op.width());
  split_heads_cuda(op, nullptr);
  split_heads_grad_cuda(grad, nullptr);
  wait();
  split_heads_cpu(host, 0, host.chunks());
  split_heads_grad_cpu(host_grad, 0, host.chunks());
  for (int i = 0; i < 3; ++i) {
    expect_equal(op.out_BHSD[i], host.out_BHSD[i], part, 3e-6, "out");
  }
  expect_equal(grad.d_x_RPHD, host_grad.d_x_RPHD, 3 * part, 1e-5, "x");
  expect_equal(grad.d_parts_C2PHD, host_grad.d_parts_C2PHD, op.chunks() * 2 * op.width(), 3e-5,
               "parts");
}

TEST_F(ModelKernelsCuda, FlowLoss) {
  const int64_t m = 2 * kFlowChunk + 9;
  FlowLoss op{a.filled(m, 1), a.filled(m, 2), a.filled(m, 3), a.make(m), a.make<double>(3), m};
  FlowLoss host = op;
  host.error_M = a.make(m);
  host.squares_C = a.make<double>(3);
  flow_loss_cuda(op, nullptr);
  wait();
  flow_loss_cpu(host, 0, host.chunks());
  expect_equal(op.error_M, host.error_M, m, 1e-6, "error");
  expect_equal(op.squares_C, host.squares_C, host.chunks(), 1e-5, "squares");
}

TEST_F(ModelKernelsCuda, AdamWAndSquares) {
  const int64_t m = 2 * kSquaresChunk + 5;
  AdamWPass op{{.scale = 0.5F,
                .beta1 = 0.9F,
                .beta2 = 0.95F,
                .keep = 0.99F,
                .rate = 0.01F,
                .root = 0.8F,
                .eps = 1e-8F,
                .follow = 0.1F},
               a.filled(m, 1),
               a.filled(m, 2),
               a.filled(m, 3),
               a.make(m),
               a.filled(m, 5),
               m};
  AdamWPass host = op;
  host.p_M = a.filled(m, 2);
  host.m_M = a.filled(m, 3);
  host.v_M = a.make(m);
  host.ema_M = a.filled(m, 5);
  for (int64_t i = 0; i < m; ++i) op.v_M[i] = host.v_M[i] = 0.01F * op.grad_M[i] * op.grad_M[i];
  Squares squares{op.grad_M, a.make<double>(3), m};
  Squares host_squares{op.grad_M, a.make<double>(3), m};
  adamw_cuda(op, nullptr);
  squares_cuda(squares, nullptr);
  wait();
  adamw_cpu(host, 0, m);
  squares_cpu(host_squares, 0, host_squares.chunks());
  expect_equal(op.p_M, host.p_M, m, 1e-6, "weights");
  expect_equal(op.m_M, host.m_M, m, 1e-6, "first moment");
  expect_equal(op.v_M, host.v_M, m, 1e-6, "second moment");
  expect_equal(op.ema_M, host.ema_M, m, 1e-6, "average");
  expect_equal(squares.sum_C, host_squares.sum_C, squares.chunks(), 1e-5, "squares");
}

}  // namespace
}  // namespace cleared::kernels
