#include "train/model/safetensors.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <optional>
#include <vector>

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>
#include <unistd.h>

#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "train/data/strict_json.h"
#include "train/tensor_index.h"

namespace cleared::train {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the limit of the reference reader
constexpr size_t kSizeBytes = 8;
constexpr uint64_t kMaxFileBytes = uint64_t{1} << 40;

constexpr std::array<std::pair<const char*, at::ScalarType>, 10> kTypes = {{
    {"F64", at::kDouble},
    {"F32", at::kFloat},
    {"F16", at::kHalf},
    {"BF16", at::kBFloat16},
    {"I64", at::kLong},
    {"I32", at::kInt},
    {"I16", at::kShort},
    {"I8", at::kChar},
    {"U8", at::kByte},
    {"BOOL", at::kBool},
}};

const char* type_name(const std::string& tensor, at::ScalarType type) {
  for (const auto& [name, value] : kTypes) {
    if (value == type) return name;
  }
  throw Error(Errc::unsupported, "safetensors: tensor ", tensor, " holds ", toString(type),
              ", which the format does not know");
}

std::string format_header(const TensorMap& tensors, const Metadata& metadata) {
  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t offset = 0;
  for (const auto& [name, tensor] : tensors) {
    const uint64_t end = offset + tensor.nbytes();
    header[name] = {{"dtype", type_name(name, tensor.scalar_type())},
                    {"shape", tensor.sizes().vec()},
                    {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump();  // keys sorted
  text.append((8 - text.size() % 8) % 8, ' ');
  std::string size(kSizeBytes, '\0');
  for (size_t i = 0; i < kSizeBytes; ++i) {
    size[i] = static_cast<char>(static_cast<uint64_t>(text.size()) >> (8 * i));
  }
  return size + text;
}

// A file that appears under its name when finish() returns, or never.
class NewFile {
 public:
  explicit NewFile(fs::path path)
      : path_(std::move(path)), temporary_(path_.string() + ".tmp." + std::to_string(::getpid())) {
    fd_.reset(
        ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644));
    if (!fd_) fail("write");
  }
  ~NewFile() {
    if (!finished_) ::unlink(temporary_.c_str());
  }
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  void append(std::string_view bytes) {
    hasher_.update(as_bytes(bytes));
    write_all(fd_.get(), bytes, path_.string());
  }
  Digest finish() {
    if (::fsync(fd_.get()) != 0) fail("sync");
    if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail("rename");
    finished_ = true;
    const fs::path folder = path_.has_parent_path() ? path_.parent_path() : fs::path(".");
    const Fd parent(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!parent || ::fsync(parent.get()) != 0) fail("sync the folder of");
    return hasher_.finish();
  }

 private:
  [[noreturn]] void fail(const char* what) const {
    const int error = errno;
    const Errc code = error == ENOENT || error == ENOTDIR ? Errc::not_found
                      : error == EACCES || error == EROFS ? Errc::permission
                                                          : Errc::io;
    throw Error(code, what, " ", path_.string(), ": ", std::generic_category().message(error));
  }
  fs::path path_, temporary_;
  Fd fd_;
  ledger::Sha256 hasher_;
  bool finished_ = false;
};

struct Entry {
  std::string name;
  at::ScalarType type;
  std::vector<int64_t> shape;
  uint64_t begin, end;
};

// Bytes that a tensor of this type and shape needs, or nothing when they do not fit 63 bits.
std::optional<uint64_t> bytes_needed(at::ScalarType type, const std::vector<int64_t>& shape) {
  uint64_t bytes = c10::elementSize(type);
  for (const int64_t side : shape) {
    if (__builtin_mul_overflow(bytes, static_cast<uint64_t>(side), &bytes)) return {};
  }
  if (bytes > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return {};
  return bytes;
}

Entry parse_entry(const std::string& name, const Json& json, const std::string& where) {
  const auto need = [&](bool holds, const char* what) {
    if (!holds) throw Error(Errc::corrupt, where, ": tensor ", Json(name).dump(), ": ", what);
  };
  need(json.is_object() && json.size() == 3 && json.contains("dtype") && json.contains("shape") &&
           json.contains("data_offsets"),
       "needs dtype, shape and data_offsets and nothing else");
  const Json &dtype = json["dtype"], &shape = json["shape"], &offsets = json["data_offsets"];
  Entry entry{.name = name, .type = at::kFloat, .shape = {}, .begin = 0, .end = 0};

  const auto type = std::find_if(kTypes.begin(), kTypes.end(),
                                 [&](const auto& t) { return dtype == Json(t.first); });
  need(type != kTypes.end(), "dtype is not known");
  entry.type = type->second;
  need(shape.is_array() && shape.size() <= 64, "shape is not a list of sizes");
  for (const Json& side : shape) {
    need(side.is_number_unsigned() && side.get<uint64_t>() <= uint64_t{1} << 62,
         "shape is not a list of sizes");
    entry.shape.push_back(side.get<int64_t>());
  }
  need(offsets.is_array() && offsets.size() == 2 && offsets[0].is_number_unsigned() &&
           offsets[1].is_number_unsigned() && offsets[0] <= offsets[1],
       "data_offsets is not a range");
  entry.begin = offsets[0].get<uint64_t>();
  entry.end = offsets[1].get<uint64_t>();
  need(bytes_needed(entry.type, entry.shape) == entry.end - entry.begin,
       "data_offsets does not fit shape and dtype");
  return entry;
}

Metadata parse_metadata(const Json& json, const std::string& where) {
  Metadata metadata;
  if (!json.is_object()) throw Error(Errc::corrupt, where, ": __metadata__ is not an object");
  for (const auto& [key, value] : json.items()) {
    if (!value.is_string()) throw Error(Errc::corrupt, where, ": metadata may only be text");
    metadata.emplace(key, value.get<std::string>());
  }
  return metadata;
}

// Shares the bytes, unless they lie where the processor could not read the type.
Tensor tensor_at(const std::shared_ptr<const std::string>& bytes, uint64_t offset,
                 const Entry& entry) {
  char* data = const_cast<char*>(bytes->data()) + offset;
  if (entry.begin != entry.end &&
      reinterpret_cast<uintptr_t>(data) % c10::elementSize(entry.type) == 0) {
    return at::from_blob(
        data, entry.shape, [bytes](void*) {}, entry.type);
  }
  Tensor copy = at::empty(entry.shape, entry.type);
  if (entry.begin != entry.end) std::memcpy(copy.mutable_data_ptr(), data, copy.nbytes());
  return copy;
}

}  // namespace

Digest write_safetensors(const fs::path& path, const TensorMap& tensors, const Metadata& metadata) {
  const std::string header = format_header(tensors, metadata);
  NewFile file(path);
  file.append(header);
  for (const auto& [name, tensor] : tensors) {
    const Tensor plain = tensor.detach().cpu().contiguous();
    file.append({static_cast<const char*>(plain.const_data_ptr()), plain.nbytes()});
  }
  return file.finish();
}

std::string format_safetensors(const TensorMap& tensors, const Metadata& metadata) {
  std::string bytes = format_header(tensors, metadata);
  for (const auto& [name, tensor] : tensors) {
    const Tensor plain = tensor.detach().cpu().contiguous();
    bytes.append(static_cast<const char*>(plain.const_data_ptr()), plain.nbytes());
  }
  return bytes;
}

std::vector<TensorMap> split_tensors(const TensorMap& tensors, uint64_t file_bytes) {
  std::vector<TensorMap> files(1);
  uint64_t filled = 0;
  for (const auto& [name, tensor] : tensors) {
    if (!files.back().empty() && filled + tensor.nbytes() > file_bytes) {
      files.emplace_back();
      filled = 0;
    }
    files.back().emplace(name, tensor);
    filled += tensor.nbytes();
  }
  return files;
}

Safetensors read_safetensors(const fs::path& path) {
  const auto bytes = std::make_shared<const std::string>(read_file(path, kMaxFileBytes));
  const Digest digest = ledger::sha256(*bytes);
  Safetensors out;
  if (const std::string name = path.filename(); name.ends_with(kIndexSuffix)) {
    const std::string stem = name.substr(0, name.size() - kIndexSuffix.size());
    out = join_safetensors(
        parse_index(*bytes, stem, path.string()), path.string(),
        [&](const std::string& file) { return read_safetensors(path.parent_path() / file); });
  } else {
    out = parse_safetensors(bytes, path.string());
  }
  out.digest = digest;
  return out;
}

Safetensors join_safetensors(const TensorIndex& index, const std::string& where,
                             const std::function<Safetensors(const std::string& file)>& read) {
  Safetensors out;
  uint64_t total_size = 0;
  bool first = true;
  for (const auto& listed : index.digests) {
    const std::string& file = listed.first;
    const auto need = [&](bool holds, const auto&... what) {
      if (!holds) throw Error(Errc::corrupt, where, ": ", file, what...);
    };
    const Safetensors part = read(file);
    need(part.digest == listed.second, " is another file than the one whose digest the index has");
    need(first || part.metadata == out.metadata, " has other metadata than the files before");
    out.metadata = part.metadata;
    first = false;
    for (const auto& [name, tensor] : part.tensors) {
      const auto its = index.file_of.find(name);
      need(its != index.file_of.end(), " holds tensor ", Json(name).dump(),
           ", which the index does not have");
      need(its->second == file, " holds tensor ", Json(name).dump(), ", which the index has in ",
           its->second);
      out.tensors.emplace(name, tensor);
      total_size += tensor.nbytes();
    }
  }
  for (const auto& [name, file] : index.file_of) {
    if (out.tensors.contains(name)) continue;
    throw Error(Errc::corrupt, where, ": tensor ", Json(name).dump(), " is not in ", file);
  }
  if (total_size != index.total_size) {
    throw Error(Errc::corrupt, where, ": total_size is ", index.total_size,
                ", and its tensors are of ", total_size, " bytes");
  }
  return out;
}

Safetensors parse_safetensors(std::shared_ptr<const std::string> bytes, const std::string& where) {
  if (bytes->size() < kSizeBytes) throw Error(Errc::corrupt, where, ": too short");
  uint64_t header_bytes = 0;
  for (size_t i = 0; i < kSizeBytes; ++i) {
    header_bytes |= uint64_t{static_cast<unsigned char>((*bytes)[i])} << (8 * i);
  }
  if (header_bytes > kMaxHeaderBytes || header_bytes > bytes->size() - kSizeBytes) {
    throw Error(Errc::corrupt, where, ": header of ", header_bytes, " bytes is too large");
  }
  const std::string_view text = std::string_view(*bytes).substr(kSizeBytes, header_bytes);
  if (!text.starts_with('{')) throw Error(Errc::corrupt, where, ": header does not start with {");
  const Json header = parse_strict_json(text, where + ": header");

  Safetensors out;
  std::vector<Entry> entries;
  for (const auto& [name, json] : header.items()) {
    if (name == "__metadata__") {
      out.metadata = parse_metadata(json, where);
    } else {
      entries.push_back(parse_entry(name, json, where));
    }
  }
  // In the order of their bytes, ranges must meet end to end and fill the file.
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  const uint64_t data = kSizeBytes + header_bytes;
  uint64_t filled = 0;
  for (const Entry& entry : entries) {
    if (entry.begin != filled) {
      throw Error(Errc::corrupt, where, ": tensor ", Json(entry.name).dump(),
                  entry.begin < filled ? " overlaps another" : " leaves a gap before it");
    }
    filled = entry.end;
  }
  if (filled != bytes->size() - data) {
    throw Error(Errc::corrupt, where, ": holds ", bytes->size() - data,
                " bytes of tensors where the header lists ", filled);
  }
  for (const Entry& entry : entries) {
    out.tensors.emplace(entry.name, tensor_at(bytes, data + entry.begin, entry));
  }
  return out;
}

Safetensors parse_own_safetensors(std::shared_ptr<const std::string> bytes,
                                  const std::string& where) {
  Safetensors out = parse_safetensors(bytes, where);
  if (bytes->starts_with(format_header(out.tensors, out.metadata))) return out;
  throw Error(Errc::corrupt, where, ": its header is not as a run writes it; get the file again");
}

}  // namespace cleared::train
