#include "ledger/witness.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "ledger/cosignature.h"
#include "ledger/merkle.h"

namespace cleared::ledger {
namespace fs = std::filesystem;
namespace {

constexpr int kWitnessApplicationId = 0x434C5757;  // "CLWW"
constexpr int kWitnessVersion = 2;
constexpr uint64_t kMaxSkewSeconds = 3600;
constexpr std::string_view kTextContentType = "text/plain; charset=utf-8";
constexpr const char* kWitnessSchema = R"(
CREATE TABLE witness(vkey TEXT NOT NULL) STRICT;
CREATE TABLE log(
  vkey TEXT PRIMARY KEY,
  origin TEXT NOT NULL,
  removed INTEGER NOT NULL DEFAULT 0
) STRICT;
-- The newest head of each log that was cosigned, with both signatures: size, root and time are in it.
CREATE TABLE head(
  origin TEXT PRIMARY KEY,
  note TEXT NOT NULL
) STRICT;
CREATE TABLE conflict(
  origin TEXT NOT NULL,
  size INTEGER NOT NULL,
  root BLOB NOT NULL,
  note TEXT NOT NULL,
  PRIMARY KEY(origin, size, root)
) STRICT;
)";

// One line without its newline, which must be there.
std::string_view take_line(std::string_view& text) {
  const size_t end = text.find('\n');
  if (end == std::string_view::npos) {
    throw Error(Errc::corrupt, "add-checkpoint: cut short before the tree head");
  }
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end + 1);
  return line;
}

// A decimal number without leading zeros.
std::optional<uint64_t> parse_size(std::string_view text) {
  uint64_t size = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), size);
  if (problem != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return std::to_string(size) == text ? std::optional(size) : std::nullopt;
}

// The note without the lines of keys that the witness does not know.
Note known_lines(const Note& note, const std::vector<VerifierKey>& keys) {
  Note out{note.text, {}};
  for (const NoteSignature& s : note.signatures) {
    const bool known = std::any_of(keys.begin(), keys.end(), [&](const VerifierKey& key) {
      return s.name == key.name && s.id == key.id;
    });
    if (known) out.signatures.push_back(s);
  }
  return out;
}

Witness::Answered refuse(Witness::Answered out, int status, std::string why) {
  out.answer = {status, std::string(kTextContentType), why + "\n"};
  out.why = std::move(why);
  return out;
}

Witness::Answered conflict(Witness::Answered out, uint64_t size, std::string why) {
  out.answer = {409, std::string(kSizeContentType), std::to_string(size) + "\n"};
  out.why = std::move(why);
  return out;
}

FileLock lock_of(const fs::path& state) {
  return FileLock(only_name(state).string() + ".lock");
}

// The signature lines of `note` alone, as they stand below the text.
std::string signature_lines(const Note& note) {
  return format_note(note).substr(note.text.size() + 1);
}

}  // namespace

AddCheckpoint parse_add_checkpoint(std::string_view body) {
  AddCheckpoint out;
  const std::string_view first = take_line(body);
  const auto size = first.starts_with("old ") ? parse_size(first.substr(4)) : std::nullopt;
  if (!size) throw Error(Errc::corrupt, "add-checkpoint: line 1 is not \"old SIZE\"");
  out.old_size = *size;
  for (std::string_view line = take_line(body); !line.empty(); line = take_line(body)) {
    const auto raw = parse_base64(line);
    const auto digest = raw ? digest_from_raw(*raw) : std::nullopt;
    if (!digest) {
      throw Error(Errc::corrupt, "add-checkpoint: line ", out.proof.size() + 2,
                  " is not base64 of 32 bytes");
    }
    if (out.proof.size() == kMaxConsistencyLines) {
      throw Error(Errc::corrupt, "add-checkpoint: more than ", kMaxConsistencyLines,
                  " lines of proof");
    }
    out.proof.push_back(*digest);
  }
  out.note = parse_note(body);
  (void)parse_tree_head(out.note.text);
  return out;
}

std::string format_add_checkpoint(const AddCheckpoint& request) {
  std::string out = "old " + std::to_string(request.old_size) + '\n';
  for (const Digest& digest : request.proof) out += to_base64(digest.bytes) + '\n';
  return out + '\n' + format_note(request.note);
}

