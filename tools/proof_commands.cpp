#include "tools/proof_commands.h"

#include <charconv>
#include <cstdio>
#include <optional>
#include <set>
#include <utility>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "ledger/base/clock.h"
#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/disclosure.h"
#include "ledger/entries.h"
#include "ledger/key.h"
#include "ledger/licence.h"
#include "ledger/projection.h"
#include "ledger/publish.h"
#include "ledger/query.h"
#include "ledger/range_proof.h"
#include "ledger/record.pb.h"
#include "ledger/shard_proof.h"
#include "ledger/store.h"
#include "ledger/subject_proof.h"
#include "ledger/textproto.h"
#include "ledger/tile_reader.h"
#include "ledger/tlog_proof.h"
#include "ledger/tree_head.h"
#include "ledger/witness_policy.h"
#include "tools/approval_commands.h"
#include "tools/cli.h"
#include "tools/ledger_commands.h"
#include "tools/output.h"
#include "tools/page.h"
#include "tools/written.h"

namespace cleared::tools {
using namespace cleared::ledger;
namespace {

// A proof has at most two records in base64, two paths and a head.
constexpr uint64_t kMaxProofBytes = 2 << 20;
constexpr uint64_t kMaxPageBytes = uint64_t{1} << 30;  // of proofs of many records

unsigned long long number(uint64_t value) {
  return value;
}

std::vector<VerifierKey> trusted_logs(const std::string& path) {
  std::vector<VerifierKey> out;
  for (const PublicKey& key : read_public_keys(path)) {
    if (key.role == "log") out.push_back(key.key);
  }
  if (out.empty()) throw Error(Errc::corrupt, path, ": holds no line \"log VKEY\"");
  return out;
}

// What a proof says, in words and for scripts, and the heads it stands on, as a rule one.
struct Proven {
  std::string words;
  std::set<std::string> heads;
  Json facts;
};

// Adds "cosigned by beta at 2026-01-02T03:04:05Z" for each witness. NotProven without the quorum.
void require_quorum(const WitnessPolicy& policy, Proven& proven) {
  proven.facts["cosigned"] = Json::array();
  for (const std::string& head : proven.heads) {
    const QuorumAnswer answer = quorum_met(policy, parse_note(head));
    if (!answer.met) {
      throw NotProven("its tree head lacks the quorum of the policy: ", quorum_gap(policy, head));
    }
    for (const auto& cosigned : answer.cosigned) {
      const std::string at = format_time(cosigned.unix_seconds * 1'000'000);
      proven.words += "cosigned by " + cosigned.witness + " at " + at + "\n";
      proven.facts["cosigned"].push_back({{"witness", cosigned.witness}, {"at", at}});
    }
  }
}

// `check` with each of the keys until one does not throw; the answer is no when all do, or when the
// heads lack the quorum of the policy. A file that does not parse proves nothing either.
template <class Check>
int first_trusted(const ProofOptions& o, const Check& check) {
  const auto keys = trusted_logs(o.trust);
  std::optional<WitnessPolicy> policy;
  if (!o.policy.empty()) policy = read_witness_policy(o.policy);
  std::string why;
  for (const VerifierKey& key : keys) {
    try {
      Proven proven = check(key);
      if (policy) require_quorum(*policy, proven);
      if (o.json) {
        print_json(proven.facts);
      } else {
        std::fputs(printable_lines(proven.words).c_str(), stdout);
      }
      return exit_ok;
    } catch (const Error& error) {
      if (error.code() != Errc::corrupt && error.code() != Errc::unsupported) throw;
      if (why.empty()) why = error.what();
    }
  }
  std::fprintf(stderr, "ledger: %s: does not verify: %s\n", printable(o.file).c_str(),
               printable(why).c_str());
  return exit_no;
}

// "tree head 7 5e0f..."
std::string in_words(const TreeHead& head) {
  return "tree head " + std::to_string(head.size) + " " + to_hex(head.root);
}

Json to_json(const TreeHead& head) {
  return {{"origin", head.origin}, {"size", head.size}, {"root", to_hex(head.root)}};
}

struct KnownLicence {
  uint64_t seq = 0;
  std::string ref;  // "id@version"
};
// By "id@version", or by id: its newest version.
KnownLicence find_licence(const Store& store, const std::string& what) {
  const auto found = store.find(subject_key_of("licence", what));
  if (!found.empty()) return {found.front(), what};
  Statement newest(store.db(),
                   "SELECT seq, ref FROM licence WHERE id = ? ORDER BY version DESC LIMIT 1");
  if (!newest.with(what).next()) {
    throw Error(Errc::not_found, store.path().string(), ": has no licence ", what);
  }
  return {newest.unsigned_integer(0), newest.text(1)};
}

struct KeptDocument {
  std::string salt, note;
  LicenceText terms;
};
KeptDocument read_document(const Store& store, const KnownLicence& licence) {
  Statement select(store.db(),
                   "SELECT d.digest, d.salt, d.note FROM licence l JOIN document d ON d.digest = "
                   "l.document_digest WHERE l.seq = ?");
  if (!select.with(licence.seq).next()) {
    throw Error(Errc::not_found, store.path().string(), ": the document of ", licence.ref,
                " is no longer kept: it was erased");
  }
  KeptDocument out{select.text(1), select.text(2), {}};
  if (to_hex(document_digest(out.salt, out.note)) != select.text(0)) {
    throw Error(Errc::corrupt, store.path().string(), ": the document of ", licence.ref,
                " was changed; run ledger verify");
  }
  out.terms = parse_licence(parse_note(out.note).text, licence.ref, LicenceAge::recorded);
  return out;
}

// The oldest of the log's keys that signed the head.
VerifierKey signer_of(const Store& store, const std::string& head) {
  const Note note = parse_note(head);
  for (const VerifierKey& key : store.log_keys()) {
    if (signed_by(note, key)) return key;
  }
  return store.log_key();
}

int disclose(const ProofOptions& o) {
  const Store store(o.ledger, Access::read);
  const KnownLicence licence = find_licence(store, o.name);
  const KeptDocument document = read_document(store, licence);
  Written out(o.json);
  out["licence"] = licence.ref;
  out["record"] = licence.seq;
  if (o.list) {
    for (const LicenceField& field : licence_fields(document.terms)) {
      out["fields"].push_back(field.path);
      out.say("%s\n", printable(field.path).c_str());
    }
    return exit_ok;
  }
  if (o.field.empty() || o.out.empty()) {
    throw Error(Errc::usage, "disclose: give --field and --out, or --list");
  }
  Disclosure disclosure = disclose_field(document.salt, document.terms, o.field);
  disclosure.record = store.record_bytes(licence.seq);
  const std::string head = head_to_prove_under(store, o.head);
  disclosure.proof = parse_tlog_proof(store.prove(licence.seq, head));
  verify_disclosure(disclosure, signer_of(store, head));
  out.write(o.out, format_disclosure(disclosure));
  out.head(parse_tree_head(parse_note(head).text));
  out["field"] = disclosure.field.path;
  out["value"] = disclosure.field.value;
  out.say("%s: %s of licence %s, for whoever gets this file: %s\n", printable(o.out).c_str(),
          printable(disclosure.field.path).c_str(), printable(licence.ref).c_str(),
          printable(disclosure.field.value).c_str());
  return exit_ok;
}

int disclosed(const ProofOptions& o) {
  const std::string text = read_file(o.file, kMaxProofBytes);
  return first_trusted(o, [&](const VerifierKey& key) {
    const Disclosure disclosure = parse_disclosure(text);
    const DisclosedField d = verify_disclosure(disclosure, key);
    const std::string words =
        "licence " + printable(d.licence.id()) + "@" + std::to_string(d.licence.version()) +
        " between " + printable(d.licence.licensor()) + " and " + printable(d.licence.licensee()) +
        " says\n  " + printable(d.field.path) + ": " + printable(d.field.value) + "\nrecord " +
        std::to_string(d.seq) + " of " + printable(d.head.origin) + ", taken " +
        format_time(d.at_us) + "; " + in_words(d.head) + "\n";
    const Json facts = {{"licence", d.licence.id() + "@" + std::to_string(d.licence.version())},
                        {"licensor", d.licence.licensor()},
                        {"licensee", d.licence.licensee()},
                        {"field", d.field.path},
                        {"value", d.field.value},
                        {"record", d.seq},
                        {"at", format_time(d.at_us)},
                        {"head", to_json(d.head)}};
    return Proven{words, {disclosure.proof.head}, facts};
  });
}

int prove_record(const ProofOptions& o) {
  const Store store(o.ledger, Access::read);
  const uint64_t seq = find_record(store, o.name);
  const std::string head = head_to_prove_under(store, o.head);
  Written out(o.json);
  out["record"] = seq;
  out.write(o.out, store.prove(seq, head));
  out.write(o.out + ".record", store.record_bytes(seq));
  out.head(parse_tree_head(parse_note(head).text));
  out.say("%s: proof that record %llu is in the log %s\n%s.record: the record itself\n",
          o.out.c_str(), number(seq), store.origin().c_str(), o.out.c_str());
  return exit_ok;
}

// "8:10"
std::pair<uint64_t, uint64_t> parse_range(const std::string& text) {
  uint64_t begin = 0, end = 0;
  const char* last = text.data() + text.size();
  auto at = std::from_chars(text.data(), last, begin);
  const bool colon = at.ec == std::errc() && at.ptr != last && *at.ptr == ':';
  if (colon) at = std::from_chars(at.ptr + 1, last, end);
  if (!colon || at.ec != std::errc() || at.ptr != last || begin >= end) {
    throw Error(Errc::usage, "--range ", text,
                ": write FROM:TO, as 8:10 for the two records 8 and 9");
  }
  return {begin, end};
}

int prove_range(const ProofOptions& o) {
  const auto [begin, end] = parse_range(o.range);
  const Store store(o.ledger, Access::read);
  const std::string head = head_to_prove_under(store, o.head);
  Written out(o.json);
  out["range"] = {begin, end};
  out.write(o.out, store.prove_range(begin, end, head));
  out.head(parse_tree_head(parse_note(head).text));
  out.say("%s: proof that records %llu to %llu, which are in it, are in the log %s\n",
          o.out.c_str(), number(begin), number(end - 1), store.origin().c_str());
  return exit_ok;
}

// What the state under the newest head says of the subject; `present` as it is.
SubjectProof subject_proof(const Store& store, const SubjectName& subject,
                           const std::string& head) {
  const Digest key = key_of(subject);
  Store::StateProof state = store.prove_subject(key);
  SubjectProof out;
  out.subject = subject;
  for (size_t i = 0; i < state.runs.size() && !out.present; ++i) {
    if (state.runs[i].low.key != key) continue;
    out.present = true;
    out.seq = state.runs[i].low.seq;
    out.run = i;
    out.runs = {state.runs[i]};
  }
  if (!out.present) out.runs = std::move(state.runs);
  out.record = store.record_bytes(state.state_seq);
  out.proof = parse_tlog_proof(store.prove(state.state_seq, head));
  return out;
}

std::string sentence(const SubjectProof& proof) {
  const std::string words = in_words(proof.subject);
  return proof.present ? words + " is on record, as record " + std::to_string(proof.seq)
                       : "no " + words + " is on record";
}

int prove_subject(const ProofOptions& o) {
  const bool present = !o.present.empty();
  const auto& asked = present ? o.present : o.absent;
  const SubjectName subject = spelled_out({asked.at(0), asked.at(1)});
  if (!present) require_absence_says(subject);
  const Store store(o.ledger, Access::read);
  const std::string head = head_to_prove_under(store, o.head);
  const SubjectProof proof = subject_proof(store, subject, head);
  if (proof.present != present) {
    std::fprintf(stderr, "ledger: %s: %s\n", o.ledger.c_str(), printable(sentence(proof)).c_str());
    return exit_no;
  }
  verify_subject_proof(proof, store.log_key());
  Written out(o.json);
  out["present"] = proof.present;
  out["kind"] = proof.subject.kind;
  out["id"] = proof.subject.id;
  if (proof.present) out["record"] = proof.seq;
  out.write(o.out, format_subject_proof(proof));
  out.head(parse_tree_head(parse_note(head).text));
  out.say("%s: proof that at %llu records of %s %s\n", o.out.c_str(), number(proof.proof.index),
          store.origin().c_str(), printable(sentence(proof)).c_str());
  return exit_ok;
}

int prove(const ProofOptions& o) {
  const int ways = !o.name.empty() + !o.range.empty() + !o.present.empty() + !o.absent.empty();
  if (ways != 1) {
    throw Error(Errc::usage, "prove: name a record, or give --range, --present or --absent");
  }
  if (!o.range.empty()) return prove_range(o);
  if (o.approval) return prove_approved(o.ledger, o.name, o.use, o.out, o.json);
  return o.name.empty() ? prove_subject(o) : prove_record(o);
}

// What a record is and how it begins, so that whoever holds a proof sees what it is of.
void add_record(Proven& proven, uint64_t seq, const std::string& bytes) {
  Record record;
  Fact fact;
  const bool known = record.ParseFromString(bytes) && fact.ParseFromString(record.fact()) &&
                     fact.kind_case() != Fact::KIND_NOT_SET;
  const std::string kind =
      known ? std::string(kind_name(fact)) : "of a kind that this program does not know";
  const std::string says = known ? printable(summary(fact)) : "";
  proven.words +=
      "record " + std::to_string(seq) + ": " + kind + (says.empty() ? "" : " " + says) + "\n";
  proven.facts["records"].push_back({{"record", seq}, {"kind", kind}, {"says", says}});
}

// Proofs that carry their records, in a file of their own or on a page of `ledger impact`, all
// under one head. Whoever reads a page can see which of its lines they are.
int proven_records(const ProofOptions& o, const std::string& text) {
  return first_trusted(o, [&](const VerifierKey& key) {
    const std::vector<TlogProof> proofs = parse_shard_proofs(text);
    if (proofs.empty()) throw NotProven("it holds no proof");
    const std::string about = parse_note(proofs.front().head).text;
    const TreeHead head = parse_tree_head(about);
    Proven out;
    out.words = std::to_string(proofs.size()) + " records are in the log " + head.origin + "; " +
                in_words(head) + "\n";
    out.facts["head"] = to_json(head);
    for (const TlogProof& proof : proofs) {
      if (!proof.extra || !verify_tlog_proof(proof, as_bytes(*proof.extra), key)) {
        throw NotProven("record ", proof.index, " is not proven");
      }
      if (parse_note(proof.head).text != about) {
        throw NotProven("record ", proof.index, " is proven under another tree head");
      }
      out.heads.insert(proof.head);
      add_record(out, proof.index, *proof.extra);
    }
    return out;
  });
}

// A C2SP tlog-proof, and the record beside it.
int proven_record(const ProofOptions& o, const std::string& text) {
  const std::string record =
      read_file(o.record.empty() ? o.file + ".record" : o.record, kMaxRecordBytes);
  return first_trusted(o, [&](const VerifierKey& key) {
    const TlogProof proof = parse_tlog_proof(text);
    if (!verify_tlog_proof(proof, as_bytes(record), key)) {
      throw NotProven("it does not show this record under a tree head that ", key.name, " signed");
    }
    const TreeHead head = parse_tree_head(parse_note(proof.head).text);
    Proven out{"record " + std::to_string(proof.index) + " is in the log " + head.origin + "; " +
                   in_words(head) + "\n",
               {proof.head},
               {{"head", to_json(head)}}};
    add_record(out, proof.index, record);
    return out;
  });
}

int proven_range(const ProofOptions& o, const std::string& text) {
  return first_trusted(o, [&](const VerifierKey& key) {
    const RangeProof proof = parse_range_proof(text);
    if (!verify_range_proof(proof, key)) {
      throw NotProven("it does not show its records under a tree head that ", key.name, " signed");
    }
    const TreeHead head = parse_tree_head(parse_note(proof.head).text);
    Proven out{"records " + std::to_string(proof.begin) + " to " +
                   std::to_string(proof.begin + proof.records.size() - 1) + " are in the log " +
                   head.origin + "; " + in_words(head) + "\n",
               {proof.head},
               {{"head", to_json(head)}}};
    for (size_t i = 0; i < proof.records.size(); ++i)
      add_record(out, proof.begin + i, proof.records[i]);
    return out;
  });
}

int proven_subject(const ProofOptions& o, const std::string& text) {
  return first_trusted(o, [&](const VerifierKey& key) {
    const SubjectProof proof = parse_subject_proof(text);
    const ProvenSubject p = verify_subject_proof(proof, key);
    Json facts = {{"present", proof.present},   {"kind", proof.subject.kind},
                  {"id", proof.subject.id},     {"records", p.size},
                  {"at", format_time(p.at_us)}, {"head", to_json(p.head)}};
    if (proof.present) facts["record"] = proof.seq;
    return Proven{"at " + std::to_string(p.size) + " records of " + p.head.origin + ", as of " +
                      format_time(p.at_us) + ", " + printable(sentence(proof)) + "\n",
                  {proof.proof.head},
                  facts};
  });
}

int proven(const ProofOptions& o) {
  const std::string file = read_file(o.file, kMaxPageBytes);
  const bool carries = file.starts_with("c2sp.org/tlog-proof@v1\nextra ") && o.record.empty();
  if (file.starts_with("<!doctype html>")) return proven_records(o, block_of(file, "proofs"));
  if (carries) return proven_records(o, file);
  if (file.starts_with("c2sp.org/tlog-proof@v1\n")) return proven_record(o, file);
  if (file.starts_with(kRangeHeader)) return proven_range(o, file);
  return proven_subject(o, file);
}

// What is signed where the policy has a rule for erasing.
std::string erasure_text(const std::string& ref, const std::string& reason) {
  ErasureText text;
  text.mutable_erasure()->set_licence(ref);
  text.mutable_erasure()->set_at(format_time(now_us()));
  text.mutable_erasure()->set_reason(reason);
  return format_textproto(text);
}

// The note to erase with: given, made and signed here, or none.
std::string erasure_note(const ProofOptions& o, const std::string& ref) {
  if (!o.note.empty()) return read_file(o.note, kMaxProofBytes);
  if (o.key.empty()) return {};
  Note note{erasure_text(ref, o.reason), {}};
  add_signature(note, read_signer_key(o.key));
  return format_note(note);
}

// What erasing costs, read before it is done: what was there before the licence cannot be told from
// what it covers once its document is gone (ledger/coverage.h).
struct Loss {
  uint64_t bytes = 0, sources = 0, clips = 0, shards = 0;
};
Loss loss_of(const Store& store, const KnownLicence& licence) {
  const auto count = [&](const char* sql) {
    Statement select(store.db(), sql);
    return select.with(licence.seq).next() ? select.unsigned_integer(0) : 0;
  };
  return {count("SELECT length(CAST(d.note AS BLOB)) FROM licence l JOIN document d ON "
                "d.digest = l.document_digest WHERE l.seq = ?"),
          count("SELECT COUNT(*) FROM source WHERE seq < ?1 OR seq IN "
                "(SELECT seq FROM source_licence WHERE licence = ?1)"),
          count("SELECT COUNT(*) FROM clip WHERE source < ?1 OR source IN "
                "(SELECT seq FROM source_licence WHERE licence = ?1)"),
          count("SELECT COUNT(*) FROM shard WHERE seq < ?1 OR seq IN "
                "(SELECT seq FROM shard_licence WHERE licence = ?1)")};
}

// Each version has a document of its own.
void tell_other_versions(const Store& store, const std::string& ledger, const KnownLicence& licence,
                         Written& out) {
  Statement kept(store.db(),
                 "SELECT l.ref FROM licence l JOIN document d ON d.digest = l.document_digest "
                 "WHERE l.id = (SELECT id FROM licence WHERE seq = ?1) AND l.seq <> ?1 "
                 "ORDER BY l.version");
  for (kept.with(licence.seq); kept.next();) {
    const std::string ref = kept.text(0);
    out["still_there"].push_back(ref);
    out.say("still in this file: the document of %s; ledger erase %s %s\n", ref.c_str(),
            ledger.c_str(), ref.c_str());
  }
}

// Of footage that is still to come only the document could say that it is not under this licence.
void tell_held(const Store& store, const KnownLicence& licence, const Written& out) {
  Statement newest(store.db(),
                   "SELECT licensor, id FROM licence l WHERE seq = ? AND version = "
                   "(SELECT MAX(version) FROM licence WHERE id = l.id)");
  if (!newest.with(licence.seq).next()) return;
  out.say(
      "cleared no more from now on: what is delivered later under any licence of %s, until a new "
      "version of %s says again what it covers. Not held: later footage of other licensors, also "
      "where this licence would have claimed it\n",
      printable(newest.text(0)).c_str(), printable(newest.text(1)).c_str());
}

void tell_loss(const Store& store, const KnownLicence& licence, const Loss& loss, const char* tense,
               Written& out) {
  out["lost"] = {{"bytes", loss.bytes},
                 {"sources", loss.sources},
                 {"clips", loss.clips},
                 {"shards", loss.shards}};
  out.say(
      "%s: %s for ever: its document (%llu bytes) and salt; no term can be read, disclosed or "
      "checked again\n"
      "cleared no more: %llu sources, %llu clips, %llu shards\n",
      licence.ref.c_str(), tense, number(loss.bytes), number(loss.sources), number(loss.clips),
      number(loss.shards));
  tell_held(store, licence, out);
  out.say(
      "what stays: the public facts and two digests in record %llu, and every copy that is not in "
      "this file: backups, the delivered note, disclosures made before\n",
      number(licence.seq));
}

int erase(const ProofOptions& o) {
  if (o.reason.empty() == o.note.empty()) {
    throw Error(Errc::usage, "erase: give --reason, or a signed --note that has it");
  }
  Written out(o.json, o.dry_run);
  Store store(o.ledger, Access::append);
  const KnownLicence licence = find_licence(store, o.name);
  out["licence"] = licence.ref;
  const std::string note = erasure_note(o, licence.ref);
  std::string reason = o.reason;
  if (!o.note.empty()) {
    reason = parse_noted<ErasureText>(parse_note(note, o.note), o.note).erasure().reason();
  }
  if (!o.out.empty() && note.empty()) throw Error(Errc::usage, "erase: --out needs --key");
  if (!o.out.empty() && !o.dry_run) {
    out.write(o.out, note);
    out.say("%s: to be signed by others with ledger sign, then given as --note\n", o.out.c_str());
    return exit_ok;
  }
  const Loss loss = loss_of(store, licence);
  if (o.dry_run) {
    tell_loss(store, licence, loss, "would be lost", out);
    tell_other_versions(store, o.ledger, licence, out);
    return exit_ok;
  }
  const Store::Appended done = store.erase_document(licence.ref, reason, note);
  out.record("erasure", done);
  if (done.added == 0) {
    out.say("%s: erased before\n", licence.ref.c_str());
  } else {
    tell_loss(store, licence, loss, "lost", out);
    out.say("erased %s: record %llu\n", licence.ref.c_str(), number(done.first));
  }
  tell_other_versions(store, o.ledger, licence, out);
  sign_if_possible(store, o.log_key, out);
  return exit_ok;
}

CLI::App* command(CLI::App& app, ProofOptions& o, const char* name, const char* what,
                  int (*run)(const ProofOptions&)) {
  CLI::App* out = app.add_subcommand(name, what);
  out->callback([&o, run] { o.run = run; });
  return out;
}

void add_erase(CLI::App& app, ProofOptions& o) {
  CLI::App* erasing =
      command(app, o, "erase", "delete the document of a licence for ever, and record that", erase);
  erasing->add_option("LEDGER", o.ledger, "the ledger file")->required();
  erasing->add_option("LICENCE", o.name, "id@version, or id for its newest version")->required();
  erasing->add_option("--reason", o.reason, "in a few words; public")->check(text_problem, "");
  erasing->add_option("--key", o.key, "private key to sign with, where the policy asks for it");
  erasing->add_option("--out", o.out, "write the signed note for others to sign; erase nothing");
  erasing->add_option("--note", o.note, "note that all have signed");
  erasing->add_option("--log-key", o.log_key, "the log's private key, to sign the new tree head");
  erasing->add_flag("--dry-run", o.dry_run, "say what would be lost, and erase nothing");
  erasing->add_flag("--json", o.json, "print JSON");
}

}  // namespace

std::string head_to_prove_under(const Store& store, const std::string& path) {
  if (path.empty()) return store.newest_head_note();
  const std::string note = read_file(path, kMaxHeadFileBytes);
  try {
    return store.head_note_with(note);
  } catch (const Error& error) {
    throw Error(error.code(), path, ": ", error.what());
  }
}

CLI::Option* add_head_option(CLI::App* command, std::string& path) {
  return command->add_option("--head", path,
                             "signed tree head with cosignatures to prove under, as the checkpoint "
                             "of a published folder (default: the newest of the ledger's own)");
}

void add_proof_commands(CLI::App& app, ProofOptions& o) {
  CLI::App* proving =
      command(app, o, "prove", "write a proof of a record, or that there is none", prove);
  proving->add_option("LEDGER", o.ledger, "the ledger file")->required();
  proving->add_option(
      "WHAT", o.name,
      "number, digest, path, key or name of a record, or as KIND:NAME where several "
      "have it: its C2SP tlog-proof goes to OUT, the record to OUT.record");
  proving->add_option("--range", o.range,
                      "FROM:TO: the records FROM to TO - 1, in one proof that has them in it");
  proving->add_option("--present", o.present, "KIND ID: a record about this is in the state")
      ->expected(2);
  proving
      ->add_option("--absent", o.absent,
                   "KIND ID: no record is about this. KIND: " + subject_kinds())
      ->expected(2);
  proving
      ->add_flag("--approval", o.approval,
                 "that WHAT, a clip or sample, was approved, and by whom: the newest approval")
      ->needs("WHAT")
      ->excludes(add_head_option(proving, o.head));
  proving->add_option("--use", o.use, "with --approval: TRAIN, FINETUNE or DISTIL")
      ->capture_default_str();
  proving->add_option("--out", o.out, "where the proof goes")->required();
  proving->add_flag("--json", o.json, "print JSON");

  const auto add_trust = [&](CLI::App* command) {
    command->add_option("--trust", o.trust, "public key file with the log's key")->required();
    command->add_option("--policy", o.policy,
                        "witness policy whose quorum the tree head of the proof needs");
    command->add_flag("--json", o.json, "print what it says as JSON, when it verifies");
  };
  CLI::App* checking =
      command(app, o, "proven",
              "check a proof of prove or impact, without a ledger (--approval: approved)", proven);
  checking->add_option("FILE", o.file, "the proof")->required();
  checking->add_option("--record", o.record,
                       "the record that a tlog-proof is about (default: FILE.record)");
  add_trust(checking);

  CLI::App* disclosing =
      command(app, o, "disclose", "disclose one field of a confidential licence", disclose);
  disclosing->add_option("LEDGER", o.ledger, "the ledger file")->required();
  disclosing->add_option("LICENCE", o.name, "id@version, or id for its newest version")->required();
  disclosing->add_option("--field", o.field, "path of the field, as pay[0].rate_micros");
  disclosing->add_option("--out", o.out, "where the disclosure goes");
  add_head_option(disclosing, o.head);
  disclosing->add_flag("--list", o.list, "list the paths of its fields");
  disclosing->add_flag("--json", o.json, "print JSON");

  CLI::App* reading = command(
      app, o, "disclosed", "check a disclosure and print its field, without a ledger", disclosed);
  reading->add_option("FILE", o.file, "the disclosure")->required();
  add_trust(reading);

  add_erase(app, o);
}

}  // namespace cleared::tools
