// The commands of `ledger` that hand something to an outsider, or check it without a ledger: prove,
// proven, disclose, disclosed, and the one that takes a document away for ever: erase.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace cleared::tools {

struct ProofOptions {
  std::string ledger, name, file, out, trust, field, reason, key, note, log_key;
  std::vector<std::string> present, absent;  // kind and id of a subject
  bool approval = false, list = false, dry_run = false;
  std::function<int(const ProofOptions&)> run;  // the command that was named, if it is one of these
};

// Adds them to `app`; `o` must live until the program ends.
void add_proof_commands(CLI::App& app, ProofOptions& o);

}  // namespace cleared::tools
