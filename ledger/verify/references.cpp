#include "ledger/verify/references.h"

#include <algorithm>
#include <bit>
#include <set>
#include <unordered_set>

#include "ledger/base/error.h"
#include "ledger/digest.h"
#include "ledger/entries.h"

namespace cleared::ledger {
namespace {

class References {
 public:
  References(const Database& db, LogReading& log, Findings& findings)
      : db_(db), log_(log), findings_(findings) {}

  uint64_t check() {
    uint64_t rows = 0;
    findings_.guarded("log", [&] { check_equals(); });
    findings_.guarded("log", [&] { rows = check_series(); });
    check_references();
    return rows;
  }

 private:
  // Those that meet another one in a table of bits, sixteen a record, are few, and sorted.
  std::unordered_set<uint64_t> prints_given_twice() const {
    const size_t bits = std::bit_ceil(log_.prints.size() * 16 + 64);
    std::vector<uint64_t> once(bits / 64);
    std::vector<uint64_t> again(bits / 64);
    const auto place = [&](uint64_t print) {  // prints are spread evenly
      const size_t bit = print & (bits - 1);
      return std::pair(bit / 64, uint64_t{1} << bit % 64);
    };
    for (const uint64_t print : log_.prints) {
      if (print == 0) continue;
      const auto [word, mask] = place(print);
      again[word] |= once[word] & mask;
      once[word] |= mask;
    }
    std::vector<uint64_t> met;
    for (const uint64_t print : log_.prints) {
      const auto [word, mask] = place(print);
      if (print != 0 && (again[word] & mask) != 0) met.push_back(print);
    }
    std::sort(met.begin(), met.end());
    std::unordered_set<uint64_t> twice;
    for (auto at = met.begin(); (at = std::adjacent_find(at, met.end())) != met.end(); ++at) {
      twice.insert(*at);
    }
    return twice;
  }

  // Records about the same subject: the later ones of a kind that allows one are findings, and so
  // is one that says what another said before it, where not the newest alone counts.
  void check_equals() {
    const std::unordered_set<uint64_t> twice = prints_given_twice();
    if (twice.empty()) return;
    std::unordered_set<uint64_t> seen;
    std::set<Digest> facts;
    const Entries entries(db_);
    for (uint64_t seq = 0; seq < log_.prints.size(); ++seq) {
      if (log_.prints[seq] == 0 || !twice.contains(log_.prints[seq])) continue;
      const std::string bytes = entries.read(seq);
      const std::string_view in = parse_record(bytes).fact;
      const bool is_new = facts.insert(sha256(in)).second;
      if (seen.insert(log_.prints[seq]).second) continue;
      later_equals_.insert(seq);
      Fact fact;
      if (!fact.ParseFromArray(in.data(), static_cast<int>(in.size()))) continue;
      if (subject_of(fact)->unique) {
        findings_.add(record_name(seq), "is about the same as a record before it");
      } else if (!is_new && !newest_alone_counts(fact)) {
        findings_.add(record_name(seq), "says the same as a record before it");
      }
    }
  }

  bool refers_rightly(const Reference& r) const {
    if (r.stored < 0 || static_cast<uint64_t>(r.stored) >= log_.prints.size()) return false;
    const auto stored = static_cast<uint64_t>(r.stored);
    if (!r.first_of_equals) return stored < r.seq && log_.prints[stored] == r.print;
    return stored <= r.seq && log_.prints[stored] == r.print && !later_equals_.contains(stored);
  }

  void check_references() {
    for (const Reference& r : log_.references) {
      if (refers_rightly(r)) continue;
      if (findings_.is_doubted(r.stored) || !log_.complete) continue;
      const TableCursor cursor(db_, r.table, findings_, TableCursor::Raw::no);
      findings_.add(record_name(r.seq) + ", " +
                        std::string(tables()[static_cast<size_t>(r.table)].name) + "." +
                        cursor.column_name(r.column),
                    "is " + std::to_string(r.stored) + ", the log names another record");
    }
  }

  uint64_t check_series() {
    if (!log_.complete) return 0;
    struct Sink : RowSink {
      explicit Sink(References& owner)
          : log(owner.log_),
            cursor(owner.db_, TableId::clip_series, owner.findings_, TableCursor::Raw::no) {
        cursor.begin(INT64_MIN, INT64_MAX);
      }
      void row(TableId table, std::span<const RowCell> cells) override {
        cursor.expect(cells, [&](const RowCell& cell, int64_t stored, int column) {
          log.references.push_back({static_cast<uint64_t>(cells[0].integer), stored,
                                    log.print(*cell.subject), false, table, column});
        });
      }
      LogReading& log;
      TableCursor cursor;
    } sink(*this);
    for (const auto& [seq, source] : log_.series) clip_series_row(seq, source, sink);
    sink.cursor.finish();
    return sink.cursor.rows();
  }

  const Database& db_;
  LogReading& log_;
  Findings& findings_;
  std::unordered_set<uint64_t> later_equals_;
};

}  // namespace

uint64_t check_references(const Database& db, LogReading& log, Findings& findings) {
  return References(db, log, findings).check();
}

}  // namespace cleared::ledger
