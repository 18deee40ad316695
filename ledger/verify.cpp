#include "ledger/verify.h"

#include <map>
#include <set>

#include "ledger/attestation.h"
#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/licence.h"
#include "ledger/merkle.h"
#include "ledger/notes.pb.h"
#include "ledger/projection.h"
#include "ledger/schema.h"
#include "ledger/sqlite.h"
#include "ledger/store.h"
#include "ledger/textproto.h"
#include "ledger/tree.h"

namespace cleared::ledger {
namespace fs = std::filesystem;
namespace {

constexpr size_t kMaxFindings = 1000;

// One value of a row as a person would read it.
std::string shown(const Statement& row, int column) {
  constexpr size_t kMost = 60;
  std::string out;
  switch (row.type(column)) {
    case ValueType::null:
      return "NULL";
    case ValueType::blob:
      out = "x'" + to_hex(as_bytes(row.text(column))) + "'";
      break;
    case ValueType::text:
      out = "'" + row.text(column) + "'";
      break;
    default:
      out = row.text(column);
  }
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  }
  return out.size() <= kMost ? out : out.substr(0, kMost) + "...";
}

bool same_value(const Statement& a, const Statement& b, int column) {
  return a.type(column) == b.type(column) && a.text(column) == b.text(column);
}

std::string record_name(uint64_t seq) {
  return "record " + std::to_string(seq);
}

class Verifier {
 public:
  Verifier(const fs::path& path, const VerifyOptions& options)
      : path_(path),
        options_(options),
        db_(Database::open(path, Access::read)),
        fresh_(Database::in_memory()),
        fresh_tree_(fresh_) {}

  VerifyReport run() {
    check_file();
    fresh_.exec(std::string(kLogSchema) + std::string(kProjectionSchema));
    check_schema();
    rebuild();
    check_nodes();
    check_heads();
    check_documents();
    check_tables();
    check_anchors();
    return std::move(report_);
  }

 private:
  void found(std::string where, std::string what) {
    if (report_.findings.size() < kMaxFindings) {
      report_.findings.push_back({std::move(where), std::move(what)});
    }
  }

  // Damage that SQLite itself notices ends a step, not the verification.
  template <class Step>
  void guarded(std::string_view where, Step step) {
    try {
      step();
    } catch (const Error& error) {
      found(std::string(where), error.what());
    }
  }

  // A file that is no database, or of a newer version, cannot be judged: Error, and no finding.
  void check_file() {
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
    guarded("file", [&] {
      Statement check(db_, "PRAGMA integrity_check(20)");
      while (check.next()) {
        if (check.text(0) != "ok") found("file", check.text(0));
      }
    });
  }

  void check_schema() {
    guarded("schema", [&] {
      const auto objects = [](const Database& db) {
        std::map<std::string, std::string> out;
        Statement select(db, "SELECT type || ' ' || name, COALESCE(sql, '') FROM sqlite_schema");
        while (select.next()) out[select.text(0)] = select.text(1);
        return out;
      };
      const auto stored = objects(db_);
      for (const auto& [name, sql] : objects(fresh_)) {
        const auto at = stored.find(name);
        if (at == stored.end()) {
          found("schema, " + name, "is missing");
        } else if (at->second != sql) {
          found("schema, " + name, "its definition was changed");
        }
      }
      const auto expected = objects(fresh_);
      for (const auto& [name, sql] : stored) {
        if (!expected.contains(name)) found("schema, " + name, "does not belong to a ledger");
      }
    });
  }

