// Where two texts part. Pure; any thread.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>

namespace cleared::train {

struct Difference {
  std::string claimed, made;  // the part of each; "nothing" where one has ended
};

// The first of the parts between two `end`s that is not the same in both; none: they are equal.
inline std::optional<Difference> first_difference(std::string_view claimed, std::string_view made,
                                                  char end = '\n') {
  if (claimed == made) return {};
  const auto next = [end](std::string_view& text) {
    const std::string_view part = text.empty() ? "nothing" : text.substr(0, text.find(end));
    text.remove_prefix(text.empty() ? 0 : std::min(part.size() + 1, text.size()));
    return std::string(part);
  };
  Difference out;
  while (out.claimed == out.made && !(claimed.empty() && made.empty())) {
    out = {next(claimed), next(made)};
  }
  return out;
}

}  // namespace cleared::train
