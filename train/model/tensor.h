// The tensor type alone: a fraction of what torch/torch.h costs to compile. Files that compute add
// the operators that they use, <ATen/ops/NAME.h>; nothing in this project includes torch/torch.h.
//
// Names of tensors end in their axes: B batch, C channels, T frames, H height, W width, S video
// tokens, L text tokens, N model width, D head or patch width.
#pragma once

#include <map>
#include <string>

#include <ATen/core/Tensor.h>

namespace cleared::train {

using Tensor = at::Tensor;

// Parameters, optimiser state and checkpoints are all this: tensors in the order of their names.
using TensorMap = std::map<std::string, Tensor>;

// Copies every tensor of `from` into the one of the same name in `to`, whose storage stays. Both
// must have the same names and shapes, else Error{corrupt} names the first that differs.
void copy_tensors(const TensorMap& from, const TensorMap& to, const std::string& what);

// The part of `all` whose names start with `prefix`, with the prefix taken off.
TensorMap with_prefix(const TensorMap& all, const std::string& prefix);

// Adds `part` to `all`, every name preceded by `prefix`.
void add_with_prefix(TensorMap& all, const std::string& prefix, const TensorMap& part);

}  // namespace cleared::train
