#include "train/environment.h"

#include <charconv>
#include <cstdlib>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>
#include <string_view>

#include <unistd.h>

#include "ledger/base/error.h"

namespace cleared::train {
namespace {

std::optional<std::string> variable(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') return {};
  return value;
}

int number(const char* name, int low, int high) {
  const std::optional<std::string> text = variable(name);
  if (!text) throw Error(Errc::config, name, " is not set, though other variables of a launch are");
  int value = 0;
  const char* end = text->data() + text->size();
  const auto [stop, error] = std::from_chars(text->data(), end, value);
  if (error != std::errc() || stop != end || value < low || value > high) {
    throw Error(Errc::config, name, "=", *text, ": must be a number from ", low, " to ", high);
  }
  return value;
}

struct Launcher {
  const char *rank, *size, *local_rank;
  const char* ranks_here;  // equal to size when every rank is on this machine; null: not told
};

constexpr Launcher kLaunchers[] = {
    {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"},
    {"SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", nullptr},
    {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK",
     "OMPI_COMM_WORLD_LOCAL_SIZE"},
};

bool all_on_this_machine(const Launcher& launcher) {
  if (launcher.ranks_here != nullptr) {
    return variable(launcher.ranks_here) == variable(launcher.size);
  }
  return variable("SLURM_NNODES") == "1";
}

}  // namespace

WorldOptions world_from_environment() {
  constexpr int kMaxRanks = 1 << 20;
  WorldOptions options;
  for (const Launcher& launcher : kLaunchers) {
    if (!variable(launcher.rank) && !variable(launcher.size)) continue;
    options.launched = true;
    options.size = number(launcher.size, 1, kMaxRanks);
    options.rank = number(launcher.rank, 0, options.size - 1);
    if (variable(launcher.local_rank)) {
      options.local_rank = number(launcher.local_rank, 0, kMaxRanks);
    }
    if (const auto address = variable("MASTER_ADDR")) {
      options.address = *address;
      options.join = variable("MASTER_PORT").has_value();
    } else if (options.size > 1 && !all_on_this_machine(launcher)) {
      throw Error(Errc::config, "MASTER_ADDR is not set: give the host that rank 0 runs on");
    }
    break;
  }
  if (variable("MASTER_PORT")) options.port = number("MASTER_PORT", 1, 65535);
  options.store_runs = variable("TORCHELASTIC_USE_AGENT_STORE") == "True";
  if (variable("TORCHELASTIC_RESTART_COUNT")) {
    options.attempt = number("TORCHELASTIC_RESTART_COUNT", 0, kMaxRanks);
  }
  if (variable("CLEARED_STORE_SOCKET")) {
    constexpr int kMaxFd = 1 << 30;
    options.store_socket = number("CLEARED_STORE_SOCKET", 0, kMaxFd);
  }
  if (variable("CLEARED_RANK_SILENCE_MS")) {
    constexpr int kHourMs = 3'600'000;
    options.silence = std::chrono::milliseconds(number("CLEARED_RANK_SILENCE_MS", 0, kHourMs));
  }
  return options;
}

std::string launch_name() {
  const auto id = variable("TORCHELASTIC_RUN_ID");
  if (id && *id != "none") return *id;
  // The parent: its number, and when it began, which is the 20th word after its name.
  const std::string parent = std::to_string(::getppid());
  std::ifstream stat("/proc/" + parent + "/stat");
  std::string text, word;
  std::getline(stat, text);
  std::istringstream words(text.substr(text.rfind(')') + 1));
  for (int i = 0; i < 20; ++i) words >> word;
  return "process " + parent + " of " + word;
}

std::string device_trouble(const std::vector<std::string>& says) {
  const auto rank = [](size_t number) { return "rank " + std::to_string(number); };
  const auto kind = [](const std::string& said) { return said == "cpu" ? "the CPU" : "a GPU"; };
  for (size_t i = 0; i < says.size(); ++i) {
    if (!says[i].starts_with("none ")) continue;
    return (says.size() > 1 ? rank(i) + ": " : "") +
           "this build computes on GPUs and finds none: " + says[i].substr(5) +
           "; an empty CUDA_VISIBLE_DEVICES has it compute on the CPU";
  }
  std::map<std::string, size_t> whose;
  for (size_t i = 0; i < says.size(); ++i) {
    if ((says[i] == "cpu") != (says[0] == "cpu")) {
      return rank(0) + " computes on " + kind(says[0]) + ", " + rank(i) + " on " + kind(says[i]) +
             ": it must be the same on every machine";
    }
    const auto [first, added] = whose.emplace(says[i], i);
    if (!added && says[i] != "cpu") {
      return "ranks " + std::to_string(first->second) + " and " + std::to_string(i) +
             " would share a GPU: start one rank for each, no more";
    }
  }
  return "";
}

}  // namespace cleared::train
