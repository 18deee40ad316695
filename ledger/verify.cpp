#include "ledger/verify.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <unordered_set>

#include <google/protobuf/arena.h>
#include <openssl/rand.h>

#include "ledger/admission.h"
#include "ledger/attestation.h"
#include "ledger/base/check.h"
#include "ledger/base/clock.h"
#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/base/parallel.h"
#include "ledger/digest.h"
#include "ledger/disclosure.h"
#include "ledger/entries.h"
#include "ledger/licence.h"
#include "ledger/merkle.h"
#include "ledger/notes.pb.h"
#include "ledger/projection.h"
#include "ledger/raw_index.h"
#include "ledger/raw_table.h"
#include "ledger/schema.h"
#include "ledger/sqlite.h"
#include "ledger/state_map.h"
#include "ledger/store.h"
#include "ledger/textproto.h"
#include "ledger/tree.h"

namespace cleared::ledger {
namespace fs = std::filesystem;
namespace {

constexpr size_t kMaxFindings = 1000;
constexpr uint64_t kTaskBundles = 16;
constexpr uint64_t kTaskChunks = 16;
constexpr uint64_t kLeavesPerTile = kBundleRecords;

// A value as a person would read it.
std::string shown(const Cell& cell) {
  constexpr size_t kMost = 60;
  std::string out;
  switch (cell.type) {
    case ValueType::null:
      return "NULL";
    case ValueType::blob:
      out = "x'" + to_hex(as_bytes(cell.bytes.substr(0, kMost))) + "'";
      break;
    case ValueType::text:
      out = "'" + std::string(cell.bytes) + "'";
      break;
    case ValueType::integer:
      out = std::to_string(cell.integer);
      break;
    case ValueType::real: {
      std::ostringstream text;
      text << cell.real;
      out = text.str();
    }
  }
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  }
  return out.size() <= kMost ? out : out.substr(0, kMost) + "...";
}

bool same_value(const Cell& a, const Cell& b) {
  if (a.type != b.type) return false;
  if (a.type == ValueType::integer) return a.integer == b.integer;
  // The log may say -0.0, of which SQLite keeps 0.0; nothing else stands for anything else.
  if (a.type == ValueType::real) {
    return std::bit_cast<uint64_t>(a.real) == std::bit_cast<uint64_t>(b.real + 0.0);
  }
  return a.bytes == b.bytes;
}

std::string record_name(uint64_t seq) {
  return "record " + std::to_string(seq);
}
std::string record_name(int64_t seq) {
  return "record " + std::to_string(seq);
}

// What was found, from any thread.
class Findings {
 public:
  void add(std::string where, std::string what) {
    const std::lock_guard lock(mutex_);
    if (list_.size() < kMaxFindings) list_.push_back({std::move(where), std::move(what)});
  }
  // A record that was changed or fits no more: no word about its rows.
  void doubt(uint64_t seq) {
    const std::lock_guard lock(mutex_);
    doubted_.insert(seq);
  }
  bool is_doubted(int64_t seq) const {
    const std::lock_guard lock(mutex_);
    return seq >= 0 && doubted_.contains(static_cast<uint64_t>(seq));
  }
  bool any_doubt() const {
    const std::lock_guard lock(mutex_);
    return !doubted_.empty();
  }
  size_t count() const {
    const std::lock_guard lock(mutex_);
    return list_.size();
  }
  // Damage that SQLite or a parser notices ends a step, not the verification.
  template <class Step>
  void guarded(const std::string& where, const Step& step) {
    try {
      step();
    } catch (const Error& error) {
      if (error.code() == Errc::busy) throw;  // says nothing about the file
      add(where, error.what());
    }
  }
  std::vector<Finding> take() { return std::move(list_); }

 private:
  mutable std::mutex mutex_;
  std::vector<Finding> list_;
  std::set<uint64_t> doubted_;
};

// Subject keys in 8 bytes that nobody can aim at: a universal hash with a secret of this run.
class KeyPrint {
 public:
  KeyPrint() {
    CLEARED_CHECK(RAND_bytes(reinterpret_cast<unsigned char*>(secret_.data()), sizeof secret_) ==
                  1);
    for (uint64_t& word : secret_) word |= 1;
  }
  uint64_t operator()(const Digest& key) const {
    uint64_t sum = 0;
    for (size_t i = 0; i < 4; ++i) {
      uint64_t word = 0;
      std::copy_n(key.bytes.begin() + static_cast<ptrdiff_t>(8 * i), 8,
                  reinterpret_cast<std::byte*>(&word));
      // High bits of a product depend on all bits of its factors.
      const auto product = static_cast<unsigned __int128>(word) * secret_[i];
      sum += static_cast<uint64_t>(product >> 64) ^ static_cast<uint64_t>(product);
    }
    return sum == 0 ? 1 : sum;
  }

 private:
  std::array<uint64_t, 4> secret_{};
};

// Kinds whose rows follow from the record alone: compared in parallel. All others are rare, or ask
// for the state before them, and are compared in order.
bool is_plain(const Fact& fact) {
  return fact.has_clip() || fact.has_sample() || fact.has_fingerprint() || fact.has_duplicate() ||
         fact.has_refusal();
}
constexpr TableId kPlainTables[] = {TableId::fingerprint, TableId::clip, TableId::duplicate,
                                    TableId::sample, TableId::refusal};
bool is_plain(TableId table) {
  return std::find(std::begin(kPlainTables), std::end(kPlainTables), table) !=
         std::end(kPlainTables);
}

// A table whose b-tree and indexes may be proven without integrity_check, and what is kept for that
// while its rows are compared.
struct PlainTree {
  struct Index {
    std::string name;
    std::vector<size_t> columns;  // places in PlainTree::columns
  };
  std::vector<Index> indexes;
  std::vector<std::pair<size_t, KeptColumn>> columns;  // that an index is over, by their number
  std::atomic<size_t> ranges{0};  // of records whose rows were all found where they lie
  std::atomic<uint64_t> rows{0};  // in them
};

// The stored rows of one table in a range of records, walked beside the expected ones. Where they
// lie in the file when `raw` says so, and from the first row that this does not find as it should
// be, by SQL, which names what is wrong.
class TableCursor {
 public:
  enum class Raw { no, yes };
  TableCursor(const Database& db, TableId table, Findings& findings, Raw raw,
              PlainTree* tree = nullptr)
      : tree_(tree),
        shape_(tables()[static_cast<size_t>(table)]),
        findings_(findings),
        select_(db, "SELECT * FROM \"" + std::string(shape_.name) +
                        "\" WHERE seq >= ? AND seq <= ? ORDER BY seq" +
                        (shape_.many ? ", 2" : "")) {
    if (raw == Raw::yes && !shape_.many) raw_.emplace(db, shape_.name);
  }

  void begin(int64_t first, int64_t last) {
    next_ = first;
    last_ = last;
    rows_ = 0;
    use_sql_ = false;
    has_row_ = false;
    kept_ = tree_ != nullptr;
    raw_ ? raw_->begin(first, last) : use_sql();
  }

