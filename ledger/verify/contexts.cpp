#include "ledger/verify/contexts.h"

namespace cleared::ledger {

Database reading(const std::filesystem::path& path) {
  Database db = Database::open(path, Access::read);
  db.exec("BEGIN");
  db.integer("SELECT COUNT(*) FROM sqlite_schema");
  return db;
}

std::unique_ptr<Context> Contexts::take_free() {
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

}  // namespace cleared::ledger
