#include "train/model/ops.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numeric>
#include <optional>
#include <type_traits>

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/core/ivalue.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include "kernels/attention.h"
#include "kernels/flow_mix.h"
#include "kernels/gelu.h"
#include "kernels/residual_norm.h"
#include "kernels/split_heads.h"
#include "ledger/base/check.h"
#include "ledger/base/error.h"

#ifdef CLEARED_CUDA
#include <c10/cuda/CUDAGuard.h>
#endif

namespace cleared::train {
namespace {

using torch::autograd::AutogradContext;
using Tensors = torch::autograd::variable_list;
using Optional = std::optional<Tensor>;  // a Function takes no undefined tensor

Optional optional(const Tensor& t) {
  return t.defined() ? Optional(t) : std::nullopt;
}

Tensor tensor(const Optional& t) {
  return t.value_or(Tensor());
}

// LibTorch's type of the kernels' one.
template <class T>
using OfTorch = std::conditional_t<std::is_same_v<T, kernels::Bf16>, at::BFloat16, T>;
static_assert(sizeof(kernels::Bf16) == sizeof(at::BFloat16));

template <class T = float>
const T* read(const Tensor& t) {
  return t.defined() ? reinterpret_cast<const T*>(t.const_data_ptr<OfTorch<T>>()) : nullptr;
}

template <class T = float>
T* write(const Tensor& t) {
  return t.defined() ? reinterpret_cast<T*>(t.mutable_data_ptr<OfTorch<T>>()) : nullptr;
}

void check_type(const Tensor& t, at::ScalarType type) {
  CLEARED_CHECK(t.scalar_type() == type);
  CLEARED_CHECK(t.dim() == 0 || t.size(-1) <= 1 || t.stride(-1) == 1);  // of one any stride does
}

void check_floats(const Tensor& t) {
  check_type(t, at::kFloat);
}

// The CUDA halves keep a row in registers.
void check_width(const Tensor& on, int64_t width, int64_t most, const char* what) {
  if (on.is_cpu() || width <= most) return;
  throw Error(Errc::unsupported, "model: ", what, " is ", width, ", and a GPU takes up to ", most);
}

// Calls f(T()) for the type that activations are of.
template <class F>
auto for_type(at::ScalarType type, const F& f) {
  if (type == at::kBFloat16) return f(kernels::Bf16());
  CLEARED_CHECK(type == at::kFloat);
  return f(float());
}

// The CPU half over all chunks, on this thread and its helpers, or the CUDA half.
template <class Op>
void launch(const Op& op, int64_t chunks, const Tensor& on,
            std::type_identity_t<void (*)(const Op&, int64_t, int64_t)> cpu,
            std::type_identity_t<void (*)(const Op&, kernels::Stream)> cuda) {
#ifdef CLEARED_CUDA
  if (on.is_cuda()) {
    const c10::cuda::CUDAGuard guard(on.device());  // another thread's is the first GPU
    cuda(op, c10::cuda::getCurrentCUDAStream().stream());
    return;
  }
#endif
  CLEARED_CHECK(on.is_cpu());
  static_cast<void>(cuda);
  at::parallel_for(0, chunks, 1, [&](int64_t first, int64_t end) { cpu(op, first, end); });
}

// Sums over the middle axis of [groups, chunks, values], in the order of the chunks.
Tensor add_up(const Tensor& parts_GCX) {
  if (!parts_GCX.is_cpu()) return at::sum(parts_GCX, {1});
  const int64_t groups = parts_GCX.size(0), chunks = parts_GCX.size(1), n = parts_GCX.size(2);
  Tensor sum_GX = at::empty({groups, n}, parts_GCX.options());
  const float* part = read(parts_GCX);
  for (int64_t g = 0; g < groups; ++g) {
    float* sum = write(sum_GX) + g * n;
    std::copy_n(part, n, sum);
    part += n;
    for (int64_t c = 1; c < chunks; ++c, part += n) {
      for (int64_t i = 0; i < n; ++i) sum[i] += part[i];
    }
  }
  return sum_GX;
}

#ifdef CLEARED_CUDA
#define CLEARED_CUDA_HALF(name) kernels::name
#else
#define CLEARED_CUDA_HALF(name) nullptr
#endif

// ------------------------------------------------------------------------------------------ GELU

template <class T>
struct GeluFunction : torch::autograd::Function<GeluFunction<T>> {
  static kernels::Gelu<T> op_of(const Tensor& x, const Tensor& bias_N, const Tensor& out) {
    const int64_t n = bias_N.numel();
    return {.rows = x.numel() / n,
            .n = n,
            .x_RN = read<T>(x),
            .bias_N = read(bias_N),
            .out_RN = write<T>(out)};
  }
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& bias_N) {
    Tensor out = at::empty_like(x);
    const auto op = op_of(x, bias_N, out);
    launch(op, op.chunks(), x, kernels::gelu_cpu, CLEARED_CUDA_HALF(gelu_cuda));
    context->save_for_backward({x, bias_N});
    return out;
  }
  static Tensors backward(AutogradContext* context, const Tensors& d_outs) {
    const auto saved = context->get_saved_variables();
    const Tensor &x = saved[0], &bias_N = saved[1], d_out = d_outs[0].contiguous();
    Tensor d_x = at::empty_like(x);
    kernels::GeluGrad<T> op{.forward = op_of(x, bias_N, {}),
                            .d_out_RN = read<T>(d_out),
                            .d_x_RN = write<T>(d_x),
                            .d_bias_CN = nullptr};
    const Tensor parts = at::empty({1, op.forward.chunks(), bias_N.numel()}, bias_N.options());
    op.d_bias_CN = write(parts);
    launch(op, op.forward.chunks(), x, kernels::gelu_grad_cpu, CLEARED_CUDA_HALF(gelu_grad_cuda));
    return {d_x, add_up(parts).view_as(bias_N)};
  }
};

// --------------------------------------------------------------------------------- residual, norm

struct NormInputs {
  Tensor x_BSN, branch_BSN, bias_N, gate_BN, scale, shift;
};

template <class T>
kernels::ResidualNorm<T> norm_op(const NormInputs& in, double offset, double eps) {
  const int64_t items = in.x_BSN.size(0), n = in.x_BSN.size(-1);
  const auto stride = [](const Tensor& t) { return t.defined() && t.dim() == 2 ? t.stride(0) : 0; };
  return {.items = items,
          .rows = in.x_BSN.numel() / (items * n),
          .n = n,
          .x_RN = read(in.x_BSN),
          .branch_RN = read<T>(in.branch_BSN),
          .branch_bias_N = read(in.bias_N),
          .gate_BN = read(in.gate_BN),
          .scale_BN = read(in.scale),
          .shift_BN = read(in.shift),
          .gate_stride = stride(in.gate_BN),
          .mod_stride = stride(in.scale),
          .scale_offset = static_cast<float>(offset),
          .eps = static_cast<float>(eps),
          .sum_RN = nullptr,
          .out_RN = nullptr,
          .mean_R = nullptr,
          .scatter_R = nullptr};
}

template <class T>
struct ResidualNormFunction : torch::autograd::Function<ResidualNormFunction<T>> {
  static Tensors forward(AutogradContext* context, const Tensor& x_BSN, const Optional& branch,
                         const Optional& bias, const Optional& gate, const Tensor& scale,
                         const Tensor& shift, double offset, double eps) {
    const Tensor branch_BSN = tensor(branch), bias_N = tensor(bias), gate_BN = tensor(gate);
    auto op = norm_op<T>({x_BSN, branch_BSN, bias_N, gate_BN, scale, shift}, offset, eps);
    const bool joins = branch_BSN.defined();
    Tensor out = at::empty(x_BSN.sizes(), x_BSN.options().dtype<OfTorch<T>>());
    Tensor sum = joins ? at::empty_like(x_BSN) : Tensor();
    const Tensor moments_2R = at::empty({2, op.items * op.rows}, x_BSN.options());
    op.out_RN = write<T>(out);
    op.sum_RN = write(sum);
    op.mean_R = write(moments_2R);
    op.scatter_R = op.mean_R + op.items * op.rows;
    launch(op, op.chunks(), x_BSN, kernels::residual_norm_cpu,
           CLEARED_CUDA_HALF(residual_norm_cuda));
    context->save_for_backward(
        {joins ? sum : x_BSN, branch_BSN, bias_N, gate_BN, scale, shift, moments_2R});
    context->saved_data["offset"] = offset;
    context->saved_data["eps"] = eps;
    context->set_materialize_grads(false);
    if (joins) return {sum, out};
    return {out};
  }

