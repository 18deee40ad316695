#include "train/latent.h"

#include <ATen/core/Tensor.h>

#include "ledger/base/error.h"
#include "ledger/digest.h"
#include "train/checkpoint.h"
#include "train/model/safetensors.h"

namespace cleared::train {

std::string codec_digest(const TensorMap& codec) {
  CheckpointTensors tensors;
  tensors.codec = codec;
  return ledger::digest_name(tensors_digest(tensors));
}

std::string latent_member(const Tensor& latent_CTHW, const std::string& codec) {
  return format_safetensors({{"latent", latent_CTHW.to(at::kFloat)}}, {{"codec", codec}});
}

Tensor parse_latent(const std::string& bytes, const std::string& codec, at::IntArrayRef shape,
                    const std::string& sample) {
  const std::string where = "sample " + sample + ": its latent";
  const Safetensors file = parse_safetensors(std::make_shared<const std::string>(bytes), where);
  const auto by = file.metadata.find("codec");
  if (by == file.metadata.end() || by->second != codec) {
    throw Error(Errc::corrupt, where, " was made by codec ",
                by == file.metadata.end() ? "(none named)" : by->second, ", this run's is ", codec);
  }
  const auto found = file.tensors.find("latent");
  if (found == file.tensors.end() || file.tensors.size() != 1 || found->second.sizes() != shape ||
      found->second.scalar_type() != at::kFloat) {
    throw Error(Errc::corrupt, where, " is not one float32 tensor of shape ", shape,
                ": encode the clips with the clip size of this config");
  }
  return found->second;
}

}  // namespace cleared::train
