#include "tools/ledger_bench.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/entries.h"
#include "ledger/gate.h"
#include "ledger/merkle.h"
#include "ledger/projection.h"
#include "ledger/store.h"
#include "ledger/subject_proof.h"
#include "ledger/tree.h"
#include "ledger/verify.h"
#include "tools/bench_folder.h"
#include "tools/bench_gate.h"
#include "tools/bench_rights.h"
#include "tools/bench_table.h"
#include "tools/cli.h"

namespace cleared::tools {
namespace fs = std::filesystem;
using namespace cleared::ledger;
namespace {

constexpr uint64_t kPerCommit = 10'000;
constexpr uint64_t kCommitsPerHead = 10;
// Half-way between two heads, so that what a head wrote has been copied from the write-ahead file,
// and at its own cost.
constexpr uint64_t kCompareEvery = 300'000;
constexpr uint64_t kCompareAt = 50'000;
constexpr auto kPause = std::chrono::milliseconds(100);
constexpr size_t kBytesMore = 240;  // that our ledger has for a record than SQLite for its row
constexpr auto kAtLeast = Measured::Goal::at_least;
constexpr auto kAtMost = Measured::Goal::at_most;

Digest source_id(uint64_t i) {
  return sha256("source " + std::to_string(i));
}
Digest clip_id(uint64_t i) {
  return sha256("clip " + std::to_string(i));
}

std::vector<Fact> source_facts(uint64_t count) {
  std::vector<Fact> facts(count);
  for (uint64_t i = 0; i < count; ++i) {
    SourceRecord& s = *facts[i].mutable_source();
    s.set_digest(std::string(source_id(i).text()));
    s.set_path("2026-01/take-" + std::to_string(i) + ".mov");
    s.set_container("mov");
    s.set_video_codec("prores");
    s.set_status("kept");
  }
  return facts;
}

// Clips as ingest records them.
std::vector<Fact> clip_facts(uint64_t first, uint64_t count, uint64_t sources) {
  std::vector<Fact> facts(count);
  for (uint64_t i = first; i < first + count; ++i) {
    ClipRecord& c = *facts[i - first].mutable_clip();
    c.set_id(std::string(clip_id(i).text()));
    c.set_source(std::string(source_id(i / 100 % sources).text()));
    c.set_start_us(i * 2'000'000);
    c.set_end_us((i + 1) * 2'000'000);
    c.set_shot(static_cast<uint32_t>(i % 100));
    c.set_verdict("kept");
    c.set_luma(100.5F);
    c.set_sharpness(420.25F);
    c.set_motion(3.5F);
    c.set_caption("a boat under a bridge at dusk");
  }
  return facts;
}

// The most memory that this process has held so far.
double peak_megabytes() {
  std::ifstream in("/proc/self/status");
  for (std::string word; in >> word;) {
    double kilobytes = 0;
    if (word == "VmHWM:" && in >> kilobytes) return kilobytes / 1000;
  }
  return 0;
}

// The columns of a clip's row, for SQLite alone.
std::string plain_schema(const std::string& index) {
  return "PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; "
         "PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -32768; "
         "CREATE TABLE clip(seq INTEGER PRIMARY KEY, id TEXT, source INTEGER, start_us INTEGER, "
         "end_us INTEGER, shot INTEGER, verdict TEXT, luma REAL, sharpness REAL, motion REAL, "
         "caption TEXT) STRICT;" +
         index;
}

void insert_plain(const Database& db, Statement& insert, uint64_t first,
                  const std::vector<std::string>& ids, const std::string& caption) {
  const auto number = [](uint64_t v) { return Cell{ValueType::integer, static_cast<int64_t>(v)}; };
  const auto real = [](double v) { return Cell{ValueType::real, 0, v}; };
  const auto text = [](std::string_view v) { return Cell{ValueType::text, 0, 0, v}; };
  Transaction transaction(db);
  for (uint64_t i = first; i < first + ids.size(); ++i) {
    const Cell row[] = {number(i),
                        text(ids[i - first]),
                        number(i / 100 % 100),
                        number(i * 2'000'000),
                        number((i + 1) * 2'000'000),
                        number(i % 100),
                        text("kept"),
                        real(100.5),
                        real(420.25),
                        real(3.5),
                        text(caption)};
    insert.with_rows(std::span(&row, 1)).run();
  }
  transaction.commit();
}

// Rows by SQLite alone, without a log, without a tree; `more` bytes in each.
class PlainRows {
 public:
  PlainRows(const fs::path& path, const std::string& index, size_t more)
      : db_(made(path, index)),
        insert_(db_, "INSERT INTO clip VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
        caption_("a boat under a bridge at dusk" + std::string(more, '.')) {}

  // Seconds for 10,000 more.
  double step() {
    std::vector<std::string> ids;
    for (uint64_t i = 0; i < kPerCommit; ++i) ids.push_back(to_hex(clip_id(rows_ + i)));
    const double took = seconds_of([&] {
      insert_plain(db_, insert_, rows_, ids, caption_);
      if ((rows_ / kPerCommit + 1) % kCommitsPerHead == 0) {
        db_.integer("PRAGMA wal_checkpoint(TRUNCATE)");
      }
    });
    rows_ += kPerCommit;
    return took;
  }

 private:
  static Database made(const fs::path& path, const std::string& index) {
    Database db = Database::create(path);
    db.exec(plain_schema(index));
    return db;
  }
  Database db_;
  Statement insert_;
  const std::string caption_;
  uint64_t rows_ = 0;
};

double plain_rows_per_s(const fs::path& path, uint64_t records, const std::string& index) {
  PlainRows rows(path, index, 0);
  double total = 0;
  for (uint64_t done = 0; done < records; done += kPerCommit) total += rows.step();
  return static_cast<double>(records) / total;
}

// A ledger that grows by commits of 10,000, with a signed head after every tenth.
class GrowingLedger {
 public:
  GrowingLedger(const fs::path& path, const SignerKey& key, uint64_t sources)
      : key_(key), sources_(sources), store_(made(path, key), Access::append) {
    store_.append(source_facts(sources));
  }
  double step() {
    const std::vector<Fact> facts = clip_facts(clips_, kPerCommit, sources_);
    clips_ += kPerCommit;
    return seconds_of([&] {
      store_.append(facts, Store::Durable::later);
      if (clips_ / kPerCommit % kCommitsPerHead == 0) head();
    });
  }
  void head() { store_.sign_head(key_); }

