// The sum of a step's gradients along one fixed binary tree, so that its bits do not depend on who
// computed which of them: leaf i of 2^k leaves is the gradient of micro-batch i, and every inner
// node is the sum of its two children. A rank adds up the subtree over its own consecutive leaves,
// each parameter's part as soon as backward() has made it; sum_of_parts() does the levels above it.
// docs/design/0012-exact-sum.md. One thread, and that which backward() runs on.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "train/model/tensor.h"

namespace cleared::train {

class GradientTree {
 public:
  // Of so many leaves, a power of two. Flat sums are padded with zeros to a multiple of `parts`
  // values. float32 parameters, each of which takes part in every loss.
  GradientTree(const TensorMap& parameters, int64_t leaves, int64_t parts);
  ~GradientTree();
  GradientTree(const GradientTree&) = delete;
  GradientTree& operator=(const GradientTree&) = delete;

  // Where the sum over all leaves comes to be: one flat tensor, whole after as many backward()s.
  Tensor sum() const { return sums_.front(); }

  // Called while the last of them goes on: all that is to come into these values has.
  std::function<void(int64_t begin, int64_t end)> on_summed;

  // Around each backward(), which leaves no gradient in the parameters: they are in the tree.
  void begin_leaf();
  void end_leaf();

  // Makes the parameters' gradients parts of the sum, which then belongs to them until the next
  // step.
  void hand_out();

  // The order in which the last backward() made the gradients, and one to lie in from the next step
  // on: where the first that is made is the first, sums of neighbours are ready early.
  const std::vector<int64_t>& order_made() const { return made_; }
  void lie_in(const std::vector<int64_t>& order);

 private:
  class Take;
  void take(size_t i);
  Tensor view(const Tensor& flat, size_t i) const;

  std::vector<Tensor> parameters_;
  std::vector<int64_t> offsets_;  // of each parameter in a flat tensor
  const int64_t leaves_;
  int64_t leaf_ = 0;
  std::vector<int64_t> made_;
  std::vector<Tensor> sums_;  // of the subtrees that are whole, the largest first; and room
};

// The tree's upper levels: `flat` holds 2^k parts of equal size, and their sum replaces the first,
// which is returned.
Tensor sum_of_parts(const Tensor& flat, int64_t parts);

}  // namespace cleared::train
