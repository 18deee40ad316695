#include "tools/ledger_bench.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <random>
#include <vector>

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/entries.h"
#include "ledger/merkle.h"
#include "ledger/projection.h"
#include "ledger/store.h"
#include "ledger/tree.h"
#include "ledger/verify.h"
#include "tools/cli.h"

namespace cleared::tools {
namespace fs = std::filesystem;
using namespace cleared::ledger;
namespace {

constexpr uint64_t kPerCommit = 10'000;
constexpr uint64_t kCommitsPerHead = 10;
constexpr uint64_t kSources = 100;

double now_s() {
  using clock = std::chrono::steady_clock;
  return std::chrono::duration<double>(clock::now().time_since_epoch()).count();
}

double seconds_of(const std::function<void()>& body) {
  const double began = now_s();
  body();
  return now_s() - began;
}

// A folder that is gone afterwards.
class Folder {
 public:
  explicit Folder(const std::string& parent) {
    const fs::path base = parent.empty() ? fs::temp_directory_path() : fs::path(parent);
    std::string name = (base / "ledger-bench-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw Error(Errc::io, "bench: cannot make ", name);
    path_ = name;
  }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  fs::path operator/(const char* name) const { return path_ / name; }

 private:
  fs::path path_;
};

Digest source_id(uint64_t i) {
  return sha256("source " + std::to_string(i));
}
Digest clip_id(uint64_t i) {
  return sha256("clip " + std::to_string(i));
}

std::vector<Fact> sources() {
  std::vector<Fact> facts(kSources);
  for (uint64_t i = 0; i < kSources; ++i) {
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
std::vector<Fact> clips(uint64_t first, uint64_t count) {
  std::vector<Fact> facts(count);
  for (uint64_t i = first; i < first + count; ++i) {
    ClipRecord& c = *facts[i - first].mutable_clip();
    c.set_id(std::string(clip_id(i).text()));
    c.set_source(std::string(source_id(i / 100 % kSources).text()));
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

uint64_t resident_bytes() {
  std::ifstream in("/proc/self/statm");
  uint64_t pages = 0;
  in >> pages >> pages;
  return pages * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

class Bench {
 public:
  explicit Bench(const BenchOptions& o) : o_(o), folder_(o.folder) {}

  int run() {
    log_key_ = new_signer_key("bench.example/log");
    append();
    peers();
    single_append();
    full_verify();
    proofs();
    absence();
    if (o_.json) {
      std::printf("%s\n", rows_.dump(2).c_str());
    } else {
      std::printf("\nratios are to the limit or peer of the same line; %u cores\n",
                  static_cast<unsigned>(std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN))));
    }
    return exit_ok;
  }

 private:
  // One line of the table.
  void line(const std::string& what, double value, const std::string& unit,
            const std::string& beside, double limit) {
    rows_.push_back({{"what", what},
                     {"value", value},
                     {"unit", unit},
                     {"beside", beside},
                     {"limit", limit},
                     {"ratio", limit == 0 ? 0 : value / limit}});
    if (o_.json) return;
    std::printf("%-46s %12.0f %-10s", what.c_str(), value, unit.c_str());
    if (limit != 0) std::printf("  %5.2f of %.0f: %s", value / limit, limit, beside.c_str());
    std::printf("\n");
    std::fflush(stdout);
  }

  fs::path ledger() const { return folder_ / "bench.db"; }

  // Commits of 10,000, a signed head after every tenth; what each tenfold size costs on the way.
  void append() {
    Store::create(ledger(), log_key_.verifier);
    Store store(ledger(), Access::append);
    store.append(sources());
    double total = 0;
    double since = 0;
    uint64_t since_records = 0;
    uint64_t mark = 10'000;
    for (uint64_t done = 0; done < o_.records;) {
      const uint64_t count = std::min(kPerCommit, o_.records - done);
      const std::vector<Fact> facts = clips(done, count);
      const double took = seconds_of([&] {
        store.append(facts);
        if ((done / kPerCommit + 1) % kCommitsPerHead == 0 || done + count == o_.records) {
          store.sign_head(log_key_);
        }
      });
      total += took;
      since += took;
      since_records += count;
      done += count;
      if (done == mark || done == o_.records) {
        line("append, up to " + std::to_string(done) + " records",
             static_cast<double>(since_records) / since, "records/s", "", 0);
        line("  resident memory there", static_cast<double>(resident_bytes()) / 1e6, "MB", "", 0);
        since = 0;
        since_records = 0;
        mark *= 10;
      }
    }
    append_rate_ = static_cast<double>(o_.records) / total;
    line("  file", static_cast<double>(fs::file_size(ledger())) / static_cast<double>(o_.records),
         "bytes/rec.", "", 0);
  }

  // The same rows by SQLite alone: without a log, without a tree.
  double plain_rows(const char* name, const std::string& index) {
    const fs::path path = folder_ / name;
    const Database db = Database::create(path);
    db.exec(
        "PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; "
        "PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -32768");
    db.exec(
        "CREATE TABLE clip(seq INTEGER PRIMARY KEY, id TEXT, source INTEGER, start_us INTEGER, "
        "end_us INTEGER, shot INTEGER, verdict TEXT, luma REAL, sharpness REAL, motion REAL, "
        "caption TEXT) STRICT;" +
        index);
    const uint64_t records = std::min<uint64_t>(o_.records, 300'000);
    double total = 0;
    Statement insert(db, "INSERT INTO clip VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    for (uint64_t done = 0; done < records; done += kPerCommit) {
      std::vector<std::string> ids;
      for (uint64_t i = 0; i < kPerCommit; ++i) ids.push_back(to_hex(clip_id(done + i)));
      total += seconds_of([&] {
        Transaction transaction(db);
        for (uint64_t i = done; i < done + kPerCommit; ++i) {
          const auto number = [](uint64_t v) {
            return Cell{ValueType::integer, static_cast<int64_t>(v)};
          };
          const auto real = [](double v) { return Cell{ValueType::real, 0, v}; };
          const auto text = [](std::string_view v) { return Cell{ValueType::text, 0, 0, v}; };
          const Cell row[] = {number(i),
                              text(ids[i - done]),
                              number(i / 100 % kSources),
                              number(i * 2'000'000),
                              number((i + 1) * 2'000'000),
                              number(i % 100),
                              text("kept"),
                              real(100.5),
                              real(420.25),
                              real(3.5),
                              text("a boat under a bridge at dusk")};
          insert.with_row(row).run();
        }
        transaction.commit();
        if ((done / kPerCommit + 1) % kCommitsPerHead == 0) {
          db.integer("PRAGMA wal_checkpoint(TRUNCATE)");
        }
      });
    }
    return static_cast<double>(records) / total;
  }

  void peers() {
    const double plain = plain_rows("plain.db", "");
    const double indexed = plain_rows("indexed.db", "CREATE UNIQUE INDEX clip_id ON clip(id)");
    line("append, 10,000 a commit, tree, tables, look-up", append_rate_, "records/s",
         "rows by SQLite alone", plain);
    line("  the same", append_rate_, "records/s", "with a random digest index", indexed);
  }

  void single_append() {
    constexpr int kTimes = 200;
    const fs::path probe = folder_ / "probe";
    const Fd fd(::open(probe.c_str(), O_WRONLY | O_CREAT, 0600));
    if (!fd) throw Error(Errc::io, "bench: cannot write ", probe.string());
    const std::string block(32768, 'x');
    const double sync = seconds_of([&] {
      for (int i = 0; i < kTimes; ++i) {
        write_all(fd.get(), block, "probe");
        if (::fdatasync(fd.get()) != 0) throw Error(Errc::io, "bench: fdatasync");
      }
    });
    Store store(ledger(), Access::append);
    Fact fact;
    fact.mutable_refusal()->set_rule("no_licence");
    store.append({fact});  // opens what it needs
    const double appended = seconds_of([&] {
      for (int i = 0; i < kTimes; ++i) {
        fact.mutable_refusal()->set_subject("a" + std::to_string(i));
        store.append({fact});
      }
    });
    store.sign_head(log_key_);
    line("single durable append", appended / kTimes * 1e6, "us",
         "one write of 32 KB and fdatasync", sync / kTimes * 1e6);
  }

  void full_verify() {
    double hashing = 0;
    uint64_t size = 0;
    {
      const Database db = Database::open(ledger(), Access::read);
      const Entries entries(db);
      size = entries.size();
      uint64_t sum = 0;
      hashing = seconds_of([&] {
        entries.scan(0, size, [&](uint64_t, std::string_view bytes) {
          sum += static_cast<uint64_t>(leaf_digest(as_bytes(bytes)).bytes[0]);
        });
      });
      CLEARED_CHECK(sum > 0);
    }
    VerifyReport report;
    const double took = seconds_of([&] { report = verify_ledger(ledger(), {}); });
    if (!report.findings.empty()) {
      throw Error(Errc::corrupt, "bench: ", report.findings[0].where, ": ",
                  report.findings[0].what);
    }
    const double rate = static_cast<double>(size) / took;
    line("full verify", rate, "records/s", "records read and hashed, one core",
         static_cast<double>(size) / hashing);
    line("  a million records", took / static_cast<double>(size) * 1e9, "ms", "", 0);
  }

  void proofs() {
    const Store store(ledger(), Access::read);
    const Tree tree(store.db());
    const uint64_t size = store.size();
    const Digest root = tree.root(size);
    Digest left = sha256("left");
    const Digest right = sha256("right");
    constexpr int kNodes = 1'000'000;
    const double node = kNodes / seconds_of([&] {
                          for (int i = 0; i < kNodes; ++i) left = node_digest(left, right);
                        });
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
    const double depth = static_cast<double>(made[0].size());
    line("inclusion proofs made, tiles read first", count / cold, "proofs/s", "", 0);
    line("inclusion proofs made, tiles in memory", count / warm, "proofs/s",
         "node digests through EVP would allow", node / depth);
    line("inclusion proofs verified", count / checked, "proofs/s", "node digests allow",
         node / depth);
  }

  void absence() {
    const Store store(ledger(), Access::read);
    StateRecord state;
    {
      const uint64_t seq = store.prove_subject(sha256("x")).state_seq;
      Fact fact;
      const std::string bytes = store.record_bytes(seq);
      CLEARED_CHECK(fact.ParseFromString(std::string(parse_record(bytes).fact)));
      state = fact.state();
    }
    constexpr int kTimes = 200;
    size_t largest = 0;
    std::vector<std::pair<Digest, std::vector<StateMap::RunProof>>> made;
    const double making = seconds_of([&] {
      for (int i = 0; i < kTimes; ++i) {
        const Digest key = sha256("absent " + std::to_string(i));
        made.emplace_back(key, store.prove_subject(key).runs);
      }
    });
    for (const auto& [key, runs] : made) {
      size_t bytes = state.ByteSizeLong();
      for (const StateMap::RunProof& run : runs) bytes += 32 + 8 + 32 + 8 + 32 * run.path.size();
      largest = std::max(largest, bytes);
    }
    int good = 0;
    const double checking = seconds_of([&] {
      for (const auto& [key, runs] : made) good += verify_absence(key, runs, state) ? 1 : 0;
    });
    CLEARED_CHECK(good == kTimes);
    line("absence proof, the largest of 200", static_cast<double>(largest), "bytes", "2 KB", 2048);
    line("  to make", making / kTimes * 1e6, "us", "", 0);
    line("  to check", checking / kTimes * 1e6, "us", "50 us", 50);
  }

  const BenchOptions& o_;
  Folder folder_;
  SignerKey log_key_;
  nlohmann::ordered_json rows_ = nlohmann::ordered_json::array();
  double append_rate_ = 0;
};

}  // namespace

int ledger_bench(const BenchOptions& o) {
  if (o.records < kPerCommit || o.records % kPerCommit != 0) {
    throw Error(Errc::usage, "bench: --records must be a multiple of 10000");
  }
  return Bench(o).run();
}

}  // namespace cleared::tools
