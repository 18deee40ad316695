#include "train/model/flow.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/full_like.h>

#include "kernels/flow_mix.h"
#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "train/model/ops.h"

#ifdef CLEARED_CUDA
#include <c10/cuda/CUDAStream.h>
#endif

namespace cleared::train {

Tensor flow_mix(const Tensor& x, const Tensor& noise, const Tensor& t_B) {
  CLEARED_CHECK(x.sizes() == noise.sizes() && t_B.dim() == 1 && t_B.size(0) == x.size(0));
  CLEARED_CHECK(x.scalar_type() == at::kFloat && noise.scalar_type() == at::kFloat);
  CLEARED_CHECK(t_B.scalar_type() == at::kFloat && x.device() == noise.device());
  const Tensor from = x.contiguous(), to = noise.contiguous(), t = t_B.contiguous();
  Tensor z = at::empty_like(from);
  const kernels::FlowMix op{.x_BM = from.const_data_ptr<float>(),
                            .noise_BM = to.const_data_ptr<float>(),
                            .t_B = t.const_data_ptr<float>(),
                            .z_BM = z.mutable_data_ptr<float>(),
                            .b = t.numel(),
                            .m = t.numel() > 0 ? from.numel() / t.numel() : 0};
#ifdef CLEARED_CUDA
  if (x.is_cuda()) {
    kernels::flow_mix_cuda(op, at::cuda::getCurrentCUDAStream().stream());
    return z;
  }
#endif
  kernels::flow_mix_cpu(op);
  return z;
}

Tensor flow_loss(const Model& model, const FlowBatch& batch) {
  const Tensor z = flow_mix(batch.x_BCTHW, batch.noise_BCTHW, batch.t_B);
  const Tensor v = model.velocity(z, batch.t_B, batch.states_BLN);
  return flow_error(v, batch.noise_BCTHW, batch.x_BCTHW);
}

Tensor sample(const Model& model, const Tensor& noise_BCTHW, const Tensor& tokens_BL,
              const SampleOptions& options) {
  if (options.steps < 1) throw Error(Errc::usage, "sample: needs at least one step");
  const at::NoGradGuard no_grad;
  const int64_t batch = noise_BCTHW.size(0);
  const bool guided = options.guidance != 1.0;
  const Tensor states = model.read(
      guided ? at::cat({tokens_BL, at::full_like(tokens_BL, kPaddingToken)}) : tokens_BL);
  const auto time_at = [&](int step) {
    const double t = 1.0 - static_cast<double>(step) / options.steps;
    return options.shift * t / (1.0 + (options.shift - 1.0) * t);
  };
  Tensor z = noise_BCTHW.clone();
  for (int step = 0; step < options.steps; ++step) {
    const Tensor input = guided ? at::cat({z, z}) : z;
    const Tensor t_B = at::full({input.size(0)}, time_at(step), z.options());
    Tensor v = model.velocity(input, t_B, states);
    if (guided) {
      const Tensor with = v.narrow(0, 0, batch), without = v.narrow(0, batch, batch);
      v = without + options.guidance * (with - without);
    }
    z.add_(v, time_at(step + 1) - time_at(step));
    if (options.progress) options.progress(step);
  }
  return z;
}

}  // namespace cleared::train
