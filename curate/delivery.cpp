#include "curate/delivery.h"

#include <algorithm>
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

// Those of the second list are about rights: without their film they are a mistake.
constexpr std::string_view kSidecars[] = {".txt", ".srt", ".json",   ".csv",
                                          ".md",  ".pub", ".licence"};
constexpr std::string_view kOfRights[] = {".c2pa", ".xmp", ".clearances", ".tdmrep.json",
                                          ".rsl.xml"};
constexpr size_t kClearancesBytes = 1 << 20;
constexpr size_t kMostClearances = 8;  // beside a file

std::string small_letters(std::string text) {
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return text;
}

enum class Kind { source, sidecar, of_rights };
// `name` in small letters; `of` is set to that of its film, with or without extension.
Kind kind_of(std::string_view name, std::string& of) {
  for (const std::string_view end : kOfRights) {
    if (!name.ends_with(end)) continue;
    of = name.substr(0, name.size() - end.size());
    return Kind::of_rights;
  }
  if (name == "license.xml" || name == "rsl.xml") return Kind::sidecar;
  const bool sidecar = std::any_of(std::begin(kSidecars), std::end(kSidecars),
                                   [&](std::string_view end) { return name.ends_with(end); });
  return sidecar ? Kind::sidecar : Kind::source;
}

// Captions are read by their name as it is written: curate/captions.h.
bool is_read(const fs::path& sidecar, const fs::path& root, const std::set<std::string>& films) {
  const std::string name = small_letters(sidecar.filename().string());
  if (name == "license.xml" || name == "rsl.xml" || name == "tdmrep.json") return true;
  if (sidecar == root / "captions.csv") return true;
  const std::string end = sidecar.extension().string();
  return (end == ".txt" || end == ".srt" || end == ".json") &&
         films.contains(sidecar.stem().string());
}

