// Digests that are read where they lie against SQLite's own reading of them, in files that are
// whole, damaged, or still have a write-ahead file.
#include "ledger/raw_tiles.h"

#include <filesystem>
#include <random>

#include <gtest/gtest.h>
#include <unistd.h>

#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/schema.h"
#include "ledger/tree.h"

namespace cleared::ledger {
namespace {
namespace fs = std::filesystem;

constexpr uint64_t kLeaves = 9 * 256 + 100;

std::vector<Digest> leaves() {
  std::vector<Digest> out(kLeaves);
  for (uint64_t i = 0; i < kLeaves; ++i) out[i] = sha256(std::to_string(i));
  return out;
}

class RawTilesTest : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder_); }
  void TearDown() override { fs::remove_all(folder_); }

  // A file with a tree in it, and nothing else but what makes its b-tree several pages.
  fs::path make(int page_bytes, const std::string& journal) const {
    const fs::path path = folder_ / (std::to_string(page_bytes) + journal);
    const Database db = Database::create(path);
    db.exec("PRAGMA page_size = " + std::to_string(page_bytes) +
            "; PRAGMA wal_autocheckpoint = 0; PRAGMA journal_mode = " + journal + ";" +
            std::string(kTileSchema));
    Tree tree(db);
    const auto all = leaves();
    for (uint64_t i = 0; i < kLeaves; ++i) tree.append(i, all[i]);
    tree.flush();
    return path;
  }

  const fs::path folder_ = fs::temp_directory_path() / ("raw-tiles-" + std::to_string(::getpid()));
};

std::string by_sqlite(const Database& db, uint64_t tile, size_t offset, size_t bytes) {
  Statement select(db, "SELECT substr(digests, ?, ?) FROM node WHERE level = 0 AND tile = ?");
  return select.with(offset + 1, bytes, tile).next() ? select.text(0) : "";
}

TEST_F(RawTilesTest, AreWhatSqliteReads) {
  for (const int page_bytes : {8192, 16384, 65536}) {
    const Database db = Database::open(make(page_bytes, "DELETE"), Access::read);
    const RawTiles tiles(db);
    for (uint64_t tile = 0; tile < 9; ++tile) {
      for (size_t offset = 0; offset + 256 <= 8192; offset += 64) {
        std::string out(256, '\0');
        ASSERT_TRUE(tiles.read(tile, offset, out)) << tile << " at " << offset;
        EXPECT_EQ(out, by_sqlite(db, tile, offset, 256)) << tile << " at " << offset;
      }
    }
    std::string out(256, '\0');
    EXPECT_FALSE(tiles.read(9, 0, out));  // not complete
    EXPECT_FALSE(tiles.read(10, 0, out));
    EXPECT_FALSE(tiles.read(UINT64_MAX, 0, out));
  }
}

TEST_F(RawTilesTest, OfSmallPagesOrAWriteAheadFileNothingIsKnown) {
  std::string out(256, '\0');
  EXPECT_FALSE(RawTiles(Database::open(make(4096, "DELETE"), Access::read)).read(0, 8000, out));
  const fs::path path = folder_ / "wal";
  const Database writer = Database::create(path);
  writer.exec("PRAGMA page_size = 8192; PRAGMA journal_mode = WAL;" + std::string(kTileSchema));
  Tree written(writer);
  const auto all = leaves();
  for (uint64_t i = 0; i < kLeaves; ++i) written.append(i, all[i]);
  written.flush();
  const Database db = Database::open(path, Access::read);
  EXPECT_FALSE(RawTiles(db).read(0, 0, out));
  const Tree tree(db, 0);  // by SQLite, then
  for (uint64_t i = 0; i < kLeaves; i += 7) EXPECT_EQ(tree.leaf(i), all[i]);
}

// Whatever lies in the file: a leaf is the right one, or an error; nothing is read elsewhere.
TEST_F(RawTilesTest, DamageIsNeverAnotherLeaf) {
  const std::string good = read_file(make(8192, "DELETE"));
  const auto all = leaves();
  const fs::path path = folder_ / "damaged";
  std::mt19937_64 random(1);
  int right = 0, errors = 0;
  for (int round = 0; round < 400; ++round) {
    std::string bytes = good;
    if (round % 4 == 0) {  // a page in the place of another
      const size_t pages = bytes.size() / 8192;
      bytes.replace((1 + random() % (pages - 1)) * 8192, 8192,
                    good.substr((1 + random() % (pages - 1)) * 8192, 8192));
    } else {
      for (int i = 0; i < 8; ++i) {
        const size_t page = 1 + random() % (bytes.size() / 8192 - 1);
        const size_t within = round % 4 == 1 ? random() % 8192 : random() % 64;
        bytes[page * 8192 + within] = static_cast<char>(random());
      }
    }
    write_file(path, bytes);
    try {
      const Database db = Database::open(path, Access::read);
      const Tree tree(db, 0);
      // By way of the tile, and then of eight leaves of it alone.
      const uint64_t tile = random() % 9;
      const auto proof = tree.inclusion_proof(tile * 256 + 255, kLeaves);
      const Digest root = tree.root(kLeaves);
      for (uint64_t i = tile * 256; i < tile * 256 + 255; i += 8) {
        if (!verify_inclusion(tree.leaf(i), i, kLeaves, tree.inclusion_proof(i, kLeaves), root)) {
          ADD_FAILURE() << "round " << round << ", leaf " << i;
        }
      }
      right += proof.empty() ? 0 : 1;
    } catch (const Error& error) {
      EXPECT_TRUE(error.code() == Errc::corrupt || error.code() == Errc::usage ||
                  error.code() == Errc::io)
          << error.what();
      ++errors;
    }
  }
  EXPECT_GT(right, 20);
  EXPECT_GT(errors, 20);
}

}  // namespace
}  // namespace cleared::ledger
