// The causal video autoencoder: 3D convolutions that see no later frame, so that an image is a clip
// of one frame and 4k + 1 frames become k + 1 latent ones. Widths d, 2d, 4d, 4d; halved in space at
// each step down and in time at the last two; residual blocks with RMS norm over channels and SiLU.
// Source of the shape: the public Wan family's autoencoder; without its attention, so that cost and
// memory grow with the pixels alone. Video is [B, 3, T, H, W] in [-1, 1].
//
// Nothing foreign judges the result: the loss is on pixels and on differences between neighbours,
// and where a run asks for it what a discriminator of its own says (train/model/discriminator.h).
// Const use is safe from several threads as far as autograd is; one optimiser changes the weights.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "train/model/conv.h"
#include "train/model/parameters.h"
#include "train/model/tensor.h"

namespace cleared::train {

struct VaeConfig {
  int64_t dim = 96;
  int64_t channels = 16;  // of the latent
  int64_t blocks = 2;     // of each level
  int64_t patch = 1;      // pixels folded into channels before the first convolution, each way
};

// A normal distribution for every value of the latent.
struct VaeMoments {
  Tensor mean_BCTHW, log_variance_BCTHW;
};

class Vae {
 public:
  // Weights are a function of (config, seed).
  Vae(const VaeConfig& config, uint64_t seed);

  VaeMoments encode(const Tensor& video_BCTHW) const;
  Tensor decode(const Tensor& latent_BCTHW) const;  // not clamped

  // encode()'s means, and decode(), without gradient, one latent frame after the other: each
  // convolution is handed the frames that it saw last. So the memory they take beside what is given
  // and returned does not grow with the clip. On CPUs with oneDNN the bits are those of the whole
  // clip at once; elsewhere they may differ by rounding.
  Tensor encode_in_parts(const Tensor& video_BCTHW) const;  // frames may be on another device
  Tensor decode_in_parts(const Tensor& latent_BCTHW) const;

  const TensorMap& parameters() const { return parameters_.all(); }
  int64_t parameter_count() const;
  const VaeConfig& config() const { return config_; }
  void to(at::Device device);  // call before anything else refers to the weights

 private:
  class Carried;  // from one part of a clip to the next
  // Sees no later frame. Before the first part of a clip are copies of its first frame.
  struct CausalConv : Conv {
    Tensor operator()(Tensor x_BCTHW, Carried* carried) const;
  };
  struct Residual {
    Tensor norm1, norm2;
    CausalConv conv1, conv2, past;  // past: none when the widths are equal
    Tensor operator()(const Tensor& x, Carried* carried) const;
  };
  CausalConv conv(const std::string& name, int64_t in, int64_t out, int64_t time, int64_t side);
  Residual residual(const std::string& name, int64_t in, int64_t out);
  std::vector<Residual> residuals(const std::string& name, int64_t in, int64_t out, int64_t count);
  void check_video(const Tensor& video_BCTHW) const;
  // Mean and log variance, one after the other, of a whole clip, or of a part of one.
  Tensor moments(const Tensor& video_BCTHW, Carried* carried) const;
  Tensor pixels(const Tensor& latent_BCTHW, Carried* carried) const;

  VaeConfig config_;
  Parameters parameters_;
  struct Half {
    CausalConv first, last;
    Tensor norm;
    std::vector<Residual> middle;
    std::vector<std::vector<Residual>> levels;  // in the order of use
    std::vector<CausalConv> between;            // after each level but the last
  };
  Half encoder_, decoder_;
};

struct VaeLossOptions {
  double gradient = 1.0;  // weight of the error of differences, at 3 scales
  double kl = 1e-6;       // of the divergence from a standard normal latent, a mean over its values
};

struct VaeLoss {
  Tensor total;       // to call backward() on
  Tensor difference;  // mean absolute error of pixels, detached
  Tensor decoded_BCTHW;
  VaeMoments moments;
};

// `noise` is in the shape of the latent.
VaeLoss vae_loss(const Vae& vae, const Tensor& video_BCTHW, const Tensor& noise_BCTHW,
                 const VaeLossOptions& options);

}  // namespace cleared::train
