// The video diffusion transformer: a stack of blocks over latent tokens that predicts the velocity
// of a rectified flow. Each block: adaLN-single modulation, self-attention with QK-RMSNorm and 3D
// RoPE, text cross-attention, GELU MLP. Sources: Peebles and Xie, Scalable Diffusion Models with
// Transformers, 2023; Chen and others, PixArt-alpha, 2023 (adaLN-single); Su and others, RoFormer,
// 2021; the block is the one of the public Wan family.
//
// Const use is safe from several threads as far as autograd is; one optimiser changes the weights.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "train/model/ops.h"
#include "train/model/parameters.h"
#include "train/model/tensor.h"

namespace cleared::train {

struct DitConfig {
  int64_t dim = 192;
  int64_t layers = 6;
  int64_t heads = 3;  // dim / heads is even and at least 12
  int64_t ffn = 768;
  int64_t channels = 16;                      // of the latent
  std::array<int64_t, 3> latent = {4, 8, 8};  // T, H, W
  // All sizes of latents that it is used for, where there are several; `latent` is one of them.
  std::vector<std::array<int64_t, 3>> latents = {};
  std::array<int64_t, 3> patch = {1, 1, 1};  // of the latent, one token each; divides it
  int64_t text_len = 64;
  int64_t text_dim = 192;
  int64_t freq = 256;      // sinusoidal features of t, even
  bool recompute = false;  // keep a block's input alone, and run it again in the backward pass
  // Of the blocks' products and attention: at::kFloat or at::kBFloat16. Weights, the stream between
  // blocks, norms' statistics, and what is before and after the blocks are float32.
  at::ScalarType precision = at::kFloat;

  // Tokens along T, H, W of a latent of those sizes.
  std::array<int64_t, 3> grid(const std::array<int64_t, 3>& sizes) const;
  std::array<int64_t, 3> grid() const { return grid(latent); }
  int64_t tokens() const;
  int64_t patch_dim() const;  // values of one token
  void check() const;         // Error{config} naming the field that makes no sense
};

// RoPE's rotations as complex numbers [S, D/2], for tokens on `grid` in row-major order. A head's
// D/2 pairs are split over t (the rest), h (D/6) and w (D/6).
Tensor rope_table(const std::array<int64_t, 3>& grid, int64_t head_dim);

class Dit {
 public:
  // Registers its parameters with `parameters`; `prefix` precedes their names.
  Dit(const DitConfig& config, Parameters& parameters, const std::string& prefix = "");

  using Grid = std::array<int64_t, 3>;
  // tokens_BSD on a grid, t_B in [0, 1] and text_BLN (text_dim wide) to the velocity_BSD.
  Tensor forward(const Tensor& tokens_BSD, const Tensor& t_B, const Tensor& text_BLN,
                 const Grid& grid) const;
  Tensor forward(const Tensor& tokens_BSD, const Tensor& t_B, const Tensor& text_BLN) const {
    return forward(tokens_BSD, t_B, text_BLN, config_.grid());
  }

  // Of a latent that is one of the config's.
  Grid grid_of(const Tensor& z_BCTHW) const;
  Tensor patchify(const Tensor& z_BCTHW) const;  // to tokens_BSD
  Tensor unpatchify(const Tensor& tokens_BSD, const Grid& grid) const;

  const DitConfig& config() const { return config_; }
  void to(at::Device device);  // the table of rotations; parameters are moved by Parameters' owner

 private:
  struct Attention {
    Linear q, kv, qkv, o;  // q and kv across, qkv within
    Tensor norm_q, norm_k;
  };
  struct Block {
    Tensor mod, norm_weight, norm_bias;
    Attention within, across;
    Linear up, down;
  };
  // Tokens, and what is still to be added to them: the next norm does it in its one pass.
  struct Stream {
    Tensor x_BSN;
    Branch rest;
  };
  Tensor attend_within(const Attention& a, const Tensor& x_BSN, const Tensor& rope_SD) const;
  Tensor attend_across(const Attention& a, const Tensor& x_BSN, const Tensor& context_BLN) const;
  // What all blocks are given beside the stream.
  struct Around {
    Tensor time_B6N, context_BLN;
    Tensor rope_SD;  // pairs (cos, sin) of the grid
  };
  Stream run_block(const Block& block, Stream stream, const Around& around) const;
  static std::vector<Tensor> weights_of(const Block& block);
  Stream run_block_again(const Block& block, Stream stream, const Around& around) const;

  DitConfig config_;
  Linear inp_, t1_, t2_, tp_, x1_, x2_, out_;
  Tensor mod_out_;
  std::vector<Block> blocks_;
  std::map<Grid, Tensor> rope_SD_;  // pairs (cos, sin), by grid
};

}  // namespace cleared::train
