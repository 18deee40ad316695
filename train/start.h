// What a run and its replay have in common before and around a step: the ranks' one gate, their
// slots, what it begins with, a position that all of them know, and what a step is put on record
// as. One thread per rank, the same calls in the same order.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <vector>

#include "ledger/base/bytes.h"
#include "ledger/key.h"
#include "train/agree.h"
#include "train/data/decoder.h"
#include "train/model/tensor.h"
#include "train/origin.h"
#include "train/receipt.h"
#include "train/resume.h"
#include "train/totals.h"

namespace cleared::train {

class Loader;
class Order;
class RunConfig;
class World;
struct Learned;

// Every rank opens its own gate, and all of them must have been given the same permit.
Outcome open_gate(World& world, const RunConfig& config, std::unique_ptr<ledger::Gate>& gate,
                  const std::function<std::unique_ptr<ledger::Gate>()>& open);

// Error{config} where ranks would compute with other bits than each other: other processors,
// libraries or settings of them. Where only the processors' model names differ the run's machine is
// all of them.
void agree_on_machine(World& world, Machine& machine);

// Error{config} when the ranks cannot share a step of some shape equally.
void check_slots(const RunConfig& config, int world_size);

// One for each shape (by_shape in train/data/config.h); none where no frame is seen.
std::vector<DecoderOptions> decoder_options(const std::filesystem::path& curate,
                                            const RunConfig& config);

// Rank 0's state and totals on every rank; its tensors stay there.
void share_position(World& world, Position& position);

// What a run has before its first step that is not its seed's.
struct Beginning {
  TensorMap codec;                      // of rank 0, with the text's pairs
  std::vector<Digest> samples;          // that were read for it: on every rank
  Origin vae, text;                     // rank 0: what other runs learned; its tensors are in
                                        // `codec`, or not yet in any model
  std::vector<State::Foreign> foreign;  // weights in what others learned: on every rank
};

// A codec that is not an autoencoder's, and the text's pairs, are computed from cleared samples, so
// reading them for it is a pass like any other. Rank 0 reads; every rank counts. Throws what rank 0
// met, on every rank.
Beginning begin(World& world, const ledger::Gate& gate, const RunConfig& config,
                const std::vector<DecoderOptions>& decoders, const Origins& origins);

// Puts what the run began with on its state; `vae` and `text` are rank 0's.
void record_beginning(const RunConfig& config, const Beginning& beginning, State& state);

// Rank 0's weights where they are not all the seed's: those of `text`, and of `files`
// (train/foreign.h). They go through rank 0, as those of a checkpoint do.
void start_weights(World& world, const RunConfig& config,
                   const std::vector<std::filesystem::path>& files, const Origin& text,
                   Position& position);

// What feeds this rank with the steps [first_step, end_step); `before` as in LoaderOptions.
// `config` must live as long.
std::unique_ptr<Loader> make_loader(const World& world, const RunConfig& config,
                                    const ledger::Gate& gate, const Order& order,
                                    const std::filesystem::path& curate, uint64_t first_step,
                                    uint64_t end_step, std::vector<uint64_t> before);

// A step's loss in the state: as the first one, and in the smoothed one.
void add_loss(State& state, uint64_t step, double loss);

// A step as the run receipt has it.
StepFacts facts_of(const Learned& learned, uint64_t step, const ledger::Gate& gate,
                   const Order& order);

}  // namespace cleared::train
