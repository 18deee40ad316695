#include "ledger/shard.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstring>

#include <fcntl.h>
#include <unistd.h>

#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/base/parallel.h"
#include "ledger/digest.h"
#include "ledger/merkle.h"

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

constexpr std::array<bool, 256> kPlain = [] {
  std::array<bool, 256> plain{};
  for (const char c : std::string_view("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                       "0123456789_-")) {
    plain[static_cast<size_t>(c)] = true;
  }
  return plain;
}();

bool is_plain_name(std::string_view name, std::string_view extra) {
  return !name.empty() && name.size() <= kMaxName &&
         std::all_of(name.begin(), name.end(), [&](char c) {
           return kPlain[static_cast<unsigned char>(c)] || extra.find(c) != std::string_view::npos;
         });
}

// The 8 bytes of 16 lower-case hexadecimal digits, all digits at once (GCC's and Clang's vector
// types, for any processor). False: they are something else.
bool take_hex(const char* digits, std::byte* out) {
  static_assert(std::endian::native == std::endian::little);
  using Digits = uint8_t __attribute__((vector_size(16)));
  using Pairs = uint16_t __attribute__((vector_size(16)));
  using Bytes = uint8_t __attribute__((vector_size(8)));
  Digits text;
  std::memcpy(&text, digits, sizeof text);
  const Digits number = text - '0';
  const Digits letter = text - 'a';
  const auto is_number = (Digits)(number < 10);  // all bits, or none
  const auto is_letter = (Digits)(letter < 6);
  const Digits values = (number & is_number) | ((letter + 10) & is_letter);
  Pairs pairs;
  std::memcpy(&pairs, &values, sizeof pairs);
  const Bytes bytes = __builtin_convertvector((pairs << 4 | pairs >> 8) & 0xFF, Bytes);
  std::memcpy(out, &bytes, sizeof bytes);
  const Digits neither = ~(is_number | is_letter);
  uint64_t halves[2];
  std::memcpy(halves, &neither, sizeof halves);
  return (halves[0] | halves[1]) == 0;
}

// The words of one line of a manifest. A manifest has 10,000 lines and more and a run waits for
// them, so nothing here allocates.
class LineWords {
 public:
  LineWords(std::string_view line, std::string_view where, size_t number)
      : rest_(line), where_(where), number_(number) {}

  std::string_view word() {
    const size_t end = rest_.find(' ');
    const std::string_view out = rest_.substr(0, end);
    rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end + 1);
    last_ = end == std::string_view::npos;
    return out;
  }
  void name(std::string_view expected) {
    if (word() != expected) bad("does not begin with \"" + std::string(expected) + "\"");
  }
  uint64_t number() {
    const std::string_view digits = word();
    uint64_t value = 0;
    const auto [end, problem] =
        std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (problem != std::errc() || end != digits.data() + digits.size() ||
        (digits.size() > 1 && digits[0] == '0')) {
      bad("has \"" + std::string(digits) + "\", which is not a decimal number");
    }
    return value;
  }
  Digest digest() {
    const std::string_view hex = word();
    Digest out;
    bool good = hex.size() == 64;
    for (size_t i = 0; i < 4 && hex.size() == 64; ++i) {
      good &= take_hex(hex.data() + 16 * i, out.bytes.data() + 8 * i);
    }
    if (!good) bad("has \"" + std::string(hex) + "\", which is not 64 hex digits");
    return out;
  }
  void end() {
    if (!last_) bad("goes on where it should end");
  }
  [[noreturn]] void bad(const std::string& what) const {
    throw Error(Errc::corrupt, where_, ":", number_, ": ", what);
  }

 private:
  std::string_view rest_, where_;
  size_t number_;
  bool last_ = false;
};

constexpr std::string_view kManifestTitle = "cleared shard manifest v1";
constexpr size_t kEndBytes = 2 * kBlock;  // of a tar, after its last member

// Lines handed to a thread at once: a complete subtree of the shard's tree.
constexpr size_t kChunkLines = 128;

ManifestSample parse_manifest_line(LineWords words) {
  ManifestSample out;
  out.key = words.word();
  if (!is_plain_name(out.key, "")) words.bad("has a key that is not 1 to 100 of A-Z a-z 0-9 _ -");
  out.digest = words.digest();
  out.clip = words.digest();
  out.duration_us = words.number();
  out.size_bytes = words.number();
  words.end();
  return out;
}

// The samples of `lines`, the first of which is line `first` of the file, and their root.
std::vector<ManifestSample> parse_manifest_lines(const std::vector<std::string_view>& lines,
                                                 std::string_view where, size_t first,
                                                 Digest* root) {
  std::vector<ManifestSample> samples(lines.size());
  std::vector<Digest> subtrees((lines.size() + kChunkLines - 1) / kChunkLines);
  parallel_for(subtrees.size(), [&](size_t chunk) {
    const size_t begin = chunk * kChunkLines;
    const size_t end = std::min(lines.size(), begin + kChunkLines);
    for (size_t i = begin; i < end; ++i) {
      samples[i] = parse_manifest_line(LineWords(lines[i], where, first + i));
    }
    if (root != nullptr) {
      subtrees[chunk] = lines_root(std::span(lines).subspan(begin, end - begin));
    }
  });
  if (root != nullptr) *root = root_digest(subtrees);
  return samples;
}