  // The log again, into a database of our own: tree and tables as they must be.
  void rebuild() {
    guarded("log", [&] {
      fresh_.exec("PRAGMA foreign_keys = OFF");  // a record that was changed leaves gaps
      const Tree stored_tree(db_);
      Statement leaves(db_, "SELECT seq, bytes, digest FROM leaf ORDER BY seq");
      Transaction transaction(fresh_);
      while (leaves.next()) {
        const uint64_t seq = report_.records;
        if (leaves.unsigned_integer(0) != seq) {
          found(record_name(seq), "is missing from the log");
          transaction.commit();
          return;
        }
        const std::string bytes = leaves.text(1);
        fresh_tree_.append(seq, judge_leaf(seq, bytes, leaves.text(2), stored_tree));
        ++report_.records;
        try {
          project(fresh_, seq, bytes);
        } catch (const Error& error) {
          // After a changed record others may not fit for that reason alone.
          if (unknown_.empty()) found(record_name(seq), error.what());
          unknown_.insert(seq);
        }
      }
      fresh_tree_.flush();
      transaction.commit();
      complete_ = true;
      if (report_.records == 0) found("log", "is empty");
      report_.root = fresh_tree_.root(report_.records);
    });
  }

  // A record's digest stands in three places: its bytes, its row and the tree. Two of them against
  // the third say what was changed, and which digest to go on with.
  Digest judge_leaf(uint64_t seq, std::string_view bytes, const std::string& column,
                    const Tree& stored_tree) {
    const Digest of_bytes = leaf_digest(as_bytes(bytes));
    const Digest in_row = digest_from_raw(column).value_or(Digest{});
    Digest in_tree = of_bytes;
    guarded(record_name(seq) + ", node", [&] { in_tree = stored_tree.leaf(seq); });
    if (of_bytes == in_row && of_bytes == in_tree) return of_bytes;
    if (in_row == in_tree) {
      found(record_name(seq) + ", leaf.bytes", "were changed: their digest is " + to_hex(of_bytes) +
                                                   ", the tree has " + to_hex(in_tree));
      unknown_.insert(seq);
      return in_tree;
    }
    if (of_bytes == in_tree) {
      found(record_name(seq) + ", leaf.digest", "is not the digest of the record's bytes");
      return of_bytes;
    }
    found(record_name(seq) + ", leaf.bytes and leaf.digest",
          "were changed together, or node.digests was: the tree has " + to_hex(in_tree));
    return of_bytes;
  }

  void check_nodes() {
    guarded("node", [&] {
      const std::string sql = "SELECT level, tile, digests FROM node ORDER BY level, tile";
      compare(sql, sql, [&](const Statement& row, std::string_view how) {
        found("node level " + row.text(0) + ", tile " + row.text(1) + ", node.digests",
              std::string(how));
      });
    });
  }

  void check_heads() {
    guarded("tree_head", [&] {
      Statement key(fresh_, "SELECT vkey FROM key WHERE seq = 0");
      if (!key.next()) return;
      const VerifierKey log_key = parse_verifier_key(key.text(0));
      check_log_key(log_key);
      uint64_t newest = 0;
      Statement heads(db_, "SELECT size, root, note FROM tree_head ORDER BY size");
      while (heads.next()) {
        const std::string where = "tree_head of size " + heads.text(0);
        if (heads.unsigned_integer(0) > report_.records) {
          found(where, "the log has only " + std::to_string(report_.records) + " records");
          continue;
        }
        const Digest root = fresh_tree_.root(heads.unsigned_integer(0));
        if (heads.text(1) != root.text()) found(where + ", root", "is not the root of the log");
        if (heads.type(2) == ValueType::null) continue;  // stored, not signed yet
        if (check_head_note(where + ", note", heads.text(2), log_key, root,
                            heads.unsigned_integer(0))) {
          newest = heads.unsigned_integer(0);
          ++report_.heads;
        }
      }
      report_.unsigned_tail = report_.records - newest;
      if (fs::exists(head_path(path_))) {
        const Anchor published = read_anchor(head_path(path_));
        check_anchor(published);
      }
    });
  }

  void check_log_key(const VerifierKey& log_key) {
    if (options_.log_keys.empty()) return;
    for (const PublicKey& trusted : options_.log_keys) {
      if (trusted.role == "log" && trusted.key == log_key) return;
    }
    found("record 0, key.vkey",
          "the log's key " + format_verifier_key(log_key) + " is not trusted");
  }

