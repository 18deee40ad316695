#include "ledger/projection.h"

#include "ledger/attestation.h"
#include "ledger/base/clock.h"
#include "ledger/base/error.h"
#include "ledger/digest.h"
#include "ledger/key.h"
#include "ledger/merkle.h"
#include "ledger/notes.pb.h"
#include "ledger/textproto.h"

namespace cleared::ledger {
namespace {

[[noreturn]] void unfit(std::string_view what, std::string_view why) {
  throw Error(Errc::corrupt, what, ": ", why);
}

// A raw digest field as the tables show it.
std::string hex(const std::string& raw, std::string_view what) {
  const auto digest = digest_from_raw(raw);
  if (!digest) unfit(what, "must be 32 bytes");
  return to_hex(*digest);
}

// "sha256:<hex>" of a note, as the tables show it.
std::string hex_of_name(const std::string& name, std::string_view what) {
  const auto digest = parse_digest_name(name);
  if (!digest) unfit(what, "\"" + name + "\" is not sha256: and 64 hex digits");
  return to_hex(*digest);
}

void require_time(const std::string& text, std::string_view what) {
  if (!parse_time(text)) unfit(what, "\"" + text + "\" is not a time like 2026-01-31T23:59:59Z");
}

template <class Text>
Text parse_noted(const Note& note, std::string_view what) {
  Text text;
  parse_textproto(note.text, what, text);
  return text;
}

void add(const Database& db, uint64_t seq, const KeyRecord& key) {
  const VerifierKey parsed = parse_verifier_key(key.vkey());
  if (parsed.name != key.name()) unfit("key", "its name differs from the verifier key's");
  if (!is_role(key.role())) unfit("key", "unknown role \"" + key.role() + "\"");
  if (key.retired()) {
    Statement known(db, "SELECT 1 FROM key WHERE vkey = ? AND retired_seq IS NULL");
    if (!known.with(key.vkey()).next()) unfit("key", key.name() + " is not there to be retired");
    Statement(db, "UPDATE key SET retired_seq = ? WHERE vkey = ?").with(seq, key.vkey()).run();
    return;
  }
  if ((key.role() == "log") != (seq == 0)) {
    unfit("key", "the log's own key is the first record, and only that");
  }
  // A note names its signer, so a name in use cannot be given to another key.
  Statement taken(db, "SELECT role FROM key WHERE name = ? AND retired_seq IS NULL");
  if (taken.with(key.name()).next()) {
    unfit("key", "the name " + key.name() + " is taken; retire the other key first");
  }
  Statement(db, "INSERT INTO key(vkey, seq, name, role) VALUES(?, ?, ?, ?)")
      .with(key.vkey(), seq, key.name(), key.role())
      .run();
}

void add(const Database& db, uint64_t seq, const LicenceRecord& l) {
  Statement before(db, "SELECT COALESCE(MAX(version), 0) FROM licence WHERE id = ?");
  before.with(l.id()).next();
  if (before.unsigned_integer(0) >= l.version()) {
    unfit("licence", l.id() + " has version " + before.text(0) + " already");
  }
  Statement(db, "INSERT INTO licence VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .with(l.id() + "@" + std::to_string(l.version()), seq, l.id(), l.version(), l.licensor(),
            l.licensee(), l.valid_from(), l.valid_to(), l.attribution(),
            hex(l.document_digest(), "document_digest"))
      .run();
}

void add(const Database& db, uint64_t seq, const SourceRecord& s) {
  const std::string digest = hex(s.digest(), "digest");
  Statement(db, "INSERT INTO source VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .with(digest, seq, s.path(), s.size_bytes(), s.container(), s.video_codec(), s.audio_codec(),
            s.width(), s.height(), s.duration_us(), s.frames(), s.shots(), s.caption(),
            s.caption_origin(), s.chromaprint(), s.problem(), s.status(), s.variable_frame_rate())
      .run();
  Statement licence(db, "INSERT INTO source_licence VALUES(?, ?, ?)");
  for (const std::string& ref : s.licence()) licence.with(digest, ref, seq).run();
}

void add(const Database& db, uint64_t seq, const FingerprintRecord& f) {
  const auto frames = static_cast<size_t>(f.pts_us_size());
  if (frames == 0 || f.pdq().size() != 32 * frames || f.quality().size() != frames) {
    unfit("fingerprint", "its lists differ in length");
  }
  std::string pts;  // little-endian, 8 bytes each
  for (const uint64_t value : f.pts_us()) {
    for (int shift = 0; shift < 64; shift += 8) pts += static_cast<char>(value >> shift & 255U);
  }
  Statement(db, "INSERT INTO fingerprint VALUES(?, ?, ?, ?, ?, ?, ?)")
      .with(hex(f.source(), "source"), f.first_frame(), seq, frames, Blob{pts}, Blob{f.pdq()},
            Blob{f.quality()})
      .run();
}

void add(const Database& db, uint64_t seq, const ClipRecord& c) {
  Statement(db, "INSERT INTO clip VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .with(hex(c.id(), "id"), seq, hex(c.source(), "source"), c.start_us(), c.end_us(), c.shot(),
            c.verdict(), double{c.luma()}, double{c.sharpness()}, double{c.motion()}, c.caption())
      .run();
}

void add(const Database& db, uint64_t seq, const DuplicateRecord& d) {
  Statement(db, "INSERT INTO duplicate VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .with(seq, hex(d.source(), "source"), hex(d.of(), "of"), d.start_us(), d.end_us(),
            d.of_start_us(), d.of_end_us(), double{d.distance()}, double{d.audio_match()},
            d.verdict())
      .run();
}

void add(const Database& db, uint64_t seq, const ShardRecord& s) {
  const std::string root = hex(s.root(), "root");
  Statement(db, "INSERT INTO shard VALUES(?, ?, ?, ?, ?, ?)")
      .with(root, seq, s.name(), hex(s.digest(), "digest"), s.size_bytes(), s.samples())
      .run();
  Statement licence(db, "INSERT INTO shard_licence VALUES(?, ?, ?)");
  for (const std::string& ref : s.licence()) licence.with(root, ref, seq).run();
}

void add(const Database& db, uint64_t seq, const SampleRecord& s) {
  Statement(db, "INSERT INTO sample VALUES(?, ?, ?, ?, ?, ?, ?, ?)")
      .with(hex(s.shard(), "shard"), s.index(), seq, s.key(), hex(s.digest(), "digest"),
            hex(s.clip(), "clip"), s.duration_us(), s.size_bytes())
      .run();
}

void add(const Database& db, uint64_t seq, const ApprovalRecord& record) {
  const Note note = parse_note(record.note());
  const Approval a = parse_noted<ApprovalText>(note, "approval").approval();
  require_time(a.at(), "approval.at");
  Statement(db, "INSERT INTO approval VALUES(?, ?, ?, ?, ?, ?)")
      .with(seq, hex_of_name(a.shard(), "approval.shard"),
            require_signer(db, note, "approver", "", "approval"), a.at(), Use_Name(a.use()),
            record.note())
      .run();
}

// The licensor of a licence may take it back, and an approver anything.
std::string revocation_signer(const Database& db, const Note& note, const Revocation& r) {
  if (r.has_licence()) {
    Statement licensor(db, "SELECT DISTINCT licensor FROM licence WHERE id = ?");
    licensor.with(r.licence());
    bool known = false;
    while (licensor.next()) {
      known = true;
      for (const VerifierKey& key : keys_of(db, "licensor")) {
        if (key.name == licensor.text(0) && signed_by(note, key)) return key.name;
      }
    }
    if (!known) unfit("revocation", "there is no licence " + r.licence());
  }
  return require_signer(db, note, "approver", "", "revocation");
}

void add(const Database& db, uint64_t seq, const RevocationRecord& record) {
  const Note note = parse_note(record.note());
  const Revocation r = parse_noted<RevocationText>(note, "revocation").revocation();
  if (r.has_licence() == r.has_shard()) unfit("revocation", "must name a licence or a shard");
  require_time(r.at(), "revocation.at");
  const std::string signer = revocation_signer(db, note, r);
  Statement insert(db, "INSERT INTO revocation VALUES(?, ?, ?, ?, ?, ?, ?)");
  if (r.has_licence()) {
    insert.with(seq, r.licence(), nullptr, signer, r.at(), r.reason(), record.note()).run();
  } else {
    insert
        .with(seq, nullptr, hex_of_name(r.shard(), "revocation.shard"), signer, r.at(), r.reason(),
              record.note())
        .run();
  }
}

void add(const Database& db, uint64_t seq, const PermitRecord& record) {
  const Note note = parse_note(record.note());
  const Permit p = parse_noted<PermitText>(note, "permit").permit();
  require_time(p.issued_at(), "permit.issued_at");
  require_time(p.expires_at(), "permit.expires_at");
  const std::string digest = to_hex(sha256(record.note()));
  Statement(db, "INSERT INTO permit VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .with(digest, seq, p.run(), p.purpose().model(),
            require_signer(db, note, "approver", "", "permit"), p.issued_at(), p.expires_at(),
            p.tree_size(), record.note())
      .run();
  Statement shard(db, "INSERT INTO permit_shard VALUES(?, ?, ?, ?)");
  for (const auto& s : p.shard()) {
    const std::string root = hex_of_name(s.root(), "permit.shard.root");
    if (s.has_max_passes()) {
      shard.with(digest, root, seq, s.max_passes()).run();
    } else {
      shard.with(digest, root, seq, nullptr).run();
    }
  }
}

void add(const Database& db, uint64_t seq, const RunRecord& r) {
  Statement permit(db, "SELECT run FROM permit WHERE digest = ?");
  if (!permit.with(hex(r.permit(), "permit")).next()) unfit("run", "its permit is not on record");
  if (!r.name().starts_with(permit.text(0) + "-")) {
    unfit("run", r.name() + " is no run of " + permit.text(0) + ", which its permit is for");
  }
  Statement(db, "INSERT INTO run VALUES(?, ?, ?, ?, ?, ?, ?)")
      .with(r.name(), seq, hex(r.permit(), "permit"), hex(r.config_digest(), "config_digest"),
            r.code_version(), r.seed(), r.ranks())
      .run();
}

void add(const Database& db, uint64_t seq, const ReceiptRecord& record) {
  const Note note = parse_note(record.note());
  const Receipt r = parse_noted<ReceiptText>(note, "receipt").receipt();
  if (r.first_step() >= r.end_step()) unfit("receipt", "it covers no step");
  Statement permit(db, "SELECT 1 FROM permit WHERE digest = ?");
  if (!permit.with(hex_of_name(r.permit(), "receipt.permit")).next()) {
    unfit("receipt", "its permit is not on record");
  }
  Statement(db, "INSERT INTO receipt VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .with(to_hex(sha256(record.note())), seq, r.run(),
            require_signer(db, note, "trainer", "", "receipt"), r.first_step(), r.end_step(),
            r.samples(), hex_of_name(r.checkpoint(), "receipt.checkpoint"), record.note())
      .run();
}

void add(const Database& db, uint64_t seq, const ConsumedRecord& c) {
  const std::string sample = hex(c.sample(), "sample");
  Statement permitted(db,
                      "SELECT 1 FROM run JOIN permit_shard ps USING(permit) JOIN sample p "
                      "ON p.shard = ps.shard WHERE run.name = ? AND p.digest = ?");
  if (!permitted.with(c.run(), sample).next()) {
    unfit("consumed", "run " + c.run() + " had no permit for sample " + sample);
  }
  Statement(db, "INSERT INTO consumed VALUES(?, ?, ?, ?, ?, ?)")
      .with(c.run(), c.end_step(), sample, seq, c.passes(), c.first_step())
      .run();
}

// A checkpoint closes a span of its run. What the span consumed must be what the trainer signed
// for: nothing left out, nothing added. Until then exposure does not count it (view consumed_clip).
void require_consumed(const Database& db, const std::string& run, uint64_t step,
                      const std::string& weights) {
  Statement receipt(db, "SELECT note FROM receipt WHERE run = ? AND end_step = ?");
  if (!receipt.with(run, step).next()) unfit("checkpoint", "there is no run receipt up to it");
  const Receipt r = parse_noted<ReceiptText>(parse_note(receipt.text(0)), "receipt").receipt();
  if (hex_of_name(r.checkpoint(), "receipt.checkpoint") != weights) {
    unfit("checkpoint", "its run receipt is for other weights");
  }
  std::vector<Digest> leaves;
  Statement rows(db,
                 "SELECT sample, passes, first_step FROM consumed WHERE run = ? AND end_step = ? "
                 "ORDER BY sample");
  rows.with(run, step);
  while (rows.next()) {
    ConsumedRecord consumed;
    consumed.set_run(run);
    consumed.set_end_step(step);
    consumed.set_sample(std::string(parse_digest(rows.text(0)).value_or(Digest{}).text()));
    consumed.set_passes(static_cast<uint32_t>(rows.integer(1)));
    consumed.set_first_step(rows.unsigned_integer(2));
    leaves.push_back(leaf_digest(as_bytes(consumed.SerializeAsString())));
  }
  if (leaves.size() != r.samples() || digest_name(root_digest(leaves)) != r.consumed_root()) {
    unfit("checkpoint", "the samples recorded as consumed are not those of its run receipt");
  }
}

void add(const Database& db, uint64_t seq, const CheckpointRecord& c) {
  const Envelope envelope = parse_envelope(c.statement());
  const TrainingStatement s = parse_statement(envelope.payload);
  const std::string digest = hex(c.digest(), "digest");
  if (s.run != c.run() || s.step != c.step() || to_hex(s.subjects[0].digest) != digest) {
    unfit("checkpoint", "its statement is about another checkpoint");
  }
  require_consumed(db, c.run(), c.step(), digest);
  std::string signer;
  for (const VerifierKey& key : keys_of(db, "trainer")) {
    if (signed_by(envelope, key)) signer = key.name;
  }
  if (signer.empty()) {
    throw Error(Errc::permission, "checkpoint ", digest,
                ": its statement is signed by no trainer's key of this ledger");
  }
  Statement(db, "INSERT INTO checkpoint VALUES(?, ?, ?, ?, ?, ?, ?)")
      .with(c.run(), c.step(), seq, digest, c.parent().empty() ? "" : hex(c.parent(), "parent"),
            signer, c.statement())
      .run();
}

void add(const Database& db, uint64_t seq, const RefusalRecord& r) {
  Statement(db, "INSERT INTO refusal VALUES(?, ?, ?, ?, ?)")
      .with(seq, r.act(), r.subject(), r.rule(), r.fact())
      .run();
}

void add_fact(const Database& db, uint64_t seq, const Fact& fact) {
  switch (fact.kind_case()) {
    case Fact::kKey:
      return add(db, seq, fact.key());
    case Fact::kLicence:
      return add(db, seq, fact.licence());
    case Fact::kSource:
      return add(db, seq, fact.source());
    case Fact::kFingerprint:
      return add(db, seq, fact.fingerprint());
    case Fact::kClip:
      return add(db, seq, fact.clip());
    case Fact::kDuplicate:
      return add(db, seq, fact.duplicate());
    case Fact::kShard:
      return add(db, seq, fact.shard());
    case Fact::kSample:
      return add(db, seq, fact.sample());
    case Fact::kApproval:
      return add(db, seq, fact.approval());
    case Fact::kRevocation:
      return add(db, seq, fact.revocation());
    case Fact::kPermit:
      return add(db, seq, fact.permit());
    case Fact::kRun:
      return add(db, seq, fact.run());
    case Fact::kReceipt:
      return add(db, seq, fact.receipt());
    case Fact::kConsumed:
      return add(db, seq, fact.consumed());
    case Fact::kCheckpoint:
      return add(db, seq, fact.checkpoint());
    case Fact::kRefusal:
      return add(db, seq, fact.refusal());
    case Fact::KIND_NOT_SET:
      break;
  }
  throw Error(Errc::unsupported, "a kind of record that this version does not know");
}

}  // namespace

std::string kind_name(const Fact& fact) {
  const auto* field =
      fact.kind_case() == Fact::KIND_NOT_SET
          ? nullptr
          : Fact::descriptor()->FindFieldByNumber(static_cast<int>(fact.kind_case()));
  if (field == nullptr) {
    throw Error(Errc::unsupported, "a kind of record that this version does not know");
  }
  return field->name();
}

Digest fact_identity(std::string_view fact_bytes) {
  return sha256(fact_bytes);
}

void project(const Database& db, uint64_t seq, std::string_view record_bytes) {
  Record record;
  Fact fact;
  if (!record.ParseFromArray(record_bytes.data(), static_cast<int>(record_bytes.size())) ||
      !fact.ParseFromString(record.fact())) {
    throw Error(Errc::corrupt, "record ", seq, ": does not parse");
  }
  try {
    Statement(db, "INSERT INTO record VALUES(?, ?, ?, ?)")
        .with(seq, format_time(record.at_us()), kind_name(fact),
              Blob{fact_identity(record.fact()).text()})
        .run();
    add_fact(db, seq, fact);
  } catch (const Error& error) {
    throw Error(error.code(), "record ", seq, " (",
                fact.kind_case() == Fact::KIND_NOT_SET ? "unknown" : kind_name(fact),
                "): ", error.what());
  }
}

std::string require_signer(const Database& db, const Note& note, std::string_view role,
                           std::string_view name, std::string_view what) {
  for (const VerifierKey& key : keys_of(db, role)) {
    if ((name.empty() || key.name == name) && signed_by(note, key)) return key.name;
  }
  std::ostringstream signers;
  for (const NoteSignature& s : note.signatures) signers << ' ' << s.name;
  throw Error(
      Errc::permission, what, ": not signed by ",
      name.empty() ? "any " + std::string(role) : std::string(name) + " as " + std::string(role),
      " whose key is in the ledger and not retired (signature lines:", signers.str(), ")");
}

std::vector<VerifierKey> keys_of(const Database& db, std::string_view role) {
  std::vector<VerifierKey> out;
  Statement select(db, "SELECT vkey FROM key WHERE role = ? AND retired_seq IS NULL ORDER BY seq");
  select.with(role);
  while (select.next()) out.push_back(parse_verifier_key(select.text(0)));
  return out;
}

}  // namespace cleared::ledger
