// Between video and latents, whichever codec a config asks for: the closed-form one, which is
// fitted to cleared footage, or an autoencoder that a run of its own has trained. Its tensors are
// the "codec." ones of a checkpoint. Any thread, one at a time.
#pragma once

#include <memory>

#include "train/checkpoint.h"
#include "train/data/bpe.h"
#include "train/model/klt.h"
#include "train/model/tensor.h"
#include "train/model/vae.h"

namespace cleared::train {

class RunConfig;

inline constexpr int64_t kKltChannels = 16;

class Codec {
 public:
  virtual ~Codec() = default;
  // Video [B, 3, T, H, W] in [-1, 1], on the codec's device, to latents of about unit variance. No
  // gradient flows through it.
  virtual Tensor encode(const Tensor& video_BCTHW) const = 0;
  virtual Tensor decode(const Tensor& latent_BCTHW) const = 0;  // clamped to [-1, 1]
  virtual TensorMap state() const = 0;
  virtual void to(at::Device device) = 0;
};

// The one of the "codec." tensors that is about text: pairs of tokens [N, 2], int64, -1 where fewer
// were found than the config asks for.
inline constexpr const char* kPairs = "pairs";
Pairs read_pairs(const TensorMap& state);  // none: bytes alone
Tensor write_pairs(const Pairs& pairs, int64_t count);

// From the "codec." tensors of a checkpoint. Error{corrupt} when they are not those of the config.
std::unique_ptr<Codec> make_codec(const RunConfig& config, const TensorMap& state);

// The "codec." tensors of a checkpoint of this config, of no particular value: what make_codec
// wants, and pairs.
TensorMap blank_codec(const RunConfig& config);

// The codec that a checkpoint trained or was trained with, without pairs.
TensorMap codec_of(const CheckpointTensors& tensors, const RunConfig& config);

VaeConfig vae_config(const RunConfig& config);

// Running sums over latents, one value a channel: what their mean and variance are computed from.
struct LatentStatistics {
  Tensor mean_C, square_C;
  Tensor deviation_C() const;
};

// The codec state that an autoencoder's weights and statistics make.
TensorMap vae_codec_state(const TensorMap& weights, const LatentStatistics& statistics);

}  // namespace cleared::train
