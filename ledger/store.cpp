#include "ledger/store.h"

#include <algorithm>

#include <openssl/rand.h>

#include "ledger/base/check.h"
#include "ledger/base/clock.h"
#include "ledger/base/error.h"
#include "ledger/base/log.h"
#include "ledger/digest.h"
#include "ledger/licence.h"
#include "ledger/merkle.h"
#include "ledger/projection.h"
#include "ledger/schema.h"
#include "ledger/tree.h"

namespace cleared::ledger {
namespace fs = std::filesystem;
namespace {

constexpr uint64_t kMaxHeadBytes = 1 << 20;

std::string serialise(const google::protobuf::MessageLite& message) {
  std::string bytes;
  CLEARED_CHECK(message.SerializeToString(&bytes));
  return bytes;
}

Fact key_fact(const VerifierKey& key, const std::string& role) {
  Fact fact;
  fact.mutable_key()->set_name(key.name);
  fact.mutable_key()->set_role(role);
  fact.mutable_key()->set_vkey(format_verifier_key(key));
  return fact;
}

// Adds one fact to the open transaction; false when it is there already.
bool append_fact(const Database& db, Tree& tree, uint64_t seq, uint64_t at_us, const Fact& fact) {
  Record record;
  record.set_at_us(at_us);
  record.set_fact(serialise(fact));
  Statement known(db, "SELECT 1 FROM record WHERE identity = ?");
  if (known.with(Blob{fact_identity(record.fact()).text()}).next()) return false;
  const std::string bytes = serialise(record);
  if (bytes.size() > kMaxRecordBytes) {
    throw Error(Errc::corrupt, "append ", kind_name(fact), ": the record has ", bytes.size(),
                " bytes, the most is ", kMaxRecordBytes, "; split it");
  }
  const Digest digest = leaf_digest(as_bytes(bytes));
  Statement(db, "INSERT INTO leaf VALUES(?, ?, ?)")
      .with(seq, Blob{bytes}, Blob{digest.text()})
      .run();
  project(db, seq, bytes);
  tree.append(seq, digest);
  return true;
}

uint64_t size_of(const Database& db) {
  return static_cast<uint64_t>(db.integer("SELECT COALESCE(MAX(seq) + 1, 0) FROM leaf"));
}

VerifierKey first_key(const Database& db) {
  Statement select(db, "SELECT vkey FROM key WHERE seq = 0");
  if (!select.next()) {
    throw Error(Errc::corrupt, db.name(), ": has no log key; it is no ledger or was emptied");
  }
  return parse_verifier_key(select.text(0));
}

std::optional<FileLock> lock_for(const fs::path& path, Access access) {
  if (access == Access::read) return std::nullopt;
  if (!fs::exists(path)) throw Error(Errc::not_found, "open ", path.string(), ": no such file");
  return FileLock(path.string() + ".lock");
}

// A note of the log's own key about its own origin.
TreeHead read_head(const std::string& text, const VerifierKey& log_key, std::string_view where) {
  const Note note = parse_note(text);
  if (!signed_by(note, log_key)) {
    throw Error(Errc::corrupt, where, ": is not signed by the log's key ", log_key.name);
  }
  TreeHead head = parse_tree_head(note.text);
  if (head.origin != log_key.name) {
    throw Error(Errc::corrupt, where, ": is about the log ", head.origin);
  }
  return head;
}

}  // namespace

fs::path head_path(const fs::path& ledger) {
  return ledger.string() + ".head";
}

fs::path default_log_key_path(const fs::path& ledger) {
  return ledger.string() + ".key";
}

uint64_t judging_time_us(const Store& store) {
  return std::max(now_us(), store.newest_at_us());
}

void Store::create(const fs::path& path, const VerifierKey& log_key) {
  const Database db = Database::create(path);
  db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
  Transaction transaction(db);
  db.exec("PRAGMA application_id = " + std::to_string(kApplicationId));
  db.exec("PRAGMA user_version = " + std::to_string(kSchemaVersion));
  db.exec(std::string(kLogSchema) + std::string(kProjectionSchema));
  Tree tree(db);
  append_fact(db, tree, 0, now_us(), key_fact(log_key, "log"));
  tree.flush();
  transaction.commit();
}

Store::Store(const fs::path& path, Access access)
    : path_(path), lock_(lock_for(path, access)), db_(Database::open(path, access)) {
  check_version();
  if (access == Access::append) {
    db_.exec("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0");
  }
  log_key_ = first_key(db_);
  check_published_head();
}

void Store::check_version() const {
  if (db_.integer("PRAGMA application_id") != kApplicationId) {
    throw Error(Errc::corrupt, "open ", path_.string(), ": is not a ledger");
  }
  const int64_t version = db_.integer("PRAGMA user_version");
  if (version > kSchemaVersion) {
    throw Error(Errc::unsupported, "open ", path_.string(), ": is of version ", version,
                ", this program knows ", kSchemaVersion, "; use a newer program");
  }
}

void Store::check_published_head() const {
  const fs::path published = head_path(path_);
  if (!fs::exists(published)) return;
  const TreeHead head =
      read_head(read_file(published, kMaxHeadBytes), log_key_, published.string());
  if (head.size > size() || Tree(db_).root(head.size) != head.root) {
    throw Error(Errc::corrupt, "open ", path_.string(), ": the tree head ", published.string(),
                " says ", head.size, " records, and this file ",
                head.size > size() ? "has only " + std::to_string(size()) : "holds others",
                "; it was rolled back or replaced: restore it");
  }
}

uint64_t Store::size() const {
  return size_of(db_);
}

uint64_t Store::newest_at_us() const {
  Record record;
  const std::string bytes = record_bytes(size() - 1);
  if (!record.ParseFromString(bytes)) {
    throw Error(Errc::corrupt, path_.string(), ": the newest record does not parse");
  }
  return record.at_us();
}

std::string Store::record_bytes(uint64_t seq) const {
  Statement select(db_, "SELECT bytes FROM leaf WHERE seq = ?");
  if (!select.with(seq).next()) {
    throw Error(Errc::not_found, path_.string(), ": has no record ", seq);
  }
  return select.text(0);
}

Store::Appended Store::append(const std::vector<Fact>& facts) {
  CLEARED_CHECK(lock_.has_value());
  Transaction transaction(db_);
  Appended out{size(), 0, 0};
  const uint64_t at_us = judging_time_us(*this);
  Tree tree(db_);
  for (const Fact& fact : facts) {
    const bool added = append_fact(db_, tree, out.first + out.added, at_us, fact);
    ++(added ? out.added : out.present);
  }
  tree.flush();
  transaction.commit();
  store_wal();
  return out;
}

Store::Appended Store::append_licence(const std::string& text, std::string_view where) {
  CLEARED_CHECK(lock_.has_value());
  const Note note = parse_note(text);
  const LicenceText terms = parse_licence(note.text, where);
  const Licence& licence = terms.licence();
  Statement known(db_,
                  "SELECT d.note FROM licence l JOIN document d ON d.digest = l.document_digest "
                  "WHERE l.ref = ?");
  if (known.with(licence_ref(terms)).next()) {
    if (known.text(0) == text) return {size(), 0, 1};
    throw Error(Errc::corrupt, where, ": the ledger has another document of ", licence_ref(terms),
                "; an amendment needs a new version");
  }
  require_signer(db_, note, "licensor", licence.licensor(), where);
  require_signer(db_, note, "licensee", licence.licensee(), where);
  std::string salt(32, '\0');
  if (RAND_bytes(reinterpret_cast<unsigned char*>(salt.data()), static_cast<int>(salt.size())) !=
      1) {
    throw Error(Errc::io, "append licence: the system gave no random bytes");
  }
  const Digest document = sha256({as_bytes(salt), as_bytes(text)});
  Fact fact;
  LicenceRecord& record = *fact.mutable_licence();
  record.set_id(licence.id());
  record.set_version(licence.version());
  record.set_supersedes(licence.supersedes());
  record.set_licensor(licence.licensor());
  record.set_licensee(licence.licensee());
  record.set_valid_from(licence.valid_from());
  record.set_valid_to(licence.valid_to());
  record.set_attribution(terms.output().attribution());
  record.set_document_digest(std::string(document.text()));

  Transaction transaction(db_);
  const Appended out{size(), 1, 0};
  Tree tree(db_);
  append_fact(db_, tree, out.first, judging_time_us(*this), fact);
  tree.flush();
  Statement(db_, "INSERT INTO document VALUES(?, ?, ?)")
      .with(to_hex(document), Blob{salt}, text)
      .run();
  transaction.commit();
  store_wal();
  return out;
}

// Moves what is in the write-ahead file into the ledger itself, so that a copy of the one file is a
// copy of the ledger. SQLite's automatic checkpoints fail in silence; this one says so.
void Store::store_wal() const {
  try {
    db_.integer("PRAGMA wal_checkpoint(TRUNCATE)");
  } catch (const Error& error) {
    // A reader holds an old state: nothing is lost, the next append tries again.
    if (error.code() != Errc::busy) throw;
    log(Level::warn, "ledger.wal", {{"note", error.what()}});
  }
}

// Records what is about to be signed; false when it is signed already.
bool Store::store_intent(const TreeHead& head) const {
  {
    Statement intent(db_, "SELECT root, note FROM tree_head WHERE size = ?");
    if (intent.with(head.size).next()) {
      if (intent.text(0) != head.root.text()) {
        throw Error(Errc::corrupt, path_.string(), ": a tree head of size ", head.size,
                    " with another root was about to be signed; run ledger verify");
      }
      // A crash between signing and publishing leaves an older file, or none.
      return intent.type(1) == ValueType::null || !fs::exists(head_path(path_)) ||
             read_file(head_path(path_), kMaxHeadBytes) != intent.text(1);
    }
  }
  Transaction transaction(db_);
  Statement(db_, "INSERT INTO tree_head(size, root) VALUES(?, ?)")
      .with(head.size, Blob{head.root.text()})
      .run();
  transaction.commit();
  return true;
}

TreeHead Store::sign_head(const SignerKey& log_key) {
  CLEARED_CHECK(lock_.has_value());
  if (log_key.verifier != log_key_) {
    throw Error(Errc::permission, "sign tree head: the key ", log_key.verifier.name,
                " is not the key of this log, ", log_key_.name);
  }
  // Read back and hash again what is going to be signed, from the last signed head on.
  const uint64_t size = this->size();
  Tree tree(db_);
  const auto signed_size = static_cast<uint64_t>(
      db_.integer("SELECT COALESCE(MAX(size), 0) FROM tree_head WHERE note IS NOT NULL"));
  Statement leaves(db_, "SELECT seq, bytes FROM leaf WHERE seq >= ? ORDER BY seq");
  leaves.with(signed_size);
  while (leaves.next()) {
    const auto seq = leaves.unsigned_integer(0);
    if (leaf_digest(as_bytes(leaves.text(1))) != tree.leaf(seq)) {
      throw Error(Errc::corrupt, path_.string(), ": record ", seq,
                  " reads back differently from how it was written; run ledger verify");
    }
  }
  {
    Statement last(db_, "SELECT root FROM tree_head WHERE size = ?");
    if (last.with(signed_size).next() && last.text(0) != tree.root(signed_size).text()) {
      throw Error(Errc::corrupt, path_.string(), ": its first ", signed_size,
                  " records are not those that were signed; run ledger verify");
    }
  }
  const TreeHead head{origin(), size, tree.root(size)};

  if (!store_intent(head)) return head;
  Note note{format_tree_head(head), {}};
  add_signature(note, log_key);
  const std::string text = format_note(note);
  {
    Transaction transaction(db_);
    Statement(db_, "UPDATE tree_head SET note = ? WHERE size = ?").with(text, size).run();
    transaction.commit();
  }
  store_wal();
  write_file(head_path(path_), text);
  return head;
}

std::string Store::newest_head_note() const {
  Statement select(db_,
                   "SELECT note FROM tree_head WHERE note IS NOT NULL ORDER BY size DESC LIMIT 1");
  return select.next() ? select.text(0) : std::string();
}

std::string Store::prove(uint64_t seq) const {
  const std::string note = newest_head_note();
  const TreeHead head = note.empty() ? TreeHead{} : parse_tree_head(parse_note(note).text);
  if (seq >= head.size) {
    throw Error(Errc::not_found, path_.string(), ": record ", seq,
                " is under no signed tree head yet; sign one with ledger sign-head");
  }
  std::string out = "c2sp.org/tlog-proof@v1\nindex " + std::to_string(seq) + "\n";
  for (const Digest& digest : Tree(db_).inclusion_proof(seq, head.size)) {
    out += to_base64(digest.bytes) + "\n";
  }
  return out + "\n" + note;
}

}  // namespace cleared::ledger
