// `ledger review`: clips that wait for a person, and what people decided.
#pragma once

#include <functional>

namespace CLI {  // NOLINT(readability-identifier-naming): the name is that of the library
class App;
}

namespace cleared::tools {

// As add_rights_commands().
void add_review_command(CLI::App& app, std::function<int()>& run);

}  // namespace cleared::tools
