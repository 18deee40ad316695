#include "ledger/projection.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstring>

#include "ledger/base/check.h"
#include "ledger/base/clock.h"
#include "ledger/base/error.h"
#include "ledger/clearances.h"
#include "ledger/digest.h"
#include "ledger/sha256_lanes.h"
#include "ledger/state_map.h"

namespace cleared::ledger {
namespace {

[[noreturn]] void unfit(std::string_view what, std::string_view why) {
  throw Error(Errc::corrupt, what, ": ", why);
}

Digest raw_digest(std::string_view raw, std::string_view what) {
  const auto digest = digest_from_raw(raw);
  if (!digest) unfit(what, "must be 32 bytes");
  return *digest;
}

const std::string& require_time(const std::string& text, std::string_view what) {
  if (!parse_time(text)) unfit(what, "\"" + text + "\" is not a time like 2026-01-31T23:59:59Z");
  return text;
}

std::string big_endian(uint64_t value) {
  std::string out(8, '\0');
  for (int i = 7; i >= 0; --i, value >>= 8) {
    out[static_cast<size_t>(i)] = static_cast<char>(value & 0xFFU);
  }
  return out;
}

// Little-endian, 8 bytes each.
std::string times_blob(const auto& times_us) {
  std::string out;
  for (const uint64_t value : times_us) {
    for (int shift = 0; shift < 64; shift += 8) out += static_cast<char>(value >> shift & 255U);
  }
  return out;
}

// Keys of one kind of subject. The last one is remembered: neighbouring clips share their source,
// samples their shard, and hashing it again would cost as much as all else about their row.
class LastKey {
 public:
  const Digest& operator()(std::string_view kind, std::string_view id) {
    if (!set_ || id != id_) {
      key_ = subject_key_of(kind, id);
      id_ = id;
      set_ = true;
    }
    return key_;
  }

 private:
  bool set_ = false;
  std::string id_;
  Digest key_;
};
const Digest& source_key(std::string_view id) {
  thread_local LastKey last;
  return last("source", id);
}
const Digest& shard_key(const std::string& id) {
  thread_local LastKey last;
  return last("shard", id);
}
// Of a sample, which is both what its record is about and what the record refers to.
const Digest& sample_key(const std::string& id) {
  thread_local LastKey last;
  return last("sample", id);
}

// What a ConsumedShardRecord says, in the form of its row.
struct ShardConsumption {
  uint64_t samples = 0, passes = 0;
  uint64_t first_step = UINT64_MAX;
  std::string each;  // JSON: [passes, first step] or 0 for each sample
};
ShardConsumption read_consumption(const ConsumedShardRecord& c) {
  ShardConsumption out;
  out.each = "[";
  int next = 0;
  for (const uint32_t passes : c.passes()) {
    if (out.each.size() > 1) out.each += ',';
    if (passes == 0) {
      out.each += '0';
      continue;
    }
    if (next == c.back_size()) unfit("consumed_shard", "its lists differ in length");
    const uint64_t back = c.back(next++);
    if (back == 0 || back > c.end_step())
      unfit("consumed_shard", "a first step is outside of its span");
    const uint64_t first = c.end_step() - back;
    out.each += '[' + std::to_string(passes) + ',' + std::to_string(first) + ']';
    ++out.samples;
    out.passes += passes;
    out.first_step = std::min(out.first_step, first);
  }
  out.each += ']';
  if (next != c.back_size()) unfit("consumed_shard", "its lists differ in length");
  if (out.samples == 0 || c.passes(0) == 0 || c.passes(c.passes_size() - 1) == 0) {
    unfit("consumed_shard", "must begin and end with a sample that was consumed");
  }
  return out;
}

// A row, column by column; emit() hands it over.
class Row {
 public:
  Row(RowSink& sink, TableId table, uint64_t seq) : sink_(sink), table_(table) {
    integer(static_cast<int64_t>(seq));
  }
  Row& integer(uint64_t value) { return integer(static_cast<int64_t>(value)); }
  Row& integer(uint32_t value) { return integer(static_cast<int64_t>(value)); }
  Row& integer(int64_t value) {
    RowCell& cell = add(ValueType::integer);
    cell.integer = value;
    return *this;
  }
  Row& integer_if(bool there, uint64_t value) { return there ? integer(value) : null(); }
  Row& real(float value) {
    add(ValueType::real).real = double{value};
    return *this;
  }
  Row& text(std::string_view value) {
    add(ValueType::text).bytes = value;
    return *this;
  }
  Row& blob(std::string_view value) {
    add(ValueType::blob).bytes = value;
    return *this;
  }
  Row& null() {
    add(ValueType::null);
    return *this;
  }
  Row& hex(const Digest& digest) {
    constexpr char kDigits[] = "0123456789abcdef";
    CLEARED_CHECK(hex_count_ < hex_.size());
    auto& out = hex_[hex_count_++];
    for (size_t i = 0; i < 32; ++i) {
      const auto byte = static_cast<unsigned char>(digest.bytes[i]);
      out[2 * i] = kDigits[byte >> 4];
      out[2 * i + 1] = kDigits[byte & 15];
    }
    return text(std::string_view(out.data(), out.size()));
  }
  Row& hex(std::string_view raw, std::string_view what) { return hex(raw_digest(raw, what)); }
  Row& refers(const char* what, const Digest& subject,
              RowCell::Refers refers = RowCell::Refers::one) {
    CLEARED_CHECK(subject_count_ < subjects_.size());
    subjects_[subject_count_] = subject;
    RowCell& cell = add(ValueType::integer);
    cell.refers = refers;
    cell.subject = &subjects_[subject_count_++];
    cell.what = what;
    return *this;
  }
  void emit() {
    CLEARED_CHECK(static_cast<int>(count_) == tables()[static_cast<size_t>(table_)].columns);
    sink_.row(table_, std::span(cells_).first(count_));
  }

