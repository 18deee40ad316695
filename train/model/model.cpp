#include "train/model/model.h"

namespace cleared::train {
namespace {

TextConfig text_config(const ModelConfig& config) {
  return {.length = config.dit.text_len,
          .dim = config.dit.text_dim,
          .layers = config.text_layers,
          .heads = heads_of_text(config.dit.text_dim),
          .vocabulary = config.vocabulary,
          .precision = config.dit.precision};
}

}  // namespace

Model::Model(const ModelConfig& config, uint64_t seed)
    : config_(config),
      parameters_(seed),
      dit_(config.dit, parameters_),
      text_(text_config(config), parameters_, "text.") {}

Tensor Model::read(const Tensor& tokens_BL) const {
  return text_.forward(tokens_BL);
}

Tensor Model::velocity(const Tensor& z_BCTHW, const Tensor& t_B, const Tensor& states_BLN) const {
  const Dit::Grid grid = dit_.grid_of(z_BCTHW);
  return dit_.unpatchify(dit_.forward(dit_.patchify(z_BCTHW), t_B, states_BLN, grid), grid);
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
