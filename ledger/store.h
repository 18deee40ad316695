// The ledger file: an append-only log in SQLite, a Merkle tree over it, and the tables projected
// from it (docs/formats/ledger.md). One Store per thread; one appending Store per file, held by a
// lock beside it. Errors: not_found, corrupt, unsupported (a newer version), busy, permission, io.
#pragma once

#include <cstdint>
#include <filesystem>
#include <future>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ledger/authority.h"
#include "ledger/base/bytes.h"
#include "ledger/base/file.h"
#include "ledger/checkpointer.h"
#include "ledger/key.h"
#include "ledger/note.h"
#include "ledger/record.pb.h"
#include "ledger/sqlite.h"
#include "ledger/state_map.h"
#include "ledger/tree_head.h"

namespace cleared::ledger {

class Store {
 public:
  // Makes an empty ledger whose first record is the log's own key. The origin, which names the log
  // for ever, is that key's name.
  static void create(const std::filesystem::path& path, const VerifierKey& log_key);

  // By a link it is the ledger that the link leads to, with all that lies beside that. Refuses a
  // file that is behind the tree head published beside it.
  Store(const std::filesystem::path& path, Access access);
  // Leaves the ledger in the one file. While another program reads an older state of it that cannot
  // be: then what is newer stays in PATH-wal beside it after 0.2 s, and a warning is logged.
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  const std::string& origin() const { return origin_; }
  // Every key of the log that is on record, oldest first, retired ones too: one of them signed each
  // head there is.
  std::vector<VerifierKey> log_keys() const;
  // The oldest of those that signed the newest head.
  VerifierKey log_key() const;
  const std::filesystem::path& path() const { return path_; }
  uint64_t size() const;  // records

  struct Appended {
    uint64_t first = 0;  // seq of the first new record
    uint64_t added = 0;
    uint64_t present = 0;  // facts that were there already
  };
  // Appends every fact that is not there yet, in order and in one transaction: all or none. Each is
  // checked against the state before it, signatures included. When it returns they are durable, by
  // one fdatasync; or with `later` in the ledger and on their way to the disk, so that the sync
  // runs beside the next append: they are durable when anything else that writes has returned, and
  // after a power cut there is no gap, only an end.
  enum class Durable { now, later };
  Appended append(const std::vector<Fact>& facts, Durable durable = Durable::now);
  // What append() would do with these facts, its errors included; nothing of it is done.
  Appended would_append(const std::vector<Fact>& facts);
  // Waits for what was appended with `later`. Error{io} when the disk has not taken it.
  void sync();

  // Keeps a licence document beside the log and appends its public facts. The text is strictly
  // parsed, and both parties must have signed it with keys that are in the ledger.
  Appended append_licence(const std::string& note, std::string_view where);

  // Deletes a licence's document and salt for ever and records that. Its digests stay, so the log
  // verifies as before; nothing can be cleared under the licence any more. `ref` is "id@version";
  // `note` (docs/formats/disclosure.md) is needed where the policy has a rule for ERASE. When it
  // returns, no byte of the text is left in the ledger or its write-ahead file. Error{busy} while
  // another program reads the ledger and so holds the old state; a second call for an erased
  // document records nothing and finishes what was interrupted.
  Appended erase_document(const std::string& ref, const std::string& reason,
                          const std::string& note = {});

  // Logs the state of the tables, signs size and root and publishes the head as PATH.head.
  // Crash-safe: what is going to be signed is stored first, so there are never two roots for one
  // size. Without records since the newest signed head, that head is returned as it is. While one
  // key of the log replaces another both must sign: Error{permission} names one that is not given.
  TreeHead sign_head(std::span<const SignerKey> log_keys);
  TreeHead sign_head(const SignerKey& log_key) { return sign_head(std::span(&log_key, 1)); }
  // The newest signed head as a note, empty before the first.
  std::string newest_head_note() const;
  // The signed head, newest or older, that `note` is about, with the signature lines of `note`, as
  // those of witnesses, too. Error{corrupt} when it is about none that this ledger signed.
  std::string head_note_with(const std::string& note) const;

  std::string record_bytes(uint64_t seq) const;
  uint64_t newest_at_us() const;

  // Numbers of the records about a subject (ledger/projection.h: subject_key_of), rising.
  std::vector<uint64_t> find(const Digest& subject) const;
  // Who may sign what after the newest record.
  const Authority& authority() const;

  // C2SP tlog-proof (https://c2sp.org/tlog-proof) of a record under a signed head of this ledger.
  // Error{not_found} when the head does not cover the record, Error{corrupt} when record or tree
  // are not what was signed: no proof leaves that does not verify.
  std::string prove(uint64_t seq, const std::string& head_note) const;
  std::string prove(uint64_t seq) const { return prove(seq, newest_head_note()); }

  // One proof of the records [begin, end), end above begin, with the records in it
  // (ledger/range_proof.h). The same errors.
  std::string prove_range(uint64_t begin, uint64_t end, const std::string& head_note) const;

  // The newest logged state that a signed head covers, and what the map says of `subject` there.
  // Error{not_found} when records have been appended since.
  struct StateProof {
    uint64_t state_seq = 0;
    std::vector<StateMap::RunProof> runs;
  };
  StateProof prove_subject(const Digest& subject) const;

  // For reading the projected tables and views.
  const Database& db() const { return db_; }

 private:
  struct Memory;
  Appended append_to(Memory& memory, const std::vector<Fact>& facts);
  static void fill_new(const std::filesystem::path& path, const VerifierKey& log_key);
  Memory& memory() const;
  template <class Body>
  void in_transaction(const Body& body, Durable durable = Durable::now);
  void require_unbroken() const;
  void begin_sync();
  void end_sync();
  void check_version() const;
  void check_published_head(const Authority& authority) const;
  std::vector<const SignerKey*> signers_of_heads(std::span<const SignerKey> given) const;
  void log_state(uint64_t at_us);
  void read_back(uint64_t from, uint64_t size) const;
  TreeHead head_over(uint64_t seq, const std::string& note) const;
  std::string store_intent(const TreeHead& head) const;
  void store_wal() const;
  bool empty_wal() const;
  void require_empty_wal(const std::string& what) const;
  void rewrite_documents(const std::string& without) const;

  std::filesystem::path path_;
  std::optional<FileLock> lock_;
  Database db_;
  std::string origin_;
  mutable std::unique_ptr<Memory> memory_;  // what has been read of the file, kept between calls
  int wal_pages_ = 0;
  std::unique_ptr<Checkpointer> checkpointer_;
  Fd wal_;                     // for syncing it
  std::future<void> syncing_;  // of what was appended with Durable::later
  bool broken_ = false;        // a write failed: what is in memory may differ from the file
};

// Where the head of a ledger is published, and where its log's keys lie unless told otherwise.
std::filesystem::path head_path(const std::filesystem::path& ledger);
std::filesystem::path default_log_key_path(const std::filesystem::path& ledger);

// The time by which terms are judged: never before the newest record, whatever the host's clock
// says.
uint64_t judging_time_us(const Store& store);

// The keys and policies that the log holds.
Authority read_authority(const Database& db);

}  // namespace cleared::ledger