// Samples lie one after another from the start of the tar.
void place_samples(Manifest& manifest, std::string_view where) {
  uint64_t offset = 0;
  for (ManifestSample& s : manifest.samples) {
    s.offset = offset;
    if (s.size_bytes > manifest.size_bytes - offset) {
      throw Error(Errc::corrupt, where, ": its samples are larger than its tar");
    }
    offset += s.size_bytes;
  }
  if (manifest.size_bytes - offset != kEndBytes) {
    throw Error(Errc::corrupt, where, ": its samples and the end of a tar do not add up to ",
                manifest.size_bytes, " bytes");
  }
}

bool is_licence_ref(std::string_view ref) {
  return !ref.empty() &&
         std::all_of(ref.begin(), ref.end(), [](char c) { return c > ' ' && c < '\x7F'; });
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

std::string sample_line(const ManifestSample& s) {
  std::string line;
  line.reserve(s.key.size() + 180);
  append_sample_line(line, s.key, to_hex(s.digest), to_hex(s.clip), std::to_string(s.duration_us),
                     std::to_string(s.size_bytes));
  return line;
}

void append_sample_line(std::string& text, std::string_view key, std::string_view digest,
                        std::string_view clip, std::string_view duration_us,
                        std::string_view size_bytes) {
  for (const std::string_view word : {key, digest, clip, duration_us, size_bytes}) {
    text.append(word).append(" ");
  }
  text.back() = '\n';
}

ManifestSample parse_sample_line(std::string_view line, std::string_view where) {
  if (line.empty() || line.back() != '\n') {
    throw Error(Errc::corrupt, where, ": the line of its sample does not end");
  }
  return parse_manifest_line(LineWords(line.substr(0, line.size() - 1), where, 1));
}

Digest shard_root(const Manifest& manifest) {
  RootBuilder tree;
  for (const ManifestSample& s : manifest.samples) tree.add(leaf_digest(as_bytes(sample_line(s))));
  return tree.root();
}

Digest lines_root(std::span<const std::string_view> lines) {
  std::vector<ByteView> leaves;
  leaves.reserve(lines.size());
  for (const std::string_view line : lines) {
    leaves.push_back(as_bytes(std::string_view(line.data(), line.size() + 1)));
  }
  std::vector<Digest> digests(lines.size());
  leaf_digests(leaves, digests);
  return root_digest(digests);
}

std::string format_manifest(const Manifest& manifest) {
  std::string out(kManifestTitle);
  out += "\nname " + manifest.name + "\ndigest " + to_hex(manifest.digest) + "\nsize_bytes " +
         std::to_string(manifest.size_bytes) + "\n";
  for (const std::string& licence : manifest.licences) out += "licence " + licence + "\n";
  out += "samples " + std::to_string(manifest.samples.size()) + "\n";
  for (const ManifestSample& s : manifest.samples) out += sample_line(s);
  return out;
}

Manifest parse_manifest(std::string_view text, std::string_view where, Digest* root) {
  constexpr size_t kUsualLine = 150;
  std::vector<std::string_view> lines;
  lines.reserve(text.size() / kUsualLine);
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    if (end == std::string_view::npos) {
      throw Error(Errc::corrupt, where, ":", lines.size() + 1, ": is cut short");
    }
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  size_t next = 0;
  const auto words = [&] {
    return LineWords(next < lines.size() ? lines[next] : "", where, next + 1);
  };
  const auto value = [&](std::string_view name) {  // of a line with one value
    LineWords line = words();
    line.name(name);
    ++next;
    return line;
  };
  Manifest out;
  if (lines.empty() || lines[next++] != kManifestTitle) {
    throw Error(Errc::corrupt, where, ":1: is not \"", kManifestTitle, "\"");
  }
  LineWords name = value("name");
  out.name = name.word();
  if (!is_plain_name(out.name, ".")) name.bad("\"" + out.name + "\" is no plain file name");
  name.end();
  LineWords digest = value("digest");
  out.digest = digest.digest();
  digest.end();
  LineWords size = value("size_bytes");
  out.size_bytes = size.number();
  size.end();
  while (next < lines.size() && lines[next].starts_with("licence ")) {
    LineWords line = value("licence");
    const std::string ref(line.word());
    if (!is_licence_ref(ref)) line.bad("names no licence");
    if (!out.licences.empty() && ref <= out.licences.back()) line.bad("is not sorted");
    line.end();
    out.licences.push_back(ref);
  }
  LineWords count = value("samples");
  const uint64_t samples = count.number();
  count.end();
  if (lines.size() - next != samples) {
    count.bad("says " + std::to_string(samples) + " samples, but " +
              std::to_string(lines.size() - next) + " lines follow");
  }
  const size_t first = next + 1;
  lines.erase(lines.begin(), lines.begin() + static_cast<ptrdiff_t>(next));
  out.samples = parse_manifest_lines(lines, where, first, root);
  place_samples(out, where);
  return out;
}

Manifest read_manifest(const fs::path& tar_path, Digest* root) {
  const fs::path path = tar_path.string() + ".manifest";
  Manifest out = parse_manifest(read_file(path), path.string(), root);
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
  write(std::string(kEndBytes, '\0'));
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
