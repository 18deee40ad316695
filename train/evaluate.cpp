#include "train/evaluate.h"

#include <algorithm>
#include <map>
#include <set>

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/full.h>
#include <ATen/ops/mse_loss.h>

#include "ledger/base/error.h"
#include "ledger/trust.h"
#include "train/checkpoint.h"
#include "train/codec.h"
#include "train/data/config.h"
#include "train/data/loader.h"
#include "train/foreign.h"
#include "train/latent.h"
#include "train/looks.h"
#include "train/model/flow.h"
#include "train/model/klt.h"
#include "train/model/machine.h"
#include "train/model/peak.h"
#include "train/model/random.h"
#include "train/sample.h"
#include "train/setup.h"
#include "train/start.h"

namespace cleared::train {
namespace {

constexpr double kTimes[] = {0.05, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.95};

struct Mean {
  double sum = 0;
  uint64_t count = 0;
  void add(double value) { sum += value, ++count; }
  std::optional<double> get() const {
    if (count == 0) return {};
    return sum / static_cast<double>(count);
  }
};

// Of the velocity, and of the clip that it leads to in one step.
struct Errors {
  Mean loss, psnr;
};

// The gate of a permit that says EVALUATE, whatever the config declares for its run.
ledger::GateOptions evaluating(const LoadedConfig& loaded, const GatePaths& paths) {
  ledger::GateOptions options = gate_options(loaded, paths);
  ledger::declare(options.purpose, ledger::EVALUATE);
  return options;
}

constexpr uint64_t kNoPass = 0;  // nothing is learned from what is only measured

class Evaluation {
 public:
  explicit Evaluation(const EvaluateOptions& options)
      : options_(options),
        checkpoint_(
            read_checkpoint(options.checkpoint, ledger::read_trust(options.gate.trust).keys)),
        loaded_(load_config(options.checkpoint / "config.textproto")),
        gate_(evaluating(loaded_, options.gate)),
        shapes_(by_shape(loaded_.config)),
        decoders_(decoder_options(options.curate, loaded_.config)) {
    if (loaded_.config.stage() != RunConfig::TRANSFORMER) {
      throw Error(Errc::config, "eval: checkpoint ", options.checkpoint.string(),
                  loaded_.config.stage() == RunConfig::AUTOENCODER
                      ? " is of an autoencoder: train encode says how good that is"
                      : " is of a text encoder alone: measure a run that used it");
    }
    if (const auto verdict = gate_.judge_foreign(foreign_of(checkpoint_.state)); !verdict.cleared) {
      throw ledger::Refused(verdict);
    }
    if (makes_clips()) ask_for_clips();
    codec_ = make_codec(loaded_.config, checkpoint_.tensors.codec);
    codec_->to(device_);
    bpe_ = Bpe(read_pairs(checkpoint_.tensors.codec));
    codec_name_ = codec_digest(codec_->state());
    model_ = std::make_unique<Model>(model_config(loaded_.config), loaded_.config.seed());
    model_->to(device_);
    use(average_of(checkpoint_.tensors, loaded_.config, options.ema));
    for (const auto& [sample, total] : checkpoint_.text.totals) consumed_.insert(total.clip);
  }

  EvaluateReport run() {
    const at::NoGradGuard no_grad;
    report_.run = checkpoint_.state.run();
    report_.weights = checkpoint_.state.weights();
    report_.step = checkpoint_.state.step();
    report_.consumed = consumed_.size();
    measure_samples();
    if (makes_clips()) {
      remember_more();
      measure_clips();
    }
    report_.compared = compared_.size();
    return report_;
  }

 private:
  void tell(const std::string& what, uint64_t done, uint64_t all) const {
    if (options_.progress) options_.progress(what, done, all);
  }

  void use(const TensorMap& weights) {
    copy_tensors(weights, model_->parameters(), options_.checkpoint.string());
  }

