#include "curate/delivery.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>

#include <sys/stat.h>
#include <unistd.h>

#include "ledger/base/error.h"
#include "ledger/digest.h"

namespace cleared::curate {
namespace fs = std::filesystem;
namespace {

constexpr std::array<std::string_view, 9> kSidecars = {
    ".txt", ".srt", ".json", ".csv", ".md", ".pub", ".licence", ".c2pa", ".clearances"};
constexpr size_t kClearancesBytes = 1 << 20;

bool is_source(const fs::directory_entry& entry) {
  const std::string extension = entry.path().extension().string();
  const std::string name = entry.path().filename().string();
  if (name == "license.xml" || name == "rsl.xml" || name.ends_with(".rsl.xml")) return false;
  return entry.is_regular_file() &&
         std::find(kSidecars.begin(), kSidecars.end(), extension) == kSidecars.end();
}

}  // namespace

std::vector<DeliveredFile> list_delivery(const fs::path& folder) {
  if (!fs::is_directory(folder)) {
    throw Error(Errc::not_found, "delivery ", folder.string(), ": no such folder");
  }
  std::vector<DeliveredFile> files;
  try {
    for (auto it = fs::recursive_directory_iterator(folder); it != fs::end(it); ++it) {
      const bool hidden = it->path().filename().string().starts_with('.');
      if (hidden && it->is_directory()) it.disable_recursion_pending();
      if (hidden || !is_source(*it)) continue;
      files.push_back({it->path().lexically_relative(folder).generic_string(), it->path()});
    }
  } catch (const fs::filesystem_error& error) {
    throw Error(Errc::io, "read delivery ", folder.string(), ": ", error.code().message());
  }
  std::sort(files.begin(), files.end(),
            [](const DeliveredFile& a, const DeliveredFile& b) { return a.path < b.path; });
  return files;
}

namespace {

// Of its content, its size or its owner.
int64_t changed_ns(const Fd& fd) {
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) {
    throw Error(Errc::io, "read a source: ", std::strerror(errno));
  }
  return info.st_ctim.tv_sec * int64_t{1'000'000'000} + info.st_ctim.tv_nsec;
}

}  // namespace

void require_unchanged(const OpenedSource& source) {
  if (changed_ns(source.fd) == source.changed_ns) return;
  throw Error(Errc::corrupt, "changed while it was read: deliver it when it is whole");
}

std::vector<std::string> names_of_sidecars(const DeliveredFile& source) {
  const std::string whole = source.file.string();
  const std::string stem = fs::path(source.file).replace_extension().string();
  return stem == whole ? std::vector{whole} : std::vector{whole, stem};
}

std::vector<SaidClearances> read_clearances(const DeliveredFile& source) {
  std::vector<SaidClearances> out;
  for (const std::string& begin : names_of_sidecars(source)) {
    const fs::path sidecar = begin + ".clearances";
    if (!fs::is_regular_file(sidecar)) continue;
    const std::string name = printable(sidecar.filename().string());
    out.push_back({ledger::parse_clearances(read_file(sidecar, kClearancesBytes), name), name});
  }
  return out;
}

std::vector<ledger::ClipFinding> findings_of(const std::vector<SaidClearances>& all,
                                             uint64_t start_us, uint64_t end_us) {
  std::vector<ledger::ClipFinding> out;
  for (const SaidClearances& one : all) {
    const auto found = ledger::findings_of(one.said, start_us, end_us, one.origin);
    out.insert(out.end(), found.begin(), found.end());
  }
  return out;
}

OpenedSource open_source(const fs::path& file) {
  OpenedSource source{.fd = open_read(file), .digest = {}, .size_bytes = 0, .changed_ns = 0};
  source.changed_ns = changed_ns(source.fd);
  ledger::Sha256 hasher;
  std::vector<std::byte> buffer(1 << 20);
  for (;;) {
    const ssize_t n = ::read(source.fd.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw Error(Errc::io, "read ", file.string(), ": ", std::strerror(errno));
    if (n == 0) break;
    hasher.update(ByteView(buffer.data(), static_cast<size_t>(n)));
    source.size_bytes += static_cast<uint64_t>(n);
  }
  source.digest = hasher.finish();
  return source;
}

// RFC 3629.
size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  if (byte(0) < 0x80) return 1;
  const size_t length = byte(0) >= 0xF0 ? 4 : byte(0) >= 0xE0 ? 3 : 2;
  if (byte(0) < 0xC2 || byte(0) > 0xF4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  const bool overlong = (byte(0) == 0xE0 && byte(1) < 0xA0) || (byte(0) == 0xF0 && byte(1) < 0x90);
  const bool outside = (byte(0) == 0xED && byte(1) > 0x9F) || (byte(0) == 0xF4 && byte(1) > 0x8F);
  return overlong || outside ? 0 : length;
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string printable(std::string_view text) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  std::string out;
  while (!text.empty()) {
    const auto byte = static_cast<uint8_t>(text[0]);
    const size_t length = byte < 0x20 || byte == 0x7F ? 0 : utf8_length(text);
    if (length > 0) {
      out += text.substr(0, length);
    } else {
      out += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
    }
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  return out;
}

}  // namespace cleared::curate
