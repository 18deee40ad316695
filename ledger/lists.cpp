#include "ledger/lists.h"

#include "ledger/base/file.h"
#include "ledger/merkle.h"

namespace cleared::ledger {

Digest lists_root(std::span<const std::string> lists) {
  std::vector<Digest> leaves;
  for (const std::string& list : lists) leaves.push_back(leaf_digest(as_bytes(list)));
  return root_digest(leaves);
}

void add_to_lists(std::vector<std::string>& lists, const std::string& text, size_t most_bytes) {
  if (lists.empty() || (!lists.back().empty() && lists.back().size() + text.size() > most_bytes)) {
    lists.emplace_back();
  }
  lists.back() += text;
}

std::string format_lists(std::span<const std::string> lists) {
  std::string out;
  for (const std::string& list : lists) out += (out.empty() ? "" : "\n") + list;
  return out;
}

std::vector<std::string> parse_lists(std::string_view text) {
  std::vector<std::string> out;
  for (size_t from = 0; from < text.size();) {
    const size_t end = text.find("\n\n", from);
    out.emplace_back(text.substr(from, end == text.npos ? end : end + 1 - from));
    if (end == text.npos) break;
    from = end + 2;
  }
  return out;
}

std::vector<std::string> read_lists(const std::filesystem::path& file) {
  constexpr uint64_t kMostBytes = uint64_t{1} << 30;
  return parse_lists(read_file(file, kMostBytes));
}

}  // namespace cleared::ledger
