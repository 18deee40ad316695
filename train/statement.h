// The statement of a checkpoint: its files, and what made them, signed by the trainer's key
// (ledger/attestation.h has the format). Any thread.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/base/bytes.h"
#include "train/difference.h"
#include "train/run_folder.h"

namespace cleared::ledger {
struct PublicKey;
struct SignerKey;
}  // namespace cleared::ledger

namespace cleared::train {

class State;

inline constexpr std::string_view kStatementFile = "statement.dsse.json";

// The envelope. `files`, the weights first, are its subjects, but for those that an index among
// them stands for.
std::string write_statement(const State& state, const Digest& steps_root,
                            const std::vector<FileDigest>& files, const ledger::SignerKey& trainer);

// Error{corrupt} unless one of `keys` that is a trainer's signed the statement in `folder`, and it
// speaks of exactly those files that are there. Call verify_checkpoint first: it compares their
// bytes.
void verify_signed(const std::filesystem::path& folder, const std::vector<ledger::PublicKey>& keys);

// What else the statement says, against the state and the run receipt beside it: the first field
// that is another. Error{corrupt} when they do not parse.
std::optional<Difference> compare_statement(const std::filesystem::path& folder);

// Both: Error{corrupt} names the field.
void verify_statement(const std::filesystem::path& folder,
                      const std::vector<ledger::PublicKey>& keys);

}  // namespace cleared::train
