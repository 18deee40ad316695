// Files that lie beside their names until what they hold is on record: nobody has a permit or a
// release that the ledger does not know, and a file that cannot be written leaves no record. Gone
// again unless publish() was reached. Main thread; Error{io}.
#pragma once

#include <filesystem>
#include <string_view>
#include <utility>
#include <vector>

namespace cleared::tools {

class HeldFiles {
 public:
  HeldFiles() = default;
  HeldFiles(const HeldFiles&) = delete;
  HeldFiles& operator=(const HeldFiles&) = delete;
  ~HeldFiles();

  // Whole and on the disk, as PATH's folder/.NAME.held.
  void add(const std::filesystem::path& path, std::string_view text);
  // Gives each its name, in the order they came, and tells them.
  std::vector<std::filesystem::path> publish();

 private:
  std::vector<std::pair<std::filesystem::path, std::filesystem::path>> files_;
};

}  // namespace cleared::tools
