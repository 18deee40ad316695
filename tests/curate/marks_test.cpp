// What marks say, by tables; and what becomes of files that carry them, with the real worker. Files
// that other programs marked (c2pa-python, exiftool) are in tests/tools/marks_test.py.
#include "curate/marks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "curate/config.pb.h"
#include "curate/mark_files.h"
#include "curate/mark_values.h"
#include "tests/curate/media.h"

namespace cleared::curate {
namespace {

using ledger::MarkSays;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Words {
  MarkSays (*says)(std::string_view);
  const char* word;
  MarkSays expected;
};
constexpr Words kWords[] = {
    {says_of_training_use, "allowed", MarkSays::allowed},
    {says_of_training_use, "notAllowed", MarkSays::no},
    {says_of_training_use, "constrained", MarkSays::no},
    {says_of_training_use, "Allowed", MarkSays::unclear},
    {says_of_training_use, "", MarkSays::unclear},
    {says_of_data_mining, "DMI-ALLOWED", MarkSays::allowed},
    {says_of_data_mining, "http://ns.useplus.org/ldf/vocab/DMI-PROHIBITED", MarkSays::no},
    {says_of_data_mining, "http://ns.useplus.org/ldf/vocab/DMI-PROHIBITED-AIMLTRAINING",
     MarkSays::no},
    {says_of_data_mining, "http://elsewhere.example/DMI-ALLOWED", MarkSays::unclear},
    {says_of_data_mining, "DMI-", MarkSays::unclear},
    {says_of_source_type, "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture",
     MarkSays::allowed},
    {says_of_source_type, "https://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia",
     MarkSays::synthetic},
    {says_of_source_type, "digsrctype:compositeWithTrainedAlgorithmicMedia", MarkSays::synthetic},
    {says_of_source_type, "compositeSynthetic", MarkSays::synthetic},
    {says_of_source_type, "algorithmicMedia", MarkSays::synthetic},
    {says_of_source_type, "virtualRecording", MarkSays::synthetic},
    {says_of_source_type, "http://c2pa.org/digitalsourcetype/trainedAlgorithmicData",
     MarkSays::synthetic},
    {says_of_source_type, "trainedalgorithmicmedia", MarkSays::unclear},
    {says_of_source_type, "", MarkSays::unclear},
    {says_of_reservation, "0", MarkSays::allowed},
    {says_of_reservation, "1", MarkSays::no},
    {says_of_reservation, "2", MarkSays::unclear},
    {says_of_reservation, "true", MarkSays::unclear},
};

TEST(MarkValues, AreAClosedVocabulary) {
  for (const Words& row : kWords) EXPECT_EQ(row.says(row.word), row.expected) << row.word;
}

// "name says" of each.
std::vector<std::string> said(const std::vector<Mark>& marks) {
  std::vector<std::string> out;
  for (const Mark& mark : marks) {
    out.push_back(mark.name + " " + std::string(ledger::says_word(mark.says)));
  }
  return out;
}

std::string store_of(const std::string& assertions, const std::string& state = "Valid") {
  return R"({"manifests": {"urn:c2pa:1": {"assertions": [)" + assertions +
         R"(]}}, "validation_state": ")" + state + "\"}";
}
std::string entry(const std::string& label, const std::string& data) {
  return R"({"label": ")" + label + R"(", "data": )" + data + "}";
}

TEST(C2paMarks, AreReadFromEveryManifestUnderBothLabels) {
  const std::string no = R"({"entries": {"a.data_mining": {"use": "notAllowed"}}})";
  const std::string yes = R"({"entries": {"a.data_mining": {"use": "allowed"}}})";
  const std::string both =
      R"({"manifests": {"urn:c2pa:1": {"assertions": [)" + entry("c2pa.training-mining", yes) +
      R"(]}, "urn:c2pa:2": {"assertions": [)" + entry("cawg.training-mining.v2__1", no) +
      R"(]}}, "validation_state": "Trusted"})";
  struct Case {
    std::string json;
    std::vector<std::string> says;
  };
  const Case cases[] = {
      {both, {"c2pa.training-mining allowed", "cawg.training-mining no"}},
      {store_of(entry("c2pa.training-mining", R"({"entries": {"x": {"use": "constrained",
                "constraint_info": "ask me"}}})")),
       {"c2pa.training-mining no"}},
      {store_of(entry("c2pa.training-mining", R"({"entries": {"x": {"use": "perhaps"}}})")),
       {"c2pa.training-mining unclear"}},
      {store_of(entry("c2pa.training-mining", R"({"entries": {"x": "allowed"}})")),
       {"c2pa.training-mining unclear"}},
      {store_of(entry("c2pa.training-mining", "{}")), {"c2pa.training-mining unclear"}},
      {store_of(entry("c2pa.training-mining", "[1]")), {"c2pa.training-mining unclear"}},
      {store_of(R"({"label": "cawg.training-mining"})"), {"cawg.training-mining unclear"}},
      {store_of(entry("c2pa.actions.v2", R"({"actions": [{"digitalSourceType":
                "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"}]})")),
       {"digital-source-type synthetic"}},
      {store_of(entry("cawg.metadata", R"({"plus:DataMining": "DMI-PROHIBITED"})")),
       {"plus.data-mining no"}},
      {store_of(entry("c2pa.training-mining", yes), "Invalid"),
       {"c2pa unclear", "c2pa.training-mining allowed"}},
      {R"({"manifests": {"urn:c2pa:1": {"assertions": [], "redactions": [
           "self#jumbf=/c2pa/urn:c2pa:0/c2pa.assertions/cawg.training-mining.v2__1",
           "self#jumbf=/c2pa/urn:c2pa:0/c2pa.assertions/c2pa.metadata", 1]}},
           "validation_state": "Valid"})",
       {"cawg.training-mining unclear", "c2pa unclear", "c2pa unclear"}},
      {R"({"manifests": {"urn:c2pa:1": {"redactions": []}}, "validation_state": "Valid"})", {}},
      {R"({"manifests": {"urn:c2pa:1": {"redactions": "x"}}, "validation_state": "Valid"})",
       {"c2pa unclear"}},
      {R"({"manifests": {}})", {"c2pa unclear"}},
      {"{", {"c2pa unclear"}},
      {"[]", {"c2pa unclear"}},
  };
  for (const Case& row : cases) {
    std::vector<Mark> out;
    marks_of_c2pa(row.json, 0, out);
    EXPECT_EQ(said(out), row.says) << row.json;
  }
}