  bool check_head_note(const std::string& where, const std::string& text,
                       const VerifierKey& log_key, const Digest& root, uint64_t size) {
    const size_t before = report_.findings.size();
    guarded(where, [&] {
      const Note note = parse_note(text);
      const TreeHead head = parse_tree_head(note.text);
      if (!signed_by(note, log_key)) found(where, "is not signed by the log's key");
      if (head.origin != log_key.name) found(where, "names another origin");
      if (head.size != size || head.root != root) found(where, "is about another tree");
    });
    return report_.findings.size() == before;
  }

  void check_documents() {
    guarded("document", [&] {
      Statement documents(db_, "SELECT digest, salt, note FROM document ORDER BY digest");
      Statement licence(fresh_, "SELECT seq, ref FROM licence WHERE document_digest = ?");
      while (documents.next()) {
        const std::string digest = documents.text(0);
        if (!licence.with(digest).next()) {
          if (unknown_.empty()) found("document " + digest, "belongs to no licence");
          continue;
        }
        const std::string where =
            record_name(licence.unsigned_integer(0)) + " (" + licence.text(1) + "), document.";
        const std::string salt = documents.text(1);
        const std::string note = documents.text(2);
        if (to_hex(sha256({as_bytes(salt), as_bytes(note)})) != digest) {
          found(where + "note or document.salt",
                "were changed: they do not give the digest on record");
        }
      }
    });
  }

  void check_tables() {
    if (!complete_) return;  // the log itself is broken, and said so
    Statement tables(fresh_,
                     "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT IN "
                     "('leaf', 'node', 'tree_head', 'document') ORDER BY rowid");
    while (tables.next()) {
      const std::string table = tables.text(0);
      guarded("table " + table, [&] { check_table(table); });
    }
  }

  void check_table(const std::string& table) {
    // Key columns first, so that rows of both sides can be matched; then the rest in their order.
    std::string keys;
    std::string columns;
    Statement info(fresh_, "SELECT name, pk FROM pragma_table_info(?) ORDER BY pk = 0, pk, cid");
    info.with(table);
    int key_count = 0;
    int seq_column = 0;  // every projected table has one
    int count = 0;
    while (info.next()) {
      const std::string name = "\"" + info.text(0) + "\"";
      if (info.text(0) == "seq") seq_column = count;
      ++count;
      columns += (columns.empty() ? "" : ", ") + name;
      if (info.integer(1) == 0) continue;
      ++key_count;
      keys += (keys.empty() ? "" : ", ") + name;
    }
    const std::string sql = "SELECT " + columns + " FROM \"" + table + "\" ORDER BY " + keys;
    Statement stored(db_, sql);
    Statement expected(fresh_, sql);
    const auto where = [&](const Statement& row) {
      return (seq_column >= 0 ? record_name(row.integer(seq_column)) + ", " : std::string()) +
             table;
    };
    const auto unknown = [&](const Statement& row) {
      return unknown_.contains(row.unsigned_integer(seq_column));
    };
    bool has_stored = stored.next();
    bool has_expected = expected.next();
    while (has_stored || has_expected) {
      const int order = !has_stored     ? 1
                        : !has_expected ? -1
                                        : compare_keys(stored, expected, key_count);
      if (order < 0) {
        if (!unknown(stored)) {
          found(where(stored), "a row that no record makes: " + key_text(stored, key_count));
        }
        has_stored = stored.next();
        continue;
      }
      ++report_.rows;
      if (order > 0) {
        if (!unknown(expected)) {
          found(where(expected),
                "the row of this record is missing: " + key_text(expected, key_count));
        }
        has_expected = expected.next();
        continue;
      }
      for (int column = key_count; column < count && !unknown(expected); ++column) {
        if (same_value(stored, expected, column)) continue;
        found(where(expected) + "." + expected.column_name(column),
              "is " + shown(stored, column) + ", the log says " + shown(expected, column) +
                  " (row " + key_text(expected, key_count) + ")");
      }
      has_stored = stored.next();
      has_expected = expected.next();
    }
  }

