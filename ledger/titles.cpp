#include "ledger/titles.h"

#include <algorithm>
#include <cstdio>
#include <optional>
#include <set>
#include <utility>

#include "ledger/base/utf8.h"
#include "ledger/schema.h"

namespace cleared::ledger {

std::string standing_of(std::string_view verdict, std::string_view status, Title title) {
  if (title == Title::conflicted) return "conflict";
  const bool released = title == Title::released;
  if (status != "kept" && !(released && status == "conflict")) return std::string(status);
  return released && verdict == "conflict" ? "kept" : std::string(verdict);
}

std::string standing_sql() {
  const std::string title(kTitleOfClip);
  return "CASE " + title +
         " WHEN 1 THEN 'conflict' WHEN 2 THEN "
         "CASE WHEN s.status NOT IN ('kept', 'conflict') THEN s.status "
         "WHEN c.verdict = 'conflict' THEN 'kept' ELSE c.verdict END "
         "ELSE CASE s.status WHEN 'kept' THEN c.verdict ELSE s.status END END";
}

namespace {

void read_licences(const Store& store, int64_t source, Claim& claim) {
  Statement select(store.db(),
                   "SELECT l.licensor, l.ref FROM source_licence s JOIN licence l "
                   "ON l.seq = s.licence WHERE s.seq = ? ORDER BY l.ref");
  for (select.with(source); select.next();) {
    if (claim.licences.empty()) claim.licensor = select.text(0);
    claim.licences.push_back(select.text(1));
  }
}

// Of both sides, those that would be used but for the claim.
void read_clips(const Store& store, std::vector<TitleConflict>& conflicts) {
  std::map<uint64_t, TitleConflict*> by_record;
  for (TitleConflict& conflict : conflicts) by_record[conflict.record] = &conflict;
  Statement select(store.db(),
                   "SELECT t.duplicate, s.digest, c.id, c.start_us, c.end_us, t.released, t.review "
                   "FROM title_claim t JOIN clip c ON c.seq = t.clip JOIN source s "
                   "ON s.seq = c.source WHERE c.verdict IN ('kept', 'conflict') "
                   "ORDER BY c.source, c.start_us, c.seq");
  while (select.next()) {
    for (Claim& claim : by_record.at(select.unsigned_integer(0))->claims) {
      if (claim.source != select.view(1)) continue;
      const bool released = select.integer(5) != 0;
      claim.clips.push_back(
          {select.text(2), select.unsigned_integer(3), select.unsigned_integer(4), released});
      if (released) claim.released_by = std::max(claim.released_by, select.unsigned_integer(6));
    }
  }
}

}  // namespace

std::vector<TitleConflict> title_conflicts(const Store& store) {
  std::vector<TitleConflict> out;
  Statement select(store.db(),
                   "SELECT d.seq, d.distance, d.source, a.path, a.digest, d.start_us, d.end_us, "
                   "d.of, b.path, b.digest, d.of_start_us, d.of_end_us FROM duplicate d "
                   "JOIN source a ON a.seq = d.source JOIN source b ON b.seq = d.of "
                   "WHERE d.verdict = 'conflict' ORDER BY d.seq");
  Statement said(store.db(),
                 "SELECT substr(subject, 1, length(subject) - 72) || ': ' || fact FROM refusal "
                 "WHERE rule = 'conflict' AND act = 'curate' "
                 "AND substr(subject, -71) = 'sha256:' || ? "
                 "AND fact LIKE 'two licensors deliver the same bytes%' "
                 "ORDER BY seq = ? + 1 DESC, seq DESC LIMIT 1");
  while (select.next()) {
    TitleConflict& conflict = out.emplace_back();
    conflict.record = select.unsigned_integer(0);
    conflict.distance = select.real(1);
    for (int i = 0; i < 2; ++i) {
      const int at = 2 + 5 * i;
      Claim& claim = conflict.claims[i];
      claim.path = select.text(at + 1);
      claim.source = select.text(at + 2);
      claim.start_us = select.unsigned_integer(at + 3);
      claim.end_us = select.unsigned_integer(at + 4);
      read_licences(store, select.integer(at), claim);
    }
    const bool same = conflict.claims[0].source == conflict.claims[1].source;
    if (same && said.with(conflict.claims[0].source, conflict.record).next())
      conflict.said = said.text(0);
  }
  read_clips(store, out);
  return out;
}

std::map<std::string, uint64_t> claims_to_same_bytes(const Store& store) {
  std::map<std::string, uint64_t> out;
  Statement select(store.db(),
                   "SELECT r.subject, d.seq FROM duplicate d JOIN source s ON s.seq = d.source "
                   "JOIN refusal r ON r.seq = d.seq + 1 "
                   "WHERE d.verdict = 'conflict' AND d.of = d.source "
                   "AND d.start_us = 0 AND d.end_us = s.duration_us "
                   "AND r.act = 'curate' AND r.rule = 'conflict' "
                   "AND substr(r.subject, -71) = 'sha256:' || s.digest ORDER BY d.seq");
  while (select.next()) out[select.text(0)] = select.unsigned_integer(1);
  return out;
}

namespace {

// What all reviews up to one that is to be appended say of titles, as the view title_claim does.
class Titles {
 public:
  Titles(const Database& db, uint64_t seq, std::string_view at,
         const std::map<uint64_t, bool>& released)
      : seq_(seq),
        at_(at),
        released_(released),
        newest_(db, "SELECT v.seq, instr(', ' || r.released || ',', ', title,') > 0, v.at FROM" +
                        deciding_review("?1", "?2", "'title'", "?3")) {
    std::set<uint64_t> clips;
    for (const auto& [clip, is_released] : released) clips.insert(clip);
    Statement before(db,
                     "SELECT clip FROM decided_clip WHERE review < ? AND "
                     "instr(', ' || released || ',', ', title,') > 0");
    for (before.with(seq); before.next();) clips.insert(before.unsigned_integer(0));
    Statement row(db, "SELECT id, source, start_us, end_us FROM clip WHERE seq = ?");
    for (const uint64_t clip : clips) {
      if (!row.with(clip).next()) continue;
      clips_.push_back({clip, row.text(0), row.unsigned_integer(1), row.unsigned_integer(2),
                        row.unsigned_integer(3)});
    }
  }

