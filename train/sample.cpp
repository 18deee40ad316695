#include "train/sample.h"

#include <cmath>
#include <exception>
#include <string_view>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>

#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/base/log.h"
#include "ledger/key.h"
#include "ledger/release.h"
#include "ledger/trust.h"
#include "train/checkpoint.h"
#include "train/data/config.h"
#include "train/data/webm.h"
#include "train/foreign.h"
#include "train/guard.h"
#include "train/model/flow.h"
#include "train/model/gif.h"
#include "train/model/machine.h"
#include "train/model/peak.h"
#include "train/model/random.h"
#include "train/setup.h"

namespace cleared::train {

GenerateOptions sampler_options(const RunConfig& config) {
  GenerateOptions options;
  options.seed = config.seed();
  options.latent = latent_sizes(config);
  options.shift = config.flow().shift();
  return options;
}

GenerateOptions preview_options(const RunConfig& config) {
  GenerateOptions options = sampler_options(config);
  if (!config.has_preview()) return options;
  options.caption = config.preview().caption(0);
  options.steps = static_cast<int>(config.preview().steps());
  options.guidance = config.preview().guidance();
  options.shift = config.preview().shift();
  return options;
}

Gif gif_of(const Tensor& video_BCTHW, const RunConfig& config, int scale) {
  const int height = static_cast<int>(video_BCTHW.size(3));
  const int width = static_cast<int>(video_BCTHW.size(4));
  const double rate = config.clip().frames_per_second();
  return {.bytes = encode_gif(
              to_frames(video_BCTHW),
              {.width = width, .height = height, .frames_per_second = rate, .scale = scale}),
          .width = width * scale,
          .height = height * scale};
}

Tensor generate_video(const Model& model, const Codec& codec, const Bpe& bpe,
                      const GenerateOptions& options) {
  const at::NoGradGuard no_grad;
  const DitConfig& dit = model.config().dit;
  const Draw draw{.seed = options.seed, .step = 0, .sample = 0, .purpose = Purpose::generate};
  const at::Device device = model.parameters().begin()->second.device();
  const Tensor noise_BCTHW = normal({&draw, 1}, options.latent).to(device);
  const Tensor tokens_BL = tokenize({options.caption}, dit.text_len, bpe).to(device);
  const Tensor latent_BCTHW = sample(model, noise_BCTHW, tokens_BL,
                                     {.steps = options.steps,
                                      .guidance = options.guidance,
                                      .shift = options.shift,
                                      .progress = options.progress});
  return codec.decode(latent_BCTHW);
}

Gif generate_gif(const Model& model, const Codec& codec, const Bpe& bpe, const RunConfig& config,
                 const GenerateOptions& options) {
  Gif gif = gif_of(generate_video(model, codec, bpe, options), config, options.scale);
  gif.caption = options.caption;
  return gif;
}

// A clip to look at is not worth a run whose checkpoint is written.
std::vector<Gif> try_preview(const std::function<std::vector<Gif>()>& preview, uint64_t step) {
  try {
    return preview();
  } catch (const std::exception& error) {
    const std::string_view what = error.what();
    log(Level::warn, "run.preview", {{"step", step}, {"lost", what.substr(0, what.find('\n'))}});
    return {};
  }
}

namespace {

// A trust file without a trainer's key says nothing about statements.
std::vector<ledger::PublicKey> trainers_of(const std::filesystem::path& trust) {
  std::vector<ledger::PublicKey> out;
  for (const ledger::PublicKey& key : ledger::read_trust(trust).keys) {
    if (key.role == "trainer") out.push_back(key);
  }
  return out;
}

// The config as the shape asked for sees it.
RunConfig config_of_shape(const RunConfig& config, const std::string& asked) {
  std::string all;
  for (const RunConfig& shape : by_shape(config)) {
    const RunConfig::Clip& clip = shape.clip();
    const std::string name = std::to_string(clip.width()) + "x" + std::to_string(clip.height()) +
                             "x" + std::to_string(clip.frames());
    if (asked.empty() || asked == name) return shape;
    all += " " + name;
  }
  throw Error(Errc::usage, "sample: no shape ", asked, " in the checkpoint's config; it has", all);
}

void require(const ledger::Verdict& verdict) {
  if (!verdict.cleared) throw ledger::Refused(verdict);
}

ledger::ReleaseOptions of_checkpoint(ledger::ReleaseOptions options, const Checkpoint& checkpoint) {
  options.weights = checkpoint.weights;
  options.foreign = foreign_of(checkpoint.state);
  return options;
}

}  // namespace

void ask_release(const ledger::ReleaseOptions& options, const Checkpoint& checkpoint) {
  require(ledger::check_release(of_checkpoint(options, checkpoint)));
}

SampleReport sample_command(const SampleCommand& command) {
  prepare_machine(command.threads);
  const Checkpoint checkpoint = read_checkpoint(command.checkpoint, trainers_of(command.trust));
  const ledger::ReleaseOptions release = of_checkpoint({.release = command.release,
                                                        .trust = command.trust,
                                                        .notices = command.notices,
                                                        .use = command.use},
                                                       checkpoint);
  const auto ask = [&] { require(ledger::check_release(release)); };
  const auto limit = ledger::similarity_limit(release);
  const std::string kind = command.out.extension().string();
  if (kind != ".gif" && kind != ".webm") {
    throw Error(Errc::usage, "sample: --out ", command.out.string(),
                ": give it a name that ends in .gif or .webm, which is what can be written");
  }
  const RunConfig config = config_of_shape(
      parse_config(checkpoint.text.config, (command.checkpoint / "config.textproto").string()),
      command.shape);
  if (config.stage() != RunConfig::TRANSFORMER) {
    throw Error(Errc::config, "sample: checkpoint ", command.checkpoint.string(),
                config.stage() == RunConfig::AUTOENCODER ? " is of an autoencoder"
                                                         : " is of a text encoder alone",
                ", which makes no clips: give one of a run that used it");
  }
  GenerateOptions options = preview_options(config);
  if (!command.caption && !config.has_preview()) {
    throw Error(Errc::usage, "sample: the config has no preview: give a --caption");
  }
  if (command.caption) options.caption = *command.caption;
  if (command.seed) options.seed = *command.seed;
  if (command.steps) options.steps = *command.steps;
  if (command.guidance) options.guidance = *command.guidance;
  if (!std::isfinite(options.guidance)) {
    throw Error(Errc::usage, "sample: --guidance must be a number");
  }
  options.scale = command.scale;
  options.progress = [&](int step) {
    ask();
    if (command.progress) command.progress(step + 1, options.steps);
  };

  const at::Device device = first_device();
  Model model(model_config(config), config.seed());
  model.to(device);
  copy_tensors(average_of(checkpoint.tensors, config, command.ema), model.parameters(),
               command.checkpoint.string());
  const auto codec = make_codec(config, checkpoint.tensors.codec);
  codec->to(device);
  const Tensor video =
      generate_video(model, *codec, Bpe(read_pairs(checkpoint.tensors.codec)), options);
  ask();
  const int width = static_cast<int>(video.size(4)), height = static_cast<int>(video.size(3));
  const Frames frames = to_frames(video);
  if (limit) require(judge_clip(*limit, frames, width, height));
  if (kind == ".webm") {
    write_webm(command.out, frames,
               {.program = command.curate,
                .width = width,
                .height = height,
                .frames_per_second = static_cast<int>(config.clip().frames_per_second())});
  } else {
    write_file(command.out, gif_of(video, config, options.scale).bytes);
  }
  return {.run = checkpoint.state.run(),
          .step = checkpoint.state.step(),
          .caption = options.caption,
          .seed = options.seed,
          .size_bytes = std::filesystem::file_size(command.out)};
}

}  // namespace cleared::train
