// Shards are read back by programs nobody here wrote: Python's tarfile, and PyPI's webdataset where
// the project's virtual environment has it.
#include "ledger/shard.h"

#include <cstdlib>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ledger/base/file.h"
#include "ledger/bundle.h"
#include "ledger/digest.h"
#include "ledger/merkle.h"
#include "tests/ledger/world.h"

namespace cleared::ledger {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::StartsWith;

std::vector<SampleMembers> samples() {
  return {{"a", {{"webm", std::string(1000, 'w')}, {"txt", ""}}, sha256("clip a"), 5},
          {"b", {{"webm", std::string(512, 'v')}, {"txt", "words"}}, sha256("clip b"), 7}};
}

TEST(Shard, TheSameSamplesGiveTheSameBytes) {
  const TempFolder folder;
  write_shard(folder / "1", "x.tar", samples(), {"B@1", "A@1", "B@1"});
  const Manifest m = write_shard(folder / "2", "x.tar", samples(), {"A@1", "B@1"});
  const std::string tar = read_file(folder / "1/x.tar");
  EXPECT_EQ(tar, read_file(folder / "2/x.tar"));
  EXPECT_EQ(read_file(folder / "1/x.tar.manifest"), read_file(folder / "2/x.tar.manifest"));
  EXPECT_EQ(m.digest, sha256(tar));
  EXPECT_EQ(m.size_bytes, tar.size());
  EXPECT_EQ(m.licences, (std::vector<std::string>{"A@1", "B@1"}));
  for (size_t i = 0; i < 2; ++i) {
    const ManifestSample& s = m.samples[i];
    const std::string bytes = tar.substr(s.offset, s.size_bytes);
    EXPECT_EQ(sha256(bytes), s.digest);
    EXPECT_EQ(parse_sample(bytes, s.key), samples()[i].members);
  }
}

TEST(Shard, TheRootIsOverTheLinesOfItsSamples) {
  const TempFolder folder;
  const Manifest m = write_shard(folder.path(), "x.tar", samples(), {});
  std::vector<Digest> leaves;
  for (const ManifestSample& s : m.samples) {
    leaves.push_back(leaf_digest(as_bytes(s.key + " " + to_hex(s.digest) + " " + to_hex(s.clip) +
                                          " " + std::to_string(s.duration_us) + " " +
                                          std::to_string(s.size_bytes) + "\n")));
  }
  EXPECT_EQ(shard_root(m), node_digest(leaves[0], leaves[1]));
}

int run(const std::string& command) {
  return std::system(command.c_str());
}

TEST(Shard, PythonsTarfileReadsIt) {
  const TempFolder folder;
  write_shard(folder.path(), "x.tar", samples(), {});
  if (run("python3 -c 'import tarfile'") != 0) GTEST_SKIP() << "no python3 here";
  write_file(folder / "read.py", R"(import sys, tarfile
tar = tarfile.open(sys.argv[1])
seen = [(m.name, m.size, m.mtime, m.uid, m.gid, m.mode, m.isreg()) for m in tar]
assert seen == [("a.txt", 0, 0, 0, 0, 0o644, True), ("a.webm", 1000, 0, 0, 0, 0o644, True),
                ("b.txt", 5, 0, 0, 0, 0o644, True), ("b.webm", 512, 0, 0, 0, 0o644, True)], seen
assert tar.extractfile("b.txt").read() == b"words"
)");
  EXPECT_EQ(run("python3 " + (folder / "read.py").string() + " " + (folder / "x.tar").string()), 0);
}

TEST(Shard, WebdatasetReadsIt) {
  const TempFolder folder;
  write_shard(folder.path(), "x.tar", samples(), {});
  const std::string python = "../.deps/venv/bin/python";
  if (!fs::exists(python)) GTEST_SKIP() << "no " << python;
  // Without CUDA's libraries PyTorch is there but cannot be loaded; webdataset needs none to read.
  write_file(folder / "read_shard.py", R"(import sys
sys.modules["torch"] = None
import webdataset
seen = [(s["__key__"], s["txt"], s["webm"]) for s in webdataset.WebDataset(sys.argv[1], shardshuffle=False)]
assert seen == [("a", b"", b"w" * 1000), ("b", b"words", b"v" * 512)], seen
)");
  EXPECT_EQ(
      run(python + " " + (folder / "read_shard.py").string() + " " + (folder / "x.tar").string()),
      0);
}

TEST(Manifest, ParsesOnlyWhatFormatWrites) {
  const TempFolder folder;
  const Manifest m = write_shard(folder.path(), "x.tar", samples(), {"A@1", "B@2"});
  const std::string good = format_manifest(m);
  const std::string digest = to_hex(m.samples[0].digest);
  EXPECT_EQ(format_manifest(parse_manifest(good, "m")), good);
  const std::pair<std::string, const char*> cases[] = {
      {"", "m:1: is not \"cleared shard manifest v1\""},
      {replaced(good, " v1", " v2"), "m:1: "},
      {good + "\n", "m:7: says 2 samples, but 3 lines follow"},
      {" " + good, "m:1: "},
      {replaced(good, "x.tar", "../x.tar"), "no plain file name"},
      {replaced(good, "x.tar", "a/x.tar"), "no plain file name"},
      {replaced(good, "x.tar", ""), "no plain file name"},
      {replaced(good, "x.tar", "x.tar y"), "m:2: goes on"},
      {replaced(good, "x.tar\n", "x.tar \n"), "m:2: goes on"},
      {replaced(good, "size_bytes ", "size_bytes 0"), "m:4: has"},
      {replaced(good, "size_bytes ", "size_bytes 1"), "do not add up"},
      {replaced(good, "size_bytes ", "size_bytes -"), "m:4: has"},
      {replaced(good, "licence A@1", "licence "), "m:5: names no licence"},
      {replaced(good, "licence A@1", "license A@1"), "m:5: does not begin with \"samples\""},
      {replaced(good, "licence A@1", "licence C@1"), "m:6: is not sorted"},
      {replaced(good, "licence A@1", "licence B@2"), "m:6: is not sorted"},
      {replaced(good, "samples 2", "samples 3"), "m:7: says 3 samples"},
      {replaced(good, "samples 2", "samples 18446744073709551615"), "m:7: says"},
      {replaced(good, "samples 2", "samples 18446744073709551616"), "m:7: has"},
      {replaced(good, "\na ", "\na. "), "m:8: has a key"},
      {replaced(good, "\na ", "\n "), "m:8: has a key"},
      {replaced(good, digest, replaced(digest, digest.substr(0, 1), "G")), "m:8: has"},
      {replaced(good, digest, digest.substr(1)), "m:8: has"},
      {replaced(good, digest, digest + " "), "m:8: has"},
      {replaced(good, " 5 ", " 05 "), "m:8: has"},
      {replaced(good, " 5 ", " 5  "), "m:8: has"},
      {replaced(good, " 5 ", " 0x5 "), "m:8: has"},
      {replaced(good, " 7 ", " 7 18446744073709550000 "), "m:9: goes on"},
      {replaced(good, " 7 ", " 7 99999999"), "larger than its tar"},
      {replaced(good, " 5 2048", " 5 2560"), "do not add up"},
      {good.substr(0, good.size() - 1), "m:9: is cut short"},
      {replaced(good, "\n", "\r\n"), "m:1: "},
  };
  for (const auto& [bad, what] : cases) {
    EXPECT_THAT(error_of([&, &text = bad] { parse_manifest(text, "m"); }),
                testing::AllOf(StartsWith("corrupt: m"), HasSubstr(what)))
        << bad;
  }
  fs::copy(folder / "x.tar.manifest", folder / "y.tar.manifest");
  EXPECT_THAT(error_of([&] { read_manifest(folder / "y.tar"); }),
              testing::AllOf(StartsWith("corrupt"), HasSubstr("manifest of x.tar")));
}

// Digits are read eight at a time: every byte at every place among them.
TEST(Manifest, ADigestIsOfLowerCaseHexadecimalDigits) {
  const TempFolder folder;
  const Manifest m = write_shard(folder.path(), "x.tar", samples(), {"A@1"});
  const std::string good = format_manifest(m);
  const size_t at = good.find(to_hex(m.samples[0].digest));
  ASSERT_NE(at, std::string::npos);
  for (size_t place = 0; place < 64; ++place) {
    for (int byte = 0; byte < 256; ++byte) {
      std::string text = good;
      text[at + place] = static_cast<char>(byte);
      const bool digit =
          std::string_view("0123456789abcdef").find(text[at + place]) != std::string_view::npos;
      try {
        EXPECT_EQ(format_manifest(parse_manifest(text, "m")), text) << byte << " at " << place;
        EXPECT_TRUE(digit) << byte << " at " << place;
      } catch (const Error&) {
        EXPECT_FALSE(digit) << byte << " at " << place;
      }
    }
  }
}

// Lines are parsed and hashed in pieces on all cores; the pieces must not show.
TEST(Manifest, TheRootOfTheLinesIsTheRootOfTheSamples) {
  for (const size_t count : {0U, 1U, 2U, 1023U, 1024U, 1025U, 2048U, 2049U, 5000U}) {
    Manifest m;
    m.name = "x.tar";
    m.size_bytes = 1024;
    for (size_t i = 0; i < count; ++i) {
      m.samples.push_back({"s" + std::to_string(i), m.size_bytes - 1024, 512 * (i % 3),
                           sha256(std::to_string(i)), sha256("clip"), i});
      m.size_bytes += 512 * (i % 3);
    }
    Digest root;
    const Manifest parsed = parse_manifest(format_manifest(m), "m", &root);
    EXPECT_EQ(root, shard_root(m)) << count;
    EXPECT_EQ(format_manifest(parsed), format_manifest(m)) << count;
    for (size_t i = 0; i < count; ++i) ASSERT_EQ(parsed.samples[i].offset, m.samples[i].offset);
  }
}

TEST(Sample, TakesOnlyWhatTheWriterWrites) {
  const TempFolder folder;
  const Manifest m = write_shard(folder.path(), "x.tar", samples(), {});
  const std::string good =
      read_range(folder / "x.tar", m.samples[0].offset, m.samples[0].size_bytes);
  const auto refused = [](const std::string& bytes, const std::string& key = "a") {
    return error_of([&] { parse_sample(bytes, key); });
  };
  EXPECT_EQ(refused(good), "");
  EXPECT_THAT(refused(good, "b"), StartsWith("corrupt"));
  for (const size_t size : {1UL, 511UL, 513UL, good.size() - 1, good.size() - 512}) {
    EXPECT_THAT(refused(good.substr(0, size)), StartsWith("corrupt: sample a")) << size;
  }
  EXPECT_THAT(refused(good + good), HasSubstr("twice"));
  EXPECT_THAT(refused(good + std::string(512, '\0')), StartsWith("corrupt"));
  for (size_t at = 0; at < 512; ++at) {  // any byte of a header
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x10);
    EXPECT_THAT(refused(bad), StartsWith("corrupt")) << at;
  }
}

