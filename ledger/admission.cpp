#include "ledger/admission.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "ledger/attestation.h"
#include "ledger/base/clock.h"
#include "ledger/base/error.h"
#include "ledger/clearances.h"
#include "ledger/digest.h"
#include "ledger/gate.h"
#include "ledger/key.h"
#include "ledger/marks.h"
#include "ledger/merkle.h"
#include "ledger/permit_lists.h"
#include "ledger/projection.h"
#include "ledger/review_lists.h"
#include "ledger/rules.h"
#include "ledger/run_name.h"
#include "ledger/titles.h"
#include "ledger/witness_policy.h"

namespace cleared::ledger {
namespace {

[[noreturn]] void reject(std::string_view what, std::string_view why) {
  throw Error(Errc::corrupt, what, ": ", why);
}

}  // namespace

uint64_t Admission::one(const Digest& key, uint64_t seq, std::string_view what) const {
  const auto found = find_(key);
  if (found.empty() || found.front() >= seq) reject(what, "is not on record");
  return found.front();
}

void Admission::admit(uint64_t seq, uint64_t at_us, const Fact& fact) const {
  switch (fact.kind_case()) {
    case Fact::kKey:
      return check(seq, fact.key());
    case Fact::kLicence:
      return check(seq, fact.licence());
    case Fact::kApproval:
      return check(seq, fact.approval());
    case Fact::kRevocation:
      return check(seq, fact.revocation());
    case Fact::kPermit:
      return check(seq, at_us, fact.permit());
    case Fact::kRun:
      return check(seq, fact.run());
    case Fact::kReceipt:
      return check(seq, fact.receipt());
    case Fact::kConsumed:
      return check(seq, fact.consumed());
    case Fact::kConsumedShard:
      return check(seq, fact.consumed_shard());
    case Fact::kDeletion:
      return check(seq, fact.deletion());
    case Fact::kCheckpoint:
      return check(seq, fact.checkpoint());
    case Fact::kRelease:
      return check(seq, at_us, fact.release());
    case Fact::kPolicy:
      return check(seq, fact.policy());
    case Fact::kWitnessPolicy:
      return check(seq, fact.witness_policy());
    case Fact::kErasure:
      return check(seq, fact.erasure());
    case Fact::kMark:
      return check(fact.mark());
    case Fact::kClearance:
      return check(seq, fact.clearance());
    case Fact::kReview:
      return check(seq, at_us, fact.review());
    case Fact::kProtection:
      return check(seq, fact.protection());
    case Fact::kState:
      if (fact.state().size() != seq) reject("state", "is of another number of records");
      return;
    default:
      if (rows_say_all(fact)) return;
  }
  throw Error(Errc::unsupported, "a kind of record that this version does not know");
}

bool Admission::rows_say_all(const Fact& fact) {
  switch (fact.kind_case()) {
    case Fact::kSource:
    case Fact::kFingerprint:
    case Fact::kClip:
    case Fact::kDuplicate:
    case Fact::kMeasure:
    case Fact::kShard:
    case Fact::kSample:
    case Fact::kRefusal:
    case Fact::kPermitList:  // says nothing before a permit has signed for it
    case Fact::kReviewList:  // nor this before a review has
      return true;
    default:
      return false;
  }
}

void Admission::check(uint64_t seq, const KeyRecord& key) const {
  if (!is_role(key.role())) reject("key", "unknown role \"" + key.role() + "\"");
  if (key.retired()) return check_retirement(seq, key);
  // One key under two names would count as two people, and a retired one would come back.
  const std::string bytes = parse_verifier_key(key.vkey()).key;
  for (const KnownKey& known : authority_.keys()) {
    const std::string vkey = format_verifier_key(known.key);
    if (known.key.key == bytes && vkey != key.vkey()) {
      reject("key", key.name() + " is the key of " + known.key.name + " (" + vkey +
                        ") under another name; make one with ledger key new");
    }
  }
  if (key.role() == "log") return check_log_key(seq, key);
  if (seq == 0) reject("key", "the first record is the log's own key");
  // A note names its signer. A second key of a name replaces the first one in time, and so has its
  // role.
  for (const KnownKey& known : authority_.keys()) {
    if (known.valid_at(seq) && known.key.name == key.name() && known.role != key.role()) {
      reject("key",
             "the name " + key.name() + " is taken by a " + known.role + "; retire that key first");
    }
  }
  check_endorsed(seq, key, Policy::ENROL_KEY, "");
}

// The first key of a log is its first record. One that shall replace it has the same name, which
// names the log, and comes with what the log's key of that time, and it itself, signed.
void Admission::check_log_key(uint64_t seq, const KeyRecord& key) const {
  if (seq == 0) return;
  if (key.name() != authority_.keys()[0].key.name) {
    reject("key", "a key of this log has its name, " + authority_.keys()[0].key.name);
  }
  if (key.note().empty()) {
    throw Error(Errc::permission, "key ", key.name(),
                ": another key of the log must come as a signed note, \"log vkey\", by a key that "
                "the log has and by itself");
  }
  check_endorsed(seq, key, Policy::ENROL_KEY, "");
  const Note note = parse_note(key.note());
  authority_.require(note, "log", key.name(), seq, "key " + key.name());
  if (!signed_by(note, parse_verifier_key(key.vkey()))) {
    throw Error(Errc::permission, "key ", key.name(),
                ": has not signed that it is a key of this log; run ledger sign with it");
  }
}

// Two ways to make a policy worthless are closed here: nobody can retire keys until a rule cannot
// be met any more, nor, where a rule says so, without having been told to.
void Admission::check_retirement(uint64_t seq, const KeyRecord& key) const {
  const KnownKey* known = authority_.find(key.vkey(), seq);
  if (known == nullptr) reject("key", key.name() + " is not there to be retired");
  if (known->role != key.role()) reject("key", key.name() + " is a " + known->role + "'s");
  if (const std::string rule = authority_.rule_that_needs(*known, seq); !rule.empty()) {
    throw Error(Errc::permission, "key ", key.name(), ": without it nobody could meet the policy (",
                rule, "); enrol the key that replaces it first, or change the policy");
  }
  check_endorsed(seq, key, Policy::RETIRE_KEY, "retire ");
  if (known->role == "log") check_log_goes_on(seq, *known, key);
}

// A key of a log is retired by another one that stays.
void Admission::check_log_goes_on(uint64_t seq, const KnownKey& leaves,
                                  const KeyRecord& key) const {
  std::vector<VerifierKey> rest = authority_.keys_of("log", seq);
  std::erase(rest, leaves.key);
  if (rest.empty()) {
    throw Error(Errc::permission, "key ", key.name(),
                ": is the only key of the log; append the one that replaces it first");
  }
  if (key.note().empty() || !signed_by_any(parse_note(key.note()), rest)) {
    throw Error(Errc::permission, "key ", key.name(),
                ": a key of the log is retired by a note, \"retire log vkey\", that another key of "
                "the log has signed");
  }
}

// Without a rule for `act`, whoever may append may do it; a note that is there must fit all the
// same.
void Admission::check_endorsed(uint64_t seq, const KeyRecord& key, Policy::Act act,
                               std::string_view before) const {
  const bool needed = authority_.has_rule(act, seq);
  if (!needed && key.note().empty()) return;
  if (key.note().empty()) {
    throw Error(Errc::permission, "key ", key.name(), ": the policy has a rule for ", act_word(act),
                ", so \"", before, "role vkey\" must come as a signed note");
  }
  const Note note = parse_note(key.note());
  if (note.text != std::string(before) + key.role() + " " + key.vkey() + "\n") {
    reject("key", "what was signed for " + key.name() + " is not \"" + std::string(before) +
                      "role vkey\" of this key");
  }
  if (needed) authority_.require(note, act, seq, "key " + key.name());
}

std::string amendment_problem(const Database& db, uint64_t seq, const LicenceRecord& licence) {
  const std::string ref = licence.id() + "@" + std::to_string(licence.version());
  const std::string previous = licence.id() + "@" + std::to_string(licence.version() - 1);
  if (licence.version() < 1) return ref + ": versions count from 1";
  if (licence.version() > 1 && licence.supersedes() != previous) {
    return ref + " supersedes \"" + licence.supersedes() + "\", and not " + previous;
  }
  Statement newest(db,
                   "SELECT version, ref, licensor, licensee FROM licence WHERE id = ? AND seq < ? "
                   "ORDER BY version DESC LIMIT 1");
  if (!newest.with(licence.id(), seq).next()) return "";
  if (licence.version() != newest.unsigned_integer(0) + 1) {
    return ref + " supersedes another version than the newest in the ledger, " + newest.text(1);
  }
  if (newest.text(2) == licence.licensor() && newest.text(3) == licence.licensee()) return "";
  return newest.text(1) + " is between " + newest.text(2) + " and " + newest.text(3) +
         ", and other parties cannot amend it";
}

void Admission::check(uint64_t seq, const LicenceRecord& licence) const {
  const std::string problem = amendment_problem(db_, seq, licence);
  if (!problem.empty()) reject("licence", problem);
}

void Admission::check(uint64_t seq, const ErasureRecord& record) const {
  one(subject_key_of("licence", record.licence()), seq, "licence " + record.licence());
  if (record.note().empty()) {
    if (!authority_.has_rule(Policy::ERASE, seq)) return;
    throw Error(Errc::permission, "erase ", record.licence(),
                ": the policy asks for a signed note; make one with ledger erase --key --out");
  }
  const Note note = parse_note(record.note());
  const Erasure e = parse_noted<ErasureText>(note, "erasure").erasure();
  if (e.licence() != record.licence() || e.reason() != record.reason()) {
    reject("erasure", "what was signed is another licence or reason");
  }
  authority_.require(note, Policy::ERASE, seq, "erasure");
}

// A word that the gate does not know would be no objection to it.
void Admission::check(const MarkRecord& mark) {
  if (find_mark_name(mark.name()) == nullptr)
    reject("mark", "unknown name \"" + mark.name() + "\"");
  if (!parse_says(mark.says())) reject("mark", "unknown word \"" + mark.says() + "\"");
}

void Admission::check(uint64_t seq, const ClearanceRecord& clearance) const {
  one(subject_key_of("clip", clearance.clip()), seq, "clearance: the clip");
  if (!is_finding(clearance.reason(), clearance.value())) {
    reject("clearance", "unknown word \"" + clearance.reason() + ": " + clearance.value() + "\"");
  }
}

// What was decided counts from when it was decided (Rights::read_findings): neither an hour that is
// still to come, nor an old decision again under one more signature, may release what is found
// later.
void Admission::check(uint64_t seq, uint64_t at_us, const ReviewRecord& record) const {
  const Note note = parse_note(record.note());
  Review review = parse_noted<ReviewText>(note, "review").review();
  if (review.has_lists()) {
    join_lists(review, recorded_lists(seq, "review_list", review.lists().root()));
  }
  check_review(review);
  if (parse_time(review.at()).value_or(UINT64_MAX) > at_us + kClockSkewUs) {
    reject("review",
           "its time, " + review.at() + ", is still to come; it is " + format_time(at_us));
  }
  Statement before(db_, "SELECT note, seq FROM review WHERE at = ? AND seq < ?");
  for (before.with(review.at(), seq); before.next();) {
    if (parse_note(before.text(0)).text == note.text) {
      reject("review", "what it says is on record " + before.text(1) +
                           ", with other signatures: decide again to say it again");
    }
  }
  for (const Review::Decision& decision : review.decision()) {
    const Digest clip = require_digest_name(decision.clip(), "review.decision.clip");
    one(subject_key_of("clip", clip.text()), seq, "review: clip " + decision.clip());
  }
  check_titles(seq, review);
  authority_.require(note, Policy::REVIEW, seq, "review");
}

// Of footage that two licensors deliver a review releases one side at most.
void Admission::check_titles(uint64_t seq, const Review& review) const {
  std::map<uint64_t, bool> released;  // by clip, where this review says
  const auto names_title = [](const auto& reasons) {
    return std::find(reasons.begin(), reasons.end(), Reason::TITLE) != reasons.end();
  };
  for (const Review::Decision& decision : review.decision()) {
    const bool releases = names_title(decision.release());
    if (!releases && !names_title(decision.keep_out())) continue;
    const Digest clip = require_digest_name(decision.clip(), "review.decision.clip");
    released[one(subject_key_of("clip", clip.text()), seq, "review: the clip")] = releases;
  }
  const std::string both = released_twice(db_, seq, review.at(), released);
  if (!both.empty()) reject("review", both);
}

// A work is protected or not, by turns, and always under the name that its file says.
void Admission::check(uint64_t seq, const ProtectionRecord& protection) const {
  if (protection.name().empty()) reject("protection", "it names no work");
  Statement before(db_,
                   "SELECT name, removed, seq FROM protection WHERE fingerprint = ? AND seq < ? "
                   "ORDER BY seq DESC LIMIT 1");
  before.with(to_hex(as_bytes(protection.fingerprint())), seq);
  const bool known = before.next();
  if (known && before.text(0) != protection.name()) {
    reject("protection", "record " + before.text(2) + " calls the work " + before.text(0));
  }
  if (protection.removed() != (known && before.integer(1) == 0)) {
    reject("protection", protection.name() + (protection.removed() ? " is not protected"
                                                                   : " is protected already"));
  }
}

void Admission::check(uint64_t seq, const ApprovalRecord& record) const {
  const Note note = parse_note(record.note());
  const Approval a = parse_noted<ApprovalText>(note, "approval").approval();
  std::vector<Digest> leaves;
  for (const std::string& root : record.shard()) {
    if (!digest_from_raw(root)) reject("approval", "a shard's root must be 32 bytes");
    leaves.push_back(leaf_digest(as_bytes(root)));
  }
  if (leaves.empty() || leaves.size() != a.shards() ||
      !std::is_sorted(record.shard().begin(), record.shard().end()) ||
      root_digest(leaves) != require_digest_name(a.root(), "approval.root")) {
    reject("approval", "its shards are not the batch that was signed");
  }
  authority_.require(note, Policy::APPROVE, seq, "approval");
}

// The licensor of a licence may take it back; anything else needs what the policy says.
void Admission::check(uint64_t seq, const RevocationRecord& record) const {
  const Note note = parse_note(record.note());
  const Revocation r = parse_noted<RevocationText>(note, "revocation").revocation();
  if (r.has_licence()) {
    Statement licensor(db_, "SELECT DISTINCT licensor FROM licence WHERE id = ? AND seq < ?");
    licensor.with(r.licence(), seq);
    bool known = false;
    while (licensor.next()) {
      known = true;
      if (!authority_.signers(note, "licensor", seq, licensor.view(0)).empty()) return;
    }
    if (!known) reject("revocation", "there is no licence " + r.licence());
  }
  authority_.require(note, Policy::REVOKE, seq, "revocation");
}

std::string permit_problem(const Database& db, uint64_t seq, const std::string& origin,
                           const Permit& permit) {
  Statement head(db, "SELECT root FROM tree_head WHERE size = ? AND size <= ? AND note NOT NULL");
  head.with(permit.tree_size(), seq);
  const Digest root = require_digest_name(permit.tree_root(), "permit.tree_root");
  if (permit.origin() != origin || !head.next() || head.text(0) != root.text()) {
    return "names no tree head of this ledger";
  }
  Statement moment(db, "SELECT at FROM moment WHERE seq < ? ORDER BY seq DESC LIMIT 1");
  if (permit.has_tree_at() &&
      (!moment.with(permit.tree_size()).next() || moment.text(0) != permit.tree_at())) {
    return "its tree head is not of the time that it says";
  }
  if (!permit.has_counted()) return "";
  const std::string& counted = permit.counted().run();
  if (config_of_run(counted) != permit.run()) {
    return counted + " is no run of it, so it cannot go on as one";
  }
  Statement end(db,
                "SELECT MAX(k.step) FROM run r JOIN checkpoint k ON k.run = r.seq "
                "WHERE r.name = ? AND k.seq < ?");
  end.with(counted, seq).next();
  if (end.type(0) != ValueType::null && permit.counted().end_step() <= end.unsigned_integer(0)) {
    return "";
  }
  return "counts steps of run " + counted + " that are not on record";
}

// What the terms allowed is not judged again: that was, when the permit was made and appended.
void Admission::check(uint64_t seq, uint64_t at_us, const PermitRecord& record) const {
  const Note note = parse_note(record.note());
  authority_.require(note, Policy::PERMIT, seq, "permit");
  Permit permit = parse_noted<PermitText>(note, "permit").permit();
  const auto issued = parse_time(permit.issued_at()), expires = parse_time(permit.expires_at());
  if (!issued || !expires || *expires > *issued + kMaxPermitHours * kHourUs) {
    reject("permit", "it is for more than " + std::to_string(kMaxPermitHours) + " hours");
  }
  if (*issued > at_us || *expires + kClockSkewUs <= at_us) {
    reject("permit", "it holds from " + permit.issued_at() + " to " + permit.expires_at() +
                         ", and is recorded at " + format_time(at_us));
  }
  if (!trains(permit.purpose().use())) {
    reject("permit", "its purpose is " + Use_Name(permit.purpose().use()) + ", and runs train");
  }
  if (permit.has_lists()) {
    join_lists(permit, recorded_lists(seq, "permit_list", permit.lists().root()));
  }
  check_permitted(seq, permit);
  const std::string problem = permit_problem(db_, seq, authority_.keys()[0].key.name, permit);
  if (!problem.empty()) reject("permit for run " + permit.run(), problem);
  Statement own(db_, "SELECT 1 FROM checkpoint WHERE digest = ? AND seq < ?");
  for (const Foreign& weights : permit.foreign()) {
    if (own.with(to_hex(require_digest_name(weights.weights(), "foreign.weights")), seq).next()) {
      reject("permit", "foreign weights " + weights.weights() + " are a checkpoint on this record");
    }
  }
}

// `table` is permit_list or review_list.
std::vector<std::string> Admission::recorded_lists(uint64_t seq, const std::string& table,
                                                   const std::string& root) const {
  std::vector<std::string> out;
  Statement select(db_,
                   "SELECT text FROM " + table + " WHERE root = ? AND seq < ? ORDER BY position");
  select.with(to_hex(require_digest_name(root, "lists.root")), seq);
  while (select.next()) out.push_back(select.text(0));
  return out;
}

// Whoever may permit, with one key or with tables that were edited for a moment, cannot stand in
// for those who approve: what is permitted was approved, and not revoked, by records before.
void Admission::check_permitted(uint64_t seq, const Permit& permit) const {
  std::set<uint64_t> approved;
  Statement approvals(db_,
                      "SELECT s.shard FROM approved_shard s JOIN approval a ON a.seq = s.seq "
                      "WHERE a.use = ? AND s.seq < ?");
  approvals.with(Use_Name(permit.purpose().use()), seq);
  while (approvals.next()) approved.insert(approvals.unsigned_integer(0));
  std::set<uint64_t> revoked_shards;
  std::set<uint64_t> deleted_shards;
  Statement deletions(db_, "SELECT shard FROM deletion WHERE shard IS NOT NULL AND seq < ?");
  for (deletions.with(seq); deletions.next();) deleted_shards.insert(deletions.unsigned_integer(0));
  std::set<std::string> revoked_licences;
  Statement revocations(db_, "SELECT licence, shard FROM revocation WHERE seq < ?");
  revocations.with(seq);
  while (revocations.next()) {
    if (revocations.type(1) == ValueType::null) {
      revoked_licences.insert(revocations.text(0));
    } else {
      revoked_shards.insert(revocations.unsigned_integer(1));
    }
  }
  for (const Permit::Shard& shard : permit.shard()) {
    const Digest root = require_digest_name(shard.root(), "permit.shard.root");
    const uint64_t record = one(subject_key_of("shard", root.text()), seq, "the permit's shard");
    const std::string what = "shard " + shard.root();
    if (!approved.contains(record)) {
      reject("permit", what + " was not approved for " + Use_Name(permit.purpose().use()));
    }
    if (revoked_shards.contains(record)) reject("permit", what + " was revoked");
    if (deleted_shards.contains(record)) reject("permit", what + " was deleted");
    for (const std::string& ref : shard.licence()) {
      const std::string id = ref.substr(0, ref.rfind('@'));
      if (revoked_licences.contains(id)) reject("permit", "licence " + id + " was revoked");
    }
  }
}

void Admission::check(uint64_t seq, const RunRecord& run) const {
  const uint64_t permit = one(subject_key_of("permit", run.permit()), seq, "the run's permit");
  Statement select(db_, "SELECT run FROM permit WHERE seq = ?");
  if (!select.with(permit).next()) reject("run", "its permit is not on record");
  if (config_of_run(run.name()) != select.view(0)) {
    reject("run", run.name() + " is no run of " + select.text(0) + ", which its permit is for");
  }
}

void Admission::check(uint64_t seq, const ReceiptRecord& record) const {
  const Note note = parse_note(record.note());
  const Receipt r = parse_noted<ReceiptText>(note, "receipt").receipt();
  if (r.first_step() >= r.end_step()) reject("receipt", "it covers no step");
  one(subject_key_of("permit", require_digest_name(r.permit(), "receipt.permit").text()), seq,
      "the receipt's permit");
  authority_.require(note, "trainer", "", seq, "receipt");
  // The same steps again are another run: else they would be counted twice, or not at all.
  Statement other(db_,
                  "SELECT t.first_step, t.end_step FROM receipt t JOIN run r ON r.seq = t.run "
                  "WHERE r.name = ? AND t.end_step > ? AND t.first_step < ? AND t.seq < ?");
  if (other.with(r.run(), r.first_step(), r.end_step(), seq).next()) {
    reject("receipt", "steps " + std::to_string(r.first_step()) + " to " +
                          std::to_string(r.end_step()) + " of run " + r.run() +
                          " overlap those of another receipt of it, " + other.text(0) + " to " +
                          other.text(1));
  }
}

void Admission::check(uint64_t seq, const ConsumedRecord& consumed) const {
  const uint64_t run = one(subject_key_of("run", consumed.run()), seq, "consumed: the run");
  Statement permitted(db_,
                      "SELECT 1 FROM run r JOIN permitted_shard ps ON ps.permit = r.permit "
                      "JOIN sample p ON p.shard = ps.shard WHERE r.seq = ? AND p.seq = ?");
  for (const uint64_t sample : find_(subject_key_of("sample", consumed.sample()))) {
    if (sample < seq && permitted.with(run, sample).next()) return;
  }
  reject("consumed", "run " + consumed.run() + " had no permit for sample " +
                         to_hex(as_bytes(consumed.sample())));
}

// Of the shard's samples, as they are on record, it must name those that are there and count their
// length right: statements and prices are made of it without looking at each sample again.
void Admission::check(uint64_t seq, const ConsumedShardRecord& consumed) const {
  const uint64_t run = one(subject_key_of("run", consumed.run()), seq, "consumed: the run");
  const uint64_t shard = one(subject_key_of("shard", consumed.shard()), seq, "consumed: the shard");
  const std::string what =
      "run " + consumed.run() + ", shard " + to_hex(as_bytes(consumed.shard())) + ": ";
  Statement permitted(db_,
                      "SELECT 1 FROM run r JOIN permitted_shard ps ON ps.permit = r.permit "
                      "WHERE r.seq = ? AND ps.shard = ?");
  if (!permitted.with(run, shard).next()) reject("consumed", what + "was not permitted");
  Statement samples(db_,
                    "SELECT position, duration_us FROM sample WHERE shard = ? AND position >= ? "
                    "AND seq < ? ORDER BY position LIMIT ?");
  samples.with(shard, consumed.index(), seq, consumed.passes_size());
  uint64_t sample_us = 0;
  for (int i = 0; i < consumed.passes_size(); ++i) {
    if (!samples.next() ||
        samples.unsigned_integer(0) != uint64_t{consumed.index()} + static_cast<uint64_t>(i)) {
      reject("consumed", what + "has no such sample");
    }
    sample_us += consumed.passes(i) * samples.unsigned_integer(1);
  }
  if (sample_us != consumed.sample_us()) {
    reject("consumed", what + "its passes come to " + std::to_string(sample_us) +
                           " us of footage, not to " + std::to_string(consumed.sample_us()));
  }
}

// Whoever keeps what is derived says that it is gone: a curator, or an approver.
void Admission::check(uint64_t seq, const DeletionRecord& record) const {
  const Note note = parse_note(record.note());
  const Deletion d = parse_noted<DeletionText>(note, "deletion").deletion();
  if (d.digest().empty()) reject("deletion", "it lists no digest of what was deleted");
  if (authority_.signers(note, "curator", seq).empty() &&
      authority_.signers(note, "approver", seq).empty()) {
    throw Error(Errc::permission,
                "deletion: it is signed by no curator's or approver's key of this ", "ledger");
  }
  if (!d.has_shard()) return;
  const Digest root = require_digest_name(d.shard(), "deletion.shard");
  Statement shard(db_, "SELECT digest FROM shard WHERE seq = ?");
  shard.with(one(subject_key_of("shard", root.text()), seq, "deletion: the shard")).next();
  if (d.digest_size() != 1 || d.digest(0) != "sha256:" + shard.text(0)) {
    reject("deletion", "shard " + to_hex(root) + " is a tar with the digest " + shard.text(0) +
                           ", which is not what was deleted");
  }
}

// A checkpoint closes a span of its run. What the span consumed must be what the trainer signed
// for: nothing left out, nothing added. Until then exposure does not count it (view consumed_clip).
void Admission::check_consumed(uint64_t seq, const CheckpointRecord& checkpoint,
                               const TrainingStatement& statement) const {
  const uint64_t receipt =
      one(step_key("receipt", checkpoint.run(), checkpoint.step()), seq, "the run receipt");
  Statement select(db_, "SELECT note FROM receipt WHERE seq = ?");
  if (!select.with(receipt).next()) reject("checkpoint", "there is no run receipt up to it");
  const Receipt r = parse_noted<ReceiptText>(parse_note(select.text(0)), "receipt").receipt();
  if (require_digest_name(r.checkpoint(), "receipt.checkpoint").text() != checkpoint.digest()) {
    reject("checkpoint", "its run receipt is for other weights");
  }
  check_begins(seq, checkpoint, r.first_step());
  const uint64_t permit =
      one(subject_key_of("permit", require_digest_name(r.permit(), "receipt.permit").text()), seq,
          "the receipt's permit");
  check_permit_of_run(seq, checkpoint.run(), permit);
  check_foreign(permit, statement);
  const Consumed consumed = consumed_by(receipt, seq, checkpoint);
  if (consumed.samples != r.samples() ||
      digest_name(root_digest(consumed.leaves)) != r.consumed_root()) {
    reject("checkpoint", "the samples recorded as consumed are not those of its run receipt");
  }
  if (r.has_sample_us() && r.sample_us() != consumed.sample_us) {
    reject("checkpoint", "what was consumed comes to " + std::to_string(consumed.sample_us) +
                             " us of footage, its run receipt says " +
                             std::to_string(r.sample_us()));
  }
}

// As docs/formats/receipt.md orders them: single samples by digest, then shards by root and place.
Admission::Consumed Admission::consumed_by(uint64_t receipt, uint64_t seq,
                                           const CheckpointRecord& checkpoint) const {
  Consumed out;
  Statement rows(db_,
                 "SELECT p.digest, u.passes, u.first_step, u.passes * p.duration_us "
                 "FROM consumed u JOIN sample p ON p.seq = u.sample "
                 "WHERE u.receipt = ? AND u.seq < ? ORDER BY p.digest");
  for (rows.with(receipt, seq); rows.next(); ++out.samples) {
    ConsumedRecord consumed;
    consumed.set_run(checkpoint.run());
    consumed.set_end_step(checkpoint.step());
    consumed.set_sample(std::string(parse_digest(rows.view(0)).value_or(Digest{}).text()));
    consumed.set_passes(static_cast<uint32_t>(rows.integer(1)));
    consumed.set_first_step(rows.unsigned_integer(2));
    out.leaves.push_back(leaf_digest(as_bytes(consumed.SerializeAsString())));
    out.sample_us += rows.unsigned_integer(3);
  }
  Statement shards(db_,
                   "SELECT h.root, u.position, u.each, u.samples, u.sample_us "
                   "FROM consumed_shard u JOIN shard h ON h.seq = u.shard "
                   "WHERE u.receipt = ? AND u.seq < ? ORDER BY h.root, u.position");
  for (shards.with(receipt, seq); shards.next();) {
    ConsumedShardRecord consumed;
    consumed.set_run(checkpoint.run());
    consumed.set_end_step(checkpoint.step());
    consumed.set_shard(std::string(parse_digest(shards.view(0)).value_or(Digest{}).text()));
    consumed.set_index(static_cast<uint32_t>(shards.integer(1)));
    for (const SampleConsumption& sample : parse_consumption(shards.view(2))) {
      consumed.add_passes(sample.passes);
      if (sample.passes > 0) consumed.add_back(checkpoint.step() - sample.first_step);
    }
    consumed.set_sample_us(shards.unsigned_integer(4));
    out.leaves.push_back(leaf_digest(as_bytes(consumed.SerializeAsString())));
    out.samples += shards.unsigned_integer(3);
    out.sample_us += shards.unsigned_integer(4);
  }
  return out;
}

// Steps that are on no record may have consumed anything, so a span begins where the weights that
// it came from end. Bundles come in any order: weights that are not on record yet are let be, and
// nothing of them is released before they are (judge_line_of in rights.cpp).
void Admission::check_begins(uint64_t seq, const CheckpointRecord& checkpoint,
                             uint64_t first_step) const {
  const std::string begins = "its run receipt begins at step " + std::to_string(first_step);
  if (checkpoint.parent().empty()) {
    if (first_step == 0) return;
    reject("checkpoint", begins + ", and it names no weights that it came from");
  }
  const std::string parent = to_hex(as_bytes(checkpoint.parent()));
  Statement same_run(db_, "SELECT 1 FROM checkpoint WHERE seq = ? AND seq < ? AND digest = ?");
  for (const uint64_t before : find_(step_key("checkpoint", checkpoint.run(), first_step))) {
    if (same_run.with(before, seq, parent).next()) return;
  }
  Statement ends(db_, "SELECT step FROM checkpoint WHERE digest = ? AND seq < ?");
  std::string other;
  for (ends.with(parent, seq); ends.next(); other = ends.text(0)) {
    if (ends.unsigned_integer(0) == first_step) return;
  }
  if (other.empty()) return;
  reject("checkpoint", begins + ", and the weights that it came from are of step " + other);
}

Permit Admission::recorded_permit(uint64_t record) const {
  Statement select(db_, "SELECT note FROM permit WHERE seq = ?");
  if (!select.with(record).next()) reject("checkpoint", "its permit is not on record");
  return parse_noted<PermitText>(parse_note(select.text(0)), "permit").permit();
}

// A newer permit may come in the place of the one that the run began under: one for the same.
void Admission::check_permit_of_run(uint64_t seq, const std::string& run, uint64_t record) const {
  Statement begun(db_, "SELECT permit FROM run WHERE seq = ?");
  begun.with(one(subject_key_of("run", run), seq, "the checkpoint's run")).next();
  if (begun.unsigned_integer(0) == record) return;
  const auto what_for = [](Permit permit) {
    permit.mutable_purpose()->clear_also();  // what is done beside training leaves no steps
    return permit.run() + " " + permit.config_digest() + permit.purpose().SerializeAsString();
  };
  if (what_for(recorded_permit(record)) == what_for(recorded_permit(begun.unsigned_integer(0)))) {
    return;
  }
  reject("checkpoint",
         "its run receipt is under a permit for another run, config or purpose than "
         "the one that run " +
             run + " began under");
}

// What the permit lists as foreign is what the trainer signs for: nothing left out, nothing added.
void Admission::check_foreign(uint64_t permit, const TrainingStatement& statement) const {
  std::set<std::string> listed, used;
  const Permit p = recorded_permit(permit);
  for (const Foreign& weights : p.foreign()) listed.insert(weights.weights());
  for (const auto& file : statement.foreign_weights) used.insert(digest_name(file.digest));
  if (listed != used) {
    reject("checkpoint", "the foreign weights of its statement are not those of its permit");
  }
}

void Admission::check(uint64_t seq, const CheckpointRecord& checkpoint) const {
  const Envelope envelope = parse_envelope(checkpoint.statement());
  const TrainingStatement s = parse_statement(envelope.payload);
  if (s.run != checkpoint.run() || s.step != checkpoint.step() ||
      s.subjects[0].digest.text() != checkpoint.digest()) {
    reject("checkpoint", "its statement is about another checkpoint");
  }
  if (s.parent != to_hex(as_bytes(checkpoint.parent())) ||
      s.vae != to_hex(as_bytes(checkpoint.vae())) ||
      s.text_encoder != to_hex(as_bytes(checkpoint.text_encoder()))) {
    reject("checkpoint", "its statement names other weights that it came from");
  }
  check_consumed(seq, checkpoint, s);
  check_goes_on(seq, checkpoint);
  if (authority_.signers(envelope, "trainer", seq).empty()) {
    throw Error(Errc::permission, "checkpoint ", to_hex(as_bytes(checkpoint.digest())),
                ": its statement is signed by no trainer's key of this ledger");
  }
}

// What a permit has counted of one run is no gift to another: whoever begins under it goes on from
// a checkpoint of that run, or of one that did. Bundles come in any order, so one that is not on
// record yet is let be; nothing of it is released before it is (judge_line_of in rights.cpp).
void Admission::check_goes_on(uint64_t seq, const CheckpointRecord& checkpoint) const {
  Statement begun(db_,
                  "SELECT p.seq, p.note FROM run r JOIN permit p ON p.seq = r.permit "
                  "WHERE r.name = ? AND r.seq < ?");
  if (!begun.with(checkpoint.run(), seq).next()) return;
  const Permit p = parse_noted<PermitText>(parse_note(begun.text(1)), "permit").permit();
  if (!p.has_counted() || p.counted().run() == checkpoint.run()) return;
  Statement parent(
      db_,
      "SELECT r.name = ? OR r.permit = ? FROM checkpoint k JOIN run r ON r.seq = k.run "
      "WHERE k.digest = ? AND k.seq < ?");
  parent.with(p.counted().run(), begun.unsigned_integer(0), to_hex(as_bytes(checkpoint.parent())),
              seq);
  if (!checkpoint.parent().empty() && (!parent.next() || parent.integer(0) != 0)) return;
  reject("checkpoint", "the permit of run " + checkpoint.run() + " is for run " +
                           p.counted().run() + " going on, and this does not go on from it");
}

void Admission::check(uint64_t seq, const PolicyRecord& record) const {
  const Note note = parse_note(record.note());
  const Policy p = parse_noted<PolicyText>(note, "policy").policy();
  if (const std::string problem = authority_.problem_of(p, seq); !problem.empty()) {
    reject("policy", problem);
  }
  authority_.require(note, Policy::CHANGE_POLICY, seq, "policy");
}

// Signatures say nothing about when: an old policy, given in again, would replace a stricter one.
void Admission::check(uint64_t seq, const WitnessPolicyRecord& record) const {
  parse_witness_policy(record.text());
  if (record.signatures().empty()) {
    if (!authority_.has_rule(Policy::CHANGE_POLICY, seq)) return;
    throw Error(Errc::permission, "witness policy: the policy has a rule for ",
                act_word(Policy::CHANGE_POLICY),
                ", so it must come signed; run ledger sign FILE --key KEY --out NOTE");
  }
  const Note note = parse_note(record.text() + "\n" + record.signatures());
  if (note.text != record.text()) reject("witness policy", "what was signed is another text");
  authority_.require(note, Policy::CHANGE_POLICY, seq, "witness policy");
  Statement before(db_, "SELECT seq FROM witness_policy WHERE text = ? AND seq < ?");
  if (before.with(record.text(), seq).next()) {
    reject("witness policy", "record " + before.text(0) +
                                 " says the same and was replaced since; to return to it, add a "
                                 "comment line and have that signed");
  }
}

}  // namespace cleared::ledger
