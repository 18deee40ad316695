#include "train/plan.h"

#include <algorithm>
#include <cstdio>
#include <vector>

#include "train/config.pb.h"
#include "train/data/codec_shape.h"

namespace cleared::train {
namespace {

constexpr uint64_t kFloat = 4;
constexpr uint64_t kBf16 = 2;
constexpr uint64_t kTimeFeatures = 256;    // DitConfig::freq
constexpr double kH100FlopsPerS = 989e12;  // dense bfloat16, by its data sheet
constexpr double kShareOfPeak = 0.4;

uint64_t linear(uint64_t in, uint64_t out) {
  return in * out + out;
}

struct Shape {
  explicit Shape(const RunConfig& config)
      : n(config.model().dim()),
        layers(config.model().layers()),
        head(n / config.model().heads()),
        ffn(config.model().ffn()),
        text_n(config.text().dim()),
        text_layers(config.text().layers()),
        length(config.text().length()),
        vocabulary(vocabulary_of(config)) {
    const LatentShape latent = latent_shape(config);
    const uint64_t side = config.model().patch();
    tokens = latent.frames * (latent.height / side) * (latent.width / side);
    patch = latent.channels * side * side;
  }
  uint64_t n, layers, head, ffn, text_n, text_layers, length, vocabulary, tokens, patch;
};

// Mirrors train/model/dit.cpp; a test compares the two.
uint64_t transformer_parameters(const Shape& s) {
  const uint64_t n = s.n;
  const uint64_t block = 6 * n + 2 * n                                         // modulation, norm
                         + linear(n, 3 * n) + linear(n, n) + linear(n, 2 * n)  // qkv; q, kv
                         + 2 * (linear(n, n) + 2 * s.head)                     // o, QK norms
                         + linear(n, s.ffn) + linear(s.ffn, n);
  return linear(s.patch, n) + linear(kTimeFeatures, n) + linear(n, n) + linear(n, 6 * n) +
         linear(s.text_n, n) + linear(n, n) + s.layers * block + 2 * n + linear(n, s.patch);
}

// Mirrors train/model/text.cpp.
uint64_t text_parameters(const Shape& s) {
  const uint64_t n = s.text_n;
  const uint64_t layer =
      4 * n + linear(n, 3 * n) + linear(n, n) + linear(n, 4 * n) + linear(4 * n, n);
  return (s.vocabulary + s.length) * n + s.text_layers * layer + 2 * n;
}

// What Muon steps, where it is asked for: the weights of all layers that repeat.
uint64_t hidden_matrices(const Shape& s) {
  return s.layers * (8 * s.n * s.n + 2 * s.n * s.ffn) + s.text_layers * 12 * s.text_n * s.text_n;
}

struct Flops {
  double all = 0, attention = 0, blocks = 0;
};

// Of one clip, forward only; two for each multiplication and addition.
Flops forward(const Shape& shape) {
  const auto d = [](uint64_t x) { return static_cast<double>(x); };
  const double n = d(shape.n), s = d(shape.tokens), l = d(shape.length), p = d(shape.patch);
  const double t = d(shape.text_n);
  const double attention = d(shape.layers) * 4 * s * s * n;
  const double block = s * 2 * (6 * n * n + 2 * n * d(shape.ffn)) + l * 4 * n * n + 4 * s * l * n;
  const double around =
      s * 4 * p * n + l * 2 * (t * n + n * n) + 2 * (d(kTimeFeatures) * n + 7 * n * n);
  const double text = d(shape.text_layers) * (l * 2 * 12 * t * t + 4 * l * l * t);
  const double blocks = d(shape.layers) * block + attention;
  return {blocks + around + text, attention, blocks};
}

Plan plan_of_autoencoder(const RunConfig& config) {
  Plan plan;
  plan.codec = codec_parameters(config);
  const LatentShape latent = latent_shape(config);
  plan.tokens = latent.frames * latent.height * latent.width;
  plan.clip_flop = 3 * vae_flop(config);
  plan.step_flop = plan.clip_flop * config.batch();
  const uint64_t averages = static_cast<uint64_t>(config.optimiser().ema_size());
  plan.state_bytes = (4 + averages) * kFloat * plan.codec;
  // Each level keeps some ten pictures of its width for every frame; measured by nobody.
  const uint64_t pixels =
      uint64_t{config.clip().frames()} * config.clip().height() * config.clip().width();
  plan.activation_bytes =
      kFloat * pixels * config.codec().vae().dim() * 10 * (2 * config.codec().vae().blocks() + 1);
  plan.recomputed_bytes = plan.activation_bytes;
  plan.checkpoint_bytes = (3 + averages) * kFloat * plan.codec;
  return plan;
}

}  // namespace

Plan plan_of(const RunConfig& config) {
  if (config.stage() == RunConfig::AUTOENCODER) return plan_of_autoencoder(config);
  const Shape s(config);
  Plan plan;
  plan.transformer = transformer_parameters(s);
  plan.text = text_parameters(s);
  plan.codec = codec_parameters(config);
  plan.tokens = s.tokens;
  const Flops once = forward(s);
  plan.clip_flop = 3 * once.all;
  plan.attention_share = once.attention / once.all;
  plan.step_flop = plan.clip_flop * config.batch();

  // Weights, gradients, two moments (one where Muon steps) and the averages, all in float32; and a
  // copy of the weights in what products are computed in.
  const uint64_t averages = static_cast<uint64_t>(config.optimiser().ema_size());
  const bool halves = config.precision() == RunConfig::BF16;
  const uint64_t spared = config.optimiser().muon_momentum() > 0 ? kFloat * hidden_matrices(s) : 0;
  plan.state_bytes = ((4 + averages) * kFloat + (halves ? kBf16 : 0)) * plan.parameters() +
                     kFloat * plan.codec - spared;
  // What a block keeps: about 17 times its tokens, three of them of the stream between its parts,
  // and its hidden layer twice; measured by nobody.
  const uint64_t block =
      s.tokens * (kFloat * 3 * s.n + (halves ? kBf16 : kFloat) * (14 * s.n + 2 * s.ffn));
  plan.activation_bytes = s.layers * block;
  // Of a block that is computed again its input is kept, in two parts: the next norm adds them up.
  plan.recomputed_bytes = 2 * kFloat * s.layers * s.tokens * s.n + block;
  if (config.model().recompute()) {
    plan.activation_bytes = plan.recomputed_bytes;
    plan.again_flop = once.blocks * config.batch();
  }
  plan.checkpoint_bytes =
      (3 + averages) * kFloat * plan.parameters() + kFloat * plan.codec - spared;
  return plan;
}

double step_seconds(const Plan& plan, double flops_per_s, int ranks) {
  return (plan.step_flop + plan.again_flop) / (flops_per_s * ranks);
}

std::string bytes_text(uint64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1000 && unit + 1 < std::size(kUnits)) value /= 1024, ++unit;
  char text[32];
  std::snprintf(text, sizeof text, value < 10 && unit > 0 ? "%.2f %s" : "%.0f %s", value,
                kUnits[unit]);
  return text;
}

