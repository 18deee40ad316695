#include "curate/delivery.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>

#include <sys/stat.h>
#include <unistd.h>

#include "ledger/base/error.h"
#include "ledger/base/utf8.h"
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
  return (entry.is_symlink() || !entry.is_directory()) &&
         std::find(kSidecars.begin(), kSidecars.end(), extension) == kSidecars.end();
}

}  // namespace

bool has_plain_file(const fs::path& path) {
  std::error_code problem;
  const fs::file_status status = fs::symlink_status(path, problem);
  if (status.type() == fs::file_type::not_found || problem == std::errc::filename_too_long) {
    return false;
  }
  if (problem) throw Error(Errc::io, "read ", path.string(), ": ", problem.message());
  if (fs::is_symlink(status)) {
    throw Error(Errc::corrupt, "is a link, which could name any file of ours: deliver a copy");
  }
  if (!fs::is_regular_file(status)) throw Error(Errc::corrupt, "is no plain file");
  return true;
}

std::vector<DeliveredFile> list_delivery(const fs::path& folder) {
  if (!fs::is_directory(folder)) {
    throw Error(Errc::not_found, "delivery ", folder.string(), ": no such folder");
  }
  std::vector<DeliveredFile> files;
  try {
    for (auto it = fs::recursive_directory_iterator(folder); it != fs::end(it); ++it) {
      const bool hidden = it->path().filename().string().starts_with('.');
      if (hidden) it.disable_recursion_pending();
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
    const std::string name = printable(sidecar.filename().string());
    try {
      if (!has_plain_file(sidecar)) continue;
    } catch (const Error& error) {
      throw Error(error.code(), name, " ", error.what());
    }
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

OpenedSource open_delivered(const DeliveredFile& source) {
  if (!has_plain_file(source.file)) {
    throw Error(Errc::corrupt, "went away while the delivery was read");
  }
  return open_source(source.file);
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

std::string printable(std::string_view text) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  std::string out;
  while (!text.empty()) {
    const auto byte = static_cast<uint8_t>(text[0]);
    const size_t length = byte < 0x20 || byte == 0x7F ? 0 : first_code_point(text).bytes;
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
