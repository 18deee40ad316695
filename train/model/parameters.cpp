#include "train/model/parameters.h"

#include <cmath>

#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>

#include "ledger/base/check.h"
#include "train/model/product.h"
#include "train/model/random.h"

namespace cleared::train {

Tensor Linear::operator()(const Tensor& x) const {
  return at::linear(x, weight, bias);
}

Tensor Linear::product(const Tensor& x) const {
  return train::product(x, weight.to(x.scalar_type()));
}

Tensor Parameters::add(const std::string& name, at::IntArrayRef shape) {
  const auto [position, added] = all_.emplace(name, at::empty(shape, at::kFloat));
  CLEARED_CHECK(added);
  return position->second;
}

Linear Parameters::linear(const std::string& name, int64_t in, int64_t out) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(in));
  Linear made{add(name + ".weight", {out, in}), add(name + ".bias", {out})};
  init_uniform(made.weight, seed_, name + ".weight", bound);
  init_uniform(made.bias, seed_, name + ".bias", bound);
  made.weight.set_requires_grad(true);
  made.bias.set_requires_grad(true);
  return made;
}

Linear Parameters::zero_linear(const std::string& name, int64_t in, int64_t out) {
  return {constant(name + ".weight", {out, in}, 0), constant(name + ".bias", {out}, 0)};
}

Tensor Parameters::normal(const std::string& name, at::IntArrayRef shape, double deviation) {
  Tensor made = add(name, shape);
  init_normal(made, seed_, name, deviation);
  return made.set_requires_grad(true);
}

Tensor Parameters::constant(const std::string& name, at::IntArrayRef shape, double value) {
  Tensor made = add(name, shape);
  made.fill_(value);
  return made.set_requires_grad(true);
}

}  // namespace cleared::train
