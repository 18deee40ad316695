// The safetensors file format: 8 bytes of little-endian header size, a JSON header that names type,
// shape and byte range of every tensor, then their bytes without gaps. Source: the format section
// of github.com/huggingface/safetensors. Any thread, as far as the paths differ.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ledger/base/bytes.h"
#include "train/model/tensor.h"

namespace cleared::train {

struct TensorIndex;

using Metadata = std::map<std::string, std::string>;

struct Safetensors {
  TensorMap tensors;
  Metadata metadata;
  Digest digest;  // SHA-256 of the whole file, where a file was read
};

// Writes the file whole or not at all, streaming, and returns its digest. Names are sorted, and the
// header is padded so that every tensor is aligned to 8 bytes if its size is: same tensors and
// metadata, same bytes.
Digest write_safetensors(const std::filesystem::path& path, const TensorMap& tensors,
                         const Metadata& metadata);

// The same bytes in memory.
std::string format_safetensors(const TensorMap& tensors, const Metadata& metadata);

// In the order of their names, as many for each file as are together of up to `file_bytes`; one
// that is larger has a file of its own. At least one file, which may be empty.
std::vector<TensorMap> split_tensors(const TensorMap& tensors, uint64_t file_bytes);

// Reads and hashes once; tensors share one buffer in memory. Strict: Error{corrupt} on a header
// that is too large, not JSON, has a duplicate or unknown key, a type that is not known, ranges
// that overlap, leave gaps or reach past the end, or sizes that do not fit the shape. Of an index
// (train/tensor_index.h), whose digest it returns, all files, one after the other.
Safetensors read_safetensors(const std::filesystem::path& path);
Safetensors parse_safetensors(std::shared_ptr<const std::string> bytes, const std::string& where);
// The same, and Error{corrupt} unless the bytes are those that format_safetensors makes: a header
// may have blanks and any order, which can carry what nobody looks for. For files of our own.
Safetensors parse_own_safetensors(std::shared_ptr<const std::string> bytes,
                                  const std::string& where);

// The tensors of all files of an index, each with its digest from `read`. Error{corrupt} that
// begins with `where`, the index's name, and names the file: unless each is the one of that digest,
// with the same metadata as the others, and holds exactly the tensors that the index has in it.
Safetensors join_safetensors(const TensorIndex& index, const std::string& where,
                             const std::function<Safetensors(const std::string& file)>& read);

}  // namespace cleared::train
