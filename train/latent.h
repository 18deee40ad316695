// The `latent` member of a sample: one float32 tensor [C, T, H, W] as a safetensors file, whose
// metadata names the codec that made it (docs/formats/latent.md). Any thread.
#pragma once

#include <string>

#include "train/model/tensor.h"

namespace cleared::train {

inline constexpr const char* kLatentMember = "latent";

// Digest of the codec's tensors, "sha256:...": what a latent names, and whoever reads it compares.
std::string codec_digest(const TensorMap& codec);

std::string latent_member(const Tensor& latent_CTHW, const std::string& codec);

// Error{corrupt} when it does not parse, was made by another codec or has another shape; `sample`
// names it in the error.
Tensor parse_latent(const std::string& bytes, const std::string& codec, at::IntArrayRef shape,
                    const std::string& sample);

}  // namespace cleared::train
