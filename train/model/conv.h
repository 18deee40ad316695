// What the convolutional networks, autoencoder and discriminator, have in common. Any thread.
#pragma once

#include <cstdint>
#include <string>

#include "train/model/parameters.h"
#include "train/model/tensor.h"

namespace cleared::train {

// Weight normal with variance 1 / inputs, bias zero; the same stride for height and width.
struct Conv {
  Tensor weight, bias;
  int64_t stride_t = 1, stride_s = 1;
  // With zeros around; the first and last frames have none unless `pad_t`.
  Tensor operator()(const Tensor& x_BCTHW, int64_t pad_t, int64_t pad_s) const;
};
Conv make_conv(Parameters& parameters, const std::string& name, int64_t in, int64_t out,
               int64_t time, int64_t side);

// RMS over channels, at every place.
Tensor channel_norm(const Tensor& x_BCTHW, const Tensor& weight_C);

}  // namespace cleared::train