 private:
  static const fs::path& made(const fs::path& path, const SignerKey& key) {
    Store::create(path, key.verifier);
    return path;
  }
  const SignerKey& key_;
  uint64_t sources_;
  uint64_t clips_ = 0;
  Store store_;
};

// Seconds a record in a new file, from 10,000 to 100,000 records: the first 10,000 find a disk with
// nothing to do.
template <class Grower>
double beginning_s(Grower grower) {
  grower.step();
  double took = 0;
  for (uint64_t i = 1; i < kCommitsPerHead; ++i) took += grower.step();
  return took / static_cast<double>((kCommitsPerHead - 1) * kPerCommit);
}

// What appending costs from one size to the next, tenfold ones and from a million on threefold ones
// too, in turns with what it costs in a new file: a machine is quicker at one moment than at
// another.
struct Stretch {
  uint64_t end = 0;
  double rate = 0;       // records a second
  double beginning = 0;  // of new files, meanwhile; 0 up to 100,000
};
template <class Step, class Beginning, class Use>
double grow(uint64_t records, const Step& step, const Beginning& beginning, const Use& use) {
  double all = 0, took = 0, compared = 0;
  int times = 0;
  uint64_t counted = 0, mark = kPerCommit;
  for (uint64_t done = 0; done < records;) {
    took += step();
    done += kPerCommit;
    if (done > kCompareAt && done % kCompareEvery == kCompareAt) {
      std::this_thread::sleep_for(kPause);
      compared += beginning();
      ++times;
    }
    if (done != mark && done != records) continue;
    use(Stretch{done, static_cast<double>(done - counted) / took,
                times == 0 ? 0 : times / compared});
    all += took;
    took = compared = 0;
    times = 0;
    counted = done;
    mark = mark < 1'000'000 ? mark * 10 : mark % 3 == 0 ? mark / 3 * 10 : mark * 3;
  }
  return all;
}

// Adds to a file as much as a single append writes, and syncs it.
class SyncProbe {
 public:
  explicit SyncProbe(const fs::path& path) : fd_(::open(path.c_str(), O_WRONLY | O_CREAT, 0600)) {
    if (!fd_) throw Error(Errc::io, "bench: cannot write ", path.string());
  }
  void write_and_sync() const {
    write_all(fd_.get(), block_, "probe");
    if (::fdatasync(fd_.get()) != 0) throw Error(Errc::io, "bench: fdatasync");
  }