  static Tensors backward(AutogradContext* context, const Tensors& d_outs) {
    const auto saved = context->get_saved_variables();
    const NormInputs in{saved[0], saved[1], saved[2], saved[3], saved[4], saved[5]};
    const bool joins = in.branch_BSN.defined(), gated = in.gate_BN.defined();
    const Tensor &sum = saved[0], &moments_2R = saved[6];
    const Tensor d_sum = joins && d_outs[0].defined() ? d_outs[0].contiguous() : Tensor();
    Tensor d_out = d_outs.back();
    const at::TensorOptions as_out = sum.options().dtype<OfTorch<T>>();
    d_out = d_out.defined() ? d_out.contiguous() : at::zeros(sum.sizes(), as_out);

    kernels::ResidualNormGrad<T> op{};
    op.forward = norm_op<T>(in, context->saved_data["offset"].toDouble(),
                            context->saved_data["eps"].toDouble());
    op.forward.sum_RN = const_cast<float*>(read(sum));  // read only
    op.forward.mean_R = const_cast<float*>(read(moments_2R));
    op.forward.scatter_R = op.forward.mean_R + op.forward.items * op.forward.rows;
    const int64_t n = op.forward.n;
    // Without a gate it is d_x, where that is of its type.
    const bool own = joins && (gated || !std::is_same_v<T, float>);
    Tensor d_x = at::empty_like(sum), d_branch = own ? at::empty(sum.sizes(), as_out) : d_x;
    const Tensor parts =
        at::empty({op.forward.items, op.forward.chunks_of_item(), 4 * n}, sum.options());
    op.d_sum_RN = read(d_sum);
    op.d_out_RN = read<T>(d_out);
    op.d_x_RN = write(d_x);
    op.d_branch_RN = own ? write<T>(d_branch) : nullptr;
    op.d_parts_C4N = write(parts);
    launch(op, op.forward.chunks(), sum, kernels::residual_norm_grad_cpu,
           CLEARED_CUDA_HALF(residual_norm_grad_cuda));

    const Tensor items_B4N = add_up(parts).view({op.forward.items, 4, n});
    const Tensor all_4N = add_up(items_B4N.view({1, op.forward.items, 4 * n})).view({4, n});
    const auto of = [&](const Tensor& like, int64_t which) {
      if (!like.defined()) return Tensor();
      return like.dim() == 2 ? items_B4N.select(1, which) : all_4N[which];
    };
    return {d_x,
            joins ? d_branch : Tensor(),
            of(in.bias_N, 3),
            of(in.gate_BN, 2),
            of(in.scale, 0),
            of(in.shift, 1),
            {},
            {}};
  }
};

// ------------------------------------------------------------------------------------------ heads

template <class T>
struct SplitHeadsFunction : torch::autograd::Function<SplitHeadsFunction<T>> {
  static kernels::SplitHeads<T> op_of(const Tensor& x_BSN, const Tensor& bias_N,
                                      const std::vector<Tensor>& norm_D, const Tensor& rope_SD,
                                      int64_t heads, double eps) {
    const auto parts = static_cast<int64_t>(norm_D.size());
    kernels::SplitHeads<T> op{.items = x_BSN.size(0),
                              .rows = x_BSN.size(1),
                              .heads = heads,
                              .depth = x_BSN.size(2) / (parts * heads),
                              .parts = static_cast<int>(parts),
                              .x_RPHD = read<T>(x_BSN),
                              .bias_PHD = read(bias_N),
                              .norm_D = {},
                              .rope_SD = read(rope_SD),
                              .eps = static_cast<float>(eps),
                              .out_BHSD = {},
                              .item_stride = 0,
                              .head_stride = 0,
                              .row_stride = 0};
    for (size_t i = 0; i < norm_D.size(); ++i) op.norm_D[i] = read(norm_D[i]);
    return op;
  }

