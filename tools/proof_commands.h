// The commands of `ledger` that hand something to an outsider, or check it without a ledger: prove,
// proven, disclose, disclosed, and the one that takes a document away for ever: erase.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace cleared::ledger {
class Store;
}

namespace cleared::tools {

struct ProofOptions {
  std::string ledger, name, range, file, record, out, head, trust, policy, field, reason, key, note,
      log_key, use = "TRAIN";
  std::vector<std::string> present, absent;  // kind and id of a subject
  bool approval = false, list = false, dry_run = false, json = false;
  std::function<int(const ProofOptions&)> run;  // the command that was named, if it is one of these
};

// The note of the signed head to prove under: the ledger's newest, or the one that the file `path`
// holds, with its cosignatures.
std::string head_to_prove_under(const ledger::Store& store, const std::string& path);
// The flag for it.
CLI::Option* add_head_option(CLI::App* command, std::string& path);

// Adds them to `app`; `o` must live until the program ends.
void add_proof_commands(CLI::App& app, ProofOptions& o);

}  // namespace cleared::tools
