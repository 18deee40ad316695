// Base64 vectors: RFC 4648 section 10. Dates: GNU date, `date -u -d @SECONDS +%FT%TZ`.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ledger/base/bytes.h"
#include "ledger/base/clock.h"
#include "ledger/base/file.h"
#include "ledger/base/html.h"
#include "tests/ledger/world.h"

namespace cleared::ledger {
namespace {
namespace fs = std::filesystem;

TEST(Base64, AgreesWithRfc4648) {
  const std::pair<std::string, std::string> cases[] = {{"", ""},
                                                       {"f", "Zg=="},
                                                       {"fo", "Zm8="},
                                                       {"foo", "Zm9v"},
                                                       {"foob", "Zm9vYg=="},
                                                       {"fooba", "Zm9vYmE="},
                                                       {"foobar", "Zm9vYmFy"},
                                                       {"\xfb\xff", "+/8="}};
  for (const auto& [plain, text] : cases) {
    EXPECT_EQ(to_base64(as_bytes(plain)), text);
    EXPECT_EQ(parse_base64(text), plain);
  }
}

TEST(Base64, TakesOnlyWhatItWrites) {
  for (const char* text : {"Zg", "Zg=", "Zh==", "Zm9=", "Zg==\n", " Zg==", "Zm9v=", "====", "=",
                           "Zg==Zg==", "Zm-_", "Zm9\x80", "Z g==", "A"}) {
    EXPECT_FALSE(parse_base64(text)) << text;
  }
}

TEST(Hex, DigestsAre64LowerCaseDigits) {
  const std::string good(64, 'a');
  EXPECT_EQ(to_hex(*parse_digest(good)), good);
  for (const std::string& bad :
       {std::string(63, 'a'), std::string(65, 'a'), std::string(64, 'A'), std::string(64, 'g'),
        std::string(), "0x" + std::string(62, 'a')}) {
    EXPECT_FALSE(parse_digest(bad)) << bad;
  }
  EXPECT_TRUE(digest_from_raw(std::string(32, 'x')));
  EXPECT_FALSE(digest_from_raw(std::string(31, 'x')));
}

TEST(Clock, AgreesWithGnuDate) {
  const std::pair<uint64_t, std::string> cases[] = {
      {0, "1970-01-01T00:00:00Z"},          {951782400, "2000-02-29T00:00:00Z"},
      {1772323199, "2026-02-28T23:59:59Z"}, {1772323200, "2026-03-01T00:00:00Z"},
      {4107542399, "2100-02-28T23:59:59Z"}, {4107542400, "2100-03-01T00:00:00Z"}};
  for (const auto& [seconds, text] : cases) {
    EXPECT_EQ(format_time(seconds * 1'000'000 + 999'999), text);
    EXPECT_EQ(parse_time(text), seconds * 1'000'000);
    EXPECT_EQ(date_of(seconds * 1'000'000), text.substr(0, 10));
  }
}

TEST(Clock, RefusesWhatIsNoTime) {
  for (const char* text :
       {"", "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z",
        "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2026-01-01T00:00:61Z",
        "2026-01-01 00:00:00Z", "2026-01-01T00:00:00", "2026-01-01T00:00:00+00:00",
        "2026-1-1T00:00:00Z", "2026-01-01T00:00:00Z ", "-026-01-01T00:00:00Z",
        "2026-01-01T00:00:0aZ", "20 6-01-01T00:00:00Z"}) {
    EXPECT_FALSE(parse_time(text)) << text;
  }
  const std::pair<const char*, bool> days[] = {
      {"2026-01-31", true},  {"2024-02-29", true},   {"2023-02-29", false}, {"2100-02-29", false},
      {"2026-04-31", false}, {"2026-1-1", false},    {"2026-01-32", false}, {"2026-00-10", false},
      {"26-01-01", false},   {"2026-01-01Z", false}, {"", false},           {"2026/01/01", false}};
  for (const auto& [text, ok] : days) EXPECT_EQ(is_date(text), ok) << text;
}

TEST(File, IsWrittenWholeOrNotAtAll) {
  const TempFolder folder;
  const fs::path path = folder / "a";
  write_file(path, "first");
  write_file(path, "second", 0600);
  EXPECT_EQ(read_file(path), "second");
  struct stat info {};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);

  // The rename fails over a folder that is not empty: nothing is lost and nothing left behind.
  make_folders(folder / "b/c");
  EXPECT_THAT(error_of([&] { write_file(folder / "b", "text"); }), testing::HasSubstr("b"));
  EXPECT_TRUE(fs::is_directory(folder / "b/c"));
  size_t entries = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(folder.path())) ++entries;
  EXPECT_EQ(entries, 2U);

  EXPECT_THAT(error_of([&] { write_new_file(path, "third", 0600); }), testing::StartsWith("io"));
  EXPECT_EQ(read_file(path), "second");
}

TEST(File, NothingButAFileIsReplaced) {
  const TempFolder folder;
  write_file(folder / "a", "text");
  fs::create_symlink("a", folder / "link");
  fs::create_symlink("nowhere", folder / "dangling");
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  fs::create_directory(folder / "empty");
  for (const char* name : {"link", "dangling", "pipe", "empty"}) {
    const auto before = fs::symlink_status(folder / name).type();
    EXPECT_THAT(error_of([&] { write_file(folder / name, "other"); }), testing::StartsWith("io"));
    write_file(folder / "new", "other");
    EXPECT_THAT(error_of([&] { publish_file(folder / "new", folder / name); }),
                testing::StartsWith("io"));
    EXPECT_EQ(fs::symlink_status(folder / name).type(), before) << name;
  }
  EXPECT_EQ(read_file(folder / "a"), "text");
}

TEST(File, NamesWhatIsWrong) {
  const TempFolder folder;
  write_file(folder / "a", "0123456789");
  EXPECT_THAT(error_of([&] { read_file(folder / "none"); }), testing::StartsWith("not_found"));
  EXPECT_THAT(error_of([&] { read_file(folder.path()); }), testing::StartsWith("corrupt"));
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);  // nobody writes to it
  EXPECT_THAT(error_of([&] { read_file(folder / "pipe"); }),
              testing::HasSubstr("is not a plain file"));
  EXPECT_THAT(error_of([&] { read_file("/dev/zero"); }), testing::StartsWith("corrupt"));
  EXPECT_THAT(error_of([&] { read_file(folder / "a", 9); }), testing::StartsWith("corrupt"));
  EXPECT_EQ(read_range(folder / "a", 3, 4), "3456");
  EXPECT_EQ(read_range(folder / "a", 10, 0), "");
  for (const auto& [offset, size] :
       {std::pair<uint64_t, uint64_t>{7, 4}, {11, 0}, {UINT64_MAX, 2}, {2, UINT64_MAX}}) {
    EXPECT_THAT(error_of([&, o = offset, s = size] { read_range(folder / "a", o, s); }),
                testing::StartsWith("corrupt"));
  }
}

TEST(File, ALockIsHeldByOne) {
  const TempFolder folder;
  {
    const FileLock lock(folder / "lock");
    EXPECT_THAT(error_of([&] { FileLock(folder / "lock"); }), testing::StartsWith("busy"));
  }
  EXPECT_EQ(error_of([&] { FileLock(folder / "lock"); }), "");
}

TEST(Html, ATextComesBackAsItWas) {
  const std::string text = "<script>\"a\" & 'b' &amp; &#39;</script>\x80";
  EXPECT_EQ(escape_html("<a b='\"&'>"), "&lt;a b=&#39;&quot;&amp;&#39;&gt;");
  EXPECT_EQ(unescape_html(escape_html(text)), text);
  EXPECT_EQ(unescape_html("&nbsp;&amp"), "&nbsp;&amp");
}

}  // namespace
}  // namespace cleared::ledger
