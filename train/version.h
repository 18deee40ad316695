// Which code this is, for checkpoints, receipts and bundles.
#pragma once

#include <string>

namespace cleared::train {

// "cleared VERSION COMMIT", and "-dirty" when files differ from the commit. Any thread.
const char* code_version() noexcept;

// SHA-256 of the running program's file, in hex: what the ranks of a run compare. Error{io}.
std::string program_digest();

// The shared libraries that are loaded now, preloaded ones included, by name, one a line: "NAME
// ID", the id that the linker gave it, or where it gave none the SHA-256 of its file. Any thread.
std::string loaded_libraries();

}  // namespace cleared::train