  static Tensors forward(AutogradContext* context, const Tensor& x_BSN, const Optional& bias,
                         const Optional& norm0, const Optional& norm1, const Optional& norm2,
                         const Optional& rope, int64_t parts, int64_t heads, double eps) {
    const Tensor bias_N = tensor(bias), rope_SD = tensor(rope);
    std::vector<Tensor> norms = {tensor(norm0), tensor(norm1), tensor(norm2)};
    norms.resize(static_cast<size_t>(parts));
    auto op = op_of(x_BSN, bias_N, norms, rope_SD, heads, eps);
    Tensors outs;
    for (size_t i = 0; i < norms.size(); ++i) {
      // In the order that attention computes its own result in.
      outs.push_back(x_BSN.is_cpu()
                         ? at::empty({op.items, op.heads, op.rows, op.depth}, x_BSN.options())
                         : at::empty({op.items, op.rows, op.heads, op.depth}, x_BSN.options())
                               .transpose(1, 2));
      op.out_BHSD[i] = write<T>(outs.back());
    }
    op.item_stride = outs[0].stride(0);
    op.head_stride = outs[0].stride(1);
    op.row_stride = outs[0].stride(2);
    launch(op, op.chunks(), x_BSN, kernels::split_heads_cpu, CLEARED_CUDA_HALF(split_heads_cuda));
    context->save_for_backward(
        {x_BSN, bias_N, tensor(norm0), tensor(norm1), tensor(norm2), rope_SD});
    context->saved_data["parts"] = parts;
    context->saved_data["heads"] = heads;
    context->saved_data["eps"] = eps;
    return outs;
  }

