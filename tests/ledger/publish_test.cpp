// A log as static files, and whoever follows it from outside. What a folder must hold is computed
// here from the definition in C2SP tlog-tiles with root_digest(), which merkle_test.cpp checks
// against RFC 6962: nothing of the code that publishes is used for it.
#include "ledger/publish.h"

#include <map>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "ledger/base/file.h"
#include "ledger/base/folder.h"
#include "ledger/cosignature.h"
#include "ledger/follow.h"
#include "ledger/merkle.h"
#include "ledger/tile_reader.h"
#include "ledger/tiles.h"
#include "tests/ledger/world.h"

namespace cleared::ledger {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::AnyOf;
using testing::HasSubstr;
using testing::StartsWith;
using Files = std::map<std::string, std::string>;  // path: bytes

// A log in memory. Records have all lengths from 0 to 12 bytes, and no two are alike.
struct MemoryLog {
  SignerKey key = new_signer_key("test.example/log");
  std::vector<std::string> records;
  std::vector<Digest> leaves;

  explicit MemoryLog(size_t size) {
    for (size_t i = 0; i < size; ++i) add("record " + std::to_string(i));
    if (size > 3) change(3, "");
  }
  void add(const std::string& record) {
    records.push_back(record);
    leaves.push_back(leaf_digest(as_bytes(record)));
  }
  void change(size_t seq, const std::string& record) {
    records[seq] = record;
    leaves[seq] = leaf_digest(as_bytes(record));
  }
  Digest root(uint64_t size) const { return root_digest(std::span(leaves).first(size)); }
  std::string head(uint64_t size) const {
    Note note{format_tree_head({key.verifier.name, size, root(size)}), {}};
    add_signature(note, key);
    return format_note(note);
  }
  LogSource source(uint64_t size) const {
    return {
        {key.verifier},
        head(size),
        [this](uint64_t n) { return root(n); },
        [this](uint64_t begin, uint64_t end, const std::function<void(std::string_view)>& each) {
          for (uint64_t i = begin; i < end; ++i) each(records[i]);
        }};
  }

  // The files of a tree of `size` records, by the definition.
  Files tree_files(uint64_t size) const {
    Files files;
    for (uint64_t span = 1; span <= size; span *= 256) {
      const unsigned level = span == 1 ? 0 : span == 256 ? 1 : 2;
      for (uint64_t i = 0; i < size / span; ++i) {
        const Digest digest = root_digest(std::span(leaves).subspan(i * span, span));
        const uint64_t width = std::min<uint64_t>(256, size / span - i / 256 * 256);
        files[tile_path(level, i / 256, static_cast<unsigned>(width))] += digest.text();
      }
    }
    for (uint64_t i = 0; i < size; ++i) {
      const uint64_t width = std::min<uint64_t>(256, size - i / 256 * 256);
      std::string& bundle = files[entries_path(i / 256, static_cast<unsigned>(width))];
      bundle += '\0';
      bundle += static_cast<char>(records[i].size());
      bundle += records[i];
    }
    return files;
  }
};

// Everything under a folder; a folder without files would show as a name with a slash.
Files files_of(const fs::path& folder) {
  Files files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const std::string name = fs::relative(entry.path(), folder);
    if (entry.is_regular_file()) files[name] = read_file(entry.path());
    if (entry.is_directory() && fs::is_empty(entry.path())) files[name + "/"] = "";
  }
  return files;
}

std::string names_of(const Files& files) {
  std::string names;
  for (const auto& [name, bytes] : files) names += name + " ";
  return names;
}

// Leaves out partial tiles whose full one is there, as publishing does.
void drop_replaced(Files& files) {
  std::erase_if(files, [&](const auto& file) {
    const size_t at = file.first.find(".p/");
    return at != std::string::npos && files.contains(file.first.substr(0, at));
  });
}

Files with_head(Files files, const std::string& head) {
  files["checkpoint"] = head;
  return files;
}

TEST(Publish, EverySizeIsTheSameFromScratchAndByOneRecordMore) {
  const MemoryLog log(600);
  const TempFolder folder;
  const fs::path web = folder / "web";
  Files expected;
  for (uint64_t size = 1; size <= log.records.size(); ++size) {
    const Files tree = log.tree_files(size);
    for (const auto& [name, bytes] : tree) expected[name] = bytes;
    drop_replaced(expected);
    ASSERT_EQ(publish(web, log.source(size)).refusal, "");
    if (size % 50 < 3 || size % 256 < 3 || size % 256 > 253) {
      const Files there = files_of(web);
      ASSERT_EQ(names_of(there), names_of(with_head(expected, ""))) << size;
      ASSERT_EQ(there, with_head(expected, log.head(size))) << size;
      const fs::path fresh = folder / ("fresh" + std::to_string(size));
      publish(fresh, log.source(size));
      ASSERT_EQ(files_of(fresh), with_head(tree, log.head(size))) << size;
      fs::remove_all(fresh);
    }
  }
}

