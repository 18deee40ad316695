#include "tools/train_output.h"

#include <cerrno>
#include <cstdio>

#include <nlohmann/json.hpp>
#include <unistd.h>

#include "tools/cli.h"

namespace cleared::tools {

namespace {

// A reader that goes away (`| head -1`) ends no training: what is left to say is for nobody.
void flush() {
  if (std::fflush(stdout) == 0 || errno != EPIPE) return;
  [[maybe_unused]] const std::FILE* nowhere = std::freopen("/dev/null", "w", stdout);
}

}  // namespace

void print(const nlohmann::ordered_json& json) {
  std::printf("%s\n", json.dump().c_str());
  flush();
}

Lines::Lines(bool json, bool quiet)
    : json_(json), quiet_(quiet), terminal_(::isatty(STDOUT_FILENO) == 1) {}

void Lines::passing(const std::string& text) {
  std::printf("\r\033[K%s", text.c_str());
  flush();
  open_ = true;
}

void Lines::lasting(const std::string& text) {
  if (quiet_ || json_) return;
  std::printf("%s%s\n", open_ ? "\r\033[K" : "", text.c_str());
  flush();
  open_ = false;
}

std::string bar(double share) {
  constexpr int kWidth = 24;
  const int full = static_cast<int>(share * kWidth);
  return "[" + std::string(static_cast<size_t>(full), '#') +
         std::string(static_cast<size_t>(kWidth - full), '.') + "]";
}

std::string duration_text(double seconds) {
  if (seconds < 100) return text("%.0f s", seconds);
  if (seconds < 6000) return text("%.0f min", seconds / 60);
  if (seconds < 172'800) return text("%.1f h", seconds / 3600);
  return text("%.1f d", seconds / 86'400);
}

int refused(bool json, const ledger::Verdict& verdict) {
  if (json) print({{"cleared", false}, {"rule", verdict.rule}, {"fact", verdict.fact}});
  std::fprintf(stderr, "train: %s: %s\n", verdict.rule.c_str(), verdict.fact.c_str());
  return exit_refused;
}

}  // namespace cleared::tools
