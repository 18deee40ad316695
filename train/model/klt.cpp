#include "train/model/klt.h"

#include <cmath>
#include <limits>

#include <ATen/TensorOperators.h>
#include <ATen/ops/linalg_eigh.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/mse_loss.h>
#include <ATen/ops/outer.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/zeros.h>

#include "ledger/base/check.h"
#include "ledger/base/error.h"

namespace cleared::train {
namespace {

// [B, 3, T, H, W] to [B, T/4, H/8, W/8, D]; D runs over colour, frame, row, column.
Tensor to_patches(const Tensor& video_BCTHW) {
  CLEARED_CHECK(video_BCTHW.dim() == 5 && video_BCTHW.size(1) == 3);
  const int64_t b = video_BCTHW.size(0), t = video_BCTHW.size(2) / kPatchFrames;
  const int64_t h = video_BCTHW.size(3) / kPatchSide, w = video_BCTHW.size(4) / kPatchSide;
  CLEARED_CHECK(video_BCTHW.size(2) == t * kPatchFrames && video_BCTHW.size(3) == h * kPatchSide &&
                video_BCTHW.size(4) == w * kPatchSide);
  return video_BCTHW.reshape({b, 3, t, kPatchFrames, h, kPatchSide, w, kPatchSide})
      .permute({0, 2, 4, 6, 1, 3, 5, 7})
      .reshape({b, t, h, w, kPatchValues});
}

Tensor from_patches(const Tensor& patches_BTHWD) {
  const int64_t b = patches_BTHWD.size(0), t = patches_BTHWD.size(1);
  const int64_t h = patches_BTHWD.size(2), w = patches_BTHWD.size(3);
  return patches_BTHWD.reshape({b, t, h, w, 3, kPatchFrames, kPatchSide, kPatchSide})
      .permute({0, 4, 1, 5, 2, 6, 3, 7})
      .reshape({b, 3, t * kPatchFrames, h * kPatchSide, w * kPatchSide});
}

const Tensor& wanted(const TensorMap& state, const std::string& name, int64_t axes) {
  const auto found = state.find(name);
  if (found == state.end() || found->second.dim() != axes ||
      found->second.scalar_type() != at::kFloat) {
    throw Error(Errc::corrupt, "codec: tensor ", name, " is missing or of the wrong kind");
  }
  return found->second;
}

}  // namespace

KltCodec::KltCodec(const TensorMap& state)
    : mean_D_(wanted(state, "mean", 1)),
      basis_CD_(wanted(state, "basis", 2)),
      deviation_C_(wanted(state, "deviation", 1)) {
  if (mean_D_.size(0) != kPatchValues || basis_CD_.size(1) != kPatchValues ||
      deviation_C_.size(0) != basis_CD_.size(0)) {
    throw Error(Errc::corrupt, "codec: shapes of mean, basis and deviation do not fit together");
  }
}

Tensor KltCodec::encode(const Tensor& video_BCTHW) const {
  const Tensor centred = to_patches(video_BCTHW) - mean_D_;
  return (at::matmul(centred, basis_CD_.t()) / deviation_C_).permute({0, 4, 1, 2, 3}).contiguous();
}

Tensor KltCodec::decode(const Tensor& latent_BCTHW) const {
  const Tensor weights = latent_BCTHW.permute({0, 2, 3, 4, 1}) * deviation_C_;
  return from_patches(at::matmul(weights, basis_CD_) + mean_D_).clamp(-1, 1);
}

TensorMap KltCodec::state() const {
  return {{"mean", mean_D_}, {"basis", basis_CD_}, {"deviation", deviation_C_}};
}

KltFit::KltFit()
    : sums_(at::zeros({1 + kPatchValues + kPatchValues * kPatchValues}, at::kDouble)) {}

void KltFit::add(const Tensor& video_BCTHW) {
  const Tensor patches_MD = to_patches(video_BCTHW.to(at::kDouble)).flatten(0, 3);
  sums_.narrow(0, 0, 1).add_(patches_MD.size(0));
  sums_.narrow(0, 1, kPatchValues).add_(patches_MD.sum(0));
  sums_.narrow(0, 1 + kPatchValues, kPatchValues * kPatchValues)
      .view({kPatchValues, kPatchValues})
      .addmm_(patches_MD.t(), patches_MD);
}

KltCodec KltFit::finish(int64_t channels, double whiten) const {
  const double count = sums_[0].item<double>();
  if (channels < 1 || channels > kPatchValues || count < static_cast<double>(channels)) {
    throw Error(Errc::config, "codec: cannot fit ", channels, " channels to ", count,
                " patches; more footage or fewer channels");
  }
  const Tensor mean = sums_.narrow(0, 1, kPatchValues) / count;
  const Tensor second = sums_.narrow(0, 1 + kPatchValues, kPatchValues * kPatchValues) / count;
  const Tensor covariance = second.view({kPatchValues, kPatchValues}) - at::outer(mean, mean);
  const auto [values, vectors] = at::linalg_eigh(covariance);  // ascending; vectors are columns

  const int64_t first = kPatchValues - channels;
  Tensor basis = vectors.narrow(1, first, channels).t().flip(0).contiguous();
  const Tensor variance = values.narrow(0, first, channels).flip(0);
  for (int64_t c = 0; c < channels; ++c) {
    const Tensor row = basis[c];
    const int64_t largest = row.abs().argmax().item<int64_t>();
    if (row[largest].item<double>() < 0) row.neg_();
  }
  constexpr double kSmallest = 1e-6;  // footage without any variation must not divide by zero
  const Tensor deviation = variance.clamp_min(kSmallest * kSmallest).sqrt();
  const Tensor common = at::pow(deviation, 2 - 2 * whiten).mean().sqrt();
  return KltCodec({{"mean", mean.to(at::kFloat)},
                   {"basis", basis.to(at::kFloat)},
                   {"deviation", (at::pow(deviation, whiten) * common).to(at::kFloat)}});
}

double psnr_db(const Tensor& a, const Tensor& b) {
  const double error =
      at::mse_loss(a.to(at::kCPU, at::kDouble), b.to(at::kCPU, at::kDouble)).item<double>();
  constexpr double kPeak = 2.0;  // from -1 to 1
  return error == 0 ? std::numeric_limits<double>::infinity()
                    : 10.0 * std::log10(kPeak * kPeak / error);
}

}  // namespace cleared::train
