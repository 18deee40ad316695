#include "ledger/marks.h"

#include <algorithm>

namespace cleared::ledger {
namespace {

constexpr MarkName kNames[] = {
    {"c2pa.training-mining", true, "assertion of a C2PA manifest"},
    {"cawg.training-mining", true, "assertion of a C2PA manifest"},
    {"plus.data-mining", true, "XMP property plus:DataMining"},
    {"tdm-reservation", true, "XMP property tdm:reservation, or a TDMRep file"},
    {"rsl", true, "an RSL file"},
    {"digital-source-type", false, "XMP property, or of an action of a C2PA manifest"},
    {"c2pa", false, "a C2PA manifest store that cannot be read, or does not verify"},
    {"xmp", false, "an XMP packet that cannot be read"},
};

struct Word {
  MarkSays says;
  std::string_view word;
};
constexpr Word kWords[] = {{MarkSays::allowed, "allowed"},
                           {MarkSays::no, "no"},
                           {MarkSays::unclear, "unclear"},
                           {MarkSays::synthetic, "synthetic"}};

}  // namespace

std::string_view says_word(MarkSays says) {
  for (const Word& word : kWords) {
    if (word.says == says) return word.word;
  }
  return "unclear";
}

std::optional<MarkSays> parse_says(std::string_view text) {
  for (const Word& word : kWords) {
    if (word.word == text) return word.says;
  }
  return std::nullopt;
}

std::span<const MarkName> mark_names() {
  return kNames;
}

const MarkName* find_mark_name(std::string_view name) {
  const auto* found = std::find_if(std::begin(kNames), std::end(kNames),
                                   [&](const MarkName& known) { return known.name == name; });
  return found == std::end(kNames) ? nullptr : found;
}

std::string describe(const Mark& mark) {
  return mark.name + " says " +
         (mark.value.empty() ? std::string(says_word(mark.says)) : mark.value) + " (" + mark.place +
         ")";
}

}  // namespace cleared::ledger
