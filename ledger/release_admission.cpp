// What must hold when a release is recorded (ledger/admission.h). The gate was asked before it was
// signed (ledger/rights.h: judge_checkpoint); this asks once more what the records alone can say,
// so that one key, or tables that were edited for a moment, release nothing by themselves.
#include <algorithm>
#include <set>
#include <string>

#include "ledger/admission.h"
#include "ledger/base/clock.h"
#include "ledger/base/error.h"
#include "ledger/digest.h"
#include "ledger/licence.h"
#include "ledger/line.h"
#include "ledger/projection.h"
#include "ledger/rules.h"
#include "ledger/similarity.h"

namespace cleared::ledger {
namespace {

[[noreturn]] void reject(const std::string& why) {
  throw Error(Errc::corrupt, "release: ", why);
}

// The shards that the line of a checkpoint read.
const std::string kShardsOfLine =
    std::string(kLine) +
    ", span(receipt, run) AS (SELECT t.seq, t.run FROM line l JOIN receipt t ON t.run = l.run "
    "AND t.end_step <= l.step AND t.seq < ?2), "
    "shards(shard) AS (SELECT u.shard FROM span t JOIN consumed_shard u ON u.receipt = t.receipt "
    "UNION SELECT p.shard FROM span t JOIN run n ON n.seq = t.run "
    "JOIN consumed u ON u.receipt = t.receipt JOIN sample p ON p.first = u.sample "
    "JOIN permitted_shard m ON m.permit = n.permit AND m.shard = p.shard) ";
// Of licence `l`: no version of it was newer then.
constexpr std::string_view kNewestThen =
    "NOT EXISTS (SELECT 1 FROM licence n WHERE n.id = l.id AND n.version > l.version "
    "AND n.seq < ?2) ";

std::set<std::string> texts(const Database& db, const std::string& sql, uint64_t checkpoint,
                            uint64_t seq) {
  std::set<std::string> out;
  Statement select(db, kShardsOfLine + sql);
  for (select.with(checkpoint, seq); select.next();) out.insert(select.text(0));
  return out;
}

void check_times(const Release& r, uint64_t at_us) {
  const auto issued = parse_time(r.issued_at()), expires = parse_time(r.expires_at());
  if (!issued || !expires || *expires <= *issued ||
      *expires > *issued + kMaxPermitHours * kHourUs) {
    reject("it is not for 1 to " + std::to_string(kMaxPermitHours) + " hours");
  }
  if (*issued > at_us + kClockSkewUs || *expires <= at_us) {
    reject("it holds from " + r.issued_at() + " to " + r.expires_at() + ", and it is " +
           format_time(at_us));
  }
}

// What the strictest says whose document is kept: clips are compared by no laxer measure.
void check_similarity(const Database& db, const Release& r, const std::set<std::string>& listed) {
  if (r.has_similarity_max() != r.has_footage() ||
      !(r.similarity_max() >= 0 && r.similarity_max() < 1)) {
    reject("similarity_max is in [0, 1), and says what file it is about");
  }
  Statement document(db,
                     "SELECT d.note FROM licence l JOIN document d ON d.digest = "
                     "l.document_digest WHERE l.ref = ?");
  for (const std::string& ref : listed) {
    if (!document.with(ref).next()) continue;
    const LicenceText terms =
        parse_licence(parse_note(document.text(0)).text, "licence " + ref, LicenceAge::recorded);
    if (!limits_similarity(terms, r.use())) continue;
    if (r.has_similarity_max() && r.similarity_max() <= terms.limits().similarity_max()) continue;
    reject("licence " + ref + " limits how alike clips may be to the footage, and it allows more");
  }
}

// Each is the newest version of its id, and nobody took it back.
void check_listed(const Database& db, uint64_t seq, const std::set<std::string>& listed) {
  Statement standing(db,
                     "SELECT (SELECT MAX(version) FROM licence n WHERE n.id = l.id AND n.seq < "
                     "?2) > l.version, EXISTS (SELECT 1 FROM revocation r WHERE r.licence = l.id "
                     "AND r.seq < ?2) FROM licence l WHERE l.ref = ?1 AND l.seq < ?2");
  for (const std::string& ref : listed) {
    if (!standing.with(ref, seq).next()) reject("licence " + ref + " is not on record");
    if (standing.integer(0) != 0) reject("licence " + ref + " has a newer version");
    if (standing.integer(1) != 0) reject("licence " + ref + " was revoked");
  }
}

}  // namespace

void Admission::check(uint64_t seq, uint64_t at_us, const ReleaseRecord& record) const {
  const Note note = parse_note(record.note());
  authority_.require(note, Policy::PERMIT, seq, "release");
  const Release r = parse_noted<ReleaseText>(note, "release").release();
  if (r.use() != RELEASE_WEIGHTS && r.use() != SUBLICENSE && r.use() != GENERATE_INTERNAL &&
      r.use() != GENERATE_COMMERCIAL) {
    reject(Use_Name(r.use()) + " is nothing to release weights for");
  }
  check_times(r, at_us);
  Statement head(db_, "SELECT root FROM tree_head WHERE size = ? AND note IS NOT NULL");
  if (r.origin() != authority_.keys()[0].key.name || r.tree_size() > seq ||
      !head.with(r.tree_size()).next() ||
      head.text(0) != require_digest_name(r.tree_root(), "release.tree_root").text()) {
    reject("it names a tree head that this ledger did not sign");
  }
  Statement moment(db_, "SELECT at FROM moment WHERE seq < ? ORDER BY seq DESC LIMIT 1");
  if (r.has_tree_at() && (!moment.with(r.tree_size()).next() || moment.text(0) != r.tree_at())) {
    reject("its tree head is not of the time that it says");
  }

  const std::string weights = to_hex(require_digest_name(r.checkpoint(), "release.checkpoint"));
  Statement checkpoint(db_,
                       "SELECT k.seq, p.model FROM checkpoint k JOIN run n ON n.seq = k.run "
                       "JOIN permit p ON p.seq = n.permit WHERE k.digest = ? AND k.seq < ? "
                       "ORDER BY k.seq LIMIT 1");
  if (!checkpoint.with(weights, seq).next()) reject("weights " + weights + " are not on record");
  if (checkpoint.text(1) != r.model()) {
    reject("the weights are of model line " + checkpoint.text(1) + ", not of " + r.model());
  }
  const uint64_t of = checkpoint.unsigned_integer(0);
  const std::string missing = missing_in_line(db_, of, seq);
  if (!missing.empty()) reject(missing);
  const auto revoked =
      texts(db_,
            "SELECT h.root FROM shards s JOIN revocation r ON r.shard = s.shard AND r.seq < ?2 "
            "JOIN shard h ON h.seq = s.shard",
            of, seq);
  if (!revoked.empty()) {
    reject("shard " + *revoked.begin() + ", which they consumed, was revoked");
  }

  const std::set<std::string> listed(r.licence().begin(), r.licence().end());
  if (listed.empty()) reject("it names no licence");
  check_listed(db_, seq, listed);
  check_similarity(db_, r, listed);
  const auto lists = [&](const std::set<std::string>& licences) {
    return std::includes(listed.begin(), listed.end(), licences.begin(), licences.end());
  };
  // What the shards are under is enough, and quickly asked; where it is more than what the weights
  // consumed of them is, that is asked sample by sample.
  if (lists(texts(db_,
                  "SELECT l.ref FROM shards s JOIN shard_licence x ON x.seq = s.shard "
                  "JOIN licence l ON l.seq = x.licence WHERE " +
                      std::string(kNewestThen),
                  of, seq))) {
    return;
  }
  const auto consumed =
      texts(db_,
            "SELECT l.ref FROM span t JOIN consumption u ON u.receipt = t.receipt "
            "JOIN sample p ON p.seq = u.sample JOIN clip c ON c.seq = p.clip "
            "JOIN source_licence x ON x.seq = c.source JOIN licence l ON l.seq = x.licence WHERE " +
                std::string(kNewestThen),
            of, seq);
  for (const std::string& ref : consumed) {
    if (!listed.contains(ref)) reject("it leaves out licence " + ref + ", of what they consumed");
  }
}

}  // namespace cleared::ledger
