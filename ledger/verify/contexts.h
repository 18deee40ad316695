// What threads that verify need, each of its own: connections that all see the file at one moment,
// and walks through the tables that are compared in parallel.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "ledger/base/parallel.h"
#include "ledger/sqlite.h"
#include "ledger/verify/findings.h"
#include "ledger/verify/rows.h"

namespace cleared::ledger {

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
Database reading(const std::filesystem::path& path);

// Contexts for as many threads as ask at once.
class Contexts {
 public:
  Contexts(const std::filesystem::path& path, Findings& findings)
      : path_(path), findings_(findings) {}
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
  std::unique_ptr<Context> take_free();
  void put(std::unique_ptr<Context> context) {
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(context));
  }

  const std::filesystem::path& path_;
  Findings& findings_;
  TableCursor::Raw raw_ = TableCursor::Raw::no;
  PlainTrees trees_;
  std::mutex mutex_;
  std::vector<Database> connections_;
  std::vector<std::unique_ptr<Context>> free_;
};

}  // namespace cleared::ledger
