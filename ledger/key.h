// Key files. NAME.key holds a SignerKey and may be read by its owner alone; NAME.pub beside it
// holds "role vkey" and may be read by anyone. Any thread.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/note.h"

namespace cleared::ledger {

// licensor licensee curator approver trainer log witness
bool is_role(std::string_view role);

struct PublicKey {
  std::string role;
  VerifierKey key;
};

// Writes `stem`.key (0600) and `stem`.pub. Error{io} when either is there already.
void write_key_pair(const std::filesystem::path& stem, std::string_view role, const SignerKey& key);

// The second of them alone.
void write_public_key(const std::filesystem::path& stem, std::string_view role,
                      const VerifierKey& key);

// Error{permission} when group or others may read the file: the message gives the chmod to run.
SignerKey read_signer_key(const std::filesystem::path& path);
// The same for a file of one key a line: those of a log of which one replaces another.
std::vector<SignerKey> read_signer_keys(const std::filesystem::path& path);

// "role vkey", without a newline; `where` begins an error.
PublicKey parse_public_key(std::string_view line, std::string_view where);
std::string format_public_key(const PublicKey& key);

// Every non-empty line that is not a comment (#): "role vkey".
std::vector<PublicKey> read_public_keys(const std::filesystem::path& path);

}  // namespace cleared::ledger