std::string plan_line(const Plan& plan, uint32_t batch) {
  const auto millions = [](uint64_t n) { return static_cast<double>(n) / 1e6; };
  const double gpu = step_seconds(plan, kH100FlopsPerS * kShareOfPeak, 1);
  char text[512];
  if (plan.parameters() == 0) {
    std::snprintf(
        text, sizeof text,
        "plan: autoencoder of %.1f M parameters, %.4g TFLOP a clip, %s of state a rank, %s "
        "of activations a clip, %s a checkpoint; a step of %u clips: %.3g GPU-seconds on "
        "H100s at 40 %% of 989 TFLOP/s",
        millions(plan.codec), plan.clip_flop / 1e12, bytes_text(plan.state_bytes).c_str(),
        bytes_text(plan.activation_bytes).c_str(), bytes_text(plan.checkpoint_bytes).c_str(), batch,
        gpu);
    return text;
  }
  const char* again = plan.again_flop > 0 ? " (blocks computed again)" : "";
  std::snprintf(
      text, sizeof text,
      "plan: %.1f M parameters + %.1f M text, %llu tokens, %.4g TFLOP a clip (%.0f %% "
      "attention), %s of state a rank, %s of activations a clip%s, %s a checkpoint; a step "
      "of %u clips: %.3g GPU-seconds on H100s at 40 %% of 989 TFLOP/s",
      millions(plan.transformer), millions(plan.text), static_cast<unsigned long long>(plan.tokens),
      plan.clip_flop / 1e12, 100 * plan.attention_share, bytes_text(plan.state_bytes).c_str(),
      bytes_text(plan.activation_bytes).c_str(), again, bytes_text(plan.checkpoint_bytes).c_str(),
      batch, gpu);
  return text;
}

}  // namespace cleared::train
