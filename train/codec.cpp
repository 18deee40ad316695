#include "train/codec.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/sqrt.h>
#include <ATen/ops/zeros.h>

#include "ledger/base/error.h"
#include "train/config.pb.h"
#include "train/data/codec_shape.h"

namespace cleared::train {
namespace {

constexpr double kLeastVariance = 1e-6;

class Klt : public Codec {
 public:
  explicit Klt(const TensorMap& state) : klt_(state) {}
  // In closed form it is a small product: done where the frames are, on the CPU.
  Tensor encode(const Tensor& video) const override {
    return klt_.encode(video.to(at::kCPU)).to(device_);
  }
  Tensor decode(const Tensor& latent) const override { return klt_.decode(latent.to(at::kCPU)); }
  TensorMap state() const override { return klt_.state(); }
  void to(at::Device device) override { device_ = device; }

 private:
  KltCodec klt_;
  at::Device device_ = at::kCPU;
};

class Autoencoder : public Codec {
 public:
  Autoencoder(const VaeConfig& config, const TensorMap& state) : vae_(config, 0) {
    copy_tensors(with_prefix(state, "vae."), vae_.parameters(), "codec");
    statistics_ = {state.at("mean"), state.at("square")};
  }
  Tensor encode(const Tensor& video) const override {
    const at::NoGradGuard no_grad;
    return (vae_.encode_in_parts(video) - wide(statistics_.mean_C)) /
           wide(statistics_.deviation_C());
  }
  Tensor decode(const Tensor& latent) const override {
    const at::NoGradGuard no_grad;
    const Tensor z =
        latent.to(device_) * wide(statistics_.deviation_C()) + wide(statistics_.mean_C);
    return vae_.decode_in_parts(z).clamp_(-1.0, 1.0);
  }
  TensorMap state() const override { return vae_codec_state(vae_.parameters(), statistics_); }
  void to(at::Device device) override {
    device_ = device;
    vae_.to(device);
  }

 private:
  Tensor wide(const Tensor& x_C) const { return x_C.to(device_).view({1, -1, 1, 1, 1}); }
  Vae vae_;
  LatentStatistics statistics_;
  at::Device device_ = at::kCPU;
};

}  // namespace

Tensor LatentStatistics::deviation_C() const {
  return at::sqrt((square_C - mean_C * mean_C).clamp_min(kLeastVariance));
}

VaeConfig vae_config(const RunConfig& config) {
  const RunConfig::Vae& vae = config.codec().vae();
  return {
      .dim = vae.dim(), .channels = vae.channels(), .blocks = vae.blocks(), .patch = vae.patch()};
}

TensorMap vae_codec_state(const TensorMap& weights, const LatentStatistics& statistics) {
  TensorMap state{{"mean", statistics.mean_C}, {"square", statistics.square_C}};
  for (const auto& [name, tensor] : weights) state.emplace("vae." + name, tensor.detach());
  return state;
}

Pairs read_pairs(const TensorMap& state) {
  Pairs pairs;
  const auto found = state.find(kPairs);
  if (found == state.end()) return pairs;
  const Tensor rows = found->second.to(at::kCPU).contiguous();
  const int64_t* at = rows.const_data_ptr<int64_t>();
  for (int64_t i = 0; i < rows.size(0) && at[2 * i] >= 0; ++i) {
    const auto limit = static_cast<int64_t>(kFirstPair) + i;
    if (at[2 * i] >= limit || at[2 * i + 1] < 0 || at[2 * i + 1] >= limit) {
      throw Error(Errc::corrupt, "codec: pair ", i, " of the text is of tokens that are not there");
    }
    pairs.push_back({static_cast<uint32_t>(at[2 * i]), static_cast<uint32_t>(at[2 * i + 1])});
  }
  return pairs;
}

Tensor write_pairs(const Pairs& pairs, int64_t count) {
  Tensor rows = at::full({count, 2}, -1, at::kLong);
  int64_t* at = rows.mutable_data_ptr<int64_t>();
  for (const auto& [left, right] : pairs) *at++ = left, *at++ = right;
  return rows;
}

TensorMap blank_codec(const RunConfig& config) {
  TensorMap blank;
  if (config.stage() == RunConfig::TEXT_ENCODER) {
    // It sees no video.
  } else if (config.codec().has_vae()) {
    const VaeConfig vae = vae_config(config);
    blank = vae_codec_state(Vae(vae, 0).parameters(),
                            {at::zeros({vae.channels}), at::ones({vae.channels})});
  } else {
    blank = {{"mean", at::zeros({kPatchValues})},
             {"basis", at::zeros({kKltChannels, kPatchValues})},
             {"deviation", at::zeros({kKltChannels})}};
  }
  if (const auto count = static_cast<int64_t>(pair_count(config)); count > 0) {
    blank.emplace(kPairs, write_pairs({}, count));
  }
  return blank;
}

TensorMap codec_of(const CheckpointTensors& tensors, const RunConfig& config) {
  if (config.stage() == RunConfig::AUTOENCODER) {
    return vae_codec_state(tensors.ema, {tensors.codec.at("mean"), tensors.codec.at("square")});
  }
  TensorMap codec = tensors.codec;
  codec.erase(kPairs);
  return codec;
}

std::unique_ptr<Codec> make_codec(const RunConfig& config, const TensorMap& state) {
  copy_tensors(state, blank_codec(config), "codec");  // names, types and shapes
  TensorMap video = state;
  video.erase(kPairs);
  if (config.codec().has_vae()) return std::make_unique<Autoencoder>(vae_config(config), video);
  return std::make_unique<Klt>(video);
}

}  // namespace cleared::train
