// The ledger file: what may be appended, what survives, and what verify finds.
#include "ledger/store.h"

#include <chrono>
#include <csignal>
#include <ctime>
#include <fstream>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ledger/attestation.h"
#include "ledger/base/clock.h"
#include "ledger/base/file.h"
#include "ledger/cosignature.h"
#include "ledger/digest.h"
#include "ledger/licence.h"
#include "ledger/merkle.h"
#include "ledger/projection.h"
#include "ledger/query.h"
#include "ledger/schema.h"
#include "ledger/textproto.h"
#include "ledger/tlog_proof.h"
#include "ledger/verify.h"
#include "tests/ledger/full_world.h"

namespace cleared::ledger {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// "where: what" of every finding, one a line.
std::string findings(const fs::path& ledger, const VerifyOptions& options = {}) {
  std::string out;
  for (const Finding& f : verify_ledger(ledger, options).findings) {
    out += f.where + ": " + f.what + "\n";
  }
  return out;
}

TEST(Append, IsOnceAndInOrder) {
  World world;
  Store store(world.ledger, Access::append);
  const auto added = store.append({refusal("a"), refusal("b"), refusal("a")});
  EXPECT_EQ(added.first, 5U);
  EXPECT_EQ(added.added, 2U);
  EXPECT_EQ(added.present, 1U);
  EXPECT_EQ(store.append({refusal("b")}).added, 0U);
  EXPECT_EQ(store.size(), 7U);
  EXPECT_EQ(findings(world.ledger), "");
}

// What SQLite itself says of each clip's source is what the series say, whatever lies between
// clips, also where a commit, an opening or a task of verification begins.
TEST(Append, ClipSeriesLeadFromASourceToItsClips) {
  World world;
  std::mt19937 random(5);
  const auto id = [](const char* what, size_t i) {
    return std::string(sha256(what + std::to_string(i)).text());
  };
  std::vector<Fact> facts(4);
  for (size_t i = 0; i < facts.size(); ++i) {
    facts[i].mutable_source()->set_digest(id("source", i));
    facts[i].mutable_source()->set_status("kept");
  }
  size_t source = 0;
  for (size_t i = 0; i < 18'000; ++i) {
    if (random() % 8 == 0) source = random() % 4;
    Fact fact = refusal(std::to_string(i));
    if (random() % 16 != 0) {
      ClipRecord& clip = *fact.mutable_clip();
      clip.set_id(id("clip", i));
      clip.set_source(id("source", source));
      clip.set_verdict("kept");
    }
    facts.push_back(std::move(fact));
  }
  for (size_t at = 0; at < facts.size();) {
    const size_t end = std::min(facts.size(), at + 1 + random() % 3000);
    Store(world.ledger, Access::append)
        .append({facts.begin() + static_cast<ptrdiff_t>(at),
                 facts.begin() + static_cast<ptrdiff_t>(end)});
    at = end;
  }
  const Database db = Database::open(world.ledger, Access::read);
  constexpr auto kPairs = "(SELECT source, clip FROM source_clip)";
  constexpr auto kClips = "(SELECT source, seq FROM clip)";
  const auto differ = [&](std::string_view a, std::string_view b) {
    return db.integer("SELECT COUNT(*) FROM (SELECT * FROM " + std::string(a) +
                      " EXCEPT SELECT * FROM " + std::string(b) + ")");
  };
  EXPECT_EQ(differ(kPairs, kClips), 0);
  EXPECT_EQ(differ(kClips, kPairs), 0);
  EXPECT_EQ(db.integer("SELECT COUNT(*) FROM source_clip"),
            db.integer("SELECT COUNT(*) FROM clip"));
  EXPECT_GT(db.integer("SELECT COUNT(*) FROM clip_series"), 1000);
  EXPECT_EQ(findings(world.ledger), "");
}

// Each is known by its subject, which all share: a film of many shots is no reason to read every
// one again for the next.
TEST(Append, ManyMeasuresOfASourceTakeNoLongerEach) {
  const auto seconds = [](int count) {
    World world;
    Store store(world.ledger, Access::append);
    const Digest digest = sha256("film");
    Fact source;
    source.mutable_source()->set_digest(std::string(digest.text()));
    std::vector<Fact> facts;
    for (int i = 0; i < count; ++i) {
      MeasureRecord& shot = *facts.emplace_back().mutable_measure();
      shot.set_source(std::string(digest.text()));
      shot.set_kind("shot");
      shot.set_start_us(static_cast<uint64_t>(i) * 1000);
      shot.set_end_us(static_cast<uint64_t>(i + 1) * 1000);
    }
    store.append({source});
    const std::clock_t start = std::clock();
    EXPECT_EQ(store.append(facts).added, static_cast<uint64_t>(count));
    EXPECT_EQ(store.append(facts).present, static_cast<uint64_t>(count));
    return double(std::clock() - start) / CLOCKS_PER_SEC;
  };
  EXPECT_LT(seconds(6000), 10 * seconds(1000) + 0.1);
}

TEST(Append, IsAllOrNothing) {
  World world;
  const auto bad = [](const std::function<void(Fact&)>& make) {
    Fact fact;
    make(fact);
    return fact;
  };
  const std::string digest(32, 'd');
  const SignerKey stranger = new_signer_key("example-approver");
  const std::pair<const char*, Fact> cases[] = {
      {"unsupported", Fact()},
      {"corrupt", bad([](Fact& f) { f.mutable_source()->set_digest("short"); })},
      {"corrupt", bad([&](Fact& f) {  // no such licence
         f.mutable_source()->set_digest(digest);
         f.mutable_source()->add_licence("NONE@1");
       })},
      {"corrupt", bad([&](Fact& f) {  // no such source
         f.mutable_clip()->set_id(digest);
         f.mutable_clip()->set_source(digest);
       })},
      {"corrupt", bad([&](Fact& f) { f.mutable_fingerprint()->set_source(digest); })},
      {"corrupt", bad([&](Fact& f) { f.mutable_consumed()->set_sample(digest); })},
      {"corrupt", bad([](Fact& f) { f.mutable_approval()->set_note("no note"); })},
      {"corrupt", bad([](Fact& f) { f.mutable_checkpoint()->set_statement("{"); })},
      {"corrupt", bad([](Fact& f) { f.mutable_refusal()->set_fact(std::string(70'000, 'x')); })},
      {"corrupt", world.key(world.approver, "boss")},
      {"corrupt", world.key(stranger, "trainer")},             // the name is another role's
      {"corrupt", world.key(new_signer_key("other"), "log")},  // a second log key
      {"corrupt", world.revocation("licence", "NONE", world.approver)},
      {"permission", world.revocation("shard", digest_name(sha256("x")), world.licensor)},
  };
  for (size_t i = 0; i < std::size(cases); ++i) {
    Store store(world.ledger, Access::append);
    EXPECT_THAT(error_of([&] {
                  store.append({refusal("good"), cases[i].second});
                }),
                StartsWith(cases[i].first))
        << "row " << i;
    EXPECT_EQ(store.size(), 5U) << "row " << i;
  }
  EXPECT_EQ(findings(world.ledger), "");
}

TEST(Append, IsForOneWriter) {
  World world;
  const Store first(world.ledger, Access::append);
  EXPECT_THAT(error_of([&] { Store(world.ledger, Access::append); }), StartsWith("busy"));
  EXPECT_EQ(Store(world.ledger, Access::read).size(), 5U);
}

TEST(Append, ARetiredKeySignsNothingMore) {
  World world;
  world.fill();
  Fact retire = world.key(world.approver, "approver");
  retire.mutable_key()->set_retired(true);
  world.append({retire});
  EXPECT_THAT(
      error_of([&] { world.append({world.revocation("licence", "LIC-1", world.approver)}); }),
      StartsWith("permission"));
  EXPECT_EQ(error_of([&] { world.append({world.revocation("licence", "LIC-1", world.licensor)}); }),
            "");
  EXPECT_EQ(findings(world.ledger), "");
}

TEST(Licences, NeedBothParties) {
  World world;
  const std::string text = full_licence_text();
  const SignerKey forged = new_signer_key("example-stock");
  Store store(world.ledger, Access::append);
  const auto append = [&](const std::string& t, const std::vector<const SignerKey*>& keys) {
    return error_of([&] { store.append_licence(sign_text(t, keys), "a"); });
  };
  EXPECT_THAT(append(text, {&world.licensor}), StartsWith("permission"));
  EXPECT_THAT(append(text, {&world.licensee}), StartsWith("permission"));
  EXPECT_THAT(append(text, {&forged, &world.licensee}), StartsWith("permission"));
  EXPECT_THAT(append(text, {&world.approver, &world.licensee}), StartsWith("permission"));
  // The parties the other way round: the right keys in the wrong roles.
  EXPECT_THAT(
      append(replaced(replaced(text, "licensor: \"example-stock\"", "licensor: \"example-studio\""),
                      "licensee: \"example-studio\"", "licensee: \"example-stock\""),
             {&world.licensor, &world.licensee}),
      StartsWith("permission"));
  EXPECT_EQ(store.size(), 5U);
  EXPECT_EQ(append(text, {&world.licensor, &world.licensee}), "");
  EXPECT_EQ(append(text, {&world.licensor, &world.licensee}), "");  // again: no change
  EXPECT_EQ(store.size(), 6U);
  EXPECT_THAT(
      append(replaced(text, "max_passes: 4", "max_passes: 5"), {&world.licensor, &world.licensee}),
      StartsWith("corrupt"));
  const std::string second =
      replaced(text, "  version: 1\n", "  version: 2\n  supersedes: \"LIC-1@1\"\n");
  EXPECT_EQ(append(second, {&world.licensor, &world.licensee}), "");
  EXPECT_EQ(findings(world.ledger), "");
}

TEST(Licences, TheirDocumentsMayBeErased) {
  World world;
  world.fill();
  Store(world.ledger, Access::append).erase_document("LIC-1@1", "asked for");
  EXPECT_EQ(findings(world.ledger), "");
  EXPECT_EQ(read_file(world.ledger).find("Every field once"), std::string::npos);
  const Store::Appended again =
      Store(world.ledger, Access::append).erase_document("LIC-1@1", "again");
  EXPECT_EQ(again.added, 0U);
  EXPECT_EQ(again.present, 1U);
}

// What was there before a licence is known by its document alone, so it goes with that.
TEST(Licences, WhatTheyCoverOfBeforeGoesWithTheirDocument) {
  World world;
  world.fill();
  const auto covered = [&] { return query_view(world.ledger, "source_cover").rows.size(); };
  EXPECT_EQ(covered(), 1U);
  size_t number = 10;
  for (const char* pattern : {"2026-01/a.webm", "2026-01", "2026-01/**/a.*", "**", "2026-02/**"}) {
    const std::string id = "LIC-" + std::to_string(++number);
    const size_t before = covered();
    world.add_licence(replaced(replaced(full_licence_text(), "LIC-1", id), "2026-01/**", pattern));
    const bool covers = matches_pattern(pattern, "2026-01/a.webm");
    EXPECT_EQ(covered(), before + (covers ? 1 : 0)) << pattern;
    EXPECT_EQ(findings(world.ledger), "") << pattern;
  }
  EXPECT_EQ(covered(), 4U);
  Store(world.ledger, Access::append).erase_document("LIC-11@1", "asked for");
  EXPECT_EQ(covered(), 3U);
  EXPECT_EQ(findings(world.ledger), "");
}

TEST(Licences, ADocumentThatVanishesWithoutARecordIsMissed) {
  World world;
  world.fill();
  Database(Database::open(world.ledger, Access::append)).exec("DELETE FROM document");
  EXPECT_THAT(findings(world.ledger), HasSubstr("no erasure is on record"));
}

TEST(Head, IsNeverTwoRootsForOneSize) {
  World world;
  Store store(world.ledger, Access::append);
  EXPECT_THAT(error_of([&] { store.sign_head(world.approver); }), StartsWith("permission"));
  const TreeHead first = store.sign_head(world.log);
  const std::string note = store.newest_head_note();
  EXPECT_EQ(store.sign_head(world.log), first);
  EXPECT_EQ(store.newest_head_note(), note);
  EXPECT_TRUE(signed_by(parse_note(note), world.log.verifier));
  // An intent that was stored before a crash binds: only it may be signed.
  store.append({refusal("a")});
  store.db().exec("INSERT INTO tree_head(size, root) VALUES(8, zeroblob(32))");
  EXPECT_THAT(error_of([&] { store.sign_head(world.log); }), StartsWith("corrupt"));
}

TEST(Head, AfterACrashTheStoredIntentIsSigned) {
  World world;
  Store store(world.ledger, Access::append);
  store.sign_head(world.log);
  store.db().exec("UPDATE tree_head SET note = NULL");
  fs::remove(head_path(world.ledger));
  EXPECT_EQ(store.sign_head(world.log).size, 6U);
  EXPECT_EQ(read_file(head_path(world.ledger)), store.newest_head_note());
}

// A crash between signing and publishing leaves the file behind; signing again publishes.
TEST(Head, AStalePublishedFileIsRenewed) {
  World world;
  Store store(world.ledger, Access::append);
  store.sign_head(world.log);
  const std::string old = read_file(head_path(world.ledger));
  store.append({refusal("a")});
  store.sign_head(world.log);
  write_file(head_path(world.ledger), old);
  store.sign_head(world.log);
  EXPECT_EQ(read_file(head_path(world.ledger)), store.newest_head_note());
}

// What lies beside the file holds it by whatever name it is opened.
TEST(Store, ByALinkIsTheSameLedger) {
  World world;
  const fs::path link = world.folder / "link.db", other = world.folder / "other.db";
  fs::create_symlink(world.ledger, link);
  fs::copy_file(world.ledger, world.folder / "old.db");
  {
    Store store(world.ledger, Access::append);
    EXPECT_THAT(error_of([&] { Store(link, Access::append); }), StartsWith("busy"));
    store.append({refusal("a")});
    store.sign_head(world.log);
  }
  EXPECT_EQ(Store(link, Access::read).size(), 7U);
  {
    Store store(link, Access::append);
    store.append({refusal("b")}, Store::Durable::later);
    store.sign_head(world.log);
    EXPECT_EQ(read_file(head_path(world.ledger)), store.newest_head_note());
  }
  fs::create_hard_link(world.ledger, other);
  for (const fs::path& path : {world.ledger, link, other}) {
    EXPECT_THAT(error_of([&] { Store(path, Access::read); }), HasSubstr("hard links"));
    EXPECT_THAT(error_of([&] { verify_ledger(path, {}); }), HasSubstr("hard links"));
  }
  fs::remove(other);
  fs::copy_file(world.folder / "old.db", world.ledger, fs::copy_options::overwrite_existing);
  for (const Access access : {Access::read, Access::append}) {
    EXPECT_THAT(error_of([&] { Store(link, access); }), HasSubstr("rolled back"));
  }
  EXPECT_THAT(findings(link), HasSubstr("it was rolled back"));
  fs::remove(world.ledger);
  EXPECT_THAT(error_of([&] { Store(link, Access::read); }), StartsWith("not_found"));
}

// Whoever rewrites the log below a signed head gets no signature over what they made of it.
TEST(Head, OnlyExtendsWhatWasSigned) {
  World world;
  world.append({refusal("a")});
  Store(world.ledger, Access::append).sign_head(world.log);
  Database::open(world.ledger, Access::append)
      .exec(
          "UPDATE node SET digests = CAST(zeroblob(32) || substr(digests, 33) AS BLOB) "
          "WHERE level = 0");
  fs::remove(head_path(world.ledger));
  Store store(world.ledger, Access::append);
  store.append({refusal("b")});
  EXPECT_THAT(error_of([&] { store.sign_head(world.log); }), StartsWith("corrupt"));
}

TEST(Open, RefusesAFileThatIsBehindItsPublishedHead) {
  World world;
  Store(world.ledger, Access::append).sign_head(world.log);
  const std::string old = read_file(world.ledger);
  world.append({refusal("a")});
  Store(world.ledger, Access::append).sign_head(world.log);
  write_file(world.ledger, old);
  for (const Access access : {Access::read, Access::append}) {
    EXPECT_THAT(error_of([&] { Store(world.ledger, access); }), HasSubstr("rolled back"));
  }
  EXPECT_THAT(findings(world.ledger), HasSubstr("rolled back"));
}

TEST(Open, RefusesWhatIsNoLedger) {
  World world;
  const auto open = [](const fs::path& path) {
    return error_of([&] { Store(path, Access::append); });
  };
  EXPECT_THAT(open(world.folder / "none"), StartsWith("not_found"));
  write_file(world.folder / "text", std::string(5000, 'x'));
  EXPECT_THAT(open(world.folder / "text"), StartsWith("corrupt"));
  write_file(world.folder / "empty", "");
  EXPECT_THAT(open(world.folder / "empty"), StartsWith("corrupt"));
  Database::open(world.ledger, Access::append).exec("PRAGMA user_version = 9");
  EXPECT_THAT(open(world.ledger), StartsWith("unsupported"));
  EXPECT_THAT(error_of([&] { verify_ledger(world.ledger, {}); }), StartsWith("unsupported"));
  EXPECT_THAT(error_of([&] { Store::create(world.ledger, world.log.verifier); }), StartsWith("io"));
}

// What a reader keeps from its place stays beside the ledger until somebody writes or closes again.
TEST(Store, ClosingDoesNotWaitForOneWhoReadsOn) {
  using Clock = std::chrono::steady_clock;
  World world;
  const fs::path wal = world.ledger.string() + "-wal";
  std::optional<Store> store(std::in_place, world.ledger, Access::append);
  store->append({refusal("a")});
  {
    const Database reader = Database::open(world.ledger, Access::read);
    reader.exec("BEGIN");
    ASSERT_EQ(reader.integer("SELECT COUNT(*) FROM refusal"), 1);
    store->append({refusal("b")});
    const auto began = Clock::now();
    store.reset();
    EXPECT_LT(Clock::now() - began, std::chrono::milliseconds(4500));  // it used to be five seconds
    EXPECT_GT(fs::file_size(wal), 0U);
    EXPECT_EQ(reader.integer("SELECT COUNT(*) FROM refusal"), 1);
    EXPECT_EQ(Store(world.ledger, Access::read).size(), 7U);
  }
  store.emplace(world.ledger, Access::append);
  store.reset();
  EXPECT_TRUE(!fs::exists(wal) || fs::file_size(wal) == 0);
  EXPECT_EQ(findings(world.ledger), "");
}

// What older versions lacked: some tables, the views over them, and the layout of two.
class OlderLedger : public testing::TestWithParam<int> {};

TEST_P(OlderLedger, IsBroughtUpToDate) {
  World world;
  world.fill();
  world.add_licence(replaced(full_licence_text(), "\"LIC-1\"", "\"LIC-2\""));
  Store(world.ledger, Access::append).sign_head(world.log);
  const auto records = [&] {
    return Store(world.ledger, Access::read).db().integer("SELECT COUNT(*) FROM record");
  };
  const int64_t before = records();
  {
    const Database old = Database::open(world.ledger, Access::append);
    std::string drop;
    for (Statement view(old, "SELECT name FROM sqlite_schema WHERE type = 'view'"); view.next();) {
      drop += "DROP VIEW " + view.text(0) + ";";
    }
    std::vector<std::string> later = {"checkpoint_text_encoder", "list_of_review",
                                      "listed_decision", "review_list"};
    if (GetParam() < 6) {
      later.insert(later.end(), {"licence_source", "release_licence", "release", "protection"});
    }
    if (GetParam() < 5) {
      later.insert(later.end(),
                   {"checkpoint_vae", "list_of_permit", "listed_shard", "permit_list"});
    }
    if (GetParam() == 3) {
      later.insert(later.end(), {"reviewed_clip", "review", "clearance", "mark", "measure",
                                 "receipt_cost", "consumed_shard", "deletion"});
    }
    for (const std::string& table : later) drop += "DROP TABLE " + table + ";";
    const auto with_keys_as_rows = [](const std::string& name, const std::string& columns) {
      return "ALTER TABLE " + name + " RENAME TO now; CREATE TABLE " + name + "(" + columns +
             ") STRICT, WITHOUT ROWID; INSERT INTO " + name + " SELECT * FROM now; DROP TABLE now;";
    };
    if (GetParam() < 5) {
      drop += with_keys_as_rows("node",
                                "level INTEGER NOT NULL, tile INTEGER NOT NULL, digests BLOB NOT "
                                "NULL, PRIMARY KEY(level, tile)") +
              with_keys_as_rows("map_chunk",
                                "run INTEGER NOT NULL REFERENCES map_run(run), chunk INTEGER NOT "
                                "NULL, entries BLOB NOT NULL, PRIMARY KEY(run, chunk)");
    }
    old.exec(drop + "PRAGMA user_version = " + std::to_string(GetParam()));
  }
  EXPECT_THAT(error_of([&] { records(); }), HasSubstr("brings it up to date"));
  Store(world.ledger, Access::append).sign_head(world.log);
  EXPECT_EQ(records(), before);
  EXPECT_TRUE(verify_ledger(world.ledger, {}).findings.empty());
  EXPECT_EQ(query_view(world.ledger, "licence_source").rows.size(), 1U);  // it came later
}
INSTANTIATE_TEST_SUITE_P(Versions, OlderLedger, testing::Values(3, 4, 5, 6, 7));

TEST(Prove, ProofsVerifyByTheArithmeticAlone) {
  World world;
  world.fill();
  const Store store(world.ledger, Access::read);
  for (uint64_t seq = 0; seq < store.size(); ++seq) {
    const std::string proof = store.prove(seq);
    const size_t note_at = proof.find("\n\n") + 2;
    const TreeHead head = parse_tree_head(parse_note(proof.substr(note_at)).text);
    std::vector<Digest> siblings;
    std::istringstream lines(proof.substr(0, note_at - 1));
    std::string line;
    std::getline(lines, line);
    EXPECT_EQ(line, "c2sp.org/tlog-proof@v1");
    std::getline(lines, line);
    EXPECT_EQ(line, "index " + std::to_string(seq));
    while (std::getline(lines, line)) siblings.push_back(*digest_from_raw(*parse_base64(line)));
    EXPECT_TRUE(verify_inclusion(leaf_digest(as_bytes(store.record_bytes(seq))), seq, head.size,
                                 siblings, head.root));
  }
  EXPECT_THAT(error_of([&] { static_cast<void>(store.prove(store.size())); }),
              StartsWith("not_found"));
}

// Whatever was edited below a signed head, the answer is exit 65 and no file: a proof that does not
// verify would be laid at the ledger's door.
TEST(Prove, NeverHandsOutWhatWasNotSigned) {
  for (const char* edit :
       {"UPDATE leaf SET bytes = CAST(bytes || x'00' AS BLOB) WHERE seq = 5",
        "UPDATE node SET digests = CAST(zeroblob(32) || substr(digests, 33) AS BLOB)",
        "UPDATE node SET digests = CAST(substr(digests, 1, length(digests) - 32) || zeroblob(32) "
        "AS BLOB)"}) {
    World world;
    world.append({refusal("a"), refusal("b")});
    Store(world.ledger, Access::append).sign_head(world.log);
    const auto prove = [&] {
      const Store store(world.ledger, Access::read);
      static_cast<void>(store.prove(5));
    };
    const auto prove_range = [&] {
      const Store store(world.ledger, Access::read);
      static_cast<void>(store.prove_range(4, 7, store.newest_head_note()));
    };
    EXPECT_EQ(error_of(prove), "");
    EXPECT_EQ(error_of(prove_range), "");
    Database::open(world.ledger, Access::append).exec(edit);
    fs::remove(head_path(world.ledger));  // which opening compares with the tree
    EXPECT_THAT(error_of(prove), HasSubstr("record 5 is not the one that was signed")) << edit;
    EXPECT_THAT(error_of(prove_range), HasSubstr("not those that were signed")) << edit;
  }
}

TEST(Prove, UnderAHeadWithCosignatures) {
  World world;
  world.append({refusal("a")});
  std::string first, second;
  {
    Store store(world.ledger, Access::append);
    store.sign_head(world.log);
    first = store.newest_head_note();
    store.append({refusal("b")});
    store.sign_head(world.log);
    second = store.newest_head_note();
  }
  const SignerKey witness = new_signer_key("w.example", SignatureType::ed25519_cosignature);
  const auto cosigned = [&](const std::string& note) {
    Note out = parse_note(note);
    add_signature(out, cosign(out.text, witness, 1'800'000'000));
    return format_note(out);
  };
  const Store store(world.ledger, Access::read);
  for (const std::string& head : {first, second}) {
    const std::string with = store.head_note_with(cosigned(head));
    EXPECT_EQ(with, cosigned(head));
    const TlogProof proof = parse_tlog_proof(store.prove(5, with));
    EXPECT_TRUE(verify_tlog_proof(proof, as_bytes(store.record_bytes(5)), world.log.verifier));
    EXPECT_TRUE(cosigned_at(parse_note(proof.head), witness.verifier));
    // The log's own line is the ledger's to give: it need not come with the cosignature.
    Note alone = parse_note(cosigned(head));
    alone.signatures.erase(alone.signatures.begin());
    EXPECT_EQ(store.head_note_with(format_note(alone)), with);
  }
  EXPECT_EQ(parse_tree_head(parse_note(first).text).size, 7U);
  EXPECT_THAT(error_of([&] { static_cast<void>(store.prove(7, first)); }), StartsWith("not_found"));
  Note forked{format_tree_head({store.origin(), 7, leaf_digest({})}), {}};
  add_signature(forked, world.log);
  Note unsigned_line = parse_note(second);
  unsigned_line.signatures[0].signature[9] ^= 1;
  const Note others{format_tree_head({store.origin(), 6, leaf_digest({})}),
                    parse_note(second).signatures};
  for (const Note& bad : {forked, unsigned_line, others}) {
    EXPECT_THAT(error_of([&] { static_cast<void>(store.head_note_with(format_note(bad))); }),
                HasSubstr("none that this ledger signed"));
  }
}

// A writer killed with signal 9 anywhere: what it was told is on record, is.
TEST(Crash, AcknowledgedRecordsSurvive) {
  World world;
  std::mt19937 random(7);
  uint64_t acknowledged = 0;
  for (int round = 0; round < 12; ++round) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      ::close(ends[0]);
      Store store(world.ledger, Access::append);
      for (uint64_t i = store.size();; ++i) {
        store.append({refusal("record " + std::to_string(i))});
        if (i % 3 == 0) store.sign_head(world.log);
        const uint64_t size = store.size();
        if (::write(ends[1], &size, sizeof size) != sizeof size) ::_exit(1);
      }
    }
    ::close(ends[1]);
    std::this_thread::sleep_for(std::chrono::milliseconds(20 + random() % 60));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    uint64_t size = 0;
    while (::read(ends[0], &size, sizeof size) == sizeof size) acknowledged = size;
    ::close(ends[0]);
    Store store(world.ledger, Access::append);
    ASSERT_GE(store.size(), acknowledged);
    store.sign_head(world.log);
    ASSERT_EQ(findings(world.ledger), "");
  }
  EXPECT_GT(acknowledged, 12U);
}

// --- verify ---

// As someone with write access and sqlite3: without foreign keys, without our checks.
void edit(const fs::path& ledger, const std::string& sql) {
  const Database db = Database::open(ledger, Access::append);
  db.exec("PRAGMA foreign_keys = OFF");
  db.exec(sql);
}

// Bundles are unsigned: what they say was consumed must be what the trainer signed for.
TEST(Store, ACheckpointWhoseConsumedSamplesDoNotAddUpIsRefused) {
  EXPECT_EQ(error_of([] { FullWorld honest; }), "");
  EXPECT_THAT(error_of([] { FullWorld forged(5); }), HasSubstr("are not those of its run receipt"));
}

// A span that is made again gives the same note in another time; a note that differs is another.
TEST(Store, AReceiptMadeAgainIsKnownWhateverTimeItTook) {
  FullWorld world;
  Store store(world.ledger, Access::append);
  Fact receipt;
  for (uint64_t seq = 0; seq < store.size() && !receipt.has_receipt(); ++seq) {
    ASSERT_TRUE(receipt.ParseFromString(std::string(parse_record(store.record_bytes(seq)).fact)));
  }
  ASSERT_TRUE(receipt.has_receipt());
  const std::string cost = "SELECT machine_us FROM receipt_cost";
  const int64_t recorded = store.db().integer(cost);
  receipt.mutable_receipt()->set_machine_us(1);
  const Store::Appended again = store.append({receipt});
  EXPECT_EQ(again.added, 0U);
  EXPECT_EQ(again.present, 1U);
  EXPECT_EQ(store.db().integer(cost), recorded);
  receipt.mutable_receipt()->set_note(
      replaced(receipt.receipt().note(), "samples: 2", "samples: 3"));
  EXPECT_NE(error_of([&] { store.append({receipt}); }), "");
}

TEST(Verify, EveryColumnOfEveryProjectedTableIsCompared) {
  FullWorld world;
  ASSERT_EQ(findings(world.ledger), "");
  const std::string good = read_file(world.ledger);
  std::vector<std::array<std::string, 3>> columns;
  {
    const Database db = Database::open(world.ledger, Access::read);
    Statement select(
        db,
        "SELECT t.name, c.name, c.type FROM sqlite_schema t, pragma_table_info(t.name) c "
        "WHERE t.type = 'table' AND t.name NOT IN ('bundle', 'leaf', 'node', 'tree_head', "
        "'document')");
    while (select.next()) columns.push_back({select.text(0), select.text(1), select.text(2)});
  }
  ASSERT_GT(columns.size(), 100U);
  for (const auto& [table, column, type] : columns) {
    if (table.starts_with("map_")) continue;  // NamesWhatElseWasChanged
    write_file(world.ledger, good);
    const std::string quoted = "\"" + column + "\"";
    const std::string value = type == "TEXT"   ? "COALESCE(" + quoted + ", '') || 'x'"
                              : type == "BLOB" ? "CAST(" + quoted + " || x'00' AS BLOB)"
                                               : "COALESCE(" + quoted + ", 0) + 1000";
    edit(world.ledger, "UPDATE \"" + table + "\" SET " + quoted + " = " + value +
                           " WHERE seq = (SELECT MIN(seq) FROM \"" + table + "\")");
    const std::string found = findings(world.ledger);
    EXPECT_THAT(found, HasSubstr(table)) << table << "." << column;
    EXPECT_THAT(found, HasSubstr("record ")) << table << "." << column;
    // A column that is no key is named itself.
    if (found.find("no record makes") == std::string::npos) {
      EXPECT_THAT(found, HasSubstr(table + "." + column)) << found;
    }
  }
  for (const auto& [table, column, type] : columns) {  // a row taken away
    if (column != "seq" || table.starts_with("map_")) continue;
    write_file(world.ledger, good);
    edit(world.ledger, "DELETE FROM \"" + table + "\"");
    EXPECT_THAT(findings(world.ledger), HasSubstr(table + ": the row of this record is missing"));
  }
}

TEST(Verify, NamesWhatElseWasChanged) {
  FullWorld world;
  const std::string good = read_file(world.ledger);
  const std::pair<const char*, const char*> cases[] = {
      {"UPDATE leaf SET bytes = CAST(bytes || x'00' AS BLOB) WHERE seq = 7",
       "record 7, leaf.bytes"},
      {"UPDATE leaf SET bytes = x'' WHERE seq = 7", "record 7, leaf.bytes"},
      {"DELETE FROM leaf WHERE seq = 7", "record 7: is missing"},
      {"DELETE FROM leaf WHERE seq = (SELECT MAX(seq) FROM leaf)", "the log has only"},
      {"DELETE FROM leaf", "empty"},
      {"INSERT INTO leaf VALUES(-1, x'00')", "record -1, leaf"},
      {"INSERT INTO bundle VALUES(-1, x'00')", "bundle -1"},
      {"UPDATE map_run SET filter = zeroblob(64)", "map_run.filter"},
      {"UPDATE map_run SET root = zeroblob(32)", "map_run.root"},
      {"UPDATE map_run SET directory = zeroblob(64)", "map_run.directory"},
      {"UPDATE map_chunk SET entries = zeroblob(length(entries))", "map_chunk.entries"},
      {"UPDATE map_chunk SET entries = substr(entries, 1, 80)", "map run"},
      {"DELETE FROM map_chunk", "map run"},
      {"DELETE FROM map_run; DELETE FROM map_chunk", "map_run: is not the state"},
      {"UPDATE node SET digests = zeroblob(32)", "node.digests"},
      {"INSERT INTO node VALUES(1, 0, zeroblob(32))", "node level 1, tile 0, node.digests"},
      {"DELETE FROM node", "node level 0, tile 0, node.digests: is missing"},
      {"UPDATE tree_head SET root = zeroblob(32)", "root: is not the root"},
      {"UPDATE tree_head SET note = replace(note, 'test.example', 'best.example')", "not signed"},
      {"UPDATE tree_head SET note = ''", "tree_head of size"},
      {"INSERT INTO tree_head VALUES(999, zeroblob(32), NULL)", "tree_head of size 999"},
      {"UPDATE document SET note = note || 'x'", "document.note"},
      {"UPDATE document SET salt = zeroblob(32)", "document.salt"},
      {"INSERT INTO document VALUES('x', x'', '')", "belongs to no licence"},
      {"INSERT INTO refusal VALUES(99, '', '', '', '')",
       "record 99, refusal: a row that no record"},
      {"DELETE FROM clip_series", "clip_series: the row of this record is missing"},
      {"UPDATE clip_series SET source = seq", "clip_series.source: is "},
      {"INSERT INTO licence_source VALUES(1, 1)", "record 1, licence_source: a row that no record"},
      {"INSERT INTO clip_series VALUES(1, 1)", "record 1, clip_series: a row that no record"},
      {"DROP VIEW cleared", "schema, view cleared: is missing"},
      {"DROP VIEW cleared; CREATE VIEW cleared AS SELECT 1",
       "schema, view cleared: its definition"},
      {"CREATE TABLE more(x)", "schema, table more"},
      {"CREATE TRIGGER t AFTER INSERT ON leaf BEGIN DELETE FROM refusal; END", "schema, trigger t"},
      {"CREATE INDEX i ON leaf(bytes)", "schema, index i"},
      {"ALTER TABLE refusal ADD COLUMN more TEXT", "schema, table refusal"},
      {"PRAGMA application_id = 1", "application_id"},
      {"PRAGMA user_version = 0", "user_version"},
  };
  for (const auto& [sql, where] : cases) {
    write_file(world.ledger, good);
    edit(world.ledger, sql);
    EXPECT_THAT(findings(world.ledger), HasSubstr(where)) << sql;
  }
}

TEST(Verify, FindsAHexEditOfAnyRecord) {
  FullWorld world;
  const std::string good = read_file(world.ledger);
  const Store store(world.ledger, Access::read);
  for (uint64_t seq = 0; seq < store.size(); ++seq) {
    const std::string bytes = store.record_bytes(seq);
    std::string bad = good;
    const size_t at = bad.find(bytes.substr(0, 200));
    if (at == std::string::npos) continue;  // lies over several pages
    bad[at + bytes.size() / 2 % 200] = static_cast<char>(bad[at + bytes.size() / 2 % 200] ^ 1);
    write_file(world.folder / "bad.db", bad);
    EXPECT_THAT(findings(world.folder / "bad.db"), HasSubstr("record " + std::to_string(seq)))
        << seq;
  }
}

TEST(Verify, DeepMakesEveryStateAgain) {
  World world;
  std::string root;  // of the first state, which the second replaced
  {
    Store store(world.ledger, Access::append);
    store.sign_head(world.log);
    const std::string bytes = store.record_bytes(store.size() - 1);
    Fact first;
    ASSERT_TRUE(first.ParseFromString(std::string(parse_record(bytes).fact)) && first.has_state());
    root = first.state().run(0).root();
    store.append({refusal("a")});
    store.sign_head(world.log);
  }
  const VerifyOptions deep{.deep = true};
  EXPECT_EQ(findings(world.ledger, deep), "");
  std::string file = read_file(world.ledger);
  file.replace(file.find(root), root.size(), root.size(), 'x');
  write_file(world.folder / "bad.db", file);
  constexpr auto kFalse = "state: is not the state of the records before it";
  EXPECT_THAT(findings(world.folder / "bad.db", deep), HasSubstr(kFalse));
  EXPECT_THAT(findings(world.folder / "bad.db"), Not(HasSubstr(kFalse)));
}

TEST(Verify, SurvivesRandomDamage) {
  FullWorld world;
  const std::string good = read_file(world.ledger);
  std::mt19937 random(3);
  for (int i = 0; i < 60; ++i) {
    std::string bad = good;
    for (int j = 0; j < 20; ++j) bad[random() % bad.size()] = static_cast<char>(random());
    if (i % 4 == 0) bad.resize(random() % bad.size());
    write_file(world.folder / "bad.db", bad);
    try {
      verify_ledger(world.folder / "bad.db", {});  // an answer or an Error, and no crash
    } catch (const Error&) {
    }
  }
}

TEST(Verify, AnchorsCatchARewrittenLog) {
  FullWorld world;
  const std::vector<Anchor> anchors = {
      read_anchor(world.folder / "a.permit"), read_anchor(world.folder / "a.receipt"),
      read_anchor(world.folder / "a.statement"), read_anchor(head_path(world.ledger))};
  EXPECT_EQ(findings(world.ledger, {anchors, {}}), "");
  EXPECT_EQ(verify_ledger(world.ledger, {anchors, {}}).anchors, anchors.size() + 1);
  // A new log of the same name and key, consistent in itself.
  World other;
  Store::create(other.folder / "new.db", world.log.verifier);
  Store(other.folder / "new.db", Access::append).sign_head(world.log);
  for (const Anchor& anchor : anchors) {
    EXPECT_THAT(findings(other.folder / "new.db", {{anchor}, {}}), HasSubstr("rolled back"));
  }
  EXPECT_THAT(findings(other.ledger, {anchors, {}}), HasSubstr("rolled back"));
  Anchor forked = anchors[0];
  forked.head.root = sha256("fork");
  EXPECT_THAT(findings(world.ledger, {{forked}, {}}), HasSubstr("rewritten or forked"));
  forked.head.origin = "other/log";
  EXPECT_THAT(findings(world.ledger, {{forked}, {}}), HasSubstr("other/log"));
  EXPECT_THAT(findings(world.ledger, {{}, {{"log", new_signer_key("x").verifier}}}),
              HasSubstr("not trusted"));
  EXPECT_EQ(findings(world.ledger, {{}, {{"log", world.log.verifier}}}), "");
}

// What an anchor is, its form says, and not the first letters of a name that its owner chose.
TEST(Verify, ALogMayHaveAnyName) {
  TempFolder folder;
  for (const char* origin : {"permit.example/ledger", "permits", "receipts.example", "{x"}) {
    const fs::path ledger = folder / ("l" + to_hex(sha256(origin)) + ".db");
    const SignerKey log = new_signer_key(origin);
    Store::create(ledger, log.verifier);
    Store(ledger, Access::append).sign_head(log);
    EXPECT_EQ(findings(ledger, {{read_anchor(head_path(ledger))}, {}}), "") << origin;
  }
  // The file beside a ledger is a tree head and nothing else.
  FullWorld world;
  fs::copy_file(world.folder / "a.permit", head_path(world.ledger),
                fs::copy_options::overwrite_existing);
  EXPECT_THAT(findings(world.ledger), HasSubstr("published head"));
}

TEST(Query, ReadsAndDoesNothingElse) {
  FullWorld world;
  EXPECT_EQ(query_view(world.ledger, "exposure").rows.size(), 1U);
  EXPECT_EQ(query_view(world.ledger, "exposure").rows[0][4], "6.0");  // 2 passes of 2 s
  EXPECT_EQ(query_view(world.ledger, "touched").rows.size(), 1U);
  EXPECT_EQ(query_view(world.ledger, "cleared").rows.size(), 0U);  // its shard is revoked
  for (const std::string& view : view_names(world.ledger)) {
    EXPECT_EQ(error_of([&] { query_view(world.ledger, view); }), "") << view;
  }
  EXPECT_THAT(error_of([&] { query_view(world.ledger, "x\" --"); }), StartsWith("usage"));
  for (const char* sql : {"DELETE FROM leaf", "ATTACH '/tmp/x' AS x", "PRAGMA writable_schema = 1",
                          "SELECT load_extension('x')", "SELECT fts3_tokenizer('simple')",
                          "CREATE TABLE x(y)", "SELEKT", "", "UPDATE leaf SET seq = 1 RETURNING 1",
                          "VACUUM INTO '/tmp/x'", "SELECT 1; DELETE FROM leaf",
                          "SELECT 1; SELECT 2", "SELECT 1; -- c\nSELECT 2", "SELECT 1; x"}) {
    EXPECT_THAT(error_of([&] { query_sql(world.ledger, sql); }), StartsWith("usage")) << sql;
  }
  for (const char* sql :
       {"SELECT 1;\n", "SELECT 1; -- c", "SELECT 1; /* c */ ; -- d\n", "SELECT 1 -- c"}) {
    EXPECT_EQ(query_sql(world.ledger, sql).rows.size(), 1U) << sql;
  }
  EXPECT_EQ(findings(world.ledger), "");
}

std::vector<std::vector<std::string>> sorted_rows(Table table) {
  std::sort(table.rows.begin(), table.rows.end());
  table.rows.push_back(table.columns);
  return table.rows;
}

// Every view and projected table, at every size of which a copy of the file was kept.
TEST(QueryAt, AnswersAsTheFileDidWhenItHadThatManyRecords) {
  const std::string day = date_of(now_us());
  std::map<uint64_t, fs::path> copies;
  int stages = 0;
  const FullWorld world(2, [&](const World& growing) {
    if (stages++ % 2 != 0) return;
    const uint64_t size = Store(growing.ledger, Access::read).size();
    const fs::path copy = growing.folder / ("at-" + std::to_string(size) + ".db");
    write_file(copy, read_file(growing.ledger));
    copies[size] = copy;
  });
  ASSERT_GT(copies.size(), 4U);
  std::vector<std::string> names = view_names(world.ledger);
  for (const TableShape& table : tables()) names.emplace_back(table.name);
  std::map<std::string, std::set<std::vector<std::vector<std::string>>>> answers;
  for (const auto& [size, copy] : copies) {
    for (const std::string& name : names) {
      const auto then = sorted_rows(query_view(copy, name));
      EXPECT_EQ(sorted_rows(query_view(world.ledger, name, {.at = size})), then)
          << name << " at " << size;
      answers[name].insert(then);
    }
    for (const char* sql : {"SELECT * FROM cleared", "SELECT count(*), max(seq) FROM clip"}) {
      EXPECT_EQ(query_sql(world.ledger, sql, {.at = size}).rows, query_sql(copy, sql).rows)
          << sql << " at " << size;
    }
  }
  if (date_of(now_us()) != day) GTEST_SKIP() << "a day ended meanwhile: `today` differs";
  // Most of them change while this ledger grows.
  for (const char* name : {"record", "cleared", "licence_in_force", "touched", "clip", "sample",
                           "exposure", "approved_shard", "permit_shard", "source_licence"}) {
    EXPECT_GT(answers[name].size(), 1U) << name;
  }
}

TEST(QueryAt, TodayIsTheDayOfTheNewestRecord) {
  FullWorld world;
  edit(world.ledger, "UPDATE moment SET at = '2020-02-29T23:59:59Z'");
  const auto day = [&](std::optional<uint64_t> at) {
    return query_view(world.ledger, "today", {.at = at}).rows[0][0];
  };
  EXPECT_EQ(day(3), "2020-02-29");
  EXPECT_EQ(query_view(world.ledger, "licence_in_force", {.at = 8}).rows.size(), 0U);  // not yet
  EXPECT_NE(day(std::nullopt), "2020-02-29");
}

TEST(QueryAt, WhatCameLaterCannotBeReached) {
  const FullWorld world;
  constexpr uint64_t kSize = 7;
  const auto ask = [&](const std::string& sql) {
    return error_of([&] { query_sql(world.ledger, sql, {.at = kSize}); });
  };
  for (const char* sql : {
           "SELECT * FROM main.clip",
           "SELECT count(*) FROM main.clip",
           "SELECT 1 FROM MAIN.clip",
           "SELECT main.clip.id FROM main.clip",
           "SELECT * FROM clip JOIN main.source",
           "SELECT (SELECT max(seq) FROM main.clip)",
           "SELECT * FROM main.cleared",
           "SELECT * FROM main.today",
           "SELECT * FROM licence WHERE seq IN (SELECT seq FROM main.licence)",
           // A WITH clause named as a view is no view.
           "WITH clip AS (SELECT * FROM main.clip) SELECT * FROM clip",
           "WITH today AS (SELECT * FROM main.clip) SELECT * FROM today",
           "WITH RECURSIVE record(x) AS (SELECT seq FROM main.clip UNION SELECT x FROM record) "
           "SELECT * FROM record",
           "SELECT * FROM (SELECT * FROM main.clip) AS clip",
           "SELECT * FROM bundle",
           "SELECT count(*) FROM leaf",
           "SELECT count(*) FROM LEAF",
           "SELECT * FROM tree_head",
           "SELECT * FROM document",
           "SELECT * FROM map_run",
           // Where the names of the shadows are.
           "SELECT sql FROM sqlite_temp_schema",
           "SELECT sql FROM temp.sqlite_schema",
           "SELECT sql FROM sqlite_temp_master",
           "SELECT sql FROM sqlite_schema",
           "SELECT count(*) FROM sqlite_master",
           "SELECT * FROM pragma_database_list",
           "SELECT * FROM pragma_table_list",
           "SELECT * FROM dbstat",
           "SELECT * FROM sqlite_dbpage",
           "DROP VIEW temp.clip",
           "CREATE TEMP VIEW x AS SELECT 1",
           "DETACH main",
           "ATTACH 'x' AS y",
       }) {
    EXPECT_THAT(ask(sql), StartsWith("usage")) << sql;
  }
  for (const char* sql : {
           "SELECT count(*) FROM clip",
           "SELECT * FROM temp.clip",
           "WITH c AS (SELECT * FROM clip) SELECT count(*) FROM c",
           "WITH clip AS (SELECT 1) SELECT * FROM clip",
           "SELECT k.name FROM key k JOIN record r ON r.seq = k.seq",
       }) {
    EXPECT_EQ(ask(sql), "") << sql;
  }
  for (const uint64_t size : {uint64_t{0}, uint64_t{1000}, UINT64_MAX}) {
    EXPECT_THAT(error_of([&] { query_view(world.ledger, "key", {.at = size}); }),
                StartsWith("usage"));
  }
  for (const char* table : {"bundle", "leaf", "document", "tree_head", "sqlite_schema", "none"}) {
    EXPECT_THAT(error_of([&] { query_view(world.ledger, table, {.at = kSize}); }),
                StartsWith("usage"))
        << table;
  }
}

TEST(Query, KnowsNumbersFromTextAndStopsAtALimit) {
  const FullWorld world;
  const auto ask = [&](const std::string& sql) {
    return query_sql(world.ledger, sql, {.limit = 2});
  };
  const Table table =
      ask("SELECT 1 AS a, NULL AS b, 'x' AS c, x'0aff' AS d UNION ALL SELECT NULL, NULL, 2, x''");
  EXPECT_EQ(table.numeric, (std::vector<bool>{true, false, false, false}));
  EXPECT_EQ(table.rows[0][3], "0aff");
  EXPECT_FALSE(table.more);
  EXPECT_TRUE(ask("SELECT 1 UNION SELECT 2 UNION SELECT 3").more);
}

}  // namespace
}  // namespace cleared::ledger
