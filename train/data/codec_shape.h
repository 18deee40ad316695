// What a config says about its codec and its text, as numbers: sizes of latents, parameters of the
// video autoencoder, entries of the vocabulary. Pure; any thread.
#pragma once

#include <cstdint>

#include "train/config.pb.h"

namespace cleared::train {

struct LatentShape {
  uint64_t channels = 0, frames = 0, height = 0, width = 0;
  uint64_t values() const { return channels * frames * height * width; }
};

// Of one clip. The closed-form codec makes one latent frame of four; the autoencoder is causal: one
// of the first frame, then one of every four.
LatentShape latent_shape(const RunConfig& config);

// Numbers that the codec holds: of the closed-form one its components, of the autoencoder its
// weights.
uint64_t codec_parameters(const RunConfig& config);
uint64_t vae_parameters(const RunConfig::Vae& vae);

// Arithmetic of encoding and decoding one clip once, in floating-point operations.
double vae_flop(const RunConfig& config);

// Entries of the text's vocabulary, padding included: bytes alone unless the config asks for more.
uint64_t vocabulary_of(const RunConfig& config);

// Pairs of tokens that the text learns at most; 0: bytes alone.
uint64_t pair_count(const RunConfig& config);

}  // namespace cleared::train
