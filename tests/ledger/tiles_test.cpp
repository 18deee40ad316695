// Known answers: the examples of https://c2sp.org/tlog-tiles. Names and contents are compared with
// Go's package tlog in tests/tools/tlog_peer.
#include "ledger/tiles.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ledger/merkle.h"
#include "tests/ledger/world.h"

namespace cleared::ledger {
namespace {

using testing::StartsWith;

TEST(Tiles, NamesReadBack) {
  const std::pair<TileName, const char*> tiles[] = {
      {{0, 0, 256}, "tile/0/000"},
      {{0, 0, 1}, "tile/0/000.p/1"},
      {{0, 999, 255}, "tile/0/999.p/255"},
      {{1, 1000, 256}, "tile/1/x001/000"},
      {{0, 1234067, 256}, "tile/0/x001/x234/067"},  // the example of the specification
      {{0, 1234067, 8}, "tile/0/x001/x234/067.p/8"},
      {{63, UINT64_MAX, 16}, "tile/63/x018/x446/x744/x073/x709/x551/615.p/16"},
  };
  for (const auto& [tile, path] : tiles) {
    EXPECT_EQ(tile_path(tile), path);
    EXPECT_EQ(parse_tile_path(path), tile) << path;
    EXPECT_EQ(parse_entries_path(path), std::nullopt) << path;
  }
  const std::pair<BundleName, const char*> bundles[] = {
      {{0, 256}, "tile/entries/000"},
      {{1234067, 8}, "tile/entries/x001/x234/067.p/8"},
  };
  for (const auto& [bundle, path] : bundles) {
    EXPECT_EQ(entries_path(bundle), path);
    EXPECT_EQ(parse_entries_path(path), bundle) << path;
    EXPECT_EQ(parse_tile_path(path), std::nullopt) << path;
  }
}

TEST(Tiles, RefusesOtherNames) {
  for (const std::string end : {"",
                                "0",
                                "00",
                                "0000",
                                "1",
                                "01",
                                "x000/000",
                                "x001",
                                "x001/",
                                "001/000",
                                "x001/x000",
                                "X001/000",
                                "x1/000",
                                "x001//000",
                                "x001/000/",
                                "000/",
                                "/000",
                                "000.p",
                                "000.p/",
                                "000.p/0",
                                "000.p/256",
                                "000.p/01",
                                "000.p/+1",
                                "000.p/-1",
                                "000.p/1/",
                                "000.p/ 1",
                                "000.P/1",
                                "000p/1",
                                "000.p/1.p/1",
                                "000 ",
                                " 000",
                                "0x1",
                                "-01",
                                "+01",
                                "000\n",
                                "../000",
                                "x../000",
                                "00a",
                                "\u0660\u0660\u0660",
                                "x018/x446/x744/x073/x709/x551/616",
                                "x999/x999/x999/x999/x999/x999/999",
                                "x001/x018/x446/x744/x073/x709/x551/615"}) {
    EXPECT_EQ(parse_tile_path("tile/0/" + end), std::nullopt) << end;
    EXPECT_EQ(parse_entries_path("tile/entries/" + end), std::nullopt) << end;
  }
  for (const std::string_view path : {"",
                                      "tile",
                                      "tile/",
                                      "tile/0",
                                      "tile/64/000",
                                      "tile/00/000",
                                      "tile/-1/000",
                                      "tile/+1/000",
                                      "tile//000",
                                      "tile/x/000",
                                      "/tile/0/000",
                                      "tiles/0/000",
                                      "tile/8/0/000",
                                      "Tile/0/000",

                                      "checkpoint",
                                      "tile/entries",
                                      "tile/entries/",
                                      "tile/Entries/000",
                                      "tile/entries/0/000",
                                      "tile/18446744073709551616/000"}) {
    EXPECT_EQ(parse_tile_path(path), std::nullopt) << path;
    EXPECT_EQ(parse_entries_path(path), std::nullopt) << path;
  }
  using namespace std::string_view_literals;
  EXPECT_EQ(parse_tile_path("tile/0/000\0"sv), std::nullopt);
}

// "A tree of size 70,000", and "of size 256", of the specification.
TEST(Tiles, OfATree) {
  const auto tiles = tiles_of(70'000);
  ASSERT_EQ(tiles.size(), 273U + 1 + 1 + 1 + 1);
  EXPECT_EQ(tiles[0], (TileName{0, 0, 256}));
  EXPECT_EQ(tiles[272], (TileName{0, 272, 256}));
  EXPECT_EQ(tiles[273], (TileName{0, 273, 112}));
  EXPECT_EQ(tiles[274], (TileName{1, 0, 256}));
  EXPECT_EQ(tiles[275], (TileName{1, 1, 17}));
  EXPECT_EQ(tiles[276], (TileName{2, 0, 1}));
  EXPECT_THAT(tiles_of(256), testing::ElementsAre(TileName{0, 0, 256}, TileName{1, 0, 1}));
  EXPECT_THAT(tiles_of(1), testing::ElementsAre(TileName{0, 0, 1}));
  EXPECT_TRUE(tiles_of(0).empty());
  EXPECT_EQ(bundles_of(70'000).size(), 274U);
  EXPECT_EQ(bundles_of(70'000).back(), (BundleName{273, 112}));
  EXPECT_TRUE(bundles_of(0).empty());
}

// What a log publishes step by step is, partial tiles apart, what it would have published at once.
TEST(Tiles, NewOnesAddUp) {
  const uint64_t sizes[] = {0, 1, 1, 200, 256, 257, 511, 512, 1000, 65'536, 65'537, 70'000, 70'000};
  std::vector<TileName> full;
  for (size_t i = 1; i < std::size(sizes); ++i) {
    const auto found = new_tiles(sizes[i - 1], sizes[i]);
    EXPECT_EQ(found.empty(), sizes[i - 1] == sizes[i]);
    const auto now = tiles_of(sizes[i]);
    for (const TileName& tile : found) {
      EXPECT_NE(std::find(now.begin(), now.end(), tile), now.end()) << tile_path(tile);
      if (tile.width == kFullTileWidth) full.push_back(tile);
    }
    // Nothing that is there now is missing from before and new together.
    for (const TileName& tile : now) {
      const auto before = tiles_of(sizes[i - 1]);
      EXPECT_TRUE(std::find(found.begin(), found.end(), tile) != found.end() ||
                  std::find(before.begin(), before.end(), tile) != before.end())
          << tile_path(tile);
    }
  }
  auto all = tiles_of(70'000);
  std::erase_if(all, [](const TileName& tile) { return tile.width != kFullTileWidth; });
  const auto less = [](const TileName& a, const TileName& b) {
    return std::pair(a.level, a.index) < std::pair(b.level, b.index);
  };
  std::sort(full.begin(), full.end(), less);
  EXPECT_EQ(full, all);
  EXPECT_THAT(error_of([] { new_tiles(2, 1); }), StartsWith("usage"));
  EXPECT_THAT(error_of([] { new_bundles(2, 1); }), StartsWith("usage"));
}

TEST(Tiles, AtTheLargestSize) {
  const auto tiles = new_tiles(UINT64_MAX - 1, UINT64_MAX);
  ASSERT_EQ(tiles.size(), 1U);
  EXPECT_EQ(parse_tile_path(tile_path(tiles[0])), tiles[0]);
}

TEST(Tiles, ContentsReadBack) {
  const std::vector<Digest> digests = {leaf_digest(as_bytes("a")), leaf_digest(as_bytes("b"))};
  const std::string tile = encode_tile(digests);
  EXPECT_EQ(tile.size(), 64U);
  EXPECT_EQ(parse_tile(tile, 2), digests);
  for (const auto& [text, width] : {std::pair<std::string, unsigned>{tile, 1},
                                    {tile, 3},
                                    {tile + "x", 2},
                                    {tile.substr(1), 2},
                                    {"", 1}}) {
    EXPECT_THAT(error_of([&, t = text, w = width] { parse_tile(t, w); }), StartsWith("corrupt"));
  }
}

TEST(Bundle, ReadsBack) {
  const std::string longest(65'535, 'x');
  const std::vector<std::vector<std::string_view>> cases = {
      {""},
      {"a"},
      {"", ""},
      {"abc", "", "de"},
      {longest},
      {longest, "a", longest},
      std::vector<std::string_view>(256, "record")};
  for (const auto& records : cases) EXPECT_EQ(parse_entries(encode_entries(records)), records);
  const std::vector<std::string_view> two = {"abc", ""};
  EXPECT_EQ(encode_entries(two), std::string("\0\3abc\0\0", 7));
  const std::vector<std::string_view> five = {"red", "", "green", "blue", "cyan"};  // of the page
  EXPECT_EQ(to_hex(as_bytes(encode_entries(five))),
            "000372656400000005677265656e0004626c756500046379616e");
}

TEST(Bundle, RefusesWhatIsNotExact) {
  const std::string longer(65'536, 'x');
  const std::vector<std::string_view> too_long = {longer}, too_many(257, "a");
  EXPECT_THAT(error_of([&] { static_cast<void>(encode_entries(too_long)); }), StartsWith("usage"));
  EXPECT_THAT(error_of([&] { static_cast<void>(encode_entries(too_many)); }), StartsWith("usage"));
  EXPECT_THAT(error_of([&] { static_cast<void>(encode_entries({})); }), StartsWith("usage"));
  using namespace std::string_literals;
  std::string many;
  for (int i = 0; i < 257; ++i) many += "\0\1a"s;
  for (const std::string& bad :
       {""s, "\0"s, "\0\1"s, "\0\2a"s, "\0\1a\0"s, "\0\1a\0\1"s, "\xff\xff"s, many}) {
    EXPECT_THAT(error_of([&] { parse_entries(bad); }), StartsWith("corrupt: bundle:"))
        << bad.size();
  }
}

}  // namespace
}  // namespace cleared::ledger
