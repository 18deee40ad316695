// Names of runs: "nano-0123456789abcdef" is a run of the config nano. The trainer makes them up,
// the number from randomness. Pure; any thread.
#pragma once

#include <string_view>

namespace cleared::ledger {

// The config's name in a run's, which may have a "-" of its own; empty where `run` is no run's
// name.
constexpr std::string_view config_of_run(std::string_view run) {
  constexpr size_t kNumber = 1 + 16;  // "-" and hex digits
  if (run.size() <= kNumber) return {};
  const std::string_view number = run.substr(run.size() - kNumber);
  const bool hex = number.substr(1).find_first_not_of("0123456789abcdef") == std::string_view::npos;
  return number.front() == '-' && hex ? run.substr(0, run.size() - kNumber) : std::string_view();
}

}  // namespace cleared::ledger
