// How long what is derived from footage may be kept: `ledger due` lists it, `ledger deleted`
// records that it is gone. Main thread.
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace cleared::tools {

void add_retention_commands(CLI::App& app, std::function<int()>& run);

}  // namespace cleared::tools
