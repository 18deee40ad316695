#include "ledger/base/folder.h"

#include <algorithm>
#include <cerrno>
#include <memory>
#include <system_error>

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ledger/base/check.h"
#include "ledger/base/error.h"

namespace cleared {
namespace {

constexpr int kFolderFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

std::vector<std::string> parts_of(const std::string& name) {
  std::vector<std::string> parts;
  for (size_t at = 0; at < name.size();) {
    const size_t end = std::min(name.find('/', at), name.size());
    parts.push_back(name.substr(at, end - at));
    CLEARED_CHECK(!parts.back().empty() && parts.back() != "." && parts.back() != "..");
    at = end + 1;
  }
  return parts;
}

std::string parent_of(const std::string& name) {
  const size_t slash = name.rfind('/');
  return slash == std::string::npos ? "" : name.substr(0, slash);
}

}  // namespace

void Folder::fail(std::string_view what, const std::string& name, int error) const {
  const std::string path = (name.empty() ? path_ : path_ / name).string();
  if (error == ELOOP || error == ENOTDIR) {
    throw Error(Errc::corrupt, what, " ", path, ": a link or a file is in the way; remove it");
  }
  const Errc code = error == ENOENT                                       ? Errc::not_found
                    : error == EACCES || error == EPERM || error == EROFS ? Errc::permission
                                                                          : Errc::io;
  throw Error(code, what, " ", path, ": ", std::generic_category().message(error));
}

Folder::Folder(const std::filesystem::path& path)
    : path_(path), root_(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  if (!root_) fail("open folder", "", errno);
}

void Folder::lock() {
  if (::flock(root_.get(), LOCK_EX | LOCK_NB) == 0) return;
  if (errno != EWOULDBLOCK) fail("lock folder", "", errno);
  throw Error(Errc::busy, "lock folder ", path_.string(),
              ": another process is writing there; try again when it has finished");
}

// Invalid with errno set when a part is missing or a link.
Fd Folder::open_at(const std::string& name, int flags) const {
  const std::vector<std::string> parts = parts_of(name);
  if (parts.empty()) return Fd(::openat(root_.get(), ".", flags));
  Fd folder;
  for (size_t i = 0; i + 1 < parts.size(); ++i) {
    folder = Fd(::openat(i == 0 ? root_.get() : folder.get(), parts[i].c_str(), kFolderFlags));
    if (!folder) return folder;
  }
  const int at = parts.size() == 1 ? root_.get() : folder.get();
  return Fd(::openat(at, parts.back().c_str(), flags | O_NOFOLLOW | O_CLOEXEC));
}

Fd Folder::open_parent(const std::string& name, bool make, std::string& last) {
  std::vector<std::string> parts = parts_of(name);
  last = parts.back();
  parts.pop_back();
  Fd folder(::openat(root_.get(), ".", kFolderFlags));
  std::string walked;
  for (const std::string& part : parts) {
    Fd next(::openat(folder.get(), part.c_str(), kFolderFlags));
    if (!next && errno == ENOENT && make) {
      if (::mkdirat(folder.get(), part.c_str(), 0755) != 0) fail("make folder", name, errno);
      changed_.insert(walked);
      next = Fd(::openat(folder.get(), part.c_str(), kFolderFlags));
    }
    if (!next) return next;
    folder = std::move(next);
    walked += (walked.empty() ? "" : "/") + part;
  }
  return folder;
}

std::string Folder::read(const std::string& name, uint64_t limit_bytes) const {
  const Fd fd = open_at(name, O_RDONLY | O_NONBLOCK);
  if (!fd) fail("read", name, errno);
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) fail("read", name, errno);
  if (!S_ISREG(info.st_mode)) {
    throw Error(Errc::corrupt, "read ", (path_ / name).string(), ": is no regular file");
  }
  std::string out;
  char buffer[65536];
  for (;;) {
    const ssize_t n = ::read(fd.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("read", name, errno);
    if (n == 0) return out;
    out.append(buffer, static_cast<size_t>(n));
    if (out.size() > limit_bytes) {
      throw Error(Errc::corrupt, "read ", (path_ / name).string(), ": larger than the limit of ",
                  limit_bytes, " bytes");
    }
  }
}

bool Folder::exists(const std::string& name) const {
  const Fd fd = open_at(name, O_PATH);
  if (!fd && errno != ENOENT) fail("look up", name, errno);
  return static_cast<bool>(fd);
}

std::vector<std::string> Folder::list(const std::string& name) const {
  Fd fd = open_at(name, kFolderFlags);
  if (!fd && errno == ENOENT) return {};
  if (!fd) fail("list", name, errno);
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::fdopendir(fd.get()), ::closedir);
  if (!folder) fail("list", name, errno);
  fd.release();  // closedir() closes it
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(folder.get())) {
    const std::string found = entry->d_name;
    if (found != "." && found != "..") names.push_back(found);
  }
  std::sort(names.begin(), names.end());
  return names;
}

void Folder::write(const std::string& name, std::string_view bytes) {
  std::string last;
  const Fd folder = open_parent(name, true, last);
  if (!folder) fail("write", name, errno);
  const Fd fd(::openat(folder.get(), last.c_str(),
                       O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0644));
  if (!fd) fail("write", name, errno);
  write_all(fd.get(), bytes, (path_ / name).string());
  if (::fsync(fd.get()) != 0) fail("write", name, errno);
  changed_.insert(parent_of(name));
}

void Folder::move(const std::string& from, const std::string& to) {
  std::string from_last;
  std::string to_last;
  const Fd from_folder = open_parent(from, false, from_last);
  if (!from_folder) fail("move", from, errno);
  const Fd to_folder = open_parent(to, true, to_last);
  if (!to_folder) fail("write", to, errno);
  if (::renameat(from_folder.get(), from_last.c_str(), to_folder.get(), to_last.c_str()) != 0) {
    fail("write", to, errno);
  }
  changed_.insert(parent_of(from));
  changed_.insert(parent_of(to));
}

void Folder::remove(const std::string& name) {
  std::string last;
  const Fd folder = open_parent(name, false, last);
  if (folder && ::unlinkat(folder.get(), last.c_str(), 0) == 0) {
    changed_.insert(parent_of(name));
  } else if (errno != ENOENT) {
    fail("remove", name, errno);
  }
}

void Folder::remove_empty_folder(const std::string& name) {
  std::string last;
  const Fd folder = open_parent(name, false, last);
  if (folder && ::unlinkat(folder.get(), last.c_str(), AT_REMOVEDIR) == 0) {
    changed_.erase(name);
    changed_.insert(parent_of(name));
  } else if (errno != ENOENT && errno != ENOTEMPTY && errno != EEXIST) {
    fail("remove", name, errno);
  }
}

void Folder::sync() {
  for (const std::string& name : changed_) {
    const Fd fd = open_at(name, kFolderFlags);
    if (!fd || ::fsync(fd.get()) != 0) fail("sync", name, errno);
  }
  changed_.clear();
}

}  // namespace cleared
