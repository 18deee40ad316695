// The ledger file: an append-only log in SQLite, a Merkle tree over it, and the tables projected
// from it (docs/formats/ledger.md). One Store per thread; one appending Store per file, held by a
// lock beside it. Errors: not_found, corrupt, unsupported (a newer version), busy, permission, io.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "ledger/base/bytes.h"
#include "ledger/base/file.h"
#include "ledger/key.h"
#include "ledger/note.h"
#include "ledger/record.pb.h"
#include "ledger/sqlite.h"
#include "ledger/tree_head.h"

namespace cleared::ledger {

class Store {
 public:
  // Makes an empty ledger whose first record is the log's own key. The origin, which names the log
  // for ever, is that key's name.
  static void create(const std::filesystem::path& path, const VerifierKey& log_key);

  // Refuses a file that is behind the tree head published beside it.
  Store(const std::filesystem::path& path, Access access);

  const std::string& origin() const { return log_key_.name; }
  const VerifierKey& log_key() const { return log_key_; }
  const std::filesystem::path& path() const { return path_; }
  uint64_t size() const;  // records

  struct Appended {
    uint64_t first = 0;  // seq of the first new record
    uint64_t added = 0;
    uint64_t present = 0;  // facts that were there already
  };
  // Appends every fact that is not there yet, in order and in one transaction: all or none. Each is
  // checked against the state before it, signatures included. When it returns they are durable.
  Appended append(const std::vector<Fact>& facts);

  // Keeps a licence document beside the log and appends its public facts. The text is strictly
  // parsed, and both parties must have signed it with keys that are in the ledger.
  Appended append_licence(const std::string& note, std::string_view where);

  // Signs the present size and root and publishes the head as PATH.head. Crash-safe: what is going
  // to be signed is stored first, so there are never two roots for one size. A head of the present
  // size that is signed already is returned as it is.
  TreeHead sign_head(const SignerKey& log_key);
  // The newest signed head as a note, empty before the first.
  std::string newest_head_note() const;

  std::string record_bytes(uint64_t seq) const;
  uint64_t newest_at_us() const;

  // C2SP tlog-proof (https://c2sp.org/tlog-proof) of a record under the newest signed head.
  std::string prove(uint64_t seq) const;

  // For reading the projected tables and views.
  const Database& db() const { return db_; }

 private:
  void check_version() const;
  void check_published_head() const;
  bool store_intent(const TreeHead& head) const;
  void store_wal() const;

  std::filesystem::path path_;
  std::optional<FileLock> lock_;
  Database db_;
  VerifierKey log_key_;
};

// Where the head of a ledger is published, and where its log key lies unless told otherwise.
std::filesystem::path head_path(const std::filesystem::path& ledger);
std::filesystem::path default_log_key_path(const std::filesystem::path& ledger);

// The time by which terms are judged: never before the newest record, whatever the host's clock
// says.
uint64_t judging_time_us(const Store& store);

}  // namespace cleared::ledger
