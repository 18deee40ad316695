// How layers make their parameters: each is made by name, filled from (seed, name) and listed, so
// that step 0 can be recomputed by anyone who has the seed. One thread.
#pragma once

#include <cstdint>
#include <string>

#include "train/model/tensor.h"

namespace cleared::train {

struct Linear {
  Tensor weight, bias;  // float32
  Tensor operator()(const Tensor& x) const;
  // In the type of x; the bias is left to the kernel that comes next (ops.h).
  Tensor product(const Tensor& x) const;
};

class Parameters {
 public:
  explicit Parameters(uint64_t seed) : seed_(seed) {}

  // Weight and bias uniform in +-1/sqrt(in), as PyTorch's Linear.
  Linear linear(const std::string& name, int64_t in, int64_t out);
  Linear zero_linear(const std::string& name, int64_t in, int64_t out);
  Tensor normal(const std::string& name, at::IntArrayRef shape, double deviation);
  Tensor constant(const std::string& name, at::IntArrayRef shape, double value);

  const TensorMap& all() const { return all_; }

 private:
  Tensor add(const std::string& name, at::IntArrayRef shape);
  uint64_t seed_;
  TensorMap all_;
};

}  // namespace cleared::train
