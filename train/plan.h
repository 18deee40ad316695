// What a run config costs, by calculation: parameters, arithmetic, memory and time, before any of
// it is spent. Pure and without LibTorch; any thread. `train plan` adds what this machine has
// (train/model/peak.h) and says whether the run fits.
//
// Counted are matrix products and attention, forward once and backward twice, and blocks that the
// config has computed again; norms, activations and the optimiser are not, and are what keeps a run
// below its machine's peak.
#pragma once

#include <cstdint>
#include <string>

namespace cleared::train {

class RunConfig;

struct Plan {
  // Of the transformer, of the text encoder, and of the codec, which does not learn in this run.
  uint64_t transformer = 0;
  uint64_t text = 0;
  uint64_t codec = 0;
  uint64_t discriminator = 0;  // that learns beside an autoencoder
  uint64_t masking = 0;        // that learns beside a text encoder of which nothing else does
  uint64_t tokens = 0;         // of a clip, or of a caption where that is all that is seen

  double clip_flop = 0;        // of one training pass over a clip, or over a caption
  double attention_share = 0;  // of it, [0, 1]
  double step_flop = 0;        // of the whole batch
  double again_flop = 0;       // beside it: blocks of the batch that are computed again
  double adversary_flop = 0;   // beside it: a discriminator's, in steps in which it learns

  uint64_t state_bytes = 0;       // on every rank: weights, gradients, moments, averages
  uint64_t activation_bytes = 0;  // of a clip, kept for the backward pass
  uint64_t recomputed_bytes = 0;  // the same where every block is computed again
  uint64_t checkpoint_bytes = 0;  // of one checkpoint on disk
  uint64_t part_bytes = 0;        // while an autoencoder encodes or decodes a clip, part by part,
                                  // however many frames that has; beside the clip itself

  uint64_t parameters() const { return transformer + text + masking; }
};

Plan plan_of(const RunConfig& config);

// What is kept of captions' states at most, on each rank (train/text_states.h).
inline constexpr uint64_t kStatesBytes = uint64_t{1} << 30;

// What a rank holds at once where it computes, in bytes, at most. Of the shapes of a config that
// one counts which needs most.
struct Memory {
  uint64_t state = 0;        // Plan::state_bytes
  uint64_t sums = 0;         // of gradients, beside the one that the state counts
  uint64_t activations = 0;  // of the clips that are computed at once
  uint64_t recomputed = 0;   // the same where every block is computed again
  uint64_t codec = 0;        // where samples are video, before: while an autoencoder encodes them
  uint64_t preview = 0;  // rank 0: the averaged weights, as a model that makes clips, and a clip
  uint64_t copy = 0;     // rank 0, of the machine's memory: the checkpoint that is written, and
                         // an autoencoder's clip to look at
  uint64_t states = 0;   // of the machine's memory: of captions, at most, where their encoder does
                        // not learn
  uint64_t base = 0;  // the program, LibTorch, what allocators keep

  uint64_t rank() const { return state + sums + activations + base; }
  uint64_t first_gpu() const { return rank() + preview; }
};
// Plan::part_bytes of pictures of that size.
uint64_t part_bytes(uint64_t width, uint64_t height, uint64_t dim, uint64_t patch);

// Of one of `ranks` equal ranks.
Memory memory_of(const RunConfig& config, int ranks);

// Checkpoints that lie on disk once the run is done; while one is written it is one more.
uint64_t kept_checkpoints(const RunConfig& config);

// Seconds of a step on `ranks` equal ranks that each reach `flops_per_s`; communication not
// counted.
double step_seconds(const Plan& plan, double flops_per_s, int ranks);

// The line that the configs of this project carry in their first lines, without "# ": the plan, the
// memory of GPUs, and the time on those that do 989 TFLOP/s of dense bfloat16 (an H100) at 40 % of
// that. Calculated.
std::string plan_line(const RunConfig& config);

// "1.25 GiB", "317 MiB".
std::string bytes_text(uint64_t bytes);

}  // namespace cleared::train