TEST(Publish, AnySequenceOfSizesEndsTheSame) {
  const MemoryLog log(66'000);  // has a tile of level 2
  const TempFolder folder;
  std::mt19937 random(1);
  for (const uint64_t last : {65'536U, 66'000U}) {
    const fs::path web = folder / "web";
    uint64_t size = 0;
    Files expected;
    while (size < last) {
      size = std::min<uint64_t>(last, size + 1 + random() % 60'000);
      publish(web, log.source(size));
      for (const auto& [name, bytes] : log.tree_files(size)) expected[name] = bytes;
      drop_replaced(expected);
    }
    EXPECT_TRUE(files_of(web) == with_head(expected, log.head(last))) << last;
    fs::remove_all(web);
  }
}

TEST(Publish, AgainDoesNothing) {
  const MemoryLog log(300);
  const TempFolder folder;
  EXPECT_EQ(publish(folder / "web", log.source(300)).files, 6U);
  const Files before = files_of(folder / "web");
  for (const bool all : {false, true}) {
    PublishOptions options;
    options.all = all;
    const PublishReport report = publish(folder / "web", log.source(300), options);
    EXPECT_EQ(report.files, 0U);
    EXPECT_EQ(report.there, report.head);
    EXPECT_EQ(files_of(folder / "web"), before);
  }
}

TEST(Publish, ADryRunWritesNothingAndSaysTheSame) {
  const MemoryLog log(600);
  const TempFolder folder;
  PublishOptions dry;
  dry.dry_run = true;
  for (const uint64_t size : {10U, 300U, 600U}) {
    const bool there = fs::exists(folder / "web");
    const Files before = there ? files_of(folder / "web") : Files();
    const PublishReport would = publish(folder / "web", log.source(size), dry);
    EXPECT_EQ(fs::exists(folder / "web"), there);
    EXPECT_EQ(there ? files_of(folder / "web") : Files(), before);
    const PublishReport did = publish(folder / "web", log.source(size));
    EXPECT_EQ(would.files, did.files);
    EXPECT_EQ(would.bytes, did.bytes);
  }
}

TEST(Publish, WhatAKilledPublisherLeftIsFinished) {
  const MemoryLog log(600);
  const TempFolder folder;
  publish(folder / "done", log.source(200));
  publish(folder / "done", log.source(600));
  // Killed before the head: files of 600 are there, or of a size never published.
  publish(folder / "web", log.source(200));
  for (const uint64_t size : {300U, 600U}) {
    for (const auto& [name, bytes] : log.tree_files(size)) {
      make_folders((folder / "web" / name).parent_path());
      write_file(folder / "web" / name, bytes);
    }
  }
  make_folders(folder / "web/.publish");
  write_file(folder / "web/.publish/0", "cut sho");
  write_file(folder / "web/.publish/checkpoint", "half");
  EXPECT_EQ(publish(folder / "web", log.source(600)).files, 1U);
  Files there = files_of(folder / "web");
  EXPECT_EQ(there.erase("tile/1/000.p/1"), 1U);  // of 300: replaced by no full tile yet
  EXPECT_EQ(there, files_of(folder / "done"));
  // Killed after the head, before old partial tiles went: the note of where to go on is there.
  make_folders(folder / "web/.publish");
  write_file(folder / "web/.publish/tidy-from", "200");
  for (const auto& [name, bytes] : log.tree_files(200)) {
    make_folders((folder / "web" / name).parent_path());
    write_file(folder / "web" / name, bytes);
  }
  publish(folder / "web", log.source(600));
  there = files_of(folder / "web");
  there.erase("tile/1/000.p/1");
  EXPECT_EQ(there, files_of(folder / "done"));
}

TEST(Publish, AheadOrForkedIsRefusedAndNothingChanges) {
  const MemoryLog log(400);
  MemoryLog fork = log;
  fork.change(100, "another");
  const TempFolder folder;
  publish(folder / "web", log.source(300));
  const Files before = files_of(folder / "web");
  const std::tuple<const MemoryLog*, uint64_t, const char*> cases[] = {
      {&log, 299, "rolled back"}, {&log, 1, "rolled back"}, {&fork, 299, "rolled back"},
      {&fork, 300, "forked"},     {&fork, 301, "forked"},   {&fork, 400, "forked"},
  };
  for (const auto& [source, size, why] : cases) {
    for (const bool all : {false, true}) {
      PublishOptions options;
      options.all = all;
      const PublishReport report = publish(folder / "web", source->source(size), options);
      EXPECT_THAT(report.refusal, HasSubstr(why)) << size;
      EXPECT_EQ(report.note_there, log.head(300));
      EXPECT_EQ(report.note, source->head(size));
      EXPECT_EQ(files_of(folder / "web"), before) << size;
    }
  }
  EXPECT_EQ(publish(folder / "web", log.source(400)).refusal, "");
}

TEST(Publish, RecordsThatDoNotGiveTheSignedRootStayIn) {
  const MemoryLog log(400);
  MemoryLog lies = log;
  lies.records[350] = "changed";
  const TempFolder folder;
  publish(folder / "web", log.source(300));
  const Files before = files_of(folder / "web");
  EXPECT_THAT(error_of([&] { publish(folder / "web", lies.source(400)); }),
              AllOf(StartsWith("corrupt"), HasSubstr("do not give the root")));
  Files after = files_of(folder / "web");
  std::erase_if(after, [](const auto& file) { return file.first.starts_with(".publish/"); });
  EXPECT_EQ(after, before);
  publish(folder / "web", log.source(400));
  EXPECT_FALSE(fs::exists(folder / "web/.publish"));
}

// What may lie in the folder instead of ours: the error, and with --all as well.
TEST(Publish, ADamagedFolderIsNamedAndKept) {
  const MemoryLog log(700);
  const TempFolder folder;
  const auto flip = [](const fs::path& path) {
    std::string bytes = read_file(path);
    bytes[bytes.size() / 2] ^= 1;
    write_file(path, bytes);
  };
  const auto cut = [](const fs::path& path) { write_file(path, read_file(path).substr(1)); };
  const auto link = [](const fs::path& path) {
    fs::rename(path, path.string() + ".away");
    fs::create_symlink(path.string() + ".away", path);
  };
  const auto fifo = [](const fs::path& path) {
    fs::remove(path);
    ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  };
  const auto folder_instead = [](const fs::path& path) {
    fs::remove(path);
    fs::create_directory(path);
  };
  const auto remove = [](const fs::path& path) { fs::remove(path); };
  struct Row {
    const char* file;
    std::function<void(const fs::path&)> damage;
    const char* error;      // without --all
    const char* all_error;  // with
  };
  const Row rows[] = {
      {"checkpoint", flip, "corrupt", "corrupt"},
      {"checkpoint", cut, "corrupt", "corrupt"},
      {"checkpoint", link, "corrupt", "corrupt"},
      {"checkpoint", fifo, "corrupt", "corrupt"},
      {"checkpoint", folder_instead, "corrupt", "corrupt"},
      {"tile/0/002.p/88", flip, "corrupt", "corrupt"},
      {"tile/0/002.p/88", cut, "corrupt", "corrupt"},
      {"tile/0/002.p/88", remove, "corrupt", ""},
      {"tile/0/002.p/88", link, "corrupt", "corrupt"},
      {"tile/0/002.p", link, "corrupt", "corrupt"},
      {"tile/1/000.p/2", flip, "corrupt", "corrupt"},
      {"tile/1/000.p/2", remove, "corrupt", ""},
      {"tile", link, "corrupt", "corrupt"},
      {"tile/entries", link, "corrupt", "corrupt"},
      // Not on the edge: only --all reads them.
      {"tile/0/000", flip, "", "corrupt"},
      {"tile/0/001", cut, "", "corrupt"},
      {"tile/0/001", fifo, "", "corrupt"},
      {"tile/0/001", remove, "", ""},
      {"tile/entries/001", flip, "", "corrupt"},
      {"tile/entries/001", remove, "", ""},
  };
  for (const Row& row : rows) {
    for (const bool all : {false, true}) {
      const fs::path web = folder / "web";
      publish(web, log.source(600));
      row.damage(web / row.file);
      PublishOptions options;
      options.all = all;
      const std::string expected = all ? row.all_error : row.error;
      const std::string error = error_of([&] { publish(web, log.source(700), options); });
      EXPECT_EQ(error.substr(0, error.find(':')), expected) << row.file << " " << error;
      if (!expected.empty()) {
        EXPECT_FALSE(fs::exists(web / "tile/0/002.p/188")) << row.file;
      } else if (all) {
        Files there = files_of(web);
        EXPECT_EQ(there["tile/0/001"], log.tree_files(700)["tile/0/001"]);
        EXPECT_EQ(there["tile/entries/001"], log.tree_files(700)["tile/entries/001"]);
      }
      fs::remove_all(web);
    }
  }
}

TEST(Publish, NamesEveryFileThatDiffers) {
  const MemoryLog log(700);
  const TempFolder folder;
  publish(folder / "web", log.source(600));
  write_file(folder / "web/tile/0/000", "x");
  write_file(folder / "web/tile/entries/001", "y");
  PublishOptions all;
  all.all = true;
  EXPECT_THAT(error_of([&] { publish(folder / "web", log.source(600), all); }),
              HasSubstr(" 2 files there are damaged or not of this log: tile/0/000 tile/entries/001"
                        "; move"));
}

TEST(Publish, NeverWritesThroughALinkAndNeverOverOthersFiles) {
  const MemoryLog log(300);
  const TempFolder folder;
  make_folders(folder / "web");
  make_folders(folder / "elsewhere");
  write_file(folder / "web/index.html", "hello");
  fs::create_directory_symlink(folder / "elsewhere", folder / "web/tile");
  EXPECT_THAT(error_of([&] { publish(folder / "web", log.source(300)); }), StartsWith("corrupt"));
  EXPECT_TRUE(fs::is_empty(folder / "elsewhere"));
  fs::remove(folder / "web/tile");
  // The folder itself may be a link: whoever typed its name said so.
  fs::create_directory_symlink(folder / "web", folder / "link");
  EXPECT_EQ(error_of([&] { publish(folder / "link", log.source(300)); }), "");
  EXPECT_EQ(read_file(folder / "web/index.html"), "hello");
  EXPECT_THAT(error_of([&] { publish(folder / "web/index.html", log.source(300)); }),
              StartsWith("corrupt"));
}

TEST(Publish, PartialTilesGoButNothingElseBesideThem) {
  const MemoryLog log(300);
  const TempFolder folder;
  publish(folder / "web", log.source(200));
  write_file(folder / "web/tile/0/000.p/notes.txt", "mine");
  publish(folder / "web", log.source(300));
  EXPECT_FALSE(fs::exists(folder / "web/tile/0/000.p/200"));
  EXPECT_FALSE(fs::exists(folder / "web/tile/entries/000.p"));
  EXPECT_EQ(read_file(folder / "web/tile/0/000.p/notes.txt"), "mine");
}

TEST(Publish, AnotherLogAndASecondPublisherAreTurnedAway) {
  const MemoryLog log(30);
  const MemoryLog other(30);
  const TempFolder folder;
  publish(folder / "web", log.source(20));
  EXPECT_THAT(error_of([&] { publish(folder / "web", other.source(30)); }),
              AllOf(StartsWith("corrupt"), HasSubstr("not signed by the log's key")));
  Folder lock(folder / "web");
  lock.lock();
  EXPECT_THAT(error_of([&] { publish(folder / "web", log.source(30)); }), StartsWith("busy"));
}

TEST(Publish, OfALedgerChecksEachRecordAgainstItsLeaf) {
  World world;
  const TempFolder folder;
  {
    const Store store(world.ledger, Access::read);
    EXPECT_THAT(error_of([&] { source_of(store); }),
                AllOf(StartsWith("not_found"), HasSubstr("sign-head")));
  }
  Store(world.ledger, Access::append).sign_head(world.log);
  {
    const Store store(world.ledger, Access::read);
    publish(folder / "web", source_of(store));
    Files expected;
    const auto width = static_cast<unsigned>(store.size());
    std::string& bundle = expected[entries_path(0, width)];
    for (uint64_t seq = 0; seq < store.size(); ++seq) {
      const std::string bytes = store.record_bytes(seq);
      bundle += std::string{static_cast<char>(bytes.size() >> 8), static_cast<char>(bytes.size())};
      bundle += bytes;
      expected[tile_path(0, 0, width)] += leaf_digest(as_bytes(bytes)).text();
    }
    EXPECT_EQ(files_of(folder / "web"), with_head(expected, store.newest_head_note()));
  }
  Database::open(world.ledger, Access::append).exec("UPDATE leaf SET bytes = x'00' WHERE seq = 3");
  const Store store(world.ledger, Access::read);
  EXPECT_THAT(error_of([&] { publish(folder / "fresh", source_of(store)); }),
              AllOf(StartsWith("corrupt"), HasSubstr("record 3 is not what its leaf says")));
  EXPECT_FALSE(fs::exists(folder / "fresh/checkpoint"));
}

struct Witnesses {
  SignerKey a = new_signer_key("a.example/w", SignatureType::ed25519_cosignature);
  SignerKey b = new_signer_key("b.example/w", SignatureType::ed25519_cosignature);
  SignerKey c = new_signer_key("c.example/w", SignatureType::ed25519_cosignature);
  WitnessPolicy two_of_three(const MemoryLog& log) const {
    return parse_witness_policy("log " + format_verifier_key(log.key.verifier) + "\nwitness A " +
                                format_verifier_key(a.verifier) + "\nwitness B " +
                                format_verifier_key(b.verifier) + "\nwitness C " +
                                format_verifier_key(c.verifier) + "\ngroup G 2 A B C\nquorum G\n");
  }
  static std::string cosigned(const std::string& text, std::vector<const SignerKey*> keys) {
    Note note = parse_note(text);
    for (const SignerKey* key : keys) add_signature(note, cosign(note.text, *key, 1'700'000'000));
    return format_note(note);
  }
};

TEST(Publish, AHeadCountsOnlyWithItsQuorum) {
  const MemoryLog log(300);
  const Witnesses w;
  const WitnessPolicy policy = w.two_of_three(log);
  const TempFolder folder;
  const fs::path web = folder / "web";
  publish(web, log.source(100));
  PublishOptions options;
  options.policy = &policy;
  EXPECT_THAT(error_of([&] { publish(web, log.source(300), options); }),
              AllOf(StartsWith("busy"), HasSubstr("no cosignature of A, B, C")));
  options.cosign = [&](const std::string& note) { return w.cosigned(note, {&w.b}); };
  EXPECT_THAT(error_of([&] { publish(web, log.source(300), options); }),
              AllOf(StartsWith("busy"), HasSubstr("no cosignature of A, C")));
  // Of another head, or with a broken line.
  options.cosign = [&](const std::string&) { return w.cosigned(log.head(299), {&w.a, &w.b}); };
  EXPECT_THAT(error_of([&] { publish(web, log.source(300), options); }), StartsWith("busy"));
  options.cosign = [&](const std::string& note) {
    Note broken = parse_note(w.cosigned(note, {&w.a, &w.b}));
    broken.signatures[1].signature.back() ^= 1;
    return format_note(broken);
  };
  EXPECT_THAT(error_of([&] { publish(web, log.source(300), options); }),
              AllOf(StartsWith("busy"), HasSubstr("do not verify")));
  EXPECT_EQ(read_file(web / "checkpoint"), log.head(100));

  options.cosign = [&](const std::string& note) { return w.cosigned(note, {&w.c, &w.a}); };
  publish(web, log.source(300), options);
  const std::string cosigned = w.cosigned(log.head(300), {&w.c, &w.a});
  EXPECT_EQ(read_file(web / "checkpoint"), cosigned);
  // Once there, cosignatures stay, with a policy and without, and nobody is asked again.
  options.cosign = [](const std::string&) -> std::string { throw Error(Errc::io, "asked again"); };
  EXPECT_EQ(publish(web, log.source(300), options).files, 0U);
  EXPECT_EQ(publish(web, log.source(300)).files, 0U);
  EXPECT_EQ(read_file(web / "checkpoint"), cosigned);
}

// Follows a folder; "first", "same", "grown", "no: REASON" or the error.
struct Follower {
  TempFolder folder;
  FollowOptions options;
  FollowReport report;

  explicit Follower(const MemoryLog& log) {
    options.log_keys = {log.key.verifier};
    options.state = folder / "state";
  }
  std::string look(const fs::path& web) { return look(fetch_from_folder(web)); }
  std::string look(const Fetch& fetch) {
    options.fetch = fetch;
    const std::string error = error_of([&] { report = follow(options); });
    if (!error.empty()) return error;
    static constexpr const char* kNames[] = {"first", "same", "grown", "no: "};
    return kNames[static_cast<size_t>(report.answer)] + report.reason;
  }
  std::string state() const { return fs::exists(options.state) ? read_file(options.state) : ""; }
};

// A log's files without a folder.
Fetch fetch_from(const Files& files, std::vector<std::string>* asked = nullptr) {
  return [files, asked](const std::string& path, uint64_t limit_bytes) {
    if (asked != nullptr) asked->push_back(path);
    const auto file = files.find(path);
    if (file == files.end()) throw Error(Errc::not_found, path, ": not served");
    if (file->second.size() > limit_bytes) throw Error(Errc::corrupt, path, ": too long");
    return file->second;
  };
}

TEST(Follow, GoesFromEverySizeToEveryLargerOne) {
  const MemoryLog log(66'000);
  const std::vector<uint64_t> sizes = {1,   2,   3,   255,    256,    257,   511,
                                       512, 513, 769, 65'279, 65'536, 66'000};
  std::map<uint64_t, std::string> heads;
  std::map<uint64_t, Digest> roots;
  for (const uint64_t size : sizes) {
    heads[size] = log.head(size);
    roots[size] = open_head(heads[size], {{log.key.verifier}}, "").root;
  }
  for (const uint64_t now : sizes) {
    const Files files = with_head(log.tree_files(now), heads[now]);
    for (const uint64_t before : sizes) {
      if (before > now) break;
      Follower follower(log);
      write_file(follower.options.state, heads[before]);
      EXPECT_EQ(follower.look(fetch_from(files)), before == now ? "same" : "grown");
      EXPECT_EQ(follower.state(), heads[now]);
      TileReader tiles(fetch_from(files), open_head(heads[now], {{log.key.verifier}}, ""));
      EXPECT_TRUE(verify_consistency(before, roots[before], now, roots[now],
                                     tiles.consistency_proof(before)));
      EXPECT_LE(follower.report.tiles, 6U) << before << " " << now;  // two a level
    }
  }
}

TEST(Follow, ReadsTheFullTileWhereThePartialOneIsGone) {
  const MemoryLog log(600);
  const TempFolder folder;
  publish(folder / "web", log.source(600));
  Files files =
      with_head(files_of(folder / "web"), log.head(300));  // an older head, kept by a cache
  EXPECT_FALSE(files.contains("tile/0/001.p/44"));
  Follower follower(log);
  follower.options.mirror = folder / "mirror";
  files.erase("tile/1/000.p/2");
  files["tile/1/000.p/1"] = log.tree_files(300)["tile/1/000.p/1"];
  EXPECT_EQ(follower.look(fetch_from(files)), "first");
  EXPECT_EQ(files_of(folder / "mirror"), with_head(log.tree_files(300), log.head(300)));
}

// A smaller head is a fork when the tiles of the larger one, which are not changed by it, say so.
TEST(Follow, CatchesAForkAndARollbackAndKeepsBothHeads) {
  const MemoryLog log(700);
  MemoryLog fork = log;
  fork.change(100, "another");
  struct Case {
    const MemoryLog* source;
    uint64_t size;
    bool old_tiles;  // are still served
    const char *answer, *suffix;
  };
  const Case cases[] = {
      {&log, 599, false, "no: rolled back", ".refused"},
      {&log, 1, true, "no: rolled back", ".refused"},
      {&fork, 600, false, "no: forked", ".evidence"},
      {&fork, 601, false, "no: forked", ".evidence"},
      {&fork, 700, false, "no: forked", ".evidence"},
      {&fork, 101, true, "no: forked", ".evidence"},
      {&fork, 101, false, "no: rolled back", ".refused"},
      {&fork, 100, true, "no: rolled back", ".refused"},  // its beginning is the same
  };
  for (const auto& [source, size, old_tiles, answer, suffix] : cases) {
    Follower follower(log);
    const Files seen = with_head(log.tree_files(600), log.head(600));
    EXPECT_EQ(follower.look(fetch_from(seen)), "first");
    Files files = with_head(source->tree_files(size), source->head(size));
    if (old_tiles) {
      files = seen;
      files["checkpoint"] = source->head(size);
    }
    for (int again = 0; again < 2; ++again) {
      EXPECT_THAT(follower.look(fetch_from(files)), StartsWith(answer)) << size;
      EXPECT_EQ(follower.report.forked, std::string(suffix) == ".evidence");
      EXPECT_EQ(follower.state(), log.head(600));
      EXPECT_EQ(follower.report.evidence, follower.options.state.string() + suffix);
      EXPECT_EQ(read_file(follower.report.evidence), follower.report.reason +
                                                         "\n\n---- seen before\n" + log.head(600) +
                                                         "---- seen now\n" + source->head(size));
    }
    EXPECT_EQ(follower.look(fetch_from(with_head(log.tree_files(700), log.head(700)))), "grown");
  }
}

// The copy has the tiles that the log does not serve any more.
TEST(Follow, HoldsASmallerHeadAgainstTheCopy) {
  const MemoryLog log(600);
  MemoryLog fork = log;
  fork.change(100, "another");
  Follower follower(log);
  follower.options.mirror = follower.folder / "copy";
  EXPECT_EQ(follower.look(fetch_from(with_head(log.tree_files(600), log.head(600)))), "first");
  EXPECT_THAT(follower.look(fetch_from({{"checkpoint", fork.head(300)}})),
              StartsWith("no: forked: the first 300 records"));
  EXPECT_THAT(follower.look(fetch_from({{"checkpoint", log.head(300)}})),
              StartsWith("no: rolled back"));
}

// Two heads of one size with two roots need no tile, and no witness, to be what they are.
TEST(Follow, AForkIsOneWhateverIsServedWithIt) {
  const MemoryLog log(300);
  MemoryLog fork = log;
  fork.change(100, "another");
  const Witnesses w;
  const WitnessPolicy policy = w.two_of_three(log);
  Follower follower(log);
  write_file(follower.options.state, log.head(200));
  follower.options.policy = &policy;
  EXPECT_THAT(follower.look(fetch_from({{"checkpoint", fork.head(200)}})),
              StartsWith("no: forked"));
  EXPECT_THAT(follower.look(fetch_from(with_head(fork.tree_files(300), fork.head(300)))),
              StartsWith("no: forked"));
  EXPECT_EQ(follower.report.evidence, follower.options.state.string() + ".evidence.2");
}

TEST(Follow, KeepsEveryEvidenceOnce) {
  const MemoryLog log(20);
  MemoryLog fork = log;
  Follower follower(log);
  write_file(follower.options.state, log.head(20));
  const SignerKey any = new_signer_key("any.example");
  for (const char* suffix : {".evidence", ".evidence.2", ".evidence.3"}) {
    fork.change(5, suffix);
    for (int again = 0; again < 3; ++again) {
      Note head = parse_note(fork.head(20));  // whoever serves it adds signatures of his own
      if (again > 0) add_signature(head, any);
      EXPECT_THAT(follower.look(fetch_from(with_head(fork.tree_files(20), format_note(head)))),
                  StartsWith("no: forked"));
      EXPECT_EQ(follower.report.evidence, follower.options.state.string() + suffix);
      EXPECT_THAT(read_file(follower.report.evidence), HasSubstr(fork.head(20)));
    }
  }
}

// Neither heads that the log has not signed, which cost nothing to make, nor its old ones, which
// whoever serves it can show again, take a place of evidence.
TEST(Follow, ReplayedHeadsPushNoEvidenceAway) {
  const MemoryLog log(120);
  MemoryLog fork = log;
  fork.change(5, "");
  Follower follower(log);
  write_file(follower.options.state, log.head(120));
  const std::string state = follower.options.state.string();
  const auto look = [&](const MemoryLog& shown, uint64_t size) {
    return follower.look(fetch_from(with_head(shown.tree_files(size), shown.head(size))));
  };
  for (uint64_t size = 10; size < 115; ++size) {
    EXPECT_THAT(look(log, size), StartsWith("no: rolled back"));
    EXPECT_EQ(read_file(state + ".refused"), follower.report.reason + "\n\n---- seen before\n" +
                                                 log.head(120) + "---- seen now\n" +
                                                 log.head(size));
  }
  for (int i = 0; i < 3; ++i) {
    const MemoryLog other(20);  // with a key of its own
    EXPECT_THAT(look(other, 20), StartsWith("no: checkpoint: is not signed"));
    EXPECT_EQ(follower.report.evidence, state + ".unsigned");
    EXPECT_THAT(read_file(follower.report.evidence), HasSubstr(other.head(20)));
  }
  EXPECT_FALSE(fs::exists(state + ".evidence"));
  EXPECT_THAT(look(fork, 120), StartsWith("no: forked"));
  EXPECT_EQ(follower.report.evidence, state + ".evidence");
}

// That a log signed a hundred contradictions is not less of an answer than one.
TEST(Follow, WritesOverNoEvidence) {
  const MemoryLog log(20);
  MemoryLog fork = log;
  fork.change(5, "");
  Follower follower(log);
  write_file(follower.options.state, log.head(20));
  const std::string evidence = follower.options.state.string() + ".evidence";
  const auto look = [&] {
    return follower.look(fetch_from(with_head(fork.tree_files(20), fork.head(20))));
  };
  for (int i = 1; i <= 99; ++i)
    write_file(evidence + (i == 1 ? "" : "." + std::to_string(i)), std::to_string(i));
  EXPECT_THAT(look(), StartsWith("no: forked"));
  EXPECT_EQ(follower.report.evidence, "");
  EXPECT_EQ(read_file(evidence + ".99"), "99");
  fs::remove(evidence + ".50");
  EXPECT_THAT(look(), StartsWith("no: forked"));
  EXPECT_EQ(follower.report.evidence, evidence + ".50");
}

// One state, two names: the lock is beside the file.
TEST(Follow, AStateIsForOneFollowerWhateverItIsCalled) {
  const MemoryLog log(30);
  const Fetch fetch = fetch_from(with_head(log.tree_files(30), log.head(30)));
  Follower follower(log);
  const fs::path state = follower.options.state;
  write_file(state, log.head(20));
  fs::create_directory(follower.folder / "elsewhere");
  follower.options.state = follower.folder / "elsewhere/link";
  fs::create_symlink("../state", follower.options.state);
  {
    const FileLock lock(state.string() + ".lock");
    EXPECT_THAT(follower.look(fetch), StartsWith("busy"));
  }
  EXPECT_EQ(follower.look(fetch), "grown");
  EXPECT_EQ(read_file(state), log.head(30));
  EXPECT_TRUE(fs::is_symlink(follower.options.state));
  fs::create_hard_link(state, follower.folder / "second");
  EXPECT_THAT(follower.look(fetch), HasSubstr("several names"));
}

// Every file, each with one bit flipped, cut short, lengthened, missing: never taken, and the state
// and the copy stay as they were.
TEST(Follow, TakesNoFileThatIsNotExactlyRight) {
  const MemoryLog log(600);
  const Files good = with_head(log.tree_files(600), log.head(600));
  const Files start = with_head(log.tree_files(200), log.head(200));
  std::mt19937 random(2);
  const auto check = [&](const Files& bad, const std::string& what, const char* missing) {
    Follower follower(log);
    follower.options.mirror = follower.folder / "copy";
    ASSERT_EQ(follower.look(fetch_from(start)), "first");
    const std::string answer = follower.look(fetch_from(bad));
    if (missing != nullptr) {
      EXPECT_THAT(answer, StartsWith(missing)) << what;
    } else {
      EXPECT_THAT(answer, AnyOf(StartsWith("no: "), StartsWith("corrupt: "))) << what;
    }
    EXPECT_EQ(follower.state(), log.head(200)) << what;
    Files copy = files_of(follower.options.mirror);
    std::erase_if(copy, [](const auto& file) { return file.first.starts_with(".publish/"); });
    EXPECT_EQ(copy, start) << what;
  };
  for (const auto& [name, bytes] : good) {
    Files bad = good;
    for (int i = 0; i < 3; ++i) {
      bad[name] = bytes;
      bad[name][random() % bytes.size()] ^= static_cast<char>(1U << random() % 8);
      check(bad, name + " flipped", nullptr);
    }
    bad[name] = bytes.substr(0, bytes.size() - 1);
    check(bad, name + " cut", nullptr);
    bad[name] = bytes.substr(0, bytes.size() - 32);
    check(bad, name + " cut by a digest", nullptr);
    bad[name] = "";
    check(bad, name + " empty", nullptr);
    bad[name] = bytes + '\0';
    check(bad, name + " longer", nullptr);
    bad.erase(name);
    check(bad, name + " missing", name == "checkpoint" ? "not_found: " : "io: ");
  }
}

TEST(Follow, BelievesOnlyTheLogAndItsQuorum) {
  const MemoryLog log(300);
  const MemoryLog other(300);
  const Witnesses w;
  const WitnessPolicy policy = w.two_of_three(log);
  Follower follower(log);
  EXPECT_THAT(follower.look(fetch_from(with_head(other.tree_files(300), other.head(300)))),
              StartsWith("no: checkpoint: is not signed by the log's key test.example/log+"));
  EXPECT_EQ(follower.state(), "");
  follower.options.policy = &policy;
  const Files tree = log.tree_files(300);
  const auto look = [&](const std::string& head) {
    return follower.look(fetch_from(with_head(tree, head)));
  };
  EXPECT_THAT(look(log.head(300)), HasSubstr("no cosignature of A, B, C"));
  EXPECT_THAT(look(w.cosigned(log.head(300), {&w.b})), HasSubstr("no cosignature of A, C"));
  EXPECT_EQ(follower.state(), "");
  EXPECT_EQ(look(w.cosigned(log.head(300), {&w.b, &w.a})), "first");
}

TEST(Follow, AStateThatIsNotOfThisLogIsNotUsed) {
  const MemoryLog log(30);
  const MemoryLog other(30);
  const Fetch fetch = fetch_from(with_head(log.tree_files(30), log.head(30)));
  for (const std::string& state : {std::string("x"), other.head(20), log.head(20) + "\n"}) {
    Follower follower(log);
    write_file(follower.options.state, state);
    EXPECT_THAT(follower.look(fetch), StartsWith("corrupt: " + follower.options.state.string()));
    EXPECT_EQ(follower.state(), state);
  }
  Follower follower(log);
  const FileLock lock(follower.options.state.string() + ".lock");
  EXPECT_THAT(follower.look(fetch), StartsWith("busy"));
}

TEST(Follow, TheCopyIsAPublishedLogLikeTheFirst) {
  const MemoryLog log(700);
  const TempFolder folder;
  Follower follower(log);
  follower.options.mirror = folder / "copy";
  std::vector<std::string> asked;
  for (const uint64_t size : {100U, 300U, 300U, 700U}) {
    publish(folder / "web", log.source(size));
    asked.clear();
    EXPECT_THAT(follower.look(fetch_from(files_of(folder / "web"), &asked)),
                AnyOf("first", "same", "grown"));
    EXPECT_EQ(files_of(folder / "copy"), files_of(folder / "web"));
  }
  // Only what is new: 300 records were there, the bundle of the first 256 was not asked for.
  EXPECT_THAT(asked, testing::Contains("tile/entries/001"));
  EXPECT_THAT(asked, testing::Not(testing::Contains("tile/entries/000")));
  Follower second(log);
  EXPECT_EQ(second.look(folder / "copy"), "first");
}

TEST(Follow, ACopyAheadOfTheLogIsEvidenceToo) {
  const MemoryLog log(300);
  const TempFolder folder;
  publish(folder / "copy", log.source(300));
  Follower follower(log);  // has lost its state
  follower.options.mirror = folder / "copy";
  EXPECT_THAT(follower.look(fetch_from(with_head(log.tree_files(200), log.head(200)))),
              AllOf(StartsWith("no: the copy in "), HasSubstr("rolled back")));
  EXPECT_EQ(follower.report.before_note, log.head(300));
  EXPECT_EQ(follower.state(), "");
}

TEST(Follow, ReadsNoLinkAndNoPipe) {
  const MemoryLog log(30);
  const TempFolder folder;
  publish(folder / "web", log.source(30));
  const fs::path bundle = folder / "web/tile/entries/000.p/30";
  fs::rename(bundle, folder / "away");
  fs::create_symlink(folder / "away", bundle);
  Follower follower(log);
  follower.options.mirror = folder / "copy";
  EXPECT_THAT(follower.look(folder / "web"), StartsWith("corrupt"));
  fs::remove(bundle);
  ASSERT_EQ(::mkfifo(bundle.c_str(), 0600), 0);
  EXPECT_THAT(follower.look(folder / "web"), StartsWith("corrupt"));
}

}  // namespace
}  // namespace cleared::ledger