  // `check` says whether the stored value of a column that refers to a record is right.
  template <class Check>
  void expect(std::span<const RowCell> cells, const Check& check) {
    ++rows_;
    if (!use_sql_ && take_raw(cells, check)) return;
    use_sql();
    while (has_row_ && before(cells)) {
      extra();
      advance();
    }
    if (!has_row_ || after(cells)) {
      findings_.add(where(cells[0].integer),
                    "the row of this record is missing" +
                        (shape_.many ? ": " + shown(cells[1]) : std::string()));
      return;
    }
    for (size_t i = shape_.many ? 2 : 1; i < cells.size(); ++i) {
      const Cell stored = select_.cell(static_cast<int>(i));
      if (cells[i].refers == RowCell::Refers::no) {
        if (same_value(stored, cells[i])) continue;
        changed(cells[0].integer, i, shown(stored), shown(cells[i]));
      } else if (stored.type != ValueType::integer) {
        changed(cells[0].integer, i, shown(stored), "the number of a record");
      } else {
        check(cells[i], stored.integer, static_cast<int>(i));
      }
    }
    advance();
  }

  void finish() {
    if (!use_sql_ && raw_->at_end()) {
      if (!kept_) return;
      tree_->rows += rows_;
      ++tree_->ranges;
      return;
    }
    for (use_sql(); has_row_; advance()) extra();
  }
  void changed(int64_t seq, size_t column, const std::string& is, const std::string& should) const {
    findings_.add(where(seq) + "." + select_.column_name(static_cast<int>(column)),
                  "is " + is + ", the log says " + should);
  }
  std::string column_name(int column) const { return select_.column_name(column); }
  uint64_t rows() const { return rows_; }

 private:
  void advance() { has_row_ = select_.next(); }
  // Rows before next_ are done with.
  void use_sql() {
    if (use_sql_) return;
    use_sql_ = true;
    select_.with(next_, last_);
    advance();
  }
  template <class Check>
  bool take_raw(std::span<const RowCell> cells, const Check& check) {
    std::array<int64_t, 3> stored{};
    if (!raw_->take(cells, stored)) return false;
    next_ = cells[0].integer + 1;
    size_t at = 0;
    for (size_t i = 1; i < cells.size(); ++i) {
      if (cells[i].refers != RowCell::Refers::no) {
        check(cells[i], stored[at++], static_cast<int>(i));
      }
    }
    if (kept_) keep(cells, stored);
    return true;
  }
  void keep(std::span<const RowCell> cells, std::span<const int64_t> stored) {
    for (auto& [column, values] : tree_->columns) {
      int64_t value = cells[column].integer;
      if (cells[column].refers != RowCell::Refers::no) {
        value = stored[static_cast<size_t>(
            std::count_if(cells.begin(), cells.begin() + static_cast<ptrdiff_t>(column),
                          [](const RowCell& c) { return c.refers != RowCell::Refers::no; }))];
      }
      if (!values.keep(cells[0].integer, value)) kept_ = false;
    }
  }
  bool before(std::span<const RowCell> cells) const {
    if (select_.integer(0) != cells[0].integer) return select_.integer(0) < cells[0].integer;
    return shape_.many && select_.integer(1) < cells[1].integer;
  }
  bool after(std::span<const RowCell> cells) const {
    if (select_.integer(0) != cells[0].integer) return select_.integer(0) > cells[0].integer;
    return shape_.many && select_.integer(1) > cells[1].integer;
  }
  std::string where(int64_t seq) const {
    return record_name(seq) + ", " + std::string(shape_.name);
  }
  void extra() {
    const int64_t seq = select_.integer(0);
    if (findings_.is_doubted(seq)) return;
    findings_.add(where(seq), "a row that no record makes" +
                                  (shape_.many ? ": " + shown(select_.cell(1)) : std::string()));
  }

  PlainTree* tree_;
  const TableShape& shape_;
  Findings& findings_;
  Statement select_;
  std::optional<RawTable> raw_;
  int64_t next_ = 0;
  int64_t last_ = 0;
  bool use_sql_ = false;
  bool has_row_ = false;
  bool kept_ = false;  // so far, in this range, what the tree asks for
  uint64_t rows_ = 0;  // in this range
};
using PlainTrees = std::map<TableId, PlainTree>;

// A reference of a stored row that is judged when all records have been seen.
struct Reference {
  uint64_t seq;
  int64_t stored;
  uint64_t print;
  bool first_of_equals;
  TableId table;
  int column;
};

// What one thread needs of its own.
struct Context {
  Context(Database reading, Findings& findings, TableCursor::Raw raw, PlainTrees& trees)
      : db(std::move(reading)),
        bundles(db, "SELECT entries FROM bundle WHERE number = ?"),
        leaves(db, "SELECT bytes FROM leaf WHERE seq = ?"),
        tiles(db, "SELECT digests FROM node WHERE level = 0 AND tile = ?") {
    for (const TableId table : kPlainTables) {
      const auto tree = trees.find(table);
      cursors.emplace_back(db, table, findings, raw, tree == trees.end() ? nullptr : &tree->second);
    }
  }
  Database db;
  Statement bundles, leaves, tiles;
  std::vector<TableCursor> cursors;  // of kPlainTables
};

// A connection that goes on seeing the file as it is now.
Database reading(const fs::path& path) {
  Database db = Database::open(path, Access::read);
  db.exec("BEGIN");
  db.integer("SELECT COUNT(*) FROM sqlite_schema");
  return db;
}

// Contexts for as many threads as ask at once.
class Contexts {
 public:
  Contexts(const fs::path& path, Findings& findings) : path_(path), findings_(findings) {}
  // Before the first take(): tables may be read where they lie.
  void set_raw() { raw_ = TableCursor::Raw::yes; }
  bool raw() const { return raw_ == TableCursor::Raw::yes; }
  // Likewise: those whose trees may be proven so.
  PlainTrees& trees() { return trees_; }
  // Connections for all threads there can be, before the first take(); instead of those before.
  void connect() {
    connections_.clear();
    for (size_t i = 0; i < core_count(); ++i) connections_.push_back(reading(path_));
  }
  // Goes back when it is let go of: a thread that found none would open a connection that sees a
  // later moment.
  struct Return {
    Contexts* contexts;
    void operator()(Context* context) const { contexts->put(std::unique_ptr<Context>(context)); }
  };
  using Borrowed = std::unique_ptr<Context, Return>;
  Borrowed take() { return Borrowed(take_free().release(), Return{this}); }

 private:
  std::unique_ptr<Context> take_free() {
    std::optional<Database> db;
    {
      const std::lock_guard lock(mutex_);
      if (!free_.empty()) {
        auto context = std::move(free_.back());
        free_.pop_back();
        return context;
      }
      if (!connections_.empty()) {
        db.emplace(std::move(connections_.back()));
        connections_.pop_back();
      }
    }
    return std::make_unique<Context>(db ? std::move(*db) : reading(path_), findings_, raw_, trees_);
  }
  void put(std::unique_ptr<Context> context) {
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(context));
  }

  const fs::path& path_;
  Findings& findings_;
  TableCursor::Raw raw_ = TableCursor::Raw::no;
  PlainTrees trees_;
  std::mutex mutex_;
  std::vector<Database> connections_;
  std::vector<std::unique_ptr<Context>> free_;
};

// What the records [begin, end) say, found by one task.
struct TaskResult {
  std::vector<Digest> tile_roots;  // of full tiles
  std::string last_tile;           // digests of the tile that is not full
  std::vector<uint64_t> in_order;  // records that are not plain
  std::vector<MapEntry> also;      // further keys of records
  std::vector<MapEntry> pending;   // keys of records that no run of the map holds yet
  std::vector<Reference> references;
  std::vector<std::pair<uint64_t, uint64_t>> moments;  // record, time: where the second changes
  uint64_t last_at_us = 0;
  std::vector<std::pair<uint64_t, std::string>> series;  // record, source: where one begins
  ClipSeries newest;
  uint64_t subjects = 0;
  uint64_t rows = 0;
};

