#include "train/model/gradients.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/zeros.h>

#include "ledger/base/check.h"

namespace cleared::train {

GradientTree::GradientTree(const TensorMap& parameters, int64_t parts) {
  offsets_.push_back(0);
  for (const auto& [name, parameter] : parameters) {
    CLEARED_CHECK(parameter.scalar_type() == at::kFloat && parameter.is_contiguous());
    parameters_.push_back(parameter);
    offsets_.push_back(offsets_.back() + parameter.numel());
  }
  padded_ = (offsets_.back() + parts - 1) / parts * parts;
}

Tensor GradientTree::view(const Tensor& flat, size_t i) const {
  return flat.as_strided(parameters_[i].sizes(), parameters_[i].strides(), offsets_[i]);
}

void GradientTree::add() {
  const at::NoGradGuard no_grad;
  const bool second = !sums_.empty() && sums_.back().first == 0;
  if (!second) {
    if (free_.empty()) {
      free_.push_back(at::zeros({padded_}, parameters_.front().options().requires_grad(false)));
    }
    sums_.emplace_back(0, free_.back());
    free_.pop_back();
  }
  const Tensor& flat = sums_.back().second;
  std::vector<Tensor> views, gradients;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    CLEARED_CHECK(parameters_[i].grad().defined());
    views.push_back(view(flat, i));
    gradients.push_back(parameters_[i].grad());
    parameters_[i].mutable_grad().reset();
  }
  if (second) at::_foreach_add_(views, gradients);
  else at::_foreach_copy_(views, gradients);
  if (second) sums_.back().first = 1;
  while (sums_.size() > 1 && sums_[sums_.size() - 2].first == sums_.back().first) {
    const Tensor right = sums_.back().second;
    sums_.pop_back();
    sums_.back().second.add_(right);
    sums_.back().first += 1;
    free_.push_back(right);
  }
}

Tensor GradientTree::take() {
  CLEARED_CHECK(sums_.size() == 1);
  const Tensor sum = sums_.back().second;
  sums_.pop_back();
  free_.push_back(sum);
  return sum;
}

void GradientTree::hand_out(const Tensor& flat) {
  for (size_t i = 0; i < parameters_.size(); ++i) parameters_[i].mutable_grad() = view(flat, i);
}

Tensor sum_of_parts(const Tensor& flat, int64_t parts) {
  const at::NoGradGuard no_grad;
  const int64_t size = flat.numel() / parts;
  const auto part = [&](int64_t i) { return flat.narrow(0, i * size, size); };
  for (int64_t step = 1; step < parts; step *= 2) {
    for (int64_t i = 0; i + step < parts; i += 2 * step) part(i).add_(part(i + step));
  }
  return part(0);
}

}  // namespace cleared::train
