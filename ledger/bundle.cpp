#include "ledger/bundle.h"

#include <google/protobuf/descriptor.h>

#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"

namespace cleared::ledger {
namespace fs = std::filesystem;
namespace {
constexpr std::string_view kExtension = ".bundle";

// What takes a fact of a kind that no bundle may hold; empty for those that `curate` and `train`
// write. Whoever may hand in a bundle must not be able to make itself an approver, push a licence
// or the witnesses aside, or record a permit that nobody compared with the terms.
std::string_view other_way(Fact::KindCase kind) {
  switch (kind) {
    case Fact::kSource:
    case Fact::kFingerprint:
    case Fact::kClip:
    case Fact::kDuplicate:
    case Fact::kMeasure:
    case Fact::kMark:
    case Fact::kClearance:
    case Fact::kShard:
    case Fact::kSample:
    case Fact::kRun:
    case Fact::kReceipt:
    case Fact::kConsumed:
    case Fact::kConsumedShard:
    case Fact::kCheckpoint:
    case Fact::kRefusal:
    case Fact::KIND_NOT_SET:  // of a newer version: appending says so
      return {};
    case Fact::kKey:
      return "ledger append NAME.pub or NAME.retirement";
    case Fact::kLicence:
      return "ledger append NAME.licence";
    case Fact::kApproval:
      return "ledger append NAME.approval";
    case Fact::kRevocation:
      return "ledger append NAME.revocation";
    case Fact::kPermit:
    case Fact::kPermitList:
      return "ledger append NAME.permit";
    case Fact::kRelease:
      return "ledger release";
    case Fact::kPolicy:
      return "ledger append NAME.policy";
    case Fact::kWitnessPolicy:
      return "ledger witness add-policy";
    case Fact::kReview:
    case Fact::kReviewList:
      return "ledger review --take";
    case Fact::kDeletion:
      return "ledger deleted";
    case Fact::kErasure:
      return "ledger erase";
    case Fact::kProtection:
      return "curate protect";
    case Fact::kState:
      return "ledger sign-head";
  }
  return {};
}

}  // namespace

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
  for (const Fact& fact : bundle.fact()) {
    const std::string_view way = other_way(fact.kind_case());
    if (way.empty()) continue;
    const auto* kind = Fact::descriptor()->FindFieldByNumber(static_cast<int>(fact.kind_case()));
    throw Error(Errc::permission, "bundle ", where, ": holds a ", kind->name(),
                ", which comes into the ledger by ", way, " alone");
  }
  return {bundle.fact().begin(), bundle.fact().end()};
}

}  // namespace cleared::ledger
