#include "ledger/bundle.h"

#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"

namespace cleared::ledger {
namespace fs = std::filesystem;
namespace {
constexpr std::string_view kExtension = ".bundle";
}

fs::path write_bundle(const fs::path& folder, const std::vector<Fact>& facts) {
  Bundle bundle;
  for (const Fact& fact : facts) *bundle.add_fact() = fact;
  std::string bytes;
  CLEARED_CHECK(bundle.SerializeToString(&bytes));
  make_folders(folder);
  const fs::path path = folder / (to_hex(sha256(bytes)) + std::string(kExtension));
  if (!fs::exists(path)) write_file(path, bytes);
  return path;
}

std::vector<Fact> read_bundle(const fs::path& path) {
  const std::string bytes = read_file(path);
  const std::string name = to_hex(sha256(bytes)) + std::string(kExtension);
  if (path.filename() != name) {
    throw Error(Errc::corrupt, "bundle ", path.string(),
                ": its name is not the digest of its content (", name, "); fetch it again");
  }
  return parse_bundle(bytes, path.string());
}

std::vector<Fact> parse_bundle(const std::string& bytes, std::string_view where) {
  Bundle bundle;
  if (!bundle.ParseFromString(bytes)) {
    throw Error(Errc::corrupt, "bundle ", where, ": does not parse");
  }
  // Whoever may hand in a bundle must not be able to make itself an approver or push a licence
  // aside.
  for (const Fact& fact : bundle.fact()) {
    if (!fact.has_key() && !fact.has_licence() && !fact.has_permit_list()) continue;
    throw Error(Errc::permission, "bundle ", where, ": holds a ",
                fact.has_key()       ? "key"
                : fact.has_licence() ? "licence"
                                     : "list of a permit's shards",
                "; append those from their own files, *.pub, *.licence and *.permit");
  }
  return {bundle.fact().begin(), bundle.fact().end()};
}

}  // namespace cleared::ledger
