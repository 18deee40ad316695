// A table with two indexes whose pages were changed: each 2 + 1 bytes of the input say where, from
// the front, and what to xor there. What is proven where it lies (ledger/raw_table.h,
// ledger/raw_index.h) must be what SQLite reads, and what its integrity_check passes.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/projection.h"
#include "ledger/raw_index.h"
#include "ledger/raw_pages.h"
#include "ledger/raw_table.h"
#include "ledger/sqlite.h"

namespace {

namespace fs = std::filesystem;
using namespace cleared;
using namespace cleared::ledger;

struct Row {
  int64_t seq, group, place;
  std::string text;
  bool operator==(const Row&) const = default;
};

std::vector<Row> read_rows(const Database& db) {
  std::vector<Row> out;
  Statement all(db, "SELECT seq, grp, place, text FROM t ORDER BY seq");
  while (all.next()) out.push_back({all.integer(0), all.integer(1), all.integer(2), all.text(3)});
  return out;
}

// What verifying compares before it reads any row.
std::string read_definitions(const Database& db) {
  std::string out;
  Statement all(db, "SELECT type, name, tbl_name, sql FROM sqlite_schema");
  while (all.next()) {
    for (int i = 0; i < 4; ++i) out += all.text(i) + "\n";
  }
  return out;
}

// A sound file, in memory where the system has a folder for that, open for changing its bytes.
struct Sound {
  fs::path folder;
  fs::path path;
  std::string bytes;
  std::string definitions;
  std::vector<Row> rows;
  Fd file;

  Sound() {
    const fs::path memory = "/dev/shm";
    const fs::path base = fs::is_directory(memory) ? memory : fs::temp_directory_path();
    std::string name = (base / "pages_fuzz.XXXXXX").string();
    CLEARED_CHECK(::mkdtemp(name.data()) != nullptr);
    folder = name;
    path = folder / "t.db";
    fill();
    bytes = read_file(path);
    file = Fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    CLEARED_CHECK(file && bytes.size() <= 65536);
  }
  ~Sound() { fs::remove_all(folder); }

  // Rows of which some went and others grew, so that pages have free blocks and odd bytes; trees of
  // two levels.
  void fill() {
    const Database db = Database::create(path);
    db.exec(
        "PRAGMA page_size = 512; PRAGMA synchronous = OFF;"
        "CREATE TABLE t(seq INTEGER PRIMARY KEY, grp INTEGER NOT NULL, place INTEGER NOT NULL, "
        "text TEXT NOT NULL) STRICT;"
        "CREATE INDEX t_group ON t(grp); CREATE INDEX t_both ON t(place, grp); BEGIN;");
    Statement insert(db, "INSERT INTO t VALUES(?, ?, ?, ?)");
    for (int i = 1; i <= 80; ++i) {
      const int place = i % 3 == 0 ? i % 2 : i * 7919 % 100'000;
      insert.with(i, i * 31 % 300, place, std::string(static_cast<size_t>(i * 17 % 60), 'x')).run();
    }
    db.exec(
        "UPDATE t SET text = text || 'longer', grp = grp + 70000 WHERE seq % 5 = 2;"
        "DELETE FROM t WHERE seq % 7 = 0; COMMIT;");
    definitions = read_definitions(db);
    rows = read_rows(db);
  }

  void put(size_t at, char byte) const {
    CLEARED_CHECK(::pwrite(file.get(), &byte, 1, static_cast<off_t>(at)) == 1);
  }
};

bool proven(const Database& db, const std::vector<Row>& rows) {
  RawTable table(db, "t");
  table.begin(std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max());
  KeptColumn group(100), place(100);
  for (const Row& row : rows) {
    const RowCell cells[] = {{Cell{ValueType::integer, row.seq}},
                             {Cell{ValueType::integer, row.group}},
                             {Cell{ValueType::integer, row.place}},
                             {Cell{ValueType::text, 0, 0, row.text}}};
    if (!table.take(cells, {})) return false;
    if (!group.keep(row.seq, row.group) || !place.keep(row.seq, row.place)) return false;
  }
  if (!table.at_end()) return false;
  std::vector<uint32_t> used = table.pages();
  const RawPages pages(db);
  const auto is_proven = [&](const char* name, const std::vector<const KeptColumn*>& columns) {
    const RawIndex index(pages, name, columns);
    uint64_t entries = 0;
    used.insert(used.end(), index.pages().begin(), index.pages().end());
    return index.usable() && index.check(pages, 0, index.leaves(), entries) &&
           entries + index.inner_entries() == rows.size();
  };
  if (!is_proven("t_group", {&group}) || !is_proven("t_both", {&place, &group})) return false;
  std::sort(used.begin(), used.end());
  return std::adjacent_find(used.begin(), used.end()) == used.end();
}

bool passes_integrity_check(const Database& db) {
  Statement lines(db, "PRAGMA integrity_check('t')");
  return lines.next() && lines.text(0) == "ok" && !lines.next();
}

// Is the file proven? Then it must be so.
bool check(const Sound& sound) {
  std::optional<Database> db;
  try {
    db.emplace(Database::open(sound.path, Access::read));
    db->exec("BEGIN");
    if (read_definitions(*db) != sound.definitions || !proven(*db, sound.rows)) return false;
  } catch (const Error&) {
    return false;
  }
  CLEARED_CHECK(read_rows(*db) == sound.rows && passes_integrity_check(*db));
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Sound sound;
  std::string bytes = sound.bytes;
  std::vector<size_t> changed;
  for (size_t i = 0; i + 3 <= size && i < 192; i += 3) {
    const size_t at = (size_t{data[i]} << 8 | size_t{data[i + 1]}) % bytes.size();
    bytes[at] = static_cast<char>(bytes[at] ^ static_cast<char>(data[i + 2]));
    changed.push_back(at);
  }
  for (const size_t at : changed) sound.put(at, bytes[at]);
  const bool yes = check(sound);
  for (const size_t at : changed) sound.put(at, sound.bytes[at]);
  CLEARED_CHECK(yes || bytes != sound.bytes);
  return 0;
}