void WitnessState::create(const fs::path& path, const VerifierKey& witness) {
  if (witness.type != SignatureType::ed25519_cosignature) {
    throw Error(Errc::usage, "witness key ", witness.name,
                ": is no key of a witness; make one with ledger key new NAME --role witness");
  }
  const Database db = Database::create(path);
  db.exec("PRAGMA synchronous = EXTRA");
  Transaction transaction(db);
  db.exec("PRAGMA application_id = " + std::to_string(kWitnessApplicationId));
  db.exec("PRAGMA user_version = " + std::to_string(kWitnessVersion));
  db.exec(kWitnessSchema);
  Statement(db, "INSERT INTO witness VALUES(?)").with(format_verifier_key(witness)).run();
  transaction.commit();
}

WitnessState::WitnessState(const fs::path& path, Access access)
    : path_(only_name(path)), db_(Database::open(path_, access)) {
  // EXTRA syncs the folder too when the rollback journal goes: a commit that returned stays.
  db_.exec("PRAGMA synchronous = EXTRA");
  if (db_.integer("PRAGMA application_id") != kWitnessApplicationId) {
    throw Error(Errc::corrupt, "open ", path.string(), ": is not the state of a witness");
  }
  if (db_.integer("PRAGMA user_version") > kWitnessVersion) {
    throw Error(Errc::unsupported, "open ", path.string(), ": is of a newer version");
  }
  if (access == Access::append && db_.integer("PRAGMA user_version") == 1) {
    Transaction transaction(db_);
    if (db_.integer("PRAGMA user_version") == 1) {  // still: two may open it at once
      db_.exec("ALTER TABLE log ADD COLUMN removed INTEGER NOT NULL DEFAULT 0");
      db_.exec("PRAGMA user_version = 2");
    }
    transaction.commit();
  }
  Statement check(db_, "PRAGMA integrity_check");
  if (!check.next() || check.text(0) != "ok") {
    throw Error(Errc::corrupt, "open ", path.string(), ": is damaged: ", check.text(0));
  }
  Statement key(db_, "SELECT vkey FROM witness");
  if (!key.next()) throw Error(Errc::corrupt, "open ", path.string(), ": names no witness");
  witness_ = parse_verifier_key(key.text(0));
  for (const std::string& origin : origins()) (void)newest(origin);
}

bool WitnessState::add_log(const VerifierKey& key) {
  if (key.type != SignatureType::ed25519) {
    throw Error(Errc::usage, "log key ", key.name, ": is the key of a witness, not of a log");
  }
  Transaction transaction(db_);
  Statement known(db_, "SELECT 1 FROM log WHERE vkey = ? AND removed = 0");
  if (known.with(format_verifier_key(key)).next()) return false;
  Statement(
      db_, "INSERT INTO log(vkey, origin) VALUES(?, ?) ON CONFLICT(vkey) DO UPDATE SET removed = 0")
      .with(format_verifier_key(key), key.name)
      .run();
  transaction.commit();
  return true;
}

void WitnessState::remove_log(const VerifierKey& key) {
  Transaction transaction(db_);
  const std::vector<VerifierKey> keys = log_keys(key.name);
  if (std::find(keys.begin(), keys.end(), key) == keys.end()) {
    throw Error(Errc::not_found, path_.string(), ": has no key ", format_verifier_key(key),
                " of a log that counts; ledger witness status --json lists them");
  }
  if (keys.size() == 1) {
    throw Error(Errc::usage, path_.string(), ": ", format_verifier_key(key),
                " is the only key of the log ", key.name,
                ": add the one that replaces it first, ledger witness add-log");
  }
  Statement(db_, "UPDATE log SET removed = 1 WHERE vkey = ?").with(format_verifier_key(key)).run();
  transaction.commit();
}

std::vector<std::string> WitnessState::origins() const {
  // A head without its log is damage too, and newest() says so.
  Statement select(db_, "SELECT origin FROM log UNION SELECT origin FROM head ORDER BY 1");
  std::vector<std::string> out;
  while (select.next()) out.push_back(select.text(0));
  return out;
}

std::vector<VerifierKey> WitnessState::log_keys(std::string_view origin) const {
  return keys_where(origin, "removed = 0");
}

std::vector<VerifierKey> WitnessState::removed_keys(std::string_view origin) const {
  return keys_where(origin, "removed != 0");
}

