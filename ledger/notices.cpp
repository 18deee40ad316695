#include "ledger/notices.h"

#include <algorithm>

#include "ledger/base/file.h"
#include "ledger/gate.h"
#include "ledger/note.h"
#include "ledger/textproto.h"

namespace cleared::ledger {
namespace fs = std::filesystem;
namespace {

constexpr uint64_t kMaxNoticeBytes = 1 << 20;

}  // namespace

std::vector<std::pair<fs::path, Revocation>> read_notices(const fs::path& folder,
                                                          std::span<const std::string> revokers) {
  if (std::error_code ignored; !fs::is_directory(folder, ignored)) {
    throw Error(Errc::not_found, "notices ", folder.string(),
                ": no such folder; revocations must be able to arrive");
  }
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".revocation") paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  std::vector<std::pair<fs::path, Revocation>> out;
  for (const fs::path& path : paths) {
    bool verified = false;
    try {
      const Note note = parse_note(read_file(path, kMaxNoticeBytes));
      RevocationText parsed;
      parse_textproto(note.text, path.string(), parsed);
      out.emplace_back(path, parsed.revocation());
      verified = std::any_of(revokers.begin(), revokers.end(), [&](const std::string& key) {
        return signed_by(note, parse_verifier_key(key));
      });
    } catch (const Error& error) {
      throw Refused(no("notice_unverified", "notice " + path.string() + ": " + error.what()));
    }
    if (!verified) {
      throw Refused(
          no("notice_unverified",
             "notice " + path.string() + " is signed by no key that the permit lists as revoker"));
    }
  }
  return out;
}

}  // namespace cleared::ledger
