#include "train/data/config.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/textproto.h"

namespace cleared::train {
namespace {

constexpr uint64_t kConfigLimit = 1 << 20;

// Collects nothing: the first rule that does not hold is thrown, in the order of the schema.
class Rules {
 public:
  explicit Rules(std::string_view where) : where_(where) {}

  void need(bool holds, std::string_view field, std::string_view rule) const {
    if (!holds) throw Error(Errc::config, where_, ": ", field, ": must be ", rule);
  }
  template <class T>
  void between(T value, T low, T high, std::string_view field) const {
    if (!(low <= value && value <= high)) {
      throw Error(Errc::config, where_, ": ", field, ": must be between ", low, " and ", high,
                  ", is ", value);
    }
  }
  void multiple(uint32_t value, uint32_t of, uint32_t high, std::string_view field) const {
    if (value == 0 || value % of != 0 || value > high) {
      throw Error(Errc::config, where_, ": ", field, ": must be a multiple of ", of, " up to ",
                  high, ", is ", value);
    }
  }

 private:
  std::string_view where_;
};

bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= 100 && name.front() != '.' &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
                  c == '-';
         });
}

void check(const RunConfig& config, const Rules& rules) {
  rules.need(is_name(config.name()), "name", "1 to 100 of a-z 0-9 . _ -, not starting with a dot");
  rules.need(!config.purpose().model().empty(), "purpose.model", "the name of a model line");
  // The codec is fitted to the footage and the text encoder to its captions, so a run of this kind
  // cannot honestly declare less.
  const auto& declared = config.purpose().component();
  for (const auto component : {ledger::GENERATOR, ledger::VAE, ledger::TEXT_ENCODER}) {
    rules.need(std::find(declared.begin(), declared.end(), component) != declared.end(),
               "purpose.component", "[GENERATOR, VAE, TEXT_ENCODER]: all three learn in this run");
  }
  rules.between<uint64_t>(config.steps(), 1, uint64_t{1} << 32, "steps");
  rules.between<uint32_t>(config.batch(), 1, 1 << 16, "batch");

  const RunConfig::Clip& clip = config.clip();
  rules.multiple(clip.width(), 8, 8192, "clip.width");
  rules.multiple(clip.height(), 8, 8192, "clip.height");
  rules.multiple(clip.frames(), 4, 4096, "clip.frames");
  rules.between<uint32_t>(clip.frames_per_second(), 1, 100, "clip.frames_per_second");
  rules.between<uint32_t>(config.codec().fit_samples(), 1, 1 << 16, "codec.fit_samples");

  const RunConfig::Model& model = config.model();
  rules.between<uint32_t>(model.layers(), 1, 1024, "model.layers");
  rules.between<uint32_t>(model.heads(), 1, 1024, "model.heads");
  rules.multiple(model.dim(), 2 * model.heads(), 1 << 16, "model.dim (in pairs for each head)");
  rules.need(model.dim() / model.heads() >= 12, "model.dim", "at least 12 for each head");
  rules.between<uint32_t>(model.ffn(), 1, 1 << 18, "model.ffn");

  const RunConfig::Text& text = config.text();
  rules.between<uint32_t>(text.length(), 1, 4096, "text.length");
  rules.between<uint32_t>(text.layers(), 1, 256, "text.layers");
  rules.between<uint32_t>(text.dim(), 2, 1 << 14, "text.dim");
  rules.between(text.dropout(), 0.0, 0.999, "text.dropout");

  const RunConfig::Optimiser& optimiser = config.optimiser();
  rules.need(optimiser.learning_rate() > 0 && optimiser.learning_rate() <= 1,
             "optimiser.learning_rate", "above 0 and at most 1");
  rules.need(optimiser.warmup_steps() <= config.steps() &&
                 optimiser.decay_steps() <= config.steps() - optimiser.warmup_steps(),
             "optimiser", "such that warmup_steps + decay_steps fit into steps");
  rules.between(optimiser.beta1(), 0.0, 0.9999999, "optimiser.beta1");
  rules.between(optimiser.beta2(), 0.0, 0.9999999, "optimiser.beta2");
  rules.between(optimiser.weight_decay(), 0.0, 1.0, "optimiser.weight_decay");
  rules.need(optimiser.clip_norm() > 0 && std::isfinite(optimiser.clip_norm()),
             "optimiser.clip_norm", "above 0");
  rules.between(optimiser.ema(), 0.0, 0.9999999, "optimiser.ema");

  rules.between<uint64_t>(config.checkpoints().every(), 1, uint64_t{1} << 32, "checkpoints.every");
  rules.between<uint32_t>(config.preview().steps(), 1, 1000, "preview.steps");
  rules.between(config.preview().guidance(), 0.0, 100.0, "preview.guidance");
  rules.need(config.preview().shift() > 0 && config.preview().shift() <= 100, "preview.shift",
             "above 0 and at most 100");
  rules.between<uint32_t>(config.log_every(), 1, 1 << 20, "log_every");
}

}  // namespace

RunConfig parse_config(std::string_view text, std::string_view where) {
  RunConfig config;
  ledger::parse_textproto(text, where, config, Errc::config);
  check(config, Rules(where));
  return config;
}

LoadedConfig load_config(const std::filesystem::path& path) {
  LoadedConfig loaded;
  loaded.text = read_file(path, kConfigLimit);
  loaded.config = parse_config(loaded.text, path.string());
  loaded.digest = ledger::sha256(loaded.text);
  return loaded;
}

}  // namespace cleared::train
