// libfaults.so: LD_PRELOAD it, and the program's N-th change below one folder goes wrong. For tests
// of what is left afterwards (docs/design/0005-crash-safety.md).
//
// A change is a write, a resize, a sync, or a name made, renamed or removed; they are counted from
// 1. Files ending in -shm are left alone: SQLite's WAL index lives in shared memory and is rebuilt.
// No sync reaches the real disk, whose power stays on: this file answers for it.
//
//   FAULTS_ROOT    folder, without symbolic links in its path; without it nothing is done
//   FAULTS         count   nothing goes wrong
//                  kill    SIGKILL before change N
//                  torn    half of the bytes of change N are written, or all of another change
//                          is done, then SIGKILL
//                  cut     power cut while change N is under way; at the end when there are fewer
//                  eio     change N fails: EIO. A failed sync loses the bytes, as Linux does
//                  enospc  change N fails: ENOSPC, if it needs space, else the next that does
//                  short   change N, if it is a write, writes half and says so
//                  unread  read N, counted apart, fails: EIO
//   FAULTS_AT      N
//   FAULTS_FOREVER 1: and so does every change after it
//   FAULTS_SEED    of a cut, see disk.h; 0 loses all that was not synced
//   FAULTS_SECTOR  bytes, 512 unless told
//   FAULTS_REPORT  file that gains a line for each change: "N kind bytes path"
//
// Not seen: mappings that are written to, stdio's own fopen, io_uring, children of vfork.
#include <cerrno>
#include <cstdarg>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>

#include <sys/uio.h>

#include "tests/faults/disk.h"
#include "tests/faults/raw.h"

namespace cleared::faults {
namespace {

std::string setting(const char* name) {
  const char* value = ::getenv(name);
  return value == nullptr ? "" : value;
}
uint64_t number(const char* name, uint64_t otherwise) {
  const std::string text = setting(name);
  return text.empty() ? otherwise : std::strtoull(text.c_str(), nullptr, 10);
}

enum class Change { write, resize, sync, make, rename, remove };
constexpr const char* kChangeNames[] = {"write", "resize", "sync", "make", "rename", "remove"};

enum class Act { go, tear, cut, fail, half };

class Shim {
 public:
  // Never destroyed: the program's own destructors still write.
  static Shim& get() {
    static Shim* shim = new Shim;
    return *shim;
  }

  bool watches(const std::string& path) const {
    return !root_.empty() && path.starts_with(root_) && !path.ends_with("-shm");
  }

  // Counts a change and says what becomes of it. May not return.
  Act next(Change change, bool grows, uint64_t bytes, const std::string& path) {
    ++count_;
    report(change, bytes, path);
    if (mode_ == "unread") return Act::go;
    const bool now = count_ == at_ || (forever_ && count_ > at_ && at_ > 0);
    if (mode_ == "enospc") return fails_for_space(grows) ? Act::fail : Act::go;
    if (!now) return Act::go;
    if (mode_ == "kill") raw::die();
    if (mode_ == "torn") return Act::tear;
    if (mode_ == "cut") return Act::cut;
    if (mode_ == "eio") return Act::fail;
    if (mode_ == "short" && change == Change::write && bytes > 1) return Act::half;
    return Act::go;
  }

  int error() const { return mode_ == "enospc" ? ENOSPC : EIO; }

  // Whether this read fails.
  bool unreadable(int fd) {
    if (mode_ != "unread" || !watches(raw::path_of(fd))) return false;
    const std::scoped_lock lock(mutex);
    ++reads_;
    return reads_ == at_ || (forever_ && reads_ > at_);
  }

  [[noreturn]] void cut() {
    disk.cut(seed_);
    raw::die();
  }

  void at_exit() {
    const std::scoped_lock lock(mutex);
    if (mode_ == "cut") disk.cut(seed_);
    if (mode_ == "eio") disk.forget();
  }

  // Only what ends in a cut or in forgotten bytes needs to know what the disk holds.
  bool models_disk() const { return mode_ == "cut" || mode_ == "eio"; }

  std::mutex mutex;
  Disk disk{number("FAULTS_SECTOR", 512)};

 private:
  bool fails_for_space(bool grows) {
    if (!grows || count_ < at_ || at_ == 0 || (failed_ && !forever_)) return false;
    failed_ = true;
    return true;
  }