  static Tensors backward(AutogradContext* context, const Tensors& d_outs) {
    const auto saved = context->get_saved_variables();
    const Tensor &x_BSN = saved[0], &bias_N = saved[1], &rope_SD = saved[5];
    std::vector<Tensor> norms = {saved[2], saved[3], saved[4]};
    norms.resize(d_outs.size());
    kernels::SplitHeadsGrad<T> op{};
    op.forward = op_of(x_BSN, bias_N, norms, rope_SD, context->saved_data["heads"].toInt(),
                       context->saved_data["eps"].toDouble());
    Tensors kept;
    for (size_t i = 0; i < d_outs.size(); ++i) {
      kept.push_back(d_outs[i].stride(-1) == 1 ? d_outs[i] : d_outs[i].contiguous());
      const Tensor& d = kept.back();
      op.d_out[i] = {read<T>(d), d.stride(0), d.stride(1), d.stride(2)};
    }
    Tensor d_x = at::empty_like(x_BSN);
    const int64_t width = op.forward.width();
    const Tensor parts =
        at::empty({1, op.forward.chunks(), 2 * width}, x_BSN.options().dtype(at::kFloat));
    op.d_x_RPHD = write<T>(d_x);
    op.d_parts_C2PHD = write(parts);
    launch(op, op.forward.chunks(), x_BSN, kernels::split_heads_grad_cpu,
           CLEARED_CUDA_HALF(split_heads_grad_cuda));

    const Tensor sums_2N = add_up(parts).view({2, width});
    const Tensor norms_PHD = sums_2N[1].view({-1, op.forward.heads, op.forward.depth});
    Tensors d_norm(3);
    for (size_t i = 0; i < norms.size(); ++i) {
      if (norms[i].defined()) {
        d_norm[i] = add_up(norms_PHD[static_cast<int64_t>(i)].unsqueeze(0)).view(-1);
      }
    }
    return {
        d_x, bias_N.defined() ? sums_2N[0] : Tensor(), d_norm[0], d_norm[1], d_norm[2], {}, {}, {},
        {}};
  }
};

// ------------------------------------------------------------------------------------- attention

struct AttentionFunction : torch::autograd::Function<AttentionFunction> {
  static kernels::Attention op_of(const Tensor& q, const Tensor& k, const Tensor& v,
                                  const Tensor& out, const Tensor& log_sums) {
    return {.items = q.size(0),
            .heads = q.size(1),
            .queries = q.size(2),
            .keys = k.size(2),
            .depth = q.size(3),
            .scale = 1 / std::sqrt(static_cast<float>(q.size(3))),
            .q_BHSD = read(q),
            .k_BHLD = read(k),
            .v_BHLD = read(v),
            .out_BSHD = write(out),
            .log_sums_BHS = write(log_sums)};
  }
  static Tensor forward(AutogradContext* context, const Tensor& q, const Tensor& k,
                        const Tensor& v) {
    Tensor out = at::empty({q.size(0), q.size(2), q.size(1) * q.size(3)}, q.options());
    const Tensor log_sums = at::empty({q.size(0), q.size(1), q.size(2)}, q.options());
    const auto op = op_of(q, k, v, out, log_sums);
    launch(op, op.pairs(), q, kernels::attention_cpu, nullptr);
    context->save_for_backward({q, k, v, out, log_sums});
    return out;
  }
  static Tensors backward(AutogradContext* context, const Tensors& d_outs) {
    const auto saved = context->get_saved_variables();
    const Tensor d_out = d_outs[0].contiguous();
    Tensors d;
    for (size_t i = 0; i < 3; ++i) d.push_back(at::empty_like(saved[i]));
    const kernels::AttentionGrad op{
        .forward = op_of(saved[0], saved[1], saved[2], saved[3], saved[4]),
        .d_out_BSHD = read(d_out),
        .d_q_BHSD = write(d[0]),
        .d_k_BHLD = write(d[1]),
        .d_v_BHLD = write(d[2])};
    launch(op, op.forward.pairs(), d_out, kernels::attention_grad_cpu, nullptr);
    return d;
  }
};

// ------------------------------------------------------------------------------------------- loss

struct FlowErrorFunction : torch::autograd::Function<FlowErrorFunction> {
  static Tensor forward(AutogradContext* context, const Tensor& v, const Tensor& noise,
                        const Tensor& x) {
    Tensor error = at::empty_like(v);
    kernels::FlowLoss op{.v_M = read(v),
                         .noise_M = read(noise),
                         .x_M = read(x),
                         .error_M = write(error),
                         .squares_C = nullptr,
                         .m = v.numel()};
    const Tensor squares_C = at::empty({op.chunks()}, v.options().dtype(at::kDouble));
    op.squares_C = squares_C.mutable_data_ptr<double>();
    launch(op, op.chunks(), v, kernels::flow_loss_cpu, CLEARED_CUDA_HALF(flow_loss_cuda));
    context->save_for_backward({error});
    const double m = static_cast<double>(v.numel());
    if (!v.is_cpu()) return at::sum(squares_C).div(m).to(at::kFloat);  // and nobody waits for it
    const double sum = std::accumulate(op.squares_C, op.squares_C + op.chunks(), 0.0);
    return at::full({}, sum / m, v.options());
  }
  static Tensors backward(AutogradContext* context, const Tensors& d_outs) {
    const Tensor error = context->get_saved_variables()[0];
    return {error * (d_outs[0] * (2.0 / static_cast<double>(error.numel()))), {}, {}};
  }
};

// ------------------------------------------------------------------------------- run twice, not
// kept

struct RecomputedFunction : torch::autograd::Function<RecomputedFunction> {
  struct Held : torch::CustomClassHolder {
    Segment run;
    size_t inputs = 0;
  };
  static Tensors forward(AutogradContext* context, at::TensorList all, const Segment& run,
                         size_t inputs) {
    const auto held = c10::make_intrusive<Held>();
    held->run = run;
    held->inputs = inputs;
    context->saved_data["held"] = c10::IValue::make_capsule(held);
    context->save_for_backward(all.vec());
    return run(all.slice(0, inputs).vec());
  }
  static Tensors backward(AutogradContext* context, const Tensors& d_outs) {
    const auto capsule = context->saved_data.at("held").toCapsule();
    const Held& held = static_cast<const Held&>(*capsule);
    Tensors wanted = context->get_saved_variables();
    std::vector<Tensor> inputs;
    for (size_t i = 0; i < held.inputs; ++i) {
      wanted[i] = wanted[i].detach().set_requires_grad(wanted[i].requires_grad());
      inputs.push_back(wanted[i]);
    }
    Tensors outs, d_of_outs, sought;
    {
      const at::AutoGradMode with_gradients(true);
      outs = held.run(inputs);
    }
    for (size_t i = 0; i < outs.size(); ++i) {
      if (d_outs[i].defined()) d_of_outs.push_back(d_outs[i]);
      else outs[i] = Tensor();
    }
    std::erase_if(outs, [](const Tensor& out) { return !out.defined(); });
    std::copy_if(wanted.begin(), wanted.end(), std::back_inserter(sought),
                 [](const Tensor& x) { return x.requires_grad(); });
    const Tensors found = torch::autograd::grad(outs, sought, d_of_outs);
    Tensors gradients;
    size_t next = 0;
    for (const Tensor& x : wanted) {
      gradients.push_back(x.requires_grad() ? found[next++] : Tensor());
    }
    gradients.resize(gradients.size() + 2);  // of the two that are no tensors
    return gradients;
  }
};

}  // namespace

