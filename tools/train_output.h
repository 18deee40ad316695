// What the commands of `train` have in common in how they speak. Main thread.
#pragma once

#include <cstdio>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "ledger/gate.h"

namespace cleared::tools {

// One object a line on stdout, at once.
void print(const nlohmann::ordered_json& json);

// One line for people: on a terminal it replaces the one before.
class Lines {
 public:
  Lines(bool json, bool quiet);
  bool json() const { return json_; }
  bool terminal() const { return terminal_ && !json_ && !quiet_; }
  void passing(const std::string& text);
  void lasting(const std::string& text);

 private:
  bool json_, quiet_, terminal_;
  bool open_ = false;
};

template <class... Values>
std::string text(const char* format, Values... values) {
  char buffer[512];
  std::snprintf(buffer, sizeof buffer, format, values...);
  return buffer;
}

std::string bar(double share);              // [0, 1]
std::string duration_text(double seconds);  // "45 s", "12 min", "3.5 h", "2.1 d"

// The gate's no on stderr, as JSON too when asked for; returns its exit code.
int refused(bool json, const ledger::Verdict& verdict);

}  // namespace cleared::tools