 private:
  Fd fd_;
  const std::string block_ = std::string(24576, 'x');
};

// Seconds to read and hash every record, on one core.
double hashing_seconds(const fs::path& ledger) {
  const Database db = Database::open(ledger, Access::read);
  const Entries entries(db);
  uint64_t sum = 0;
  const double took = seconds_of([&] {
    entries.scan(0, entries.size(), [&](uint64_t, std::string_view bytes) {
      sum += static_cast<uint64_t>(leaf_digest(as_bytes(bytes)).bytes[0]);
    });
  });
  CLEARED_CHECK(sum > 0);
  return took;
}

double verify_seconds(const fs::path& ledger, bool raw) {
  VerifyOptions options;
  options.raw = raw;
  VerifyReport report;
  const double took = seconds_of([&] { report = verify_ledger(ledger, options); });
  if (!report.findings.empty()) {
    throw Error(Errc::corrupt, "bench: ", report.findings[0].where, ": ", report.findings[0].what);
  }
  return took;
}

double node_digests_per_s() {
  constexpr int kNodes = 1'000'000;
  Digest left = sha256("left");
  const Digest right = sha256("right");
  return kNodes / seconds_of([&] {
           for (int i = 0; i < kNodes; ++i) left = node_digest(left, right);
         });
}

// That no record is about `key`, as `ledger prove --absent` writes it.
SubjectProof absence_proof(const Store& store, const SubjectName& subject) {
  Store::StateProof state = store.prove_subject(key_of(subject));
  SubjectProof out;
  out.subject = subject;
  out.runs = std::move(state.runs);
  out.record = store.record_bytes(state.state_seq);
  out.proof = parse_tlog_proof(store.prove(state.state_seq));
  return out;
}

size_t binary_bytes(const SubjectProof& proof) {
  size_t bytes = proof.record.size();
  for (const StateMap::RunProof& run : proof.runs) bytes += 32 + 8 + 32 + 8 + 32 * run.path.size();
  return bytes;
}

class Bench {
 public:
  explicit Bench(const BenchOptions& o) : o_(o), folder_(o.folder), table_(o.json) {}

  int run() {
    log_key_ = new_signer_key("bench.example/log");
    table_.title("a ledger of " + std::to_string(o_.records) + " clips, " +
                 std::to_string(std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN))) + " cores");
    growth();
    if (o_.keep) keep();
    flatness_of_peer();
    append_peers();
    single_append();
    full_verify();
    inclusion_proofs();
    gate();
    absence();
    table_.finish();
    return exit_ok;
  }

 private:
  fs::path ledger() const { return folder_ / "bench.db"; }

  void keep() const {
    const fs::path kept = fs::path(o_.folder) / "bench.db";
    fs::copy_file(ledger(), kept, fs::copy_options::overwrite_existing);
    write_file(kept.string() + ".head", read_file(ledger().string() + ".head"));
  }

