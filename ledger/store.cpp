#include "ledger/store.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <set>

#include <fcntl.h>
#include <openssl/rand.h>
#include <unistd.h>

#include "ledger/admission.h"
#include "ledger/base/check.h"
#include "ledger/base/clock.h"
#include "ledger/base/error.h"
#include "ledger/base/log.h"
#include "ledger/base/parallel.h"
#include "ledger/coverage.h"
#include "ledger/digest.h"
#include "ledger/disclosure.h"
#include "ledger/entries.h"
#include "ledger/licence.h"
#include "ledger/merkle.h"
#include "ledger/preparation.h"
#include "ledger/projection.h"
#include "ledger/range_proof.h"
#include "ledger/schema.h"
#include "ledger/table_writer.h"
#include "ledger/tlog_proof.h"
#include "ledger/tree.h"

namespace cleared::ledger {
namespace fs = std::filesystem;
namespace {

constexpr uint64_t kMaxHeadBytes = 1 << 20;
// As many subjects in memory before the map is written, head or no head.
constexpr size_t kMaxPending = 1 << 18;
constexpr size_t kManyMeasures = 64;  // of one kind, of one source
constexpr uint64_t kReadBackRecords = 16384;
constexpr int kPatienceMs = 200;  // with a reader, when closing

Fact key_fact(const VerifierKey& key, const std::string& role) {
  Fact fact;
  fact.mutable_key()->set_name(key.name);
  fact.mutable_key()->set_role(role);
  fact.mutable_key()->set_vkey(format_verifier_key(key));
  return fact;
}

std::optional<FileLock> lock_for(const fs::path& path, Access access) {
  if (access == Access::read) return std::nullopt;
  return FileLock(path.string() + ".lock");
}

// A note of a log about itself, signed by one of the keys that it had at that size.
TreeHead read_head(const std::string& text, const Authority& authority, std::string_view where) {
  const Note note = parse_note(text);
  TreeHead head = parse_tree_head(note.text);
  const std::string& origin = authority.keys()[0].key.name;
  if (!signed_by_any(note, authority.keys_of("log", head.size))) {
    throw Error(Errc::corrupt, where, ": is not signed by a key that the log ", origin,
                " has, by this file, at that size");
  }
  if (head.origin != origin || !head.extensions.empty()) {
    throw Error(Errc::corrupt, where, ": is about the log ", head.origin);
  }
  return head;
}

// Sets a pragma that holds a number, and sets it back at the end.
class ScopedPragma {
 public:
  ScopedPragma(const Database& db, const char* name, int64_t value)
      : db_(db), name_(std::string("PRAGMA ") + name), before_(db.integer(name_)) {
    set(value);
  }
  ~ScopedPragma() {
    try {
      set(before_);
    } catch (const Error& error) {
      log(Level::warn, "ledger.pragma", {{"note", error.what()}});
    }
  }
  ScopedPragma(const ScopedPragma&) = delete;
  ScopedPragma& operator=(const ScopedPragma&) = delete;

 private:
  void set(int64_t value) { db_.exec(name_ + " = " + std::to_string(value)); }
  const Database& db_;
  const std::string name_;
  const int64_t before_;
};

// While it lives SQLite overwrites with zeros what it deletes or moves.
struct SecureDelete : ScopedPragma {
  explicit SecureDelete(const Database& db) : ScopedPragma(db, "secure_delete", 1) {}
};
// While it lives SQLite commits without a sync.
struct CommitUnsynced : ScopedPragma {
  explicit CommitUnsynced(const Database& db) : ScopedPragma(db, "synchronous", 1) {}
};

std::string random_salt() {
  std::string salt(32, '\0');
  if (RAND_bytes(reinterpret_cast<unsigned char*>(salt.data()), static_cast<int>(salt.size())) !=
      1) {
    throw Error(Errc::io, "append licence: the system gave no random bytes");
  }
  return salt;
}

Fact parse_fact(std::string_view bytes, const Database& db, uint64_t seq) {
  Fact fact;
  if (!fact.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    throw Error(Errc::corrupt, db.name(), ": record ", seq, " does not parse; run ledger verify");
  }
  return fact;
}

// A run receipt that came before with another machine time: the span was made again, to the same
// note.
bool is_receipt_again(std::string_view known, const Fact& fact) {
  Fact before;
  return fact.has_receipt() &&
         before.ParseFromArray(known.data(), static_cast<int>(known.size())) &&
         before.receipt().note() == fact.receipt().note();
}

}  // namespace

// What is read once and then kept up to date while records are appended. A failed transaction
// throws it away.
struct Store::Memory {
  explicit Memory(const Database& db)
      : entries(db),
        tree(db),
        map(db),
        authority(read_authority(db)),
        admission(
            db, [this](const Digest& key) { return map.find(key); }, authority),
        writer(db, map) {
    const uint64_t mapped =
        static_cast<uint64_t>(db.integer("SELECT COALESCE(MAX(run) + 1, 0) FROM map_run"));
    entries.scan(mapped, entries.size(), [&](uint64_t seq, std::string_view bytes) {
      note_subject(seq, subject_of(parse_fact(parse_record(bytes).fact, db, seq)));
    });
    if (entries.size() == 0) return;
    const std::string newest = entries.read(entries.size() - 1);
    newest_at_us = parse_record(newest).at_us;
    series.begins(parse_fact(parse_record(newest).fact, db, entries.size() - 1));
  }