std::vector<VerifierKey> WitnessState::keys_where(std::string_view origin,
                                                  std::string_view condition) const {
  Statement select(db_, "SELECT vkey FROM log WHERE origin = ? AND " + std::string(condition) +
                            " ORDER BY rowid");
  select.with(origin);
  std::vector<VerifierKey> out;
  while (select.next()) {
    out.push_back(parse_verifier_key(select.text(0)));
    if (out.back().name != origin) {
      throw Error(Errc::corrupt, path_.string(), ": has the key ", out.back().name, " for the log ",
                  origin, "; it was changed");
    }
  }
  return out;
}

std::optional<WitnessState::Head> WitnessState::newest(std::string_view origin) const {
  Statement select(db_, "SELECT note FROM head WHERE origin = ?");
  if (!select.with(origin).next()) return std::nullopt;
  Head out;
  out.note = parse_note(select.text(0));
  out.head = parse_tree_head(out.note.text);
  const auto at = cosigned_at(out.note, witness_);
  if (!at || out.head.origin != origin || !signed_by_any(out.note, keys_where(origin, "TRUE"))) {
    throw Error(Errc::corrupt, path_.string(), ": the newest head of ", origin,
                " is not one that the log signed and this witness cosigned; the file was changed");
  }
  out.cosigned_at = *at;
  return out;
}

void WitnessState::set_newest(const Head& head) {
  Statement(db_,
            "INSERT INTO head VALUES(?, ?) ON CONFLICT(origin) DO UPDATE SET note = excluded.note")
      .with(head.head.origin, format_note(head.note))
      .run();
}

std::vector<Note> WitnessState::conflicts(std::string_view origin) const {
  Statement select(db_, "SELECT note FROM conflict WHERE origin = ? ORDER BY rowid");
  select.with(origin);
  std::vector<Note> out;
  while (select.next()) out.push_back(parse_note(select.text(0)));
  return out;
}

void WitnessState::keep_conflict(const TreeHead& head, const Note& note) {
  Statement(db_,
            "INSERT OR IGNORE INTO conflict SELECT ?1, ?2, ?3, ?4 "
            "WHERE (SELECT COUNT(*) FROM conflict WHERE origin = ?1) < 16")
      .with(head.origin, head.size, Blob{head.root.text()}, format_note(note))
      .run();
}

Witness::Witness(const fs::path& state, SignerKey key, std::function<uint64_t()> clock_us)
    : lock_(lock_of(state)),
      state_(state, Access::append),
      key_(std::move(key)),
      clock_us_(std::move(clock_us)) {
  if (key_.verifier != state_.witness()) {
    throw Error(Errc::permission, "witness key ", key_.verifier.name, ": the state ",
                state.string(), " was made for another key, ",
                format_verifier_key(state_.witness()));
  }
}

Witness::Answered Witness::answer(std::string_view body) {
  AddCheckpoint request;
  try {
    request = parse_add_checkpoint(body);
  } catch (const Error& error) {
    if (error.code() != Errc::corrupt) throw;
    Answered out = refuse({}, 400, error.what());
    out.why = "not an add-checkpoint request";  // what() may quote what a stranger sent
    return out;
  }
  const std::lock_guard lock(mutex_);
  if (!broken_.empty()) throw Error(Errc::io, broken_);
  try {
    return judge(request);
  } catch (const Error& error) {
    if (error.code() != Errc::busy) broken_ = error.what();
    throw;
  }
}

// The checks in the order of the specification, each with its status: first those that need no
// memory.
Witness::Answered Witness::judge(const AddCheckpoint& request) {
  const TreeHead head = parse_tree_head(request.note.text);
  const std::vector<VerifierKey> keys = state_.log_keys(head.origin);
  if (keys.empty()) return refuse({}, 404, "unknown log");
  Answered out{{}, head.origin, head.size, "", false};
  if (!signed_by_any(request.note, keys)) {
    return refuse(std::move(out), 403, "not signed by a key of the log");
  }
  if (request.old_size > head.size) {
    return refuse(std::move(out), 400, "the old size is above the size");
  }
  return compare(request, {head, 0, known_lines(request.note, keys)}, std::move(out));
}