  void growth() {
    {
      GrowingLedger growing(ledger(), log_key_, o_.sources);
      append_s_ = grow(
          o_.records, [&] { return growing.step(); },
          [&] {
            const BenchFolder small(o_.folder);
            return beginning_s(GrowingLedger(small / "new.db", log_key_, o_.sources));
          },
          [&](const Stretch& stretch) { growth_lines(stretch); });
      append_s_ += seconds_of([&] { growing.head(); });
    }
    const auto bytes = static_cast<double>(fs::file_size(ledger()));
    table_.line({"size of the file, per record", bytes / static_cast<double>(o_.records), "bytes"});
  }

  void growth_lines(const Stretch& stretch) {
    flatness_ = stretch.beginning == 0 ? 0 : stretch.rate / stretch.beginning;
    table_.line({.what = "append, to " + std::to_string(stretch.end),
                 .value = stretch.rate,
                 .unit = "rec/s",
                 .beside = stretch.beginning,
                 .limit = "new ledgers to 100,000, in turns"});
    table_.line({.what = "  memory at most",
                 .value = peak_megabytes(),
                 .unit = "MB",
                 .goal = kAtMost,
                 .wanted = 300});
  }

  // Does SQLite stay as quick, when it writes as many bytes? For the newest stretch.
  void flatness_of_peer() {
    if (flatness_ == 0) return;
    PlainRows rows(folder_ / "bytes.db", "", kBytesMore);
    Stretch last;
    grow(
        o_.records, [&] { return rows.step(); },
        [&] {
          const BenchFolder small(o_.folder);
          return beginning_s(PlainRows(small / "new.db", "", kBytesMore));
        },
        [&](const Stretch& stretch) { last = stretch; });
    fs::remove(folder_ / "bytes.db");
    table_.line({.what = "SQLite alone, as many bytes",
                 .value = last.rate,
                 .unit = "rows/s",
                 .beside = last.beginning,
                 .limit = "new files to 100,000, in turns"});
    table_.line({"append, against its beginning", flatness_, "", kAtLeast, 0.92,
                 last.rate / last.beginning, "SQLite's rows against theirs"});
  }

