#include "train/totals.h"

#include <charconv>

#include "ledger/base/error.h"

namespace cleared::train {

std::string format_totals(const Totals& totals) {
  std::string text;
  for (const auto& [sample, passes] : totals) {
    text += to_hex(sample) + " " + std::to_string(passes) + "\n";
  }
  return text;
}

Totals parse_totals(std::string_view text, std::string_view where) {
  Totals totals;
  for (std::string_view rest = text; !rest.empty();) {
    const size_t end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    const auto sample = line.size() > 65 ? parse_digest(line.substr(0, 64)) : std::nullopt;
    uint64_t passes = 0;
    const bool number = sample && line[64] == ' ' &&
                        std::from_chars(line.data() + 65, line.data() + line.size(), passes).ptr ==
                            line.data() + line.size();
    if (end == std::string_view::npos || !number || !totals.emplace(*sample, passes).second) {
      throw Error(Errc::corrupt, where, ":", totals.size() + 1, ": not as a run writes it");
    }
    rest.remove_prefix(end + 1);
  }
  return totals;
}

}  // namespace cleared::train