  static std::string key_text(const Statement& row, int key_count) {
    std::string out;
    for (int i = 0; i < key_count; ++i) {
      out += (i > 0 ? ", " : "") + row.column_name(i) + " " + shown(row, i);
    }
    return out;
  }

  // In the order SQLite sorts: integers by value, text and blobs by bytes.
  static int compare_keys(const Statement& a, const Statement& b, int key_count) {
    for (int i = 0; i < key_count; ++i) {
      if (a.type(i) != b.type(i)) return a.type(i) < b.type(i) ? -1 : 1;
      if (a.type(i) == ValueType::integer) {
        if (a.integer(i) != b.integer(i)) return a.integer(i) < b.integer(i) ? -1 : 1;
      } else if (const int order = a.text(i).compare(b.text(i)); order != 0) {
        return order;
      }
    }
    return 0;
  }

  // Rows of two queries, keys in the first two columns, both integers.
  template <class Report>
  void compare(const std::string& stored_sql, const std::string& expected_sql, Report report) {
    Statement stored(db_, stored_sql);
    Statement expected(fresh_, expected_sql);
    bool has_stored = stored.next();
    bool has_expected = expected.next();
    while (has_stored || has_expected) {
      const int order = !has_stored ? 1 : !has_expected ? -1 : compare_keys(stored, expected, 2);
      if (order < 0) {
        report(stored, "does not belong to the tree");
        has_stored = stored.next();
      } else if (order > 0) {
        report(expected, "is missing");
        has_expected = expected.next();
      } else {
        if (stored.text(2) != expected.text(2)) report(stored, "is not what the records give");
        has_stored = stored.next();
        has_expected = expected.next();
      }
    }
  }

  void check_anchor(const Anchor& anchor) {
    Statement key(fresh_, "SELECT name FROM key WHERE seq = 0");
    const std::string origin = key.next() ? key.text(0) : "";
    if (anchor.head.origin != origin) {
      found("anchor " + anchor.where,
            "is about the log " + anchor.head.origin + ", this is " + origin);
    } else if (anchor.head.size > report_.records) {
      found("anchor " + anchor.where, "saw " + std::to_string(anchor.head.size) +
                                          " records, the log has " +
                                          std::to_string(report_.records) + ": it was rolled back");
    } else if (fresh_tree_.root(anchor.head.size) != anchor.head.root) {
      found("anchor " + anchor.where, "saw another root at " + std::to_string(anchor.head.size) +
                                          " records: the log was rewritten or forked");
    } else {
      ++report_.anchors;
    }
  }

  void check_anchors() {
    for (const Anchor& anchor : options_.anchors) {
      guarded("anchor " + anchor.where, [&] { check_anchor(anchor); });
    }
  }

  fs::path path_;
  const VerifyOptions& options_;
  Database db_;
  Database fresh_;
  Tree fresh_tree_;
  VerifyReport report_;
  std::set<uint64_t>
      unknown_;  // records that were changed or fit no more: no word about their rows
  bool complete_ = false;
};

TreeHead head_of(const std::string& origin, uint64_t size, const std::string& root,
                 std::string_view where) {
  const auto digest = parse_digest_name(root);
  if (!digest) throw Error(Errc::corrupt, where, ": its tree_root is not a digest");
  return {origin, size, *digest};
}

}  // namespace

Anchor read_anchor(const fs::path& path) {
  const std::string where = path.string();
  const std::string text = read_file(path);
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
  if (note.text.starts_with("receipt")) {
    ReceiptText receipt;
    parse_textproto(note.text, where, receipt);
    const Receipt& r = receipt.receipt();
    return {where, head_of(r.origin(), r.tree_size(), r.tree_root(), where)};
  }
  return {where, parse_tree_head(note.text)};
}

VerifyReport verify_ledger(const fs::path& path, const VerifyOptions& options) {
  return Verifier(path, options).run();
}

}  // namespace cleared::ledger
