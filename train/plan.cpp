#include "train/plan.h"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <numeric>
#include <vector>

#include "train/config.pb.h"
#include "train/data/codec_shape.h"
#include "train/data/config.h"

namespace cleared::train {
namespace {

constexpr uint64_t kFloat = 4;
constexpr uint64_t kBf16 = 2;
constexpr uint64_t kTimeFeatures = 256;    // DitConfig::freq
constexpr double kH100FlopsPerS = 989e12;  // dense bfloat16, by its data sheet
constexpr double kShareOfPeak = 0.4;
constexpr uint64_t kBase = uint64_t{288} << 20;  // measured with nano on CPUs

uint64_t linear(uint64_t in, uint64_t out) {
  return in * out + out;
}

struct TextShape {
  explicit TextShape(const RunConfig& config)
      : n(config.text().dim()),
        layers(config.text().layers()),
        length(config.text().length()),
        vocabulary(vocabulary_of(config)) {}
  uint64_t n, layers, length, vocabulary;
};

struct Shape {
  explicit Shape(const RunConfig& config)
      : text(config),
        n(config.model().dim()),
        layers(config.model().layers()),
        head(n / config.model().heads()),
        ffn(config.model().ffn()) {
    const LatentShape latent = latent_shape(config);
    const uint64_t side = config.model().patch();
    tokens = latent.frames * (latent.height / side) * (latent.width / side);
    patch = latent.channels * side * side;
  }
  TextShape text;
  uint64_t n, layers, head, ffn, tokens, patch;
};

// Mirrors train/model/dit.cpp; a test compares the two.
uint64_t transformer_parameters(const Shape& s) {
  const uint64_t n = s.n;
  const uint64_t block = 6 * n + 2 * n                                         // modulation, norm
                         + linear(n, 3 * n) + linear(n, n) + linear(n, 2 * n)  // qkv; q, kv
                         + 2 * (linear(n, n) + 2 * s.head)                     // o, QK norms
                         + linear(n, s.ffn) + linear(s.ffn, n);
  return linear(s.patch, n) + linear(kTimeFeatures, n) + linear(n, n) + linear(n, 6 * n) +
         linear(s.text.n, n) + linear(n, n) + s.layers * block + 2 * n + linear(n, s.patch);
}

// Mirrors train/model/text.cpp.
uint64_t text_parameters(const TextShape& s) {
  const uint64_t n = s.n;
  const uint64_t layer =
      4 * n + linear(n, 3 * n) + linear(n, n) + linear(n, 4 * n) + linear(4 * n, n);
  return (s.vocabulary + s.length) * n + s.layers * layer + 2 * n;
}

// Mirrors train/model/masking.cpp.
uint64_t masking_parameters(const TextShape& s) {
  return s.n + s.vocabulary + linear(s.n, s.n);
}

// What Muon steps, where it is asked for: the weights of all layers that repeat.
uint64_t hidden_matrices(const TextShape& s) {
  return s.layers * 12 * s.n * s.n;
}
uint64_t hidden_matrices(const Shape& s) {
  return s.layers * (8 * s.n * s.n + 2 * s.n * s.ffn);
}

double d(uint64_t x) {
  return static_cast<double>(x);
}

// Of one caption, forward only; two for each multiplication and addition.
double forward(const TextShape& s) {
  const double n = d(s.n), l = d(s.length);
  return d(s.layers) * (l * 2 * 12 * n * n + 4 * l * l * n);
}

// Of the clips and captions of a config with that many bytes a number in products: what a block
// keeps is about 17 times its tokens, three of them of the stream between its parts, and its hidden
// layer twice; measured by nobody.
uint64_t kept_by_block(uint64_t tokens, uint64_t n, uint64_t ffn, bool halves) {
  return tokens * (kFloat * 3 * n + (halves ? kBf16 : kFloat) * (14 * n + 2 * ffn));
}

struct Flops {
  double all = 0, attention = 0, blocks = 0;
};

// Of one clip, forward only; two for each multiplication and addition.
Flops forward(const Shape& shape) {
  const double n = d(shape.n), s = d(shape.tokens), l = d(shape.text.length), p = d(shape.patch);
  const double t = d(shape.text.n);
  const double attention = d(shape.layers) * 4 * s * s * n;
  const double block = s * 2 * (6 * n * n + 2 * n * d(shape.ffn)) + l * 4 * n * n + 4 * s * l * n;
  const double around =
      s * 4 * p * n + l * 2 * (t * n + n * n) + 2 * (d(kTimeFeatures) * n + 7 * n * n);
  const double blocks = d(shape.layers) * block + attention;
  return {blocks + around, attention, blocks};
}

// A convolution of the discriminator: numbers of its input and output, and of the latter the
// places.
struct DiscriminatorLayer {
  uint64_t in, out, kernel, places;
};

// Mirrors train/model/discriminator.cpp; a test compares the two.
std::vector<DiscriminatorLayer> discriminator_layers(const RunConfig& config) {
  const RunConfig::Clip& clip = config.clip();
  const uint64_t d = config.discriminator().dim(), area = uint64_t{clip.width()} * clip.height();
  const uint64_t half = (clip.frames() - 1) / 2 + 1, quarter = (half - 1) / 2 + 1;
  return {{3, d, 48, clip.frames() * area / 4},
          {d, 2 * d, 48, half * area / 16},
          {2 * d, 4 * d, 48, quarter * area / 64},
          {4 * d, 8 * d, 27, quarter * area / 64},
          {8 * d, 1, 27, quarter * area / 64}};
}

void add_discriminator(const RunConfig& config, Plan& plan) {
  if (!config.has_discriminator()) return;
  constexpr double kPasses = 8;       // three forward; two of them twice backward, one once
  constexpr uint64_t kPictures = 15;  // kept of each layer: some five of each forward pass
  uint64_t parameters = 0, kept = 0;
  double flop = 0;
  for (const DiscriminatorLayer& layer : discriminator_layers(config)) {
    const bool normed = layer.in != 3 && layer.out != 1;
    parameters += (layer.in * layer.kernel + (normed ? 2 : 1)) * layer.out;
    kept += layer.out * layer.places;
    flop += 2 * static_cast<double>(layer.places) *
            static_cast<double>(layer.in * layer.out * layer.kernel);
  }
  plan.discriminator = parameters;
  plan.adversary_flop = kPasses * flop * config.batch();
  plan.state_bytes += 4 * kFloat * parameters;
  plan.checkpoint_bytes += 3 * kFloat * parameters;
  plan.activation_bytes += kPictures * kFloat * kept;
}

uint64_t part_bytes_of(const RunConfig& config) {
  const RunConfig::Vae& vae = config.codec().vae();
  return part_bytes(config.clip().width(), config.clip().height(), vae.dim(), vae.patch());
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
  // Each level keeps some sixteen pictures of its width for every frame: measured at the sizes of
  // nano-vae and small-vae on CPUs (docs/performance.md).
  const uint64_t pixels =
      uint64_t{config.clip().frames()} * config.clip().height() * config.clip().width();
  plan.activation_bytes =
      kFloat * pixels * config.codec().vae().dim() * 16 * (2 * config.codec().vae().blocks() + 1);
  plan.checkpoint_bytes = (3 + averages) * kFloat * plan.codec;
  add_discriminator(config, plan);
  plan.recomputed_bytes = plan.activation_bytes;
  plan.part_bytes = part_bytes_of(config);
  return plan;
}

// A layer of the encoder is a block of the transformer without cross-attention; beside them the
// logits of what is hidden are kept, twice.
Plan plan_of_text_encoder(const RunConfig& config) {
  const TextShape s(config);
  Plan plan;
  plan.text = text_parameters(s);
  plan.masking = masking_parameters(s);
  plan.tokens = s.length;
  const double hidden = config.masking().share() * d(s.length), n = d(s.n);
  const double once = forward(s) + hidden * 2 * (n * n + n * d(s.vocabulary));
  plan.clip_flop = 3 * once;
  plan.attention_share = 4 * d(s.layers) * d(s.length) * d(s.length) * n / once;
  plan.step_flop = plan.clip_flop * config.batch();
  const uint64_t averages = static_cast<uint64_t>(config.optimiser().ema_size());
  const bool halves = config.precision() == RunConfig::BF16;
  const uint64_t spared = config.optimiser().muon_momentum() > 0 ? kFloat * hidden_matrices(s) : 0;
  plan.state_bytes = ((4 + averages) * kFloat + (halves ? kBf16 : 0)) * plan.parameters() - spared;
  plan.activation_bytes = s.layers * kept_by_block(s.length, s.n, 4 * s.n, halves) +
                          2 * kFloat * static_cast<uint64_t>(hidden) * s.vocabulary;
  plan.recomputed_bytes = plan.activation_bytes;
  plan.checkpoint_bytes = (3 + averages) * kFloat * plan.parameters() - spared;
  return plan;
}

}  // namespace

Plan plan_of(const RunConfig& config) {
  if (config.stage() == RunConfig::AUTOENCODER) return plan_of_autoencoder(config);
  if (config.stage() == RunConfig::TEXT_ENCODER) return plan_of_text_encoder(config);
  const Shape s(config);
  Plan plan;
  plan.transformer = transformer_parameters(s);
  plan.text = text_parameters(s.text);
  plan.codec = codec_parameters(config);
  if (config.codec().has_vae()) plan.part_bytes = part_bytes_of(config);
  plan.tokens = s.tokens;
  const Flops once = forward(s);
  // An encoder that does not learn reads each caption once in the run.
  const bool reads = config.text().learning_rate_share() > 0;
  const double all = once.all + (reads ? forward(s.text) : 0);
  plan.clip_flop = 3 * all;
  plan.attention_share = once.attention / all;
  plan.step_flop = plan.clip_flop * config.batch();

  // Weights, gradients, two moments (one where Muon steps) and the averages, all in float32; and a
  // copy of the weights in what products are computed in. What does not learn has weights alone,
  // which a checkpoint has as its averages, too.
  const uint64_t averages = static_cast<uint64_t>(config.optimiser().ema_size());
  const bool halves = config.precision() == RunConfig::BF16;
  const uint64_t hidden = hidden_matrices(s) + (reads ? hidden_matrices(s.text) : 0);
  const uint64_t spared = config.optimiser().muon_momentum() > 0 ? kFloat * hidden : 0;
  const uint64_t fixed = reads ? 0 : kFloat * plan.text;
  plan.state_bytes = ((4 + averages) * kFloat + (halves ? kBf16 : 0)) * plan.parameters() +
                     kFloat * plan.codec - spared - (3 + averages) * fixed;
  const uint64_t block = kept_by_block(s.tokens, s.n, s.ffn, halves);
  plan.activation_bytes = s.layers * block;
  // Of a block that is computed again its input is kept, in two parts: the next norm adds them up.
  plan.recomputed_bytes = 2 * kFloat * s.layers * s.tokens * s.n + block;
  if (config.model().recompute()) {
    plan.activation_bytes = plan.recomputed_bytes;
    plan.again_flop = once.blocks * config.batch();
  }
  plan.checkpoint_bytes =
      (3 + averages) * kFloat * plan.parameters() + kFloat * plan.codec - spared - 2 * fixed;
  return plan;
}

// At its widest level, of the pixels, so many pictures of the four frames of a part are held at
// once; measured (tests/train/model/vae_test.cpp).
uint64_t part_bytes(uint64_t width, uint64_t height, uint64_t dim, uint64_t patch) {
  constexpr uint64_t kPictures = 16, kFrames = 4;
  return kPictures * kFloat * kFrames * dim * (width / patch) * (height / patch);
}

constexpr uint64_t kPieceBytes = 64 << 20;  // GradientOptions::piece of train/model/dist.h

Memory memory_of(const RunConfig& config, int ranks) {
  const Plan plan = plan_of(config);
  const bool exact = config.gradients() == RunConfig::EXACT;
  const auto shared_by = static_cast<uint32_t>(ranks);
  const uint32_t micro_batches = exact ? micro_batches_of(config) : 1;
  const bool autoencoder = config.stage() == RunConfig::AUTOENCODER;
  const bool states =
      config.stage() == RunConfig::TRANSFORMER && config.text().learning_rate_share() == 0;
  const uint64_t learns =
      autoencoder ? plan.codec + plan.discriminator : plan.parameters() - (states ? plan.text : 0);
  Memory memory{
      .state = plan.state_bytes,
      .preview = config.has_preview() ? kFloat * plan.parameters() + plan.part_bytes : 0,
      .copy = plan.checkpoint_bytes + (autoencoder ? kFloat * plan.codec + plan.part_bytes : 0),
      .states = states ? kStatesBytes : 0,
      .base = kBase};
  if (exact) {
    // GradientTree holds a sum of each of its levels but the lowest, whose leaves are added at
    // once, and what the ranks send each other goes in pieces, of which five are under way.
    const uint32_t leaves = std::max(micro_batches / shared_by, 1U);
    const auto levels = static_cast<uint64_t>(std::bit_width(leaves)) - 1;
    const uint64_t gradient = kFloat * learns;
    memory.sums = std::max<uint64_t>(levels, 1) * gradient - gradient;
    if (ranks > 1) memory.sums += 5 * std::min(gradient / 8, kPieceBytes);
  } else if (ranks > 1) {
    memory.sums = kFloat * learns;  // the Reducer's buckets
  }
  for (const RunConfig& shape : by_shape(config)) {
    // Of a rank, or of a micro-batch: the gradient of each is done before the next begins.
    const uint32_t shares = std::max(micro_batches, shared_by);
    const uint64_t clips = (shape.batch() + shares - 1) / shares;
    const Plan one = plan_of(shape);
    memory.activations = std::max(memory.activations, clips * one.activation_bytes);
    memory.recomputed = std::max(memory.recomputed, clips * one.recomputed_bytes);
    if (!autoencoder) memory.codec = std::max(memory.codec, clips * one.part_bytes);
  }
  return memory;
}

uint64_t kept_checkpoints(const RunConfig& config) {
  const RunConfig::Checkpoints& checkpoints = config.checkpoints();
  const uint64_t every = checkpoints.every(), all = (config.steps() + every - 1) / every;
  const uint64_t newest = checkpoints.keep();
  if (newest == 0 || all <= newest) return all;
  if (checkpoints.keep_every() == 0 || checkpoints.keep_every() > config.steps()) return newest;
  return newest + (all - newest) * every / std::lcm(every, checkpoints.keep_every());
}

double step_seconds(const Plan& plan, double flops_per_s, int ranks) {
  return (plan.step_flop + plan.again_flop + plan.adversary_flop) / (flops_per_s * ranks);
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

std::string plan_line(const RunConfig& config) {
  const Plan plan = plan_of(config);
  const auto millions = [](uint64_t n) { return static_cast<double>(n) / 1e6; };
  char what[160], beside[80] = "", its[80] = "";
  if (plan.discriminator > 0) {
    std::snprintf(beside, sizeof beside, " + %.1f M of its discriminator",
                  millions(plan.discriminator));
    std::snprintf(its, sizeof its, " + %.3g of the discriminator",
                  plan.adversary_flop / config.batch() / 1e12);
  }
  const bool text_alone = config.stage() == RunConfig::TEXT_ENCODER;
  const char* one = text_alone ? "caption" : "clip";
  if (text_alone) {
    std::snprintf(what, sizeof what,
                  "text encoder of %.1f M parameters + %.1f M to learn by, %llu tokens, %.4g TFLOP "
                  "a caption",
                  millions(plan.text), millions(plan.masking),
                  static_cast<unsigned long long>(plan.tokens), plan.clip_flop / 1e12);
  } else if (plan.parameters() == 0) {
    std::snprintf(what, sizeof what, "autoencoder of %.1f M parameters%s, %.4g%s TFLOP a clip",
                  millions(plan.codec), beside, plan.clip_flop / 1e12, its);
  } else {
    std::snprintf(what, sizeof what,
                  "%.1f M parameters + %.1f M text, %llu tokens, %.4g TFLOP a clip (%.0f %% "
                  "attention)",
                  millions(plan.transformer), millions(plan.text),
                  static_cast<unsigned long long>(plan.tokens), plan.clip_flop / 1e12,
                  100 * plan.attention_share);
  }
  const auto most = static_cast<int>(micro_batches_of(config));
  char text[640];
  std::snprintf(
      text, sizeof text,
      "plan: %s, %s of state a rank, %s of activations a %s%s, %s a checkpoint; in all %s on one "
      "GPU, %s on each of %d; a step of %u %ss: %.3g GPU-seconds on H100s at 40 %% of 989 "
      "TFLOP/s",
      what, bytes_text(plan.state_bytes).c_str(), bytes_text(plan.activation_bytes).c_str(), one,
      plan.again_flop > 0 ? " (blocks computed again)" : "",
      bytes_text(plan.checkpoint_bytes).c_str(),
      bytes_text(memory_of(config, 1).first_gpu()).c_str(),
      bytes_text(memory_of(config, most).first_gpu()).c_str(), most, config.batch(), one,
      step_seconds(plan, kH100FlopsPerS * kShareOfPeak, 1));
  return text;
}

}  // namespace cleared::train
