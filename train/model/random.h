// Randomness without state: every draw is a function of what it is for, so that any rank, and any
// auditor, can make again the noise of any sample of any step. It does not depend on the world size
// or on what was drawn before. Philox4x32-10 (kernels/philox.h). Any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "train/model/tensor.h"

namespace cleared::train {

// Part of the counter: two purposes never share a number. Values are on record, never reused.
enum class Purpose : uint32_t {
  init = 1,          // initial weights
  noise = 2,         // the noise that a sample is mixed with
  time = 3,          // its t
  caption_drop = 4,  // whether its caption is left out
  order = 5,         // data order (train/data)
  generate = 6,      // the noise that sampling starts from
  crop = 7,          // which frames of a clip
  latent = 8,        // the noise that an autoencoder's latent is mixed with
  mask = 9,          // which tokens of a caption are hidden
};

struct Draw {
  uint64_t seed = 0;
  uint64_t step = 0;    // below 2^32
  uint64_t sample = 0;  // position in the step's batch over all ranks; below 2^32
  Purpose purpose = Purpose::noise;
};

// Uniform in (0, 1), exact multiples of 2^-32 shifted by half of one.
double uniform(const Draw& draw);
// So many of them, of which that is the first.
std::vector<double> uniform(const Draw& draw, size_t count);

// Standard normal values, one item of `shape` for each draw: [B, shape...], float on the CPU.
// Box and Muller, A Note on the Generation of Random Normal Deviates, 1958; in double, then
// rounded.
Tensor normal(std::span<const Draw> draws, at::IntArrayRef shape);

// t_B in (0, 1), sigmoid of a standard normal value (Esser and others, Scaling Rectified Flow
// Transformers, 2024, section 3.1), then shifted towards 1: a t / (1 + (a - 1) t), a = `shift`.
Tensor logit_normal(std::span<const Draw> draws, double shift = 1.0);

// Initial values of one parameter, keyed by (seed, name): uniform in [-bound, bound], or normal.
void init_uniform(Tensor& parameter, uint64_t seed, std::string_view name, double bound);
void init_normal(Tensor& parameter, uint64_t seed, std::string_view name, double deviation);

}  // namespace cleared::train
