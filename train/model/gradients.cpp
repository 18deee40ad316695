#include "train/model/gradients.h"

#include <algorithm>
#include <bit>
#include <memory>

#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include "ledger/base/check.h"

namespace cleared::train {

// What autograd calls once a parameter's gradient of a backward() is whole.
class GradientTree::Take : public torch::autograd::PostAccumulateGradHook {
 public:
  Take(GradientTree& tree, size_t i) : tree_(tree), i_(i) {}
  void operator()(const Tensor& /*parameter*/) override { tree_.take(i_); }

 private:
  GradientTree& tree_;
  const size_t i_;
};

GradientTree::GradientTree(const TensorMap& parameters, int64_t leaves, int64_t parts)
    : leaves_(leaves) {
  CLEARED_CHECK(std::has_single_bit(static_cast<uint64_t>(leaves)));
  int64_t size = 0;
  for (const auto& [name, parameter] : parameters) {
    CLEARED_CHECK(parameter.scalar_type() == at::kFloat && parameter.is_contiguous());
    torch::autograd::impl::set_post_acc_grad_hooks(
        parameter, std::make_unique<Take>(*this, parameters_.size()));
    parameters_.push_back(parameter);
    offsets_.push_back(size);
    size += parameter.numel();
  }
  // As many subtrees as wait at most before a leaf that is not added to one at once.
  const int most = std::max(std::countr_zero(static_cast<uint64_t>(leaves)), 1);
  for (int i = 0; i < most; ++i) {
    sums_.push_back(at::zeros({(size + parts - 1) / parts * parts},
                              parameters_.front().options().requires_grad(false)));
  }
}

GradientTree::~GradientTree() {
  for (const Tensor& parameter : parameters_) {
    torch::autograd::impl::set_post_acc_grad_hooks(parameter, nullptr);
  }
}

Tensor GradientTree::view(const Tensor& flat, size_t i) const {
  return flat.as_strided(parameters_[i].sizes(), parameters_[i].strides(), offsets_[i]);
}

void GradientTree::begin_leaf() {
  CLEARED_CHECK(leaf_ < leaves_);
  for (const Tensor& parameter : parameters_) CLEARED_CHECK(!parameter.grad().defined());
  made_.clear();
}

// A subtree of 2^k leaves is whole where k bits of the leaf's number, counted from 0, are ones at
// its end; the other ones are subtrees that wait.
void GradientTree::take(size_t i) {
  const at::NoGradGuard no_grad;
  Tensor sum = parameters_[i].grad();
  parameters_[i].mutable_grad().reset();
  const auto leaf = static_cast<uint64_t>(leaf_);
  auto waiting = static_cast<size_t>(std::popcount(leaf));
  const int joins = std::countr_one(leaf);
  if (joins == 0) view(sums_[waiting], i).copy_(sum);
  for (int join = 0; join < joins; ++join) sum = view(sums_[--waiting], i).add_(sum);
  made_.push_back(static_cast<int64_t>(i));
  if (on_summed && leaf_ + 1 == leaves_) {
    on_summed(offsets_[i], offsets_[i] + parameters_[i].numel());
  }
}

void GradientTree::end_leaf() {
  CLEARED_CHECK(made_.size() == parameters_.size());
  ++leaf_;
}

void GradientTree::hand_out() {
  CLEARED_CHECK(leaf_ == leaves_);
  leaf_ = 0;
  for (size_t i = 0; i < parameters_.size(); ++i) parameters_[i].mutable_grad() = view(sum(), i);
}

void GradientTree::lie_in(const std::vector<int64_t>& order) {
  CLEARED_CHECK(leaf_ == 0 && order.size() == parameters_.size());
  int64_t size = 0;
  for (const int64_t i : order) {
    offsets_[static_cast<size_t>(i)] = size;
    size += parameters_[static_cast<size_t>(i)].numel();
  }
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
