#include "tests/faults/disk.h"

#include <algorithm>
#include <filesystem>

#include "tests/faults/raw.h"

namespace cleared::faults {
namespace {

uint64_t size_of(int fd) {
  struct stat info {};
  return ::fstat(fd, &info) == 0 ? static_cast<uint64_t>(info.st_size) : 0;
}

std::string folder_of(const std::string& path) {
  std::error_code error;
  const auto folder = std::filesystem::path(path).parent_path();
  return std::filesystem::canonical(folder.empty() ? "." : folder, error).string();
}

// A folder that was lost takes with it what was stored in it.
void lose(const std::string& path) {
  if (raw::unlink(path.c_str()) == 0) return;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(path, error)) {
    lose(entry.path().string());
  }
  (void)raw::rmdir(path.c_str());
}

// A new file at `path` with the bytes behind `kept`.
void restore(const std::string& path, int kept) {
  struct stat info {};
  ::fstat(kept, &info);
  const int fd = raw::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, info.st_mode);
  std::string bytes(static_cast<size_t>(info.st_size), '\0');
  if (raw::pread(kept, bytes.data(), bytes.size(), 0) != info.st_size ||
      raw::pwrite(fd, bytes.data(), bytes.size(), 0) != info.st_size) {
    raw::die();  // the test that expected a cut sees another one
  }
}

}  // namespace

// Descriptors of our own stay open for ever: closing one would drop the process's POSIX locks.
Disk::File& Disk::file(int fd) {
  struct stat info {};
  ::fstat(fd, &info);
  const std::pair id{info.st_dev, info.st_ino};
  const auto known =
      std::find_if(files_.begin(), files_.end(), [&](const File& f) { return f.id == id; });
  if (known != files_.end()) return *known;
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  return files_.emplace_back(File{id,
                                  raw::open(path.c_str(), O_RDWR | O_CLOEXEC),
                                  {},
                                  {{0, static_cast<uint64_t>(info.st_size)}}});
}

// Zeros after the end of the file.
std::string Disk::read_sector(const File& file, uint64_t sector) const {
  std::string out(sector_bytes_, '\0');
  (void)raw::pread(file.fd, out.data(), out.size(), sector * sector_bytes_);
  return out;
}

void Disk::touch(File& file, uint64_t sector) {
  Sector& state = file.sectors[sector];
  if (state.versions.empty()) state.versions.push_back({0, false, read_sector(file, sector)});
}

void Disk::before_write(int fd, uint64_t offset, uint64_t size) {
  if (size == 0) return;
  File& f = file(fd);
  for (uint64_t s = offset / sector_bytes_; s <= (offset + size - 1) / sector_bytes_; ++s) {
    touch(f, s);
  }
}

void Disk::after_write(int fd, uint64_t offset, uint64_t size) {
  if (size == 0) return;
  File& f = file(fd);
  ++event_;
  for (uint64_t s = offset / sector_bytes_; s <= (offset + size - 1) / sector_bytes_; ++s) {
    Sector& sector = f.sectors[s];
    sector.versions.push_back({event_, false, read_sector(f, s)});
    sector.lost = false;
  }
  if (const uint64_t now = size_of(fd); now != f.sizes.back().second) {
    f.sizes.emplace_back(event_, now);
  }
}

void Disk::before_resize(int fd, uint64_t size) {
  File& f = file(fd);
  const uint64_t end = size_of(fd);
  for (uint64_t s = size / sector_bytes_; s * sector_bytes_ < end; ++s) touch(f, s);
}

void Disk::after_resize(int fd, uint64_t size) {
  File& f = file(fd);
  const uint64_t before = f.sizes.back().second;
  if (size == before) return;
  ++event_;
  for (uint64_t s = size / sector_bytes_; s * sector_bytes_ < before; ++s) {
    f.sectors[s].versions.push_back({event_, true, read_sector(f, s)});
  }
  f.sizes.emplace_back(event_, size);
}

