// The sum of a step's gradients along one fixed binary tree, so that its bits do not depend on who
// computed which of them: leaf i of 2^k leaves is the gradient of micro-batch i, and every inner
// node is the sum of its two children. A rank adds up the subtree over its own consecutive leaves;
// sum_of_parts() does the levels above it. docs/design/0012-exact-sum.md. One thread.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "train/model/tensor.h"

namespace cleared::train {

class GradientTree {
 public:
  // Flat sums are padded with zeros to a multiple of `parts` values. float32 parameters.
  GradientTree(const TensorMap& parameters, int64_t parts);

  // Takes the gradients that backward() left in the parameters as the next leaf.
  void add();

  // The sum over all leaves since the last take(), a power of two of them, as one flat tensor.
  Tensor take();

  // Makes the parameters' gradients parts of `flat`, which then belongs to them until the next
  // add(): it must not be kept.
  void hand_out(const Tensor& flat);

 private:
  Tensor view(const Tensor& flat, size_t i) const;

  std::vector<Tensor> parameters_;
  std::vector<int64_t> offsets_;  // of each parameter in a flat tensor, and their end
  int64_t padded_ = 0;
  std::vector<std::pair<int, Tensor>> sums_;  // (level, sum) of the subtrees that are whole
  std::vector<Tensor> free_;
};

// The tree's upper levels: `flat` holds 2^k parts of equal size, and their sum replaces the first,
// which is returned.
Tensor sum_of_parts(const Tensor& flat, int64_t parts);

}  // namespace cleared::train
