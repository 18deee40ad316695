// From a delivery to shards, with a real ledger, real licences and the real worker.
#include "curate/pipeline.h"

#include <cstdlib>
#include <functional>
#include <map>

#include <gtest/gtest.h>

#include "curate/config.h"
#include "curate/config.pb.h"
#include "curate/encode.h"
#include "curate/facts.h"
#include "curate/fingerprint.h"
#include "curate/groups.h"
#include "curate/match.h"
#include "curate/protect.h"
#include "curate/report.h"
#include "ledger/base/error.h"
#include "ledger/digest.h"
#include "ledger/key.h"
#include "ledger/note.h"
#include "ledger/review.h"
#include "ledger/rights.h"
#include "ledger/shard.h"
#include "ledger/store.h"
#include "ledger/verify.h"
#include "tests/curate/media.h"

namespace cleared::curate {
namespace fs = std::filesystem;
namespace {

using testing::make_media;
using testing::MediaOptions;

class Pipeline : public ::testing::Test {
 protected:
  void SetUp() override {
    make_folders(delivery());
    ledger::Store::create(ledger(), log_.verifier);
    licence("NORTH", "north", "north/**", "INGEST, ENCODE");
    licence("SOUTH", "south", "south/**", "INGEST, ENCODE");
    licence("LOOK", "north", "look/**", "INGEST");
    deliver("north/a.mkv", {.scenes = {1, 2}});
    deliver("north/b.mkv", {.scenes = {3}, .sound = true});
    write_file(delivery() / "north/a.txt", "two scenes that are drawn");
  }

  fs::path ledger() const { return folder_.path() / name_; }
  fs::path delivery() const { return folder_.path() / "delivery"; }

  void licence(const std::string& id, const std::string& licensor, const std::string& covers,
               const std::string& use, const std::string& valid_to = "2099-12-31") {
    const auto from = ledger::new_signer_key(licensor), to = ledger::new_signer_key("studio-" + id);
    ledger::Store store(ledger(), ledger::Access::append);
    if (!licensors_.contains(licensor)) {
      licensors_.emplace(licensor, from);
      store.append({key_fact(from, "licensor")});
    }
    store.append({key_fact(to, "licensee")});
    ledger::Note note{
        .text = "licence { id: \"" + id + "\" version: 1 licensor: \"" + licensor +
                "\" licensee: \"studio-" + id + "\" valid_from: \"2020-01-01\" valid_to: \"" +
                valid_to +
                "\" after_term: "
                "KEEP_WEIGHTS }\ncovers { delivery: \"" +
                covers + "\" }\nallows { use: [" + use +
                "] model: [\"m\"] component: [GENERATOR] field_of_use: [\"*\"] "
                "compute_territory: [\"*\"] }\nclearances { talent: NONE_VISIBLE minors: "
                "false voice: NONE music: NONE }\n",
        .signatures = {}};
    ledger::add_signature(note, licensors_.at(licensor));
    ledger::add_signature(note, to);
    store.append_licence(ledger::format_note(note), id);
  }

  static ledger::Fact key_fact(const ledger::SignerKey& key, const char* role) {
    ledger::Fact fact;
    fact.mutable_key()->set_name(key.verifier.name);
    fact.mutable_key()->set_role(role);
    fact.mutable_key()->set_vkey(ledger::format_verifier_key(key.verifier));
    return fact;
  }

  void deliver(const std::string& path, const testing::MediaOptions& media) {
    deliver_bytes(path, make_media(media));
  }
  void deliver_bytes(const std::string& path, const std::string& bytes) {
    make_folders((delivery() / path).parent_path());
    write_file(delivery() / path, bytes);
  }

  IngestSummary ingest(unsigned jobs = 2) {
    reports_.clear();
    return curate::ingest({.ledger = ledger(),
                           .delivery = delivery(),
                           .log_key = {},
                           .jobs = jobs,
                           .dry_run = false,
                           .retry_failed = retry_failed_,
                           .limit = limit_,
                           .worker = worker_},
                          config_, [&](const FileReport& file) { reports_[file.path] = file; });
  }
  PackSummary pack(const std::string& out, unsigned jobs = 2) {
    return curate::pack(
        {.ledger = ledger(),
         .delivery = delivery(),
         .out = folder_.path() / out,
         .log_key = {},
         .jobs = jobs,
         .dry_run = false,
         .worker = worker_},
        config_, [](const ShardReport&) {},
        [&](const std::string& path, const std::string& why) { left_out_[path] = why; });
  }
  void protect_no_more(const std::string& work) {
    ledger::Store store(ledger(), ledger::Access::append);
    remove_protected(store, work);
  }
  fs::path looks_of(const fs::path& file) const {
    const Digest digest = ledger::sha256(read_file(delivery() / file));
    return index_folder(ledger()) / (to_hex(digest) + ".looks");
  }
  int64_t count(const std::string& sql) const {
    return ledger::Store(ledger(), ledger::Access::read).db().integer(sql);
  }
  std::map<std::string, std::string> files(const std::string& out) const {
    std::map<std::string, std::string> all;
    for (const auto& entry : fs::directory_iterator(folder_.path() / out)) {
      all[entry.path().filename().string()] = read_file(entry.path());
    }
    return all;
  }

