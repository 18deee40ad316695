#include "train/model/model.h"

#include <algorithm>

namespace cleared::train {
namespace {

TextConfig text_config(const ModelConfig& config) {
  const int64_t heads = std::max<int64_t>(1, config.dit.text_dim / 64);
  return {.length = config.dit.text_len,
          .dim = config.dit.text_dim,
          .layers = config.text_layers,
          .heads = heads,
          .vocabulary = config.vocabulary,
          .precision = config.dit.precision};
}

}  // namespace

Model::Model(const ModelConfig& config, uint64_t seed)
    : config_(config),
      parameters_(seed),
      dit_(config.dit, parameters_),
      text_(text_config(config), parameters_, "text.") {}

Tensor Model::velocity(const Tensor& z_BCTHW, const Tensor& t_B, const Tensor& tokens_BL) const {
  const Dit::Grid grid = dit_.grid_of(z_BCTHW);
  return dit_.unpatchify(dit_.forward(dit_.patchify(z_BCTHW), t_B, text_.forward(tokens_BL), grid),
                         grid);
}

int64_t Model::parameter_count() const {
  int64_t count = 0;
  for (const auto& [name, tensor] : parameters()) count += tensor.numel();
  return count;
}

void Model::to(at::Device device) {
  for (const auto& [name, tensor] : parameters()) {
    tensor.set_data(tensor.detach().to(device));
  }
  dit_.to(device);
}

}  // namespace cleared::train
