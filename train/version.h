// Which code this is, for checkpoints, receipts and bundles.
#pragma once

#include <string>

namespace cleared::train {

// "cleared VERSION COMMIT", and "-dirty" when files differ from the commit. Any thread.
const char* code_version() noexcept;

// SHA-256 of the running program's file, in hex: what the ranks of a run compare. Error{io}.
std::string program_digest();

}  // namespace cleared::train
