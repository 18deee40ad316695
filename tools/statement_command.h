// `ledger statement`: what a licensor is due for a time, as a table, CSV, JSON, one page, or a note
// that is signed. Main thread.
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace cleared::tools {

void add_statement_command(CLI::App& app, std::function<int()>& run);

}  // namespace cleared::tools
