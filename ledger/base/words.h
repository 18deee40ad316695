// Lists of words in a sentence. Pure; any thread.
#pragma once

#include <string>
#include <string_view>

namespace cleared {

// "a, b and c", where `last` is " and ".
template <class Words>
std::string listed(const Words& words, std::string_view last) {
  std::string out;
  auto left = words.size();
  for (const auto& word : words) {
    if (!out.empty()) out += left == 1 ? last : ", ";
    out += word;
    --left;
  }
  return out;
}

}  // namespace cleared