  void note_subject(uint64_t seq, const std::optional<Subject>& subject) {
    if (!subject) return;
    map.add(subject->key, seq);
    for (const Digest& key : subject->also) map.add(key, seq);
  }

  // Whether a record states this fact already.
  bool knows(const Prepared& prepared) {
    if (!prepared.subject) return false;
    const std::string_view fact = parse_record(prepared.bytes).fact;
    if (stated && stated->subject == prepared.subject->key) {
      return stated->facts.contains(sha256(fact));
    }
    auto found = prepared.may_be_mapped ? map.find(prepared.subject->key)
                                        : map.find_pending(prepared.subject->key);
    if (found.empty()) return false;
    if (newest_alone_counts(*prepared.fact)) found.erase(found.begin(), found.end() - 1);
    if (prepared.fact->has_measure() && found.size() >= kManyMeasures) {
      stated.emplace(Stated{prepared.subject->key, {}});
      for (const uint64_t seq : found) {
        stated->facts.insert(sha256(parse_record(entries.read(seq)).fact));
      }
      return stated->facts.contains(sha256(fact));
    }
    for (const uint64_t seq : found) {
      const std::string known = entries.read(seq);
      if (parse_record(known).fact == fact) return true;
      if (is_receipt_again(parse_record(known).fact, *prepared.fact)) return true;
      if (prepared.subject->unique) {
        throw Error(Errc::corrupt, kind_name(*prepared.fact), ": record ", seq,
                    " is about the same and says something else");
      }
    }
    return false;
  }

  // Adds the record to the open transaction. Rows that were made for it lie in `rows`, which must
  // stay until flush_rows().
  void append(const Prepared& prepared, uint64_t at_us, RowBuffer* rows = nullptr) {
    const uint64_t seq = entries.size();
    const Fact& fact = *prepared.fact;
    try {
      if (!Admission::rows_say_all(fact)) writer.flush();  // it may be judged by rows before it
      admission.admit(seq, at_us, fact);
      if (prepared.rows == 0) rows_of(seq, fact, authority, writer);
      for (size_t i = 0; i < prepared.rows; ++i) {
        writer.add(rows->rows()[prepared.first_row + i], seq);
      }
      if (series.begins(fact)) clip_series_row(seq, series.source(), writer);
      if (seq == 0 || at_us / 1'000'000 != newest_at_us / 1'000'000) {
        const std::string at = format_time(at_us);
        const RowCell cells[] = {{Cell{ValueType::integer, static_cast<int64_t>(seq)}},
                                 {Cell{ValueType::text, 0, 0, at}}};
        writer.row(TableId::moment, cells);
      }
      newest_at_us = at_us;
      if (!Admission::rows_say_all(fact)) writer.flush();
    } catch (const Error& error) {
      throw Error(error.code(), "record ", seq, " (", kind_name(fact), "): ", error.what());
    }
    entries.append(prepared.bytes);
    tree.append(seq, prepared.leaf);
    note_subject(seq, prepared.subject);
    if (stated && prepared.subject && stated->subject == prepared.subject->key) {
      stated->facts.insert(sha256(parse_record(prepared.bytes).fact));
    }
    if (fact.has_key()) authority.add(seq, fact.key());
    if (fact.has_policy()) {
      authority.add(seq,
                    parse_noted<PolicyText>(parse_note(fact.policy().note()), "policy").policy());
    }
  }

