#include "curate/delivery.h"

#include <functional>
#include <map>

#include <gtest/gtest.h>
#include <unistd.h>

#include "curate/config.h"
#include "curate/config.pb.h"
#include "curate/report.h"
#include "ledger/base/error.h"
#include "ledger/base/utf8.h"
#include "tests/curate/media.h"

namespace cleared::curate {
namespace {

TEST(Delivery, IsItsSourcesInOrderWithoutSidecarsAndHiddenFiles) {
  const testing::TemporaryFolder folder;
  for (const char* path :
       {"b/two.mp4", "b/two.txt", "a.mov", "b/.hidden.mp4", ".git/x.mp4", "b/rights.licence",
        "B.MPG", "notes.md", "key.pub", "c.json", "d.srt", "e.csv"}) {
    make_folders((folder.path() / path).parent_path());
    write_file(folder.path() / path, "x");
  }
  std::vector<std::string> paths;
  for (const DeliveredFile& file : list_delivery(folder.path())) paths.push_back(file.path);
  EXPECT_EQ(paths, (std::vector<std::string>{"B.MPG", "a.mov", "b/two.mp4"}));
  EXPECT_THROW(list_delivery(folder.path() / "absent"), Error);
}

// What lies elsewhere was not delivered, and the licence for this folder does not cover it.
TEST(Delivery, LinksAreListedAndRefused) {
  const testing::TemporaryFolder folder;
  const std::filesystem::path delivery = folder.path() / "delivery";
  make_folders(delivery / "film");
  make_folders(folder.path() / "other");
  write_file(folder.path() / "other/a.mp4", "x");
  write_file(delivery / "film/own.mp4", "x");
  const auto link = [&](const std::string& to, const std::string& from) {
    std::filesystem::create_symlink(to, delivery / "film" / from);
  };
  link("../../other/a.mp4", "file.mp4");
  link("../../other", "folder");
  link("own.mp4", "inside.mp4");
  link("nowhere.mp4", "dangling.mp4");
  std::map<std::string, std::string> refused;
  for (const DeliveredFile& file : list_delivery(delivery)) {
    try {
      open_delivered(file);
      refused[file.path] = "";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Errc::corrupt);
      refused[file.path] = std::string(error.what()).substr(0, 9);
    }
  }
  EXPECT_EQ(refused, (std::map<std::string, std::string>{{"film/dangling.mp4", "is a link"},
                                                         {"film/file.mp4", "is a link"},
                                                         {"film/folder", "is a link"},
                                                         {"film/inside.mp4", "is a link"},
                                                         {"film/own.mp4", ""}}));
  write_file(folder.path() / "other/c", "everyone: NONE_VISIBLE");
  link("../../other/c", "own.clearances");
  EXPECT_THROW(read_clearances({"film/own.mp4", delivery / "film/own.mp4"}), Error);
}

TEST(Delivery, TellsUtf8FromOtherBytes) {
  for (const char* good : {"", "plain", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x8E\xAC"}) {
    EXPECT_TRUE(is_utf8(good)) << good;
  }
  // Cut short, overlong, a surrogate, above U+10FFFF, Latin-1.
  for (const char* bad :
       {"\xC3", "\xC0\xAF", "\xE0\x80\xAF", "\xED\xA0\x80", "\xF4\x90\x80\x80", "caf\xE9"}) {
    EXPECT_FALSE(is_utf8(bad)) << bad;
  }
  EXPECT_EQ(printable("a\nb\xFF\x1B[2J\xC3\xA9"), "a%0Ab%FF%1B[2J\xC3\xA9");
}

TEST(Delivery, ADigestThatNobodyAsksForIsNotMade) {
  const testing::TemporaryFolder folder;
  write_file(folder.path() / "x", "four");
  const OpenedSource opened = open_source(folder.path() / "x", Hashed::no);
  EXPECT_EQ(opened.size_bytes, 4U);
  EXPECT_EQ(opened.digest, Digest{});
  EXPECT_NO_THROW(require_unchanged(opened));
}

TEST(Delivery, DigestIsOfTheBytesDelivered) {
  const testing::TemporaryFolder folder;
  write_file(folder.path() / "x", "abc");
  const OpenedSource opened = open_source(folder.path() / "x");
  EXPECT_EQ(to_hex(opened.digest),  // FIPS 180-4, example B.1
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(opened.size_bytes, 3U);
}

TEST(Delivery, TheCaseOfASidecarsNameDoesNotCount) {
  const testing::TemporaryFolder folder;
  for (const char* name : {"reel.mp4", "A.MOV", "a.TXT", "rights.LICENCE", "RSL.xml", "reel.XMP"}) {
    write_file(folder.path() / name, "x");
  }
  write_file(folder.path() / "REEL.CLEARANCES", "clip { minors: true }");
  write_file(folder.path() / "a.Clearances", "clip { music: UNKNOWN }");
  std::string said;
  for (const DeliveredFile& file : list_delivery(folder.path())) {
    EXPECT_EQ(file.problem, "") << file.path;
    for (const auto& finding : findings_of(read_clearances(file), 0, 1'000'000)) {
      said += file.path + ": " + finding.reason + " of " + finding.origin + "; ";
    }
  }
  EXPECT_EQ(said, "A.MOV: music of a.Clearances; reel.mp4: minors of REEL.CLEARANCES; ");
}

// A name that was mistyped would be a no that nobody hears.
TEST(Delivery, WhatSpeaksOfAFilmThatIsNotThereIsListedAndRefused) {
  const testing::TemporaryFolder folder;
  make_folders(folder.path() / "b");
  for (const char* name : {"reel.mp4", "reel.mp4.clearances", "reel.xmp", "tdmrep.json", "rsl.xml",
                           "b/reel.clearances", "real.c2pa", "real.tdmrep.json", "real.RSL.xml",
                           "reel.mp3.xmp", "real.txt"}) {
    write_file(folder.path() / name, "x");
  }
  std::vector<std::string> orphans;
  for (const DeliveredFile& file : list_delivery(folder.path())) {
    if (file.path == "reel.mp4") continue;
    orphans.push_back(file.path);
    EXPECT_THROW(open_delivered(file), Error) << file.path;
  }
  EXPECT_EQ(orphans, (std::vector<std::string>{"b/reel.clearances", "real.RSL.xml", "real.c2pa",
                                               "real.tdmrep.json", "reel.mp3.xmp"}));
}

TEST(Delivery, AFolderThatCannotBeReadCostsALine) {
  const testing::TemporaryFolder folder;
  std::filesystem::permissions(folder.path(), std::filesystem::perms(0755));
  make_folders(folder.path() / "locked");
  write_file(folder.path() / "locked/a.mp4", "x");
  write_file(folder.path() / "b.mp4", "x");
  std::filesystem::permissions(folder.path() / "locked", std::filesystem::perms(0));
  const bool root = ::geteuid() == 0;
  if (root) {
    ASSERT_EQ(::seteuid(65534), 0);
  }
  std::map<std::string, std::string> files;
  for (const DeliveredFile& file : list_delivery(folder.path())) files[file.path] = file.problem;
  if (root) {
    ASSERT_EQ(::seteuid(0), 0);
  }
  std::filesystem::permissions(folder.path() / "locked", std::filesystem::perms(0755));
  EXPECT_EQ(files,
            (std::map<std::string, std::string>{
                {"b.mp4", ""}, {"locked", "this folder cannot be read: Permission denied"}}));
}

TEST(Delivery, ClearancesAreThoseOfEverySidecar) {
  const testing::TemporaryFolder folder;
  const DeliveredFile film{"film.mp4", folder.path() / "film.mp4"};
  const auto reasons = [&] {
    std::string out;
    for (const auto& finding : findings_of(read_clearances(film), 0, 1'000'000)) {
      out += finding.reason + " of " + finding.origin + "; ";
    }
    return out;
  };
  EXPECT_EQ(reasons(), "");
  write_file(folder.path() / "film.clearances", "clip { music: NONE }");
  EXPECT_EQ(reasons(), "music of film.clearances; ");
  write_file(folder.path() / "film.mp4.clearances", "clip { minors: true }");
  EXPECT_EQ(reasons(), "minors of film.mp4.clearances; music of film.clearances; ");
  write_file(folder.path() / "film.clearances", "clip { music: SOME }");
  EXPECT_THROW(reasons(), Error);
}

// Each entry is a record of each clip that it overlaps.
TEST(Delivery, ClearancesAreFewAtOneTime) {
  const testing::TemporaryFolder folder;
  const DeliveredFile film{"film.mp4", folder.path() / "film.mp4"};
  const auto say = [&](int count, const std::function<std::string(int)>& entry) {
    std::string text;
    for (int i = 0; i < count; ++i) text += "clip { " + entry(i) + " minors: true }\n";
    write_file(folder.path() / "film.clearances", text);
  };
  const auto whole = [](int) { return std::string(); };
  say(32, whole);
  EXPECT_EQ(read_clearances(film).at(0).said.clip_size(), 32);
  say(33, whole);
  EXPECT_THROW(read_clearances(film), Error);
  say(5000,
      [](int i) { return "from_s: " + std::to_string(i) + " to_s: " + std::to_string(i + 1); });
  EXPECT_EQ(read_clearances(film).at(0).said.clip_size(), 5000);
  say(5000,
      [](int i) { return "from_s: " + std::to_string(i) + " to_s: " + std::to_string(i + 40); });
  EXPECT_THROW(read_clearances(film), Error);
}

TEST(Delivery, ClearancesAreFewBesideAFile) {
  const testing::TemporaryFolder folder;
  const DeliveredFile film{"film.mp4", folder.path() / "film.mp4"};
  for (int i = 0; i < 8; ++i) {
    std::string name = "film.clearances";
    for (size_t letter = 0; letter < 3; ++letter)
      if ((i >> letter & 1) != 0) name[5 + letter] = "CLE"[letter];
    write_file(folder.path() / name, "clip { music: NONE }");
  }
  EXPECT_EQ(read_clearances(film).size(), 8U);
  write_file(folder.path() / "film.mp4.clearances", "clip { music: NONE }");
  EXPECT_THROW(read_clearances(film), Error);
}

TEST(Config, RefusesWhatMakesNoSenseAndSaysWhere) {
  const testing::TemporaryFolder folder;
  const auto file = folder.path() / "c.textproto";
  const std::vector<std::pair<const char*, const char*>> cases = {
      {"clips { frames: 0 }", "clips.frames"},
      {"clips { fps: 500 }", "clips.fps"},
      {"shards { width: 63 }", "even"},
      {"shards { name: \"../x\" }", "shards.name"},
      {"shards { quality: 64 }", "shards.quality"},
      {"shards { codec: H264 }", ":1:"},
      {"shards { bucket { name: \"a\" width: 8 height: 64 } }", "shards.bucket.width"},
      {"shards { bucket { name: \"a\" width: 33 height: 64 } }", "even"},
      {"shards { bucket { name: \"a b\" width: 32 height: 64 } }", "shards.bucket.name"},
      {"shards { bucket { name: \"a\" width: 32 height: 64 } bucket { name: \"a\" width: 32 "
       "height: 32 } }",
       "twice"},
      {"clips { longer: 16 }", "clips.longer"},
      {"clips { longer: [64, 32] }", "clips.longer"},
      {"duplicates { max_distance: 40 }", "duplicates.max_distance"},
      {"limits { memory_mb: 1 }", "limits.memory_mb"},
      {"limits { max_pixels: 0 }", "limits.max_pixels"},
      {"limits { max_pixel_frames: 0 }", "limits.max_pixel_frames"},
      {"limits { max_pixel_frames: 18446744073709551615 }", "limits.max_pixel_frames"},
      {"quality {\n  black_luma: nan }", ":2:3: quality.black_luma is nan"},
      {"quality { frozen_motion: -1 }", "quality.frozen_motion is -1"},
      {"quality { blurred_sharpness: inf }", "quality.blurred_sharpness is inf"},
      {"duplicates { min_run_ms: 0 }", "duplicates.min_run_ms"},
      {"clips { frame: 16 }", ":1:"},
      {"clips { frames: 16\n frames: 17 }", ":2:"},
  };
  for (const auto& [text, expected] : cases) {
    write_file(file, text);
    try {
      read_config(file);
      ADD_FAILURE() << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Errc::config) << text;
      EXPECT_NE(std::string_view(error.what()).find(expected), std::string_view::npos)
          << error.what();
    }
  }
  write_file(file, "shards { name: \"film-2\" width: 128 }");
  EXPECT_EQ(read_config(file).shards().width(), 128U);
  EXPECT_EQ(read_config(file).clips().frames(), 16U);
}

TEST(Config, OfTheNanoModelReads) {
  const Config config =
      read_config(std::filesystem::path(CLEARED_ROOT) / "configs/shard-nano.textproto");
  EXPECT_EQ(config.shards().name(), "nano");
}

TEST(Delivery, NamesThatTurnOrHideTextAreShownAsBytes) {
  EXPECT_EQ(printable("a\xE2\x80\xAEvkm.b \xC2\x9B \xE2\x80\x8B \xEF\xBB\xBF \xD8\x9C \xC3\xA9 %"),
            "a%E2%80%AEvkm.b %C2%9B %E2%80%8B %EF%BB%BF %D8%9C \xC3\xA9 %");
}

TEST(Report, EscapesMarkup) {
  EXPECT_EQ(visible_html("<script>\"a\" & 'b'</script>"),
            "&lt;script&gt;&quot;a&quot; &amp; &#39;b&#39;&lt;/script&gt;");
  EXPECT_EQ(visible_html("<\n\x1B[2J\xFF \xE2\x80\xAEtxt.exe \xC3\xA9\xC2\x9B\xEF\xBB\xBF>"),
            "&lt;%0A%1B[2J%FF %E2%80%AEtxt.exe \xC3\xA9%C2%9B%EF%BB%BF&gt;");
}

}  // namespace
}  // namespace cleared::curate
