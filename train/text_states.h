// States of captions by a text encoder that does not learn, each computed once. A state's name is
// the digest of what makes it: the encoder's tensors, the pairs and the caption's bytes. One
// thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "ledger/base/bytes.h"
#include "train/data/bpe.h"
#include "train/model/model.h"
#include "train/plan.h"

namespace cleared::train {

class TextStates {
 public:
  // Keeps them in the machine's memory, so many bytes at most; what finds no room is computed each
  // time, for in an order that comes round what was kept longest is needed next. Both must live as
  // long. The encoder must not learn: a gradient that it wants is a bug.
  TextStates(const Model& model, const Bpe& bpe, uint64_t most_bytes = kStatesBytes);

  // states_BLN of the captions, on the model's device. A caption's do not depend on which others it
  // is asked for with, nor on whether they were kept.
  Tensor of(const std::vector<std::string>& captions);

  size_t kept() const { return states_.size(); }

 private:
  Tensor compute(const std::string& caption) const;

  const Model& model_;
  const Bpe& bpe_;
  uint64_t room_bytes_;
  Digest encoder_;
  std::map<Digest, Tensor> states_;  // [1, L, N], on the CPU
};

}  // namespace cleared::train