  // What clips are made with.
  std::vector<TensorMap> weights() const {
    const CheckpointTensors& tensors = checkpoint_.tensors;
    if (!options_.all_weights) return {average_of(tensors, loaded_.config, options_.ema)};
    std::vector<TensorMap> all = {tensors.model};
    for (const double decay : loaded_.config.optimiser().ema()) {
      all.push_back(average_of(tensors, loaded_.config, decay));
    }
    return all;
  }

  bool makes_clips() const { return !options_.release.empty() && options_.clips > 0; }

  // Like a step, all of it is refused from the moment that the permit no longer holds.
  void ask() {
    if (const auto verdict = gate_.holds(); !verdict.cleared) throw ledger::Refused(verdict);
  }
  void ask_for_clips() {
    ask();
    ask_release({.release = options_.release,
                 .trust = options_.gate.trust,
                 .notices = options_.gate.notices},
                checkpoint_);
  }

  void measure_samples() {
    const uint64_t all = gate_.samples().size(), count = std::min(options_.samples, all);
    Mean psnr;
    std::map<bool, std::vector<Errors>> by_kind;  // seen?
    for (auto seen : {true, false}) by_kind[seen].resize(std::size(kTimes));
    for (uint64_t i = 0; i < count; ++i) {
      ask();
      const uint64_t sample = i * all / count;
      const size_t shape = shape_of(loaded_.config, gate_, sample);
      const Item item = load_item(gate_, decoders_.of(shape), sample, kNoPass);
      const bool seen = consumed(sample);
      measured_.insert(sample);
      ++(seen ? report_.seen : report_.held_out);
      const Tensor latent = latent_of(item, shapes_[shape], psnr);
      for (size_t time = 0; time < std::size(kTimes); ++time) {
        measure_at(latent, item, shapes_[shape], i, time, by_kind[seen][time]);
      }
      captions_.insert(item.caption);
      tell("samples", i + 1, count);
    }
    for (size_t time = 0; time < std::size(kTimes); ++time) {
      const Errors &seen = by_kind[true][time], &held_out = by_kind[false][time];
      report_.by_time.push_back({.t = kTimes[time],
                                 .seen = seen.loss.get(),
                                 .held_out = held_out.loss.get(),
                                 .seen_db = seen.psnr.get(),
                                 .held_out_db = held_out.psnr.get()});
    }
    report_.psnr_db = psnr.get().value_or(0);
  }

  Tensor latent_of(const Item& item, const RunConfig& config, Mean& psnr) {
    if (!item.latent.empty()) {
      const Tensor latent =
          parse_latent(item.latent, codec_name_, latent_sizes(config), to_hex(item.digest))
              .unsqueeze(0)
              .to(device_);
      remember(to_frames(codec_->decode(latent)), config, item);
      return latent;
    }
    const Frames* one = &item.frames;
    const Tensor video = to_video({&one, 1}, config);
    const Tensor latent = codec_->encode(video);
    psnr.add(psnr_db(codec_->decode(latent), video));
    remember(item.frames, config, item);
    return latent;
  }

  void measure_at(const Tensor& latent, const Item& item, const RunConfig& config, uint64_t sample,
                  size_t time, Errors& errors) {
    const DitConfig& dit = model_->config().dit;
    const Draw draw{
        .seed = options_.seed, .step = time, .sample = sample, .purpose = Purpose::noise};
    const FlowBatch batch{
        .x_BCTHW = latent,
        .noise_BCTHW = normal({&draw, 1}, latent.sizes().slice(1)).to(device_),
        .t_B = at::full({1}, kTimes[time], at::kFloat).to(device_),
        .states_BLN = model_->read(tokenize({item.caption}, dit.text_len, bpe_).to(device_))};
    const Tensor z = flow_mix(batch.x_BCTHW, batch.noise_BCTHW, batch.t_B);
    const Tensor v = model_->velocity(z, batch.t_B, batch.states_BLN);
    errors.loss.add(at::mse_loss(v, batch.noise_BCTHW - latent).item<double>());
    const Frames* one = &item.frames;
    const Tensor footage =
        item.latent.empty() ? to_video({&one, 1}, config) : codec_->decode(latent);
    errors.psnr.add(psnr_db(codec_->decode(z - kTimes[time] * v), footage));
  }

