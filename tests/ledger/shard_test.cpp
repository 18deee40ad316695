// Shards are read back by programs nobody here wrote: Python's tarfile, and PyPI's webdataset where
// the project's virtual environment has it.
#include "ledger/shard.h"

#include <cstdlib>

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
  const Manifest m = write_shard(folder.path(), "x.tar", samples(), {"A@1"});
  const std::string good = format_manifest(m);
  EXPECT_EQ(format_manifest(parse_manifest(good, "m")), good);
  for (const std::string& bad :
       {std::string(), good + "\n", good + "# a comment\n", " " + good,
        replaced(good, "x.tar", "../x.tar"), replaced(good, "x.tar", "a/x.tar"),
        replaced(good, "x.tar", ""), replaced(good, "sha256:", "sha512:"),
        replaced(good, "offset: 0", "offset: 00"), replaced(good, "offset: 0", "offset: -1"),
        replaced(good, "licence", "license"), good.substr(0, good.size() / 2)}) {
    EXPECT_THAT(error_of([&] { parse_manifest(bad, "m"); }), StartsWith("corrupt: m")) << bad;
  }
  fs::copy(folder / "x.tar.manifest", folder / "y.tar.manifest");
  EXPECT_THAT(error_of([&] { read_manifest(folder / "y.tar"); }),
              testing::AllOf(StartsWith("corrupt"), HasSubstr("manifest of x.tar")));
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
TEST(Bundle, HoldsNoKeysAndNoLicences) {
  const TempFolder folder;
  Fact key;
  key.mutable_key()->set_role("approver");
  Fact licence;
  licence.mutable_licence()->set_id("LIC-1");
  for (const Fact& fact : {key, licence}) {
    const fs::path path = write_bundle(folder.path(), {fact});
    EXPECT_THAT(error_of([&] { read_bundle(path); }), StartsWith("permission: bundle"));
  }
}

}  // namespace
}  // namespace cleared::ledger