 private:
  RowCell& add(ValueType type) {
    CLEARED_CHECK(count_ < cells_.size());
    RowCell& cell = cells_[count_++];
    cell = RowCell{};
    cell.type = type;
    return cell;
  }
  RowSink& sink_;
  TableId table_;
  // Of the thread: making a row costs what its cells cost.
  static thread_local std::array<RowCell, 20> cells_;
  size_t count_ = 0;
  std::array<std::array<char, 64>, 3> hex_;
  size_t hex_count_ = 0;
  std::array<Digest, 3> subjects_;
  size_t subject_count_ = 0;
};
thread_local std::array<RowCell, 20> Row::cells_;

// `kind` is "permit_list" or "review_list".
Digest list_key(std::string_view kind, const Digest& root, uint32_t index) {
  return subject_key(kind, {root.text(), big_endian(index)});
}

struct Projector {
  uint64_t seq;
  const Authority& authority;
  RowSink& sink;

  Row row(TableId table) const { return Row(sink, table, seq); }
  std::string signers(const auto& signed_thing) const {
    return joined(authority.signers(signed_thing, "", seq));
  }

  void operator()(const KeyRecord& k) const {
    const VerifierKey parsed = parse_verifier_key(k.vkey());
    if (parsed.name != k.name()) unfit("key", "its name differs from the verifier key's");
    if (k.retired()) {
      row(TableId::retirement).refers("key", subject_key_of("key", k.vkey())).emit();
    } else {
      row(TableId::key).text(k.name()).text(k.role()).text(k.vkey()).emit();
    }
  }

  void operator()(const LicenceRecord& l) const {
    const std::string ref = l.id() + "@" + std::to_string(l.version());
    Row out = row(TableId::licence);
    out.text(ref).text(l.id()).integer(l.version()).text(l.licensor()).text(l.licensee());
    out.text(l.valid_from()).text(l.valid_to()).text(l.attribution());
    out.hex(l.document_digest(), "document_digest");
    l.fields_root().empty() ? out.text("") : out.hex(l.fields_root(), "fields_root");
    out.emit();
  }

  // Of a record that lists several of a kind: one row each.
  void many(TableId table, const char* kind, std::vector<Digest> subjects) const {
    std::sort(subjects.begin(), subjects.end());
    if (std::adjacent_find(subjects.begin(), subjects.end()) != subjects.end()) {
      unfit(kind, "is listed twice");
    }
    for (const Digest& subject : subjects) row(table).refers(kind, subject).emit();
  }
  void licences(TableId table, const auto& refs) const {
    std::vector<Digest> subjects;
    for (const std::string& ref : refs) subjects.push_back(subject_key_of("licence", ref));
    many(table, "licence", std::move(subjects));
  }

  void operator()(const SourceRecord& s) const {
    Row out = row(TableId::source);
    out.hex(s.digest(), "digest").text(s.path()).integer(s.size_bytes()).text(s.container());
    out.text(s.video_codec()).text(s.audio_codec()).integer(s.width()).integer(s.height());
    out.integer(s.duration_us()).integer(s.frames()).integer(s.shots()).text(s.caption());
    out.text(s.caption_origin()).text(s.chromaprint()).text(s.problem()).text(s.status());
    out.integer(uint32_t{s.variable_frame_rate()}).emit();
    licences(TableId::source_licence, s.licence());
  }

  void operator()(const FingerprintRecord& f) const {
    const auto frames = static_cast<size_t>(f.pts_us_size());
    if (frames == 0 || f.pdq().size() != 32 * frames || f.quality().size() != frames) {
      unfit("fingerprint", "its lists differ in length");
    }
    const std::string pts = times_blob(f.pts_us());
    row(TableId::fingerprint)
        .refers("source", source_key(f.source()))
        .integer(f.first_frame())
        .integer(uint64_t{frames})
        .blob(pts)
        .blob(f.pdq())
        .blob(f.quality())
        .emit();
  }

  void operator()(const ClipRecord& c) const {
    clip_row(seq,
             {c.id(), c.source(), c.start_us(), c.end_us(), c.shot(), c.verdict(), c.luma(),
              c.sharpness(), c.motion(), c.caption()},
             sink);
  }

  void operator()(const DuplicateRecord& d) const {
    Row out = row(TableId::duplicate);
    out.refers("source", source_key(d.source()));
    out.refers("of", subject_key_of("source", d.of()));
    out.integer(d.start_us()).integer(d.end_us()).integer(d.of_start_us()).integer(d.of_end_us());
    out.real(d.distance()).real(d.audio_match()).text(d.verdict()).emit();
  }

