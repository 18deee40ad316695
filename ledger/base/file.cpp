#include "ledger/base/file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ledger/base/error.h"

namespace cleared {
namespace fs = std::filesystem;
namespace {

[[noreturn]] void fail(std::string_view what, const fs::path& path, int error) {
  const Errc code = error == ENOENT || error == ENOTDIR                   ? Errc::not_found
                    : error == EACCES || error == EPERM || error == EROFS ? Errc::permission
                                                                          : Errc::io;
  throw Error(code, what, " ", path.string(), ": ", std::generic_category().message(error));
}

fs::path folder_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

// A failed fsync is not tried again: the second would say yes and have stored nothing.
void sync_folder(const fs::path& folder) {
  Fd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || ::fsync(fd.get()) != 0) fail("sync", folder, errno);
}

// Writes the temporary file beside `path` and returns its name; removes it when anything fails.
fs::path write_temporary(const fs::path& path, std::string_view text, unsigned mode) {
  const std::string name = "." + path.filename().string() + ".tmp." + std::to_string(::getpid());
  const fs::path temporary = path.parent_path() / name;
  Fd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode));
  if (!fd) fail("write", path, errno);
  try {
    write_all(fd.get(), text, path.string());
    if (::fchmod(fd.get(), mode) != 0 || ::fsync(fd.get()) != 0) fail("write", path, errno);
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  return temporary;
}

}  // namespace

int Fd::release() {
  return std::exchange(fd_, -1);
}

void Fd::reset(int fd) {
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
}

Fd open_read(const fs::path& path) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));  // a pipe would wait for a writer
  if (!fd) fail("read", path, errno);
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) fail("read", path, errno);
  if (!S_ISREG(info.st_mode)) {
    throw Error(Errc::corrupt, "read ", path.string(), ": is ",
                S_ISDIR(info.st_mode) ? "a folder, " : "", "not a plain file");
  }
  return fd;
}

std::string read_file(const fs::path& path, uint64_t limit_bytes) {
  const Fd fd = open_read(path);
  std::string out;
  struct stat info {};
  if (::fstat(fd.get(), &info) == 0 && info.st_size > 0) {
    out.reserve(std::min(static_cast<uint64_t>(info.st_size), limit_bytes));
  }
  char buffer[65536];
  for (;;) {
    const ssize_t n = ::read(fd.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("read", path, errno);
    if (n == 0) return out;
    if (out.size() + static_cast<size_t>(n) > limit_bytes) {
      throw Error(Errc::corrupt, "read ", path.string(), ": larger than the limit of ", limit_bytes,
                  " bytes");
    }
    out.append(buffer, static_cast<size_t>(n));
  }
}

std::string read_range(const fs::path& path, uint64_t offset, uint64_t size_bytes) {
  const Fd fd = open_read(path);
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) fail("read", path, errno);
  const auto file_size = static_cast<uint64_t>(info.st_size);
  if (offset > file_size || size_bytes > file_size - offset) {
    throw Error(Errc::corrupt, "read ", path.string(), ": it ends at byte ", file_size,
                ", before byte ", offset + size_bytes);
  }
  std::string out(size_bytes, '\0');
  for (size_t done = 0; done < out.size();) {
    const ssize_t n =
        ::pread(fd.get(), out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("read", path, errno);
    if (n == 0) throw Error(Errc::corrupt, "read ", path.string(), ": it shrank while read");
    done += static_cast<size_t>(n);
  }
  return out;
}

void require_replaceable(const fs::path& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0 || S_ISREG(info.st_mode)) return;
  throw Error(Errc::io, "write ", path.string(), ": ",
              S_ISLNK(info.st_mode)   ? "a link has that name; name the file that it leads to"
              : S_ISDIR(info.st_mode) ? "a folder has that name; name a file"
                                      : "what has that name is no plain file; name one");
}

void write_file(const fs::path& path, std::string_view text, unsigned mode) {
  require_replaceable(path);
  const fs::path temporary = write_temporary(path, text, mode);
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    const int error = errno;
    ::unlink(temporary.c_str());
    fail("write", path, error);
  }
  sync_folder(folder_of(path));
}

void publish_file(const fs::path& temporary, const fs::path& path) {
  const Fd fd = open_read(temporary);
  if (::fsync(fd.get()) != 0) fail("write", temporary, errno);
  require_replaceable(path);
  if (::rename(temporary.c_str(), path.c_str()) != 0) fail("write", path, errno);
  sync_folder(folder_of(path));
}

void write_new_file(const fs::path& path, std::string_view text, unsigned mode) {
  const fs::path temporary = write_temporary(path, text, mode);
  const int linked = ::link(temporary.c_str(), path.c_str());
  const int error = errno;
  ::unlink(temporary.c_str());
  if (linked != 0) fail("create", path, error);
  sync_folder(folder_of(path));
}

void write_all(int fd, std::string_view text, std::string_view what) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      throw Error(Errc::io, "write ", what, ": ", std::generic_category().message(errno));
    }
    text.remove_prefix(static_cast<size_t>(n));
  }
}

void make_folders(const fs::path& path) {
  std::error_code error;
  if (path.empty() || fs::is_directory(path, error)) return;
  const fs::path above = folder_of(path);
  if (above != path) make_folders(above);
  if (::mkdir(path.c_str(), 0777) == 0) {
    sync_folder(above);
  } else if (const int reason = errno; !fs::is_directory(path, error)) {  // others may be as fast
    fail("create folder", path, reason);
  }
}

fs::path only_name(const fs::path& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) fail("open", path, errno);
  if (S_ISREG(info.st_mode) && info.st_nlink > 1) {
    throw Error(
        Errc::corrupt, "open ", path.string(),
        ": is one file under several names (hard links), and what belongs to it lies beside "
        "one of them only; remove the others, or use a copy");
  }
  return fs::is_symlink(path) ? fs::canonical(path) : path;
}

FileLock::FileLock(const fs::path& path)
    : fd_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {
  if (!fd_) fail("lock", path, errno);
  if (::flock(fd_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) {
      throw Error(Errc::busy, "lock ", path.string(),
                  ": another process is writing; try again when it has finished");
    }
    fail("lock", path, errno);
  }
}

}  // namespace cleared
