// `train plan`, `train encode` and `train eval`: what comes before and after `train run`. Main
// thread.
#pragma once

#include <functional>
#include <optional>

namespace CLI {
class App;
}

namespace cleared::tools {

// Adds the commands; the function returned runs the one that was given, or returns nothing.
std::function<std::optional<int>()> add_stage_commands(CLI::App& app);

}  // namespace cleared::tools