// From BEGIN IMMEDIATE to COMMIT nobody else changes the state: what is compared is what is
// replaced. The cosignature leaves this function only after it, and the head, are on the disk.
Witness::Answered Witness::compare(const AddCheckpoint& request, WitnessState::Head next,
                                   Answered out) {
  Transaction transaction(state_.db());
  const auto newest = state_.newest(next.head.origin);
  const uint64_t size = newest ? newest->head.size : 0;
  const Digest root = newest ? newest->head.root : root_digest({});
  if (next.head.size == size && next.head.root != root) {
    if (newest) state_.keep_conflict(next.head, next.note);
    transaction.commit();
    out.fork = newest.has_value();
    return conflict(std::move(out), size, "another root for the size cosigned last");
  }
  if (request.old_size != size) {
    return conflict(std::move(out), size, "the old size is not the size cosigned last");
  }
  // From an empty tree, or to the same one, there is nothing to prove.
  const bool proven =
      size == 0 || size == next.head.size
          ? request.proof.empty()
          : verify_consistency(size, root, next.head.size, next.head.root, request.proof);
  if (!proven) return refuse(std::move(out), 422, "the consistency proof does not hold");
  next.cosigned_at = std::max(clock_us_() / 1'000'000, newest ? newest->cosigned_at : 0);
  const NoteSignature cosignature = cosign(next.note.text, key_, next.cosigned_at);
  next.note.signatures.push_back(cosignature);
  state_.set_newest(next);
  transaction.commit();
  out.answer = {200, std::string(kTextContentType),
                signature_lines({next.note.text, {cosignature}})};
  return out;
}

namespace {

AskedWitness failed(std::string why) {
  return {std::nullopt, 0, false, std::move(why)};
}

AskedWitness contradicted(std::string why) {
  return {std::nullopt, 0, true, std::move(why)};
}

// The size in the body of a 409, when it is one as the specification has it.
std::optional<uint64_t> size_in(const WitnessAnswer& answer) {
  std::string_view body = answer.body;
  if (answer.content_type != kSizeContentType || !body.ends_with('\n')) return std::nullopt;
  body.remove_suffix(1);
  return parse_size(body);
}

AskedWitness read_cosignature(const Note& note, const AskWitness& ask, const std::string& body) {
  Note answered;
  try {
    answered = parse_note(note.text + '\n' + body);
  } catch (const Error&) {
    return failed("its answer is not made of signature lines");
  }
  // Lines of a log's key, or of other witnesses, are not this one's to give.
  if (answered.text != note.text) return failed("its answer is not made of signature lines");
  const auto at = cosigned_at(answered, ask.witness);
  if (!at) return failed("its answer holds no cosignature of its key that verifies");
  if (*at > ask.now_s + kMaxSkewSeconds) return failed("its cosignature is from the future");
  AskedWitness out;
  out.cosigned_at = *at;
  for (const NoteSignature& s : answered.signatures) {
    const Note alone{note.text, {s}};
    if (cosigned_at(alone, ask.witness) == at) out.cosignature = s;
  }
  CLEARED_CHECK(out.cosignature.has_value());
  return out;
}

AskedWitness read_answer(const Note& note, const AskWitness& ask, const WitnessAnswer& answer) {
  switch (answer.status) {
    case 200:
      return read_cosignature(note, ask, answer.body);
    case 400:
      return failed("it says that our request is malformed (400)");
    case 403:
      return failed("it knows this log by another key (403)");
    case 404:
      return failed("it does not know this log (404): its operator must add the log's key");
    case 409:
      return failed("it changed while we asked (409)");
    case 422:
      return contradicted("our proof does not lead from the head it cosigned to this one (422)");
    default:
      return failed("it answered with status " + std::to_string(answer.status));
  }
}

}  // namespace

AskedWitness add_checkpoint(const Note& note, const AskWitness& ask, const ConsistencyProver& prove,
                            const WitnessTransport& post) {
  const TreeHead head = parse_tree_head(note.text);
  uint64_t known = ask.known_size <= head.size ? ask.known_size : 0;
  for (int attempt = 0;; ++attempt) {
    AddCheckpoint request{known, {}, note};
    if (known != 0 && known != head.size) request.proof = prove(known, head.size);
    const WitnessAnswer answer = post(format_add_checkpoint(request));
    if (answer.status != 409) return read_answer(note, ask, answer);
    const auto size = size_in(answer);
    if (!size) return failed("its 409 names no size");
    if (*size > head.size) {
      return contradicted("it cosigned " + std::to_string(*size) +
                          " records already, this head has " + std::to_string(head.size));
    }
    if (*size == known && known == head.size) {
      return contradicted("it cosigned another root for " + std::to_string(*size) + " records");
    }
    if (attempt == 1 || *size == known) return read_answer(note, ask, answer);
    known = *size;
  }
}

}  // namespace cleared::ledger