  void append_peers() {
    const uint64_t records = std::min<uint64_t>(o_.records, 300'000);
    const double rate = static_cast<double>(o_.records) / append_s_;
    const double plain = plain_rows_per_s(folder_ / "plain.db", records, "");
    const double indexed = plain_rows_per_s(folder_ / "indexed.db", records,
                                            "CREATE UNIQUE INDEX clip_id ON clip(id)");
    table_.line({"append, 10,000 a commit", rate, "rec/s", kAtLeast, 150'000, plain,
                 "rows by SQLite alone"});
    table_.line({.what = "  the same",
                 .value = rate,
                 .unit = "rec/s",
                 .beside = indexed,
                 .limit = "rows with a random digest index"});
  }

  void single_append() {
    constexpr int kTimes = 1000;
    const SyncProbe probe(folder_ / "probe");
    Store store(ledger(), Access::append);
    Fact fact;
    fact.mutable_refusal()->set_rule("no_licence");
    store.append({fact});  // opens what it needs
    // In turns, since a disk is quicker at one moment than at another; and the sync alone, one
    // after the other, which leaves the disk no time to rest.
    double append_us = 0, sync_us = 0;
    for (int i = 0; i < kTimes; ++i) {
      sync_us += 1e6 / kTimes * seconds_of([&] { probe.write_and_sync(); });
      fact.mutable_refusal()->set_subject("a" + std::to_string(i));
      append_us += 1e6 / kTimes * seconds_of([&] { store.append({fact}); });
    }
    const double in_a_row_us = 1e6 / kTimes * seconds_of([&] {
                                 for (int i = 0; i < kTimes; ++i) probe.write_and_sync();
                               });
    store.sign_head(log_key_);
    table_.line({"single durable append", append_us, "us", kAtMost, 1.2 * sync_us, sync_us,
                 "write of 24 KB, fdatasync, in turns"});
    table_.line({.what = "  the same",
                 .value = append_us,
                 .unit = "us",
                 .beside = in_a_row_us,
                 .limit = "the same sync, 1,000 in a row"});
  }

  void full_verify() {
    const double millions = static_cast<double>(Store(ledger(), Access::read).size()) / 1e6;
    const double hashing = hashing_seconds(ledger()) / millions;
    const double raw = verify_seconds(ledger(), true) / millions;
    const double through_sql = verify_seconds(ledger(), false) / millions;
    table_.line({"verify, a million records", raw, "s", kAtMost, 1, hashing,
                 "reading and hashing, one core"});
    table_.line({.what = "  the same",
                 .value = raw,
                 .unit = "s",
                 .beside = through_sql,
                 .limit = "rows read by SQL"});
  }

  void inclusion_proofs() {
    const Store store(ledger(), Access::read);
    const Tree tree(store.db());
    const uint64_t size = store.size();
    const Digest root = tree.root(size);
    std::mt19937_64 random(1);
    std::vector<uint64_t> seqs(100'000);
    for (uint64_t& seq : seqs) seq = random() % size;
    std::vector<std::vector<Digest>> made(seqs.size());
    const auto make = [&] {
      for (size_t i = 0; i < seqs.size(); ++i) made[i] = tree.inclusion_proof(seqs[i], size);
    };
    const double cold = seconds_of(make);
    const double warm = seconds_of(make);
    std::vector<Digest> leaves;
    for (const uint64_t seq : seqs) leaves.push_back(tree.leaf(seq));
    size_t good = 0;
    const double checked = seconds_of([&] {
      for (size_t i = 0; i < seqs.size(); ++i) {
        good += verify_inclusion(leaves[i], seqs[i], size, made[i], root) ? 1 : 0;
      }
    });
    CLEARED_CHECK(good == seqs.size());
    const auto count = static_cast<double>(seqs.size());
    const double allowed = node_digests_per_s() / static_cast<double>(made[0].size());
    table_.line({"inclusion proofs made", count / warm, "/s", kAtLeast, 100'000, allowed,
                 "node digests of a path allow"});
    table_.line({"  tiles not yet in memory", count / cold, "/s"});
    table_.line({"inclusion proofs verified", count / checked, "/s", kAtLeast, 200'000, allowed,
                 "node digests of a path allow"});
  }

  void gate() {
    constexpr int kTimes = 20;
    constexpr size_t kSamples = 10'000;
    const BenchNode node(o_.folder, kSamples);
    const double opening = seconds_of([&] {
      for (int i = 0; i < kTimes; ++i) {
        CLEARED_CHECK(Gate(node.options()).samples().size() == kSamples);
      }
    });
    const double hashing = seconds_of([&] {
      for (int i = 0; i < kTimes; ++i) hash_manifest_lines(kSamples);
    });
    table_.line({"gate opens 10,000 samples", opening / kTimes * 1e3, "ms", kAtMost, 5,
                 hashing / kTimes * 1e3, "hashing the manifest, one core"});
    verdicts();
    table_.line({"  proof that the shard is logged", static_cast<double>(node.proof_bytes()),
                 "bytes", kAtMost, 3072});
  }

  // A yes asks every rule about terms, so it costs the most.
  void verdicts() {
    constexpr int kTimes = 300'000;
    LicenceText terms;
    terms.mutable_licence()->set_valid_from("2024-01-01");
    terms.mutable_licence()->set_valid_to("2099-12-31");
    Allows& allows = *terms.mutable_allows();
    for (const Use use : {INGEST, CAPTION, EMBED, ENCODE, TRAIN}) allows.add_use(use);
    allows.add_model("cleared-base");
    allows.add_component(GENERATOR);
    for (const char* field : {"tv", "film"}) allows.add_field_of_use(field);
    allows.add_excluded_field("political");
    for (const char* place : {"US", "EU"}) allows.add_compute_territory(place);
    terms.mutable_limits()->set_max_height_px(1080);
    terms.mutable_clearances()->set_talent(Talent::RELEASED_FOR_TRAINING);
    Purpose purpose;
    purpose.set_model("cleared-base");
    purpose.add_component(GENERATOR);
    purpose.set_field_of_use("film");
    purpose.set_compute_territory("EU");
    const Act act{TRAIN, 64, &purpose, {}};
    int cleared = 0;
    const double took = seconds_of([&] {
      for (int i = 0; i < kTimes; ++i) cleared += judge(terms, act, "2026-06-01").cleared ? 1 : 0;
    });
    CLEARED_CHECK(cleared == kTimes);
    table_.line({"verdicts, all rules about terms", kTimes / took, "/s", kAtLeast, 1e6});
  }

  void absence() {
    constexpr size_t kTimes = 200;
    const Store store(ledger(), Access::read);
    std::vector<SubjectProof> made;
    const double making = seconds_of([&] {
      for (size_t i = 0; i < kTimes; ++i) {
        const Digest id = sha256("absent " + std::to_string(i));
        made.push_back(absence_proof(store, {"clip", digest_name(id)}));
      }
    });
    Fact fact;
    CLEARED_CHECK(fact.ParseFromString(std::string(parse_record(made[0].record).fact)));
    std::vector<Digest> keys;
    std::vector<std::string> files;
    size_t largest = 0, largest_file = 0;
    for (const SubjectProof& proof : made) {
      keys.push_back(key_of(proof.subject));
      files.push_back(format_subject_proof(proof));
      largest = std::max(largest, binary_bytes(proof));
      largest_file = std::max(largest_file, files.back().size());
    }
    size_t good = 0;
    const double checking = seconds_of([&] {
      for (size_t i = 0; i < kTimes; ++i) {
        good += verify_absence(keys[i], made[i].runs, fact.state()) ? 1 : 0;
      }
    });
    CLEARED_CHECK(good == kTimes);
    const double checking_files = seconds_of([&] {
      for (const std::string& text : files) {
        verify_subject_proof(parse_subject_proof(text), store.log_key());
      }
    });
    const auto each_us = [](double seconds) { return seconds / kTimes * 1e6; };
    // The goal is for a million; beyond two the map has more runs.
    const auto goal = o_.records <= 1'000'000 ? kAtMost : Measured::Goal::none;
    table_.line(
        {"proof of absence, the largest", static_cast<double>(largest), "bytes", goal, 2048});
    table_.line({"  to check against a root", each_us(checking), "us", kAtMost, 50});
    table_.line({"  as a file, with signed head", static_cast<double>(largest_file), "bytes"});
    table_.line({"  to read and check the file", each_us(checking_files), "us"});
    table_.line({"  to make", each_us(making), "us"});
  }

  const BenchOptions& o_;
  BenchFolder folder_;
  BenchTable table_;
  SignerKey log_key_;
  double append_s_ = 0;
  double flatness_ = 0;  // of the newest stretch
};

}  // namespace

int ledger_bench(const BenchOptions& o) {
  if (o.rights) {
    if (o.records == 0 || o.records % 1'000'000 != 0 || o.runs == 0) {
      throw Error(Errc::usage, "bench: with --rights --records must be a multiple of 1000000 and ",
                  "--runs not 0");
    }
    if (o.keep && o.folder.empty()) throw Error(Errc::usage, "bench: --keep needs --folder");
    BenchTable table(o.json);
    bench_rights({o.records, o.runs, o.folder, o.keep}, table);
    table.finish();
    return exit_ok;
  }
  if (o.records < kPerCommit || o.records % kPerCommit != 0) {
    throw Error(Errc::usage, "bench: --records must be a multiple of 10000");
  }
  if (o.sources == 0) throw Error(Errc::usage, "bench: --sources must not be 0");
  return Bench(o).run();
}

}  // namespace cleared::tools
