// What a run begins with that another of our runs has learned: an autoencoder (--vae) or a text
// encoder (--text), out of a checkpoint. Rank 0, one thread.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "ledger/key.h"
#include "train/checkpoint.pb.h"
#include "train/model/tensor.h"
#include "train/totals.h"

namespace cleared::train {

class RunConfig;

struct Origin {
  std::string weights;  // digest of the checkpoint's; empty: there is no such origin
  TensorMap tensors;    // averaged: of the codec, or under "text." of the encoder
  TensorMap pairs;      // of a text encoder, as a checkpoint's codec has them
  Totals totals;        // what they learned from
  std::vector<State::Foreign> foreign;  // of the checkpoint, as parts of what comes of it
};

// Where they are: checkpoints whose statement one of the trainers' keys has signed. Empty where the
// config asks for none.
struct Origins {
  std::filesystem::path vae, text;
  std::vector<ledger::PublicKey> trusted;
};

// Of any run with that autoencoder, or that text encoder; none where a run of `config` begins with
// none. Error{config} where no checkpoint is given, or one of another shape.
Origin read_autoencoder(const RunConfig& config, const Origins& origins);
Origin read_text_encoder(const RunConfig& config, const Origins& origins);

}  // namespace cleared::train
