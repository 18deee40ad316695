#include "ledger/shard.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include <fcntl.h>
#include <unistd.h>

#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/merkle.h"
#include "ledger/notes.pb.h"
#include "ledger/textproto.h"

namespace cleared::ledger {
namespace fs = std::filesystem;
namespace {

// POSIX.1-1988 ustar: 512-byte blocks, a header before each member, two zero blocks at the end.
constexpr size_t kBlock = 512;
constexpr size_t kMaxName = 100;
constexpr uint64_t kMaxMemberBytes = uint64_t{8} << 30;  // 11 octal digits

void put(std::string& block, size_t at, std::string_view text) {
  std::memcpy(block.data() + at, text.data(), text.size());
}

// `digits` octal digits and a NUL.
std::string octal(uint64_t value, size_t digits) {
  std::string out(digits + 1, '0');
  out[digits] = '\0';
  for (size_t i = digits; i-- > 0; value >>= 3) out[i] = static_cast<char>('0' + (value & 7));
  return out;
}

std::string tar_header(std::string_view name, uint64_t size_bytes) {
  std::string block(kBlock, '\0');
  put(block, 0, name);
  put(block, 100, octal(0644, 7));
  put(block, 108, octal(0, 7));  // uid
  put(block, 116, octal(0, 7));  // gid
  put(block, 124, octal(size_bytes, 11));
  put(block, 136, octal(0, 11));  // mtime
  put(block, 148, "        ");    // checksum counts itself as spaces
  put(block, 156, "0");           // a regular file
  put(block, 257, std::string_view("ustar\00000", 8));
  put(block, 329, octal(0, 7));  // device numbers
  put(block, 337, octal(0, 7));
  uint64_t sum = 0;
  for (char c : block) sum += static_cast<unsigned char>(c);
  put(block, 148, octal(sum, 6));
  return block;
}

void append_member(std::string& tar, std::string_view name, std::string_view bytes) {
  tar += tar_header(name, bytes.size());
  tar += bytes;
  tar.resize((tar.size() + kBlock - 1) / kBlock * kBlock, '\0');
}

bool is_plain_name(std::string_view name, std::string_view extra) {
  constexpr std::string_view kLetters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
  return !name.empty() && name.size() <= kMaxName &&
         std::all_of(name.begin(), name.end(), [&](char c) {
           return kLetters.find(c) != std::string_view::npos ||
                  extra.find(c) != std::string_view::npos;
         });
}

std::string sample_line(const ManifestSample& s) {
  std::ostringstream line;
  line << s.key << ' ' << to_hex(s.digest) << ' ' << to_hex(s.clip) << ' ' << s.duration_us << ' '
       << s.size_bytes << '\n';
  return std::move(line).str();
}

Digest manifest_digest(const std::string& text, std::string_view where) {
  const auto digest = parse_digest_name(text);
  if (!digest) {
    throw Error(Errc::corrupt, where, ": \"", text, "\" is not sha256: and 64 hex digits");
  }
  return *digest;
}

// A file that appears under its name only when it is whole.
class TarFile {
 public:
  explicit TarFile(const fs::path& path)
      : path_(path), temporary_(path.string() + ".tmp." + std::to_string(::getpid())) {
    fd_.reset(
        ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644));
    if (!fd_) fail("write");
  }
  TarFile(const TarFile&) = delete;
  TarFile& operator=(const TarFile&) = delete;
  ~TarFile() {
    if (fd_) ::unlink(temporary_.c_str());
  }
  void write(std::string_view bytes) { write_all(fd_.get(), bytes, path_.string()); }
  void publish() {
    if (::fsync(fd_.get()) != 0 || ::rename(temporary_.c_str(), path_.c_str()) != 0) fail("write");
    fd_.reset();
  }

 private:
  [[noreturn]] void fail(std::string_view what) const {
    throw Error(Errc::io, what, " ", path_.string(), ": ", std::strerror(errno));
  }
  fs::path path_, temporary_;
  Fd fd_;
};

}  // namespace

Digest shard_root(const Manifest& manifest) {
  std::vector<Digest> leaves;
  leaves.reserve(manifest.samples.size());
  for (const ManifestSample& s : manifest.samples) {
    leaves.push_back(leaf_digest(as_bytes(sample_line(s))));
  }
  return root_digest(leaves);
}

std::string format_manifest(const Manifest& manifest) {
  ManifestText text;
  text.set_name(manifest.name);
  text.set_digest(digest_name(manifest.digest));
  text.set_size_bytes(manifest.size_bytes);
  for (const std::string& licence : manifest.licences) text.add_licence(licence);
  for (const ManifestSample& s : manifest.samples) {
    auto* out = text.add_sample();
    out->set_key(s.key);
    out->set_offset(s.offset);
    out->set_size_bytes(s.size_bytes);
    out->set_digest(digest_name(s.digest));
    out->set_clip(digest_name(s.clip));
    out->set_duration_us(s.duration_us);
  }
  return format_textproto(text);
}

