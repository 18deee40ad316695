#include "train/model/discriminator.h"

#include <algorithm>
#include <string>

#include <ATen/TensorOperators.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/leaky_relu.h>
#include <ATen/ops/relu.h>

namespace cleared::train {
namespace {

constexpr double kSlope = 0.2;  // of leaky ReLU below 0

Conv detached(const Conv& conv) {
  return {conv.weight.detach(), conv.bias.detach(), conv.stride_t, conv.stride_s};
}

}  // namespace

// Three steps of two, the first only in space, and a layer that keeps the size.
Discriminator::Discriminator(int64_t dim, uint64_t seed) : parameters_(seed) {
  constexpr int64_t kSteps = 3;
  const std::string prefix = kDiscriminatorPrefix;
  int64_t in = 3;
  for (int64_t i = 0; i <= kSteps; ++i) {
    const std::string name = prefix + std::to_string(i);
    const int64_t out = dim << i, side = i < kSteps ? 4 : 3;
    Layer& layer = layers_.emplace_back();
    layer.conv = make_conv(parameters_, name, in, out, 3, side);
    layer.conv.stride_s = i < kSteps ? 2 : 1;
    layer.conv.stride_t = i == 1 || i == 2 ? 2 : 1;
    if (i > 0) layer.norm = parameters_.constant(name + ".norm", {out}, 1);
    in = out;
  }
  last_ = make_conv(parameters_, prefix + "last", in, 1, 3, 3);
}

Discriminator::Judged Discriminator::judge(const Tensor& video_BCTHW, bool frozen) const {
  Judged judged;
  Tensor x = video_BCTHW;
  for (const Layer& layer : layers_) {
    x = (frozen ? detached(layer.conv) : layer.conv)(x, 1, 1);
    if (layer.norm.defined()) x = channel_norm(x, frozen ? layer.norm.detach() : layer.norm);
    x = at::leaky_relu(x, kSlope);
    judged.features.push_back(x);
  }
  judged.verdict = (frozen ? detached(last_) : last_)(x, 1, 1);
  return judged;
}

void Discriminator::to(at::Device device) {
  for (const auto& [name, tensor] : parameters()) tensor.set_data(tensor.detach().to(device));
}

AdversarialLoss adversarial_loss(const Discriminator& discriminator, const Tensor& video,
                                 const Tensor& decoded, const AdversarialOptions& options) {
  const auto footage = discriminator.judge(video, false);
  const auto fooled = discriminator.judge(decoded, true);
  const auto caught = discriminator.judge(decoded.detach(), false);
  Tensor far;
  for (size_t i = 0; i < footage.features.size(); ++i) {
    const Tensor part = at::abs(fooled.features[i] - footage.features[i].detach()).mean();
    far = far.defined() ? far + part : part;
  }
  const auto layers = static_cast<double>(footage.features.size());
  return {
      .of_autoencoder = options.features / layers * far - options.weight * fooled.verdict.mean(),
      .of_discriminator =
          0.5 * (at::relu(1.0 - footage.verdict).mean() + at::relu(1.0 + caught.verdict).mean())};
}

}  // namespace cleared::train