  struct Released {
    std::string clip;  // id, hex
    uint64_t record = 0;
  };
  // One clip of this span of a source that is released from the claim of record `duplicate`, which
  // was taken at `since`.
  std::optional<Released> find(uint64_t source, uint64_t start_us, uint64_t end_us,
                               uint64_t duplicate, const std::string& since) {
    for (const Clip& clip : clips_) {
      if (clip.source != source || clip.start_us >= end_us || start_us >= clip.end_us) continue;
      if (const uint64_t record = released_by(clip.record, duplicate, since); record != 0)
        return Released{clip.id, record};
    }
    return std::nullopt;
  }

 private:
  struct Clip {
    uint64_t record;
    std::string id;
    uint64_t source, start_us, end_us;
  };
  // The record of the decision that counts, where it is a release; else 0.
  uint64_t released_by(uint64_t clip, uint64_t duplicate, const std::string& since) {
    const bool known = newest_.with(clip, duplicate, seq_).next();
    const auto now = released_.find(clip);
    if (now != released_.end() && at_ >= since && (!known || at_ >= newest_.text(2)))
      return now->second ? seq_ : 0;
    return known && newest_.integer(1) != 0 ? newest_.unsigned_integer(0) : 0;
  }

  const uint64_t seq_;
  const std::string at_;
  const std::map<uint64_t, bool>& released_;
  Statement newest_;
  std::vector<Clip> clips_;
};

}  // namespace

std::string released_twice(const Database& db, uint64_t seq, std::string_view at,
                           const std::map<uint64_t, bool>& released) {
  const bool any =
      std::any_of(released.begin(), released.end(), [](auto& one) { return one.second; });
  if (!any) return "";
  Titles titles(db, seq, at, released);
  Statement spans(db,
                  "SELECT seq, source, start_us, end_us, of, of_start_us, of_end_us, "
                  "(SELECT m.at FROM moment m WHERE m.seq <= d.seq ORDER BY m.seq DESC LIMIT 1) "
                  "FROM duplicate d WHERE verdict = 'conflict' AND source <> of AND seq < ?");
  for (spans.with(seq); spans.next();) {
    const auto side = [&](int column) {
      return titles.find(spans.unsigned_integer(column), spans.unsigned_integer(column + 1),
                         spans.unsigned_integer(column + 2), spans.unsigned_integer(0),
                         spans.text(7));
    };
    auto here = side(1), there = side(4);
    if (!here || !there) continue;
    if (there->record == seq) std::swap(here, there);
    return "clip sha256:" + here->clip + " shows what clip sha256:" + there->clip +
           " shows, by record " + spans.text(0) + ", and " +
           (there->record == seq ? "this review releases the titles of both"
                                 : "record " + std::to_string(there->record) +
                                       " releases the title of that one: take it back first, "
                                       "keep_out: TITLE");
  }
  return "";
}

std::string describe(const Claim& claim) {
  char span[64];
  std::snprintf(span, sizeof span, "%.2f to %.2f s of ", double(claim.start_us) / 1e6,
                double(claim.end_us) / 1e6);
  std::string out = span + printable(claim.path) + ", " + claim.licensor + " under";
  for (const std::string& ref : claim.licences) {
    out += (&ref == &claim.licences.front() ? " " : ", ") + ref;
  }
  return out;
}

}  // namespace cleared::ledger
