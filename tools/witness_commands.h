// `ledger witness ...`: to be a witness for others, and to have witnesses (docs/witness.md).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace CLI {  // NOLINT(readability-identifier-naming): the name is that of the library
class App;
}

namespace cleared::tools {

struct WitnessOptions {
  std::string state, key, listen = "127.0.0.1:8080", ledger, file, policy, out, log_key;
  std::vector<std::string> logs;
  int timeout_s = 10;
  bool json = false;
  std::function<int(const WitnessOptions&)> run;  // of the command that was parsed; else empty
};

// Adds the command line; `o` must outlive the parsing.
void add_witness_commands(CLI::App& app, WitnessOptions& o);

int witness_init(const WitnessOptions& o);
int witness_add_log(const WitnessOptions& o);
int witness_remove_log(const WitnessOptions& o);
int witness_serve(const WitnessOptions& o);
int witness_status(const WitnessOptions& o);
int witness_add_policy(const WitnessOptions& o);
int witness_ask(const WitnessOptions& o);

}  // namespace cleared::tools