  // Calls `use(frame number, its look)`.
  template <class Use>
  void for_each_look(const Frames& frames, const RunConfig& config, const Use& use) const {
    const RunConfig::Clip& clip = config.clip();
    const size_t size = size_t{3} * clip.width() * clip.height();
    for (uint32_t i = 0; i < frames.size() / size; ++i) {
      use(i, look_of(std::span(frames).subspan(i * size, size), static_cast<int>(clip.width()),
                     static_cast<int>(clip.height())));
    }
  }

  void remember(const Frames& frames, const RunConfig& config, const Item& item) {
    for_each_look(frames, config, [&](uint32_t, const Look& look) {
      looks_.push_back({look, std::string(gate_.samples()[item.sample].key)});
    });
    report_.frames = looks_.size();
    if (consumed(item.sample)) compared_.insert(gate_.samples()[item.sample].clip);
  }

  // As video or as a latent: it is the same footage.
  bool consumed(uint64_t sample) const { return consumed_.contains(gate_.samples()[sample].clip); }

  // Clips are compared with more of what the run consumed than is measured: a look costs little
  // where there is video, and of a latent it takes the autoencoder.
  void remember_more() {
    std::vector<uint64_t> more;
    for (uint64_t i = 0; i < gate_.samples().size(); ++i) {
      if (consumed(i) && !measured_.contains(i)) more.push_back(i);
    }
    const uint64_t count = std::min<uint64_t>(options_.nearest, more.size());
    for (uint64_t i = 0; i < count; ++i) {
      ask();
      const uint64_t sample = more[i * more.size() / count];
      const size_t shape = shape_of(loaded_.config, gate_, sample);
      const Item item = load_item(gate_, decoders_.of(shape), sample, kNoPass);
      if (!item.latent.empty()) continue;
      remember(item.frames, shapes_[shape], item);
      tell("looks", i + 1, count);
    }
  }

  void measure_clips() {
    report_.nearest.resize(captions_.empty() ? 0 : options_.clips,
                           {.caption = "", .distance = 257, .frame = 0, .sample = ""});
    for (const TensorMap& some : weights()) {
      use(some);
      measure_clips_of();
    }
  }

  void measure_clips_of() {
    const uint64_t count = report_.nearest.size();
    auto caption = captions_.begin();
    for (uint64_t i = 0; i < count; ++i, ++caption) {
      if (caption == captions_.end()) caption = captions_.begin();
      GenerateOptions options = preview_options(loaded_.config);
      options.caption = *caption;
      options.seed = options_.seed + i;
      options.progress = [&](int) { ask_for_clips(); };
      ask_for_clips();
      const Frames frames = to_frames(generate_video(*model_, *codec_, bpe_, options));
      Nearest& nearest = report_.nearest[i];
      for_each_look(frames, loaded_.config, [&](uint32_t frame, const Look& look) {
        for (const auto& [known, key] : looks_) {
          const uint32_t bits = distance(look, known);
          if (bits < nearest.distance) nearest = {*caption, bits, frame, key};
        }
      });
      tell("clips", i + 1, count);
    }
  }

  const EvaluateOptions& options_;
  const at::Device device_ = first_device();
  Checkpoint checkpoint_;
  LoadedConfig loaded_;
  ledger::Gate gate_;
  const std::vector<RunConfig> shapes_;
  Decoders decoders_;
  std::unique_ptr<Codec> codec_;
  std::string codec_name_;
  Bpe bpe_{{}};
  std::unique_ptr<Model> model_;
  std::set<std::string> captions_;
  std::set<uint64_t> measured_;           // samples
  std::set<Digest> consumed_, compared_;  // clips
  struct Known {
    Look look;
    std::string key;
  };
  std::vector<Known> looks_;
  EvaluateReport report_;
};

}  // namespace

EvaluateReport evaluate(const EvaluateOptions& options) {
  prepare_machine(options.threads);
  return Evaluation(options).run();
}

}  // namespace cleared::train
