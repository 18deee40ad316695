#include "tools/bench_table.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string_view>

#include <nlohmann/json.hpp>

namespace cleared::tools {
namespace {

// "0.52", "18.3", "42,363".
std::string number_text(double value) {
  char digits[32];
  std::snprintf(digits, sizeof digits, "%.*f", value < 10 ? 2 : value < 100 ? 1 : 0, value);
  const std::string_view text(digits);
  const size_t whole = std::min(text.find('.'), text.size());
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (i > 0 && i < whole && (whole - i) % 3 == 0) out += ',';
    out += text[i];
  }
  return out;
}

std::string goal_text(const Measured& m) {
  if (m.goal == Measured::Goal::none) return "";
  return (m.goal == Measured::Goal::at_least ? ">= " : "<= ") + number_text(m.wanted);
}

bool is_met(const Measured& m) {
  return m.goal == Measured::Goal::at_least ? m.value >= m.wanted : m.value <= m.wanted;
}

nlohmann::ordered_json to_json(const Measured& m) {
  nlohmann::ordered_json row = {{"what", m.what}, {"value", m.value}, {"unit", m.unit}};
  if (m.goal != Measured::Goal::none) {
    row["goal"] = {{m.goal == Measured::Goal::at_least ? "at_least" : "at_most", m.wanted}};
    row["met"] = is_met(m);
  }
  if (m.beside != 0) {
    row["limit"] = {{"what", m.limit}, {"value", m.beside}};
    row["ratio"] = m.value / m.beside;
  }
  return row;
}

}  // namespace

double monotonic_s() {
  using clock = std::chrono::steady_clock;
  return std::chrono::duration<double>(clock::now().time_since_epoch()).count();
}

void BenchTable::title(const std::string& text) const {
  if (quiet_) return;
  std::printf("%s\n%-32s %9s %-7s %10s %-4s %s\n", text.c_str(), "", "measured", "", "goal", "",
              "ratio to what was measured beside it");
  std::fflush(stdout);
}

void BenchTable::line(const Measured& m) {
  rows_.push_back(m);
  if (quiet_) return;
  const char* met = m.goal == Measured::Goal::none ? "" : is_met(m) ? "met" : "NOT";
  std::string out(256, ' ');
  out.resize(static_cast<size_t>(std::snprintf(out.data(), out.size(), "%-32s %9s %-7s %10s %-4s",
                                               m.what.c_str(), number_text(m.value).c_str(),
                                               m.unit.c_str(), goal_text(m).c_str(), met)));
  if (m.beside != 0) {
    out += " " + number_text(m.value / m.beside) + " of " + number_text(m.beside) + ": " + m.limit;
  }
  out.erase(out.find_last_not_of(' ') + 1);
  std::printf("%s\n", out.c_str());
  std::fflush(stdout);
}

void BenchTable::finish() const {
  if (!quiet_) return;
  auto json = nlohmann::ordered_json::array();
  for (const Measured& m : rows_) json.push_back(to_json(m));
  std::printf("%s\n", json.dump(2).c_str());
}

}  // namespace cleared::tools