void Disk::synced(int fd) {
  struct stat info {};
  ::fstat(fd, &info);
  if (S_ISDIR(info.st_mode)) {
    const std::string folder = raw::path_of(fd);
    names_.remove_if([&](const Name& name) { return name.folder == folder; });
    return;
  }
  File& f = file(fd);
  std::erase_if(f.sectors, [](const auto& sector) { return !sector.second.lost; });
  f.sizes = {{0, f.sizes.back().second}};
}

void Disk::sync_failed(int fd) {
  for (auto& [number, sector] : file(fd).sectors) sector.lost = true;
}

void Disk::made(const std::string& path) {
  names_.push_back({Name::make, folder_of(path), path, "", -1});
}

int Disk::keep(const std::string& path) {
  return raw::open(path.c_str(), O_RDONLY | O_CLOEXEC);
}

void Disk::renamed(const std::string& from, const std::string& to, int kept) {
  names_.push_back({Name::rename, folder_of(to), to, from, kept});
}

void Disk::removed(const std::string& path, int kept) {
  names_.push_back({Name::remove, folder_of(path), path, "", kept});
}

void Disk::cut_file(File& file, std::mt19937_64& random, bool nothing) const {
  // How often the newest is what reached the disk; otherwise any of the older.
  const uint64_t newest_of_10 = std::uniform_int_distribution<uint64_t>(0, 10)(random);
  const auto pick = [&](size_t count) -> size_t {
    if (nothing) return 0;
    if (random() % 10 < newest_of_10) return count - 1;
    return random() % count;
  };
  const auto [meta_event, size] = file.sizes[pick(file.sizes.size())];
  if (raw::ftruncate(file.fd, size) != 0) raw::die();
  for (const auto& [number, sector] : file.sectors) {
    std::vector<const std::string*> may_hold;
    for (const Version& version : sector.versions) {
      if (version.truncated && version.event > meta_event) continue;
      if (version.truncated) may_hold.clear();  // its old blocks were given back
      may_hold.push_back(&version.bytes);
    }
    const std::string& bytes = *may_hold[sector.lost ? 0 : pick(may_hold.size())];
    const uint64_t start = number * sector_bytes_;
    if (start >= size) continue;
    (void)raw::pwrite(file.fd, bytes.data(), std::min(bytes.size(), size - start), start);
  }
}

void Disk::cut_names(std::mt19937_64& random, bool nothing) {
  std::map<std::string, size_t> stored;  // how many of a folder's names
  for (const Name& name : names_) ++stored[name.folder];
  for (auto& [folder, count] : stored) count = nothing ? 0 : random() % (count + 1);
  std::vector<const Name*> undo;
  for (const Name& name : names_) {
    size_t& left = stored[name.folder];
    if (left > 0) {
      --left;
    } else {
      undo.push_back(&name);
    }
  }
  for (auto it = undo.rbegin(); it != undo.rend(); ++it) {
    const Name& name = **it;
    if (name.kind == Name::make) lose(name.path);
    if (name.kind == Name::rename) (void)raw::rename(name.path.c_str(), name.from.c_str());
    if (name.kind != Name::make && name.kept >= 0) restore(name.path, name.kept);
  }
}

void Disk::cut(uint64_t seed) {
  std::mt19937_64 random(seed);
  for (File& file : files_) cut_file(file, random, seed == 0);
  cut_names(random, seed == 0);
}

void Disk::forget() {
  for (File& file : files_) {
    for (const auto& [number, sector] : file.sectors) {
      if (!sector.lost) continue;
      const uint64_t start = number * sector_bytes_;
      const uint64_t size = size_of(file.fd);
      const std::string& bytes = sector.versions.front().bytes;
      if (start >= size) continue;
      (void)raw::pwrite(file.fd, bytes.data(), std::min(bytes.size(), size - start), start);
    }
  }
}

}  // namespace cleared::faults