TEST(Bundle, IsNamedByItsContent) {
  const TempFolder folder;
  Fact fact;
  fact.mutable_refusal()->set_rule("no_licence");
  const fs::path path = write_bundle(folder.path(), {fact, fact});
  EXPECT_EQ(write_bundle(folder.path(), {fact, fact}), path);
  EXPECT_EQ(read_bundle(path).size(), 2U);
  std::string bytes = read_file(path);
  EXPECT_EQ(path.filename(), to_hex(sha256(bytes)) + ".bundle");
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  write_file(path, bytes);
  EXPECT_THAT(error_of([&] { read_bundle(path); }), StartsWith("corrupt"));
  const std::string no_bundle = "\x0a\xff";
  const fs::path named = folder / (to_hex(sha256(no_bundle)) + ".bundle");
  write_file(named, no_bundle);
  EXPECT_THAT(error_of([&] { read_bundle(named); }), HasSubstr("does not parse"));
}

// Whoever may hand in a bundle, a worker or a training node, could otherwise make itself an
// approver or push a licence aside.
TEST(Bundle, HoldsOnlyWhatCurateAndTrainWrite) {
  const std::set<std::string> written = {"source",         "fingerprint", "clip",      "duplicate",
                                         "measure",        "mark",        "clearance", "shard",
                                         "sample",         "run",         "receipt",   "consumed",
                                         "consumed_shard", "checkpoint",  "refusal"};
  const TempFolder folder;
  const google::protobuf::Descriptor& fields = *Fact::descriptor();
  for (int i = 0; i < fields.field_count(); ++i) {
    if (fields.field(i)->containing_oneof() == nullptr) continue;
    Fact fact;
    fact.GetReflection()->MutableMessage(&fact, fields.field(i));
    const std::string kind = fields.field(i)->name();
    const fs::path path = write_bundle(folder.path(), {fact});
    EXPECT_THAT(error_of([&] { read_bundle(path); }),
                written.contains(kind) ? testing::Eq("")
                                       : testing::Matcher<std::string>(testing::AllOf(
                                             StartsWith("permission: bundle"), HasSubstr(kind),
                                             HasSubstr("ledger "))));
  }
}

}  // namespace
}  // namespace cleared::ledger
