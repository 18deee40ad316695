#include "train/data/config.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <set>
#include <utility>

#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/gate.h"
#include "ledger/licence.h"
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

// What learns in the run must be declared, for no run can honestly declare less.
void check_purpose(const RunConfig& config, const Rules& rules) {
  const ledger::Purpose& purpose = config.purpose();
  rules.need(ledger::trains(purpose.use()), "purpose.use", "TRAIN, FINETUNE or DISTIL: it trains");
  rules.need(ledger::is_word(purpose.model()), "purpose.model",
             "one model line, 1 to 100 of a-z 0-9 . _ -");
  rules.need(ledger::is_word(purpose.field_of_use()), "purpose.field_of_use",
             "one field, 1 to 100 of a-z 0-9 . _ -");
  rules.need(ledger::is_place(purpose.compute_territory()), "purpose.compute_territory",
             "one place, two capitals");
  const auto& declared = config.purpose().component();
  const auto declares = [&](ledger::Component component) {
    return std::find(declared.begin(), declared.end(), component) != declared.end();
  };
  if (config.stage() == RunConfig::AUTOENCODER) {
    rules.need(declares(ledger::VAE), "purpose.component", "[VAE]: it is what learns in this run");
    return;
  }
  if (config.stage() == RunConfig::TEXT_ENCODER) {
    rules.need(declares(ledger::TEXT_ENCODER), "purpose.component",
               "[TEXT_ENCODER]: it is what learns in this run");
    return;
  }
  for (const auto component : {ledger::GENERATOR, ledger::VAE, ledger::TEXT_ENCODER}) {
    rules.need(declares(component), "purpose.component",
               "[GENERATOR, VAE, TEXT_ENCODER]: all three learn in this run");
  }
}

void check_clip(const RunConfig& config, const Rules& rules) {
  rules.need(config.has_clip(), "clip", "there");
  const RunConfig::Clip& clip = config.clip();
  rules.between<uint32_t>(clip.frames_per_second(), 1, 100, "clip.frames_per_second");
  rules.need(config.codec().has_vae() != config.codec().has_fit_samples(), "codec",
             "fit_samples or a vae, one of the two");
  uint32_t side = 8;
  if (config.codec().has_vae()) {
    const RunConfig::Vae& vae = config.codec().vae();
    rules.between<uint32_t>(vae.dim(), 1, 1024, "codec.vae.dim");
    rules.between<uint32_t>(vae.channels(), 1, 256, "codec.vae.channels");
    rules.between<uint32_t>(vae.blocks(), 1, 8, "codec.vae.blocks");
    rules.between<uint32_t>(vae.patch(), 1, 2, "codec.vae.patch");
    rules.between(vae.gradient_loss(), 0.0, 100.0, "codec.vae.gradient_loss");
    rules.between(vae.kl_loss(), 0.0, 1.0, "codec.vae.kl_loss");
    side *= vae.patch();
    rules.need(clip.frames() % 4 == 1 && clip.frames() <= 4097, "clip.frames",
               "one more than a multiple of 4, up to 4097: the autoencoder is causal");
  } else {
    rules.between<uint32_t>(config.codec().fit_samples(), 1, 1 << 16, "codec.fit_samples");
    rules.between(config.codec().whiten(), 0.0, 1.0, "codec.whiten");
    rules.multiple(clip.frames(), 4, 4096, "clip.frames");
  }
  rules.need(!config.codec().has_vae() || !config.codec().has_whiten(), "codec.whiten",
             "left out with a vae");
  const bool transformer = config.stage() == RunConfig::TRANSFORMER;
  if (transformer) rules.between<uint32_t>(config.model().patch(), 1, 8, "model.patch");
  if (transformer) side *= config.model().patch();
  rules.multiple(clip.width(), side, 8192, "clip.width");
  rules.multiple(clip.height(), side, 8192, "clip.height");
}

void check_text(const RunConfig& config, const Rules& rules) {
  rules.need(config.has_text(), "text", "there: the text encoder learns in this run");
  const RunConfig::Text& text = config.text();
  rules.between<uint32_t>(text.length(), 1, 4096, "text.length");
  rules.between<uint32_t>(text.layers(), 1, 256, "text.layers");
  rules.multiple(text.dim(), 2 * std::max(1U, text.dim() / 64), 1 << 14,
                 "text.dim (in pairs for each head, one for each 64)");
  if (text.vocabulary() != 0) {
    rules.between<uint32_t>(text.vocabulary(), 258, 1 << 16, "text.vocabulary");
  }
}

