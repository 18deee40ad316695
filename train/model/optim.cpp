#include "train/model/optim.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros_like.h>

#include "kernels/adamw.h"
#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "train/model/muon.h"

#ifdef CLEARED_CUDA
#include <c10/cuda/CUDAStream.h>
#endif

namespace cleared::train {
namespace {

// The sum of squares of all values, in one fixed order for any number of threads.
double sum_of_squares(const std::vector<Tensor>& tensors) {
  std::vector<kernels::Squares> ops;
  int64_t chunks = 0;
  for (const Tensor& tensor : tensors) {
    ops.push_back(
        {.x_M = tensor.const_data_ptr<float>(), .sum_C = nullptr, .count = tensor.numel()});
    chunks += ops.back().chunks();
  }
  const Tensor sums_C = at::empty({chunks}, tensors.front().options().dtype(at::kDouble));
  double* sum_C = sums_C.mutable_data_ptr<double>();
  for (kernels::Squares& op : ops) {
    op.sum_C = sum_C;
    sum_C += op.chunks();
  }
#ifdef CLEARED_CUDA
  if (sums_C.is_cuda()) kernels::squares_cuda(ops, at::cuda::getCurrentCUDAStream().stream());
#endif
  if (sums_C.is_cpu()) {
    for (const kernels::Squares& op : ops) {
      at::parallel_for(0, op.chunks(), 4,
                       [&](int64_t first, int64_t end) { kernels::squares_cpu(op, first, end); });
    }
  }
  const Tensor host_C = sums_C.cpu();  // waits for a GPU once
  return std::accumulate(host_C.const_data_ptr<double>(), host_C.const_data_ptr<double>() + chunks,
                         0.0);
}

void pass(const std::vector<kernels::AdamWPass>& ops, at::Device on) {
#ifdef CLEARED_CUDA
  if (on.is_cuda()) {
    kernels::adamw_cuda(ops, at::cuda::getCurrentCUDAStream().stream());
    return;
  }
#endif
  CLEARED_CHECK(on.is_cpu());
  for (const kernels::AdamWPass& op : ops) {
    at::parallel_for(0, op.count, 1 << 14,
                     [&](int64_t first, int64_t end) { kernels::adamw_cpu(op, first, end); });
  }
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
    const bool muon = options_.muon_momentum > 0 && is_hidden_matrix(name, parameter);
    if (!muon) v_.emplace(name, at::zeros_like(parameter.detach()));
  }
  for (size_t i = 0; i < options_.ema_decays.size(); ++i) {
    TensorMap& average = ema_.emplace_back();
    for (const auto& [name, p] : parameters_) average.emplace(name, p.detach().clone());
  }
  if (options_.guard_steps > 0) norms_ = at::full({options_.guard_steps}, -1, at::kDouble);
}

// Not until the median is of as many steps as it should be.
bool AdamW::is_outlier(double norm) const {
  const double* first = norms_.const_data_ptr<double>();
  std::vector<double> norms(first, first + norms_.numel());
  if (norms.front() < 0) return false;
  const auto middle = norms.begin() + norms_.numel() / 2;
  std::nth_element(norms.begin(), middle, norms.end());
  return norm > options_.guard_above * *middle;
}

std::vector<Tensor> AdamW::gradients() const {
  std::vector<Tensor> gradients;
  for (const auto& [name, parameter] : parameters_) {
    CLEARED_CHECK(parameter.grad().defined());
    gradients.push_back(parameter.grad().contiguous());
  }
  return gradients;
}

double AdamW::gradient_norm() const {
  return std::sqrt(sum_of_squares(gradients()));
}

void AdamW::skip() {
  for (const auto& [name, parameter] : parameters_) parameter.mutable_grad().reset();
}

StepResult AdamW::step(double learning_rate) {
  const at::NoGradGuard no_grad;
  const std::vector<Tensor> gradients = this->gradients();
  skip();

  StepResult result;
  result.gradient_norm = std::sqrt(sum_of_squares(gradients));
  if (!std::isfinite(result.gradient_norm)) return result;
  if (norms_.defined()) {
    const bool outlier = is_outlier(result.gradient_norm);
    double* first = norms_.mutable_data_ptr<double>();
    std::rotate(first, first + 1, first + norms_.numel());
    first[norms_.numel() - 1] = result.gradient_norm;
    if (outlier) return result;
  }
  const bool clips = options_.max_norm > 0 && result.gradient_norm > options_.max_norm;

  steps_ += 1;
  result.applied = true;
  const double n = static_cast<double>(steps_);
  const auto follow = [&](size_t average) {
    if (average >= options_.ema_decays.size()) return 0.0;
    return 1.0 - std::min(options_.ema_decays[average], (1.0 + n) / (10.0 + n));
  };
  const kernels::AdamWRates rates{
      .scale = clips ? static_cast<float>(options_.max_norm / result.gradient_norm) : 1.0F,
      .beta1 = static_cast<float>(options_.beta1),
      .beta2 = static_cast<float>(options_.beta2),
      .keep = 1.0F,
      .rate = 0,  // of each parameter
      .root = static_cast<float>(std::sqrt(1.0 - std::pow(options_.beta2, n))),
      .eps = static_cast<float>(options_.eps),
      .follow = static_cast<float>(follow(0))};
  const double correction = 1.0 - std::pow(options_.beta1, n);
  std::vector<kernels::AdamWPass> ops;
  size_t i = 0;
  for (const auto& [name, parameter] : parameters_) {
    const Tensor& gradient = gradients[i++];
    const double rate = learning_rate * (name.starts_with("text.") ? options_.text_share : 1.0);
    const double kept = 1.0 - rate * options_.weight_decay;
    if (!v_.contains(name)) {
      muon_step(parameter, clips ? gradient * rates.scale : gradient, m_.at(name),
                {.learning_rate = rate, .keep = kept, .momentum = options_.muon_momentum});
      if (!ema_.empty()) ema_.front().at(name).lerp_(parameter, follow(0));
      continue;
    }
    kernels::AdamWPass op{
        .rates = rates,
        .grad_M = gradient.const_data_ptr<float>(),
        .p_M = parameter.mutable_data_ptr<float>(),
        .m_M = m_.at(name).mutable_data_ptr<float>(),
        .v_M = v_.at(name).mutable_data_ptr<float>(),
        .ema_M = ema_.empty() ? nullptr : ema_.front().at(name).mutable_data_ptr<float>(),
        .count = parameter.numel()};
    op.rates.rate = static_cast<float>(rate / correction);
    const bool decays = parameter.dim() >= 2;  // matrices do and vectors do not
    if (decays) op.rates.keep = static_cast<float>(kept);
    ops.push_back(op);
  }
  pass(ops, gradients.front().device());
  for (size_t other = 1; other < ema_.size(); ++other) {
    for (const auto& [name, p] : parameters_) ema_[other].at(name).lerp_(p, follow(other));
  }
  return result;
}

std::string ema_prefix(size_t average) {
  return average == 0 ? "ema." : "ema" + std::to_string(average + 1) + ".";
}

TensorMap AdamW::state() const {
  TensorMap state{{"steps", at::full({1}, steps_, at::kLong)}};
  add_with_prefix(state, "m.", m_);
  add_with_prefix(state, "v.", v_);
  for (size_t i = 0; i < ema_.size(); ++i) add_with_prefix(state, ema_prefix(i), ema_[i]);
  if (norms_.defined()) state.emplace("norms", norms_);
  return state;
}

void AdamW::load(const TensorMap& state) {
  TensorMap own = this->state();
  copy_tensors(state, own, "optimiser state");
  steps_ = own.at("steps").item<int64_t>();
  if (steps_ < 0) throw Error(Errc::corrupt, "optimiser state: negative number of steps");
}

}  // namespace cleared::train
