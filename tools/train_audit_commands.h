// `train replay` and `train step0`: what an auditor runs (train/replay.h).
#pragma once

#include <functional>
#include <optional>

namespace CLI {
class App;
}

namespace cleared::tools {

// Adds the commands; the function returned runs the one that was given, or returns nothing.
std::function<std::optional<int>()> add_audit_commands(CLI::App& app, char** argv);

}  // namespace cleared::tools