// A caption has no pictures, and nothing is made of it.
void check_text_encoder(const RunConfig& config, const Rules& rules) {
  check_text(config, rules);
  const RunConfig::Text& text = config.text();
  rules.need(config.has_masking(), "masking",
             "there: what is hidden of captions is what is learned");
  rules.need(config.masking().share() > 0 && config.masking().share() < 1, "masking.share",
             "above 0 and below 1");
  rules.between(config.masking().span(), 1.0, 64.0, "masking.span");
  const std::pair<bool, const char*> others[] = {
      {config.has_clip(), "clip"},
      {config.has_codec(), "codec"},
      {config.has_model(), "model"},
      {config.has_flow(), "flow"},
      {config.has_vary(), "vary"},
      {!config.bucket().empty(), "bucket"},
      {config.has_preview(), "preview"},
      {text.has_dropout(), "text.dropout"},
      {text.has_learning_rate_share(), "text.learning_rate_share"},
      {text.has_trained(), "text.trained"}};
  for (const auto& [has, field] : others) {
    rules.need(!has, field, "left out: the text encoder learns from captions alone");
  }
}

void check_transformer(const RunConfig& config, const Rules& rules) {
  rules.need(config.has_model(), "model", "there: the transformer learns in this run");
  const RunConfig::Model& model = config.model();
  rules.between<uint32_t>(model.layers(), 1, 1024, "model.layers");
  rules.between<uint32_t>(model.heads(), 1, 1024, "model.heads");
  rules.multiple(model.dim(), 2 * model.heads(), 1 << 16, "model.dim (in pairs for each head)");
  rules.need(model.dim() / model.heads() >= 12, "model.dim", "at least 12 for each head");
  rules.between<uint32_t>(model.ffn(), 1, 1 << 18, "model.ffn");

  check_text(config, rules);
  const RunConfig::Text& text = config.text();
  rules.need(text.has_dropout(), "text.dropout", "there: captions left out are what guides");
  rules.between(text.dropout(), 0.0, 0.999, "text.dropout");
  rules.between(text.learning_rate_share(), 0.0, 10.0, "text.learning_rate_share");
  rules.need(config.flow().shift() > 0 && config.flow().shift() <= 100, "flow.shift",
             "above 0 and at most 100");
  if (!config.has_preview()) return;
  constexpr int kMostCaptions = 16;
  const RunConfig::Preview& preview = config.preview();
  rules.need(preview.caption_size() >= 1 && preview.caption_size() <= kMostCaptions,
             "preview.caption", "there, up to 16 times");
  rules.between<uint32_t>(preview.steps(), 1, 1000, "preview.steps");
  rules.between(preview.guidance(), 0.0, 100.0, "preview.guidance");
  rules.need(preview.shift() > 0 && preview.shift() <= 100, "preview.shift",
             "above 0 and at most 100");
}

void check_foreign(const RunConfig& config, const Rules& rules) {
  std::set<std::string> weights, parts;
  for (const RunConfig::Foreign& foreign : config.foreign()) {
    rules.need(ledger::parse_digest_name(foreign.weights()).has_value(), "foreign.weights",
               "\"sha256:\" and 64 lower-case hex digits");
    rules.need(weights.insert(foreign.weights()).second, "foreign.weights", "each there once");
    const std::string part = RunConfig::Foreign::Part_Name(foreign.part());
    rules.need(parts.insert(part).second && (config.foreign_size() == 1 || part != "WHOLE"),
               "foreign.part", "WHOLE once, or the others once each");
    rules.need(part == "WHOLE" || config.stage() == RunConfig::TRANSFORMER, "foreign.part",
               "WHOLE: it has no other");
    rules.need(part == "TRANSFORMER" || !config.text().trained(), "foreign.part",
               "TRANSFORMER: the text encoder is trained");
  }
}

void check_optimiser(const RunConfig& config, const Rules& rules) {
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
  rules.need(optimiser.ema_size() >= 1 && optimiser.ema_size() <= 4, "optimiser.ema",
             "there, up to four times");
  for (const double decay : optimiser.ema()) {
    rules.between(decay, 0.0, 0.9999999, "optimiser.ema");
  }
  rules.between(optimiser.muon_momentum(), 0.0, 0.9999999, "optimiser.muon_momentum");
  if (optimiser.has_guard()) {
    rules.between<uint32_t>(optimiser.guard().steps(), 4, 1024, "optimiser.guard.steps");
    rules.need(optimiser.guard().above() > 1 && std::isfinite(optimiser.guard().above()),
               "optimiser.guard.above", "above 1");
  }
  rules.need(optimiser.muon_momentum() == 0 || config.stage() != RunConfig::AUTOENCODER,
             "optimiser.muon_momentum", "left out: an autoencoder has no matrices that repeat");
}

void check_discriminator(const RunConfig& config, const Rules& rules) {
  if (!config.has_discriminator()) return;
  const RunConfig::Discriminator& its = config.discriminator();
  rules.need(config.stage() == RunConfig::AUTOENCODER, "discriminator",
             "left out: it learns beside an autoencoder");
  rules.between<uint32_t>(its.dim(), 1, 1024, "discriminator.dim");
  rules.need(its.start() < config.steps(), "discriminator.start", "below steps");
  rules.between(its.weight(), 0.0, 100.0, "discriminator.weight");
  rules.between(its.feature_loss(), 0.0, 100.0, "discriminator.feature_loss");
}

