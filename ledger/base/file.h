// Files, whole or not at all. Every function throws Error naming the path: not_found, permission or
// io. Safe from any thread, as far as the paths differ.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace cleared {

// An open file descriptor. Closed on destruction.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release();
  void reset(int fd = -1);

 private:
  int fd_ = -1;
};

// A plain file, or a link to one. Error{corrupt} for a folder, a pipe or a device, without waiting
// for anybody at its other end.
Fd open_read(const std::filesystem::path& path);

// The whole file. A file above `limit_bytes` is Error{corrupt}: inputs may be hostile.
std::string read_file(const std::filesystem::path& path, uint64_t limit_bytes = uint64_t{1} << 31);

// Exactly `size_bytes` from `offset`, or Error{corrupt} when the file ends earlier.
std::string read_range(const std::filesystem::path& path, uint64_t offset, uint64_t size_bytes);

// After it returns the file holds exactly `text` and will after a power cut; when it throws, the
// old file, or none, is still there, or, when only the last step failed, the new one; each whole.
// Temporary name, fsync, rename, fsync of the folder. A killed process leaves .NAME.tmp.PID behind.
// Error{io} where a link, a folder, a device or a pipe has the name: nothing but a file is
// replaced.
void write_file(const std::filesystem::path& path, std::string_view text, unsigned mode = 0644);

// Error{io} where write_file() and publish_file() would find something in the way: a rename would
// put the file in the place of a device, or leave what a link leads to as it is.
void require_replaceable(const std::filesystem::path& path);

// Same promise, but Error{io} when `path` exists already: for keys, which are never overwritten.
void write_new_file(const std::filesystem::path& path, std::string_view text, unsigned mode);

// All of `text` to a descriptor, whatever write() returns in between.
void write_all(int fd, std::string_view text, std::string_view what);

// Gives a finished file its name: synced, renamed, its folder synced.
void publish_file(const std::filesystem::path& temporary, const std::filesystem::path& path);

// The folder and those above it that are missing; they will be there after a power cut.
void make_folders(const std::filesystem::path& path);

// The one name of a file beside which others lie, such as its lock: a link is followed. Error
// {corrupt} for a file that has two, by a hard link, since under the other one nothing lies there.
std::filesystem::path only_name(const std::filesystem::path& path);

// An exclusive advisory lock on `path` (created empty if missing), held for the object's life.
// Error{busy} at once when another process holds it.
class FileLock {
 public:
  explicit FileLock(const std::filesystem::path& path);

 private:
  Fd fd_;
};

}  // namespace cleared