Manifest parse_manifest(std::string_view text, std::string_view where) {
  ManifestText parsed;
  parse_textproto(text, where, parsed);
  Manifest out;
  out.name = parsed.name();
  out.digest = manifest_digest(parsed.digest(), where);
  out.size_bytes = parsed.size_bytes();
  out.licences.assign(parsed.licence().begin(), parsed.licence().end());
  for (const auto& s : parsed.sample()) {
    out.samples.push_back({s.key(), s.offset(), s.size_bytes(), manifest_digest(s.digest(), where),
                           manifest_digest(s.clip(), where), s.duration_us()});
  }
  if (!is_plain_name(out.name, ".")) {
    throw Error(Errc::corrupt, where, ": \"", out.name, "\" is no plain file name");
  }
  if (format_manifest(out) != text) {
    throw Error(Errc::corrupt, where, ": is not in the form that manifests are written in");
  }
  return out;
}

Manifest read_manifest(const fs::path& tar_path) {
  const fs::path path = tar_path.string() + ".manifest";
  Manifest out = parse_manifest(read_file(path), path.string());
  if (tar_path.filename() != out.name) {
    throw Error(Errc::corrupt, path.string(), ": is the manifest of ", out.name);
  }
  return out;
}

Manifest write_shard(const fs::path& folder, const std::string& name,
                     const std::vector<SampleMembers>& samples, std::vector<std::string> licences) {
  CLEARED_CHECK(is_plain_name(name, ".") && name.ends_with(".tar"));
  make_folders(folder);
  std::sort(licences.begin(), licences.end());
  licences.erase(std::unique(licences.begin(), licences.end()), licences.end());
  Manifest manifest;
  manifest.name = name;
  manifest.licences = std::move(licences);
  TarFile file(folder / name);
  Sha256 whole;
  const auto write = [&](std::string_view bytes) {
    file.write(bytes);
    whole.update(as_bytes(bytes));
    manifest.size_bytes += bytes.size();
  };
  for (const SampleMembers& sample : samples) {
    CLEARED_CHECK(is_plain_name(sample.key, "") && !sample.members.empty());
    std::string bytes;
    for (const auto& [extension, content] : sample.members) {
      CLEARED_CHECK(is_plain_name(extension, ".") && content.size() < kMaxMemberBytes);
      append_member(bytes, sample.key + "." + extension, content);
    }
    manifest.samples.push_back({sample.key, manifest.size_bytes, bytes.size(), sha256(bytes),
                                sample.clip, sample.duration_us});
    write(bytes);
  }
  write(std::string(2 * kBlock, '\0'));
  manifest.digest = whole.finish();
  file.publish();
  // The manifest comes last: a shard without one is not there yet.
  write_file(folder / (name + ".manifest"), format_manifest(manifest));
  return manifest;
}

std::map<std::string, std::string> parse_sample(std::string_view bytes, std::string_view key) {
  const auto broken = [&](std::string_view why) {
    return Error(Errc::corrupt, "sample ", key, ": ", why);
  };
  std::map<std::string, std::string> members;
  while (!bytes.empty()) {
    if (bytes.size() < kBlock) throw broken("ends inside a tar header");
    const std::string_view header = bytes.substr(0, kBlock);
    const std::string name(header.substr(0, std::min(header.find('\0'), kMaxName)));
    const std::string_view size_text = header.substr(124, 11);
    uint64_t size = 0;
    const auto [end, problem] =
        std::from_chars(size_text.data(), size_text.data() + size_text.size(), size, 8);
    if (problem != std::errc() || end != size_text.data() + size_text.size() ||
        size >= kMaxMemberBytes || header != tar_header(name, size)) {
      throw broken("holds a tar header that no shard writer writes");
    }
    const uint64_t padded = (size + kBlock - 1) / kBlock * kBlock;
    if (bytes.size() - kBlock < padded) throw broken("ends inside a member");
    const std::string prefix = std::string(key) + ".";
    if (!name.starts_with(prefix) || name.size() == prefix.size()) {
      throw broken("holds a member named \"" + name + "\"");
    }
    if (!members.emplace(name.substr(prefix.size()), bytes.substr(kBlock, size)).second) {
      throw broken("holds \"" + name + "\" twice");
    }
    bytes.remove_prefix(kBlock + padded);
  }
  return members;
}

}  // namespace cleared::ledger