  testing::TemporaryFolder folder_;
  std::string name_ = "L.db";  // of the ledger
  const ledger::SignerKey log_ = ledger::new_signer_key("test/ledger");
  std::map<std::string, ledger::SignerKey> licensors_;
  Config config_;
  bool retry_failed_ = false;
  size_t limit_ = SIZE_MAX;
  const WorkerOptions worker_{.program = CLEARED_CURATE_MEDIA};
  std::map<std::string, FileReport> reports_;
  std::map<std::string, std::string> left_out_;
};

TEST_F(Pipeline, KeepsLicensedFootageAndItsCaption) {
  const IngestSummary summary = ingest();
  EXPECT_EQ(summary.kept, 2U);
  EXPECT_EQ(summary.kept_clips, 6U);  // 4 s in two shots, and 2 s
  EXPECT_EQ(count("SELECT COUNT(*) FROM clip WHERE caption = 'two scenes that are drawn'"), 4);
  EXPECT_EQ(count("SELECT COUNT(*) FROM source WHERE caption_origin = 'a.txt'"), 1);
  EXPECT_EQ(count("SELECT SUM(frames) FROM fingerprint"), 64 + 32);
}

TEST_F(Pipeline, RefusesUnlicensedFootageBeforeDecodingIt) {
  deliver_bytes("elsewhere/film.mp4", "no video at all, which nobody finds out");
  const IngestSummary summary = ingest();
  EXPECT_EQ(summary.refused, 1U);
  EXPECT_EQ(reports_["elsewhere/film.mp4"].outcome, Outcome::refused);
  EXPECT_EQ(count("SELECT COUNT(*) FROM refusal WHERE act = 'ingest' AND rule = 'no_licence' AND "
                  "subject LIKE 'elsewhere/film.mp4 sha256:%'"),
            1);
}

TEST_F(Pipeline, CountsExplainsAndSurvivesDamagedFiles) {
  const std::string good = make_media({.codec = "mpeg4", .scenes = {8}});
  deliver_bytes("north/empty.mp4", "");
  deliver_bytes("north/text.mp4", "a text, not a video");
  deliver_bytes("north/half.mkv", good.substr(0, good.size() * 3 / 4));
  deliver("north/sound.mkv", {.picture = false, .sound = true});
  deliver("north/odd-codec.avi", {.container = "avi", .codec = "msmpeg4v2"});
  const IngestSummary summary = ingest();
  EXPECT_EQ(summary.failed, 4U);
  EXPECT_EQ(summary.kept, 3U);
  const std::map<std::string, std::string> rules = {{"empty.mp4", "unreadable"},
                                                    {"text.mp4", "unreadable"},
                                                    {"sound.mkv", "no_video"},
                                                    {"odd-codec.avi", "unsupported"}};
  for (const auto& [name, rule] : rules) {
    EXPECT_EQ(count("SELECT COUNT(*) FROM refusal WHERE act = 'curate' AND rule = '" + rule +
                    "' AND subject LIKE 'north/" + name + " sha256:%'"),
              1)
        << name;
  }
  EXPECT_EQ(count("SELECT COUNT(*) FROM source WHERE path = 'north/half.mkv' AND problem <> ''"),
            1);
}

TEST_F(Pipeline, DoesNothingTwice) {
  ingest();
  const int64_t records = count("SELECT COUNT(*) FROM record");
  const IngestSummary again = ingest();
  EXPECT_EQ(again.already, 2U);
  EXPECT_EQ(again.records, 0U);
  deliver("north/c.mkv", {.scenes = {6}});
  EXPECT_EQ(ingest().kept, 1U);
  EXPECT_GT(count("SELECT COUNT(*) FROM record"), records);
}

TEST_F(Pipeline, DecodesAFailedFileAgainOnlyWhenAsked) {
  deliver_bytes("north/text.mp4", "a text, not a video");
  EXPECT_EQ(ingest().failed, 1U);
  EXPECT_EQ(reports_["north/text.mp4"].detail, "unreadable: not a video file");
  EXPECT_EQ(ingest().failed, 1U);
  EXPECT_NE(reports_["north/text.mp4"].detail.find("--retry failed"), std::string::npos);
  retry_failed_ = true;
  EXPECT_EQ(ingest().failed, 1U);
  EXPECT_EQ(reports_["north/text.mp4"].detail, "unreadable: not a video file");
}

TEST_F(Pipeline, TakesAsManyNewFilesAsTheLimitSays) {
  deliver_bytes("elsewhere/unlicensed.mp4", "x");
  limit_ = 2;
  const IngestSummary first = ingest(1);
  EXPECT_EQ(first.files, 2U);
  EXPECT_EQ(first.later, 1U);
  EXPECT_TRUE(reports_.contains("north/a.mkv"));
  const IngestSummary second = ingest(1);
  EXPECT_EQ(second.kept, 1U);
  EXPECT_TRUE(reports_.contains("north/b.mkv"));
  EXPECT_EQ(ingest(1).files, 0U) << "what is on the record does not use up the limit";
}

// Nobody can tell any more who is seen in what was taken in.
TEST_F(Pipeline, ClearancesThatCannotBeReadMakeWhatIsOnRecordWait) {
  ingest();
  write_file(delivery() / "north/b.clearances", "clip { minor: true }");
  ingest();
  EXPECT_EQ(reports_["north/b.mkv"].outcome, Outcome::failed);
  EXPECT_EQ(count("SELECT COUNT(*) FROM clearance WHERE value = 'UNKNOWN'"), 2 * 3);
  EXPECT_EQ(ingest().records, 0U) << "said once";
  pack("shards");
  EXPECT_EQ(count("SELECT COUNT(*) FROM sample"), 4) << "a.mkv alone";
}

// Whichever copy comes first, and whether its path is licensed or not.
TEST_F(Pipeline, WhatLiesBesideAnyCopyCountsForItsBytes) {
  for (const auto& [copy, film] :
       {std::pair("elsewhere/copy.mkv", "north/b.mkv"), std::pair("out/copy.mkv", "north/a.mkv")}) {
    make_folders((delivery() / copy).parent_path());
    fs::copy(delivery() / film, delivery() / copy);
    write_file((delivery() / copy).replace_extension("clearances"), "clip { minors: true }");
  }
  write_file(delivery() / "out/tdmrep.json", R"([{"location": "*", "tdm-reservation": 1}])");
  ingest(1);
  EXPECT_EQ(reports_["out/copy.mkv"].outcome, Outcome::refused);
  EXPECT_EQ(count("SELECT COUNT(*) FROM clearance WHERE reason = 'minors'"), 6);
  EXPECT_EQ(count("SELECT COUNT(*) FROM mark WHERE says = 'no'"), 1);
  pack("shards");
  EXPECT_EQ(count("SELECT COUNT(*) FROM sample"), 0);
}

// What was said while no licence covered the file stays said.
TEST_F(Pipeline, MarksBesideAFileThatNoLicenceCoversAreOnRecord) {
  deliver("later/c.mkv", {.scenes = {6}});
  write_file(delivery() / "later/tdmrep.json", R"([{"location": "*", "tdm-reservation": 1}])");
  ingest();
  fs::remove(delivery() / "later/tdmrep.json");
  licence("LATER", "north", "later/**", "INGEST, ENCODE");
  ingest();
  EXPECT_EQ(reports_["later/c.mkv"].outcome, Outcome::refused);
  EXPECT_NE(reports_["later/c.mkv"].detail.find("mark_says_no"), std::string::npos);
}

TEST_F(Pipeline, DoesNotKeepTheSameFootageOfOneLicensorTwice) {
  deliver("north/z.mkv", {.codec = "mpeg4", .width = 320, .height = 240, .scenes = {3}});
  ingest();
  EXPECT_EQ(reports_["north/z.mkv"].outcome, Outcome::duplicate);
  EXPECT_EQ(count("SELECT COUNT(*) FROM clip c JOIN source s ON s.seq = c.source "
                  "WHERE s.path = 'north/z.mkv' AND c.verdict = 'kept'"),
            0);
  EXPECT_EQ(count("SELECT COUNT(*) FROM duplicate WHERE verdict = 'duplicate' AND start_us = 0 AND "
                  "end_us BETWEEN 1900000 AND 2100000"),
            1);
}

// What fails between looks and record, and so what is killed there, leaves a file that is new
// still.
TEST_F(Pipeline, RecordsNoSourceBeforeItsLooksAreKept) {
  const fs::path looks = looks_of("north/a.mkv");
  make_folders(looks);  // in their place: they cannot be written
  EXPECT_THROW(ingest(), Error);
  EXPECT_EQ(count("SELECT COUNT(*) FROM source WHERE path = 'north/a.mkv'"), 0);
  fs::remove(looks);
  EXPECT_EQ(ingest().kept, 2U);
  EXPECT_TRUE(fs::is_regular_file(looks));
}

// Lost looks are made again from a delivery that is there, and before a new file that comes first
// by its name is compared. A mirrored picture is recognised by looks alone: nothing new is taken in
// without.
TEST_F(Pipeline, MakesLostLooksAgainAndTakesInNothingNewBefore) {
  ingest();
  const std::string looks = read_file(looks_of("north/b.mkv"));
  fs::remove_all(index_folder(ledger()));
  fs::rename(delivery() / "north/b.mkv", folder_.path() / "b.mkv");
  EXPECT_EQ(ingest().already, 1U)
      << "b is not there, nor anything new: runs are written without it";
  EXPECT_FALSE(fs::exists(looks_of(folder_.path() / "b.mkv")));
  EXPECT_TRUE(fs::exists(looks_of("north/a.mkv")));

  deliver("south/0.mkv", {.scenes = {3}, .mirrored = true});
  try {
    ingest();
    FAIL() << "what b shows would have been taken for something new";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Errc::busy);
    EXPECT_NE(std::string(error.what()).find("north/b.mkv"), std::string::npos) << error.what();
  }
  EXPECT_EQ(count("SELECT COUNT(*) FROM source"), 2);

