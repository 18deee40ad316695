#include "curate/mapped.h"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ledger/base/error.h"
#include "ledger/base/file.h"

namespace cleared::curate {
namespace {

struct Pages {
  void* at;
  size_t size;
  ~Pages() { ::munmap(at, size); }
};

std::shared_ptr<const Pages> map_pages(int fd, size_t size, const std::string& what) {
  const int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
  void* at = ::mmap(nullptr, size, fd < 0 ? PROT_READ | PROT_WRITE : PROT_READ, flags, fd, 0);
  if (at == MAP_FAILED) throw Error(Errc::io, "map ", what, ": ", std::strerror(errno));
  if (fd < 0) ::madvise(at, size, MADV_HUGEPAGE);
  return std::make_shared<const Pages>(at, size);
}

}  // namespace

Mapped map_file(const std::filesystem::path& path) {
  const Fd fd = open_read(path);
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) throw Error(Errc::io, "read ", path.string());
  if (info.st_size == 0) throw Error(Errc::corrupt, path.string(), ": empty");
  const auto pages = map_pages(fd.get(), static_cast<size_t>(info.st_size), path.string());
  return {pages, {static_cast<const std::byte*>(pages->at), pages->size}};
}

Memory map_memory(size_t size) {
  const auto pages = map_pages(-1, size, "memory for the search index");
  return {pages, static_cast<std::byte*>(pages->at)};
}

void write_large_file(const std::filesystem::path& path, const std::function<void(int fd)>& fill,
                      OnDisk when) {
  const std::string temporary = path.string() + ".tmp." + std::to_string(::getpid());
  try {
    const Fd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (!fd) throw Error(Errc::io, "create ", temporary, ": ", std::strerror(errno));
    fill(fd.get());
    if (when == OnDisk::now) {
      publish_file(temporary, path);
    } else if (::rename(temporary.c_str(), path.c_str()) != 0) {
      throw Error(Errc::io, "write ", path.string(), ": ", std::strerror(errno));
    }
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
}

}  // namespace cleared::curate