  void operator()(const MeasureRecord& m) const {
    const auto times = static_cast<size_t>(m.pts_us_size());
    if (m.pdq().size() != 32 * times || m.quality().size() != times) {
      unfit("measure", "its lists differ in length");
    }
    const std::string pts = times_blob(m.pts_us());
    Row out = row(TableId::measure);
    out.refers("source", source_key(m.source())).text(m.kind());
    out.integer(m.start_us()).integer(m.end_us()).real(m.value());
    out.integer(m.x()).integer(m.y()).integer(m.width()).integer(m.height()).text(m.note());
    out.blob(pts).blob(m.pdq()).blob(m.quality()).emit();
  }

  void operator()(const ShardRecord& s) const {
    row(TableId::shard)
        .hex(s.root(), "root")
        .text(s.name())
        .hex(s.digest(), "digest")
        .integer(s.size_bytes())
        .integer(s.samples())
        .emit();
    licences(TableId::shard_licence, s.licence());
  }

  void operator()(const SampleRecord& s) const {
    Row out = row(TableId::sample);
    out.refers("shard", shard_key(s.shard())).integer(s.index()).text(s.key());
    out.hex(s.digest(), "digest").refers("clip", subject_key_of("clip", s.clip()));
    out.refers("sample", sample_key(s.digest()), RowCell::Refers::first_of_equals);
    out.integer(s.duration_us()).integer(s.size_bytes()).emit();
  }

  void operator()(const PolicyRecord& record) const {
    const Note note = parse_note(record.note());
    const Policy p = parse_noted<PolicyText>(note, "policy").policy();
    row(TableId::policy)
        .integer(p.version())
        .text(signers(note))
        .text(require_time(p.at(), "policy.at"))
        .text(record.note())
        .emit();
  }

  void operator()(const WitnessPolicyRecord& record) const {
    row(TableId::witness_policy).text(record.text()).emit();
  }

  void operator()(const ApprovalRecord& record) const {
    const Note note = parse_note(record.note());
    const Approval a = parse_noted<ApprovalText>(note, "approval").approval();
    row(TableId::approval)
        .hex(require_digest_name(a.root(), "approval.root"))
        .integer(a.shards())
        .text(signers(note))
        .text(require_time(a.at(), "approval.at"))
        .text(Use_Name(a.use()))
        .text(record.note())
        .emit();
    std::vector<Digest> subjects;
    for (const std::string& root : record.shard()) {
      subjects.push_back(subject_key_of("shard", root));
    }
    many(TableId::approved_shard, "shard", std::move(subjects));
  }

  void operator()(const RevocationRecord& record) const {
    const Note note = parse_note(record.note());
    const Revocation r = parse_noted<RevocationText>(note, "revocation").revocation();
    if (r.has_licence() == r.has_shard()) unfit("revocation", "must name a licence or a shard");
    Row out = row(TableId::revocation);
    if (r.has_licence()) {
      out.text(r.licence()).null();
    } else {
      const Digest root = require_digest_name(r.shard(), "revocation.shard");
      out.null().refers("shard", subject_key_of("shard", root.text()));
    }
    const std::string names = signers(note);
    out.text(names).text(require_time(r.at(), "revocation.at")).text(r.reason());
    out.text(record.note()).emit();
  }

  void operator()(const PermitRecord& record) const {
    const Note note = parse_note(record.note());
    const Permit p = parse_noted<PermitText>(note, "permit").permit();
    row(TableId::permit)
        .hex(sha256(record.note()))
        .text(p.run())
        .text(p.purpose().model())
        .text(signers(note))
        .text(require_time(p.issued_at(), "permit.issued_at"))
        .text(require_time(p.expires_at(), "permit.expires_at"))
        .integer(p.tree_size())
        .text(record.note())
        .emit();
    permitted(TableId::permit_shard, p);
    if (p.has_lists()) lists_of(TableId::list_of_permit, "permit_list", p.lists());
  }

  // A row for each list that a permit or a review names.
  void lists_of(TableId table, const char* kind, const auto& named) const {
    constexpr uint32_t kMostLists = 1 << 20;
    if (named.lists() > kMostLists) unfit(kind, "is one of too many");
    const Digest root = require_digest_name(named.root(), "lists.root");
    for (uint32_t i = 0; i < named.lists(); ++i) {
      row(table).refers(kind, list_key(kind, root, i)).emit();
    }
  }

  void operator()(const PermitListRecord& record) const {
    PermitShardsText text;
    parse_textproto(record.text(), "permit_list", text);
    row(TableId::permit_list)
        .hex(record.root(), "permit_list.root")
        .integer(record.index())
        .text(record.text())
        .emit();
    permitted(TableId::listed_shard, text);
  }

  // A row for each shard of a permit, or of a list of one.
  void permitted(TableId table, const auto& list) const {
    for (const Permit::Shard& shard : list.shard()) {
      const Digest root = require_digest_name(shard.root(), "permit.shard.root");
      Row out = row(table);
      out.refers("shard", subject_key_of("shard", root.text()));
      shard.has_max_passes() ? out.integer(shard.max_passes()) : out.null();
      out.emit();
    }
  }