  fs::rename(folder_.path() / "b.mkv", delivery() / "north/b.mkv");
  ingest();
  EXPECT_EQ(reports_["north/b.mkv"].outcome, Outcome::already);
  EXPECT_NE(reports_["north/b.mkv"].detail.find("made again"), std::string::npos);
  EXPECT_EQ(read_file(looks_of("north/b.mkv")), looks);
  EXPECT_EQ(reports_["south/0.mkv"].outcome, Outcome::conflict) << reports_["south/0.mkv"].detail;
  EXPECT_EQ(reports_["north/a.mkv"].detail.find("made again"), std::string::npos) << "it had them";
}

// Files are decoded while protected works are read, and none is recorded before.
TEST_F(Pipeline, RecordsNothingBesideADamagedProtectedWork) {
  make_folders(protected_folder(ledger()));
  write_file(protected_folder(ledger()) / "x.print", "no fingerprint");
  write_file(delivery() / "captions.csv", "no table");
  const int64_t records = count("SELECT COUNT(*) FROM leaf");
  EXPECT_THROW(ingest(), Error);
  EXPECT_EQ(count("SELECT COUNT(*) FROM leaf"), records);
}

TEST_F(Pipeline, ProtectedWorksHoldThroughALink) {
  const fs::path works = protected_folder(ledger()), index = index_folder(ledger());
  fs::create_symlink(name_, folder_.path() / "link.db");
  name_ = "link.db";
  ingest();
  EXPECT_TRUE(fs::exists(
      index / (to_hex(ledger::sha256(read_file(delivery() / "north/b.mkv"))) + ".looks")));
  ASSERT_TRUE(add_protected(
      works, examine_file(delivery() / "north/b.mkv", config_.limits(), worker_).fingerprint));
  EXPECT_EQ(pack("shards").left_out, 1U);
  deliver("north/later.mkv", {.width = 240, .height = 180, .scenes = {3, 4}});
  ingest();
  EXPECT_EQ(reports_["north/later.mkv"].outcome, Outcome::refused);
}

// The owner sends a fingerprint and keeps the footage.
TEST_F(Pipeline, RefusesProtectedWorksAndFindsThoseTakenInBefore) {
  const fs::path work = folder_.path() / "feature.mkv";
  write_file(work, make_media({.codec = "mpeg4", .width = 320, .height = 240, .scenes = {3}}));
  const ExaminedFile examined = examine_file(work, config_.limits(), worker_);
  const fs::path works = protected_folder(ledger());
  EXPECT_TRUE(recorded_protected(ledger(), ProtectedWorks(works), config_).empty());

  ingest();
  EXPECT_EQ(reports_["north/b.mkv"].outcome, Outcome::kept);
  ASSERT_TRUE(add_protected(works, examined.fingerprint));
  EXPECT_FALSE(add_protected(works, examined.fingerprint)) << "it is there already";
  const auto before = recorded_protected(ledger(), ProtectedWorks(works), config_);
  ASSERT_EQ(before.size(), 1U);
  EXPECT_EQ(before[0].path, "north/b.mkv");
  EXPECT_EQ(before[0].found.name, "feature.mkv");
  EXPECT_TRUE(before[0].shards.empty());

  deliver("north/later.mkv", {.width = 240, .height = 180, .scenes = {5, 3}});
  deliver("north/other.mkv", {.scenes = {6, 7}});
  ingest();
  EXPECT_EQ(reports_["north/later.mkv"].outcome, Outcome::refused)
      << reports_["north/later.mkv"].detail;
  EXPECT_EQ(reports_["north/other.mkv"].outcome, Outcome::kept);
  EXPECT_EQ(count("SELECT COUNT(*) FROM refusal WHERE rule = 'protected'"), 1);

  const Matcher matcher({.ledger = ledger(), .against = {}, .worker = worker_}, config_);
  const auto found = matcher.find(delivery() / "north/later.mkv");
  ASSERT_FALSE(found.empty());
  // The second scene of two, 2 s each.
  EXPECT_NEAR(static_cast<double>(found[0].match.start_us), 2e6, 3e5);
  EXPECT_TRUE(matcher.find(delivery() / "north/other.mkv").size() == 1) << "itself";

  std::string damaged = examined.fingerprint;
  damaged[damaged.size() / 2] = static_cast<char>(damaged[damaged.size() / 2] ^ 1);
  EXPECT_THROW(add_protected(works, damaged), Error);
  for (const auto& entry : fs::directory_iterator(works)) write_file(entry.path(), damaged);
  EXPECT_THROW(ingest(), Error) << "a work that cannot be read would not be protected";
  fs::remove_all(works);
  write_file(works, "not a folder");
  EXPECT_THROW(ingest(), Error) << "nor would works in a folder that cannot be read";
}

// A config may keep more of a licensor's own footage, and nothing of what others keep out.
TEST_F(Pipeline, NoConfigLoosensWhatIsRefused) {
  Duplicates& rules = *config_.mutable_duplicates();
  rules.set_max_distance(0);
  rules.set_max_distance_with_sound(0);
  rules.set_min_run_ms(3'600'000);
  rules.set_min_sound_ms(3'600'000);
  const fs::path work = folder_.path() / "feature.mkv";
  write_file(work, make_media({.codec = "mpeg4", .width = 320, .height = 240, .scenes = {5}}));
  add_protected(protected_folder(ledger()),
                examine_file(work, config_.limits(), worker_).fingerprint);
  deliver("north/c.mkv", {.codec = "mpeg4", .scenes = {5, 6}});
  deliver("north/z.mkv", {.codec = "mpeg4", .scenes = {3}, .sound = true});
  deliver("south/mine.mkv", {.codec = "mpeg4", .scenes = {1}});
  ingest(1);
  EXPECT_EQ(reports_["north/c.mkv"].outcome, Outcome::refused) << reports_["north/c.mkv"].detail;
  EXPECT_EQ(reports_["south/mine.mkv"].outcome, Outcome::conflict);
  EXPECT_EQ(reports_["north/z.mkv"].outcome, Outcome::kept) << "as the config has it";
}

// A still, black film, less than a second: nothing to recognise but their bytes.
TEST_F(Pipeline, TheSameBytesOfAProtectedWorkAreRefusedWhateverTheyShow) {
  const std::map<std::string, std::string> works = {
      {"still.webm",
       encode_webm(std::vector(64, testing::draw(8, 0, 160, 120)), {.fps = 16, .quality = 20})},
      {"black.webm",
       encode_webm(std::vector(32, Picture{160, 120, 3, std::vector<uint8_t>(160 * 120 * 3)}),
                   {.fps = 16, .quality = 20})},
      {"short.mkv", make_media({.scenes = {9}, .frames_per_scene = 12})}};
  for (const auto& [name, bytes] : works) {
    write_file(folder_.path() / name, bytes);
    const ExaminedFile work = examine_file(folder_.path() / name, config_.limits(), worker_);
    EXPECT_FALSE(pictures_tell(work.named.footage)) << name;
    ASSERT_TRUE(add_protected(protected_folder(ledger()), work.fingerprint));
    deliver_bytes("north/" + name, bytes);
  }
  ingest();
  for (const auto& [name, bytes] : works) {
    const FileReport& file = reports_["north/" + name];
    EXPECT_EQ(file.outcome, Outcome::refused) << name << ": " << file.detail;
    EXPECT_NE(file.detail.find("(the same bytes)"), std::string::npos) << file.detail;
  }
  EXPECT_TRUE(pictures_tell(
      examine_file(delivery() / "north/a.mkv", config_.limits(), worker_).named.footage));
}

// Which digest a fingerprint says it is of is its maker's word: a false one is in nobody's way.
TEST_F(Pipeline, TwoPrintsOfOneDigestBothCount) {
  const auto print_of = [&](const MediaOptions& media, const std::string& bytes) {
    const fs::path file = folder_.path() / "work.mkv";
    write_file(file, make_media(media));
    const OpenedSource opened = open_source(file);
    return format_fingerprint("work", ledger::sha256(bytes),
                              analyse_in_worker(opened, config_.limits(), worker_));
  };
  const std::string bytes = make_media({.codec = "mpeg4", .scenes = {5}});
  const fs::path works = protected_folder(ledger());
  EXPECT_TRUE(add_protected(works, print_of({.scenes = {9}}, bytes)));  // forged, or damaged
  EXPECT_TRUE(add_protected(works, print_of({.scenes = {5}}, bytes)));
  EXPECT_FALSE(add_protected(works, print_of({.scenes = {5}}, bytes)));
  deliver("north/c.mkv", {.codec = "mpeg4", .scenes = {5, 6}});  // the work in another file
  ingest();
  EXPECT_EQ(reports_["north/c.mkv"].outcome, Outcome::refused) << reports_["north/c.mkv"].detail;
}

TEST_F(Pipeline, AWorkThatIsProtectedWhileAnIngestRunsIsRefusedFromThenOn) {
  const fs::path work = folder_.path() / "feature.mkv";
  write_file(work, make_media({.codec = "mpeg4", .width = 320, .height = 240, .scenes = {3}}));
  const std::string print = examine_file(work, config_.limits(), worker_).fingerprint;
  std::map<std::string, Outcome> outcomes;
  curate::ingest({.ledger = ledger(), .delivery = delivery(), .log_key = {}, .worker = worker_},
                 config_, [&](const FileReport& file) {
                   outcomes[file.path] = file.outcome;
                   add_protected(protected_folder(ledger()), print);
                 });
  EXPECT_EQ(outcomes, (std::map<std::string, Outcome>{{"north/a.mkv", Outcome::kept},
                                                      {"north/b.mkv", Outcome::refused}}));
  EXPECT_EQ(count("SELECT COUNT(*) FROM protected_work"), 1) << "by the one that held the ledger";
}

// When all that was delivered is recorded already.
TEST_F(Pipeline, AWorkThatIsProtectedAtTheEndOfAnIngestIsOnRecord) {
  const std::string print =
      examine_file(delivery() / "north/b.mkv", config_.limits(), worker_).fingerprint;
  curate::ingest({.ledger = ledger(), .delivery = delivery(), .log_key = {}, .worker = worker_},
                 config_, [&](const FileReport& file) {
                   if (file.path == "north/b.mkv") add_protected(protected_folder(ledger()), print);
                 });
  EXPECT_EQ(count("SELECT COUNT(*) FROM protected_work"), 1);
}

// A disk that was not mounted, a ledger that was copied without what lies beside it.
TEST_F(Pipeline, AFolderOfProtectedWorksThatIsLostStopsEverything) {
  const fs::path works = protected_folder(ledger());
  fs::create_directory_symlink("nowhere", works);
  EXPECT_THROW(ingest(), Error);
  fs::remove(works);
  add_protected(works,
                examine_file(delivery() / "north/b.mkv", config_.limits(), worker_).fingerprint);
  ingest();
  EXPECT_EQ(reports_["north/b.mkv"].outcome, Outcome::refused);
  fs::remove_all(works);
  for (const bool there : {false, true}) {
    if (there) make_folders(works);
    EXPECT_THROW(ingest(), Error);
    EXPECT_THROW(pack("shards"), Error);
  }
  protect_no_more("b.mkv");
  ingest();
  EXPECT_EQ(reports_["north/b.mkv"].outcome, Outcome::kept) << "nothing is protected any more";
}

// Whoever may write to the folder ends no protection without a record.
TEST_F(Pipeline, AProtectedWorkWhoseFileIsNotThereStopsEveryCommandThatAsks) {
  const std::string print =
      examine_file(delivery() / "north/b.mkv", config_.limits(), worker_).fingerprint;
  const std::string digest = to_hex(ledger::sha256(print));
  const fs::path works = protected_folder(ledger()), file = works / (digest + ".print");
  ASSERT_TRUE(add_protected(works, print));
  ingest();
  EXPECT_EQ(reports_["north/b.mkv"].outcome, Outcome::refused);
  EXPECT_EQ(count("SELECT COUNT(*) FROM protected_work WHERE fingerprint = '" + digest +
                  "' AND name = 'b.mkv'"),
            1);
  EXPECT_EQ(ingest().records, 0U) << "once";

  const auto refuses = [&](const std::string& what) {
    const std::function<void()> commands[] = {
        [&] { ingest(); }, [&] { pack("shards"); },
        [&] { Matcher({.ledger = ledger(), .against = {}, .worker = worker_}, config_); },
        [&] { protected_works(ledger::Store(ledger(), ledger::Access::read)); }};
    for (const auto& command : commands) {
      try {
        command();
        ADD_FAILURE() << what;
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), Errc::corrupt);
        const std::string said = error.what();
        for (const std::string& word :
             {file.string(), what, std::string("b.mkv"), std::string("put the file back"),
              "curate protect remove --ledger " + ledger().string() + " " + digest.substr(0, 16)}) {
          EXPECT_NE(said.find(word), std::string::npos) << word << " in " << said;
        }
      }
    }
  };
  write_file(file, print.substr(0, print.size() - 1));
  refuses("was altered");
  fs::remove(file);
  refuses("is gone");
  write_file(works / "another-name.print", print);
  EXPECT_EQ(ingest().records, 0U) << "its content is there";
  protect_no_more(digest.substr(0, 16));
  EXPECT_TRUE(fs::is_empty(works));
  EXPECT_EQ(count("SELECT COUNT(*) FROM protected_work"), 0);
  ingest();
  EXPECT_EQ(reports_["north/b.mkv"].outcome, Outcome::kept);
  ASSERT_TRUE(add_protected(works, print));
  ingest();
  EXPECT_EQ(count("SELECT COUNT(*) FROM protection"), 3) << "protected again";
  EXPECT_TRUE(ledger::verify_ledger(ledger(), {}).findings.empty());
}

