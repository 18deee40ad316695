#include "ledger/verify/in_order.h"

#include <algorithm>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "ledger/admission.h"
#include "ledger/base/clock.h"
#include "ledger/base/error.h"
#include "ledger/entries.h"
#include "ledger/notes.pb.h"
#include "ledger/state_map.h"
#include "ledger/verify/rows.h"

namespace cleared::ledger {
namespace {

class OrderedRows : public RowSink {
 public:
  // `out` must outlive it.
  OrderedRows(const Database& db, const LogReading& log, Findings& findings, InOrder& out)
      : out_(out),
        map_(db),
        admission_(
            db, [this](const Digest& key) { return map_.find(key); }, out_.authority) {
    for (const MapEntry& entry : log.pending) map_.add(entry.key, entry.seq);
    for (size_t i = 0; i < tables().size(); ++i) {
      const auto table = static_cast<TableId>(i);
      if (is_plain(table) || table == TableId::clip_series || table == TableId::licence_source) {
        continue;
      }
      cursors_.try_emplace(table, db, table, findings, TableCursor::Raw::no);
      cursors_.at(table).begin(INT64_MIN, INT64_MAX);
    }
  }

  void moment(const std::pair<uint64_t, uint64_t>& moment) {
    const std::string at = format_time(moment.second);
    const RowCell cells[] = {{Cell{ValueType::integer, static_cast<int64_t>(moment.first), 0, {}}},
                             {Cell{ValueType::text, 0, 0, at}}};
    cursors_.at(TableId::moment).expect(cells, [](const RowCell&, int64_t, int) {});
  }

  void record(uint64_t seq, const RecordView& record) {
    Fact fact;
    if (!fact.ParseFromArray(record.fact.data(), static_cast<int>(record.fact.size()))) {
      throw Error(Errc::corrupt, "does not parse");
    }
    rows_of(seq, fact, out_.authority, *this);
    flush_many();
    if (fact.has_state()) {
      out_.newest_state = fact.state();
      out_.states.insert(seq);
    }
    if (fact.has_key()) out_.authority.add(seq, fact.key());
    if (fact.has_policy()) {
      out_.authority.add(
          seq, parse_noted<PolicyText>(parse_note(fact.policy().note()), "policy").policy());
    }
    admission_.admit(seq, record.at_us, fact);
  }

  void row(TableId table, std::span<const RowCell> cells) override {
    if (tables()[static_cast<size_t>(table)].many) {
      std::vector<RowCell> kept(cells.begin(), cells.end());
      for (RowCell& cell : kept) {  // its bytes are borrowed for this call alone
        if (!cell.bytes.empty()) cell.bytes = texts_.emplace_back(cell.bytes);
      }
      kept[1].integer = static_cast<int64_t>(resolve(kept[1], kept[0].integer));
      kept[1].refers = RowCell::Refers::no;
      many_.emplace_back(table, std::move(kept));
      return;
    }
    TableCursor& cursor = cursors_.at(table);
    cursor.expect(cells, [&](const RowCell& cell, int64_t stored, int column) {
      const uint64_t should = resolve(cell, cells[0].integer);
      if (static_cast<uint64_t>(stored) == should) return;
      cursor.changed(cells[0].integer, static_cast<size_t>(column), std::to_string(stored),
                     std::to_string(should));
    });
  }

  void finish() {
    for (auto& [table, cursor] : cursors_) {
      cursor.finish();
      out_.rows += cursor.rows();
    }
  }

 private:
  uint64_t resolve(const RowCell& cell, int64_t seq) const {
    const auto found = map_.find(*cell.subject);
    if (!found.empty() && found.front() < static_cast<uint64_t>(seq)) return found.front();
    if (cell.refers == RowCell::Refers::first_of_equals) return static_cast<uint64_t>(seq);
    throw Error(Errc::corrupt, cell.what, ": what it names is not on record");
  }
  void flush_many() {
    std::sort(many_.begin(), many_.end(), [](const auto& a, const auto& b) {
      return std::pair(a.first, a.second[1].integer) < std::pair(b.first, b.second[1].integer);
    });
    for (const auto& [table, cells] : many_) {
      cursors_.at(table).expect(cells, [](const RowCell&, int64_t, int) {});
    }
    many_.clear();
    texts_.clear();
  }

  InOrder& out_;
  StateMap map_;
  Admission admission_;
  std::map<TableId, TableCursor> cursors_;
  std::vector<std::pair<TableId, std::vector<RowCell>>> many_;
  std::deque<std::string> texts_;  // of theirs
};

}  // namespace

InOrder check_in_order(const Database& db, const LogReading& log, Findings& findings) {
  InOrder out;
  if (!log.complete) return out;
  OrderedRows in_order(db, log, findings, out);
  const Entries entries(db);
  const auto& moments = log.moments;
  size_t moment = 0;
  for (const uint64_t seq : log.in_order) {
    for (; moment < moments.size() && moments[moment].first <= seq; ++moment) {
      in_order.moment(moments[moment]);
    }
    const std::string bytes = entries.read(seq);
    try {
      in_order.record(seq, parse_record(bytes));
    } catch (const Error& error) {
      // After a changed record others may not fit for that reason alone.
      if (!findings.any_doubt()) findings.add(record_name(seq), error.what());
      findings.doubt(seq);
    }
  }
  for (; moment < moments.size(); ++moment) in_order.moment(moments[moment]);
  in_order.finish();
  return out;
}

}  // namespace cleared::ledger
