#include "ledger/verify.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>

#include "ledger/attestation.h"
#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/base/parallel.h"
#include "ledger/coverage.h"
#include "ledger/digest.h"
#include "ledger/disclosure.h"
#include "ledger/licence.h"
#include "ledger/notes.pb.h"
#include "ledger/schema.h"
#include "ledger/sqlite.h"
#include "ledger/store.h"
#include "ledger/textproto.h"
#include "ledger/verify/contexts.h"
#include "ledger/verify/in_order.h"
#include "ledger/verify/log.h"
#include "ledger/verify/map.h"
#include "ledger/verify/references.h"
#include "ledger/verify/rows.h"
#include "ledger/verify/trees.h"

namespace cleared::ledger {
namespace fs = std::filesystem;
namespace {

class Verifier {
 public:
  Verifier(const fs::path& path, const VerifyOptions& options)
      : path_(path),
        options_(options),
        db_(Database::open(path, Access::read)),
        contexts_(path, findings_),
        trees_(db_, contexts_, findings_, options.deep) {}

  VerifyReport run() {
    // Before the file: the head that is published later may be about records that we do not see.
    std::optional<Anchor> published;
    findings_.guarded("published head", [&] {
      const fs::path head = head_path(path_);
      if (fs::exists(head)) {
        published = {head.string(), parse_tree_head(parse_note(read_file(head)).text)};
      }
    });
    check_header();
    findings_.guarded("file", [&] { hold_one_moment(); });
    check_schema();
    findings_.guarded("log", [&] { read_log(db_, contexts_, trees_, findings_, log_); });
    findings_.guarded("node", [&] { check_nodes(db_, log_, findings_); });
    findings_.guarded("map", [&] { runs_ = check_map(db_, contexts_, log_, findings_); });
    report_.rows = log_.rows + check_references(db_, log_, findings_);
    findings_.guarded("log", [&] { in_order_ = check_in_order(db_, log_, findings_); });
    report_.rows += in_order_.rows;
    report_.records = log_.records;
    check_heads();
    if (published) check_anchor(*published);
    check_documents();
    findings_.guarded("licence_source", [&] { check_coverage(); });
    if (options_.deep) findings_.guarded("state", [&] { check_states(db_, log_, findings_); });
    for (const Anchor& anchor : options_.anchors) check_anchor(anchor);
    report_.findings = findings_.take();
    return std::move(report_);
  }

 private:
  void found(std::string where, std::string what) {
    findings_.add(std::move(where), std::move(what));
  }

  // All connections see the same records, whoever appends meanwhile.
  void hold_one_moment() {
    constexpr int kMostTries = 100;
    const Database probe = Database::open(path_, Access::read);
    for (int i = 0; i < kMostTries; ++i) {
      const int64_t before = probe.integer("PRAGMA data_version");
      db_ = reading(path_);
      contexts_.connect();
      if (probe.integer("PRAGMA data_version") == before) return;
    }
    throw Error(Errc::busy, "verify ", path_.string(),
                ": is written to without a pause; try again");
  }

  // A file that is no database, or of a newer version, cannot be judged: Error, and no finding.
  void check_header() {
    const int64_t application = db_.integer("PRAGMA application_id");
    const int64_t version = db_.integer("PRAGMA user_version");
    if (version > kSchemaVersion) {
      throw Error(Errc::unsupported, "verify ", path_.string(), ": is of version ", version,
                  ", this program knows ", kSchemaVersion, "; use a newer program");
    }
    if (application != kApplicationId) {
      found("file header, application_id", "is not that of a ledger");
    }
    if (version != kSchemaVersion) found("file header, user_version", "is not a known version");
  }