TEST(C2paMarks, AReaderThatLeavesManifestsOutIsNotBelieved) {
  std::vector<Mark> out;
  marks_of_c2pa(store_of(""), 1, out);
  EXPECT_THAT(out, IsEmpty());
  marks_of_c2pa(store_of(""), 2, out);
  EXPECT_THAT(said(out), ElementsAre("c2pa unclear"));
}

std::string packet(const std::string& properties) {
  return R"(<rdf:RDF xmlns:rdf=)"
         R"("http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" )"
         R"(xmlns:plus="http://ns.useplus.org/ldf/xmp/1.0/" )"
         R"(xmlns:iptc="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" )"
         R"(xmlns:tdm="http://www.w3.org/ns/tdmrep/" xmlns:tdm2="http://www.w3.org/ns/tdmrep#" )"
         R"(xmlns:dcterms="http://purl.org/dc/terms/">)" +
         properties + "</rdf:Description></rdf:RDF>";
}

TEST(XmpMarks, OfEveryVocabulary) {
  prepare_xmp();
  struct Case {
    std::string text;
    std::vector<std::string> says;
  };
  const Case cases[] = {
      {packet(""), {}},
      {packet("<plus:DataMining>http://ns.useplus.org/ldf/vocab/DMI-PROHIBITED-AIMLTRAINING"
              "</plus:DataMining>"),
       {"plus.data-mining no"}},
      {packet("<plus:DataMining>whatever</plus:DataMining>"), {"plus.data-mining unclear"}},
      {packet("<tdm:reservation>1</tdm:reservation>"), {"tdm-reservation no"}},
      {packet("<tdm2:reservation>0</tdm2:reservation>"), {"tdm-reservation allowed"}},
      {packet("<iptc:DigitalSourceType>http://cv.iptc.org/newscodes/digitalsourcetype/"
              "compositeSynthetic</iptc:DigitalSourceType>"),
       {"digital-source-type synthetic"}},
      {packet("<iptc:DigitalSourceType><rdf:Bag><rdf:li>digitalCapture</rdf:li><rdf:li>"
              "trainedAlgorithmicMedia</rdf:li></rdf:Bag></iptc:DigitalSourceType>"),
       {"digital-source-type allowed", "digital-source-type synthetic"}},
      {packet("<plus:DataMining rdf:parseType='Resource'><plus:x>1</plus:x></plus:DataMining>"),
       {"plus.data-mining unclear"}},
      {packet("<plus:DataMining>"), {"xmp unclear"}},
      {packet("<tdm:other><rdf:Bag><rdf:li><rdf:Description plus:DataMining='DMI-PROHIBITED'/>"
              "</rdf:li></rdf:Bag></tdm:other>"),
       {"plus.data-mining no"}},
      // At any depth, beside one that allows; in a qualifier; by a default namespace; under the
      // name in another namespace.
      {packet("<plus:DataMining>DMI-ALLOWED</plus:DataMining><tdm:from rdf:parseType='Resource'>"
              "<tdm:x>1</tdm:x><plus:DataMining>DMI-PROHIBITED</plus:DataMining></tdm:from>"),
       {"plus.data-mining allowed", "plus.data-mining no"}},
      {packet("<tdm:reservation>0</tdm:reservation><tdm:from rdf:parseType='Resource'>"
              "<tdm:reservation>1</tdm:reservation></tdm:from>"),
       {"tdm-reservation allowed", "tdm-reservation no"}},
      {packet("<iptc:DigitalSourceType>digitalCapture</iptc:DigitalSourceType><tdm:from><rdf:Seq>"
              "<rdf:li rdf:parseType='Resource'><iptc:DigitalSourceType>trainedAlgorithmicMedia"
              "</iptc:DigitalSourceType></rdf:li></rdf:Seq></tdm:from>"),
       {"digital-source-type allowed", "digital-source-type synthetic"}},
      {packet("<plus:DataMining rdf:parseType='Resource'><rdf:value>DMI-ALLOWED</rdf:value>"
              "<plus:DataMining>DMI-PROHIBITED</plus:DataMining></plus:DataMining>"),
       {"plus.data-mining allowed", "plus.data-mining no"}},
      {packet("<plus:DataMining>DMI-ALLOWED</plus:DataMining><tdm:from rdf:parseType='Resource'>"
              "<DataMining xmlns='http://ns.useplus.org/ldf/xmp/1.0/'>DMI-PROHIBITED</DataMining>"
              "</tdm:from>"),
       {"plus.data-mining allowed", "plus.data-mining no"}},
      {packet("<plus:DataMining>DMI-ALLOWED</plus:DataMining>"
              "<tdm:DataMining>DMI-PROHIBITED</tdm:DataMining>"),
       {"plus.data-mining allowed", "plus.data-mining unclear"}},
      {packet("<plus:DataMining><rdf:Bag/></plus:DataMining>"), {"plus.data-mining unclear"}},
      {"<rdf:RDF", {"xmp unclear"}},
  };
  for (const Case& row : cases) {
    std::vector<Mark> out;
    marks_of_xmp(row.text, out);
    EXPECT_EQ(said(out), row.says) << row.text;
  }
  EXPECT_TRUE(names_remote_manifest(
      packet("<dcterms:provenance>https://a.example/m.c2pa</dcterms:provenance>")));
  EXPECT_FALSE(names_remote_manifest(packet("")));
}

