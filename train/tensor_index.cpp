#include "train/tensor_index.h"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <set>

#include <nlohmann/json.hpp>

#include "ledger/base/error.h"
#include "train/data/strict_json.h"

namespace cleared::train {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kSuffix = ".safetensors";
constexpr const char *kMetadata = "metadata", *kTotalSize = "total_size", *kDigests = "sha256",
                     *kWeightMap = "weight_map";

}  // namespace

std::string whole_name(std::string_view stem) {
  return std::string(stem).append(kSuffix);
}

std::string index_name(std::string_view stem) {
  return std::string(stem).append(kIndexSuffix);
}

std::string part_name(std::string_view stem, size_t number, size_t count) {
  char numbers[64];
  std::snprintf(numbers, sizeof numbers, "-%05zu-of-%05zu", number, count);
  return std::string(stem).append(numbers).append(kSuffix);
}

bool is_part_name(std::string_view name, std::string_view stem) {
  const std::string like = part_name(stem, 0, 0);
  return std::equal(name.begin(), name.end(), like.begin(), like.end(), [](char is, char zero) {
    return is == zero || (zero == '0' && std::isdigit(static_cast<unsigned char>(is)) != 0);
  });
}

std::string format_index(const TensorIndex& index) {
  Json digests = Json::object();
  for (const auto& [name, digest] : index.digests) digests[name] = to_hex(digest);
  const Json json = {{kMetadata, {{kTotalSize, index.total_size}, {kDigests, digests}}},
                     {kWeightMap, index.file_of}};
  return json.dump(2) + "\n";  // keys sorted
}

TensorIndex parse_index(std::string_view text, std::string_view stem, const std::string& where) {
  const auto need = [&](bool holds, const auto&... what) {
    if (!holds) throw Error(Errc::corrupt, where, ": ", what...);
  };
  const Json json = parse_strict_json(text, where);
  need(json.size() == 2 && json.contains(kMetadata) && json.contains(kWeightMap),
       "needs metadata and weight_map and nothing else");
  const Json &metadata = json[kMetadata], &weight_map = json[kWeightMap];
  need(metadata.is_object() && metadata.size() == 2 && metadata.contains(kTotalSize) &&
           metadata.contains(kDigests),
       "metadata needs total_size, and in sha256 the digest of every file, and nothing else");
  const Json &total_size = metadata[kTotalSize], &digests = metadata[kDigests];
  need(total_size.is_number_unsigned(), "total_size is not a number of bytes");
  need(digests.is_object() && !digests.empty(), "sha256 names no file");
  need(weight_map.is_object(), "weight_map is not an object");

  TensorIndex index;
  index.total_size = total_size.get<uint64_t>();
  for (size_t i = 1; i <= digests.size(); ++i) {
    const std::string name = part_name(stem, i, digests.size());
    need(digests.contains(name), "sha256 has ", digests.size(), " files, and ", name,
         " is not one of them");
    const Json& hex = digests[name];
    const auto digest =
        hex.is_string() ? parse_digest(hex.get_ref<const std::string&>()) : std::optional<Digest>();
    need(digest.has_value(), "what it has for ", name, " is not a SHA-256 digest");
    index.digests.emplace(name, *digest);
  }
  std::set<std::string> used;
  for (const auto& [tensor, file] : weight_map.items()) {
    need(file.is_string() && index.digests.contains(file.get<std::string>()), "tensor ",
         Json(tensor).dump(), " is in ", file.dump(), ", of which sha256 has no digest");
    index.file_of.emplace(tensor, *used.insert(file.get<std::string>()).first);
  }
  for (const auto& [name, digest] : index.digests) {
    need(used.contains(name), "no tensor is in ", name);
  }
  return index;
}

}  // namespace cleared::train
