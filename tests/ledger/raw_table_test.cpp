// Rows compared where they lie in the file: whatever is done to the file, that way of verifying
// must find exactly what SQL finds.
#include "ledger/raw_table.h"

#include <algorithm>
#include <atomic>
#include <random>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/verify.h"
#include "tests/ledger/full_world.h"

namespace cleared::ledger {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr size_t kPage = 8192;

// "where: what" of every finding, sorted; or the Error.
std::string raw_findings(const fs::path& ledger, bool raw) {
  std::vector<std::string> lines;
  try {
    for (const Finding& f : verify_ledger(ledger, {{}, {}, false, raw}).findings) {
      lines.push_back(f.where + ": " + f.what + "\n");
    }
  } catch (const Error& error) {
    return std::string("Error: ") + error.what();
  }
  std::sort(lines.begin(), lines.end());
  std::string out;
  for (const std::string& line : lines) out += line;
  return out;
}

// Sources, clips and refusals that fill several leaves of their tables.
struct WideWorld : World {
  explicit WideWorld(int sources = 150) {
    add_licence(full_licence_text());
    std::vector<Fact> facts;
    for (int i = 0; i < sources; ++i) {
      const std::string name = "2026-01/" + std::to_string(i) + ".webm";
      Fact source;
      SourceRecord& s = *source.mutable_source();
      s.set_digest(std::string(sha256(name).text()));
      s.set_path(name);
      s.set_caption(std::string(100, 'c'));
      s.set_status("kept");
      s.add_licence("LIC-1@1");
      facts.push_back(source);
      Fact clip;
      ClipRecord& c = *clip.mutable_clip();
      c.set_id(std::string(sha256("clip" + name).text()));
      c.set_source(s.digest());
      c.set_end_us(static_cast<uint64_t>(i) * 1'000'000);
      c.set_verdict("kept");
      c.set_luma(static_cast<float>(i) / 3);
      c.set_sharpness(-0.0F);  // SQLite keeps 0.0
      facts.push_back(clip);
      Fact refused = refusal(name);
      refused.mutable_refusal()->set_fact(std::string(60, 'f'));
      facts.push_back(refused);
    }
    append(facts);
    Store(ledger, Access::append).sign_head(log);
  }
};

uint32_t get_u32(const std::string& bytes, size_t at) {
  uint32_t out = 0;
  for (size_t i = 0; i < 4; ++i) out = out << 8 | static_cast<unsigned char>(bytes[at + i]);
  return out;
}

size_t root_offset(const fs::path& ledger, const std::string& table) {
  const Database db = Database::open(ledger, Access::read);
  Statement root(db, "SELECT rootpage FROM sqlite_schema WHERE name = ?");
  EXPECT_TRUE(root.with(table).next());
  return (root.unsigned_integer(0) - 1) * kPage;
}

void edit_table(const fs::path& ledger, const std::string& sql) {
  const Database db = Database::open(ledger, Access::append);
  db.exec("PRAGMA foreign_keys = OFF");
  db.exec(sql);
}

TEST(RawTable, BothWaysNameTheSame) {
  FullWorld world;
  const std::string good = read_file(world.ledger);
  std::vector<std::string> edits = {
      "SELECT 1",
      "UPDATE leaf SET bytes = x'' WHERE seq = 7",
      "DELETE FROM leaf WHERE seq = 8",
      "INSERT INTO refusal VALUES(99, '', '', '', '')",
      "INSERT INTO refusal VALUES(-5, '', '', '', '')",
      "INSERT INTO refusal VALUES(9223372036854775807, '', '', '', '')",
      "UPDATE clip SET seq = seq + 1 WHERE seq = (SELECT MAX(seq) FROM clip)",
      "UPDATE clip SET caption = zeroblob(20000) || ''",
      "UPDATE clip SET caption = printf('%20000s', caption)",
      "UPDATE clip SET verdict = 'kept '",
      "UPDATE clip SET verdict = verdict || char(0)",
      "DROP INDEX clip_series_source",
      "CREATE INDEX more ON clip(id)",
      "ALTER TABLE clip ADD COLUMN more TEXT",
      "PRAGMA journal_mode = DELETE",
      "VACUUM",
      "PRAGMA journal_mode = DELETE; PRAGMA page_size = 1024; VACUUM",
      "PRAGMA auto_vacuum = FULL; VACUUM",
  };
  {
    const Database db = Database::open(world.ledger, Access::read);
    Statement select(
        db,
        "SELECT t.name, c.name, c.type FROM sqlite_schema t, pragma_table_info(t.name) "
        "c WHERE t.name IN ('clip', 'sample', 'fingerprint', 'duplicate', 'refusal')");
    while (select.next()) {
      const std::string column = '"' + select.text(1) + '"';
      const std::string value = select.text(2) == "TEXT"   ? column + " || 'x'"
                                : select.text(2) == "BLOB" ? "CAST(" + column + " || x'00' AS BLOB)"
                                                           : column + " + 1000";
      edits.push_back("UPDATE \"" + select.text(0) + "\" SET " + column + " = " + value);
      edits.push_back("DELETE FROM \"" + select.text(0) + "\"");
    }
  }
  ASSERT_GT(edits.size(), 80U);
  for (const std::string& sql : edits) {
    write_file(world.ledger, good);
    edit_table(world.ledger, sql);
    const std::string by_sql = raw_findings(world.ledger, false);
    EXPECT_EQ(raw_findings(world.ledger, true), by_sql) << sql;
    const bool harmless = sql == "SELECT 1" || sql.find("PRAGMA") == 0 || sql == "VACUUM";
    EXPECT_EQ(by_sql.empty(), harmless) << sql << "\n" << by_sql;
  }
}

TEST(RawTable, BothWaysCountTheSameRows) {
  const WideWorld world;
  const auto rows = [&](bool raw) {
    return verify_ledger(world.ledger, {{}, {}, false, raw}).rows;
  };
  EXPECT_EQ(rows(true), rows(false));
  const Database db = Database::open(world.ledger, Access::read);
  EXPECT_GT(rows(true), static_cast<uint64_t>(db.integer("SELECT COUNT(*) FROM clip")) * 3);
}

// What is only in the write-ahead file is part of the ledger too.
TEST(RawTable, AWriteAheadFileIsReadToo) {
  FullWorld world;
  const Database writer = Database::open(world.ledger, Access::append);
  writer.exec("PRAGMA wal_autocheckpoint = 0; UPDATE clip SET verdict = 'gone'");
  EXPECT_THAT(raw_findings(world.ledger, true), HasSubstr("clip.verdict: is 'gone'"));
  EXPECT_EQ(raw_findings(world.ledger, true), raw_findings(world.ledger, false));
}

// Bits of pages changed at random, in the file and in the bytes that say how pages are read.
TEST(RawTable, WhenItFindsNothingNeitherDoesSql) {
  WideWorld world;
  ASSERT_EQ(raw_findings(world.ledger, true), "");
  const std::string good = read_file(world.ledger);
  std::vector<size_t> targets;  // pages of the tables that are read so
  for (const char* table : {"clip", "refusal"}) {
    const size_t root = root_offset(world.ledger, table);
    targets.push_back(root);
    ASSERT_EQ(good[root], 5) << "the table has one page only";
    targets.push_back((get_u32(good, root + 8) - 1) * kPage);
  }
  targets.push_back(root_offset(world.ledger, "sample_clip"));
  ASSERT_EQ(good[targets.back()], 10) << "an index of one page";
  const fs::path bad = world.folder / "bad.db";
  std::mt19937 random(11);
  int clean = 0;
  for (int i = 0; i < 300; ++i) {
    std::string bytes = good;
    const size_t page = i % 5 == 4 ? 0 : targets[random() % targets.size()];
    const size_t most = i % 2 == 0 ? 60 : kPage;  // headers and pointers, or anything
    for (size_t j = 0; j < 1 + random() % 3; ++j) {
      bytes[page + random() % most] ^= static_cast<char>(1U << random() % 8);
    }
    write_file(bad, bytes);
    if (!raw_findings(bad, true).empty()) continue;
    ++clean;
    EXPECT_EQ(raw_findings(bad, false), "") << "mutation " << i;
  }
  EXPECT_GT(clean, 5);  // unused bytes
}

// A search goes by the numbers on inner pages: with one of them changed it misses rows that every
// scan finds, and a join then leaves out what it should judge.
TEST(RawTable, InnerPagesThatLeadASearchAstrayAreFound) {
  const WideWorld world;
  const std::string good = read_file(world.ledger);
  for (const char* table : {"source", "refusal", "clip"}) {
    const size_t root = root_offset(world.ledger, table);
    ASSERT_EQ(good[root], 5) << table;
    const size_t cell = root + (static_cast<unsigned char>(good[root + 12]) << 8 |
                                static_cast<unsigned char>(good[root + 13]));
    std::string bytes = good;
    // A number of one byte, or the high bits of one of two: lower by some rows.
    const bool one = static_cast<unsigned char>(good[cell + 4]) < 0x80;
    bytes[cell + 4] = static_cast<char>(one ? 0 : 0x80);
    const fs::path bad = world.folder / "bad.db";
    write_file(bad, bytes);
    const Database db = Database::open(bad, Access::read);
    const std::string from = " FROM \"" + std::string(table) + "\" ";
    EXPECT_LT(db.integer("SELECT COUNT(*)" + from + "a CROSS JOIN" + from.substr(5) +
                         "b ON b.seq = a.seq"),
              db.integer("SELECT COUNT(*)" + from))
        << table << ": the search still finds all";
    for (const bool raw : {true, false}) EXPECT_NE(raw_findings(bad, raw), "") << table;
  }
}

// SQLite shows -0.0 as it is; none is ever written.
TEST(RawTable, AZeroWithASignIsAnotherValue) {
  const WideWorld world;
  edit_table(world.ledger, "UPDATE clip SET luma = 1e-310 WHERE seq = (SELECT MIN(seq) FROM clip)");
  std::string bytes = read_file(world.ledger);
  // 1e-310, big-endian, is nowhere else.
  const std::string tiny("\x00\x00\x12\x68\x8b\x70\xe6\x2b", 8);
  const size_t at = bytes.find(tiny);
  ASSERT_NE(at, std::string::npos);
  bytes.replace(at, 8, std::string("\x80\0\0\0\0\0\0\0", 8));
  const fs::path bad = world.folder / "bad.db";
  write_file(bad, bytes);
  for (const bool raw : {true, false}) {
    EXPECT_THAT(raw_findings(bad, raw), HasSubstr("clip.luma: is -0")) << raw;
  }
}

TEST(RawTable, HostileNumbersAreFindingsAndNotCountedUpTo) {
  FullWorld world;
  const std::string good = read_file(world.ledger);
  const std::pair<const char*, const char*> cases[] = {
      {"INSERT INTO leaf VALUES(9223372036854775807, x'00')", "record 9223372036854775807, leaf"},
      {"INSERT INTO leaf VALUES(1000000000000, x'00')", "record 1000000000000, leaf"},
      {"INSERT INTO bundle VALUES(9223372036854775807, x'00')", "bundle 9223372036854775807"},
      {"INSERT INTO bundle VALUES(10000000000, x'00')", "bundle 10000000000"},
      {"UPDATE map_run SET entries = -1, directory = x''", "map run"},
      {"UPDATE map_run SET run = run + 100000; UPDATE map_chunk SET run = run + 100000",
       "map_run.run: is not the number of a record"},
      {"INSERT INTO map_chunk SELECT run, 999, entries FROM map_chunk LIMIT 1",
       "map_chunk: has 2 chunks"},
      {"UPDATE node SET digests = zeroblob(320000)", "node.digests"},
      {"INSERT INTO tree_head VALUES(9223372036854775807, x'', NULL)", "tree_head of size"},
  };
  for (const auto& [sql, where] : cases) {
    write_file(world.ledger, good);
    edit_table(world.ledger, sql);
    for (const bool raw : {true, false}) {
      EXPECT_THAT(raw_findings(world.ledger, raw), HasSubstr(where)) << sql;
    }
    // Opening, searching and signing say no, and stay within their arrays.
    error_of([&] {
      Store store(world.ledger, Access::append);
      (void)store.find(sha256("nothing"));
      (void)store.prove_subject(sha256("nothing"));
      store.append({refusal("z")});
      store.sign_head(world.log);
    });
  }
}

// Reading while another process appends is not an accusation.
TEST(RawTable, AWriterMeanwhileIsNoFinding) {
  World world;
  std::atomic<bool> done = false;
  std::jthread writer([&] {
    for (int i = 0; i < 12; ++i) {
      Store store(world.ledger, Access::append);
      store.append({refusal(std::to_string(i))});
      store.sign_head(world.log);
    }
    done = true;
  });
  while (!done) EXPECT_EQ(raw_findings(world.ledger, true), "");
}

}  // namespace
}  // namespace cleared::ledger