// Each shape as if it were the config's own, and what they have in common.
void check_buckets(const RunConfig& config, const Rules& rules) {
  constexpr int kMostBuckets = 15;
  constexpr uint64_t kMostSteps = uint64_t{1} << 22;  // the order of shapes is kept as a table
  std::set<std::string> names;
  const auto all = by_shape(config);
  rules.need(config.bucket_size() <= kMostBuckets, "bucket", "at most 15 times there");
  rules.need(config.bucket().empty() || config.steps() <= kMostSteps, "steps",
             "at most 4194304 with buckets");
  for (int i = 0; i < config.bucket_size(); ++i) {
    const RunConfig& shape = all[static_cast<size_t>(i) + 1];
    rules.need(!config.bucket(i).shards().empty() && names.insert(config.bucket(i).shards()).second,
               "bucket.shards", "the beginning of shards' names, another in each bucket");
    rules.between<uint32_t>(shape.batch(), 1, 1 << 16, "bucket.batch");
    rules.need(shape.batch() % micro_batches_of(config) == 0, "bucket.batch",
               "a multiple of micro_batches");
    check_clip(shape, rules);
    rules.need(shape.flow().shift() > 0 && shape.flow().shift() <= 100, "bucket.shift",
               "above 0 and at most 100");
  }
}

void check(const RunConfig& config, const Rules& rules) {
  rules.need(is_name(config.name()), "name", "1 to 100 of a-z 0-9 . _ -, not starting with a dot");
  check_purpose(config, rules);
  rules.between<uint64_t>(config.steps(), 1, uint64_t{1} << 32, "steps");
  rules.between<uint32_t>(config.batch(), 1, 1 << 16, "batch");
  const uint32_t micro_batches = micro_batches_of(config);
  rules.need(std::has_single_bit(micro_batches) && config.batch() % micro_batches == 0,
             "micro_batches", "a power of two that divides batch");
  const bool text = config.stage() == RunConfig::TEXT_ENCODER;
  const bool autoencoder = config.stage() == RunConfig::AUTOENCODER;
  if (text) check_text_encoder(config, rules);
  else check_clip(config, rules);
  if (config.stage() == RunConfig::TRANSFORMER) check_transformer(config, rules);
  rules.need(!autoencoder || config.precision() == RunConfig::FLOAT32, "precision",
             "FLOAT32 in stage AUTOENCODER");
  rules.need(!autoencoder || config.codec().has_vae(), "codec.vae",
             "there: it is what learns in this run");
  rules.need(text || !config.has_masking(), "masking", "left out: stage TEXT_ENCODER masks");
  check_discriminator(config, rules);
  check_buckets(config, rules);
  check_foreign(config, rules);
  check_optimiser(config, rules);
  rules.between<uint64_t>(config.checkpoints().every(), 1, uint64_t{1} << 32, "checkpoints.every");
  rules.need(config.checkpoints().file_bytes() > 0, "checkpoints.file_bytes", "above 0");
  rules.between<uint32_t>(config.log_every(), 1, 1 << 20, "log_every");
}

}  // namespace

RunConfig parse_config(std::string_view text, std::string_view where) {
  RunConfig config;
  ledger::parse_textproto(text, where, config, Errc::config);
  check(config, Rules(where));
  return config;
}

ledger::Purpose purpose_of(const RunConfig& config) {
  ledger::Purpose purpose = config.purpose();
  if (config.has_preview()) ledger::declare(purpose, ledger::GENERATE_INTERNAL);
  return purpose;
}

uint32_t micro_batches_of(const RunConfig& config) {
  if (config.has_micro_batches()) return config.micro_batches();
  uint32_t most = std::gcd(config.batch(), 4U);
  for (const RunConfig::Bucket& bucket : config.bucket()) most = std::gcd(bucket.batch(), most);
  return most;
}

std::vector<RunConfig> by_shape(const RunConfig& config) {
  std::vector<RunConfig> out = {config};
  for (const RunConfig::Bucket& bucket : config.bucket()) {
    RunConfig& one = out.emplace_back(config);
    one.mutable_clip()->set_width(bucket.width());
    one.mutable_clip()->set_height(bucket.height());
    one.mutable_clip()->set_frames(bucket.frames());
    one.set_batch(bucket.batch());
    if (bucket.has_shift()) one.mutable_flow()->set_shift(bucket.shift());
  }
  return out;
}

size_t shape_of_shard(const RunConfig& config, std::string_view shard) {
  size_t shape = 0, longest = 0;
  for (int i = 0; i < config.bucket_size(); ++i) {
    const std::string& name = config.bucket(i).shards();
    if (name.size() <= longest || !shard.starts_with(name)) continue;
    longest = name.size();
    shape = static_cast<size_t>(i) + 1;
  }
  return shape;
}

LoadedConfig load_config(const std::filesystem::path& path) {
  LoadedConfig loaded;
  loaded.text = read_file(path, kConfigLimit);
  loaded.config = parse_config(loaded.text, path.string());
  loaded.digest = ledger::sha256(loaded.text);
  return loaded;
}

}  // namespace cleared::train