std::vector<Tensor> recomputed(const Segment& run, const std::vector<Tensor>& inputs,
                               const std::vector<Tensor>& weights) {
  if (!at::GradMode::is_enabled()) return run(inputs);
  std::vector<Tensor> all = inputs;
  all.insert(all.end(), weights.begin(), weights.end());
  return RecomputedFunction::apply(at::TensorList(all), run, inputs.size());
}

Tensor gelu(const Tensor& x, const Tensor& bias_N) {
  check_floats(bias_N);
  CLEARED_CHECK(x.is_contiguous() && bias_N.is_contiguous() && x.size(-1) == bias_N.numel());
  return for_type(x.scalar_type(), [&]<class T>(T) { return GeluFunction<T>::apply(x, bias_N); });
}

std::pair<Tensor, Tensor> residual_norm(const Tensor& x_BSN, const Branch& branch,
                                        const Modulation& modulation, double eps,
                                        at::ScalarType out) {
  const int64_t items = x_BSN.size(0), n = x_BSN.size(-1);
  check_floats(x_BSN);
  CLEARED_CHECK(x_BSN.is_contiguous());
  for (const Tensor& part : {branch.gate_BN, modulation.scale, modulation.shift, branch.bias_N}) {
    if (!part.defined()) continue;
    check_floats(part);
    CLEARED_CHECK(part.size(-1) == n && (part.dim() == 1 || part.size(0) == items));
  }
  CLEARED_CHECK(modulation.scale.strides() == modulation.shift.strides());
  if (!branch.value_BSN.defined()) {
    CLEARED_CHECK(!branch.bias_N.defined() && !branch.gate_BN.defined());
  } else {
    check_type(branch.value_BSN, out);
    CLEARED_CHECK(branch.value_BSN.is_contiguous() && branch.value_BSN.sizes() == x_BSN.sizes());
  }
  check_width(x_BSN, n, (n % 4 == 0 ? 4 : 1) * kernels::kMostNormed, "dim");
  const Tensors outs = for_type(out, [&]<class T>(T) {
    return ResidualNormFunction<T>::apply(
        x_BSN, optional(branch.value_BSN), optional(branch.bias_N), optional(branch.gate_BN),
        modulation.scale, modulation.shift, modulation.offset, eps);
  });
  if (outs.size() == 1) return {x_BSN, outs[0]};
  return {outs[0], outs[1]};
}

