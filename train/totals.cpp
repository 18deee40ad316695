#include "train/totals.h"

#include <charconv>

#include "ledger/base/error.h"

namespace cleared::train {

std::string format_totals(const Totals& totals) {
  std::string text;
  for (const auto& [sample, total] : totals) {
    text += to_hex(sample) + " " + std::to_string(total.passes) + " " + to_hex(total.clip) + "\n";
  }
  return text;
}

Totals parse_totals(std::string_view text, std::string_view where) {
  constexpr size_t kHex = 64;
  Totals totals;
  for (std::string_view rest = text; !rest.empty();) {
    const size_t end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    const bool long_enough = end != std::string_view::npos && line.size() > 2 * kHex + 2;
    const auto sample = long_enough ? parse_digest(line.substr(0, kHex)) : std::nullopt;
    const auto clip = long_enough ? parse_digest(line.substr(line.size() - kHex)) : std::nullopt;
    Total total{0, clip.value_or(Digest{})};
    const char* last = line.data() + line.size() - (long_enough ? kHex + 1 : 0);
    const bool number = sample && clip && line[kHex] == ' ' && *last == ' ' &&
                        std::from_chars(line.data() + kHex + 1, last, total.passes).ptr == last;
    if (!number || !totals.emplace(*sample, total).second) {
      throw Error(Errc::corrupt, where, ":", totals.size() + 1, ": not as a run writes it");
    }
    rest.remove_prefix(end + 1);
  }
  return totals;
}

}  // namespace cleared::train
