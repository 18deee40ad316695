// A folder for `ledger bench` that is gone afterwards.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

#include "ledger/base/error.h"

namespace cleared::tools {

class BenchFolder {
 public:
  // In `parent`; empty: in the system's temporary folder.
  explicit BenchFolder(const std::string& parent) {
    namespace fs = std::filesystem;
    const fs::path base = parent.empty() ? fs::temp_directory_path() : fs::path(parent);
    std::string name = (base / "ledger-bench-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw Error(Errc::io, "bench: cannot make ", name);
    path_ = name;
  }
  ~BenchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  BenchFolder(const BenchFolder&) = delete;
  BenchFolder& operator=(const BenchFolder&) = delete;
  std::filesystem::path operator/(const char* name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

}  // namespace cleared::tools
