#include "tools/held_files.h"

#include "ledger/base/file.h"

namespace cleared::tools {
namespace fs = std::filesystem;

HeldFiles::~HeldFiles() {
  std::error_code ignored;
  for (const auto& [held, path] : files_) fs::remove(held, ignored);
}

void HeldFiles::add(const fs::path& path, std::string_view text) {
  require_replaceable(path);  // now: in publish() it would be too late
  const fs::path held = path.parent_path() / ("." + path.filename().string() + ".held");
  files_.emplace_back(held, path);
  write_file(held, text);
}

std::vector<fs::path> HeldFiles::publish() {
  std::vector<fs::path> out;
  for (const auto& [held, path] : files_) {
    publish_file(held, path);
    out.push_back(path);
  }
  files_.clear();
  return out;
}

}  // namespace cleared::tools