// On record, its file not deleted yet: the work is protected as before.
TEST_F(Pipeline, ARemovalThatWasKilledHasEndedNothing) {
  const fs::path works = protected_folder(ledger());
  const std::string print =
      examine_file(delivery() / "north/b.mkv", config_.limits(), worker_).fingerprint;
  ASSERT_TRUE(add_protected(works, print));
  ingest();
  protect_no_more("b.mkv");
  ASSERT_TRUE(add_protected(works, print));
  ingest();
  EXPECT_EQ(reports_["north/b.mkv"].outcome, Outcome::refused);
  EXPECT_EQ(count("SELECT COUNT(*) FROM protected_work"), 1);
}

TEST_F(Pipeline, AWorkIsRemovedByANameThatIsItsOwn) {
  const fs::path works = protected_folder(ledger());
  for (const char* file : {"north/a.mkv", "north/b.mkv"}) {
    const OpenedSource opened = open_source(delivery() / file);
    ASSERT_TRUE(add_protected(
        works, format_fingerprint("one name", opened.digest,
                                  analyse_in_worker(opened, config_.limits(), worker_))));
  }
  ledger::Store store(ledger(), ledger::Access::append);
  for (const auto& [name, code] :
       {std::pair("one name", Errc::usage), std::pair("another", Errc::not_found),
        std::pair("", Errc::not_found)}) {
    try {
      remove_protected(store, name);
      ADD_FAILURE() << name;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code) << error.what();
    }
  }
  EXPECT_EQ(store.db().integer("SELECT COUNT(*) FROM protection"), 0);
}

TEST_F(Pipeline, PacksNothingOfAWorkThatWasProtectedAfterItsIngest) {
  ingest();
  const fs::path work = folder_.path() / "feature.mkv";
  write_file(work, make_media({.codec = "mpeg4", .width = 320, .height = 240, .scenes = {3}}));
  ASSERT_TRUE(add_protected(protected_folder(ledger()),
                            examine_file(work, config_.limits(), worker_).fingerprint));
  EXPECT_EQ(pack("shards").left_out, 1U);
  EXPECT_EQ(count("SELECT COUNT(*) FROM sample"), 4) << "a.mkv alone";
  EXPECT_NE(left_out_["north/b.mkv"].find("protected: "), std::string::npos)
      << left_out_["north/b.mkv"];
  EXPECT_EQ(count("SELECT COUNT(*) FROM refusal WHERE rule = 'protected' AND "
                  "subject LIKE 'north/b.mkv sha256:%'"),
            1);
}

// Of what was recorded only kept looks are there, and no turns.
TEST_F(Pipeline, FindsMirroredAndTurnedFootageThatWasTakenInBefore) {
  std::vector<Picture> mirrored, turned;
  for (int i = 0; i < 64; ++i) {
    mirrored.push_back(testing::mirrored(testing::draw(8, i, 320, 240)));
    turned.push_back(testing::axes_swapped(testing::mirrored(testing::draw(9, i, 320, 240))));
  }
  deliver_bytes("north/mirrored.webm", encode_webm(mirrored, {.fps = 16, .quality = 20}));
  deliver_bytes("north/turned.webm", encode_webm(turned, {.fps = 16, .quality = 20}));
  ingest();
  ASSERT_EQ(reports_["north/mirrored.webm"].outcome, Outcome::kept);
  ASSERT_EQ(reports_["north/turned.webm"].outcome, Outcome::kept);

  const fs::path works = protected_folder(ledger());
  for (const unsigned scene : {8U, 9U}) {
    const fs::path work = folder_.path() / "work.mkv";
    write_file(work, make_media({.codec = "mpeg4",
                                 .width = 320,
                                 .height = 240,
                                 .scenes = {scene},
                                 .frames_per_scene = 64}));
    ASSERT_TRUE(add_protected(works, examine_file(work, config_.limits(), worker_).fingerprint));
  }
  std::map<std::string, std::string> found;
  for (const auto& one : recorded_protected(ledger(), ProtectedWorks(works), config_)) {
    found[one.path] = one.found.match.how;
  }
  EXPECT_EQ(found, (std::map<std::string, std::string>{{"north/mirrored.webm", "mirrored"},
                                                       {"north/turned.webm", "by 90"}}));
  EXPECT_EQ(pack("shards").left_out, 2U);
  EXPECT_EQ(count("SELECT COUNT(*) FROM sample"), 6) << "a.mkv and b.mkv";

  // A fingerprint file that is asked about has no turns either.
  const fs::path print = folder_.path() / "mirrored.print";
  write_file(
      print,
      examine_file(delivery() / "north/mirrored.webm", config_.limits(), worker_).fingerprint);
  const Matcher matcher({.ledger = {}, .against = {works}, .worker = worker_}, config_);
  const auto by_print = matcher.find(print);
  ASSERT_EQ(by_print.size(), 1U);
  EXPECT_STREQ(by_print[0].match.how, "mirrored");
}

// Where a smaller picture may lie is kept, too, beside the ledger.
TEST_F(Pipeline, FindsAnInsetThatWasTakenInBeforeItsWorkWasProtected) {
  std::vector<Picture> outer;
  for (int i = 0; i < 64; ++i) {
    Picture picture = testing::draw(9, i, 640, 480);
    const Picture inset = testing::draw(8, i, 384, 288);  // 60 percent, in the middle
    const auto depth = static_cast<size_t>(picture.channels);
    for (size_t y = 0; y < 288; ++y) {
      std::copy_n(inset.pixels.begin() + static_cast<ptrdiff_t>(y * 384 * depth), 384 * depth,
                  picture.pixels.begin() + static_cast<ptrdiff_t>(((y + 96) * 640 + 128) * depth));
    }
    outer.push_back(std::move(picture));
  }
  deliver_bytes("north/outer.webm", encode_webm(outer, {.fps = 16, .quality = 20}));
  ingest();
  ASSERT_EQ(reports_["north/outer.webm"].outcome, Outcome::kept);

  const fs::path works = protected_folder(ledger());
  const fs::path work = folder_.path() / "work.mkv";
  write_file(
      work,
      make_media(
          {.codec = "mpeg4", .width = 384, .height = 288, .scenes = {8}, .frames_per_scene = 64}));
  ASSERT_TRUE(add_protected(works, examine_file(work, config_.limits(), worker_).fingerprint));
  const auto found = recorded_protected(ledger(), ProtectedWorks(works), config_);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].path, "north/outer.webm");
  EXPECT_STREQ(found[0].found.match.how, "inset");
}

TEST_F(Pipeline, QuarantinesFootageThatTwoLicensorsDeliver) {
  deliver("south/mine.mkv", {.codec = "mpeg4", .scenes = {3}});
  ingest();
  EXPECT_EQ(reports_["south/mine.mkv"].outcome, Outcome::conflict);
  EXPECT_NE(
      reports_["south/mine.mkv"].detail.find("south under SOUTH@1 here, north under NORTH@1 for "
                                             "north/b.mkv"),
      std::string::npos)
      << reports_["south/mine.mkv"].detail;
  pack("shards");  // neither side of the conflict is packed
  EXPECT_EQ(count("SELECT COUNT(*) FROM sample"), 4);
}