  void operator()(const RunRecord& r) const {
    row(TableId::run)
        .text(r.name())
        .refers("permit", subject_key_of("permit", r.permit()))
        .hex(r.config_digest(), "config_digest")
        .text(r.code_version())
        .integer(r.seed())
        .integer(r.ranks())
        .emit();
  }

  void operator()(const ReceiptRecord& record) const {
    const Note note = parse_note(record.note());
    const Receipt r = parse_noted<ReceiptText>(note, "receipt").receipt();
    row(TableId::receipt)
        .hex(sha256(record.note()))
        .refers("run", subject_key_of("run", r.run()))
        .text(signers(note))
        .integer(r.first_step())
        .integer(r.end_step())
        .integer(r.samples())
        .hex(require_digest_name(r.checkpoint(), "receipt.checkpoint"))
        .text(record.note())
        .emit();
    if (!r.has_sample_us() && !record.has_machine_us()) return;
    row(TableId::receipt_cost)
        .integer_if(r.has_sample_us(), r.sample_us())
        .integer_if(record.has_machine_us(), record.machine_us())
        .emit();
  }

  void operator()(const ConsumedRecord& c) const {
    row(TableId::consumed)
        .refers("receipt", step_key("receipt", c.run(), c.end_step()))
        .refers("sample", subject_key_of("sample", c.sample()), RowCell::Refers::first_of_equals)
        .integer(c.passes())
        .integer(c.first_step())
        .emit();
  }

  void operator()(const ConsumedShardRecord& c) const {
    const ShardConsumption read = read_consumption(c);
    row(TableId::consumed_shard)
        .refers("receipt", step_key("receipt", c.run(), c.end_step()))
        .refers("shard", shard_key(c.shard()))
        .integer(c.index())
        .integer(read.samples)
        .integer(read.passes)
        .integer(read.first_step)
        .integer(c.sample_us())
        .text(read.each)
        .emit();
  }

  void operator()(const DeletionRecord& record) const {
    const Note note = parse_note(record.note());
    const Deletion d = parse_noted<DeletionText>(note, "deletion").deletion();
    if (d.has_shard() == d.has_source() || d.has_what() != d.has_source()) {
      unfit("deletion", "must name a shard, or a source and what of it");
    }
    std::string digests;
    for (const std::string& digest : d.digest()) {
      digests +=
          (digests.empty() ? "" : " ") + to_hex(require_digest_name(digest, "deletion.digest"));
    }
    Row out = row(TableId::deletion);
    if (d.has_shard()) {
      const Digest root = require_digest_name(d.shard(), "deletion.shard");
      out.refers("shard", subject_key_of("shard", root.text())).null().text("SHARD");
    } else {
      const Digest source = require_digest_name(d.source(), "deletion.source");
      out.null().refers("source", subject_key_of("source", source.text()));
      out.text(Deletion::Derivative_Name(d.what()));
    }
    const std::string names = signers(note);
    out.text(digests).text(names).text(require_time(d.at(), "deletion.at")).text(d.reason());
    out.text(record.note()).emit();
  }

  void operator()(const CheckpointRecord& c) const {
    const Envelope envelope = parse_envelope(c.statement());
    Row out = row(TableId::checkpoint);
    out.refers("run", subject_key_of("run", c.run()));
    out.refers("receipt", step_key("receipt", c.run(), c.step()));
    out.integer(c.step()).hex(c.digest(), "digest");
    c.parent().empty() ? out.text("") : out.hex(c.parent(), "parent");
    const std::string names = signers(envelope);
    out.text(names).text(c.statement()).emit();
    if (!c.vae().empty()) row(TableId::checkpoint_vae).hex(c.vae(), "vae").emit();
    if (!c.text_encoder().empty()) {
      row(TableId::checkpoint_text_encoder).hex(c.text_encoder(), "text_encoder").emit();
    }
  }

  void operator()(const ReleaseRecord& record) const {
    const Note note = parse_note(record.note());
    const Release r = parse_noted<ReleaseText>(note, "release").release();
    row(TableId::release)
        .hex(sha256(record.note()))
        .hex(require_digest_name(r.checkpoint(), "release.checkpoint"))
        .text(Use_Name(r.use()))
        .text(r.model())
        .text(r.field_of_use())
        .text(r.territory())
        .text(signers(note))
        .text(require_time(r.issued_at(), "release.issued_at"))
        .text(require_time(r.expires_at(), "release.expires_at"))
        .integer(r.tree_size())
        .text(record.note())
        .emit();
    licences(TableId::release_licence, r.licence());
  }

  void operator()(const RefusalRecord& r) const {
    row(TableId::refusal).text(r.act()).text(r.subject()).text(r.rule()).text(r.fact()).emit();
  }

  void operator()(const ErasureRecord& e) const {
    row(TableId::erasure)
        .refers("licence", subject_key_of("licence", e.licence()))
        .text(e.reason())
        .text(e.note().empty() ? "" : signers(parse_note(e.note())))
        .text(e.note())
        .emit();
  }

