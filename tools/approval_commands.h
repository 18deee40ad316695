// What several people sign together: policies, endorsed keys, permits and retirements on their way
// into the ledger, and proofs of approval for people who have nothing of it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "ledger/record.pb.h"

namespace CLI {  // NOLINT(readability-identifier-naming): the name is that of the library
class App;
}

namespace cleared::ledger {
class Store;
}

namespace cleared::tools {

struct LedgerOptions;

// Adds `policy` and `approved` to the command line. When one of them is parsed, `run` becomes what
// it does; it is to be called when the whole line was parsed.
void add_approval_commands(CLI::App& app, std::function<int()>& run);

// The facts of a file that others have signed: *.permit, *.policy, *.revocation, *.retirement.
// Refused, or an Error, when the ledger may not take them any more.
std::vector<ledger::Fact> signed_facts(const ledger::Store& store, const std::string& path);
bool is_signed_kind(const std::string& extension);

// The fact that enrols the keys of a *.pub file: lines, or one line as a note that others signed.
std::vector<ledger::Fact> key_facts(const std::string& path);

// `ledger key retire`: records it, or with --out writes it for others to sign.
int ledger_key_retire(const LedgerOptions& o);

// `ledger prove LEDGER CLIP --approval`.
int prove_approved(const std::string& ledger, const std::string& what, const std::string& use,
                   const std::string& path, bool json);

}  // namespace cleared::tools
