// `ledger impact`: what a revocation reaches and what training again would cost, as a table, JSON
// or one page with its proofs. Main thread.
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace cleared::tools {

void add_impact_command(CLI::App& app, std::function<int()>& run);

}  // namespace cleared::tools