  void report(Change change, uint64_t bytes, const std::string& path) const {
    if (report_ < 0) return;
    const std::string line = std::to_string(count_) + " " + kChangeNames[static_cast<int>(change)] +
                             " " + std::to_string(bytes) + " " + path + "\n";
    (void)raw::write(report_, line.data(), line.size());
  }

  std::string root_ = setting("FAULTS_ROOT").empty() ? "" : setting("FAULTS_ROOT") + "/";
  std::string mode_ = setting("FAULTS");
  uint64_t at_ = number("FAULTS_AT", 0);
  bool forever_ = number("FAULTS_FOREVER", 0) == 1;
  uint64_t seed_ = number("FAULTS_SEED", 0);
  int report_ = setting("FAULTS_REPORT").empty()
                    ? -1
                    : raw::open(setting("FAULTS_REPORT").c_str(),
                                O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  uint64_t count_ = 0, reads_ = 0;
  bool failed_ = false;
};

__attribute__((destructor)) void at_exit() {
  Shim::get().at_exit();
}

// The absolute path that `path` under `folder` (a descriptor or AT_FDCWD) means.
std::string absolute(int folder, const char* path) {
  if (path[0] == '/') return path;
  std::string base;
  if (folder == AT_FDCWD) {
    char here[4096] = {};
    base = ::getcwd(here, sizeof here) == nullptr ? "" : here;
  } else {
    base = raw::path_of(folder);
  }
  return base + "/" + path;
}

uint64_t file_size(int fd) {
  struct stat info {};
  return ::fstat(fd, &info) == 0 ? static_cast<uint64_t>(info.st_size) : 0;
}

// `offset` -1: where the descriptor stands.
ssize_t change_bytes(int fd, const void* data, size_t size, int64_t offset) {
  const auto put = [&](size_t bytes) {
    return offset < 0 ? raw::write(fd, data, bytes)
                      : raw::pwrite(fd, data, bytes, static_cast<uint64_t>(offset));
  };
  Shim& shim = Shim::get();
  const std::string path = raw::path_of(fd);
  if (!shim.watches(path)) return put(size);
  const std::scoped_lock lock(shim.mutex);
  const bool appends = (::fcntl(fd, F_GETFL) & O_APPEND) != 0;
  const uint64_t start = appends      ? file_size(fd)
                         : offset < 0 ? static_cast<uint64_t>(::lseek(fd, 0, SEEK_CUR))
                                      : static_cast<uint64_t>(offset);
  const Act act = shim.next(Change::write, start + size > file_size(fd), size, path);
  if (act == Act::fail) {
    errno = shim.error();
    return -1;
  }
  if (shim.models_disk()) shim.disk.before_write(fd, start, size);
  const ssize_t done = put(act == Act::tear || act == Act::half ? size / 2 : size);
  if (act == Act::tear) raw::die();
  if (shim.models_disk() && done > 0) {
    shim.disk.after_write(fd, start, static_cast<uint64_t>(done));
  }
  if (act == Act::cut) shim.cut();
  return done;
}

ssize_t change_bytes(int fd, const iovec* parts, int count, int64_t offset) {
  std::string all;
  for (int i = 0; i < count; ++i) {
    all.append(static_cast<const char*>(parts[i].iov_base), parts[i].iov_len);
  }
  return change_bytes(fd, all.data(), all.size(), offset);
}

// `offset` -1: where the descriptor stands.
ssize_t read_bytes(int fd, void* data, size_t size, int64_t offset) {
  if (Shim::get().unreadable(fd)) {
    errno = EIO;
    return -1;
  }
  return offset < 0 ? ::syscall(SYS_read, fd, data, size)
                    : raw::pread(fd, data, size, static_cast<uint64_t>(offset));
}

int change_size(int fd, uint64_t size) {
  Shim& shim = Shim::get();
  const std::string path = raw::path_of(fd);
  if (!shim.watches(path)) return raw::ftruncate(fd, size);
  const std::scoped_lock lock(shim.mutex);
  const Act act = shim.next(Change::resize, size > file_size(fd), size, path);
  if (act == Act::fail) {
    errno = shim.error();
    return -1;
  }
  if (shim.models_disk()) shim.disk.before_resize(fd, size);
  const int done = raw::ftruncate(fd, size);
  if (act == Act::tear) raw::die();
  if (shim.models_disk() && done == 0) shim.disk.after_resize(fd, size);
  if (act == Act::cut) shim.cut();
  return done;
}

int sync_file(int fd, long call) {
  Shim& shim = Shim::get();
  std::string path = raw::path_of(fd);
  if (!shim.watches(path + "/")) return static_cast<int>(::syscall(call, fd));
  const std::scoped_lock lock(shim.mutex);
  const Act act = shim.next(Change::sync, false, 0, path);
  if (act == Act::cut) shim.cut();
  if (act == Act::tear) raw::die();
  if (act == Act::fail) {
    shim.disk.sync_failed(fd);
    errno = shim.error();
    return -1;
  }
  if (shim.models_disk()) shim.disk.synced(fd);
  return 0;
}

int open_file(int folder, const char* name, int flags, mode_t mode) {
  const auto open = [&] {
    return static_cast<int>(::syscall(SYS_openat, folder, name, flags, mode));
  };
  Shim& shim = Shim::get();
  const std::string path = absolute(folder, name);
  if ((flags & (O_CREAT | O_TRUNC)) == 0 || !shim.watches(path)) return open();
  const std::scoped_lock lock(shim.mutex);
  struct stat info {};
  const bool there = ::stat(path.c_str(), &info) == 0;
  const bool empties = there && (flags & O_TRUNC) != 0 && info.st_size > 0;
  if (there ? !empties : (flags & O_CREAT) == 0) return open();
  const Act act = shim.next(there ? Change::resize : Change::make, !there, 0, path);
  if (act == Act::fail) {
    errno = shim.error();
    return -1;
  }
  if (empties && shim.models_disk()) {
    const int fd = raw::open(path.c_str(), O_RDWR | O_CLOEXEC);
    shim.disk.before_resize(fd, 0);
    if (raw::ftruncate(fd, 0) == 0) shim.disk.after_resize(fd, 0);
  }
  const int fd = open();
  if (act == Act::tear) raw::die();
  if (!there && fd >= 0 && shim.models_disk()) shim.disk.made(path);
  if (act == Act::cut) shim.cut();
  return fd;
}

// Making, renaming or removing a name: `todo` does it, `note` tells the disk.
template <class Todo, class Note>
int change_name(Change change, const std::string& path, const Todo& todo, const Note& note) {
  Shim& shim = Shim::get();
  if (!shim.watches(path)) return todo();
  const std::scoped_lock lock(shim.mutex);
  const Act act = shim.next(change, change == Change::make, 0, path);
  if (act == Act::fail) {
    errno = shim.error();
    return -1;
  }
  const int kept = shim.models_disk() ? shim.disk.keep(path) : -1;
  const int done = todo();
  if (act == Act::tear) raw::die();
  if (done == 0 && shim.models_disk()) note(shim.disk, kept);
  if (act == Act::cut) shim.cut();
  return done;
}

int rename_file(int from_folder, const char* from, int to_folder, const char* to, unsigned flags) {
  const std::string old_path = absolute(from_folder, from), path = absolute(to_folder, to);
  return change_name(
      Change::rename, path,
      [&] {
        return static_cast<int>(::syscall(SYS_renameat2, from_folder, from, to_folder, to, flags));
      },
      [&](Disk& disk, int kept) { disk.renamed(old_path, path, kept); });
}

int link_file(int from_folder, const char* from, int to_folder, const char* to, int flags) {
  const std::string path = absolute(to_folder, to);
  return change_name(
      Change::make, path,
      [&] {
        return static_cast<int>(::syscall(SYS_linkat, from_folder, from, to_folder, to, flags));
      },
      [&](Disk& disk, int) { disk.made(path); });
}

int remove_file(int folder, const char* name, int flags) {
  const std::string path = absolute(folder, name);
  return change_name(
      Change::remove, path,
      [&] { return static_cast<int>(::syscall(SYS_unlinkat, folder, name, flags)); },
      [&](Disk& disk, int kept) {
        if ((flags & AT_REMOVEDIR) == 0) disk.removed(path, kept);
      });
}

int make_folder(int folder, const char* name, mode_t mode) {
  const std::string path = absolute(folder, name);
  return change_name(
      Change::make, path,
      [&] { return static_cast<int>(::syscall(SYS_mkdirat, folder, name, mode)); },
      [&](Disk& disk, int) { disk.made(path); });
}

mode_t mode_of(int flags, va_list rest) {
  return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;
}

}  // namespace
}  // namespace cleared::faults

// The C library's names. Those with 64 are the same calls here.
using namespace cleared::faults;

#define FAULTS_OPEN(name)                          \
  int name(const char* path, int flags, ...) {     \
    va_list rest;                                  \
    va_start(rest, flags);                         \
    const mode_t mode = mode_of(flags, rest);      \
    va_end(rest);                                  \
    return open_file(AT_FDCWD, path, flags, mode); \
  }
#define FAULTS_OPENAT(name)                                \
  int name(int folder, const char* path, int flags, ...) { \
    va_list rest;                                          \
    va_start(rest, flags);                                 \
    const mode_t mode = mode_of(flags, rest);              \
    va_end(rest);                                          \
    return open_file(folder, path, flags, mode);           \
  }

extern "C" {
FAULTS_OPEN(open)
FAULTS_OPEN(open64)
FAULTS_OPENAT(openat)
FAULTS_OPENAT(openat64)
int creat(const char* path, mode_t mode) {
  return open_file(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode);
}
int creat64(const char* path, mode_t mode) {
  return open_file(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode);
}

ssize_t read(int fd, void* data, size_t size) {
  return read_bytes(fd, data, size, -1);
}
ssize_t pread(int fd, void* data, size_t size, off_t offset) {
  return read_bytes(fd, data, size, offset);
}
ssize_t pread64(int fd, void* data, size_t size, off64_t offset) {
  return read_bytes(fd, data, size, offset);
}

ssize_t write(int fd, const void* data, size_t size) {
  return change_bytes(fd, data, size, -1);
}
ssize_t pwrite(int fd, const void* data, size_t size, off_t offset) {
  return change_bytes(fd, data, size, offset);
}
ssize_t pwrite64(int fd, const void* data, size_t size, off64_t offset) {
  return change_bytes(fd, data, size, offset);
}
ssize_t writev(int fd, const iovec* parts, int count) {
  return change_bytes(fd, parts, count, -1);
}
ssize_t pwritev(int fd, const iovec* parts, int count, off_t offset) {
  return change_bytes(fd, parts, count, offset);
}
ssize_t pwritev64(int fd, const iovec* parts, int count, off64_t offset) {
  return change_bytes(fd, parts, count, offset);
}

int ftruncate(int fd, off_t size) noexcept {
  return change_size(fd, static_cast<uint64_t>(size));
}
int ftruncate64(int fd, off64_t size) noexcept {
  return change_size(fd, static_cast<uint64_t>(size));
}
int posix_fallocate(int fd, off_t offset, off_t size) {
  const auto end = static_cast<uint64_t>(offset + size);
  return end <= file_size(fd) || change_size(fd, end) == 0 ? 0 : errno;
}
int posix_fallocate64(int fd, off64_t offset, off64_t size) {
  return posix_fallocate(fd, offset, size);
}

int fsync(int fd) {
  return sync_file(fd, SYS_fsync);
}
int fdatasync(int fd) {
  return sync_file(fd, SYS_fdatasync);
}

int rename(const char* from, const char* to) noexcept {
  return rename_file(AT_FDCWD, from, AT_FDCWD, to, 0);
}
int renameat(int from_folder, const char* from, int to_folder, const char* to) noexcept {
  return rename_file(from_folder, from, to_folder, to, 0);
}
int renameat2(int from_folder, const char* from, int to_folder, const char* to,
              unsigned flags) noexcept {
  return rename_file(from_folder, from, to_folder, to, flags);
}
int link(const char* from, const char* to) noexcept {
  return link_file(AT_FDCWD, from, AT_FDCWD, to, 0);
}
int linkat(int from_folder, const char* from, int to_folder, const char* to, int flags) noexcept {
  return link_file(from_folder, from, to_folder, to, flags);
}
int unlink(const char* path) noexcept {
  return remove_file(AT_FDCWD, path, 0);
}
int unlinkat(int folder, const char* path, int flags) noexcept {
  return remove_file(folder, path, flags);
}
int rmdir(const char* path) noexcept {
  return remove_file(AT_FDCWD, path, AT_REMOVEDIR);
}
int remove(const char* path) noexcept {
  struct stat info {};
  const bool folder = ::lstat(path, &info) == 0 && S_ISDIR(info.st_mode);
  return remove_file(AT_FDCWD, path, folder ? AT_REMOVEDIR : 0);
}
int mkdir(const char* path, mode_t mode) noexcept {
  return make_folder(AT_FDCWD, path, mode);
}
int mkdirat(int folder, const char* path, mode_t mode) noexcept {
  return make_folder(folder, path, mode);
}
}  // extern "C"
