// The commands of `ledger` about rights: the rules, licences in plain words, releases, refusals and
// what must be deleted.
#pragma once

#include <functional>

namespace CLI {  // NOLINT(readability-identifier-naming): the name is that of the library
class App;
}

namespace cleared::tools {

// Adds `rules`, `licence check`, `licence diff`, `release`, `why-not` and `due` to the command
// line. When one of them is parsed, `run` becomes what it does; it is to be called when the whole
// line was parsed.
void add_rights_commands(CLI::App& app, std::function<int()>& run);

}  // namespace cleared::tools
