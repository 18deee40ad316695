#include "train/model/muon.h"

#include <algorithm>
#include <cmath>

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/lerp.h>
#include <ATen/ops/matmul.h>

#include "ledger/base/check.h"

namespace cleared::train {
namespace {

constexpr int kIterations = 5;
constexpr double kA = 3.4445, kB = -4.775, kC = 2.0315;
constexpr double kLeastNorm = 1e-7;
constexpr double kAdamWRms = 0.2;  // root mean square of an AdamW step, in learning rates

}  // namespace

bool is_hidden_matrix(const std::string& name, const Tensor& parameter) {
  const bool repeated =
      name.find("blocks.") != std::string::npos || name.find("layers.") != std::string::npos;
  return repeated && parameter.dim() == 2 && name.ends_with(".weight");
}

Tensor newton_schulz(const Tensor& direction_RC) {
  CLEARED_CHECK(direction_RC.dim() == 2);
  const bool tall = direction_RC.size(0) > direction_RC.size(1);
  Tensor x = tall ? direction_RC.t() : direction_RC;
  x = x / x.norm().clamp_min(kLeastNorm);  // then no singular value is above 1
  for (int i = 0; i < kIterations; ++i) {
    const Tensor square = at::matmul(x, x.t());
    x = at::addmm(x, at::addmm(square, square, square, kB, kC), x, kA);
  }
  return tall ? x.t() : x;
}

void muon_step(const Tensor& parameter_RC, const Tensor& gradient_RC, const Tensor& momentum_RC,
               const MuonRates& rates) {
  const at::NoGradGuard no_grad;
  momentum_RC.lerp_(gradient_RC, 1 - rates.momentum);
  const Tensor direction = newton_schulz(at::lerp(gradient_RC, momentum_RC, rates.momentum));
  const auto longer = static_cast<double>(std::max(parameter_RC.size(0), parameter_RC.size(1)));
  const Tensor parameter = parameter_RC.detach();
  parameter.mul_(rates.keep).sub_(direction, rates.learning_rate * kAdamWRms * std::sqrt(longer));
}

}  // namespace cleared::train
