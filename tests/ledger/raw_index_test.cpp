// Indexes proven where they lie: whatever is done to the file, what is proven must be what SQLite's
// integrity_check passes, too.
#include "ledger/raw_index.h"

#include <algorithm>
#include <limits>
#include <random>

#include <gtest/gtest.h>

#include "ledger/base/file.h"
#include "ledger/raw_table.h"
#include "tests/ledger/world.h"

namespace cleared::ledger {
namespace {

namespace fs = std::filesystem;

constexpr size_t kSmallPage = 512;
constexpr const char* kIndexes[] = {"t_group", "t_both"};

struct ExpectedRow {
  int64_t seq;
  int64_t group;
  int64_t place;
  std::string text;
};

// Rows of which some went and others came, so that pages have free blocks and odd bytes.
std::vector<ExpectedRow> make_table(const fs::path& path, int rows) {
  const Database db = Database::create(path);
  db.exec(
      "PRAGMA page_size = 512; CREATE TABLE t(seq INTEGER PRIMARY KEY, grp INTEGER NOT NULL, "
      "place INTEGER NOT NULL, text TEXT NOT NULL) STRICT;"
      "CREATE INDEX t_group ON t(grp); CREATE INDEX t_both ON t(place, grp);");
  std::mt19937 random(5);
  for (int i = 0; i < rows; ++i) {
    const uint64_t place = random() % 3 == 0 ? random() % 2 : random();
    Statement(db, "INSERT INTO t VALUES(?, ?, ?, ?)")
        .with(i + 1, random() % 300, place % 100'000, std::string(random() % 60, 'x'))
        .run();
    if (random() % 4 == 0) {
      Statement(db, "UPDATE t SET text = text || 'longer', grp = grp + 70000 WHERE seq = ?")
          .with(1 + random() % static_cast<unsigned>(i + 1))
          .run();
    }
  }
  db.exec("DELETE FROM t WHERE seq % 7 = 0");
  std::vector<ExpectedRow> out;
  Statement all(db, "SELECT seq, grp, place, text FROM t ORDER BY seq");
  while (all.next()) {
    out.push_back({all.integer(0), all.integer(1), all.integer(2), all.text(3)});
  }
  return out;
}

// The table and both indexes, by raw pages alone.
bool proven(const Database& db, const std::vector<ExpectedRow>& rows) {
  RawTable table(db, "t");
  table.begin(std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max());
  KeptColumn group(1000);
  KeptColumn place(1000);
  for (const ExpectedRow& row : rows) {
    const RowCell cells[] = {{Cell{ValueType::integer, row.seq, 0, {}}},
                             {Cell{ValueType::integer, row.group, 0, {}}},
                             {Cell{ValueType::integer, row.place, 0, {}}},
                             {Cell{ValueType::text, 0, 0, row.text}}};
    if (!table.take(cells, {})) return false;
    if (!group.keep(row.seq, row.group) || !place.keep(row.seq, row.place)) return false;
  }
  if (!table.at_end()) return false;
  std::vector<uint32_t> used = table.pages();
  const RawPages pages(db);
  const std::vector<const KeptColumn*> columns[] = {{&group}, {&place, &group}};
  for (size_t i = 0; i < std::size(kIndexes); ++i) {
    const RawIndex index(pages, kIndexes[i], columns[i]);
    uint64_t entries = 0;
    if (!index.usable() || !index.check(pages, 0, index.leaves(), entries)) return false;
    if (entries + index.inner_entries() != rows.size()) return false;
    used.insert(used.end(), index.pages().begin(), index.pages().end());
  }
  std::sort(used.begin(), used.end());
  return std::adjacent_find(used.begin(), used.end()) == used.end();
}

bool passes_integrity_check(const Database& db) try {
  Statement lines(db, "PRAGMA integrity_check('t')");
  return lines.next() && lines.text(0) == "ok" && !lines.next();
} catch (const Error&) {  // it stops at some damage
  return false;
}

bool proven(const fs::path& path, const std::vector<ExpectedRow>& rows) {
  const Database db = Database::open(path, Access::read);
  db.exec("BEGIN");
  return proven(db, rows);
}

struct RawIndexTest : testing::Test {
  TempFolder folder;
  const fs::path path = folder / "t.db";
};

TEST_F(RawIndexTest, ProvesWhatIsWhole) {
  for (const int rows : {0, 1, 30, 400, 900}) {
    fs::remove(path);
    EXPECT_TRUE(proven(path, make_table(path, rows))) << rows;
  }
}

// Every byte of every page behind the first, changed in some ways: the sizes, pointers, free blocks
// and entries of a table and of two indexes of two levels and more.
TEST_F(RawIndexTest, WhatItProvesAfterAnyChangeOfAByteSqliteProvesToo) {
  const auto rows = make_table(path, 110);
  const std::string good = read_file(path);
  ASSERT_TRUE(proven(path, rows));
  std::mt19937 random(9);
  int still = 0;
  int refused_only_here = 0;
  for (size_t at = kSmallPage; at < good.size(); ++at) {
    const int masks[] = {1 << random() % 8, static_cast<int>(1 + random() % 255)};
    for (const int mask : std::span(masks).first(1 + at % 2)) {
      std::string bytes = good;
      bytes[at] = static_cast<char>(bytes[at] ^ mask);
      write_file(path, bytes);
      const Database db = Database::open(path, Access::read);
      db.exec("BEGIN");
      if (proven(db, rows)) {
        ++still;
        EXPECT_TRUE(passes_integrity_check(db)) << "byte " << at << " ^ " << mask;
      } else if (at % 16 == 0) {
        refused_only_here += passes_integrity_check(db) ? 1 : 0;
      }
    }
  }
  EXPECT_GT(still, 100);  // bytes that belong to nothing
  // Values of rows are compared with the log, which integrity_check knows nothing of.
  EXPECT_GT(refused_only_here, 10);
}

// Bytes of two pages at once, and pages that take another's place.
TEST_F(RawIndexTest, PagesInTheWrongPlaceAreNotProven) {
  const auto rows = make_table(path, 160);
  const std::string good = read_file(path);
  const size_t pages = good.size() / kSmallPage;
  for (size_t from = 1; from < pages; ++from) {
    for (size_t to = 1; to < pages; ++to) {
      std::string bytes = good;
      bytes.replace(to * kSmallPage, kSmallPage, good, from * kSmallPage, kSmallPage);
      if (bytes == good) continue;
      write_file(path, bytes);
      const Database db = Database::open(path, Access::read);
      db.exec("BEGIN");
      if (proven(db, rows)) {
        EXPECT_TRUE(passes_integrity_check(db)) << from << " in the place of " << to;
      }
    }
  }
}

TEST_F(RawIndexTest, AnIndexOfOtherRowsIsNotProven) {
  const std::pair<const char*, bool> cases[] = {
      {"SELECT 1", true},
      // Entries as many as rows, of other values.
      {"UPDATE t SET grp = grp + 1 WHERE seq = 12", false},
      {"UPDATE t SET place = 7 WHERE seq IN (3, 4)", false},
      {"DELETE FROM t WHERE seq = 20", false},
      {"INSERT INTO t VALUES(7, 1, 1, '')", false},
      {"DELETE FROM t WHERE seq = 20; INSERT INTO t VALUES(21, 1, 1, '')", false},
      {"DROP INDEX t_both", false},
      {"DROP INDEX t_both; CREATE INDEX t_both ON t(grp, place)", false},
      {"DROP INDEX t_both; CREATE INDEX t_both ON t(place DESC, grp)", false},
      {"DROP INDEX t_both; CREATE INDEX t_both ON t(place, grp) WHERE place > 5", false},
      {"DROP INDEX t_both; CREATE INDEX t_both ON t(place, grp, text)", false},
      {"DROP INDEX t_both; CREATE INDEX t_both ON t(place)", false},
      {"VACUUM", true},
      {"PRAGMA auto_vacuum = FULL; VACUUM", false},
  };
  for (const auto& [sql, good] : cases) {
    fs::remove(path);
    const auto rows = make_table(path, 200);
    Database::open(path, Access::append).exec(sql);
    EXPECT_EQ(proven(path, rows), good) << sql;
  }
}

TEST(KeptColumn, KeepsOnlyWhatItCanTellApart) {
  KeptColumn column(3);
  const std::tuple<int64_t, int64_t, bool> cases[] = {
      {0, 0, true},           {1, UINT32_MAX - int64_t{1}, true},
      {2, UINT32_MAX, false}, {2, -1, false},
      {2, INT64_MIN, false},  {2, int64_t{1} << 32, false},
      {3, 0, false},          {-1, 0, false},
      {INT64_MAX, 0, false},
  };
  for (const auto& [row, value, kept] : cases) {
    EXPECT_EQ(column.keep(row, value), kept) << row << " " << value;
    EXPECT_EQ(column.is(row, value), kept) << row << " " << value;
  }
  EXPECT_FALSE(column.is(2, 0));
  EXPECT_FALSE(column.is(0, 1));
}

}  // namespace
}  // namespace cleared::ledger