std::string kept_of(const Group& group) {
  std::string out;
  for (const GroupMember& member : group.members) {
    if (member.kept) out += member.path;
    EXPECT_FALSE(member.reason.empty());
  }
  return out;
}

// People established whose it is: the clips of that side are packed under its own licences.
TEST_F(Pipeline, PacksTheSideThatAReviewReleases) {
  deliver("south/mine.mkv", {.codec = "mpeg4", .scenes = {3}});
  ingest();
  const auto approver = ledger::new_signer_key("ann");
  const auto packed_of = [&](const std::string& path) {
    return count(
        "SELECT COUNT(*) FROM sample p JOIN clip c ON c.seq = p.clip JOIN source s ON "
        "s.seq = c.source WHERE s.path = '" +
        path + "'");
  };
  {
    ledger::Store store(ledger(), ledger::Access::append);
    store.append({key_fact(approver, "approver")});
    ledger::Note note{
        .text = ledger::title_form(store, "south/mine.mkv", ledger::judging_time_us(store)),
        .signatures = {}};
    ledger::add_signature(note, approver);
    store.append(ledger::review_records(store, ledger::format_note(note)));
  }
  pack("shards");
  EXPECT_EQ(packed_of("south/mine.mkv"), 2);
  EXPECT_EQ(packed_of("north/b.mkv"), 0);
  EXPECT_EQ(packed_of("north/a.mkv"), 4);
  EXPECT_EQ(count("SELECT COUNT(*) FROM shard_licence h JOIN licence l ON l.seq = h.licence "
                  "WHERE l.ref = 'SOUTH@1'"),
            1);
  const ledger::Store store(ledger(), ledger::Access::read);
  EXPECT_EQ(kept_of(duplicate_groups(store, Keep::oldest).at(0)), "south/mine.mkv");
}

// The bytes of north/b.mkv come by another path, too, where the file fails.
struct OtherCopy {
  const char* fails;  // the rule
  bool first;         // before north/b.mkv
  bool same;          // licensor
};
void PrintTo(const OtherCopy& copy, std::ostream* out) {
  *out << copy.fails << (copy.first ? ", first" : ", later")
       << (copy.same ? ", own" : ", another's");
}

class FailingCopy : public Pipeline, public ::testing::WithParamInterface<OtherCopy> {
 protected:
  const std::string rule_ = GetParam().fails;
  std::string path_;

  void deliver_copy() {
    path_ = GetParam().same ? "strict/copy.mkv" : "south/copy.mkv";
    if (rule_ == "name") path_.insert(path_.find(".mkv"), "\xE9");
    deliver_bytes(path_, film_);
    if (rule_ == "clearances") {
      const fs::path copy = delivery() / path_;
      write_file(fs::path(copy).replace_extension("clearances"), "clip { talnt: NONE }");
    }
    if (rule_ == "unsupported") config_.mutable_limits()->set_max_pixel_frames(1);
    const fs::path work = folder_.path() / "work.mkv";
    write_file(work, film_);
    if (rule_ == "protected") {
      ASSERT_TRUE(add_protected(protected_folder(ledger()),
                                examine_file(work, config_.limits(), worker_).fingerprint));
    }
    ingest();
    config_.mutable_limits()->clear_max_pixel_frames();
    if (rule_ == "protected") protect_no_more("work.mkv");
    retry_failed_ = true;  // but for that, none is taken in by any path
  }
  void deliver_film() {
    deliver_bytes("north/b.mkv", film_);
    ingest();
  }
  // Does pack, or the judge of a shard that is there, allow the bytes?
  bool is_usable() {
    pack("shards");
    const std::string source = to_hex(ledger::sha256(film_));
    const ledger::Store store(ledger(), ledger::Access::read);
    const ledger::Rights rights(store);
    ledger::Statement shard(store.db(),
                            "SELECT DISTINCT h.root FROM shard h JOIN sample p ON p.shard = h.seq "
                            "JOIN clip c ON c.seq = p.clip JOIN source s ON s.seq = c.source "
                            "WHERE s.digest = ?");
    bool usable = false;
    for (shard.with(source); shard.next();) {
      usable |=
          judge_shard(store, rights, shard.text(0), ledger::Act{ledger::ENCODE}).verdict.cleared;
    }
    return usable;
  }
  void decide_for(const std::string& path) {
    const auto approver = ledger::new_signer_key("ann");
    ledger::Store store(ledger(), ledger::Access::append);
    store.append({key_fact(approver, "approver")});
    ledger::Note note{.text = ledger::title_form(store, path, ledger::judging_time_us(store)),
                      .signatures = {}};
    ledger::add_signature(note, approver);
    store.append(ledger::review_records(store, ledger::format_note(note)));
  }

  const std::string film_ = make_media({.scenes = {3}, .sound = true});
};

// What the licence of that path says counts, and another licensor's claim waits for a review.
TEST_P(FailingCopy, CountsForItsBytes) {
  licence("STRICT", "north", "strict/**", "INGEST");
  fs::remove(delivery() / "north/b.mkv");
  if (GetParam().first) {
    deliver_copy();
    ASSERT_NE(reports_[printable(path_)].outcome, Outcome::kept)
        << reports_[printable(path_)].detail;
    deliver_film();
  } else {
    deliver_film();
    ASSERT_TRUE(is_usable());
    deliver_copy();
  }
  ASSERT_EQ(count("SELECT COUNT(*) FROM source WHERE path = 'north/b.mkv' AND status = 'kept'"), 1);
  EXPECT_FALSE(is_usable());
  ingest();
  EXPECT_FALSE(is_usable());
  EXPECT_EQ(count("SELECT COUNT(DISTINCT duplicate) FROM title_claim WHERE released = 0"),
            GetParam().same ? 0 : 1);
  if (GetParam().same) return;
  decide_for("north/b.mkv");
  // What the sidecar of a copy may say of the people in it is another question, and waits.
  const bool waits = rule_ == "clearances";
  EXPECT_NE(is_usable(), waits) << "the one path out";
  const int64_t claims = count("SELECT COUNT(*) FROM duplicate");
  ingest();
  const FileReport& copy = reports_[printable(path_)];
  EXPECT_NE(copy.outcome, Outcome::conflict) << copy.detail;
  EXPECT_NE(copy.detail.find("decided for north"), std::string::npos) << copy.detail;
  EXPECT_EQ(count("SELECT COUNT(*) FROM duplicate"), claims);
  EXPECT_NE(is_usable(), waits);
}

std::vector<OtherCopy> failing_copies() {
  std::vector<OtherCopy> out;
  for (const char* rule : {"clearances", "unsupported", "name", "protected"}) {
    for (const bool first : {false, true}) {
      for (const bool same : {false, true}) out.push_back({rule, first, same});
    }
  }
  return out;
}
INSTANTIATE_TEST_SUITE_P(Each, FailingCopy, ::testing::ValuesIn(failing_copies()));

// Of the very same bytes: what was decided is the claim of him who had made one.
TEST_F(Pipeline, AReviewDecidesNothingForAThirdLicensorOfTheSameBytes) {
  licence("EAST", "east", "east/**", "INGEST, ENCODE");
  const auto copy = [&](const std::string& path) {
    make_folders((delivery() / path).parent_path());
    fs::copy(delivery() / "north/b.mkv", delivery() / path);
    ingest();
    return reports_[path].outcome;
  };
  const auto waiting = [&] {
    return count("SELECT COUNT(DISTINCT clip) FROM title_claim WHERE released = 0");
  };
  ingest();
  EXPECT_EQ(copy("south/copy.mkv"), Outcome::conflict);
  EXPECT_EQ(waiting(), 2);
  {
    const auto approver = ledger::new_signer_key("ann");
    ledger::Store store(ledger(), ledger::Access::append);
    store.append({key_fact(approver, "approver")});
    ledger::Note note{
        .text = ledger::title_form(store, "north/b.mkv", ledger::judging_time_us(store)),
        .signatures = {}};
    ledger::add_signature(note, approver);
    store.append(ledger::review_records(store, ledger::format_note(note)));
  }
  EXPECT_EQ(waiting(), 0);
  EXPECT_EQ(copy("east/copy.mkv"), Outcome::conflict);
  EXPECT_EQ(reports_["south/copy.mkv"].outcome, Outcome::already)
      << reports_["south/copy.mkv"].detail;
  EXPECT_EQ(waiting(), 2);
}