class PlainSink : public RowSink {
 public:
  PlainSink(Context& context, TaskResult& result, const KeyPrint& print)
      : context_(context), result_(result), print_(print) {}
  void row(TableId table, std::span<const RowCell> cells) override {
    const auto seq = static_cast<uint64_t>(cells[0].integer);
    TableCursor& cursor = context_.cursors[static_cast<size_t>(
        std::find(std::begin(kPlainTables), std::end(kPlainTables), table) -
        std::begin(kPlainTables))];
    cursor.expect(cells, [&](const RowCell& cell, int64_t stored, int column) {
      // Neighbours refer to the same source again and again: the first of them says it all.
      if (cell.refers == RowCell::Refers::one && *cell.subject == last_subject_ &&
          stored == last_stored_) {
        return;
      }
      if (cell.refers == RowCell::Refers::one) {
        last_subject_ = *cell.subject;
        last_stored_ = stored;
      }
      result_.references.push_back({seq, stored, print_(*cell.subject),
                                    cell.refers == RowCell::Refers::first_of_equals, table,
                                    column});
    });
  }

 private:
  Context& context_;
  TaskResult& result_;
  const KeyPrint& print_;
  Digest last_subject_;
  int64_t last_stored_ = -1;
};

class Verifier {
 public:
  Verifier(const fs::path& path, const VerifyOptions& options)
      : path_(path),
        options_(options),
        db_(Database::open(path, Access::read)),
        contexts_(path, findings_) {}

