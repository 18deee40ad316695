#include "train/text_states.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>

#include "ledger/base/check.h"
#include "ledger/digest.h"
#include "train/checkpoint.h"
#include "train/model/text.h"

namespace cleared::train {

TextStates::TextStates(const Model& model, const Bpe& bpe, uint64_t most_bytes)
    : model_(model), bpe_(bpe), room_bytes_(most_bytes) {
  std::string what;
  for (const auto& [name, tensor] : model.parameters()) {
    if (!name.starts_with("text.")) continue;
    CLEARED_CHECK(!tensor.requires_grad());
    what += name + " " + to_hex(tensor_digest(tensor)) + "\n";
  }
  for (const auto& [left, right] : bpe.pairs()) {
    what += std::to_string(left) + " " + std::to_string(right) + "\n";
  }
  encoder_ = ledger::sha256(what);
}

// Each alone: the bits of a product may depend on how many captions it is of.
Tensor TextStates::compute(const std::string& caption) const {
  const at::NoGradGuard no_grad;
  const at::Device device = model_.parameters().begin()->second.device();
  return model_.read(tokenize({caption}, model_.config().dit.text_len, bpe_).to(device));
}

Tensor TextStates::of(const std::vector<std::string>& captions) {
  const at::Device device = model_.parameters().begin()->second.device();
  std::vector<Tensor> all;
  for (const std::string& caption : captions) {
    const Digest name = ledger::sha256({encoder_.bytes, as_bytes(caption)});
    const auto found = states_.find(name);
    if (found != states_.end()) {
      all.push_back(found->second.to(device));
      continue;
    }
    all.push_back(compute(caption));
    const uint64_t bytes = all.back().nbytes();
    if (bytes > room_bytes_) continue;
    room_bytes_ -= bytes;
    states_.emplace(name, all.back().to(at::kCPU));
  }
  return at::cat(all);
}

}  // namespace cleared::train