  void check_schema() {
    const size_t before = findings_.count();
    findings_.guarded("schema", [&] {
      const auto objects = [](const Database& db) {
        std::map<std::string, std::string> out;
        Statement select(db, "SELECT type || ' ' || name, COALESCE(sql, '') FROM sqlite_schema");
        while (select.next()) out[select.text(0)] += select.text(1);  // of two by one name, both
        return out;
      };
      const Database fresh = Database::in_memory();
      fresh.exec(std::string(kLogSchema) + std::string(kTileSchema) +
                 std::string(kProjectionSchema) + std::string(kVersion4Schema) +
                 std::string(kVersion5Schema) + std::string(kVersion6Schema) +
                 std::string(kVersion8Schema) + std::string(kTodayView) + kViews);
      const auto stored = objects(db_);
      const auto expected = objects(fresh);
      for (const auto& [name, sql] : expected) {
        const auto at = stored.find(name);
        if (at == stored.end()) {
          found("schema, " + name, "is missing");
        } else if (at->second != sql) {
          found("schema, " + name, "its definition was changed");
        }
      }
      for (const auto& [name, sql] : stored) {
        if (!expected.contains(name)) found("schema, " + name, "does not belong to a ledger");
      }
    });
    if (findings_.count() == before && options_.raw) contexts_.set_raw();
  }

  // The state that was logged last is the one that the map in the file has.
  void check_newest_state() {
    if (!log_.complete || findings_.any_doubt()) return;
    bool same = static_cast<size_t>(in_order_.newest_state.run_size()) == runs_.size();
    for (size_t i = 0; same && i < runs_.size(); ++i) {
      const auto& logged = in_order_.newest_state.run(static_cast<int>(i));
      same = logged.entries() == runs_[i].entries && logged.root() == runs_[i].root.text();
    }
    if (!same) found("map_run", "is not the state that the log holds");
    for (const StateMap::Run& run : runs_) {
      if (in_order_.states.contains(run.run)) continue;
      found("map run " + std::to_string(run.run) + ", map_run.run",
            "is not the number of a record that logged the state");
    }
  }

  void check_heads() {
    findings_.guarded("tree_head", [&] {
      check_newest_state();
      if (!log_.complete || report_.records == 0) return;
      report_.root = root_at(db_, log_, report_.records);
      const auto& keys = in_order_.authority.keys();
      if (keys.empty() || keys[0].role != "log" || keys[0].from_seq != 0) {
        found("record 0", "is not the log's own key");
        return;
      }
      check_trusted();
      uint64_t newest = 0;
      Statement heads(db_, "SELECT size, root, note FROM tree_head ORDER BY size");
      while (heads.next()) {
        const std::string where = "tree_head of size " + heads.text(0);
        if (heads.integer(0) < 0 || heads.unsigned_integer(0) > report_.records) {
          found(where, "the log has only " + std::to_string(report_.records) + " records");
          continue;
        }
        const uint64_t size = heads.unsigned_integer(0);
        const Digest expected = root_at(db_, log_, size);
        if (heads.text(1) != expected.text()) found(where + ", root", "is not the root of the log");
        if (heads.type(2) == ValueType::null) continue;  // stored, not signed yet
        if (check_head_note(where + ", note", heads.text(2), expected, size)) {
          newest = size;
          ++report_.heads;
        }
      }
      report_.unsigned_tail = report_.records - newest;
    });
  }

  // One of the keys that the log has now must be trusted: an older one vouches for no new head.
  void check_trusted() {
    if (options_.log_keys.empty()) return;
    const auto keys = in_order_.authority.keys_of("log", report_.records);
    const bool trusted = std::any_of(keys.begin(), keys.end(), [&](const VerifierKey& key) {
      return std::any_of(options_.log_keys.begin(), options_.log_keys.end(),
                         [&](const PublicKey& t) { return t.role == "log" && t.key == key; });
    });
    if (trusted) return;
    for (const KnownKey& known : in_order_.authority.keys()) {
      if (known.role != "log" || !known.valid_at(report_.records)) continue;
      found(record_name(known.from_seq) + ", key.vkey",
            "the log's key " + format_verifier_key(known.key) + " is not trusted");
    }
  }