// A name that holds a digest, with words beside it that are left out.
TEST_F(Pipeline, ANameSaysNothingOfOtherBytes) {
  const std::string film = make_media({.scenes = {7}});
  const std::string digest = to_hex(ledger::sha256(film));
  deliver("south/x sha256:" + digest, {.scenes = {5}});
  write_file(delivery() / ("south/x sha256:" + digest + ".txt"), "\xFF");
  EXPECT_EQ(ingest().kept, 3U);
  deliver_bytes("north/c.mkv", film);
  EXPECT_EQ(ingest().kept, 1U) << reports_["north/c.mkv"].detail;
  pack("shards");
  EXPECT_TRUE(left_out_.empty()) << left_out_.begin()->first << left_out_.begin()->second;
  deliver("south/x", {.scenes = {6}});
  limit_ = 1;
  EXPECT_EQ(ingest().kept, 1U) << "nothing is on record of it";
}

TEST_F(Pipeline, AMendedSidecarUnderALimitIsReadAgain) {
  write_file(delivery() / "north/a.clearances", "clip { talnt: NONE }");
  limit_ = 2;
  EXPECT_EQ(ingest().failed, 1U);
  EXPECT_EQ(ingest().files, 0U) << "nothing has changed";
  retry_failed_ = true;
  EXPECT_EQ(ingest().failed, 1U);
  retry_failed_ = false;
  write_file(delivery() / "north/a.clearances", "clip { talent: NONE_VISIBLE }");
  EXPECT_EQ(ingest().kept, 1U);
  EXPECT_EQ(ingest().files, 0U);
}

// Another order and something in between hide nothing: what is in no span is packed, and only that.
TEST_F(Pipeline, QuarantinesEverySpanThatTwoLicensorsDeliver) {
  std::vector<Picture> film, cut;
  for (int i = 0; i < 224; ++i) film.push_back(testing::draw(21, i, 160, 120));
  cut.insert(cut.end(), film.begin() + 136, film.begin() + 200);  // 8.5 s to 12.5 s
  for (int i = 0; i < 64; ++i) cut.push_back(testing::draw(22, i, 160, 120));
  cut.insert(cut.end(), film.begin() + 16, film.begin() + 80);  // 1 s to 5 s
  deliver_bytes("north/film.webm", encode_webm(film, {.fps = 16, .quality = 20}));
  ingest();
  deliver_bytes("south/cut.webm", encode_webm(cut, {.fps = 16, .quality = 30}));
  ingest();
  const std::string& said = reports_["south/cut.webm"].detail;
  EXPECT_EQ(reports_["south/cut.webm"].outcome, Outcome::conflict) << said;
  EXPECT_EQ(said.find("two licensors claim it"), said.rfind("two licensors claim it")) << said;
  EXPECT_EQ(count("SELECT COUNT(*) FROM duplicate WHERE verdict = 'conflict'"), 2);
  pack("shards");
  const std::string packed =
      "SELECT COUNT(*) FROM sample p JOIN clip c ON c.seq = p.clip JOIN source s ON s.seq = "
      "c.source WHERE s.path = ";
  EXPECT_EQ(count(packed + "'south/cut.webm'"), 0);
  EXPECT_GT(count(packed + "'north/film.webm'"), 3) << "from 5 s to 8.5 s";
  EXPECT_EQ(count(packed + "'north/film.webm' AND (c.start_us < 4900000 AND c.end_us > 1100000 OR "
                           "c.start_us < 12400000 AND c.end_us > 8600000)"),
            0);
}

// Somebody else's music under other pictures: no copy, but a person has to say whose it is.
TEST_F(Pipeline, AsksAPersonAboutTheSoundOfAnotherLicensor) {
  const auto film = [](unsigned scene, unsigned sound) {
    return testing::MediaOptions{.codec = "mpeg4",
                                 .scenes = {scene},
                                 .frames_per_scene = 192,
                                 .sound = true,
                                 .sound_seed = sound};
  };
  const std::string asked =
      "SELECT COUNT(DISTINCT c.clip) FROM clearance c JOIN source_clip v ON v.clip = c.clip "
      "JOIN source s ON s.seq = v.source WHERE c.reason = 'music' AND c.value = 'UNKNOWN' AND "
      "s.path = ";
  deliver("north/long.mkv", film(11, 77));
  deliver("north/sequel.mkv", film(12, 77));
  deliver("south/own.mkv", film(14, 78));
  ingest(1);
  for (const auto& [path, report] : reports_) EXPECT_EQ(report.outcome, Outcome::kept) << path;
  EXPECT_EQ(count(asked + "'north/sequel.mkv'"), 0) << "its licensor's own";

  deliver("south/dubbed.mkv", film(13, 77));
  ingest(1);
  EXPECT_EQ(reports_["south/dubbed.mkv"].outcome, Outcome::kept);
  EXPECT_EQ(count(asked + "'south/dubbed.mkv'"), 12);
  EXPECT_EQ(count(asked + "'north/long.mkv'"), 12) << "nobody knows yet whose it is";
  EXPECT_EQ(count(asked + "'north/sequel.mkv'"), 12);
  EXPECT_EQ(count(asked + "'south/own.mkv'"), 0);
  const std::string& said = reports_["south/dubbed.mkv"].detail;
  EXPECT_NE(said.find("sounds like 0:00"), std::string::npos) << said;
  EXPECT_NE(said.find("north under NORTH@1"), std::string::npos) << said;
  EXPECT_NE(said.find("12 clips wait for a person"), std::string::npos) << said;
  EXPECT_NE(said.find("there before, 24 clips wait for a person"), std::string::npos) << said;
}

TEST_F(Pipeline, AsksAPersonAboutTheSoundOfAWorkThatWasProtectedLater) {
  const testing::MediaOptions film{
      .codec = "mpeg4", .scenes = {11}, .frames_per_scene = 192, .sound = true, .sound_seed = 77};
  deliver("north/long.mkv", film);
  ingest();
  const fs::path work = folder_.path() / "song.mkv";
  testing::MediaOptions song = film;
  song.scenes = {20};
  write_file(work, make_media(song));
  const fs::path works = protected_folder(ledger());
  ASSERT_TRUE(add_protected(works, examine_file(work, config_.limits(), worker_).fingerprint));
  const auto before = recorded_protected(ledger(), ProtectedWorks(works), config_);
  ASSERT_EQ(before.size(), 1U);
  EXPECT_EQ(before[0].path, "north/long.mkv");
  EXPECT_TRUE(before[0].found.match.sound_alone());

  const std::string asked = "SELECT COUNT(*) FROM clearance WHERE reason = 'music'";
  const std::string packed =
      "SELECT COUNT(*) FROM sample p JOIN clip c ON c.seq = p.clip JOIN source s ON s.seq = "
      "c.source WHERE s.path = 'north/long.mkv'";
  for (int twice = 0; twice < 2; ++twice) {
    EXPECT_EQ(pack("shards").left_out, 12U);
    EXPECT_EQ(count(packed), 0);
    EXPECT_EQ(count(asked), 12) << "once";
  }
  protect_no_more("song.mkv");
  EXPECT_EQ(pack("shards").left_out, 12U) << "it stays asked until a person answers";
}

// A work may be protected after shards were made of it: nothing in the ledger says so to a permit.
TEST_F(Pipeline, SaysWhichShardsShowAWorkThatWasProtectedSince) {
  ingest();
  EXPECT_EQ(pack("shards").left_out, 0U);
  const fs::path work = folder_.path() / "feature.mkv";
  write_file(work, make_media({.codec = "mpeg4", .width = 320, .height = 240, .scenes = {3}}));
  const fs::path works = protected_folder(ledger());
  ASSERT_TRUE(add_protected(works, examine_file(work, config_.limits(), worker_).fingerprint));
  EXPECT_EQ(pack("shards").left_out, 1U);
  const std::string& why = left_out_["nano-000000.tar"];
  EXPECT_NE(why.find("north/b.mkv: protected: "), std::string::npos) << why;
  EXPECT_NE(why.find("ledger revoke " + ledger().string()), std::string::npos) << why;
  const auto before = recorded_protected(ledger(), ProtectedWorks(works), config_);
  ASSERT_EQ(before.size(), 1U);
  ASSERT_EQ(before[0].shards.size(), 1U);
  EXPECT_NE(why.find(before[0].shards[0]), std::string::npos) << why;
}

TEST_F(Pipeline, QuarantinesTheSameBytesOfTwoLicensors) {
  deliver("south/copy.mkv", {.scenes = {3}, .sound = true});
  ingest();
  EXPECT_EQ(reports_["south/copy.mkv"].outcome, Outcome::conflict);
  pack("shards");
  EXPECT_EQ(count("SELECT COUNT(*) FROM sample"), 4);
}

