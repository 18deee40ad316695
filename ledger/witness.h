// Witnesses: C2SP tlog-witness (https://c2sp.org/tlog-witness), both sides, without the HTTP. The
// bytes are in docs/formats/witness.md, how to run one in docs/witness.md.
//
// A witness remembers, for each log it knows, the newest tree head that it cosigned, and cosigns
// only heads that grow out of that one. So nobody who asks for its cosignature can be shown another
// history than everybody else. The promise hangs on the memory: it is written and synced before an
// answer leaves, it never goes back, and where it is damaged or gone the witness refuses to work.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/base/bytes.h"
#include "ledger/base/clock.h"
#include "ledger/base/file.h"
#include "ledger/note.h"
#include "ledger/sqlite.h"
#include "ledger/tree_head.h"

namespace cleared::ledger {

// ---- the request: pure, any thread

constexpr size_t kMaxConsistencyLines = 63;
constexpr std::string_view kSizeContentType = "text/x.tlog.size";

struct AddCheckpoint {
  uint64_t old_size = 0;  // of the tree head from which the proof starts; 0: of none
  std::vector<Digest> proof;
  Note note;  // a tree head with its signatures
};
// Error{corrupt} unless `body` is exactly what format_add_checkpoint writes.
AddCheckpoint parse_add_checkpoint(std::string_view body);
std::string format_add_checkpoint(const AddCheckpoint& request);

struct WitnessAnswer {
  int status = 0;  // of HTTP
  std::string content_type;
  std::string body;
};

// ---- the witness

// What a witness remembers, in a SQLite file that is bound to its key. One thread at a time.
class WitnessState {
 public:
  // A new memory, of no logs. Error{io} when the file is there already: it is never reset.
  static void create(const std::filesystem::path& path, const VerifierKey& witness);

  // Checks all of the file and every cosignature in it; Error{corrupt} when one does not hold.
  WitnessState(const std::filesystem::path& path, Access access);

  const VerifierKey& witness() const { return witness_; }
  const Database& db() const { return db_; }

  // From here on heads of the log key.name that are signed with `key` (type 01) are cosigned. A log
  // may have several keys. False when the key was known. Another process may serve meanwhile.
  // One that was removed counts again.
  bool add_log(const VerifierKey& key);
  // From here on its signature gets no cosignature, as when the log retired the key. What was
  // cosigned before stays, and stays readable. Error{not_found} for a key that does not count,
  // Error{usage} for the log's last one.
  void remove_log(const VerifierKey& key);

  struct Head {
    TreeHead head;
    uint64_t cosigned_at = 0;  // seconds since 1970
    Note note;                 // with the log's signature and the witness's
  };
  std::vector<std::string> origins() const;
  std::vector<VerifierKey> log_keys(std::string_view origin) const;  // none: the log is not known
  std::vector<VerifierKey> removed_keys(std::string_view origin) const;
  // The newest head that was cosigned; nothing before the first. Error{corrupt} as above.
  std::optional<Head> newest(std::string_view origin) const;
  // Only inside a Transaction of db(), and after newest() was looked at.
  void set_newest(const Head& head);

  // Heads of a size that was cosigned with another root, signed by the log: the proof that it shows
  // two histories. Kept once each, the first 16 of a log.
  std::vector<Note> conflicts(std::string_view origin) const;
  void keep_conflict(const TreeHead& head, const Note& note);

 private:
  std::vector<VerifierKey> keys_where(std::string_view origin, std::string_view condition) const;
  std::filesystem::path path_;
  Database db_;
  VerifierKey witness_;
};

// One per state file, held by a lock beside it (Error{busy}). Any thread may call answer().
class Witness {
 public:
  // `key` is of type 04 and the one the state was made for, else Error{permission}.
  Witness(const std::filesystem::path& state, SignerKey key,
          std::function<uint64_t()> clock_us = now_us);

  struct Answered {
    WitnessAnswer answer;
    std::string origin;  // of a known log, else empty: what strangers send is not for log files
    uint64_t size = 0;   // of the head that was sent
    std::string why;     // of a refusal, in words of ours
    bool fork = false;   // the log signed two roots of one size
  };
  // The answer to POST .../add-checkpoint, with the status codes of the specification. What it says
  // with status 200 is durable. Errors are those of the disk and of the state file; nothing was
  // cosigned then, and every later call throws the same until a new Witness has checked the file.
  Answered answer(std::string_view body);

  const VerifierKey& key() const { return key_.verifier; }

 private:
  Answered judge(const AddCheckpoint& request);
  Answered compare(const AddCheckpoint& request, WitnessState::Head next, Answered out);

  FileLock lock_;
  WitnessState state_;
  SignerKey key_;
  std::function<uint64_t()> clock_us_;
  std::mutex mutex_;    // guards all below and state_
  std::string broken_;  // what() of the error that ended it
};

// ---- the log's side

using WitnessTransport = std::function<WitnessAnswer(const std::string& body)>;
// The RFC 6962 proof that the tree of `old_size` leaves is the beginning of that of `new_size`,
// 0 < old_size < new_size.
using ConsistencyProver = std::function<std::vector<Digest>(uint64_t old_size, uint64_t new_size)>;

struct AskWitness {
  VerifierKey witness;      // type 04
  uint64_t known_size = 0;  // what it is believed to have cosigned last; 0 when nobody knows
  uint64_t now_s = 0;       // seconds since 1970
};

struct AskedWitness {
  std::optional<NoteSignature> cosignature;  // verified; nothing: `why` says why not
  uint64_t cosigned_at = 0;                  // seconds since 1970
  // The witness saw a larger tree, another root for this size, or a beginning that the proof does
  // not start from. Unless it is broken, our log was rolled back or shows two histories.
  bool contradicts = false;
  std::string why;
};

// Asks one witness for its cosignature on `note`, a tree head that its log has signed; after a 409
// once more, with the size that the witness names. A cosignature from more than an hour in the
// future is none. Errors are those of the callbacks.
AskedWitness add_checkpoint(const Note& note, const AskWitness& ask, const ConsistencyProver& prove,
                            const WitnessTransport& post);

}  // namespace cleared::ledger