  void operator()(const MarkRecord& m) const {
    row(TableId::mark)
        .hex(m.source(), "source")
        .text(m.name())
        .text(m.says())
        .text(m.value())
        .text(m.place())
        .emit();
  }

  void operator()(const ClearanceRecord& c) const {
    Row out = row(TableId::clearance);
    out.refers("clip", subject_key_of("clip", c.clip()));
    out.text(c.reason()).text(c.value()).text(c.origin());
    c.pictures().empty() ? out.text("") : out.hex(c.pictures(), "pictures");
    out.emit();
  }

  void operator()(const ReviewRecord& record) const {
    const Note note = parse_note(record.note());
    const Review r = parse_noted<ReviewText>(note, "review").review();
    row(TableId::review)
        .text(signers(note))
        .text(require_time(r.at(), "review.at"))
        .text(record.note())
        .emit();
    decided(TableId::reviewed_clip, r);
    if (r.has_lists()) lists_of(TableId::list_of_review, "review_list", r.lists());
  }

  void operator()(const ReviewListRecord& record) const {
    ReviewDecisionsText text;
    parse_textproto(record.text(), "review_list", text);
    row(TableId::review_list)
        .hex(record.root(), "review_list.root")
        .integer(record.index())
        .text(record.text())
        .emit();
    decided(TableId::listed_decision, text);
  }

  // A row for each decision of a review, or of a list of one.
  void decided(TableId table, const auto& list) const {
    for (const Review::Decision& decision : list.decision()) {
      const Digest clip = require_digest_name(decision.clip(), "review.decision.clip");
      row(table)
          .refers("clip", subject_key_of("clip", clip.text()))
          .text(reasons(decision.release()))
          .text(reasons(decision.keep_out()))
          .text(decision.says())
          .emit();
    }
  }
  // "face, speech".
  static std::string reasons(const auto& list) {
    std::vector<std::string> words;
    for (const int reason : list) words.push_back(reason_word(static_cast<Reason::Value>(reason)));
    return joined(words);
  }

  void operator()(const ProtectionRecord& p) const {
    row(TableId::protection)
        .hex(p.fingerprint(), "fingerprint")
        .text(p.name())
        .integer(uint32_t{p.removed()})
        .emit();
  }