void list_folder(const fs::path& folder, const fs::path& root, std::vector<DeliveredFile>& files,
                 std::vector<std::string>& not_looked_at) {
  const auto leave = [&](const fs::path& path) {
    not_looked_at.push_back(printable(path.lexically_relative(root).generic_string()));
  };
  std::vector<std::pair<std::string, DeliveredFile>> of_rights;  // with the name of their film
  std::vector<fs::path> sidecars;
  std::set<std::string>
      films;  // names as they are and in small letters, with and without extension
  std::error_code problem, none;
  for (auto it = fs::directory_iterator(folder, problem); !problem && it != fs::end(it);
       it.increment(problem)) {
    const fs::path& path = it->path();
    if (path.filename().string().starts_with('.')) {
      if (path.filename() != ".well-known") leave(path);
      continue;
    }
    if (!it->is_symlink(none) && it->is_directory(none)) {
      list_folder(path, root, files, not_looked_at);
      continue;
    }
    DeliveredFile file{path.lexically_relative(root).generic_string(), path};
    const std::string name = small_letters(path.filename().string());
    std::string of;
    const Kind kind = kind_of(name, of);
    if (kind == Kind::of_rights) of_rights.emplace_back(of, std::move(file));
    if (kind == Kind::sidecar) sidecars.push_back(path);
    if (kind != Kind::source) continue;
    for (const fs::path& film : {fs::path(name), path.filename()}) {
      films.insert({film.string(), film.stem().string()});
    }
    files.push_back(std::move(file));
  }
  for (auto& [of, file] : of_rights) {
    if (films.contains(of)) continue;
    file.problem = "is about a film that is not beside it: name it as the film, or take it away";
    files.push_back(std::move(file));
  }
  for (const fs::path& sidecar : sidecars) {
    if (!is_read(sidecar, root, films)) leave(sidecar);
  }
  if (!problem) return;
  if (folder == root) {
    throw Error(Errc::io, "read delivery ", folder.string(), ": ", problem.message());
  }
  files.push_back({folder.lexically_relative(root).generic_string(), folder,
                   "this folder cannot be read: " + problem.message()});
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

std::vector<DeliveredFile> list_delivery(const fs::path& folder,
                                         std::vector<std::string>* not_looked_at) {
  if (!fs::is_directory(folder)) {
    throw Error(Errc::not_found, "delivery ", folder.string(),
                std::filesystem::exists(folder) ? ": is no folder: name the one that was delivered"
                                                : ": no such folder");
  }
  std::vector<DeliveredFile> files;
  std::vector<std::string> unread;
  list_folder(folder, folder, files, unread);
  std::sort(unread.begin(), unread.end());
  if (not_looked_at != nullptr) *not_looked_at = std::move(unread);
  std::sort(files.begin(), files.end(),
            [](const DeliveredFile& a, const DeliveredFile& b) { return a.path < b.path; });
  return files;
}

namespace {

struct stat info_of(const Fd& fd) {
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) {
    throw Error(Errc::io, "read a source: ", std::strerror(errno));
  }
  return info;
}

// Of its content, its size or its owner.
int64_t changed_ns(const Fd& fd) {
  const struct stat info = info_of(fd);
  return info.st_ctim.tv_sec * int64_t{1'000'000'000} + info.st_ctim.tv_nsec;
}

}  // namespace

void require_unchanged(const OpenedSource& source) {
  if (changed_ns(source.fd) == source.changed_ns) return;
  throw Error(Errc::corrupt, "changed while it was read: deliver it when it is whole");
}

std::vector<fs::path> Folders::find(const fs::path& path) const {
  const fs::path folder = path.parent_path();
  const std::lock_guard lock(mutex_);
  const auto [at, first] = names_.try_emplace(folder);
  std::error_code problem;
  fs::directory_iterator entry;
  if (first) entry = fs::directory_iterator(folder, problem);
  for (; !problem && entry != fs::end(entry); entry.increment(problem)) {
    at->second[small_letters(entry->path().filename().string())].insert(entry->path());
  }
  if (problem && problem != std::errc::no_such_file_or_directory) {
    names_.erase(at);
    return {path};
  }
  const auto found = at->second.find(small_letters(path.filename().string()));
  if (found == at->second.end()) return {};
  return {found->second.begin(), found->second.end()};
}

std::vector<std::string> names_of_sidecars(const DeliveredFile& source) {
  const std::string whole = source.file.string();
  const std::string stem = fs::path(source.file).replace_extension().string();
  return stem == whole ? std::vector{whole} : std::vector{whole, stem};
}

std::vector<SaidClearances> read_clearances(const DeliveredFile& source, const Folders& folders) {
  std::vector<SaidClearances> out;
  for (const std::string& begin : names_of_sidecars(source)) {
    for (const fs::path& sidecar : folders.find(begin + ".clearances")) {
      const std::string name = printable(sidecar.filename().string());
      try {
        if (!has_plain_file(sidecar)) continue;
      } catch (const Error& error) {
        throw Error(error.code(), name, " ", error.what());
      }
      if (out.size() == kMostClearances) {  // in more and more ways of writing the case
        throw Error(Errc::corrupt, "has more than ", kMostClearances, " .clearances beside it");
      }
      out.push_back({ledger::parse_clearances(read_file(sidecar, kClearancesBytes), name), name});
    }
  }
  return out;
}

SaidClearances unknown_clearances() {
  constexpr const char* kOrigin = "a .clearances that cannot be read";
  return {
      ledger::parse_clearances("clip { talent: UNKNOWN voice: UNKNOWN music: UNKNOWN }", kOrigin),
      kOrigin};
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

OpenedSource open_delivered(const DeliveredFile& source, Hashed hashed) {
  if (!source.problem.empty()) throw Error(Errc::corrupt, source.problem);
  if (!has_plain_file(source.file)) {
    throw Error(Errc::corrupt, "went away while the delivery was read");
  }
  return open_source(source.file, hashed);
}

OpenedSource open_source(const fs::path& file, Hashed hashed) {
  OpenedSource source{.fd = open_read(file), .digest = {}, .size_bytes = 0, .changed_ns = 0};
  source.changed_ns = changed_ns(source.fd);
  if (hashed == Hashed::no) {
    source.size_bytes = static_cast<uint64_t>(info_of(source.fd).st_size);
    return source;
  }
  ledger::Sha256 hasher;
  std::vector<std::byte> buffer(1 << 17);  // stays in the cache
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
  return with_escapes(text);
}

}  // namespace cleared::curate
