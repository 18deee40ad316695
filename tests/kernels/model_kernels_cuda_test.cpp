// Both halves of each kernel of a model on the same random input. Built by the cuda preset; skips
// aloud without a GPU. What the CPU halves do is checked in model_kernels_test.cpp.
#include <functional>
#include <type_traits>
#include <vector>

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include "kernels/adamw.h"
#include "kernels/flow_mix.h"
#include "kernels/gelu.h"
#include "kernels/lanes.h"
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
  template <class T = float>
  T* filled(int64_t count, uint32_t seed, float deviation = 1) {
    T* data = make<T>(count);
    for (const float value : draw(count, seed, deviation)) OneLane().store(value, data++);
    return data - count;
  }

 private:
  std::vector<void*> all_;
};

double value_of(double x) {
  return x;
}
double value_of(Bf16 x) {
  return to_float(x);
}

template <class T>
void expect_equal(const T* got, const T* want, int64_t count, double tolerance, const char* what) {
  for (int64_t i = 0; i < count; ++i) {
    const double expected = value_of(want[i]);
    ASSERT_NEAR(value_of(got[i]), expected, tolerance * (1 + std::fabs(expected)))
        << what << " at " << i;
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

// Two roundings of one value, or of two that differ by the tolerance of floats, are at most a unit
// in the last place apart: 2^-7 of it.
template <class T>
constexpr double kLast = std::is_same_v<T, float> ? 0 : 1.0 / 128;

template <class T>
class OfEachType : public ModelKernelsCuda {};
using Types = ::testing::Types<float, Bf16>;
TYPED_TEST_SUITE(OfEachType, Types);

TYPED_TEST(OfEachType, Gelu) {
  using T = TypeParam;
  auto& memory = this->a;
  for (const int64_t n : {301, 2052}) {
    const int64_t rows = 77, count = rows * n;
    Gelu<T> op{rows, n, memory.template filled<T>(count, 1, 3), memory.filled(n, 2),
               memory.template make<T>(count)};
    GeluGrad<T> grad{op, memory.template filled<T>(count, 3), memory.template make<T>(count),
                     memory.make(op.chunks() * n)};
    Gelu<T> host = op;
    host.out_RN = memory.template make<T>(count);
    GeluGrad<T> host_grad{host, grad.d_out_RN, memory.template make<T>(count),
                          memory.make(op.chunks() * n)};
    gelu_cuda(op, nullptr);
    gelu_grad_cuda(grad, nullptr);
    this->wait();
    gelu_cpu(host, 0, host.chunks());
    gelu_grad_cpu(host_grad, 0, host.chunks());
    expect_equal(op.out_RN, host.out_RN, count, 2e-6 + kLast<T>, "out");
    expect_equal(grad.d_x_RN, host_grad.d_x_RN, count, 2e-6 + kLast<T>, "x");
    expect_equal(grad.d_bias_CN, host_grad.d_bias_CN, op.chunks() * n, 1e-5, "bias");
  }
}

TYPED_TEST(OfEachType, ResidualNorm) {
  using T = TypeParam;
  auto& memory = this->a;
  struct Case {
    int64_t items, rows, n;
    bool branch, gated;
  };
  // Narrow and wide, with and without neighbours that can be read at once; more than a block of
  // threads.
  const Case cases[] = {{3, 41, 200, true, true},   {3, 41, 200, true, false},
                        {1, 5, 33, true, true},     {2, 37, 768, true, true},
                        {2, 37, 768, false, false}, {1, 3, 5120, true, true}};
  for (const Case& c : cases) {
    const int64_t items = c.items, rows = c.rows, n = c.n, count = items * rows * n;
    ResidualNorm<T> op{.items = items,
                       .rows = rows,
                       .n = n,
                       .x_RN = memory.filled(count, 1),
                       .branch_RN = c.branch ? memory.template filled<T>(count, 2) : nullptr,
                       .branch_bias_N = c.branch ? memory.filled(n, 3) : nullptr,
                       .gate_BN = c.gated ? memory.filled(items * n, 4) : nullptr,
                       .scale_BN = memory.filled(items * n, 5),
                       .shift_BN = memory.filled(items * n, 6),
                       .gate_stride = n,
                       .mod_stride = c.gated ? n : 0,
                       .scale_offset = c.gated ? 1.0F : 0.0F,
                       .eps = 1e-6F,
                       .sum_RN = memory.make(count),
                       .out_RN = memory.template make<T>(count),
                       .mean_R = memory.make(items * rows),
                       .scatter_R = memory.make(items * rows)};
    ResidualNorm<T> host = op;
    host.sum_RN = memory.make(count);
    host.out_RN = memory.template make<T>(count);
    host.mean_R = memory.make(items * rows);
    host.scatter_R = memory.make(items * rows);
    const float* d_sum = c.branch ? memory.filled(count, 7) : nullptr;
    const T* d_out = memory.template filled<T>(count, 8);
    const bool own = c.branch && (c.gated || !std::is_same_v<T, float>);
    const auto gradient = [&](const ResidualNorm<T>& of) {
      return ResidualNormGrad<T>{of,
                                 d_sum,
                                 d_out,
                                 memory.make(count),
                                 own ? memory.template make<T>(count) : nullptr,
                                 memory.make(of.chunks() * 4 * n)};
    };
    residual_norm_cuda(op, nullptr);
    this->wait();
    residual_norm_cpu(host, 0, host.chunks());
    if (c.branch) expect_equal(op.sum_RN, host.sum_RN, count, 1e-6, "sum");
    expect_equal(op.out_RN, host.out_RN, count, 5e-6 + kLast<T>, "out");
    if (!c.branch) op.sum_RN = host.sum_RN = const_cast<float*>(op.x_RN);
    const ResidualNormGrad<T> grad = gradient(op), host_grad = gradient(host);
    residual_norm_grad_cuda(grad, nullptr);
    this->wait();
    residual_norm_grad_cpu(host_grad, 0, host.chunks());
    expect_equal(grad.d_x_RN, host_grad.d_x_RN, count, 1e-5, "x");
    if (own) {
      expect_equal(grad.d_branch_RN, host_grad.d_branch_RN, count, 1e-5 + kLast<T>, "branch");
    }
    expect_equal(grad.d_parts_C4N, host_grad.d_parts_C4N, op.chunks() * 4 * n, 3e-5, "parts");
  }
}

TYPED_TEST(OfEachType, SplitHeads) {
  using T = TypeParam;
  auto& memory = this->a;
  for (const int64_t depth : {22, 44, 64, 128, 200}) {
    const int64_t items = 2, rows = 45, heads = 3, part = items * rows * heads * depth;
    SplitHeads<T> op{.items = items,
                     .rows = rows,
                     .heads = heads,
                     .depth = depth,
                     .parts = 3,
                     .x_RPHD = memory.template filled<T>(3 * part, 1),
                     .bias_PHD = memory.filled(3 * heads * depth, 2),
                     .norm_D = {memory.filled(depth, 3), memory.filled(depth, 4), nullptr},
                     .rope_SD = memory.filled(rows * depth, 5),
                     .eps = 1e-6F,
                     .out_BHSD = {memory.template make<T>(part), memory.template make<T>(part),
                                  memory.template make<T>(part)},
                     .item_stride = heads * rows * depth,
                     .head_stride = depth == 64 ? rows * depth : depth,
                     .row_stride = depth == 64 ? depth : heads * depth};
    SplitHeads<T> host = op;
    for (T*& out : host.out_BHSD) out = memory.template make<T>(part);
    SplitHeadsGrad<T> grad{
        op, {}, memory.template make<T>(3 * part), memory.make(op.chunks() * 2 * op.width())};
    for (uint32_t i = 0; i < 3; ++i) {
      grad.d_out[i] = {memory.template filled<T>(part, 6 + i), rows * heads * depth, depth,
                       heads * depth};
    }
    SplitHeadsGrad<T> host_grad = grad;
    host_grad.d_x_RPHD = memory.template make<T>(3 * part);
    host_grad.d_parts_C2PHD = memory.make(op.chunks() * 2 * op.width());
    split_heads_cuda(op, nullptr);
    split_heads_grad_cuda(grad, nullptr);
    this->wait();
    split_heads_cpu(host, 0, host.chunks());
    split_heads_grad_cpu(host_grad, 0, host.chunks());
    for (int i = 0; i < 3; ++i) {
      expect_equal(op.out_BHSD[i], host.out_BHSD[i], part, 3e-6 + kLast<T>, "out");
    }
    expect_equal(grad.d_x_RPHD, host_grad.d_x_RPHD, 3 * part, 1e-5 + kLast<T>, "x");
    expect_equal(grad.d_parts_C2PHD, host_grad.d_parts_C2PHD, op.chunks() * 2 * op.width(), 3e-5,
                 "parts");
  }
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
  // More than one launch takes, the last of them the one that is looked at.
  std::vector<Squares> many(40, {squares.x_M, a.make<double>(3), 7});
  many.back() = squares;
  adamw_cuda({&op, 1}, nullptr);
  squares_cuda(many, nullptr);
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