// Three edits of one scene; the second one is the largest, the third licensed
// longest.
class PipelineGroups : public Pipeline {
 protected:
  void expect_groups(unsigned jobs) {
    licence("LONG", "north", "long/**", "INGEST, ENCODE", "2150-12-31");
    deliver("north/c.mkv", {.codec = "mpeg4", .width = 320, .height = 240, .scenes = {3}});
    deliver("long/d.mkv", {.codec = "mpeg4", .scenes = {9, 3}});
    deliver("a-north/a.mkv", {.codec = "mpeg4", .width = 240, .height = 180, .scenes = {3}});
    licence("FIRST", "north", "a-north/**", "INGEST, ENCODE");
    ingest(jobs);
    const ledger::Store store(ledger(), ledger::Access::read);
    // Deliveries are taken in in order of path.
    const std::map<Keep, std::string> cases = {{Keep::oldest, "a-north/a.mkv"},
                                               {Keep::best, "north/c.mkv"},
                                               {Keep::licence, "long/d.mkv"}};
    for (const auto& [keep, kept] : cases) {
      const auto groups = duplicate_groups(store, keep);
      ASSERT_EQ(groups.size(), 1U);
      EXPECT_FALSE(groups[0].conflict);
      ASSERT_EQ(groups[0].members.size(), 4U);
      EXPECT_EQ(kept_of(groups[0]), kept) << keep_name(keep);
      // The second scene of two, 2 s each.
      EXPECT_NEAR(double(groups[0].members[1].start_us), 2e6, 3e5);
      EXPECT_GE(groups[0].spans.size(), 3U);
    }
  }
};
TEST_F(PipelineGroups, KeepOneByEachPolicy) {
  expect_groups(1);
}
TEST_F(PipelineGroups, KeepTheSameOneWithMoreWorkers) {
  expect_groups(3);
}

TEST_F(Pipeline, GroupsOfTwoLicensorsKeepNothing) {
  deliver("south/mine.mkv", {.codec = "mpeg4", .scenes = {3}});
  ingest();
  const ledger::Store store(ledger(), ledger::Access::read);
  const auto groups = duplicate_groups(store, Keep::best);
  ASSERT_EQ(groups.size(), 1U);
  EXPECT_TRUE(groups[0].conflict);
  EXPECT_EQ(kept_of(groups[0]), "");
  EXPECT_EQ(groups[0].members[0].licences, std::vector<std::string>{"NORTH@1"});
  EXPECT_EQ(groups[0].members[1].licences, std::vector<std::string>{"SOUTH@1"});
}

// A reel of two scenes that are elsewhere too does not make these one group.
TEST_F(Pipeline, GroupsAreOfSpansAndNotOfFiles) {
  deliver("north/z-reel.mkv", {.codec = "mpeg4", .scenes = {1, 3}});
  ingest();
  const ledger::Store store(ledger(), ledger::Access::read);
  EXPECT_EQ(duplicate_groups(store, Keep::oldest).size(), 2U);
  EXPECT_THROW(parse_keep("newest"), Error);
}

TEST_F(Pipeline, MakesTheSameLedgerAndShardsWithAnyNumberOfWorkers) {
  config_.mutable_shards()->set_samples_per_shard(4);
  deliver("north/c.mkv", {.scenes = {6, 7}});
  ingest(1);
  const PackSummary one = pack("one", 1);
  EXPECT_EQ(one.made, 3U);
  EXPECT_EQ(one.samples, 10U);
  const std::string facts =
      "SELECT GROUP_CONCAT(id, ' ') FROM (SELECT id FROM clip UNION ALL SELECT digest FROM source "
      "UNION ALL SELECT hex(pdq) FROM fingerprint UNION ALL SELECT digest FROM sample UNION ALL "
      "SELECT root FROM shard)";
  const auto recorded = [&] {
    const ledger::Store store(ledger(), ledger::Access::read);
    ledger::Statement row(store.db(), facts);
    return row.next() ? row.text(0) : "";
  };
  const std::string alone = recorded();
  fs::remove(ledger());
  for (const char* rest : {"-wal", "-shm", ".head"}) fs::remove(ledger().string() + rest);
  licensors_.clear();
  ledger::Store::create(ledger(), log_.verifier);
  licence("NORTH", "north", "north/**", "INGEST, ENCODE");
  ingest(3);
  EXPECT_EQ(pack("three", 3).made, 3U);
  EXPECT_EQ(recorded(), alone);
  EXPECT_EQ(files("one"), files("three"));
}

TEST_F(Pipeline, SkipsShardsThatAreThereAndMakesLostOnesAgain) {
  config_.mutable_shards()->set_samples_per_shard(4);
  ingest();
  EXPECT_EQ(pack("shards").made, 2U);
  const auto before = files("shards");
  EXPECT_EQ(pack("shards").present, 2U);
  fs::remove(folder_.path() / "shards/nano-000000.tar");
  EXPECT_EQ(pack("shards").made, 1U);
  EXPECT_EQ(files("shards"), before);
  deliver("north/c.mkv", {.scenes = {6}});  // later footage goes into shards of its own
  ingest();
  EXPECT_EQ(pack("shards").made, 1U);
  EXPECT_EQ(count("SELECT COUNT(*) FROM shard"), 3);
  EXPECT_EQ(count("SELECT COUNT(DISTINCT clip) FROM sample"), count("SELECT COUNT(*) FROM sample"));
}

TEST_F(Pipeline, MakesNothingAgainThatWasDeleted) {
  config_.mutable_shards()->set_samples_per_shard(4);
  ingest();
  pack("shards");
  const fs::path first = folder_.path() / "shards/nano-000000.tar";
  const ledger::Manifest manifest = ledger::read_manifest(first);
  const auto approver = ledger::new_signer_key("approver");
  const auto record_deletion = [&](const std::string& what, const Digest& digest) {
    ledger::Note note{.text = "deletion { " + what + " digest: \"" + ledger::digest_name(digest) +
                              "\" at: \"2026-01-02T03:04:05Z\" reason: \"over\" }\n",
                      .signatures = {}};
    ledger::add_signature(note, approver);
    ledger::Fact fact;
    fact.mutable_deletion()->set_note(ledger::format_note(note));
    ledger::Store(ledger(), ledger::Access::append).append({fact});
  };
  ledger::Store(ledger(), ledger::Access::append).append({key_fact(approver, "approver")});
  record_deletion("shard: \"" + ledger::digest_name(ledger::shard_root(manifest)) + "\"",
                  manifest.digest);
  EXPECT_EQ(pack("shards").left_out, 1U);
  EXPECT_NE(left_out_["nano-000000.tar"].find("says that it was deleted"), std::string::npos);
  fs::remove(first);
  EXPECT_EQ(pack("shards").left_out, 0U) << "it is gone, as it should be";
  EXPECT_NE(left_out_["nano-000000.tar"].find("is not made again: it was deleted, record "),
            std::string::npos);
  EXPECT_FALSE(fs::exists(first));

  const std::string caption = read_file(delivery() / "north/a.txt");
  EXPECT_EQ(count("SELECT COUNT(*) FROM clip WHERE caption <> ''"), 4);
  const Digest film = ledger::sha256(read_file(delivery() / "north/a.mkv"));
  record_deletion("source: \"" + ledger::digest_name(film) + "\" what: CAPTION",
                  ledger::sha256(caption));
  config_.mutable_shards()->set_name("later");
  config_.mutable_shards()->set_samples_per_shard(3);  // none of these shards is there already
  EXPECT_EQ(pack("shards").made, 2U);
  for (const auto& [name, bytes] : files("shards")) {
    if (!name.starts_with("later")) continue;
    EXPECT_EQ(bytes.find(caption), std::string::npos) << name;
  }
}

// What a film cannot give is asked of it once, and the others are packed as if it were not there.
TEST_F(Pipeline, AFilmThatCannotBeCutCostsOnlyItself) {
  deliver("north/aa.mkv", {.width = 64, .height = 4000, .scenes = {7, 9}});
  config_.mutable_shards()->set_width(1280);
  config_.mutable_shards()->set_height(64);
  config_.mutable_shards()->set_samples_per_shard(3);
  EXPECT_EQ(ingest().kept, 3U);
  const PackSummary done = pack("shards", 3);
  EXPECT_EQ(done.left_out, 1U);
  EXPECT_EQ(done.made, 2U);
  EXPECT_EQ(count("SELECT COUNT(*) FROM sample"), 6);
  const std::string& why = left_out_["north/aa.mkv"];
  EXPECT_NE(why.find("cannot be cut: a picture of 64 x 4000 would be 1280 x 80000"),
            std::string::npos)
      << why;
  EXPECT_EQ(count("SELECT COUNT(*) FROM refusal WHERE rule = 'uncut' AND "
                  "subject LIKE 'north/aa.mkv sha256:%'"),
            1);
  EXPECT_EQ(count("SELECT COUNT(*) FROM clip c JOIN source s ON s.seq = c.source WHERE "
                  "s.path = 'north/aa.mkv' AND c.verdict = 'kept'"),
            4);
  pack("again", 1);
  EXPECT_EQ(files("again"), files("shards"));
}

TEST_F(Pipeline, LeavesOutClipsOfAnotherLength) {
  ingest();
  config_.mutable_clips()->set_frames(81);
  EXPECT_EQ(pack("shards").left_out, 2U);
  EXPECT_EQ(count("SELECT COUNT(*) FROM sample"), 0);
  EXPECT_NE(left_out_["north/a.mkv"].find("last 16 frames at 16 a second"), std::string::npos)
      << left_out_["north/a.mkv"];
}