std::vector<Tensor> split_heads(const Tensor& x_BSN, const Tensor& bias_N,
                                const HeadOptions& options) {
  const auto parts = static_cast<int64_t>(options.norm_D.size());
  CLEARED_CHECK(x_BSN.is_contiguous() && x_BSN.dim() == 3 && 1 <= parts &&
                parts <= kernels::kMostParts);
  CLEARED_CHECK(x_BSN.size(2) % (2 * parts * options.heads) == 0);
  const int64_t depth = x_BSN.size(2) / (parts * options.heads);
  check_width(x_BSN, depth, kernels::kMostDepth, "dim / heads");
  if (bias_N.defined()) {
    check_floats(bias_N);
    CLEARED_CHECK(bias_N.numel() == x_BSN.size(2));
  }
  if (options.rope_SD.defined()) {
    check_floats(options.rope_SD);
    CLEARED_CHECK(options.rope_SD.is_contiguous() && options.rope_SD.size(0) == x_BSN.size(1) &&
                  options.rope_SD.size(1) == depth);
  }
  std::vector<Tensor> norms = options.norm_D;
  for (const Tensor& norm : norms) {
    if (!norm.defined()) continue;
    check_floats(norm);
    CLEARED_CHECK(norm.numel() == depth);
  }
  norms.resize(kernels::kMostParts);
  return for_type(x_BSN.scalar_type(), [&]<class T>(T) {
    return SplitHeadsFunction<T>::apply(
        x_BSN, optional(bias_N), optional(norms[0]), optional(norms[1]), optional(norms[2]),
        optional(options.rope_SD), parts, options.heads, options.eps);
  });
}

