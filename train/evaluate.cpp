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

// Digests of the weights that a run began with and did not train, by which what they consumed is
// found: what is foreign consumed nothing that is on record.
std::set<std::string> parents_of(const State& state) {
  std::set<std::string> parents;
  if (state.has_vae()) parents.insert(state.vae());
  if (state.has_text_encoder()) parents.insert(state.text_encoder());
  return parents;
}

class Evaluation {
 public:
  explicit Evaluation(const EvaluateOptions& options)
      : options_(options),
        trusted_(ledger::read_trust(options.gate.trust).keys),
        checkpoint_(read_checkpoint(options.checkpoint, trusted_)),
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
    find_consumed();
    if (makes_clips()) ask_for_clips();
    codec_ = make_codec(loaded_.config, checkpoint_.tensors.codec);
    codec_->to(device_);
    bpe_ = Bpe(read_pairs(checkpoint_.tensors.codec));
    codec_name_ = codec_digest(codec_->state());
    model_ = std::make_unique<Model>(model_config(loaded_.config), loaded_.config.seed());
    model_->to(device_);
    use(average_of(checkpoint_.tensors, loaded_.config, options.ema));
  }

  EvaluateReport run() {
    const at::NoGradGuard no_grad;
    report_.run = checkpoint_.state.run();
    report_.weights = checkpoint_.state.weights();
    report_.step = checkpoint_.state.step();
    report_.consumed = consumed_.size();
    measure_samples();
    if (makes_clips()) {
      look_at_footage();
      measure_clips();
    }
    return report_;
  }

 private:
  void tell(const std::string& what, uint64_t done, uint64_t all) const {
    if (options_.progress) options_.progress(what, done, all);
  }

  // What the weights consumed, and those that they came with.
  void find_consumed() {
    const auto add = [&](const Totals& totals) {
      for (const auto& [sample, total] : totals) consumed_.insert(total.clip);
    };
    add(checkpoint_.text.totals);
    std::set<std::string> unknown = parents_of(checkpoint_.state);
    for (const std::filesystem::path& path : options_.parents) {
      const Checkpoint parent = read_checkpoint(path, trusted_);
      if (unknown.erase(parent.state.weights()) == 0) {
        throw Error(Errc::usage, "eval: checkpoint ", path.string(), " has weights ",
                    parent.state.weights(), ", which ", options_.checkpoint.string(),
                    " did not come with");
      }
      add(parent.text.totals);
    }
    if (options_.extraction && !unknown.empty()) {
      throw Error(Errc::usage,
                  "eval: --extraction is a test against all that the weights consumed, and what "
                  "their autoencoder or text encoder consumed is not known: give the checkpoint "
                  "of weights ",
                  *unknown.begin(), " with --vae or --text");
    }
    report_.unknown.assign(unknown.begin(), unknown.end());
  }

  void use(const TensorMap& weights) {
    copy_tensors(weights, model_->parameters(), options_.checkpoint.string());
  }

  // What clips are made with.
  std::vector<TensorMap> weights() const {
    const CheckpointTensors& tensors = checkpoint_.tensors;
    if (!options_.extraction) return {average_of(tensors, loaded_.config, options_.ema)};
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
      ++(seen ? report_.seen : report_.others);
      const Tensor latent = latent_of(item, shapes_[shape], psnr);
      for (size_t time = 0; time < std::size(kTimes); ++time) {
        measure_at(latent, item, shapes_[shape], i, time, by_kind[seen][time]);
      }
      tell("samples", i + 1, count);
    }
    for (size_t time = 0; time < std::size(kTimes); ++time) {
      const Errors &seen = by_kind[true][time], &others = by_kind[false][time];
      report_.by_time.push_back({.t = kTimes[time],
                                 .seen = seen.loss.get(),
                                 .others = others.loss.get(),
                                 .seen_db = seen.psnr.get(),
                                 .others_db = others.psnr.get()});
    }
    report_.psnr_db = psnr.get().value_or(0);
  }

  Tensor latent_of(const Item& item, const RunConfig& config, Mean& psnr) {
    if (!item.latent.empty()) return stored_latent(item, config);
    const Frames* one = &item.frames;
    const Tensor video = to_video({&one, 1}, config);
    const Tensor latent = codec_->encode(video);
    psnr.add(psnr_db(codec_->decode(latent), video));
    return latent;
  }

  Tensor stored_latent(const Item& item, const RunConfig& config) const {
    return parse_latent(item.latent, codec_name_, latent_sizes(config), to_hex(item.digest))
        .unsqueeze(0)
        .to(device_);
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

  const Digest& clip_of(uint64_t sample) const { return gate_.samples()[sample].clip; }
  // As video or as a latent: it is the same footage.
  bool consumed(uint64_t sample) const { return consumed_.contains(clip_of(sample)); }

  // Clips are compared with more of what was consumed than is measured.
  void look_at_footage() {
    std::vector<uint64_t> all(measured_.begin(), measured_.end()), more;
    for (uint64_t i = 0; i < gate_.samples().size(); ++i) {
      if (consumed(i) && !measured_.contains(i)) more.push_back(i);
    }
    const uint64_t count =
        options_.extraction ? more.size() : std::min<uint64_t>(options_.nearest, more.size());
    for (uint64_t i = 0; i < count; ++i) all.push_back(more[i * more.size() / count]);
    std::set<Digest> compared;
    for (uint64_t i = 0; i < all.size(); ++i) {
      ask();
      if (look_at(all[i]) && consumed(all[i])) compared.insert(clip_of(all[i]));
      tell("looks", i + 1, all.size());
    }
    report_.frames = looks_.size();
    report_.compared = compared.size();
  }

  // True: all of its clip that a run can have seen was looked at. A latent is of a part of it, and
  // takes the codec, so that only those measured are looked at.
  bool look_at(uint64_t sample) {
    const size_t shape = shape_of(loaded_.config, gate_, sample);
    for (const View& view : views_to_compare(loaded_.config)) {
      const Item item = load_item(gate_, decoders_.of(shape), sample, kNoPass, view);
      captions_[sample] = item.caption;
      if (item.latent.empty()) {
        remember(item.frames, shapes_[shape], sample);
        continue;
      }
      if (measured_.contains(sample)) {
        const Tensor latent = stored_latent(item, shapes_[shape]);
        remember(to_frames(codec_->decode(latent)), shapes_[shape], sample);
      }
      return false;
    }
    return true;
  }

  static std::vector<TurnedLooks> looks_of(const Frames& frames, const RunConfig& config) {
    return turned_looks(frames, static_cast<int>(config.clip().width()),
                        static_cast<int>(config.clip().height()));
  }

  void remember(const Frames& frames, const RunConfig& config, uint64_t sample) {
    for (const TurnedLooks& looks : looks_of(frames, config)) {
      looks_.push_back(looks[0]);
      sample_of_.push_back(sample);
    }
  }

  // Samples whose captions are asked for, one of a clip: as many as clips are made, evenly spread.
  std::vector<uint64_t> prompts() const {
    std::vector<uint64_t> all, some;
    std::set<Digest> clips;
    for (const auto& [sample, caption] : captions_) {
      const bool wanted = options_.extraction ? consumed(sample) : measured_.contains(sample);
      if (wanted && clips.insert(clip_of(sample)).second) all.push_back(sample);
    }
    const uint64_t count = std::min<uint64_t>(options_.clips, all.size());
    for (uint64_t i = 0; i < count; ++i) some.push_back(all[i * all.size() / count]);
    return some;
  }

  void measure_clips() {
    const std::vector<uint64_t> from = prompts();
    if (from.empty()) return;
    report_.captions = from.size();
    report_.nearest.resize(options_.clips,
                           {.caption = "", .distance = 257, .frame = 0, .sample = ""});
    for (const TensorMap& some : weights()) {
      use(some);
      for (uint64_t i = 0; i < options_.clips; ++i) {
        measure_clip(from[i % from.size()], i);
        tell("clips", i + 1, options_.clips);
      }
    }
  }

  // Of the caption of a sample, and of its shape.
  void measure_clip(uint64_t sample, uint64_t number) {
    const RunConfig& config = shapes_[shape_of(loaded_.config, gate_, sample)];
    GenerateOptions options =
        options_.extraction ? sampler_options(config) : preview_options(config);
    options.caption = captions_.at(sample);
    options.seed = options_.seed + number;
    options.progress = [&](int) { ask_for_clips(); };
    ask_for_clips();
    report_.steps = options.steps;
    report_.guidance = options.guidance;
    const Frames frames = to_frames(generate_video(*model_, *codec_, bpe_, options));
    const NearestLook found = nearest_look(looks_of(frames, config), looks_);
    Nearest& nearest = report_.nearest[number];
    if (found.distance >= nearest.distance) return;
    nearest = {.caption = options.caption,
               .distance = found.distance,
               .frame = static_cast<uint32_t>(found.frame),
               .sample = std::string(gate_.samples()[sample_of_[found.known]].key)};
  }

  const EvaluateOptions& options_;
  const at::Device device_ = first_device();
  const std::vector<ledger::PublicKey> trusted_;
  Checkpoint checkpoint_;
  LoadedConfig loaded_;
  ledger::Gate gate_;
  const std::vector<RunConfig> shapes_;
  Decoders decoders_;
  std::unique_ptr<Codec> codec_;
  std::string codec_name_;
  Bpe bpe_{{}};
  std::unique_ptr<Model> model_;
  std::set<uint64_t> measured_;               // samples
  std::set<Digest> consumed_;                 // clips
  std::map<uint64_t, std::string> captions_;  // by sample, of those that were looked at
  std::vector<Look> looks_;                   // of frames of the footage
  std::vector<uint64_t> sample_of_;           // the sample that each is of
  EvaluateReport report_;
};

}  // namespace

EvaluateReport evaluate(const EvaluateOptions& options) {
  prepare_machine(options.threads);
  return Evaluation(options).run();
}

}  // namespace cleared::train