// https://www.w3.org/community/reports/tdmrep/CG-FINAL-tdmrep-20240510/ section 6.1.
TEST(TdmRep, SpeaksForTheLocationsThatItNames) {
  struct Case {
    const char *json, *path;
    std::vector<std::string> says;
  };
  const Case cases[] = {
      {R"([{"location": "/films/*", "tdm-reservation": 1}])",
       "/films/a.mp4",
       {"tdm-reservation no"}},
      {R"([{"location": "/films/*", "tdm-reservation": 1}])", "/other/a.mp4", {}},
      {R"([{"location": "/films/", "tdm-reservation": 1}])", "", {"tdm-reservation no"}},
      {R"([{"location": "/", "tdm-reservation": 0},
           {"location": "*.mp4$", "tdm-reservation": 1, "tdm-policy": "https://a.example/"}])",
       "/a.mp4",
       {"tdm-reservation allowed", "tdm-reservation no"}},
      {R"({"tdm-reservation": 1})", "/a.mp4", {"tdm-reservation no"}},
      {R"([{"location": "/my%20film.mp4", "tdm-reservation": 1}])",
       "/my film.mp4",
       {"tdm-reservation no"}},
      {R"([{"location": "https://a.example/films/*.mp4$", "tdm-reservation": 1}])",
       "/films/a.mp4",
       {"tdm-reservation no"}},
      {R"([{"location": "films/a.mp4", "tdm-reservation": 0}])",
       "/films/b.mp4",
       {"tdm-reservation unclear"}},
      {R"([{"location": ["/a.mp4"], "tdm-reservation": 1}])",
       "/a.mp4",
       {"tdm-reservation unclear"}},
      {R"([{"location": "/"}])", "/a.mp4", {"tdm-reservation unclear"}},
      {R"([{"location": "/", "tdm-reservation": true}])", "/a", {"tdm-reservation unclear"}},
      {R"([1])", "/a", {"tdm-reservation unclear"}},
      // Which of the two counts? Parsers differ.
      {R"([{"location": "/a", "tdm-reservation": 1, "tdm-reservation": 0}])",
       "/a",
       {"tdm-reservation unclear"}},
      {R"([{"location": "/a", "location": "/b", "tdm-reservation": 1}])",
       "/a",
       {"tdm-reservation unclear"}},
      {R"([{"location": "/a", "tdm-reservation": 0, "x": {"y": 1, "y": 1}}])",
       "/a",
       {"tdm-reservation unclear"}},
      {R"([{"location": "/a", "tdm-reservation": 0}, {"location": "/b", "tdm-reservation": 1}])",
       "/a",
       {"tdm-reservation allowed"}},
      {"", "/a", {"tdm-reservation unclear"}},
      {"\"x\"", "/a", {"tdm-reservation unclear"}},
  };
  for (const Case& row : cases) {
    std::vector<Mark> out;
    marks_of_tdmrep(row.json, row.path, "tdmrep.json", out);
    EXPECT_EQ(said(out), row.says) << row.json;
  }
}

// https://rslstandard.org/rsl
TEST(Rsl, PermitsTrainingOnlyWithoutConditions) {
  const auto rsl = [](const std::string& licence, const char* url = "/") {
    return R"(<rsl xmlns="https://rslstandard.org/rsl"><content url=")" + std::string(url) +
           "\"><license>" + licence + "</license></content></rsl>";
  };
  struct Case {
    std::string xml;
    std::vector<std::string> says;
  };
  const Case cases[] = {
      {rsl(R"(<permits type="usage">ai-train search</permits>)"), {"rsl allowed"}},
      {rsl(R"(<permits type="usage">all</permits><prohibits type="usage">ai-train</prohibits>)"),
       {"rsl no", "rsl allowed"}},
      {rsl(R"(<prohibits type="usage">ai-all</prohibits>)"), {"rsl no"}},
      {rsl(R"(<permits type="usage">search</permits>)"), {"rsl no"}},
      {rsl(R"(<permits type="usage">ai-train</permits><payment type="subscription"/>)"),
       {"rsl no", "rsl allowed"}},
      {rsl(R"(<permits type="usage">ai-train</permits><payment type="free"/>)"), {"rsl allowed"}},
      {rsl(R"(<permits type="user">education</permits>)"), {"rsl no"}},
      {rsl(R"(<permits type="usage">ai-dream</permits>)"), {"rsl unclear", "rsl no"}},
      {rsl(R"(<prohibits type="usage">search<![CDATA[ ai-train]]></prohibits>)"), {"rsl no"}},
      {rsl(R"(<prohibits type="usage">search<!-- --> ai-train</prohibits>)"), {"rsl no"}},
      {rsl(R"(<prohibits type="usage"><![CDATA[search]]> <![CDATA[ai-train]]></prohibits>)"),
       {"rsl no"}},
      {rsl(R"(<prohibits type="usage">search<b>ai-train</b></prohibits>)"), {"rsl unclear"}},
      {rsl(R"(<permits type="usage">ai-train<b>search</b></permits>)"), {"rsl unclear", "rsl no"}},
      {rsl(R"(<prohibits type="usage">all</prohibits>)", "films/"), {"rsl unclear"}},
      {rsl("", "/elsewhere/"), {}},
      {rsl(R"(<prohibits type="usage">all</prohibits>)", "https://a.example/films/*"), {"rsl no"}},
      {R"(<r:rsl xmlns:r="https://rslstandard.org/rsl"><r:content url="/"/></r:rsl>)",
       {"rsl unclear"}},
      {rsl(R"(<permits type="usage" type="user">ai-train</permits>)"), {"rsl unclear"}},
      // What is not of the vocabulary might say anything.
      {rsl(R"(<Prohibits type="usage">ai-train</Prohibits>)"), {"rsl unclear"}},
      {rsl(R"(<permits type="usage">all</permits><prohibit type="usage">ai-train</prohibit>)"),
       {"rsl unclear", "rsl allowed"}},
      {rsl(R"(<permits type="usage">all</permits></license><prohibits type="usage">all</prohibits>)"
           R"(<license><permits type="usage">all</permits>)"),
       {"rsl unclear", "rsl allowed"}},
      {rsl(R"(<permits type="usage">all</permits></license><content url="/"><license>)"
           R"(<prohibits type="usage">all</prohibits></license></content><license>)"
           R"(<permits type="usage">all</permits>)"),
       {"rsl unclear", "rsl allowed"}},
      {rsl(R"(<prohibits type="usage"/>)"), {"rsl unclear"}},
      {rsl(""), {"rsl unclear"}},
      {rsl(R"(<permits type="usage">all</permits><legal type="warranty">ownership</legal>)"),
       {"rsl allowed"}},
      {R"(<rsl><content url="/" server="https://a.example/api"><license><permits type="usage">all)"
       R"(</permits></license><copyright>A</copyright></content></rsl>)",
       {"rsl no", "rsl allowed"}},
      {R"(<rsl><content url="/"><license><permits type="usage">all</permits></license></content>)"
       R"(<license><prohibits type="usage">all</prohibits></license></rsl>)",
       {"rsl unclear", "rsl allowed"}},
      {"<rsl/>", {"rsl unclear"}},
      {"<html/>", {"rsl unclear"}},
      {"<rsl><content", {"rsl unclear"}},
      {"", {"rsl unclear"}},
  };
  for (const Case& row : cases) {
    std::vector<Mark> out;
    marks_of_rsl(row.xml, "/films/a.mp4", "rsl.xml", out);
    EXPECT_EQ(said(out), row.says) << row.xml;
  }
}

// RFC 9309 section 2.2.2 and 2.2.3.
TEST(Location, IsAPatternOfRobotsTxt) {
  struct Case {
    const char *pattern, *path;
    bool matches;
  };
  const Case cases[] = {
      {"/", "/a", true},        {"/a", "/ab", true},         {"/a$", "/ab", false},
      {"/a$", "/a", true},      {"/*.mp4$", "/x.mp4", true}, {"/*.mp4$", "/x.mp4s", false},
      {"/*/b", "/a/b/c", true}, {"/*/b$", "/a/b/b", true},   {"", "/a", true},
      {"*", "/a", true},        {"/a*b*c$", "/abbbc", true}, {"/b", "/a/b", false},
      {"*$", "/a", true},       {"$", "/a", false},
  };
  for (const Case& row : cases) {
    EXPECT_EQ(matches_location(row.pattern, row.path), row.matches) << row.pattern << row.path;
  }
}

TEST(Location, SpeaksForAPathHoweverItIsWritten) {
  struct Case {
    const char *location, *path;
    Speaks speaks;
  };
  const Case cases[] = {
      {"/a%20b.mp4", "/a b.mp4", Speaks::yes},
      {"/a%20b.mp4", "/a%20b.mp4", Speaks::yes},  // the name itself is encoded
      {"/a%2520b.mp4", "/a%20b.mp4", Speaks::yes},
      {"/a b.mp4", "/a%20b.mp4", Speaks::yes},
      {"/caf%c3%A9$", "/caf\xC3\xA9", Speaks::yes},
      {"/a%2", "/a%2b", Speaks::yes},
      {"https://a.example/a.mp4$", "/a.mp4", Speaks::yes},
      {"https://a.example", "/a.mp4", Speaks::yes},
      {"//a.example/a.mp4", "/a.mp4", Speaks::yes},
      {"*://a.example/a.mp4", "/a.mp4", Speaks::yes},
      {"https://a.example/b", "/a.mp4", Speaks::no},
      {"/a.mp4?x=1#top", "/a.mp4", Speaks::yes},
      {"/see?url=https://a.example/a.mp4", "/a.mp4", Speaks::no},
      {" /b/../%2E/a.mp4\n", "/a.mp4", Speaks::yes},
      {"/a%24", "/a$.mp4", Speaks::yes},
      {"/a%24$", "/a$", Speaks::yes},
      {"/a$", "/a$", Speaks::yes},
      {"/a$", "/a.mp4", Speaks::no},
      {"*.mp4$", "/a.mp4", Speaks::yes},
      {"", "/a.mp4", Speaks::yes},
      {"a.mp4", "/a.mp4", Speaks::unclear},
      {"*/../a.mp4", "/a.mp4", Speaks::unclear},
      {"https:a.mp4", "/a.mp4", Speaks::unclear},
      {"\\a.mp4", "/a.mp4", Speaks::unclear},
  };
  for (const Case& row : cases) {
    EXPECT_EQ(speaks_for(row.location, row.path), row.speaks) << row.location << " " << row.path;
  }
}

// --- files ---

constexpr std::string_view kRdf = "http://www.w3.org/1999/02/22-rdf-syntax-ns#";
const std::string kStoreBox("jumdc2pa\x00\x11\x00\x10\x80\x00\x00\xAA\x00\x38\x9B\x71", 20);

class MarkFiles : public ::testing::Test {
 protected:
  std::vector<Mark> marks_of(const std::string& path, const std::string& bytes,
                             const std::string& library = "") {
    DeliveredFile file{path, folder_.path() / path};
    make_folders(file.file.parent_path());
    write_file(file.file, bytes);
    const Fd fd = open_read(file.file);
    return read_marks(file, folder_.path(), fd, Limits(),
                      {.program = CLEARED_CURATE_MEDIA, .c2pa_library = library});
  }
  void sidecar(const std::string& path, const std::string& text) {
    make_folders((folder_.path() / path).parent_path());
    write_file(folder_.path() / path, text);
  }
  testing::TemporaryFolder folder_;
};

TEST_F(MarkFiles, TracesAreFoundAcrossTheEdgesOfChunks) {
  constexpr size_t kChunk = 1 << 20;
  for (size_t before = kChunk - 50; before <= kChunk + 1; ++before) {
    const auto path = folder_.path() / "f";
    write_file(path, std::string(before, 'x') + std::string(kRdf) + kStoreBox);
    const MarkTraces traces = find_mark_traces(open_read(path).get());
    ASSERT_TRUE(traces.c2pa) << before;
    ASSERT_THAT(traces.xmp, ElementsAre(before));
  }
  write_file(folder_.path() / "g", std::string(100, 'x') + "jumdc2pa" + std::string(kRdf, 0, 40));
  const MarkTraces none = find_mark_traces(open_read(folder_.path() / "g").get());
  EXPECT_FALSE(none.c2pa);
  EXPECT_THAT(none.xmp, IsEmpty());
}

TEST_F(MarkFiles, PlainFootageHasNone) {
  EXPECT_THAT(marks_of("a.mkv", testing::make_media({})), IsEmpty());
}

TEST_F(MarkFiles, EveryXmpPacketOfAFileCounts) {
  const std::string media = testing::make_media({});
  const auto no = packet("<plus:DataMining>DMI-PROHIBITED</plus:DataMining>");
  const auto yes = packet("<plus:DataMining>DMI-ALLOWED</plus:DataMining>");
  EXPECT_THAT(said(marks_of("a.mkv", media + yes + no)),
              ElementsAre("plus.data-mining allowed", "plus.data-mining no"));
  EXPECT_THAT(said(marks_of("b.mkv", media + no.substr(0, no.size() - 20))),
              ElementsAre("xmp unclear"));
  // In JSON it is no packet.
  EXPECT_THAT(marks_of("c.mkv", media + "{\"rdf\": \"" + std::string(kRdf) + "\"}"), IsEmpty());
  const auto remote = packet("<dcterms:provenance>https://a.example/m</dcterms:provenance>");
  EXPECT_THAT(said(marks_of("d.mkv", media + remote)), ElementsAre("c2pa unclear"));
}

// Nobody reads it, so nobody may take it for silence.
TEST_F(MarkFiles, XmpInWideCharactersIsRefused) {
  const std::string media = testing::make_media({});
  const auto no = packet("<plus:DataMining>DMI-PROHIBITED</plus:DataMining>");
  for (const size_t bytes : {2U, 4U}) {
    for (const bool big_endian : {false, true}) {
      std::string wide;
      for (const char c : no) {
        const std::string zeros(bytes - 1, '\0');
        wide += big_endian ? zeros + c : c + zeros;
      }
      const auto marks = marks_of("a.mkv", media + wide);
      ASSERT_THAT(said(marks), ElementsAre("xmp unclear")) << bytes << " " << big_endian;
      EXPECT_THAT(marks[0].value, HasSubstr("UTF-16"));
    }
  }
  constexpr size_t kChunk = 1 << 20;
  for (size_t before = kChunk - 180; before <= kChunk + 1; ++before) {
    std::string bytes(before, 'x');
    for (const char c : std::string(kRdf)) bytes += std::string(3, '\0') + c;
    write_file(folder_.path() / "f", bytes);
    ASSERT_TRUE(find_mark_traces(open_read(folder_.path() / "f").get()).wide_xmp) << before;
  }
}

TEST_F(MarkFiles, SidecarsOfTheFileAndOfEveryFolderAboveIt) {
  const std::string media = testing::make_media({});
  sidecar("2026/a.mkv.tdmrep.json", R"({"tdm-reservation": 0})");
  sidecar("2026/rsl.xml",
          "<rsl><content url='/a.mkv'><license><prohibits type='usage'>all"
          "</prohibits></license></content></rsl>");
  sidecar(".well-known/tdmrep.json", R"([{"location": "/2026/*", "tdm-reservation": 1}])");
  sidecar("tdmrep.json", R"([{"location": "/2025/*", "tdm-reservation": 1}])");
  EXPECT_THAT(said(marks_of("2026/a.mkv", media)),
              ElementsAre("tdm-reservation allowed", "rsl no", "tdm-reservation no"));
  EXPECT_THAT(said(marks_of("2026/b.mkv", media)), ElementsAre("tdm-reservation no"));
  EXPECT_THAT(marks_of("c.mkv", media), IsEmpty());
  for (const char* name : {"e", "e.mkv"}) {
    sidecar(std::string(name) + ".tdmrep.json", R"({"tdm-reservation": 1})");
    sidecar(std::string(name) + ".rsl.xml", "<rsl/>");
    EXPECT_THAT(said(marks_of("e.mkv", media)), ElementsAre("tdm-reservation no", "rsl unclear"));
    std::filesystem::remove(folder_.path() / (std::string(name) + ".tdmrep.json"));
    std::filesystem::remove(folder_.path() / (std::string(name) + ".rsl.xml"));
  }
  sidecar("d.mkv.rsl.xml", std::string(2 << 20, ' '));
  EXPECT_THAT(said(marks_of("d.mkv", media)), ElementsAre("rsl unclear"));
}

TEST_F(MarkFiles, XmpBesideAFileIsReadAsInIt) {
  const std::string media = testing::make_media({});
  const auto no = packet("<plus:DataMining>DMI-PROHIBITED</plus:DataMining>");
  const auto yes = packet("<plus:DataMining>DMI-ALLOWED</plus:DataMining>");
  const auto remote = packet("<dcterms:provenance>https://a.example/m</dcterms:provenance>");
  for (const char* name : {"a.xmp", "a.mkv.xmp", "A.XMP"}) {
    sidecar(name, "<?xpacket?><x:xmpmeta xmlns:x='adobe:ns:meta/'>" + no + "</x:xmpmeta>");
    const auto marks = marks_of("a.mkv", media);
    ASSERT_THAT(said(marks), ElementsAre("plus.data-mining no")) << name;
    EXPECT_EQ(marks[0].place, "XMP plus:DataMining in " + std::string(name));
    std::filesystem::remove(folder_.path() / name);
  }
  const std::vector<std::pair<std::string, std::vector<std::string>>> cases = {
      {yes, {"plus.data-mining allowed"}},
      {yes + no, {"plus.data-mining allowed", "plus.data-mining no"}},
      {remote, {"c2pa unclear"}},
      {no.substr(0, no.size() - 20), {"xmp unclear"}},
      {"", {"xmp unclear"}},
      {"{\"rdf\": \"" + std::string(kRdf) + "\"}", {"xmp unclear"}}};
  for (const auto& [text, says] : cases) {
    sidecar("a.xmp", text);
    EXPECT_EQ(said(marks_of("a.mkv", media)), says) << text;
  }
}

// As licensors' systems write it; left aside it would hide a no.
TEST_F(MarkFiles, TheCaseOfASidecarsNameDoesNotCount) {
  const std::string media = testing::make_media({});
  const std::string tdmrep = R"({"tdm-reservation": 1})", rsl = "<rsl/>";
  const std::vector<std::tuple<std::string, std::string, std::string>> cases = {
      {"A.TDMREP.JSON", tdmrep, "tdm-reservation no"},
      {"a.mkv.TdmRep.json", tdmrep, "tdm-reservation no"},
      {"TDMREP.JSON", tdmrep, "tdm-reservation no"},
      {".Well-Known/TDMRep.json", tdmrep, "tdm-reservation no"},
      {"a.RSL.xml", rsl, "rsl unclear"},
      {"RSL.XML", rsl, "rsl unclear"},
      {"License.xml", rsl, "rsl unclear"},
      {"a.C2PA", "x", "c2pa unclear"}};
  for (const auto& [name, text, says] : cases) {
    sidecar(name, text);
    EXPECT_THAT(said(marks_of("a.mkv", media)), ElementsAre(says)) << name;
    std::filesystem::remove(folder_.path() / name);
  }
}

// Of a file that no licence covers nothing is parsed; what lies beside it is heard.
TEST_F(MarkFiles, OfAFileThatStaysOutWhatLiesBesideItIsRead) {
  write_file(folder_.path() / "a.mkv",
             packet("<plus:DataMining>DMI-PROHIBITED</plus:DataMining>") + kStoreBox);
  sidecar("a.tdmrep.json", R"({"tdm-reservation": 1})");
  sidecar("a.c2pa", "x");
  const DeliveredFile file{"a.mkv", folder_.path() / "a.mkv"};
  const Fd fd = open_read(file.file);
  EXPECT_THAT(said(read_marks(file, folder_.path(), fd, Limits(), {.program = CLEARED_CURATE_MEDIA},
                              {}, LookFor::beside_alone)),
              ElementsAre("tdm-reservation no"));
}

// Whatever it leads to, nobody delivered it; left aside it would hide a no.
TEST_F(MarkFiles, SidecarsThatAreLinksAreUnclear) {
  const std::string media = testing::make_media({});
  sidecar("elsewhere/tdmrep.json", R"({"tdm-reservation": 0})");
  struct Case {
    const char *link, *says;
  };
  for (const Case& one : {Case{"a.mkv.tdmrep.json", "tdm-reservation unclear"},
                          {"a.mkv.rsl.xml", "rsl unclear"},
                          {"a.mkv.c2pa", "c2pa unclear"},
                          {"a.c2pa", "c2pa unclear"},
                          {"tdmrep.json", "tdm-reservation unclear"},
                          {".well-known", "tdm-reservation unclear"},
                          {"rsl.xml", "rsl unclear"},
                          {"license.xml", "rsl unclear"}}) {
    const auto link = folder_.path() / one.link;
    for (const char* to : {"elsewhere/tdmrep.json", "elsewhere", "nowhere"}) {
      std::filesystem::create_symlink(to, link);
      const auto marks = marks_of("a.mkv", media);
      ASSERT_THAT(said(marks), ElementsAre(one.says)) << one.link << " " << to;
      EXPECT_THAT(marks[0].value, HasSubstr("is a link"));
      std::filesystem::remove(link);
    }
  }
}

TEST_F(MarkFiles, ManifestsThatNobodyCanReadAreNoYes) {
  const std::string bytes = testing::make_media({}) + kStoreBox;
  for (const char* library : {"", "/nowhere/libc2pa_c.so", "/etc/hostname"}) {
    const auto marks = marks_of("a.mkv", bytes, library);
    ASSERT_THAT(said(marks), ElementsAre("c2pa unclear")) << library;
    EXPECT_THAT(marks[0].value, HasSubstr("c2pa-python"));
  }
}

TEST_F(MarkFiles, HostileBytesNeverEndInSilence) {
  const std::string good = packet("<plus:DataMining>DMI-PROHIBITED</plus:DataMining>");
  unsigned random = 1;
  for (int i = 0; i < 60; ++i) {
    std::string bytes = "xx" + good;
    for (int flips = 0; flips < 3; ++flips) {
      random = random * 1664525 + 1013904223;
      const size_t at = random % bytes.size();
      // What makes the bytes be noticed at all, and what they say, stays.
      const size_t rdf = bytes.find(kRdf) - 4, plus = bytes.find("xmlns:plus");
      if ((at >= rdf && at < rdf + kRdf.size() + 8) || at >= plus) continue;
      bytes[at] = static_cast<char>(random >> 16);
    }
    EXPECT_THAT(marks_of("a.bin", bytes), ::testing::Not(IsEmpty())) << bytes;
  }
}

}  // namespace
}  // namespace cleared::curate
