// System calls without the C library's names around them, which shim.cpp takes over. Each returns
// what the call returns, and sets errno. Linux on 64 bits: an offset is one register.
#pragma once

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <string>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace cleared::faults::raw {

inline int open(const char* path, int flags, mode_t mode = 0) {
  return static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path, flags, mode));
}
inline ssize_t write(int fd, const void* data, size_t size) {
  return ::syscall(SYS_write, fd, data, size);
}
inline ssize_t pwrite(int fd, const void* data, size_t size, uint64_t offset) {
  return ::syscall(SYS_pwrite64, fd, data, size, offset);
}
inline ssize_t pread(int fd, void* data, size_t size, uint64_t offset) {
  return ::syscall(SYS_pread64, fd, data, size, offset);
}
inline int ftruncate(int fd, uint64_t size) {
  return static_cast<int>(::syscall(SYS_ftruncate, fd, size));
}
inline int rename(const char* from, const char* to) {
  return static_cast<int>(::syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}
inline int link(const char* from, const char* to) {
  return static_cast<int>(::syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0));
}
inline int unlink(const char* path) {
  return static_cast<int>(::syscall(SYS_unlinkat, AT_FDCWD, path, 0));
}
inline int mkdir(const char* path, mode_t mode) {
  return static_cast<int>(::syscall(SYS_mkdirat, AT_FDCWD, path, mode));
}
inline int rmdir(const char* path) {
  return static_cast<int>(::syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR));
}
[[noreturn]] inline void die() {
  for (;;) ::syscall(SYS_kill, ::getpid(), SIGKILL);
}

// The path behind a descriptor; empty when there is none.
inline std::string path_of(int fd) {
  char out[4096];
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t n = ::readlink(link.c_str(), out, sizeof out);
  std::string path(out, n > 0 ? static_cast<size_t>(n) : 0);
  constexpr char kGone[] = " (deleted)";
  if (path.ends_with(kGone)) path.resize(path.size() - (sizeof kGone - 1));
  return path;
}

}  // namespace cleared::faults::raw
