// What tells an autoencoder's clips from the footage, patch by patch, and learns beside it: a 3D
// convolutional network from the seed, which has seen nothing but the run's own clips. Each of its
// answers is of a patch, 54 pixels wide and 25 frames long.
// Isola and others, Image-to-Image Translation with Conditional Adversarial Networks, 2017 (the
// patches); Lim and Ye, Geometric GAN, 2017 (the hinge); Wang and others, High-Resolution Image
// Synthesis with Conditional GANs, 2018 (feature matching). Norms are over channels at each place,
// so that no clip's answer depends on others of its batch. Const use from any thread, as far as
// autograd is.
#pragma once

#include <cstdint>
#include <vector>

#include "train/model/conv.h"
#include "train/model/parameters.h"
#include "train/model/tensor.h"

namespace cleared::train {

class Discriminator {
 public:
  // Widths dim, 2 dim, 4 dim, 8 dim. Weights are a function of (dim, seed); their names begin with
  // kDiscriminatorPrefix.
  Discriminator(int64_t dim, uint64_t seed);

  struct Judged {
    std::vector<Tensor> features;  // after each layer
    Tensor verdict;                // of each patch: above 0 for footage
  };
  // Of video [B, 3, T, H, W] in [-1, 1], height and width from 8 on. Frozen: a gradient goes to the
  // video and not to the weights.
  Judged judge(const Tensor& video_BCTHW, bool frozen) const;

  const TensorMap& parameters() const { return parameters_.all(); }
  void to(at::Device device);  // call before anything else refers to the weights

 private:
  struct Layer {
    Conv conv;
    Tensor norm;  // none: not normalised
  };
  Parameters parameters_;
  std::vector<Layer> layers_;
  Conv last_;
};

inline constexpr const char* kDiscriminatorPrefix = "discriminator.";

struct AdversarialOptions {
  double weight = 0.05;    // fixed: one that followed gradients would tie micro-batches together
  double features = 0.05;  // of the difference between features of footage and of what came back
};

struct AdversarialLoss {
  Tensor of_autoencoder;    // weighted, to be added to its own; a gradient goes to `decoded` alone
  Tensor of_discriminator;  // a gradient goes to its weights alone
};

AdversarialLoss adversarial_loss(const Discriminator& discriminator, const Tensor& video_BCTHW,
                                 const Tensor& decoded_BCTHW, const AdversarialOptions& options);

}  // namespace cleared::train
