// What a checkpoint has learned, in three measures: loss by time on samples it consumed and on
// samples it did not, and how near the clip is that one step leads to; how much of the picture the
// codec keeps, and, with a release, how near its own clips come to the nearest frame of the
// footage. The permit is about the footage that is read, and must say EVALUATE; the release is
// about what the weights learned from. Nothing is learned here, so nothing counts as a pass.
// Samples of clips that are neither in the checkpoint's totals.txt, be it as video or as a latent,
// nor in those of what its weights came with, are the held-out split: permit a shard for `train
// eval` that no run was permitted.
//
// Nearness is by our own perceptual fingerprints (PDQ of 64 x 64 luma): a near miss is what a
// person should look at, and a far one proves nothing about the model (docs/not-proven.md).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "train/check.h"

namespace cleared::train {

struct EvaluateOptions {
  std::filesystem::path checkpoint;
  // Checkpoints of what its weights came with: the autoencoder's, the text encoder's.
  std::vector<std::filesystem::path> parents;
  GatePaths gate;  // a permit for the config of the checkpoint's run that says EVALUATE
  std::filesystem::path release;  // ledger/release.h, for its clips; empty: none are made
  std::filesystem::path curate;   // program that decodes
  uint64_t samples = 64;          // at most, evenly spread over the permit's
  uint64_t nearest = 4096;        // that clips are compared with beside those, at most
  uint64_t clips = 4;             // to make, from captions of clips of the samples, spread evenly
  uint64_t seed = 0;              // of noise
  std::optional<double> ema;      // which of the averages, by its decay; else the first
  // A test for a release (ledger/extraction.h), in which the trainer chooses less: clips of
  // captions of all that was consumed, as the sampler makes them when nothing is said, each with
  // every average and with the weights as trained, of which the nearest counts, compared with all
  // that was consumed.
  bool extraction = false;
  int threads = 1;
  std::function<void(const std::string& what, uint64_t done, uint64_t all)> progress;
};

// Means over the samples of each kind, if there are any.
struct ErrorsByTime {
  double t = 0;                              // in (0, 1)
  std::optional<double> seen, others;        // of the velocity: the loss
  std::optional<double> seen_db, others_db;  // PSNR of the clip that the velocity leads to
};

// A generated clip, and the frame of the footage that is most like one of its own.
struct Nearest {
  std::string caption;
  uint32_t distance = 0;  // bits of 256 that differ; random pairs lie around 128
  uint32_t frame = 0;     // of the generated clip
  std::string sample;     // key
};

struct EvaluateReport {
  std::string run;
  std::string weights;  // digest of the checkpoint's
  uint64_t step = 0;
  // Digests of weights that it came with and whose checkpoint was not given: what they consumed is
  // not known, and so nothing is known to be held out.
  std::vector<std::string> unknown;
  uint64_t seen = 0;    // samples measured that the weights consumed
  uint64_t others = 0;  // and that they did not
  std::vector<ErrorsByTime> by_time;
  double psnr_db = 0;     // of the codec, mean over the samples
  uint64_t frames = 0;    // of the footage that were fingerprinted
  uint64_t compared = 0;  // clips that the weights consumed and of which all was fingerprinted
  uint64_t consumed = 0;  // clips that the weights consumed
  std::vector<Nearest> nearest;
  // How these were made.
  uint64_t captions = 0;  // of so many clips of the footage
  int steps = 0;          // of the sampler
  double guidance = 0;
};

// One thread. Throws ledger::Refused when the gate says no, at the door or later, Error{corrupt}
// for a damaged checkpoint, Error{usage} for a parent that is none, and for an extraction test of
// weights of which it is not known what all of them consumed.
EvaluateReport evaluate(const EvaluateOptions& options);

}  // namespace cleared::train