  void operator()(const StateRecord& s) const {
    uint64_t entries = 0;
    for (const auto& run : s.run()) {
      entries += run.entries();
      raw_digest(run.root(), "state.run.root");
    }
    row(TableId::state)
        .integer(entries)
        .integer(static_cast<int64_t>(s.run_size()))
        .hex(state_root(s))
        .emit();
  }
};

// Calls `body` with the record inside the fact.
template <class Body>
auto visit(const Fact& fact, const Body& body) {
  switch (fact.kind_case()) {
    case Fact::kKey:
      return body(fact.key());
    case Fact::kLicence:
      return body(fact.licence());
    case Fact::kSource:
      return body(fact.source());
    case Fact::kFingerprint:
      return body(fact.fingerprint());
    case Fact::kClip:
      return body(fact.clip());
    case Fact::kDuplicate:
      return body(fact.duplicate());
    case Fact::kMeasure:
      return body(fact.measure());
    case Fact::kShard:
      return body(fact.shard());
    case Fact::kSample:
      return body(fact.sample());
    case Fact::kApproval:
      return body(fact.approval());
    case Fact::kRevocation:
      return body(fact.revocation());
    case Fact::kPermit:
      return body(fact.permit());
    case Fact::kPermitList:
      return body(fact.permit_list());
    case Fact::kRun:
      return body(fact.run());
    case Fact::kReceipt:
      return body(fact.receipt());
    case Fact::kConsumed:
      return body(fact.consumed());
    case Fact::kConsumedShard:
      return body(fact.consumed_shard());
    case Fact::kDeletion:
      return body(fact.deletion());
    case Fact::kCheckpoint:
      return body(fact.checkpoint());
    case Fact::kRelease:
      return body(fact.release());
    case Fact::kRefusal:
      return body(fact.refusal());
    case Fact::kState:
      return body(fact.state());
    case Fact::kPolicy:
      return body(fact.policy());
    case Fact::kWitnessPolicy:
      return body(fact.witness_policy());
    case Fact::kErasure:
      return body(fact.erasure());
    case Fact::kMark:
      return body(fact.mark());
    case Fact::kClearance:
      return body(fact.clearance());
    case Fact::kReview:
      return body(fact.review());
    case Fact::kReviewList:
      return body(fact.review_list());
    case Fact::kProtection:
      return body(fact.protection());
    case Fact::KIND_NOT_SET:
      break;
  }
  throw Error(Errc::unsupported, "a kind of record that this version does not know");
}

Subject one(const Digest& key) {
  return {key, true, {}};
}
Subject any(const Digest& key) {
  return {key, false, {}};
}

struct Subjects {
  std::optional<Subject> operator()(const KeyRecord& k) const {
    return one(subject_key_of(k.retired() ? "retirement" : "key", k.vkey()));
  }
  std::optional<Subject> operator()(const LicenceRecord& l) const {
    return one(subject_key_of("licence", l.id() + "@" + std::to_string(l.version())));
  }
  std::optional<Subject> operator()(const SourceRecord& s) const {
    return one(subject_key_of("source", s.digest()));
  }
  std::optional<Subject> operator()(const FingerprintRecord& f) const {
    return one(subject_key("fingerprint", {f.source(), big_endian(f.first_frame())}));
  }
  std::optional<Subject> operator()(const ClipRecord& c) const {
    return one(subject_key_of("clip", c.id()));
  }
  std::optional<Subject> operator()(const DuplicateRecord& d) const {
    return any(subject_key("duplicate", {d.source(), d.of()}));
  }
  std::optional<Subject> operator()(const MeasureRecord& m) const {
    return any(subject_key("measure", {m.source(), m.kind()}));
  }
  std::optional<Subject> operator()(const ShardRecord& s) const {
    return one(subject_key_of("shard", s.root()));
  }
  std::optional<Subject> operator()(const SampleRecord& s) const {
    return any(sample_key(s.digest()));
  }
  std::optional<Subject> operator()(const PolicyRecord& p) const {
    const auto text = parse_noted<PolicyText>(parse_note(p.note()), "policy");
    return one(subject_key_of("policy", std::to_string(text.policy().version())));
  }
  std::optional<Subject> operator()(const WitnessPolicyRecord&) const {
    return any(subject_key_of("witness_policy", ""));
  }
  std::optional<Subject> operator()(const ApprovalRecord& a) const {
    const auto text = parse_noted<ApprovalText>(parse_note(a.note()), "approval");
    const Digest root = require_digest_name(text.approval().root(), "approval.root");
    Subject out = any(subject_key_of("approval", root.text()));
    for (const std::string& shard : a.shard())
      out.also.push_back(subject_key_of("approved", shard));
    return out;
  }
  std::optional<Subject> operator()(const RevocationRecord& record) const {
    const Revocation r =
        parse_noted<RevocationText>(parse_note(record.note()), "revocation").revocation();
    if (r.has_licence()) return any(subject_key_of("revocation", r.licence()));
    return any(
        subject_key_of("revocation", require_digest_name(r.shard(), "revocation.shard").text()));
  }
  std::optional<Subject> operator()(const PermitRecord& p) const {
    return one(subject_key_of("permit", sha256(p.note()).text()));
  }
  std::optional<Subject> operator()(const PermitListRecord& list) const {
    return one(list_key("permit_list", raw_digest(list.root(), "permit_list.root"), list.index()));
  }
  std::optional<Subject> operator()(const RunRecord& r) const {
    return one(subject_key_of("run", r.name()));
  }
  std::optional<Subject> operator()(const ReceiptRecord& record) const {
    const Receipt r = parse_noted<ReceiptText>(parse_note(record.note()), "receipt").receipt();
    return one(step_key("receipt", r.run(), r.end_step()));
  }
  std::optional<Subject> operator()(const ConsumedRecord& c) const {
    return one(subject_key("consumed", {c.run(), big_endian(c.end_step()), c.sample()}));
  }
  std::optional<Subject> operator()(const ConsumedShardRecord& c) const {
    return one(subject_key("consumed_shard",
                           {c.run(), big_endian(c.end_step()), c.shard(), big_endian(c.index())}));
  }
  std::optional<Subject> operator()(const DeletionRecord& record) const {
    const Deletion d = parse_noted<DeletionText>(parse_note(record.note()), "deletion").deletion();
    const std::string& name = d.has_shard() ? d.shard() : d.source();
    return any(subject_key_of("deletion", require_digest_name(name, "deletion").text()));
  }
  std::optional<Subject> operator()(const CheckpointRecord& c) const {
    return one(step_key("checkpoint", c.run(), c.step()));
  }
  std::optional<Subject> operator()(const ReleaseRecord& r) const {
    return one(subject_key_of("release", sha256(r.note()).text()));
  }
  std::optional<Subject> operator()(const RefusalRecord& r) const {
    return any(subject_key_of("refusal", r.subject()));
  }
  std::optional<Subject> operator()(const ErasureRecord& e) const {
    return one(subject_key_of("erasure", e.licence()));
  }
  std::optional<Subject> operator()(const MarkRecord& m) const {
    return any(subject_key_of("mark", m.source()));
  }
  std::optional<Subject> operator()(const ClearanceRecord& c) const {
    return any(subject_key_of("clearance", c.clip()));
  }
  std::optional<Subject> operator()(const ReviewRecord& r) const {
    return one(subject_key_of("review", sha256(r.note()).text()));
  }
  std::optional<Subject> operator()(const ReviewListRecord& list) const {
    return one(list_key("review_list", raw_digest(list.root(), "review_list.root"), list.index()));
  }
  std::optional<Subject> operator()(const ProtectionRecord& p) const {
    return any(subject_key_of("protection", p.fingerprint()));
  }
  std::optional<Subject> operator()(const StateRecord&) const { return std::nullopt; }
};

uint64_t take_varint(std::string_view& bytes) {
  uint64_t value = 0;
  for (int shift = 0; shift < 64 && !bytes.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes.front());
    bytes.remove_prefix(1);
    value |= uint64_t{byte & 0x7FU} << shift;
    if (byte < 0x80) return value;
  }
  unfit("record", "does not parse");
}

void put_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80U);
  out += static_cast<char>(value);
}

