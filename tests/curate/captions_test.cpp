#include "curate/captions.h"

#include <chrono>

#include <gtest/gtest.h>

#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/base/utf8.h"
#include "tests/curate/media.h"

namespace cleared::curate {
namespace {

namespace fs = std::filesystem;

std::string wrong_with(const auto& parse, const std::string& bytes) {
  try {
    parse(bytes);
    return "nothing";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Errc::corrupt) << error.what();
    return error.what();
  }
}

TEST(Captions, AreReadFromEachFormatAndSayWhereTheyComeFrom) {
  const testing::TemporaryFolder folder;
  const DeliveredFile source{"a.mp4", folder.path() / "a.mp4"};
  const auto origin = [&] { return Captions(folder.path()).of(source).origin; };
  const auto text = [&] { return Captions(folder.path()).of(source).text; };
  EXPECT_EQ(origin(), "");
  // From the last choice to the first.
  write_file(
      folder.path() / "captions.csv",
      "note,path,caption\r\n,b.mp4,another\r\n\"of\ntwo lines\",a.mp4,\"said \"\"so\"\", ok\"\r\n");
  EXPECT_EQ(origin(), "captions.csv:3");
  EXPECT_EQ(text(), "said \"so\", ok");
  write_file(folder.path() / "a.json", R"({"caption": "from \u00e9 JSON", "more": [1]})");
  EXPECT_EQ(origin(), "a.json");
  EXPECT_EQ(text(), "from \xC3\xA9 JSON");
  write_file(folder.path() / "a.mp4.srt", "1\n00:00:00,000 --> 00:00:01,000\nhello\n");
  EXPECT_EQ(origin(), "a.mp4.srt");
  write_file(folder.path() / "a.mp4.txt", "second choice");
  EXPECT_EQ(origin(), "a.mp4.txt");
  write_file(folder.path() / "a.txt", "\xEF\xBB\xBF  two lines\r\nof one \x1B[31mcaption \n");
  EXPECT_EQ(origin(), "a.txt");
  EXPECT_EQ(text(), "two lines of one [31mcaption");
}

TEST(Captions, OfAClipAreWhatIsSaidInIt) {
  const Caption srt = parse_subtitles(
      "1\r\n00:00:00,500 --> 00:00:01,500\r\nA <i>train</i>\r\ncomes.\r\n\r\n"
      "2\n00:00:02.000 --> 00:00:03,000 X1:40\n{\\an8}It stops.\n\n\n"
      "00:01:00,000 --> 00:01:01,000\nGone.");
  EXPECT_EQ(srt.text, "A train comes. It stops. Gone.");
  const std::vector<std::tuple<uint64_t, uint64_t, std::string>> cases = {
      {0, 500'000, ""},
      {0, 1'000'000, "A train comes."},
      {1'000'000, 2'500'000, "A train comes. It stops."},
      {3'000'000, 60'000'000, ""},
      {60'500'000, 61'000'000, "Gone."},
  };
  for (const auto& [start, end, said] : cases) {
    EXPECT_EQ(clip_caption(srt, start, end), said) << start;
  }
  const Caption json = parse_json_caption(
      R"({"caption": "a station", "cues": [{"start_s": 2, "end_s": 3.5, "text": "It stops."}]})");
  EXPECT_EQ(json.text, "a station");
  EXPECT_EQ(clip_caption(json, 3'400'000, 4'000'000), "It stops.");
  EXPECT_EQ(clip_caption(parse_text_caption("all of it"), 7, 8), "all of it");
}

TEST(Captions, LoseWhatSteersATerminalOrTurnsText) {
  EXPECT_EQ(parse_text_caption("a\x1B]0;x\x07 b\xC2\x9B[2J c\xE2\x80\xAE d\xE2\x81\xA6 e").text,
            "a ]0;x b [2J c d e");
  EXPECT_EQ(parse_json_caption(R"({"caption": "a\u0000b\u001b[2J\u202e\n"})").text, "a b [2J");
}

TEST(Captions, ThatAreLongEndAtACharacter) {
  std::string srt;
  for (int i = 0; i < 200; ++i) {
    srt += "00:00:00,000 --> 00:00:01,000\n\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC\n\n";
  }
  const Caption caption = parse_subtitles(srt);
  EXPECT_GT(caption.text.size(), kCaptionBytes - 4);
  EXPECT_LE(caption.text.size(), kCaptionBytes);
  EXPECT_TRUE(is_utf8(caption.text));
  EXPECT_EQ(clip_caption(caption, 0, 1), caption.text);
}

TEST(Captions, ThatAreWrongSayWhere) {
  const std::vector<std::pair<std::string, std::string>> subtitles = {
      {"hello\n", "line 1: is no time"},
      {"1\n00:00:00,000 -> 00:00:01,000\nx\n", "line 2: is no time"},
      {"1\n00:00:02,000 --> 00:00:01,000\nx\n", "line 2: is no time"},
      {"1\n00:61:00,000 --> 00:62:00,000\nx\n", "line 2: is no time"},
      {"1\n", "line 1: is no time"},
      {"\xFF\xFE", "is not UTF-8"},
  };
  for (const auto& [bytes, why] : subtitles) {
    EXPECT_NE(wrong_with(parse_subtitles, bytes).find(why), std::string::npos) << bytes;
  }
  const std::vector<std::pair<std::string, std::string>> jsons = {
      {"{", "is not JSON, at byte"},
      {"[]", "is no JSON object"},
      {R"({"caption": 7})", "\"caption\" is no text"},
      {R"({"caption": "\ud800"})", "is not JSON"},
      {R"({"cues": {}})", "\"cues\" is no list"},
      {R"({"cues": [7]})", "each is an object"},
      {R"({"cues": [{"start_s": "1", "end_s": 2, "text": ""}]})", "\"start_s\""},
      {R"({"cues": [{"start_s": -1, "end_s": 2, "text": ""}]})", "start_s is no time"},
      {R"({"cues": [{"start_s": 1e300, "end_s": 2, "text": ""}]})", "start_s is no time"},
      {R"({"cues": [{"start_s": 3, "end_s": 2, "text": ""}]})", "ends before it starts"},
      {R"({"caption": ")" + std::string(3000, 'x') + "\"}", "longer than"},
      {std::string(900'000, '['), "is not JSON"},
  };
  for (const auto& [bytes, why] : jsons) {
    EXPECT_NE(wrong_with(parse_json_caption, bytes).find(why), std::string::npos)
        << bytes.substr(0, 60);
  }
  const std::vector<std::pair<std::string, std::string>> tables = {
      {"path,caption\na,\"b", "line 2: a quote is not closed"},
      {"path,caption\na,\"b\"c\n", "line 2: something follows"},
      {"path,caption\na,b\"c\n", "line 2: a quote inside"},
      {"path,caption\ra,b\n", "line 1: a line ends in the middle"},
  };
  for (const auto& [bytes, why] : tables) {
    EXPECT_NE(wrong_with(parse_csv, bytes).find(why), std::string::npos) << bytes;
  }
}

TEST(Captions, ThatAreHostileAreLeftOutInOneLine) {
  const testing::TemporaryFolder folder;
  const DeliveredFile source{"a\n.mp4", folder.path() / "a\n.mp4"};
  const fs::path sidecar = folder.path() / "a\n.txt";
  const auto problem = [&] {
    const Caption caption = Captions(folder.path()).of(source);
    EXPECT_EQ(caption.text + caption.origin, "");
    EXPECT_EQ(caption.problem.find('\n'), std::string::npos);
    EXPECT_TRUE(caption.problem.starts_with("caption a%0A.txt left out: ")) << caption.problem;
    return caption.problem;
  };
  write_file(sidecar, "\xC3");
  EXPECT_NE(problem().find("is not UTF-8"), std::string::npos);
  write_file(sidecar, std::string(3000, 'x'));
  EXPECT_NE(problem().find("longer than 2000 bytes"), std::string::npos);
  write_file(sidecar, std::string(kSidecarBytes + 1, 'x'));
  problem();
  fs::remove(sidecar);
  fs::create_symlink("/etc/hostname", sidecar);
  EXPECT_NE(problem().find("is a link"), std::string::npos);
  fs::remove(sidecar);
  fs::create_directory(sidecar);
  EXPECT_NE(problem().find("is no plain file"), std::string::npos);
}

// A look for the end of each tag would take as many steps as the square of their number.
TEST(Captions, WithTagsThatNeverEndTakeNoLonger) {
  for (const std::string& tag : {std::string("<"), std::string("{\\")}) {
    std::string text;
    while (text.size() + tag.size() < kSidecarBytes - 100) text += tag;
    const auto start = std::chrono::steady_clock::now();
    const Caption caption = parse_subtitles("00:00:00,000 --> 00:00:01,000\n<i>a</i> " + text);
    EXPECT_TRUE(caption.text.starts_with("a " + tag + tag));
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2));
  }
  EXPECT_EQ(parse_subtitles("00:00:00,000 --> 00:00:01,000\na < {\\an8}b").text, "a < b");
}

TEST(Captions, OfATableThatIsWrongAreAllLeftOut) {
  const testing::TemporaryFolder folder;
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "is empty"},
      {"file,caption\na.mp4,x\n", "line 1: has no column path"},
      {"path,text\na.mp4,x\n", "line 1: has no column caption"},
      {"path,caption\na.mp4,x\nb.mp4\n", "line 3: has 1 fields, line 1 2"},
      {"path,caption\na.mp4,x\na.mp4,y\n", "line 3: its path is on a line before"},
      {"path,caption\na.mp4," + std::string(3000, 'x') + "\n", "line 2: its caption is over"},
      {"path,caption\na.mp4,\xFF\n", "is not UTF-8"},
      {"path,caption\n" + std::string(3'000'000, ',') + "\n", "line 2: more than 2,000,000 fields"},
  };
  for (const auto& [bytes, why] : cases) {
    write_file(folder.path() / "captions.csv", bytes);
    const Captions captions(folder.path());
    EXPECT_NE(captions.problem().find("captions.csv left out: " + why), std::string::npos)
        << captions.problem();
    EXPECT_EQ(captions.of({"a.mp4", folder.path() / "a.mp4"}).text, "");
  }
}

}  // namespace
}  // namespace cleared::curate
