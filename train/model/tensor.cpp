#include "train/model/tensor.h"

#include <ATen/core/grad_mode.h>

#include "ledger/base/error.h"

namespace cleared::train {

void copy_tensors(const TensorMap& from, const TensorMap& to, const std::string& what) {
  const at::NoGradGuard no_grad;
  for (const auto& [name, tensor] : from) {
    if (!to.contains(name)) throw Error(Errc::corrupt, what, ": unexpected tensor ", name);
  }
  for (const auto& [name, target] : to) {
    const auto found = from.find(name);
    if (found == from.end()) throw Error(Errc::corrupt, what, ": tensor ", name, " is missing");
    if (found->second.sizes() != target.sizes()) {
      throw Error(Errc::corrupt, what, ": tensor ", name, " has shape ", found->second.sizes(),
                  ", expected ", target.sizes());
    }
    if (found->second.scalar_type() != target.scalar_type()) {
      throw Error(Errc::corrupt, what, ": tensor ", name, " holds ",
                  toString(found->second.scalar_type()), ", expected ",
                  toString(target.scalar_type()));
    }
  }
  for (const auto& [name, target] : to) target.copy_(from.at(name));
}

TensorMap with_prefix(const TensorMap& all, const std::string& prefix) {
  TensorMap part;
  for (const auto& [name, tensor] : all) {
    if (name.starts_with(prefix)) part.emplace(name.substr(prefix.size()), tensor);
  }
  return part;
}

void add_with_prefix(TensorMap& all, const std::string& prefix, const TensorMap& part) {
  for (const auto& [name, tensor] : part) all.insert_or_assign(prefix + name, tensor);
}

}  // namespace cleared::train
