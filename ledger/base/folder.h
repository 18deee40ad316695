// A folder that is served to the world or was received from it. Every name is walked from one open
// descriptor and no part of it may be a link, so whoever plants a link inside reads and writes
// nothing elsewhere through us. The folder itself may be reached through links: its user named it.
//
// Names are relative, with '/' between parts; ours, never taken from input. Errors name the whole
// path: not_found, corrupt (a link, or no regular file, or too long), permission, io, busy. One
// thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/base/file.h"

namespace cleared {

class Folder {
 public:
  explicit Folder(const std::filesystem::path& path);

  // Exclusive and advisory, for the object's life. Error{busy} at once when another holds it.
  void lock();

  // A whole regular file.
  std::string read(const std::string& name, uint64_t limit_bytes) const;
  bool exists(const std::string& name) const;                    // as anything, a link included
  std::vector<std::string> list(const std::string& name) const;  // sorted; none when not there

  // A file with exactly these bytes, on the disk when it returns; its name is, after sync(). Makes
  // the folders on the way. An older file of the name is emptied first: use it for temporary names.
  void write(const std::string& name, std::string_view bytes);
  // Renames; an older file of the name `to` is replaced in one step. Makes folders like write().
  void move(const std::string& from, const std::string& to);
  // A file, and a folder if it is empty. Nothing when it is not there.
  void remove(const std::string& name);
  void remove_empty_folder(const std::string& name);
  // Every name made, moved or removed since the last call survives a power cut from here on.
  void sync();

 private:
  Fd open_at(const std::string& name, int flags) const;
  // The folder that holds `name`, made when missing, and the last part of the name.
  Fd open_parent(const std::string& name, bool make, std::string& last);
  [[noreturn]] void fail(std::string_view what, const std::string& name, int error) const;

  std::filesystem::path path_;
  Fd root_;
  std::set<std::string> changed_;  // folders to sync, "" is the folder itself
};

}  // namespace cleared