  VerifyReport run() {
    // Before the file: the head that is published later may be about records that we do not see.
    std::optional<Anchor> published;
    findings_.guarded("published head", [&] {
      if (fs::exists(head_path(path_))) published = read_anchor(head_path(path_));
    });
    check_header();
    findings_.guarded("file", [&] { hold_one_moment(); });
    check_schema();
    findings_.guarded("log", [&] { read_log(); });
    findings_.guarded("node", [&] { check_nodes(); });
    findings_.guarded("map", [&] { check_map(); });
    findings_.guarded("log", [&] { check_equals(); });
    findings_.guarded("log", [&] { check_series(); });
    check_references();
    findings_.guarded("log", [&] { check_in_order(); });
    check_heads();
    if (published) check_anchor(*published);
    check_documents();
    if (options_.deep) findings_.guarded("state", [&] { check_states(); });
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

  // Every row of every table is read below, in order. What is left is whether a search finds the
  // same rows: through the indexes, and down the tree of a table, whose inner pages hold numbers
  // that are not those of rows. SQLite says so, but for the tables that are proven without it.
  std::vector<std::string> tree_checks() {
    if (options_.deep) return {"integrity_check(20)"};
    std::vector<std::string> checks;
    findings_.guarded("file", [&] {
      std::set<std::string, std::less<>> later;
      for (const auto& [table, tree] : contexts_.trees()) {
        later.emplace(tables()[static_cast<size_t>(table)].name);
      }
      Statement names(db_, "SELECT name FROM sqlite_schema WHERE type = 'table'");
      while (names.next()) {
        if (!later.contains(names.view(0))) checks.push_back(tree_check(names.text(0)));
      }
    });
    return checks;
  }
  static std::string tree_check(std::string_view table) {
    return "integrity_check(" + quoted(std::string(table)) + ")";
  }

  // The tables that can be proven where they lie: all indexes whole and over integers. Fingerprints
  // hardly ever are: their lists need overflow pages.
  void plan_trees() {
    if (options_.deep || !contexts_.raw()) return;
    for (const TableId table : {TableId::clip, TableId::sample, TableId::refusal}) {
      try {
        plan_tree(table);
      } catch (const Error&) {  // integrity_check says what it is
        contexts_.trees().erase(table);
      }
    }
  }
  void plan_tree(TableId table) {
    const std::string name(tables()[static_cast<size_t>(table)].name);
    if (db_.integer("SELECT EXISTS(SELECT 1 FROM \"" + name + "\")") == 0) return;
    PlainTree& tree = contexts_.trees()[table];
    Statement indexes(db_, "SELECT name, partial FROM pragma_index_list(?)");
    indexes.with(name);
    bool good = true;
    while (indexes.next()) {
      good = good && indexes.integer(1) == 0 && plan_index(table, indexes.text(0), tree);
    }
    if (!good) contexts_.trees().erase(table);
  }
  bool plan_index(TableId table, const std::string& name, PlainTree& tree) {
    PlainTree::Index index{name, {}};
    Statement columns(db_,
                      "SELECT i.cid, t.type FROM pragma_index_info(?) i "
                      "JOIN pragma_table_info(?) t ON t.cid = i.cid ORDER BY i.seqno");
    columns.with(name, tables()[static_cast<size_t>(table)].name);
    while (columns.next()) {
      if (columns.text(1) != "INTEGER") return false;
      const auto column = static_cast<size_t>(columns.integer(0));
      size_t at = 0;
      while (at < tree.columns.size() && tree.columns[at].first != column) ++at;
      if (at == tree.columns.size()) tree.columns.emplace_back(column, KeptColumn(report_.records));
      index.columns.push_back(at);
    }
    tree.indexes.push_back(std::move(index));
    return true;
  }

  // After the log was read in so many ranges: the trees of the planned tables.
  void check_planned_trees(size_t ranges) {
    std::vector<std::string> checks;
    for (const auto& [table, tree] : contexts_.trees()) {
      if (!proves_tree(table, tree, ranges)) {
        checks.push_back(tree_check(tables()[static_cast<size_t>(table)].name));
      }
    }
    parallel_for(checks.size(), [&](size_t i) { check_tree(checks[i]); });
  }

  // No is no finding: integrity_check then decides.
  bool proves_tree(TableId table, const PlainTree& tree, size_t ranges) try {
    if (tree.ranges != ranges) return false;
    const auto indexes = planned_indexes(table, tree);
    return indexes && std::all_of(indexes->begin(), indexes->end(), [&](const RawIndex& index) {
             return count_entries(index) == tree.rows;
           });
  } catch (const Error&) {
    return false;
  }
  // Nothing unless no page of the table and its indexes is used twice.
  std::optional<std::vector<RawIndex>> planned_indexes(TableId table, const PlainTree& tree) {
    const auto context = contexts_.take();
    const RawPages pages(context->db);
    std::vector<RawIndex> indexes;
    std::vector<uint32_t> used =
        RawTable(context->db, tables()[static_cast<size_t>(table)].name).pages();
    for (const PlainTree::Index& index : tree.indexes) {
      std::vector<const KeptColumn*> columns;
      for (const size_t column : index.columns) columns.push_back(&tree.columns[column].second);
      const RawIndex& made = indexes.emplace_back(pages, index.name, std::move(columns));
      if (!made.usable()) return std::nullopt;
      used.insert(used.end(), made.pages().begin(), made.pages().end());
    }
    std::sort(used.begin(), used.end());
    if (std::adjacent_find(used.begin(), used.end()) != used.end()) return std::nullopt;
    return indexes;
  }
  // Nothing when one of them is not as it should be.
  std::optional<uint64_t> count_entries(const RawIndex& index) {
    constexpr size_t kTaskLeaves = 128;
    std::atomic<uint64_t> entries{index.inner_entries()};
    std::atomic<bool> good{true};
    parallel_for((index.leaves() + kTaskLeaves - 1) / kTaskLeaves, [&](size_t task) {
      const auto context = contexts_.take();
      uint64_t count = 0;
      if (!index.check(RawPages(context->db), task * kTaskLeaves,
                       std::min((task + 1) * kTaskLeaves, index.leaves()), count)) {
        good = false;
      }
      entries += count;
    });
    return good ? std::optional(entries.load()) : std::nullopt;
  }

  void check_tree(const std::string& check) {
    findings_.guarded("file", [&] {
      const auto context = contexts_.take();
      Statement lines(context->db, "PRAGMA " + check);
      while (lines.next()) {
        if (lines.text(0) != "ok") found("file", lines.text(0));
      }
    });
  }
  static std::string quoted(const std::string& name) {
    std::string out = "'";
    for (const char c : name) out += c == '\'' ? "''" : std::string(1, c);
    return out + "'";
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
      fresh.exec(std::string(kLogSchema) + std::string(kProjectionSchema) +
                 std::string(kVersion4Schema) + std::string(kTodayView) + std::string(kViews));
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

  // The log, a range of bundles a task: leaves hashed, records parsed, rows of plain kinds
  // compared. Beside it the trees, the longest task first.
  void read_log() {
    const uint64_t bundles = end_of("bundle", "number", 0);
    report_.records =
        std::max(bundles * kLeavesPerTile, end_of("leaf", "seq", bundles * kLeavesPerTile));
    if (report_.records == 0) found("log", "is empty");
    mapped_ = static_cast<uint64_t>(db_.integer("SELECT COALESCE(MAX(run) + 1, 0) FROM map_run"));
    prints_.assign(report_.records, 0);
    const uint64_t all = (report_.records + kLeavesPerTile - 1) / kLeavesPerTile;
    const size_t tasks = std::max<uint64_t>(1, (all + kTaskBundles - 1) / kTaskBundles);
    std::vector<TaskResult> results(tasks);
    plan_trees();
    const std::vector<std::string> checks = tree_checks();
    parallel_for(checks.size() + tasks, [&](size_t i) {
      if (i < checks.size()) return check_tree(checks[i]);
      const size_t task = i - checks.size();
      const auto context = contexts_.take();
      findings_.guarded("log", [&] {
        const uint64_t first = task * kTaskBundles;
        const uint64_t end = std::min(first + kTaskBundles, all);
        for (TableCursor& cursor : context->cursors) {
          cursor.begin(
              task == 0 ? INT64_MIN : static_cast<int64_t>(first * kLeavesPerTile),
              task + 1 == tasks ? INT64_MAX : static_cast<int64_t>(end * kLeavesPerTile) - 1);
        }
        PlainSink sink(*context, results[task], print_);
        for (uint64_t number = first; number < end; ++number) {
          read_bundle(*context, number, number < bundles, sink, results[task]);
        }
        for (TableCursor& cursor : context->cursors) {
          cursor.finish();
          results[task].rows += cursor.rows();
        }
      });
    });
    check_planned_trees(tasks);
    merge(std::move(results));
    Statement stray(db_, "SELECT seq FROM leaf WHERE seq < ? LIMIT 20");
    stray.with(bundles * kLeavesPerTile);
    while (stray.next()) {
      found(record_name(stray.integer(0)) + ", leaf", "does not belong to the log");
    }
    Statement early(db_, "SELECT number FROM bundle WHERE number < 0 LIMIT 20");
    while (early.next()) found("bundle " + early.text(0), "does not belong to the log");
  }

  // One more than the greatest number in a table whose numbers rise by one from `first`. Numbers
  // far beyond what its rows can be are findings, and not counted up to.
  uint64_t end_of(const std::string& table, const std::string& column, uint64_t first) {
    constexpr uint64_t kSlack = 4096;
    const auto rows = static_cast<uint64_t>(db_.integer("SELECT COUNT(*) FROM " + table));
    const uint64_t bound = first + 2 * rows + kSlack;
    Statement beyond(db_, "SELECT " + column + " FROM " + table + " WHERE " + column + " >= ?");
    beyond.with(bound);
    for (int i = 0; i < 20 && beyond.next(); ++i) {
      found((table == "leaf" ? record_name(beyond.integer(0)) + ", leaf"
                             : "bundle " + beyond.text(0)),
            "does not belong to the log");
    }
    Statement last(db_, "SELECT MAX(" + column + ") FROM " + table + " WHERE " + column + " < ?");
    last.with(bound);
    return last.next() && last.type(0) != ValueType::null && last.integer(0) >= 0
               ? last.unsigned_integer(0) + 1
               : 0;
  }

  void read_bundle(Context& context, uint64_t number, bool full, PlainSink& sink,
                   TaskResult& result) {
    const uint64_t begin = number * kLeavesPerTile;
    const uint64_t end = std::min(begin + kLeavesPerTile, report_.records);
    std::string_view bundle;
    std::vector<std::string_view> records;
    std::vector<std::string> kept;
    bool missing = false;
    if (full) {
      if (!context.bundles.with(number).next()) {
        found(record_name(begin),
              "is missing from the log, with its bundle " + std::to_string(number));
        missing = true;
      } else {
        const std::string where = "record " + std::to_string(begin) + " to " +
                                  std::to_string(end - 1) + ", bundle.entries";
        findings_.guarded(where, [&] {
          records = split_bundle(context.bundles.view(0), "bundle " + std::to_string(number));
        });
        if (records.size() != end - begin) {
          found(where, "hold " + std::to_string(records.size()) + " records and not 256");
        }
      }
    } else {
      for (uint64_t seq = begin; seq < end; ++seq) {
        if (!context.leaves.with(seq).next()) {
          found(record_name(seq), "is missing from the log");
          missing = true;
          break;
        }
        kept.push_back(context.leaves.text(0));
      }
      records.assign(kept.begin(), kept.end());
    }
    if (missing) complete_ = false;
    std::string tile;
    if (context.tiles.with(number).next()) tile = context.tiles.text(0);
    std::vector<Digest> digests(end - begin);
    records.resize(std::min<size_t>(records.size(), end - begin));
    const ReadBundle read(records);
    // One arena a bundle: its messages are freed together.
    alignas(16) thread_local std::array<char, 1 << 18> block;
    google::protobuf::ArenaOptions arena_options;
    arena_options.initial_block = block.data();
    arena_options.initial_block_size = block.size();
    google::protobuf::Arena arena(arena_options);
    for (uint64_t seq = begin; seq < end; ++seq) {
      const size_t at = seq - begin;
      const std::string_view in_tree =
          std::string_view(tile).substr(std::min(tile.size(), 32 * at), 32);
      digests[at] = digest_from_raw(in_tree).value_or(Digest{});
      if (at >= records.size()) {
        findings_.doubt(seq);
        continue;
      }
      const Digest& leaf = read.leaves[at];
      if (leaf.text() != in_tree) {
        found(record_name(seq) + (full ? ", bundle.entries" : ", leaf.bytes"),
              "give the digest " + to_hex(leaf) + ", node.digests has " +
                  (in_tree.empty() ? "none" : to_hex(as_bytes(in_tree))) +
                  ": one of the two was changed");
        findings_.doubt(seq);
        if (in_tree.size() != 32) digests[at] = leaf;
        continue;
      }
      read_guarded(seq, [&] { read_record(seq, records[at], read, at, arena, sink, result); });
    }
    if (tile.size() > 32 * digests.size()) {
      found("node level 0, tile " + std::to_string(number) + ", node.digests",
            "holds more than the log");
    }
    if (digests.size() == kLeavesPerTile) {
      result.tile_roots.push_back(root_digest(digests));
    } else {
      for (const Digest& digest : digests) result.last_tile += digest.text();
    }
  }
  // The name of the record is made when there is something to say.
  template <class Read>
  void read_guarded(uint64_t seq, const Read& read) {
    try {
      read();
    } catch (const Error& error) {
      if (error.code() == Errc::busy) throw;
      findings_.doubt(seq);
      found(record_name(seq), error.what());
    }
  }

  // What is hashed of the records of a bundle together: themselves, and what those are about that
  // are clips.
  struct ReadBundle {
    explicit ReadBundle(std::span<const std::string_view> records)
        : leaves(records.size()), clip(records.size(), kNone), parts(records.size()) {
      std::vector<ByteView> bytes;
      bytes.reserve(records.size());
      clips.reserve(records.size());
      for (size_t i = 0; i < records.size(); ++i) {
        bytes.push_back(as_bytes(records[i]));
        parts[i] = parts_of(records[i]);
        if (const auto view = view_clip(parts[i].fact)) {
          clip[i] = clips.size();
          clips.push_back(*view);
        }
      }
      leaf_digests(bytes, leaves);
      keys.resize(clips.size());
      clip_keys(clips, keys);
    }
    // Nothing when it is not in its form, for which it is found wanting later.
    static RecordView parts_of(std::string_view record) try {
      return parse_record(record);
    } catch (const Error&) {
      return {};
    }
    static constexpr size_t kNone = SIZE_MAX;
    std::vector<Digest> leaves;
    std::vector<size_t> clip;  // which of the clips a record is
    std::vector<RecordView> parts;
    std::vector<ClipView> clips;
    std::vector<Digest> keys;
  };

  void read_record(uint64_t seq, std::string_view bytes, const ReadBundle& read, size_t at,
                   google::protobuf::Arena& arena, PlainSink& sink, TaskResult& result) {
    const bool is_clip = read.clip[at] != ReadBundle::kNone;
    const RecordView record = is_clip ? read.parts[at] : parse_record(bytes);
    if (record.at_us < result.last_at_us) {
      throw Error(Errc::corrupt, "its time is before that of the record before it");
    }
    if (result.moments.empty() || record.at_us / 1'000'000 != result.last_at_us / 1'000'000) {
      result.moments.emplace_back(seq, record.at_us);
    }
    result.last_at_us = record.at_us;
    if (is_clip) {
      const Digest& key = read.keys[read.clip[at]];
      prints_[seq] = print_(key);
      ++result.subjects;
      if (seq >= mapped_) result.pending.push_back({key, seq});
      const ClipView& clip = read.clips[read.clip[at]];
      if (result.newest.begins(clip.source)) result.series.emplace_back(seq, clip.source);
      return clip_row(seq, clip, sink);
    }
    const Fact& fact = parse_fact(record.fact, arena);
    if (result.newest.begins(fact)) result.series.emplace_back(seq, fact.clip().source());
    const auto subject = subject_of(fact);
    if (subject) {
      prints_[seq] = print_(subject->key);
      result.subjects += 1 + subject->also.size();
      for (const Digest& key : subject->also) result.also.push_back({key, seq});
      if (seq >= mapped_) {
        result.pending.push_back({subject->key, seq});
        for (const Digest& key : subject->also) result.pending.push_back({key, seq});
      }
    }
    if (is_plain(fact)) {
      rows_of(seq, fact, nobody_, sink);
    } else {
      result.in_order.push_back(seq);
    }
  }

  // Clips and samples are nearly all of a ledger: those of a thread take turns in one message,
  // whose strings keep their memory. Valid until the next call.
  static const Fact& parse_fact(std::string_view bytes, google::protobuf::Arena& arena) {
    thread_local Fact clip;
    thread_local Fact sample;
    Fact* fact = nullptr;
    google::protobuf::MessageLite* inside = nullptr;
    const auto in_clip = only_field(bytes, Fact::kClipFieldNumber);
    const auto in_sample = only_field(bytes, Fact::kSampleFieldNumber);
    if (in_clip) {
      bytes = *in_clip;
      inside = clip.mutable_clip();
      fact = &clip;
    } else if (in_sample) {
      bytes = *in_sample;
      inside = sample.mutable_sample();
      fact = &sample;
    } else {
      inside = fact = google::protobuf::Arena::CreateMessage<Fact>(&arena);
    }
    if (!inside->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
      throw Error(Errc::corrupt, "does not parse");
    }
    return *fact;
  }
  // What is in field `number`, when the message is that field and nothing else. Lengths above 14
  // bits are left to protobuf.
  static std::optional<std::string_view> only_field(std::string_view bytes, int number) {
    const auto at = [&](size_t i) { return static_cast<unsigned char>(bytes[i]); };
    if (bytes.size() < 3 || at(0) != (number << 3 | 2)) return std::nullopt;
    const size_t prefix = at(1) < 0x80 ? 2 : 3;
    const size_t size = at(1) < 0x80 ? at(1) : (size_t{at(1)} & 0x7F) | size_t{at(2)} << 7;
    if (prefix == 3 && at(2) >= 0x80) return std::nullopt;
    return size == bytes.size() - prefix ? std::optional(bytes.substr(prefix)) : std::nullopt;
  }

  static Digest root_of(std::string_view digests) {
    std::vector<Digest> leaves;
    for (; !digests.empty(); digests.remove_prefix(32)) {
      leaves.push_back(*digest_from_raw(digests.substr(0, 32)));
    }
    return root_digest(leaves);
  }

  void merge(std::vector<TaskResult> results) {
    uint64_t last_at_us = 0;
    std::string source;  // of the last clip of the task before, when it ends with one
    for (size_t task = 0; task < results.size(); ++task) {
      TaskResult& result = results[task];
      for (auto& [seq, of] : result.series) {
        const bool goes_on = seq == task * kTaskBundles * kLeavesPerTile && of == source;
        if (!goes_on) series_.emplace_back(seq, std::move(of));
      }
      source = result.newest.source();
      tile_roots_.insert(tile_roots_.end(), result.tile_roots.begin(), result.tile_roots.end());
      last_tile_ += result.last_tile;
      in_order_.insert(in_order_.end(), result.in_order.begin(), result.in_order.end());
      for (const MapEntry& entry : result.also) also_.emplace(entry.seq, print_(entry.key));
      pending_.insert(pending_.end(), result.pending.begin(), result.pending.end());
      references_.insert(references_.end(), result.references.begin(), result.references.end());
      subjects_ += result.subjects;
      report_.rows += result.rows;
      for (const auto& [seq, at_us] : result.moments) {
        if (at_us < last_at_us) {
          found(record_name(seq), "its time is before that of the record before it");
        }
        if (moments_.empty() || at_us / 1'000'000 != last_at_us / 1'000'000) {
          moments_.emplace_back(seq, at_us);
        }
        last_at_us = at_us;
      }
      last_at_us = std::max(last_at_us, result.last_at_us);
    }
  }

  // The tree over the records, compared tile by tile.
  void check_nodes() {
    std::vector<Digest> digests;  // of this level, complete subtrees
    for (const Digest& root : tile_roots_) digests.push_back(root);
    std::map<std::pair<uint64_t, uint64_t>, std::string> expected;
    for (uint64_t tile = 0; tile < tile_roots_.size(); ++tile) expected[{0, tile}];
    if (!last_tile_.empty()) expected[{0, tile_roots_.size()}];
    for (uint64_t level = 1; !digests.empty(); ++level) {
      std::vector<Digest> above;
      for (size_t i = 0; i < digests.size(); i += kLeavesPerTile) {
        const auto part =
            std::span(digests).subspan(i, std::min(kLeavesPerTile, digests.size() - i));
        std::string& tile = expected[{level, i / kLeavesPerTile}];
        for (const Digest& digest : part) tile += digest.text();
        if (part.size() == kLeavesPerTile) above.push_back(root_digest(part));
      }
      digests = std::move(above);
    }
    Statement stored(db_, "SELECT level, tile, length(digests), digests FROM node ORDER BY 1, 2");
    while (stored.next()) {
      const std::pair<uint64_t, uint64_t> place{stored.unsigned_integer(0),
                                                stored.unsigned_integer(1)};
      const std::string where = "node level " + std::to_string(stored.integer(0)) + ", tile " +
                                std::to_string(stored.integer(1)) + ", node.digests";
      const auto at = expected.find(place);
      if (at == expected.end()) {
        found(where, "does not belong to the tree");
        continue;
      }
      if (place.first > 0 && stored.view(3) != at->second) {
        found(where, "is not what the records give");
      }
      expected.erase(at);
    }
    for (const auto& [place, digests_of] : expected) {
      found("node level " + std::to_string(place.first) + ", tile " + std::to_string(place.second) +
                ", node.digests",
            "is missing");
    }
  }

  // The root of the first `size` records, from the leaves as they were read.
  Digest root(uint64_t size) {
    RootBuilder out;
    std::vector<Digest> leaves;
    const uint64_t full = size / kLeavesPerTile;
    // A complete tile is a complete subtree, so it can stand for its leaves.
    RootBuilder tiles;
    if (size % kLeavesPerTile == 0) {
      for (uint64_t i = 0; i < full; ++i) tiles.add(tile_roots_[i]);
      return tiles.root();
    }
    std::string rest = last_tile_;
    if (full < tile_roots_.size()) {
      Statement tile(db_, "SELECT digests FROM node WHERE level = 0 AND tile = ?");
      rest = tile.with(full).next() ? tile.text(0) : std::string();
    }
    if (rest.size() < size % kLeavesPerTile * 32) {
      throw Error(Errc::corrupt, "the tree is cut short");
    }
    rest.resize(size % kLeavesPerTile * 32);
    std::vector<Digest> nodes(tile_roots_.begin(),
                              tile_roots_.begin() + static_cast<ptrdiff_t>(full));
    nodes.push_back(root_of(rest));
    return root_digest(nodes);
  }

  // The map: every entry is the subject of its record, in order, under the root of its run.
  void check_map() {
    if (!complete_) return;
    const StateMap map(db_);
    std::atomic<uint64_t> entries{0};
    for (const StateMap::Run& run : map.runs()) entries += check_run(run);
    if (entries + pending_.size() != subjects_ && !findings_.any_doubt()) {
      found("map_chunk", "hold " + std::to_string(entries) + " entries, the log makes " +
                             std::to_string(subjects_ - pending_.size()));
    }
    Statement chunks(db_, "SELECT run, COUNT(*) FROM map_chunk GROUP BY run");
    while (chunks.next()) {
      const std::string where = "map run " + chunks.text(0) + ", map_chunk";
      const auto run = std::find_if(map.runs().begin(), map.runs().end(), [&](const auto& r) {
        return r.run == chunks.unsigned_integer(0);
      });
      if (run == map.runs().end()) {
        found(where, "belongs to no run");
      } else if (chunks.unsigned_integer(1) != run->directory.size() / 64) {
        found(where, "has " + chunks.text(1) + " chunks, its directory another number");
      }
    }
    newest_runs_ = map.runs();
  }

  uint64_t check_run(const StateMap::Run& run) {
    const std::string where = "map run " + std::to_string(run.run);
    const uint64_t chunks = run.directory.size() / 64;
    std::vector<Digest> roots(chunks);
    std::vector<uint64_t> filter(run.filter.size() / 8, 0);
    std::atomic<uint64_t> entries{0};
    parallel_for((chunks + kTaskChunks - 1) / kTaskChunks, [&](size_t task) {
      const auto context = contexts_.take();
      findings_.guarded(where, [&] {
        Statement select(context->db, "SELECT entries FROM map_chunk WHERE run = ? AND chunk = ?");
        for (uint64_t chunk = task * kTaskChunks;
             chunk < std::min((task + 1) * kTaskChunks, chunks); ++chunk) {
          if (!select.with(run.run, chunk).next()) {
            throw Error(Errc::corrupt, "chunk ", chunk, " is missing");
          }
          const auto list = parse_chunk(select.view(0), "chunk " + std::to_string(chunk));
          const std::string_view next =
              chunk + 1 < chunks ? std::string_view(run.directory).substr(64 * (chunk + 1), 32)
                                 : std::string_view();
          Digest high;
          high.bytes.fill(std::byte{0xFF});
          if (!next.empty()) high = *digest_from_raw(next);
          roots[chunk] = chunk_root(list, high);
          if (std::string_view(run.directory).substr(64 * chunk, 32) != list[0].key.text() ||
              std::string_view(run.directory).substr(64 * chunk + 32, 32) != roots[chunk].text()) {
            found(where + ", map_run.directory", "is not that of chunk " + std::to_string(chunk));
          }
          entries += check_entries(where, chunk, list, high, filter);
        }
      });
    });
    if (entries != run.entries) found(where + ", map_run.entries", "is not their number");
    if (root_digest(roots) != run.root) found(where + ", map_run.root", "is not their root");
    RunFilter sized(run.entries);
    if (sized.bytes().size() != run.filter.size() ||
        std::string_view(reinterpret_cast<const char*>(filter.data()), run.filter.size()) !=
            run.filter) {
      found(where + ", map_run.filter", "is not that of its entries");
    }
    return entries;
  }

  // Keys come in an order of their own: what is looked up for one is in no cache.
  static constexpr size_t kAhead = 12;
  void fetch_soon(const MapEntry& entry, const std::vector<uint64_t>& filter) const {
    if (entry.seq < prints_.size()) __builtin_prefetch(&prints_[entry.seq]);
    bool first = true;
    RunFilter::for_each_bit(filter.size() * 64, entry.key, [&](size_t bit) {
      if (first) __builtin_prefetch(&filter[bit / 64], 1);
      first = false;
    });
  }

  uint64_t check_entries(const std::string& where, uint64_t chunk,
                         const std::vector<MapEntry>& list, const Digest& high,
                         std::vector<uint64_t>& filter) {
    uint64_t count = 0;
    for (size_t i = 0; i < list.size(); ++i) {
      if (i + kAhead < list.size()) fetch_soon(list[i + kAhead], filter);
      const MapEntry& entry = list[i];
      const bool first = chunk == 0 && i == 0;
      if (first && entry == MapEntry{Digest{}, kNoRecord}) continue;
      ++count;
      const bool sorted = i == 0 || list[i - 1].key < entry.key ||
                          (list[i - 1].key == entry.key &&
                           (list[i - 1].seq < entry.seq || list[i - 1].seq == kNoRecord));
      const bool below = i + 1 < list.size() || entry.key <= high;
      const uint64_t print = print_(entry.key);
      const bool right = entry.seq < prints_.size() &&
                         (prints_[entry.seq] == print || also_.contains({entry.seq, print}));
      if ((!right && !findings_.is_doubted(static_cast<int64_t>(entry.seq))) || !sorted || !below ||
          first) {
        found(
            where + ", map_chunk.entries",
            "chunk " + std::to_string(chunk) + ", entry " + std::to_string(i) +
                (right ? " is out of order" : " is not the subject of " + record_name(entry.seq)));
      }
      RunFilter::for_each_bit(filter.size() * 64, entry.key, [&](size_t bit) {
        std::atomic_ref<uint64_t> word(filter[bit / 64]);
        const uint64_t mask = uint64_t{1} << bit % 64;
        if ((word.load(std::memory_order_relaxed) & mask) == 0) word.fetch_or(mask);
      });
    }
    return count;
  }

  // Those that meet another one in a table of bits, sixteen a record, are few, and sorted.
  std::unordered_set<uint64_t> prints_given_twice() const {
    const size_t bits = std::bit_ceil(prints_.size() * 16 + 64);
    std::vector<uint64_t> once(bits / 64);
    std::vector<uint64_t> again(bits / 64);
    const auto place = [&](uint64_t print) {  // prints are spread evenly
      const size_t bit = print & (bits - 1);
      return std::pair(bit / 64, uint64_t{1} << bit % 64);
    };
    for (const uint64_t print : prints_) {
      if (print == 0) continue;
      const auto [word, mask] = place(print);
      again[word] |= once[word] & mask;
      once[word] |= mask;
    }
    std::vector<uint64_t> met;
    for (const uint64_t print : prints_) {
      const auto [word, mask] = place(print);
      if (print != 0 && (again[word] & mask) != 0) met.push_back(print);
    }
    std::sort(met.begin(), met.end());
    std::unordered_set<uint64_t> twice;
    for (auto at = met.begin(); (at = std::adjacent_find(at, met.end())) != met.end(); ++at) {
      twice.insert(*at);
    }
    return twice;
  }

  // Records about the same subject: the later ones of a kind that allows one are findings.
  void check_equals() {
    const std::unordered_set<uint64_t> twice = prints_given_twice();
    if (twice.empty()) return;
    std::unordered_set<uint64_t> seen;
    const Entries entries(db_);
    for (uint64_t seq = 0; seq < prints_.size(); ++seq) {
      if (prints_[seq] == 0 || !twice.contains(prints_[seq])) continue;
      if (seen.insert(prints_[seq]).second) continue;
      later_equals_.insert(seq);
      Fact fact;
      const std::string bytes = entries.read(seq);
      const std::string_view in = parse_record(bytes).fact;
      if (fact.ParseFromArray(in.data(), static_cast<int>(in.size())) && subject_of(fact)->unique) {
        found(record_name(seq), "is about the same as a record before it");
      }
    }
  }

  bool refers_rightly(const Reference& r) const {
    if (r.stored < 0 || static_cast<uint64_t>(r.stored) >= prints_.size()) return false;
    const auto stored = static_cast<uint64_t>(r.stored);
    if (!r.first_of_equals) return stored < r.seq && prints_[stored] == r.print;
    return stored <= r.seq && prints_[stored] == r.print && !later_equals_.contains(stored);
  }

  void check_references() {
    for (const Reference& r : references_) {
      if (refers_rightly(r)) continue;
      if (findings_.is_doubted(r.stored) || !complete_) continue;
      const TableCursor cursor(db_, r.table, findings_, TableCursor::Raw::no);
      found(record_name(r.seq) + ", " + std::string(tables()[static_cast<size_t>(r.table)].name) +
                "." + cursor.column_name(r.column),
            "is " + std::to_string(r.stored) + ", the log names another record");
    }
  }

  void check_series() {
    if (!complete_) return;
    struct Sink : RowSink {
      explicit Sink(Verifier& owner)
          : cursor(owner.db_, TableId::clip_series, owner.findings_, TableCursor::Raw::no),
            verifier(owner) {
        cursor.begin(INT64_MIN, INT64_MAX);
      }
      void row(TableId table, std::span<const RowCell> cells) override {
        cursor.expect(cells, [&](const RowCell& cell, int64_t stored, int column) {
          verifier.references_.push_back({static_cast<uint64_t>(cells[0].integer), stored,
                                          verifier.print_(*cell.subject), false, table, column});
        });
      }
      TableCursor cursor;
      Verifier& verifier;
    } sink(*this);
    for (const auto& [seq, source] : series_) clip_series_row(seq, source, sink);
    sink.cursor.finish();
    report_.rows += sink.cursor.rows();
  }

  // Records whose rows depend on those before them, and whether they may be there at all.
  void check_in_order() {
    if (!complete_) return;
    InOrder in_order(*this);
    const Entries entries(db_);
    size_t moment = 0;
    for (const uint64_t seq : in_order_) {
      for (; moment < moments_.size() && moments_[moment].first <= seq; ++moment) {
        in_order.moment(moments_[moment]);
      }
      const std::string bytes = entries.read(seq);
      try {
        in_order.record(seq, parse_record(bytes).fact);
      } catch (const Error& error) {
        // After a changed record others may not fit for that reason alone.
        if (!findings_.any_doubt()) found(record_name(seq), error.what());
        findings_.doubt(seq);
      }
    }
    for (; moment < moments_.size(); ++moment) in_order.moment(moments_[moment]);
    in_order.finish();
    authority_ = in_order.authority();
  }

  class InOrder : public RowSink {
   public:
    explicit InOrder(Verifier& verifier)
        : verifier_(verifier),
          map_(verifier.db_),
          admission_(
              verifier.db_, [this](const Digest& key) { return map_.find(key); }, authority_) {
      for (const MapEntry& entry : verifier.pending_) map_.add(entry.key, entry.seq);
      for (size_t i = 0; i < tables().size(); ++i) {
        const auto table = static_cast<TableId>(i);
        if (is_plain(table) || table == TableId::clip_series) continue;
        cursors_.try_emplace(table, verifier.db_, table, verifier.findings_, TableCursor::Raw::no);
        cursors_.at(table).begin(INT64_MIN, INT64_MAX);
      }
    }

    void moment(const std::pair<uint64_t, uint64_t>& moment) {
      const std::string at = format_time(moment.second);
      const RowCell cells[] = {
          {Cell{ValueType::integer, static_cast<int64_t>(moment.first), 0, {}}},
          {Cell{ValueType::text, 0, 0, at}}};
      cursors_.at(TableId::moment).expect(cells, [](const RowCell&, int64_t, int) {});
    }

    void record(uint64_t seq, std::string_view bytes) {
      Fact fact;
      if (!fact.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
        throw Error(Errc::corrupt, "does not parse");
      }
      rows_of(seq, fact, authority_, *this);
      flush_many();
      if (fact.has_state()) {
        verifier_.newest_state_ = fact.state();
        verifier_.states_.insert(seq);
      }
      if (fact.has_key()) authority_.add(seq, fact.key());
      if (fact.has_policy()) {
        authority_.add(
            seq, parse_noted<PolicyText>(parse_note(fact.policy().note()), "policy").policy());
      }
      admission_.admit(seq, fact);
    }

    void row(TableId table, std::span<const RowCell> cells) override {
      if (tables()[static_cast<size_t>(table)].many) {
        std::vector<RowCell> kept(cells.begin(), cells.end());
        for (RowCell& cell : kept) {  // its bytes are borrowed for this call alone
          if (!cell.bytes.empty()) cell.bytes = texts_.emplace_back(cell.bytes);
        }
        kept[1].integer = static_cast<int64_t>(resolve(kept[1], kept[0].integer));
        kept[1].refers = RowCell::Refers::no;
        many_.emplace_back(table, std::move(kept));
        return;
      }
      TableCursor& cursor = cursors_.at(table);
      cursor.expect(cells, [&](const RowCell& cell, int64_t stored, int column) {
        const uint64_t should = resolve(cell, cells[0].integer);
        if (static_cast<uint64_t>(stored) == should) return;
        cursor.changed(cells[0].integer, static_cast<size_t>(column), std::to_string(stored),
                       std::to_string(should));
      });
    }

    void finish() {
      for (auto& [table, cursor] : cursors_) {
        cursor.finish();
        verifier_.report_.rows += cursor.rows();
      }
    }
    const Authority& authority() const { return authority_; }

   private:
    uint64_t resolve(const RowCell& cell, int64_t seq) const {
      const auto found = map_.find(*cell.subject);
      if (!found.empty() && found.front() < static_cast<uint64_t>(seq)) return found.front();
      if (cell.refers == RowCell::Refers::first_of_equals) return static_cast<uint64_t>(seq);
      throw Error(Errc::corrupt, cell.what, ": what it names is not on record");
    }
    void flush_many() {
      std::sort(many_.begin(), many_.end(), [](const auto& a, const auto& b) {
        return std::pair(a.first, a.second[1].integer) < std::pair(b.first, b.second[1].integer);
      });
      for (const auto& [table, cells] : many_) {
        cursors_.at(table).expect(cells, [](const RowCell&, int64_t, int) {});
      }
      many_.clear();
      texts_.clear();
    }

    Verifier& verifier_;
    StateMap map_;
    Authority authority_;
    Admission admission_;
    std::map<TableId, TableCursor> cursors_;
    std::vector<std::pair<TableId, std::vector<RowCell>>> many_;
    std::deque<std::string> texts_;  // of theirs
  };

  // The state that was logged last is the one that the map in the file has.
  void check_newest_state() {
    if (!complete_ || findings_.any_doubt()) return;
    const auto& runs = newest_runs_;
    bool same = static_cast<size_t>(newest_state_.run_size()) == runs.size();
    for (size_t i = 0; same && i < runs.size(); ++i) {
      const auto& logged = newest_state_.run(static_cast<int>(i));
      same = logged.entries() == runs[i].entries && logged.root() == runs[i].root.text();
    }
    if (!same) found("map_run", "is not the state that the log holds");
    for (const StateMap::Run& run : runs) {
      if (states_.contains(run.run)) continue;
      found("map run " + std::to_string(run.run) + ", map_run.run",
            "is not the number of a record that logged the state");
    }
  }

  // Every state that was ever logged, by making the map again.
  void check_states() {
    if (!complete_) return;
    const Database fresh = Database::in_memory();
    fresh.exec("PRAGMA foreign_keys = OFF;" + std::string(kLogSchema));
    StateMap map(fresh);
    Entries(db_).scan(0, report_.records, [&](uint64_t seq, std::string_view bytes) {
      Fact fact;
      const std::string_view in = parse_record(bytes).fact;
      if (!fact.ParseFromArray(in.data(), static_cast<int>(in.size()))) return;
      if (const auto subject = subject_of(fact)) {
        map.add(subject->key, seq);
        for (const Digest& key : subject->also) map.add(key, seq);
      }
      if (fact.has_state() &&
          map.flush(seq, seq).SerializeAsString() != fact.state().SerializeAsString()) {
        found(record_name(seq) + ", state", "is not the state of the records before it");
      }
    });
  }

  void check_heads() {
    findings_.guarded("tree_head", [&] {
      check_newest_state();
      if (!complete_ || report_.records == 0) return;
      report_.root = root(report_.records);
      const auto& keys = authority_.keys();
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
        const Digest expected = root(size);
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
    const auto keys = authority_.keys_of("log", report_.records);
    const bool trusted = std::any_of(keys.begin(), keys.end(), [&](const VerifierKey& key) {
      return std::any_of(options_.log_keys.begin(), options_.log_keys.end(),
                         [&](const PublicKey& t) { return t.role == "log" && t.key == key; });
    });
    if (trusted) return;
    for (const KnownKey& known : authority_.keys()) {
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
      if (!signed_by_any(note, authority_.keys_of("log", size))) {
        found(where, "is not signed by a key that the log had then");
      }
      if (head.origin != authority_.keys()[0].key.name) found(where, "names another origin");
      if (head.size != size || head.root != root) found(where, "is about another tree");
    });
    return findings_.count() == before;
  }

  // Documents, and that both parties of each had signed it when it was taken.
  void check_documents() {
    findings_.guarded("document", [&] {
      Statement documents(
          db_,
          "SELECT d.digest, d.salt, d.note, l.seq, l.ref, l.licensor, l.licensee, l.fields_root, "
          "l.seq IN (SELECT licence FROM erasure) FROM document d "
          "LEFT JOIN licence l ON l.document_digest = d.digest ORDER BY d.digest");
      while (documents.next()) {
        const std::string digest = documents.text(0);
        if (documents.type(3) == ValueType::null) {
          if (!findings_.any_doubt()) found("document " + digest, "belongs to no licence");
          continue;
        }
        const uint64_t seq = documents.unsigned_integer(3);
        const std::string where = record_name(seq) + " (" + documents.text(4) + "), document.";
        if (to_hex(document_digest(documents.text(1), documents.text(2))) != digest) {
          found(where + "note or document.salt",
                "were changed: they do not give the digest on record");
          continue;
        }
        findings_.guarded(where + "note", [&] {
          const Note note = parse_note(documents.text(2));
          authority_.require(note, "licensor", documents.text(5), seq, "it");
          authority_.require(note, "licensee", documents.text(6), seq, "it");
          const LicenceText terms = parse_licence(note.text, "it", LicenceAge::recorded);
          if (to_hex(fields_root(documents.text(1), terms)) != documents.text(7)) {
            found(record_name(seq) + " (" + documents.text(4) + "), licence.fields_root",
                  "is not the root over the fields of its document");
          }
        });
        if (documents.integer(8) != 0) {
          found(where + "note", "is still there, and its erasure is on record");
        }
      }
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

  void check_anchor(const Anchor& anchor) {
    findings_.guarded("anchor " + anchor.where, [&] {
      const auto& keys = authority_.keys();
      const std::string origin = keys.empty() ? "" : keys[0].key.name;
      if (anchor.head.origin != origin) {
        found("anchor " + anchor.where,
              "is about the log " + anchor.head.origin + ", this is " + origin);
      } else if (anchor.head.size > report_.records) {
        found("anchor " + anchor.where,
              "saw " + std::to_string(anchor.head.size) + " records, the log has " +
                  std::to_string(report_.records) + ": it was rolled back");
      } else if (root(anchor.head.size) != anchor.head.root) {
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
  VerifyReport report_;
  const KeyPrint print_;
  const Authority nobody_;
  std::vector<uint64_t> prints_;  // by record; 0: it has no subject
  std::set<std::pair<uint64_t, uint64_t>> also_;
  std::vector<MapEntry> pending_;
  std::vector<Reference> references_;
  std::vector<uint64_t> in_order_;
  std::vector<std::pair<uint64_t, uint64_t>> moments_;
  std::vector<std::pair<uint64_t, std::string>> series_;
  std::vector<Digest> tile_roots_;
  std::string last_tile_;
  std::unordered_set<uint64_t> later_equals_;
  std::vector<StateMap::Run> newest_runs_;
  StateRecord newest_state_;
  std::set<uint64_t> states_;  // records that logged one
  Authority authority_;
  uint64_t mapped_ = 0;
  uint64_t subjects_ = 0;
  bool complete_ = true;  // no record is missing
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