size_t varint_bytes(uint64_t value) {
  return (static_cast<size_t>(std::bit_width(value | 1)) + 6) / 7;
}

// The wire of protobuf (https://protobuf.dev/programming-guides/encoding), as far as a clip uses
// it.
constexpr uint32_t kVarintWire = 0;
constexpr uint32_t kBytesWire = 2;
constexpr uint32_t kFloatWire = 5;

// Up to 63 bits; longer ones are left to protobuf.
bool take_short_varint(std::string_view& in, uint64_t& value) {
  value = 0;
  for (size_t i = 0; i < in.size() && i < 9; ++i) {
    const auto byte = static_cast<unsigned char>(in[i]);
    value |= uint64_t{byte & 0x7FU} << 7 * i;
    if (byte >= 0x80) continue;
    in.remove_prefix(i + 1);
    return true;
  }
  return false;
}
// One field of this tag, from the front of `in`.
bool take_field(std::string_view& in, uint32_t tag, std::string_view& value) {
  uint64_t size = 0;
  std::string_view rest = in;
  if (rest.empty() || static_cast<unsigned char>(rest.front()) != tag) return false;
  rest.remove_prefix(1);
  if (!take_short_varint(rest, size) || size > rest.size()) return false;
  in = rest.substr(size);
  value = rest.substr(0, size);
  return true;
}
bool take_float(std::string_view& in, float& value) {
  static_assert(std::endian::native == std::endian::little);
  if (in.size() < 5) return false;
  std::memcpy(&value, in.data() + 1, sizeof value);
  in.remove_prefix(5);
  return true;
}
bool take_integer(std::string_view& in, uint64_t& value) {
  in.remove_prefix(1);
  return take_short_varint(in, value);
}

bool take_clip_field(std::string_view& in, uint32_t tag, ClipView& out) {
  uint64_t shot = 0;
  switch (tag) {
    case ClipRecord::kIdFieldNumber << 3 | kBytesWire:
      return take_field(in, tag, out.id);
    case ClipRecord::kSourceFieldNumber << 3 | kBytesWire:
      return take_field(in, tag, out.source);
    case ClipRecord::kStartUsFieldNumber << 3 | kVarintWire:
      return take_integer(in, out.start_us);
    case ClipRecord::kEndUsFieldNumber << 3 | kVarintWire:
      return take_integer(in, out.end_us);
    case ClipRecord::kShotFieldNumber << 3 | kVarintWire:
      if (!take_integer(in, shot) || shot > UINT32_MAX) return false;
      out.shot = static_cast<uint32_t>(shot);
      return true;
    case ClipRecord::kVerdictFieldNumber << 3 | kBytesWire:
      return take_field(in, tag, out.verdict);
    case ClipRecord::kLumaFieldNumber << 3 | kFloatWire:
      return take_float(in, out.luma);
    case ClipRecord::kSharpnessFieldNumber << 3 | kFloatWire:
      return take_float(in, out.sharpness);
    case ClipRecord::kMotionFieldNumber << 3 | kFloatWire:
      return take_float(in, out.motion);
    case ClipRecord::kCaptionFieldNumber << 3 | kBytesWire:
      return take_field(in, tag, out.caption);
    default:
      return false;
  }
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

constexpr char kTimeTag = 0x08;  // field 1, varint
constexpr char kFactTag = 0x12;  // field 2, bytes

}  // namespace

std::string encode_record(uint64_t at_us, std::string_view fact_bytes) {
  std::string out;
  out.reserve(fact_bytes.size() + 16);
  out += kTimeTag;
  put_varint(out, at_us);
  out += kFactTag;
  put_varint(out, fact_bytes.size());
  out += fact_bytes;
  return out;
}

RecordView parse_record(std::string_view bytes) {
  RecordView out;
  std::string_view rest = bytes;
  if (rest.empty() || rest.front() != kTimeTag) unfit("record", "does not begin with its time");
  rest.remove_prefix(1);
  out.at_us = take_varint(rest);
  if (rest.empty() || rest.front() != kFactTag) unfit("record", "has no fact after its time");
  rest.remove_prefix(1);
  if (take_varint(rest) != rest.size()) unfit("record", "does not end with its fact");
  out.fact = rest;
  if (2 + varint_bytes(out.at_us) + varint_bytes(rest.size()) + rest.size() != bytes.size()) {
    unfit("record", "has a number in more bytes than it needs");
  }
  return out;
}

std::string_view kind_name(const Fact& fact) {
  const auto* field =
      fact.kind_case() == Fact::KIND_NOT_SET
          ? nullptr
          : Fact::descriptor()->FindFieldByNumber(static_cast<int>(fact.kind_case()));
  if (field == nullptr) {
    throw Error(Errc::unsupported, "a kind of record that this version does not know");
  }
  return field->name();
}

