// The ledger file: an append-only log in SQLite, a Merkle tree over it, and the tables projected
// from it (docs/formats/ledger.md). One Store per thread; one writer per file, held by a lock.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "ledger/base/bytes.h"
#include "ledger/base/file.h"
#include "ledger/note.h"
#include "ledger/record.pb.h"
#include "ledger/sqlite.h"
#include "ledger/tree_head.h"

namespace cleared::ledger {

class Store {
 public:
  // Makes an empty ledger. `origin` names the log for ever, as "studio.example/ledger".
  static void create(const std::filesystem::path& path, const std::string& origin,
                     const PublicKey& log_key);

  // Error{not_found}; Error{corrupt} for a file that is no ledger; Error{unsupported} for a newer
  // version; Error{busy} when `access` is append and another process appends.
  Store(const std::filesystem::path& path, Access access);

  const std::string& origin() const { return origin_; }
  uint64_t size() const;  // records

  struct Appended {
    uint64_t first = 0;  // seq of the first new record
    uint64_t added = 0;
    uint64_t present = 0;  // facts that were there already
  };
  // Appends every fact that is not there yet, in order and in one transaction: all or none. Checks
  // each against the state before it (signatures, references); Error{corrupt} or Error{refused}
  // names the fact that does not fit. After it returns the records are durable.
  Appended append(const std::vector<Fact>& facts);

  // Keeps a licence document beside the log and appends its public record.
  // Other documents (approval, revocation, permit, run receipt) are facts that carry their note.
  Appended append_licence(const std::string& note);

  // Signs the present size and root, crash-safely: never two roots for one size.
  TreeHead sign_head(const SignerKey& log_key);
  std::optional<TreeHead> newest_head() const;

  std::vector<Digest> prove_inclusion(uint64_t seq, uint64_t size) const;
  std::string record_bytes(uint64_t seq) const;

  // For reading the projected tables and views (docs/formats/ledger.md has their columns).
  Database& db() const;

 private:
  // see store.cpp
};

}  // namespace cleared::ledger
