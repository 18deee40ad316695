// Clips out of a checkpoint: noise, the averaged weights, a caption, an animated GIF. One thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "ledger/licence.pb.h"
#include "ledger/release.h"
#include "train/codec.h"
#include "train/model/model.h"

namespace cleared::train {

class RunConfig;

struct Gif {
  std::string bytes;
  int width = 0;  // pixels
  int height = 0;
  std::string caption = {};  // none: of no caption
};

struct GenerateOptions {
  std::string caption;
  uint64_t seed = 0;
  int steps = 24;
  double guidance = 2.0;  // 1: none
  double shift = 1.0;
  int scale = 1;                // pixels of the GIF for each of the clip
  std::vector<int64_t> latent;  // [C, T, H, W]: of one of the shapes of the model's config
  std::function<void(int step)> progress;  // may throw: then there is no clip
};

// Throws ledger::Refused once the gate says no.
using AskGate = std::function<void()>;
// Clips to look at; asks before each, and at each step of one.
using Preview = std::function<std::vector<Gif>(const AskGate& ask)>;

// No caption, the steps and guidance above, and of the config its seed, the shape of its clip and
// the shift that the times of training have.
GenerateOptions sampler_options(const RunConfig& config);

// The same with what the config's preview asks for, where it has one, and the first of its
// captions.
GenerateOptions preview_options(const RunConfig& config);

// The first clip of `video` as a GIF.
Gif gif_of(const Tensor& video_BCTHW, const RunConfig& config, int scale);

// `model` is used as it is: give one that holds the averaged weights.
Tensor generate_video(const Model& model, const Codec& codec, const Bpe& bpe,
                      const GenerateOptions& options);  // [1, 3, T, H, W] in [-1, 1]
Gif generate_gif(const Model& model, const Codec& codec, const Bpe& bpe, const RunConfig& config,
                 const GenerateOptions& options);

// What `preview` makes; where it fails a log line says why, and there is none.
std::vector<Gif> try_preview(const std::function<std::vector<Gif>()>& preview, uint64_t step);

// Throws ledger::Refused unless the release that `options` name lets clips be made of these weights
// now.
void ask_release(const ledger::ReleaseOptions& options, const Checkpoint& checkpoint);

struct SampleCommand {
  std::filesystem::path checkpoint;
  std::filesystem::path out;     // .webm, or else an animated GIF
  std::filesystem::path curate;  // program that makes WebM files; empty: the one beside this one
  std::filesystem::path trust;   // public keys: of approvers, who sign releases, and where there is
                                 // a trainer's, it must have signed the statement
  std::filesystem::path release;  // ledger/release.h: the gate's yes for these weights
  std::filesystem::path notices;  // folder of revocations; must exist
  ledger::Use use = ledger::GENERATE_INTERNAL;  // what the clips are for
  std::optional<std::string> caption;           // preview_options() has what is left out
  std::optional<uint64_t> seed;
  std::optional<int> steps;
  std::optional<double> guidance;
  std::optional<double> ema;  // which of the averages, by its decay; else the first
  std::string shape;          // "WxHxFRAMES" of one of the config's shapes; empty: its clip
  int scale = 4;
  int threads = 1;
  std::function<void(int step, int steps)> progress;
};

struct SampleReport {
  std::string run;
  uint64_t step = 0;
  std::string caption;
  uint64_t seed = 0;
  uint64_t size_bytes = 0;
};

// Checks the checkpoint, samples, writes `out`, and asks the gate before, at each step and after,
// and of the clip itself where the release limits how alike it may be to the footage
// (train/guard.h). Refused without a release for these weights; Error{corrupt} for a damaged
// checkpoint.
SampleReport sample_command(const SampleCommand& command);

}  // namespace cleared::train
