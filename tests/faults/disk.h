// What a power cut may leave of the files that this process writes. A model of a disk under a
// journalling file system, harsher than any single one:
//
// - Bytes are durable once fsync or fdatasync of their file worked. Until then each sector holds
//   its durable content or any of those written since, whatever became of its neighbours.
// - Sizes change in order. A size may outlive the bytes: what was never stored then reads as zeros.
// - Names (made, renamed, linked, removed) are durable once fsync of their folder worked. Until
//   then a folder has seen the first few of them, in order.
// - When fsync fails, the kernel forgets that the bytes were dirty: a second fsync says yes and
//   stores nothing. They are gone unless written again.
//
// A sector is whole, old or new: neither SQLite nor we survive a disk that tears a sector.
// What was there before the process started counts as durable. One lock around it, by the caller.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <sys/types.h>

namespace cleared::faults {

class Disk {
 public:
  explicit Disk(uint64_t sector_bytes) : sector_bytes_(sector_bytes) {}

  // Around a change of the bytes [offset, offset + size) of a file.
  void before_write(int fd, uint64_t offset, uint64_t size);
  void after_write(int fd, uint64_t offset, uint64_t size);
  void before_resize(int fd, uint64_t size);
  void after_resize(int fd, uint64_t size);
  void synced(int fd);       // file or folder
  void sync_failed(int fd);  // of a file

  // After the name was made (a file, a link or a folder).
  void made(const std::string& path);
  // Before a name goes away or is replaced, and after.
  int keep(const std::string& path);  // the file behind it, -1: none
  void renamed(const std::string& from, const std::string& to, int kept);
  void removed(const std::string& path, int kept);

  // Leaves what the disk might hold if power went now. Seed 0: nothing that was not synced.
  void cut(uint64_t seed);
  // Leaves what the disk holds for sure once the kernel forgot the bytes of failed fsyncs.
  void forget();

 private:
  struct Version {
    uint64_t event = 0;  // 0: durable
    bool truncated = false;
    std::string bytes;
  };
  struct Sector {
    std::vector<Version> versions;  // oldest first
    bool lost = false;              // its fsync failed, and nothing wrote it since
  };
  struct File {
    std::pair<dev_t, ino_t> id;
    int fd = -1;
    std::map<uint64_t, Sector> sectors;                // those that are not durable
    std::vector<std::pair<uint64_t, uint64_t>> sizes;  // event, size; the first is durable
  };
  struct Name {
    enum Kind { make, rename, remove } kind;
    std::string folder, path, from;
    int kept;
  };

  File& file(int fd);
  std::string read_sector(const File& file, uint64_t sector) const;
  void touch(File& file, uint64_t sector);
  void cut_file(File& file, std::mt19937_64& random, bool nothing) const;
  void cut_names(std::mt19937_64& random, bool nothing);

  uint64_t sector_bytes_;
  uint64_t event_ = 0;
  std::list<File> files_;  // in the order of their first change, so that a seed means the same
  std::list<Name> names_;  // not durable, oldest first
};

}  // namespace cleared::faults