TEST_F(Pipeline, LeavesOutWhatMayNotBeEncoded) {
  deliver("look/only.mkv", {.scenes = {8}});
  EXPECT_EQ(ingest().kept, 3U);
  pack("shards");
  EXPECT_EQ(count("SELECT COUNT(*) FROM sample"), 6);
  EXPECT_TRUE(left_out_.contains("look/only.mkv"));
  EXPECT_EQ(count("SELECT COUNT(*) FROM refusal WHERE subject LIKE 'look/only.mkv %'"), 1);
}

// The rest is packed.
TEST_F(Pipeline, LeavesOutASourceThatChangedSinceItWasIngested) {
  ingest();
  const std::string bytes = read_file(delivery() / "north/b.mkv");
  for (const std::string& now : {bytes + "x", bytes.substr(1) + "x"}) {
    deliver_bytes("north/b.mkv", now);
    EXPECT_EQ(pack("shards").left_out, 1U);
    EXPECT_NE(left_out_["north/b.mkv"].find("its bytes have changed"), std::string::npos);
    EXPECT_EQ(count("SELECT COUNT(*) FROM sample"), 4) << "a.mkv alone";
  }
  deliver_bytes("north/b.mkv", bytes);
  EXPECT_EQ(pack("shards").left_out, 0U);
  EXPECT_EQ(count("SELECT COUNT(*) FROM sample"), 6);
}

// The licence is for the bytes, and a path under stricter terms is none to take them from.
TEST_F(Pipeline, PacksASourceThatWasMovedWithinTheDelivery) {
  licence("STRICT", "north", "strict/**", "INGEST");
  ingest();
  make_folders(delivery() / "strict");
  fs::rename(delivery() / "north/b.mkv", delivery() / "strict/b.mkv");
  EXPECT_EQ(pack("shards").left_out, 1U);
  fs::rename(delivery() / "strict/b.mkv", delivery() / "north/renamed.mkv");
  EXPECT_EQ(pack("shards").left_out, 0U);
  EXPECT_EQ(count("SELECT COUNT(*) FROM sample"), 6);
}

TEST_F(Pipeline, GivesClipsOfOtherShapesAndLengthsShardsOfTheirOwn) {
  config_.mutable_clips()->add_longer(32);
  for (const auto& [name, width, height] :
       {std::tuple("wide", 80U, 48U), std::tuple("tall", 48U, 80U)}) {
    Bucket& bucket = *config_.mutable_shards()->add_bucket();
    bucket.set_name(name);
    bucket.set_width(width);
    bucket.set_height(height);
  }
  deliver("north/tall.mkv", {.width = 90, .height = 160, .scenes = {6}, .frames_per_scene = 48});
  ingest();
  pack("shards");
  const auto shape = [&](const std::string& name) {
    const fs::path tar = folder_.path() / "shards" / name;
    const std::string bytes = read_file(tar);
    const size_t at = bytes.find("{\"caption\"");
    return bytes.substr(at, bytes.find('\n', at) - at);
  };
  const std::map<std::string, std::vector<std::string>> cases = {
      {"nano-wide-32f-000000.tar", {"\"frames\":32", "\"width\":80", "\"height\":48"}},
      {"nano-tall-32f-000000.tar", {"\"frames\":32", "\"width\":48", "\"height\":80"}},
      {"nano-tall-16f-000000.tar", {"\"frames\":16", "\"width\":48", "\"height\":80"}},
  };
  EXPECT_EQ(count("SELECT COUNT(*) FROM shard"), 3);
  for (const auto& [name, words] : cases) {
    for (const std::string& word : words) {
      EXPECT_NE(shape(name).find(word), std::string::npos) << name << shape(name);
    }
  }
  const auto before = files("shards");
  fs::remove_all(folder_.path() / "shards");
  EXPECT_EQ(pack("shards", 1).made, 3U);
  EXPECT_EQ(files("shards"), before);
}

TEST_F(Pipeline, RecordsWhatWasMeasuredOfShotsAndSound) {
  ingest();
  EXPECT_EQ(count("SELECT COUNT(*) FROM measure WHERE kind = 'shot'"),
            count("SELECT SUM(shots) FROM source"));
  EXPECT_EQ(count("SELECT COUNT(*) FROM measure m JOIN source s ON s.seq = m.source WHERE "
                  "m.kind = 'loudness' AND s.path = 'north/b.mkv' AND m.value BETWEEN -60 AND 0"),
            1);
  EXPECT_EQ(count("SELECT COUNT(*) FROM measure WHERE kind = 'shot' AND note = 'cut'"), 1);
}

TEST_F(Pipeline, LeavesOutWordsThatAreWrongAndSaysSo) {
  write_file(delivery() / "north/a.txt", "\xFF");
  write_file(
      delivery() / "north/b.srt",
      "1\n00:00:00,000 --> 00:00:00,900\nfirst\n\n2\n00:00:01,100 --> 00:00:01,900\nsecond\n");
  write_file(delivery() / "captions.csv", "path;caption\n");
  EXPECT_EQ(ingest().kept, 2U);
  EXPECT_EQ(reports_["north/a.mkv"].outcome, Outcome::kept);
  EXPECT_NE(reports_["north/a.mkv"].detail.find("caption a.txt left out: is not UTF-8"),
            std::string::npos);
  EXPECT_EQ(reports_["captions.csv"].outcome, Outcome::failed);
  EXPECT_EQ(count("SELECT COUNT(*) FROM clip WHERE caption = 'first'"), 1);
  EXPECT_EQ(count("SELECT COUNT(*) FROM clip WHERE caption = 'second'"), 1);
  EXPECT_EQ(count("SELECT COUNT(*) FROM clip WHERE caption = ''"), 4);
  EXPECT_EQ(count("SELECT COUNT(*) FROM source WHERE caption_origin = 'b.srt' AND caption = 'first "
                  "second'"),
            1);
  EXPECT_EQ(count("SELECT COUNT(*) FROM refusal WHERE rule = 'caption' AND act = 'curate' AND "
                  "(subject LIKE 'north/a.mkv sha256:%' OR subject = 'captions.csv')"),
            2);
  EXPECT_EQ(ingest().records, 0U) << "said once";
}

TEST_F(Pipeline, RefusesAShardFileThatIsNotTheRecordedOne) {
  ingest();
  pack("shards");
  fs::resize_file(folder_.path() / "shards/nano-000000.tar", 1024);
  EXPECT_THROW(pack("shards"), Error);
}

TEST_F(Pipeline, ReportNamesWhatIsThereAndRunsNoScript) {
  deliver_bytes("elsewhere/<script>alert(1)<%2fscript>.mp4", "x");
  write_file(delivery() / "north/b.txt", "<img src=x onerror=alert(2)>");
  ingest();
  pack("shards");
  const std::string html =
      html_report(ledger::Store(ledger(), ledger::Access::read), {}, config_.limits());
  EXPECT_EQ(html.find("<script"), std::string::npos);
  EXPECT_EQ(html.find("<img"), std::string::npos);
  for (const char* expected : {"NORTH@1", "no_licence", "north/a.mkv", "nano-000000.tar",
                               "&lt;img src=x onerror=alert(2)&gt;"}) {
    EXPECT_NE(html.find(expected), std::string::npos) << expected;
  }
}

// Pictures come from a worker and stand in the page; without the source there are none.
TEST_F(Pipeline, ReportShowsWhatIsThereTwice) {
  deliver("north/\"z\"\n.mkv", {.codec = "mpeg4", .width = 320, .height = 240, .scenes = {3}});
  ingest();
  const ledger::Store store(ledger(), ledger::Access::read);
  const auto pictures = [&](const ReportOptions& options) {
    const std::string html = html_report(store, options, config_.limits());
    EXPECT_NE(html.find("north/&quot;z&quot;%0A.mkv"), std::string::npos);
    EXPECT_NE(html.find("<h3>Duplicate 1</h3>"), std::string::npos);
    EXPECT_NE(html.find("Shots, by motion"), std::string::npos);
    size_t count = 0;
    const std::string begin = "<img alt=\"\" height=72 src=\"data:image/jpeg;base64,/9j/";
    for (size_t at = 0; (at = html.find(begin, at)) != std::string::npos; ++at) ++count;
    return count;
  };
  EXPECT_EQ(pictures({}), 0U);
  EXPECT_EQ(pictures({.delivery = delivery(), .worker = worker_}), 6U);
  deliver("north/b.mkv", {.scenes = {9}});  // changed since
  EXPECT_EQ(pictures({.delivery = delivery(), .worker = worker_}), 3U);
}

TEST_F(Pipeline, RefusesANameThatIsNotUtf8) {
  deliver_bytes("north/caf\xE9.mkv", "x");
  EXPECT_EQ(ingest().failed, 1U);
  EXPECT_EQ(reports_["north/caf%E9.mkv"].outcome, Outcome::failed);
}

}  // namespace
}  // namespace cleared::curate
