#include "train/model/conv.h"

#include <cmath>

#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/conv3d.h>
#include <ATen/ops/mkldnn_convolution.h>
#include <ATen/ops/rsqrt.h>
#include <torch/csrc/autograd/custom_function.h>

namespace cleared::train {
namespace {

constexpr double kChannelNormEps = 1e-6;

using torch::autograd::AutogradContext;

// The mean over channels of squares. On CPUs the channels are added up in halves, in one order for
// every place: what LibTorch's sum does with a place depends on how many there are.
struct MeanSquare : torch::autograd::Function<MeanSquare> {
  static Tensor forward(AutogradContext* context, const Tensor& x_BCTHW) {
    context->save_for_backward({x_BCTHW});
    Tensor sum = x_BCTHW * x_BCTHW;
    if (x_BCTHW.is_cuda()) return sum.mean(1, true);
    for (int64_t count = sum.size(1); count > 1; count /= 2) {
      if (count % 2 == 1) sum.narrow(1, 0, 1).add_(sum.narrow(1, count - 1, 1));
      sum.narrow(1, 0, count / 2).add_(sum.narrow(1, count / 2, count / 2));
    }
    return sum.narrow(1, 0, 1) / static_cast<double>(x_BCTHW.size(1));
  }
  static torch::autograd::variable_list backward(AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const Tensor x = context->get_saved_variables().front();
    return {x * (gradients.front() * (2.0 / static_cast<double>(x.size(1))))};
  }
};

}  // namespace

// On CPUs by oneDNN, whatever the sizes: by itself LibTorch takes a method of its own where one
// clip is small, so that bits would depend on how many frames are given at once. It is also several
// times slower.
Tensor Conv::operator()(const Tensor& x, int64_t pad_t, int64_t pad_s) const {
  const int64_t stride[] = {stride_t, stride_s, stride_s}, padding[] = {pad_t, pad_s, pad_s};
  if (x.is_cpu() && at::hasMKLDNN() && at::globalContext().userEnabledMkldnn()) {
    const int64_t dilation[] = {1, 1, 1};
    return at::mkldnn_convolution(x.contiguous(), weight, bias, padding, stride, dilation, 1);
  }
  return at::conv3d(x, weight, bias, stride, padding);
}

Conv make_conv(Parameters& parameters, const std::string& name, int64_t in, int64_t out,
               int64_t time, int64_t side) {
  const auto fan_in = static_cast<double>(in * time * side * side);
  return {.weight = parameters.normal(name + ".weight", {out, in, time, side, side},
                                      1.0 / std::sqrt(fan_in)),
          .bias = parameters.constant(name + ".bias", {out}, 0)};
}

Tensor channel_norm(const Tensor& x_BCTHW, const Tensor& weight_C) {
  const Tensor scale = at::rsqrt(MeanSquare::apply(x_BCTHW) + kChannelNormEps);
  return x_BCTHW * scale * weight_C.view({1, -1, 1, 1, 1});
}

}  // namespace cleared::train
