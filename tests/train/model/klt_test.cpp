// Known answers: data/klt.safetensors, by numpy's singular value decomposition, which is another
// way to the same components; make_case.py makes it again.
#include "train/model/klt.h"

#include <cmath>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

#include "ledger/base/error.h"
#include "train/model/random.h"
#include "train/model/safetensors.h"

namespace cleared::train {
namespace {

Tensor some_video(uint64_t seed) {
  return normal(std::vector<Draw>{{.seed = seed}}, {3, 8, 16, 24}).mul(0.3).clamp(-1, 1);
}

TEST(Klt, FindsTheComponentsThatNumpyFinds) {
  const TensorMap known = read_safetensors("train/model/data/klt.safetensors").tensors;
  KltFit fit;
  fit.add(known.at("video"));
  const KltCodec codec = fit.finish(5);
  const TensorMap state = codec.state();
  for (const char* name : {"mean", "basis", "deviation"}) {
    EXPECT_TRUE(at::allclose(state.at(name), known.at(name), 1e-4, 1e-5)) << name;
  }
  EXPECT_TRUE(at::allclose(codec.encode(known.at("video")), known.at("latent"), 1e-4, 1e-4));
}

TEST(Klt, RowsAreOrthonormalAndLatentsOfTheFittedFootageHaveUnitVariance) {
  KltFit fit;
  for (uint64_t i = 0; i < 4; ++i) fit.add(some_video(i));
  const KltCodec codec = fit.finish(16);
  const Tensor basis = codec.state().at("basis");
  EXPECT_TRUE(at::allclose(at::matmul(basis, basis.t()), at::eye(16), 1e-4, 1e-5));
  std::vector<Tensor> latents;
  for (uint64_t i = 0; i < 4; ++i) latents.push_back(codec.encode(some_video(i)));
  const Tensor z = at::cat(latents);
  EXPECT_EQ(z.sizes(), (std::vector<int64_t>{4, 16, 2, 2, 3}));
  EXPECT_TRUE(at::allclose(z.mean({0, 2, 3, 4}), at::zeros({16}), 0, 1e-4));
  EXPECT_TRUE(at::allclose(z.var({0, 2, 3, 4}, false), at::ones({16}), 1e-3, 1e-3));
}

TEST(Klt, ChannelsKeepAsMuchOfTheirScaleAsIsAskedFor) {
  KltFit fit;
  for (uint64_t i = 0; i < 4; ++i) fit.add(some_video(i));
  const Tensor deviation = fit.finish(16, 1).state().at("deviation");
  for (const double whiten : {0.0, 0.5, 1.0}) {
    const KltCodec codec = fit.finish(16, whiten);
    std::vector<Tensor> latents;
    for (uint64_t i = 0; i < 4; ++i) latents.push_back(codec.encode(some_video(i)));
    const Tensor spread = at::cat(latents).var({0, 2, 3, 4}, false);
    EXPECT_NEAR(spread.mean().item<double>(), 1, 1e-3) << whiten;
    const Tensor ratio = spread / at::pow(deviation, 2 - 2 * whiten);
    EXPECT_TRUE(at::allclose(ratio, ratio[0].expand({16}), 1e-3, 0)) << whiten;
    const Tensor video = some_video(1);
    EXPECT_NEAR(psnr_db(codec.decode(codec.encode(video)), video),
                psnr_db(fit.finish().decode(fit.finish().encode(video)), video), 1e-3);
  }
}

TEST(Klt, DecodingIsTheProjectionSoThatASecondPassChangesNothing) {
  KltFit fit;
  const Tensor video = some_video(1) * 0.2;  // far from where decoding clamps
  fit.add(video);
  const KltCodec codec = fit.finish(8);
  const Tensor once = codec.decode(codec.encode(video));
  EXPECT_EQ(once.sizes(), video.sizes());
  EXPECT_TRUE(at::allclose(codec.decode(codec.encode(once)), once, 1e-4, 1e-5));
  EXPECT_GT(psnr_db(fit.finish(12).decode(fit.finish(12).encode(video)), video),
            psnr_db(once, video));
}

TEST(Klt, TwoPartsAddUpToTheWhole) {
  KltFit whole, a, b;
  whole.add(at::cat({some_video(1), some_video(2)}));
  a.add(some_video(1));
  b.add(some_video(2));
  a.sums() += b.sums();
  EXPECT_TRUE(at::allclose(a.sums(), whole.sums()));
}

TEST(Klt, StillFootageIsNoReasonToDivideByZero) {
  KltFit fit;
  fit.add(at::full({1, 3, 16, 32, 32}, 0.5));
  const KltCodec codec = fit.finish(16);
  const Tensor z = codec.encode(at::full({1, 3, 4, 8, 8}, 0.5));
  EXPECT_TRUE(at::isfinite(z).all().item<bool>());
  EXPECT_TRUE(at::allclose(codec.decode(z), at::full({1, 3, 4, 8, 8}, 0.5), 1e-4, 1e-5));
}

TEST(Klt, PsnrIsTheOneOfTheFormula) {
  const Tensor a = at::zeros({4}), b = at::full({4}, 0.2);
  EXPECT_NEAR(psnr_db(a, b), 20.0, 1e-6);  // 10 log10(2^2 / 0.2^2)
  EXPECT_TRUE(std::isinf(psnr_db(a, a)));
}

TEST(Klt, RefusesTooLittleFootageAndForeignState) {
  KltFit fit;
  EXPECT_THROW(fit.finish(16), Error);
  fit.add(at::zeros({1, 3, 4, 8, 8}));
  EXPECT_THROW(fit.finish(2), Error);
  EXPECT_THROW(fit.finish(0), Error);
  EXPECT_THROW(KltCodec({}), Error);
  TensorMap state = {{"mean", at::zeros({kPatchValues})},
                     {"basis", at::zeros({16, kPatchValues})},
                     {"deviation", at::ones({15})}};
  EXPECT_THROW(KltCodec{state}, Error);
  state["deviation"] = at::ones({16}, at::kDouble);
  EXPECT_THROW(KltCodec{state}, Error);
}

}  // namespace
}  // namespace cleared::train