  bool check_head_note(const std::string& where, const std::string& text, const Digest& root,
                       uint64_t size) {
    const size_t before = findings_.count();
    findings_.guarded(where, [&] {
      const Note note = parse_note(text);
      const TreeHead head = parse_tree_head(note.text);
      if (!signed_by_any(note, in_order_.authority.keys_of("log", size))) {
        found(where, "is not signed by a key that the log had then");
      }
      if (head.origin != in_order_.authority.keys()[0].key.name)
        found(where, "names another origin");
      if (head.size != size || head.root != root) found(where, "is about another tree");
    });
    return findings_.count() == before;
  }

  struct Document {
    std::string digest, salt, note, ref;
    uint64_t seq = 0;
    bool of_a_licence = false, erased = false;
    std::vector<std::string> facts;  // as in kPublicFacts
  };
  // What a licence's row says that its document says, too.
  static constexpr std::array kPublicFacts = {"id",          "version",    "licensor",
                                              "licensee",    "valid_from", "valid_to",
                                              "attribution", "fields_root"};
  static std::vector<std::string> public_facts(const LicenceRecord& r) {
    return {r.id(),          std::to_string(r.version()),
            r.licensor(),    r.licensee(),
            r.valid_from(),  r.valid_to(),
            r.attribution(), to_hex(as_bytes(r.fields_root()))};
  }
  std::vector<Document> documents() const {
    std::string sql =
        "SELECT d.digest, d.salt, d.note, l.ref, l.seq, l.seq IN (SELECT licence FROM erasure)";
    for (const char* fact : kPublicFacts) sql += std::string(", l.") + fact;
    Statement select(db_, sql +
                              " FROM document d LEFT JOIN licence l "
                              "ON l.document_digest = d.digest ORDER BY d.digest");
    std::vector<Document> out;
    while (select.next()) {
      Document& d = out.emplace_back(Document{select.text(0),
                                              select.text(1),
                                              select.text(2),
                                              select.text(3),
                                              select.unsigned_integer(4),
                                              select.type(4) != ValueType::null,
                                              select.integer(5) != 0,
                                              {}});
      for (size_t i = 0; i < kPublicFacts.size(); ++i) {
        d.facts.push_back(select.text(static_cast<int>(6 + i)));
      }
    }
    return out;
  }

  // That both parties had signed it when it was taken, and that it is what is on record.
  void check_document(const Document& d) {
    if (!d.of_a_licence) {
      if (!findings_.any_doubt()) found("document " + d.digest, "belongs to no licence");
      return;
    }
    const std::string where = record_name(d.seq) + " (" + d.ref + "), document.";
    if (to_hex(document_digest(d.salt, d.note)) != d.digest) {
      found(where + "note or document.salt", "were changed: they do not give the digest on record");
      return;
    }
    findings_.guarded(where + "note", [&] {
      const Note note = parse_note(d.note);
      const LicenceText terms = parse_licence(note.text, "it", LicenceAge::recorded);
      const Licence& parties = terms.licence();
      in_order_.authority.require(note, "licensor", parties.licensor(), d.seq, "it");
      in_order_.authority.require(note, "licensee", parties.licensee(), d.seq, "it");
      const auto says = public_facts(licence_record(d.salt, d.note, terms));
      for (size_t i = 0; i < kPublicFacts.size(); ++i) {
        if (d.facts[i] == says[i]) continue;
        found(record_name(d.seq) + " (" + d.ref + "), licence." + kPublicFacts[i],
              "is '" + d.facts[i] + "', its document says '" + says[i] + "'");
      }
    });
    if (d.erased) found(where + "note", "is still there, and its erasure is on record");
  }

  void check_documents() {
    findings_.guarded("document", [&] {
      const auto kept = documents();
      constexpr size_t kAtOnce = 16;
      parallel_for((kept.size() + kAtOnce - 1) / kAtOnce, [&](size_t part) {
        const size_t end = std::min(kept.size(), (part + 1) * kAtOnce);
        for (size_t i = part * kAtOnce; i < end; ++i) check_document(kept[i]);
      });
      Statement missing(db_,
                        "SELECT l.seq, l.ref FROM licence l WHERE l.document_digest NOT IN "
                        "(SELECT digest FROM document) AND l.seq NOT IN (SELECT licence FROM "
                        "erasure)");
      while (missing.next()) {
        found(record_name(missing.unsigned_integer(0)) + " (" + missing.text(1) + "), document",
              "is missing, and no erasure is on record");
      }
    });
  }

