// The closed-form codec: principal components of 4x8x8x3 video patches (Karhunen-Loeve transform),
// learned from cleared footage in seconds, exact and auditable. Video is [B, 3, T, H, W] RGB in
// [-1, 1], T a multiple of 4, H and W of 8; a latent is [B, C, T/4, H/8, W/8], of unit variance
// over the footage that was fitted: in each channel, or in the mean of all. Any thread; a KltFit
// belongs to one.
#pragma once

#include <cstdint>

#include "train/model/tensor.h"

namespace cleared::train {

inline constexpr int64_t kPatchFrames = 4;
inline constexpr int64_t kPatchSide = 8;
inline constexpr int64_t kPatchValues = 3 * kPatchFrames * kPatchSide * kPatchSide;

class KltCodec {
 public:
  // From state(), or Error{corrupt}.
  explicit KltCodec(const TensorMap& state);

  Tensor encode(const Tensor& video_BCTHW) const;
  Tensor decode(const Tensor& latent_BCTHW) const;  // clamped to [-1, 1]
  int64_t channels() const { return basis_CD_.size(0); }

  // mean [D], basis [C, D] with orthonormal rows, deviation [C], what a channel is divided by;
  // float.
  TensorMap state() const;

 private:
  Tensor mean_D_, basis_CD_, deviation_C_;
};

// Adds up what the codec is computed from, in double. Ranks that each saw a part may all-reduce
// sums() before finish().
class KltFit {
 public:
  KltFit();
  void add(const Tensor& video_BCTHW);

  // Number of patches [1], their sum [D] and the sum of their outer products [D, D], one vector.
  Tensor& sums() { return sums_; }

  // The sign of a component is chosen so that its entry of largest magnitude, the first of equals,
  // is positive. Channels are divided by their deviation to the power of `whiten`, and by one
  // number such that their variances have the mean 1. Error{config} when there are fewer patches
  // than channels.
  KltCodec finish(int64_t channels = 16, double whiten = 1) const;

 private:
  Tensor sums_;
};

// Peak signal-to-noise ratio in dB between videos in [-1, 1]; infinite when they are equal.
double psnr_db(const Tensor& a, const Tensor& b);

}  // namespace cleared::train