std::optional<ClipView> view_clip(std::string_view fact) {
  ClipView out;
  uint32_t last = 0;
  std::string_view rest = fact;
  if (!take_field(rest, Fact::kClipFieldNumber << 3 | kBytesWire, rest)) return std::nullopt;
  const std::string_view clip = rest;
  if (clip.data() + clip.size() != fact.data() + fact.size()) return std::nullopt;
  for (rest = clip; !rest.empty();) {
    const auto tag = static_cast<unsigned char>(rest.front());
    const uint32_t number = tag >> 3;
    if (number <= last || tag >= 0x80) return std::nullopt;
    last = number;
    if (!take_clip_field(rest, tag, out)) return std::nullopt;
  }
  if (out.id.size() != 32 || !is_ascii(out.verdict) || !is_ascii(out.caption)) return std::nullopt;
  return out;
}

void clip_row(uint64_t seq, const ClipView& clip, RowSink& sink) {
  Row out(sink, TableId::clip, seq);
  out.hex(clip.id, "id").refers("source", source_key(clip.source));
  out.integer(clip.start_us).integer(clip.end_us).integer(clip.shot).text(clip.verdict);
  out.real(clip.luma).real(clip.sharpness).real(clip.motion).text(clip.caption).emit();
}

void clip_keys(std::span<const ClipView> clips, std::span<Digest> keys) {
  constexpr std::string_view kBefore("clip\0\0\0\0\x20", 9);  // as subject_key() hashes it
  std::string bytes;
  bytes.reserve(clips.size() * (kBefore.size() + 32));
  std::vector<ByteView> messages;
  messages.reserve(clips.size());
  for (const ClipView& clip : clips) {
    CLEARED_CHECK(clip.id.size() == 32);
    const size_t at = bytes.size();
    bytes.append(kBefore).append(clip.id);
    messages.push_back(as_bytes(std::string_view(bytes).substr(at)));
  }
  sha256_each(std::nullopt, messages, keys);
}

std::vector<SampleConsumption> parse_consumption(std::string_view each) {
  std::vector<SampleConsumption> out;
  out.reserve(each.size() / 6);
  const char* at = each.data();
  const char* const end = at + each.size();
  const auto take = [&](char c) {
    if (at == end || *at != c) unfit("consumed_shard.each", "is not as it is written");
    ++at;
  };
  const auto number = [&](auto& value) {
    const auto [next, error] = std::from_chars(at, end, value);
    if (error != std::errc()) unfit("consumed_shard.each", "holds what is no number");
    at = next;
  };
  for (take('['); at != end && *at != ']';) {
    if (!out.empty()) take(',');
    SampleConsumption& sample = out.emplace_back();
    if (at == end || *at != '[') {
      take('0');
      continue;
    }
    take('[');
    number(sample.passes);
    take(',');
    number(sample.first_step);
    take(']');
  }
  take(']');
  return out;
}

std::span<const TableShape> tables() {
  static constexpr TableShape kTables[] = {
      {"moment", 2, false},
      {"key", 4, false},
      {"retirement", 2, false},
      {"licence", 11, false},
      {"licence_source", 2, true},  // made from the document: ledger/coverage.h
      {"source", 18, false},
      {"source_licence", 2, true},
      {"fingerprint", 7, false},
      {"clip", 11, false},
      {"clip_series", 2, false},
      {"duplicate", 10, false},
      {"measure", 14, false},
      {"shard", 6, false},
      {"shard_licence", 2, true},
      {"sample", 9, false},
      {"policy", 5, false},
      {"witness_policy", 2, false},
      {"approval", 7, false},
      {"approved_shard", 2, true},
      {"revocation", 7, false},
      {"permit", 9, false},
      {"permit_shard", 3, true},
      {"permit_list", 4, false},
      {"listed_shard", 3, true},
      {"list_of_permit", 2, true},
      {"run", 7, false},
      {"receipt", 9, false},
      {"receipt_cost", 3, false},
      {"consumed", 5, false},
      {"consumed_shard", 9, false},
      {"checkpoint", 8, false},
      {"checkpoint_vae", 2, false},
      {"checkpoint_text_encoder", 2, false},
      {"release", 12, false},
      {"release_licence", 2, true},
      {"refusal", 5, false},
      {"erasure", 5, false},
      {"deletion", 9, false},
      {"mark", 6, false},
      {"clearance", 6, false},
      {"review", 4, false},
      {"reviewed_clip", 5, true},
      {"review_list", 4, false},
      {"listed_decision", 5, true},
      {"list_of_review", 2, true},
      {"protection", 4, false},
      {"state", 4, false},
  };
  static_assert(std::size(kTables) == static_cast<size_t>(TableId::state) + 1);
  return kTables;
}

Digest subject_key_of(std::string_view kind, std::string_view id) {
  return subject_key(kind, {id});
}

Digest step_key(std::string_view kind, std::string_view run, uint64_t step) {
  return subject_key(kind, {run, big_endian(step)});
}

bool newest_alone_counts(const Fact& fact) {
  return fact.has_witness_policy() || fact.has_protection();
}

std::optional<Subject> subject_of(const Fact& fact) {
  return visit(fact, Subjects{});
}

void rows_of(uint64_t seq, const Fact& fact, const Authority& authority, RowSink& sink) {
  visit(fact, Projector{seq, authority, sink});
}

void clip_series_row(uint64_t seq, const std::string& source, RowSink& sink) {
  Row(sink, TableId::clip_series, seq).refers("source", source_key(source)).emit();
}

}  // namespace cleared::ledger
