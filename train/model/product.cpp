#include "train/model/product.h"

#include <utility>

#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

// oneDNN's product of LibTorch 2.15: exported, and in none of the headers that come with it. It
// takes transposed matrices as they lie; beta 0 does not read `result`.
namespace at::native {
void mkldnn_matmul(const Tensor& mat1, const Tensor& mat2, const Tensor& result, float beta,
                   float alpha);
}  // namespace at::native

namespace cleared::train {
namespace {

Products g_products = Products::mkl;

Tensor multiply(const Tensor& a, const Tensor& b) {
  Tensor out = at::empty({a.size(0), b.size(1)}, a.options());
  at::native::mkldnn_matmul(a, b, out, /*beta=*/0, /*alpha=*/1);
  return out;
}

struct ProductFunction : torch::autograd::Function<ProductFunction> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& x_RK,
                        const Tensor& weight_NK) {
    context->save_for_backward({x_RK, weight_NK});
    return multiply(x_RK, weight_NK.t());
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grads) {
    const auto saved = context->get_saved_variables();
    const Tensor &x_RK = saved[0], &weight_NK = saved[1];
    const Tensor grad_RN = grads[0].contiguous();
    return {context->needs_input_grad(0) ? multiply(grad_RN, weight_NK) : Tensor(),
            context->needs_input_grad(1) ? multiply(grad_RN.t(), x_RK) : Tensor()};
  }
};

}  // namespace

void set_products(Products products) {
  g_products = products;
}

Tensor product(const Tensor& x, const Tensor& weight_NK) {
  if (g_products == Products::mkl || !x.is_cpu() || x.scalar_type() != at::kFloat) {
    return at::linear(x, weight_NK);
  }
  auto shape = x.sizes().vec();
  shape.back() = weight_NK.size(0);
  return ProductFunction::apply(x.reshape({-1, x.size(-1)}), weight_NK).view(shape);
}

}  // namespace cleared::train