  void append(const Fact& fact, uint64_t at_us) {
    RowBuffer buffer;
    Prepared prepared = prepare(fact, at_us, buffer);
    prepared.leaf = leaf_digest(as_bytes(prepared.bytes));
    append(prepared, at_us);
  }

  void flush_rows() { writer.flush(); }

  void flush() {
    flush_rows();
    entries.flush();
    tree.flush();
  }

  Entries entries;
  Tree tree;
  StateMap map;
  Authority authority;
  Admission admission;
  uint64_t newest_at_us = 0;
  ClipSeries series;
  TableWriter writer;
  // What is stated of the last subject that has many measures, by digest: the shots of a film are
  // not read again for each of them.
  struct Stated {
    Digest subject;
    std::set<Digest> facts;
  };
  std::optional<Stated> stated;
};

fs::path head_path(const fs::path& ledger) {
  return ledger.string() + ".head";
}

fs::path default_log_key_path(const fs::path& ledger) {
  return ledger.string() + ".key";
}

uint64_t judging_time_us(const Store& store) {
  return std::max(now_us(), store.newest_at_us());
}

Authority read_authority(const Database& db) {
  Authority authority;
  Statement keys(db,
                 "SELECT k.seq, k.name, k.role, k.vkey, r.seq FROM key k "
                 "LEFT JOIN retirement r ON r.key = k.seq ORDER BY k.seq");
  while (keys.next()) {
    KeyRecord key;
    key.set_name(keys.text(1));
    key.set_role(keys.text(2));
    key.set_vkey(keys.text(3));
    authority.add(keys.unsigned_integer(0), key);
    if (keys.type(4) == ValueType::null) continue;
    key.set_retired(true);
    authority.add(keys.unsigned_integer(4), key);
  }
  Statement policies(db, "SELECT seq, note FROM policy ORDER BY seq");
  while (policies.next()) {
    authority.add(policies.unsigned_integer(0),
                  parse_noted<PolicyText>(parse_note(policies.text(1)), "policy").policy());
  }
  return authority;
}

void Store::create(const fs::path& path, const VerifierKey& log_key) {
  if (fs::exists(path)) {
    throw Error(Errc::io, "create ", path.string(), ": a file of that name is there already");
  }
  // Whole or absent: a ledger gets its name when it is one.
  const fs::path unfinished = path.string() + ".new";
  fs::remove(unfinished);
  for (const char* rest : {"-journal", "-wal"}) fs::remove(unfinished.string() + rest);
  fill_new(unfinished, log_key);
  publish_file(unfinished, path);
}

void Store::fill_new(const fs::path& path, const VerifierKey& log_key) {
  const Database db = Database::create(path);
  // A write-ahead file does not follow its database to another name, so there is none before that.
  db.exec("PRAGMA page_size = 8192; PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL");
  Transaction transaction(db);
  db.exec("PRAGMA application_id = " + std::to_string(kApplicationId));
  db.exec("PRAGMA user_version = " + std::to_string(kSchemaVersion));
  db.exec(std::string(kLogSchema) + std::string(kTileSchema) + std::string(kProjectionSchema) +
          std::string(kVersion4Schema) + std::string(kVersion5Schema) +
          std::string(kVersion6Schema) + std::string(kVersion8Schema) + std::string(kTodayView) +
          kViews);
  Memory memory(db);
  const Fact key = key_fact(log_key, "log");
  const uint64_t at_us = now_us();
  memory.append(key, at_us);
  memory.flush();
  transaction.commit();
  db.exec("PRAGMA journal_mode = WAL");
}

namespace {

constexpr int64_t kOldestVersion = 3;  // that can be brought up to date

// Before version 5 the tables of large values had another layout.
constexpr std::string_view kNewTiles =
    "INSERT INTO node SELECT level, tile, digests FROM old_node ORDER BY 1, 2;"
    "INSERT INTO map_chunk SELECT run, chunk, entries FROM old_map_chunk ORDER BY 1, 2;"
    "DROP TABLE old_node; DROP TABLE old_map_chunk;";

// From an older version: more tables, and the views over them. The records stay as they are.
void upgrade(const Database& db) {
  const int64_t version = db.integer("PRAGMA user_version");
  if (db.integer("PRAGMA application_id") != kApplicationId || version < kOldestVersion ||
      version >= kSchemaVersion) {
    return;
  }
  Transaction transaction(db);
  std::string drop;
  for (Statement view(db, "SELECT name FROM sqlite_schema WHERE type = 'view'"); view.next();) {
    drop += "DROP VIEW \"" + view.text(0) + "\";";
  }
  if (version < 5) {
    drop += "ALTER TABLE node RENAME TO old_node; ALTER TABLE map_chunk RENAME TO old_map_chunk;" +
            std::string(kTileSchema) + std::string(kNewTiles);
  }
  db.exec(drop + std::string(version < 4 ? kVersion4Schema : "") +
          std::string(version < 5 ? kVersion5Schema : "") +
          std::string(version < 6 ? kVersion6Schema : "") +
          std::string(version < 8 ? kVersion8Schema : "") + std::string(kTodayView) + kViews +
          "PRAGMA user_version = " + std::to_string(kSchemaVersion));
  if (version < 6) keep_coverage(db);
  transaction.commit();
}

}  // namespace

Store::Store(const fs::path& path, Access access)
    : path_(only_name(path)), lock_(lock_for(path_, access)), db_(Database::open(path_, access)) {
  if (access == Access::append) upgrade(db_);
  check_version();
  if (access == Access::append) {
    // References are checked when records are admitted, at the record that they name.
    db_.exec(
        "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; PRAGMA foreign_keys = OFF; "
        "PRAGMA cache_size = -32768");
    db_.count_wal_pages(&wal_pages_);
    checkpointer_ = std::make_unique<Checkpointer>(path_);
  }
  const Authority authority = read_authority(db_);
  if (authority.keys().empty() || authority.keys()[0].role != "log") {
    throw Error(Errc::corrupt, path_.string(), ": has no log key; it is no ledger or was emptied");
  }
  origin_ = authority.keys()[0].key.name;
  check_published_head(authority);
}

Store::~Store() {
  if (!lock_) return;
  try {
    memory_.reset();
    end_sync();
    checkpointer_->finish();
    checkpointer_.reset();
    store_wal();
  } catch (const Error& error) {
    log(Level::warn, "ledger.wal", {{"note", error.what()}});
  }
}

Store::Memory& Store::memory() const {
  // Someone else may be writing to a ledger that is open for reading.
  if (memory_ && !lock_ && Entries(db_).size() != memory_->entries.size()) memory_.reset();
  if (!memory_) memory_ = std::make_unique<Memory>(db_);
  return *memory_;
}

void Store::check_version() const {
  if (db_.integer("PRAGMA application_id") != kApplicationId) {
    throw Error(Errc::corrupt, "open ", path_.string(), ": is not a ledger");
  }
  const int64_t version = db_.integer("PRAGMA user_version");
  if (version != kSchemaVersion) {
    throw Error(Errc::unsupported, "open ", path_.string(), ": is of version ", version,
                ", this program knows ", kSchemaVersion, "; ",
                version > kSchemaVersion ? "use a newer program"
                : version >= kOldestVersion
                    ? "the next command that writes to it, `ledger head` too, brings it up to date"
                    : "use the program that made it");
  }
}

void Store::check_published_head(const Authority& authority) const {
  const fs::path published = head_path(path_);
  if (!fs::exists(published)) return;
  const TreeHead head =
      read_head(read_file(published, kMaxHeadBytes), authority, published.string());
  const uint64_t records = Entries(db_).size();
  if (head.size > records || Tree(db_).root(head.size) != head.root) {
    throw Error(Errc::corrupt, "open ", path_.string(), ": the tree head ", published.string(),
                " says ", head.size, " records, and this file ",
                head.size > records ? "has only " + std::to_string(records) : "holds others",
                "; it was rolled back or replaced: restore it");
  }
}

uint64_t Store::size() const {
  return memory_ && lock_ ? memory_->entries.size() : Entries(db_).size();
}

uint64_t Store::newest_at_us() const {
  return memory().newest_at_us;
}

std::string Store::record_bytes(uint64_t seq) const {
  if (seq >= size()) throw Error(Errc::not_found, path_.string(), ": has no record ", seq);
  return memory().entries.read(seq);
}

std::vector<uint64_t> Store::find(const Digest& subject) const {
  return memory().map.find(subject);
}

const Authority& Store::authority() const {
  return memory().authority;
}

void Store::require_unbroken() const {
  if (broken_) {
    throw Error(Errc::io, path_.string(), ": a write failed before; open the ledger anew");
  }
}

// All of `body` or nothing. After a failure nothing that is in memory is trusted; after a failed
// write neither is the connection, since SQLite and the system may disagree about what is on disk.
template <class Body>
void Store::in_transaction(const Body& body, Durable durable) {
  CLEARED_CHECK(lock_.has_value());
  require_unbroken();
  try {
    checkpointer_->before_transaction(wal_pages_);
    std::optional<CommitUnsynced> unsynced;
    if (durable == Durable::later) unsynced.emplace(db_);
    Transaction transaction(db_);
    body(memory());
    memory().flush();
    transaction.commit();
    end_sync();
    if (durable == Durable::later) begin_sync();
  } catch (const Error& error) {
    memory_.reset();
    broken_ = error.code() == Errc::io;
    throw;
  }
  checkpointer_->committed(wal_pages_);
}

// The write-ahead file is only ever added to or, once all of it is in the database and synced
// there, begun anew; so this is a sync of every record that is not durable yet.
void Store::begin_sync() {
  const std::string name = path_.string() + "-wal";
  if (!wal_) wal_ = Fd(::open(name.c_str(), O_RDONLY | O_CLOEXEC));
  if (!wal_) throw Error(Errc::io, "open ", name, ": ", std::strerror(errno));
  syncing_ = std::async(std::launch::async, [fd = wal_.get(), name] {
    if (::fdatasync(fd) != 0) throw Error(Errc::io, "sync ", name, ": ", std::strerror(errno));
  });
}

void Store::end_sync() {
  if (syncing_.valid()) syncing_.get();
}

void Store::sync() {
  require_unbroken();
  try {
    end_sync();
  } catch (const Error&) {
    memory_.reset();
    broken_ = true;
    throw;
  }
}

Store::Appended Store::append(const std::vector<Fact>& facts, Durable durable) {
  Appended out;
  in_transaction(
      [&](Memory& memory) {
        out = append_to(memory, facts);
        if (memory.map.pending() > kMaxPending) log_state(memory.newest_at_us);
      },
      durable);
  return out;
}

// Memory is thrown away with the transaction, which it knows more of than is there then.
Store::Appended Store::would_append(const std::vector<Fact>& facts) {
  CLEARED_CHECK(lock_.has_value());
  require_unbroken();
  memory_.reset();
  const auto would = std::make_unique<Memory>(db_);
  const Transaction never_committed(db_);
  const Appended out = append_to(*would, facts);
  would->flush();
  return out;
}

Store::Appended Store::append_to(Memory& memory, const std::vector<Fact>& facts) {
  for (const Fact& fact : facts) {
    // Nobody else says what the tables hold, or has the document of an erased licence stay.
    if (!fact.has_state() && !fact.has_erasure()) continue;
    throw Error(Errc::permission, "append ", kind_name(fact),
                ": only the ledger itself makes such a record",
                fact.has_erasure() ? "; use ledger erase" : "");
  }
  Appended out{memory.entries.size(), 0, 0};
  const uint64_t at_us = std::max(now_us(), memory.newest_at_us);
  Preparation preparation(facts, at_us, memory.map);
  while (auto block = preparation.next()) {
    for (const Prepared& record : block->records) {
      if (memory.knows(record)) {
        ++out.present;
        continue;
      }
      memory.append(record, at_us, &block->buffer);
      ++out.added;
    }
    if (block->failure) std::rethrow_exception(block->failure);
    memory.flush_rows();
    preparation.reuse(std::move(block));
  }
  return out;
}

Store::Appended Store::append_licence(const std::string& text, std::string_view where) {
  CLEARED_CHECK(lock_.has_value());
  const Note note = parse_note(text);
  const LicenceText terms = parse_licence(note.text, where);
  const Licence& licence = terms.licence();
  const auto known = find(subject_key_of("licence", licence_ref(terms)));
  if (!known.empty()) {
    Statement document(db_,
                       "SELECT d.note FROM licence l JOIN document d ON d.digest = "
                       "l.document_digest WHERE l.seq = ?");
    if (document.with(known.front()).next() && document.text(0) == text) return {size(), 0, 1};
    throw Error(Errc::corrupt, where, ": the ledger has another document of ", licence_ref(terms),
                "; an amendment needs a new version");
  }
  const std::string salt = random_salt();
  Fact fact;
  *fact.mutable_licence() = licence_record(salt, text, terms);
  if (const auto problem = amendment_problem(db_, size(), fact.licence()); !problem.empty()) {
    throw Error(Errc::corrupt, where, ": ", problem);
  }
  authority().require(note, "licensor", licence.licensor(), size(), where);
  authority().require(note, "licensee", licence.licensee(), size(), where);
  const SecureDelete secure(db_);  // a page that is split leaves no copy behind
  const Appended out{size(), 1, 0};
  const uint64_t at_us = judging_time_us(*this);
  in_transaction([&](Memory& memory) {
    memory.append(fact, at_us);
    Statement(db_, "INSERT INTO document VALUES(?, ?, ?)")
        .with(to_hex(as_bytes(fact.licence().document_digest())), Blob{salt}, text)
        .run();
    keep_coverage(db_, out.first);
  });
  return out;
}

Store::Appended Store::erase_document(const std::string& ref, const std::string& reason,
                                      const std::string& note) {
  CLEARED_CHECK(lock_.has_value());
  const auto licence = find(subject_key_of("licence", ref));
  if (licence.empty()) throw Error(Errc::not_found, path_.string(), ": has no licence ", ref);
  sync();
  const SecureDelete secure(db_);
  require_empty_wal("erase " + ref + ": nothing is erased yet");
  Fact fact;
  fact.mutable_erasure()->set_licence(ref);
  fact.mutable_erasure()->set_reason(reason);
  fact.mutable_erasure()->set_note(note);
  Appended out{size(), 0, 0};
  const uint64_t at_us = judging_time_us(*this);
  in_transaction([&](Memory& memory) {
    if (memory.map.find(subject_key_of("erasure", ref)).empty()) {
      memory.append(fact, at_us);
      out.added = 1;
    } else {
      out.present = 1;
    }
    Statement digest(db_, "SELECT document_digest FROM licence WHERE seq = ?");
    CLEARED_CHECK(digest.with(licence.front()).next());
    rewrite_documents(digest.text(0));
    Statement(db_, "DELETE FROM licence_source WHERE seq = ?").with(licence.front()).run();
  });
  checkpointer_->finish();
  require_empty_wal("erase " + ref +
                    ": it is on record, but the write-ahead file still holds the text");
  return out;
}

// Empties the table and fills it again, so that no free space within its pages, whatever wrote
// them, holds a copy of a row that is gone. In the open transaction, with secure_delete on.
void Store::rewrite_documents(const std::string& without) const {
  struct Document {
    std::string digest, salt, note;
  };
  std::vector<Document> kept;
  {
    Statement select(db_, "SELECT digest, salt, note FROM document WHERE digest <> ?");
    select.with(without);
    while (select.next()) kept.push_back({select.text(0), select.text(1), select.text(2)});
  }
  Statement(db_, "DELETE FROM document").run();
  Statement insert(db_, "INSERT INTO document VALUES(?, ?, ?)");
  for (const Document& d : kept) insert.with(d.digest, Blob{d.salt}, d.note).run();
}

// Moves the whole write-ahead file into the ledger and cuts it to nothing. False: a reader is in
// the way.
bool Store::empty_wal() const {
  try {
    return db_.integer("PRAGMA wal_checkpoint(TRUNCATE)") == 0;
  } catch (const Error& error) {
    if (error.code() != Errc::busy) throw;
    return false;
  }
}

// Error{busy} that begins with `what` when a reader is in the way.
void Store::require_empty_wal(const std::string& what) const {
  if (empty_wal()) return;
  throw Error(Errc::busy, what, ", since another program is reading ", path_.string(),
              "; close it and run the command again");
}

// So that a copy of the one file is a copy of the ledger. SQLite's automatic checkpoints fail in
// silence; this one says so. Whoever only takes a look is waited for. Behind one who reads on
// nothing is lost: who writes next, or closes next, moves it.
void Store::store_wal() const {
  const ScopedPragma patience(db_, "busy_timeout", kPatienceMs);
  if (empty_wal()) return;
  log(Level::warn, "ledger.wal",
      {{"note", "another program is reading " + path_.string() + ": what is new stays in " +
                    path_.string() + "-wal, copy both or neither"}});
}

// Adds the record that says what the tables hold, and writes the map. In the open transaction.
void Store::log_state(uint64_t at_us) {
  Memory& memory = this->memory();
  const uint64_t size = memory.entries.size();
  Fact fact;
  *fact.mutable_state() = memory.map.flush(size, size);
  memory.append(fact, at_us);
}

// Records what is about to be signed, and returns what was signed already, or nothing.
std::string Store::store_intent(const TreeHead& head) const {
  {
    Statement intent(db_, "SELECT root, note FROM tree_head WHERE size = ?");
    if (intent.with(head.size).next()) {
      if (intent.text(0) != head.root.text()) {
        throw Error(Errc::corrupt, path_.string(), ": a tree head of size ", head.size,
                    " with another root was about to be signed; run ledger verify");
      }
      return intent.text(1);
    }
  }
  Transaction transaction(db_);
  Statement(db_, "INSERT INTO tree_head(size, root) VALUES(?, ?)")
      .with(head.size, Blob{head.root.text()})
      .run();
  transaction.commit();
  return {};
}

// Reads again, through a connection of its own, what is going to be signed, and hashes it again.
void Store::read_back(uint64_t from, uint64_t size) const {
  const uint64_t tasks = (size - from + kReadBackRecords - 1) / kReadBackRecords;
  parallel_for(tasks, [&](size_t task) {
    const Database db = Database::open(path_, Access::read);
    Statement tiles(db, "SELECT digests FROM node WHERE level = 0 AND tile = ?");
    uint64_t tile = UINT64_MAX;
    const uint64_t begin = from + task * kReadBackRecords;
    Entries(db).scan(
        begin, std::min(begin + kReadBackRecords, size), [&](uint64_t seq, std::string_view bytes) {
          if (seq / kBundleRecords != tile) {
            tile = seq / kBundleRecords;
            if (!tiles.with(tile).next()) tile = UINT64_MAX;
          }
          const std::string_view digests = tile == UINT64_MAX ? std::string_view() : tiles.view(0);
          const size_t at = seq % kBundleRecords * 32;
          if (digests.size() < at + 32 ||
              leaf_digest(as_bytes(bytes)).text() != digests.substr(at, 32)) {
            throw Error(Errc::corrupt, path_.string(), ": record ", seq,
                        " reads back differently from how it was written; run ledger verify");
          }
        });
  });
  const Database fresh = Database::open(path_, Access::read);
  const Tree tree(fresh);
  Statement last(fresh, "SELECT root FROM tree_head WHERE size = ?");
  if (last.with(from).next() && last.text(0) != tree.root(from).text()) {
    throw Error(Errc::corrupt, path_.string(), ": its first ", from,
                " records are not those that were signed; run ledger verify");
  }
}

// Whoever knows only one of the keys must be able to check every head, so all that are valid sign.
std::vector<const SignerKey*> Store::signers_of_heads(std::span<const SignerKey> given) const {
  std::vector<const SignerKey*> signers;
  std::string missing;
  for (const VerifierKey& key : authority().keys_of("log", size())) {
    const auto found = std::find_if(given.begin(), given.end(),
                                    [&](const SignerKey& k) { return k.verifier == key; });
    if (found != given.end()) {
      signers.push_back(&*found);
    } else {
      missing += ", " + format_verifier_key(key);
    }
  }
  if (signers.empty()) {
    throw Error(Errc::permission, "sign tree head: the key ",
                given.empty() ? "" : given[0].verifier.name, " is not the key of this log",
                missing);
  }
  if (!missing.empty()) {
    throw Error(Errc::permission, "sign tree head: another key of this log must sign too", missing,
                "; add its line to the key file, or retire it");
  }
  return signers;
}

TreeHead Store::sign_head(std::span<const SignerKey> log_keys) {
  CLEARED_CHECK(lock_.has_value());
  const auto signers = signers_of_heads(log_keys);
  sync();
  const bool stated =
      parse_fact(parse_record(record_bytes(size() - 1)).fact, db_, size() - 1).has_state();
  if (!stated) {
    in_transaction([&](Memory&) { log_state(judging_time_us(*this)); }, Durable::later);
  }
  const uint64_t size = this->size();
  const auto signed_size = static_cast<uint64_t>(
      db_.integer("SELECT COALESCE(MAX(size), 0) FROM tree_head WHERE note IS NOT NULL"));
  read_back(signed_size, size);
  sync();  // which went on meanwhile
  const TreeHead head{origin(), size, Tree(db_).root(size), {}};

  if (const std::string signed_before = store_intent(head); !signed_before.empty()) {
    // A crash between signing and publishing leaves an older file, or one that is not durable yet.
    write_file(head_path(path_), signed_before);
    return head;
  }
  Note note{format_tree_head(head), {}};
  for (const SignerKey* key : signers) add_signature(note, *key);
  const std::string text = format_note(note);
  {
    Transaction transaction(db_);
    Statement(db_, "UPDATE tree_head SET note = ? WHERE size = ?").with(text, size).run();
    transaction.commit();
  }
  write_file(head_path(path_), text);
  return head;
}

std::vector<VerifierKey> Store::log_keys() const {
  std::vector<VerifierKey> out;
  for (const KnownKey& known : authority().keys()) {
    if (known.role == "log") out.push_back(known.key);
  }
  return out;
}

VerifierKey Store::log_key() const {
  const std::string note = newest_head_note();
  if (note.empty()) return authority().keys()[0].key;
  const TreeHead head = parse_tree_head(parse_note(note).text);
  return authority().keys_of("log", head.size).at(0);
}

std::string Store::newest_head_note() const {
  Statement select(db_,
                   "SELECT note FROM tree_head WHERE note IS NOT NULL ORDER BY size DESC LIMIT 1");
  return select.next() ? select.text(0) : std::string();
}

std::string Store::head_note_with(const std::string& note) const {
  const Note given = parse_note(note);
  const TreeHead head = parse_tree_head(given.text);
  Statement select(db_, "SELECT note FROM tree_head WHERE size = ? AND note IS NOT NULL");
  const Note ours = select.with(head.size).next() ? parse_note(select.text(0)) : Note{};
  const Note both = with_signatures_of(ours, given);
  if (ours.text != given.text || !signed_by_any(both, log_keys())) {
    throw Error(Errc::corrupt, path_.string(), ": the tree head of ", head.size,
                " records that was given is none that this ledger signed");
  }
  return format_note(both);
}

// The head of a note, which must cover the record.
TreeHead Store::head_over(uint64_t seq, const std::string& note) const {
  const TreeHead head = note.empty() ? TreeHead{} : parse_tree_head(parse_note(note).text);
  if (seq >= head.size) {
    throw Error(Errc::not_found, path_.string(), ": record ", seq, " is not among the ", head.size,
                " under the signed tree head; sign one with ledger sign-head");
  }
  return head;
}

std::string Store::prove(uint64_t seq, const std::string& note) const {
  const TreeHead head = head_over(seq, note);
  TlogProof proof{std::nullopt, seq, Tree(db_).inclusion_proof(seq, head.size), note};
  const Digest leaf = leaf_digest(as_bytes(Entries(db_).read(seq)));
  if (!verify_inclusion(leaf, seq, head.size, proof.path, head.root)) {
    throw Error(Errc::corrupt, path_.string(), ": record ", seq,
                " is not the one that was signed; run ledger verify");
  }
  return format_tlog_proof(proof);
}

std::string Store::prove_range(uint64_t begin, uint64_t end, const std::string& note) const {
  const TreeHead head = head_over(end - 1, note);
  RangeProof proof{begin, {}, Tree(db_).range_proof(begin, end, head.size), note};
  std::vector<Digest> leaves;
  Entries(db_).scan(begin, end, [&](uint64_t, std::string_view record) {
    proof.records.emplace_back(record);
    leaves.push_back(leaf_digest(as_bytes(record)));
  });
  if (!verify_range(leaves, begin, head.size, proof.path, head.root)) {
    throw Error(Errc::corrupt, path_.string(), ": records ", begin, " to ", end - 1,
                " are not those that were signed; run ledger verify");
  }
  return format_range_proof(proof);
}

Store::StateProof Store::prove_subject(const Digest& subject) const {
  const std::string note = newest_head_note();
  const TreeHead head = note.empty() ? TreeHead{} : parse_tree_head(parse_note(note).text);
  if (head.size == 0 || head.size != size()) {
    throw Error(Errc::not_found, path_.string(),
                ": records were appended since the newest signed tree head; sign one with "
                "ledger sign-head");
  }
  return {head.size - 1, memory().map.prove(subject)};
}

}  // namespace cleared::ledger