Tensor attention(const Tensor& q_BHSD, const Tensor& k_BHLD, const Tensor& v_BHLD) {
  CLEARED_CHECK(q_BHSD.dim() == 4 && k_BHLD.sizes() == v_BHLD.sizes());
  const bool suits = q_BHSD.is_cpu() && q_BHSD.scalar_type() == at::kFloat &&
                     q_BHSD.size(3) % kernels::kAttentionDepth == 0 &&
                     k_BHLD.size(2) <= kernels::kMostKeys;
  if (!suits) {
    return at::scaled_dot_product_attention(q_BHSD, k_BHLD, v_BHLD).transpose(1, 2).flatten(2);
  }
  CLEARED_CHECK(k_BHLD.size(0) == q_BHSD.size(0) && k_BHLD.size(1) == q_BHSD.size(1) &&
                k_BHLD.size(2) > 0 && k_BHLD.size(3) == q_BHSD.size(3));
  for (const Tensor& t : {q_BHSD, k_BHLD, v_BHLD}) {
    check_floats(t);
    CLEARED_CHECK(t.is_contiguous());
  }
  return AttentionFunction::apply(q_BHSD, k_BHLD, v_BHLD);
}

Tensor flow_error(const Tensor& v, const Tensor& noise, const Tensor& x) {
  CLEARED_CHECK(v.sizes() == noise.sizes() && v.sizes() == x.sizes());
  check_floats(noise);
  check_floats(x);
  return FlowErrorFunction::apply(v.contiguous(), noise.contiguous(), x.contiguous());
}

}  // namespace cleared::train
