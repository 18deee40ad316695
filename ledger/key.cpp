#include "ledger/key.h"

#include <algorithm>
#include <array>
#include <filesystem>

#include <sys/stat.h>

#include "ledger/base/error.h"
#include "ledger/base/file.h"

namespace cleared::ledger {
namespace fs = std::filesystem;
namespace {

constexpr std::array<std::string_view, 7> kRoles = {"licensor", "licensee", "curator", "approver",
                                                    "trainer",  "log",      "witness"};
constexpr uint64_t kMaxKeyFileBytes = 1 << 20;

}  // namespace

bool is_role(std::string_view role) {
  return std::find(kRoles.begin(), kRoles.end(), role) != kRoles.end();
}

void write_key_pair(const fs::path& stem, std::string_view role, const SignerKey& key) {
  if (!is_role(role)) {
    throw Error(Errc::usage, "role \"", role,
                "\": must be licensor, licensee, curator, approver, trainer, log or witness");
  }
  write_new_file(stem.string() + ".key", format_signer_key(key) + '\n', 0600);
  write_public_key(stem, role, key.verifier);
}

void write_public_key(const fs::path& stem, std::string_view role, const VerifierKey& key) {
  write_new_file(stem.string() + ".pub", format_public_key({std::string(role), key}) + '\n', 0644);
}

std::vector<SignerKey> read_signer_keys(const fs::path& path) {
  const std::string text = read_file(path, kMaxKeyFileBytes);
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0 && (info.st_mode & 077) != 0) {
    throw Error(Errc::permission, "key ", path.string(), ": others may read it; run: chmod 600 ",
                path.string());
  }
  if (text.empty() || text.back() != '\n') {
    throw Error(Errc::corrupt, "key ", path.string(), ": must be one line a key");
  }
  std::vector<SignerKey> out;
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(line.size() + 1);
    try {
      out.push_back(parse_signer_key(line));
    } catch (const Error& error) {
      throw Error(error.code(), "key ", path.string(), ": ", error.what());
    }
  }
  return out;
}

SignerKey read_signer_key(const fs::path& path) {
  std::vector<SignerKey> keys = read_signer_keys(path);
  if (keys.size() != 1) throw Error(Errc::corrupt, "key ", path.string(), ": must be one line");
  return std::move(keys[0]);
}

PublicKey parse_public_key(std::string_view line, std::string_view where) {
  const size_t space = line.find(' ');
  const std::string_view role = line.substr(0, space);
  if (space == std::string_view::npos || !is_role(role)) {
    throw Error(Errc::corrupt, where,
                ": expected a role and a verifier key, \"approver name+id+key\"");
  }
  try {
    return {std::string(role), parse_verifier_key(line.substr(space + 1))};
  } catch (const Error& error) {
    throw Error(error.code(), where, ": ", error.what());
  }
}

std::string format_public_key(const PublicKey& key) {
  return key.role + " " + format_verifier_key(key.key);
}

std::vector<PublicKey> read_public_keys(const fs::path& path) {
  const std::string text = read_file(path, kMaxKeyFileBytes);
  std::vector<PublicKey> out;
  std::string_view rest = text;
  for (int number = 1; !rest.empty(); ++number) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    if (line.empty() || line.front() == '#') continue;
    out.push_back(parse_public_key(line, path.string() + ":" + std::to_string(number)));
  }
  if (out.empty()) throw Error(Errc::corrupt, path.string(), ": holds no public key");
  return out;
}

}  // namespace cleared::ledger