  // What each document covers of the sources that were there before it.
  void check_coverage() {
    TableCursor stored(db_, TableId::licence_source, findings_, TableCursor::Raw::no);
    stored.begin(INT64_MIN, INT64_MAX);
    each_coverage(db_, [&](uint64_t licence, uint64_t source) {
      const RowCell cells[] = {{Cell{ValueType::integer, static_cast<int64_t>(licence), 0, {}}},
                               {Cell{ValueType::integer, static_cast<int64_t>(source), 0, {}}}};
      stored.expect(cells, [](const RowCell&, int64_t, int) {});
    });
    stored.finish();
    report_.rows += stored.rows();
  }

  void check_anchor(const Anchor& anchor) {
    findings_.guarded("anchor " + anchor.where, [&] {
      const auto& keys = in_order_.authority.keys();
      const std::string origin = keys.empty() ? "" : keys[0].key.name;
      if (anchor.head.origin != origin) {
        found("anchor " + anchor.where,
              "is about the log " + anchor.head.origin + ", this is " + origin);
      } else if (anchor.head.size > report_.records) {
        found("anchor " + anchor.where,
              "saw " + std::to_string(anchor.head.size) + " records, the log has " +
                  std::to_string(report_.records) + ": it was rolled back");
      } else if (root_at(db_, log_, anchor.head.size) != anchor.head.root) {
        found("anchor " + anchor.where, "saw another root at " + std::to_string(anchor.head.size) +
                                            " records: the log was rewritten or forked");
      } else {
        ++report_.anchors;
      }
    });
  }

  fs::path path_;
  const VerifyOptions& options_;
  Findings findings_;
  Database db_;
  Contexts contexts_;
  Trees trees_;
  LogReading log_;
  std::vector<StateMap::Run> runs_;  // of the map in the file
  InOrder in_order_;
  VerifyReport report_;
};

TreeHead head_of(const std::string& origin, uint64_t size, const std::string& root,
                 std::string_view where) {
  const auto digest = parse_digest_name(root);
  if (!digest) throw Error(Errc::corrupt, where, ": its tree_root is not a digest");
  return {origin, size, *digest};
}

}  // namespace

// A tree head's first line is any name; only what is none is asked whether it is something else.
Anchor read_anchor(const fs::path& path) {
  const std::string where = path.string();
  const std::string text = read_file(path);
  const auto head = [](const std::string& note) -> std::optional<TreeHead> {
    try {
      return parse_tree_head(parse_note(note).text);
    } catch (const Error&) {
      return std::nullopt;
    }
  };
  if (const auto found = head(text)) return {where, *found};
  if (text.starts_with("{")) {
    return {where, parse_statement(parse_envelope(text).payload).tree_head};
  }
  const Note note = parse_note(text);
  if (note.text.starts_with("permit")) {
    PermitText permit;
    parse_textproto(note.text, where, permit);
    const Permit& p = permit.permit();
    return {where, head_of(p.origin(), p.tree_size(), p.tree_root(), where)};
  }
  if (note.text.starts_with("release")) {
    ReleaseText release;
    parse_textproto(note.text, where, release);
    const Release& r = release.release();
    return {where, head_of(r.origin(), r.tree_size(), r.tree_root(), where)};
  }
  if (note.text.starts_with("receipt")) {
    ReceiptText receipt;
    parse_textproto(note.text, where, receipt);
    const Receipt& r = receipt.receipt();
    return {where, head_of(r.origin(), r.tree_size(), r.tree_root(), where)};
  }
  return {where, parse_tree_head(note.text)};
}

VerifyReport verify_ledger(const fs::path& path, const VerifyOptions& options) {
  return Verifier(only_name(path), options).run();
}

}  // namespace cleared::ledger
