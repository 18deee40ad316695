#include "train/model/optim.h"

#include <algorithm>
#include <cmath>

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_lerp.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros_like.h>

#include "ledger/base/check.h"
#include "ledger/base/error.h"

namespace cleared::train {
namespace {

std::vector<Tensor> values_of(const TensorMap& map) {
  std::vector<Tensor> values;
  for (const auto& [name, tensor] : map) values.push_back(tensor);
  return values;
}

}  // namespace

double Schedule::at(int64_t step) const {
  const auto share = [](int64_t part, int64_t whole) {
    return static_cast<double>(part) / static_cast<double>(whole);
  };
  if (step < warmup_steps) return peak * share(step + 1, warmup_steps);
  const int64_t decayed = step + 1 - (total_steps - decay_steps);
  if (decayed <= 0 || decay_steps <= 0) return peak;
  const double done = std::min(1.0, share(decayed, decay_steps));
  return peak * (1.0 - (1.0 - final_share) * done);
}

AdamW::AdamW(const TensorMap& parameters, const AdamWOptions& options)
    : options_(options), parameters_(parameters) {
  for (const auto& [name, parameter] : parameters_) {
    m_.emplace(name, at::zeros_like(parameter.detach()));
    v_.emplace(name, at::zeros_like(parameter.detach()));
    ema_.emplace(name, parameter.detach().clone());
  }
}

StepResult AdamW::step(double learning_rate) {
  const at::NoGradGuard no_grad;
  std::vector<Tensor> gradients;
  for (const auto& [name, parameter] : parameters_) {
    CLEARED_CHECK(parameter.grad().defined());
    gradients.push_back(parameter.grad());
    parameter.mutable_grad().reset();
  }

  StepResult result;
  result.gradient_norm =
      at::linalg_vector_norm(at::stack(at::_foreach_norm(gradients)).to(at::kDouble))
          .item<double>();
  if (!std::isfinite(result.gradient_norm)) return result;
  if (options_.max_norm > 0 && result.gradient_norm > options_.max_norm) {
    at::_foreach_mul_(gradients, options_.max_norm / result.gradient_norm);
  }

  steps_ += 1;
  result.applied = true;
  // Matrices decay and vectors do not: two groups.
  for (const bool decays : {true, false}) {
    std::vector<Tensor> p, g, m, v;
    size_t i = 0;
    for (const auto& [name, parameter] : parameters_) {
      const Tensor& gradient = gradients[i++];
      if ((parameter.dim() >= 2) != decays) continue;
      p.push_back(parameter);
      g.push_back(gradient);
      m.push_back(m_.at(name));
      v.push_back(v_.at(name));
    }
    if (p.empty()) continue;
    const std::vector<Tensor> steps(
        p.size(), at::full({}, static_cast<double>(steps_), p.front().options().dtype(at::kFloat)));
    at::_fused_adamw_(p, g, m, v, {}, steps, learning_rate, options_.beta1, options_.beta2,
                      decays ? options_.weight_decay : 0.0, options_.eps, false, false);
  }
  const double n = static_cast<double>(steps_);
  const double decay = std::min(options_.ema_decay, (1.0 + n) / (10.0 + n));
  at::_foreach_lerp_(values_of(ema_), values_of(parameters_), 1.0 - decay);
  return result;
}

TensorMap AdamW::state() const {
  TensorMap state{{"steps", at::full({1}, steps_, at::kLong)}};
  add_with_prefix(state, "m.", m_);
  add_with_prefix(state, "v.", v_);
  add_with_prefix(state, "ema.", ema_);
  return state;
}

void AdamW::load(const TensorMap& state) {
  TensorMap own = this->state();
  copy_tensors(state, own, "optimiser state");
  steps_ = own.at("steps").item<int64_t>();
  if (steps_ < 0) throw Error(Errc::corrupt, "optimiser state: negative number of steps");
}

}  // namespace cleared::train
