#include "ledger/notices.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>

#include <dirent.h>
#include <sys/stat.h>

#include "ledger/base/clock.h"
#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/gate.h"
#include "ledger/licence.h"
#include "ledger/note.h"
#include "ledger/textproto.h"

namespace cleared::ledger {
namespace fs = std::filesystem;
namespace {

constexpr uint64_t kMaxNoticeBytes = 1 << 20;

[[noreturn]] void no_such_folder(const fs::path& folder) {
  throw Error(Errc::not_found, "notices ", folder.string(),
              ": no such folder; revocations must be able to arrive");
}

// Named as a newer permit for a run, or as what lies beside it (ledger/shard_proof.h,
// ledger/permit_lists.h)?
bool named_as_permit(const fs::path& path) {
  const fs::path name = path.filename();
  const bool beside = name.extension() == ".proofs" || name.extension() == ".shards";
  return (beside ? name.stem() : name).extension() == ".permit";
}

// Does it begin as one? Half of it, or nothing yet, may be there: permits are copied slowly.
bool begins_as_permit(const fs::path& path) {
  const std::string kind = path.extension();
  const std::string_view begin = kind == ".proofs"   ? "c2sp.org/tlog-proof@"
                                 : kind == ".shards" ? "shard {"
                                                     : "permit {";
  std::string start(begin.size(), '\0');
  std::ifstream in(path, std::ios::binary);
  if (!in) return !fs::exists(path);  // gone since
  start.resize(static_cast<size_t>(in.read(start.data(), std::ssize(start)).gcount()));
  return begin.starts_with(start);
}

int64_t nanoseconds(const timespec& time) {
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

}  // namespace

void check_revocation(const Revocation& revocation) {
  const auto require = [](bool ok, std::string_view what, const std::string& is) {
    if (!ok) throw Error(Errc::corrupt, what, is.empty() ? "" : ", and not \"" + is + '"');
  };
  require(revocation.has_licence() != revocation.has_shard(),
          "revocation must name a licence or a shard, one of the two", "");
  require(!revocation.has_licence() || is_licence_id(revocation.licence()),
          "revocation.licence must be the id of a licence, without a version",
          revocation.licence());
  require(!revocation.has_shard() || parse_digest_name(revocation.shard()),
          "revocation.shard must be its root, sha256: and 64 lower-case hex digits",
          revocation.shard());
  require(parse_time(revocation.at()).has_value(),
          "revocation.at must be a time like 2026-01-31T23:59:59Z", revocation.at());
}

std::vector<std::pair<fs::path, Revocation>> read_notices(const fs::path& folder,
                                                          std::span<const std::string> revokers) {
  if (std::error_code ignored; !fs::is_directory(folder, ignored)) no_such_folder(folder);
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const fs::path& path = entry.path();
    std::error_code ignored;
    if (path.filename().native().starts_with('.')) continue;
    if (named_as_permit(path) && entry.is_regular_file(ignored) && begins_as_permit(path)) continue;
    if (path.extension() != ".revocation") {
      throw Refused(no(
          "notice_unverified",
          path.string() +
              (named_as_permit(path) ? " is no permit" : " is neither *.revocation nor *.permit") +
              "; if it is a revocation name it *.revocation, else take it away"));
    }
    paths.push_back(path);
  }
  std::sort(paths.begin(), paths.end());
  std::vector<std::pair<fs::path, Revocation>> out;
  for (const fs::path& path : paths) {
    bool verified = false;
    try {
      const Note note = parse_note(read_file(path, kMaxNoticeBytes));
      RevocationText parsed;
      parse_textproto(note.text, path.string(), parsed);
      check_revocation(parsed.revocation());
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

FolderMark mark_of(const fs::path& folder) {
  const std::unique_ptr<DIR, int (*)(DIR*)> open(::opendir(folder.c_str()), ::closedir);
  if (!open && (errno == ENOENT || errno == ENOTDIR)) no_such_folder(folder);
  const auto fail = [&] {
    throw Error(Errc::io, "notices ", folder.string(), ": ", std::strerror(errno));
  };
  if (!open) fail();
  std::vector<std::string> entries;
  FolderMark out;
  const auto add = [&](const std::string& name) {
    struct stat file {};
    // What a link leads to; one to nothing has only its name.
    static_cast<void>(::fstatat(::dirfd(open.get()), name.c_str(), &file, 0));
    out.newest_ns = std::max(out.newest_ns, nanoseconds(file.st_ctim));
    std::string& entry = entries.emplace_back(name);
    for (const int64_t value : {static_cast<int64_t>(file.st_ino), int64_t{file.st_size},
                                nanoseconds(file.st_mtim), nanoseconds(file.st_ctim)}) {
      entry += '/' + std::to_string(value);
    }
  };
  for (errno = 0; const dirent* entry = ::readdir(open.get()); errno = 0) {
    if (const std::string_view name(entry->d_name); name != "..") add(std::string(name));
  }
  if (errno != 0) fail();
  std::sort(entries.begin(), entries.end());
  for (const std::string& entry : entries) out.mark += entry + '/';
  return out;
}

}  // namespace cleared::ledger
