// `ledger publish` and `ledger follow`: the log as static files, and the log of others from
// outside.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace CLI {
class App;
}

namespace cleared::tools {

struct PublishArguments {
  std::string ledger, folder, policy;  // no policy: the ledger's own, if it has one
  bool dry_run = false, all = false, json = false;
};
struct FollowArguments {
  std::string log;  // a folder or a URL
  std::string state, trust, policy, records;
  uint64_t interval_s = 0;  // 0: once
  bool json = false;
};

// Adds both to the program; `run` is the one that was parsed, else it stays empty.
void add_publish_commands(CLI::App& app, std::function<int()>& run);

int ledger_publish(const PublishArguments& o);
int ledger_follow(const FollowArguments& o);

}  // namespace cleared::tools
