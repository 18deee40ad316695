// `ledger publish` and `ledger follow`: the log as static files, and the log of others from
// outside.
#pragma once

#include <cstdint>
#include <string>

namespace CLI {
class App;
}

namespace cleared::tools {

struct PublishArguments {
  std::string ledger, folder, policy;
  bool dry_run = false, all = false, json = false;
};
struct FollowArguments {
  std::string log;  // a folder or a URL
  std::string state, trust, policy, records;
  uint64_t interval_s = 0;  // 0: once
  bool json = false;
};

// Adds both to the program; `exit_code` receives what the one that is called returns.
void add_publish_commands(CLI::App& app, int& exit_code);

int ledger_publish(const PublishArguments& o);
int ledger_follow(const FollowArguments& o);

}  // namespace cleared::tools
