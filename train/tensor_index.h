// Which file each tensor is in, where a checkpoint has them in several:
// NAME.safetensors.index.json, in the form of Hugging Face that readers of safetensors know. Its
// metadata has, beside the size of all tensors, the digest of every file, so that the digest of the
// index stands for all of them as that of a single file does (docs/formats/checkpoint.md). Knows
// names, not tensors. Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "ledger/base/bytes.h"

namespace cleared::train {

inline constexpr std::string_view kIndexSuffix = ".safetensors.index.json";

// Of the stem "weights": weights.safetensors, weights.safetensors.index.json, and, counted from 1,
// weights-00001-of-00003.safetensors.
std::string whole_name(std::string_view stem);
std::string index_name(std::string_view stem);
std::string part_name(std::string_view stem, size_t number, size_t count);

// Whether a name is of the third kind, for whatever numbers.
bool is_part_name(std::string_view name, std::string_view stem);

struct TensorIndex {
  uint64_t total_size = 0;                     // bytes of all tensors
  std::map<std::string, Digest> digests;       // of each file, by its name
  std::map<std::string, std::string> file_of;  // of each tensor
};

std::string format_index(const TensorIndex& index);

// Error{corrupt} that begins with `where`, on what is not JSON, says something twice or something
// else, on files that are not part_name() 1 to their number, and on one that no tensor is in. So no
// name leads out of the folder.
TensorIndex parse_index(std::string_view text, std::string_view stem, const std::string& where);

}  // namespace cleared::train
