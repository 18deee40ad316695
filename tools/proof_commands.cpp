#include "tools/proof_commands.h"

#include <algorithm>
#include <cstdio>

#include <CLI/CLI.hpp>

#include "ledger/base/clock.h"
#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/disclosure.h"
#include "ledger/key.h"
#include "ledger/licence.h"
#include "ledger/projection.h"
#include "ledger/query.h"
#include "ledger/shard_proof.h"
#include "ledger/store.h"
#include "ledger/subject_proof.h"
#include "ledger/textproto.h"
#include "ledger/tlog_proof.h"
#include "ledger/tree_head.h"
#include "tools/approval_commands.h"
#include "tools/cli.h"
#include "tools/ledger_commands.h"
#include "tools/page.h"

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
  if (out.empty()) throw Error(Errc::usage, path, ": holds no key of a log");
  return out;
}

// `check` with each of the keys until one does not throw; the answer is no when all do. A file that
// does not parse proves nothing either.
template <class Check>
int first_trusted(const ProofOptions& o, const Check& check) {
  const auto keys = trusted_logs(o.trust);
  const std::string text = read_file(o.file, kMaxProofBytes);
  std::string why;
  for (const VerifierKey& key : keys) {
    try {
      check(text, key);
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

int disclose(const ProofOptions& o) {
  const Store store(o.ledger, Access::read);
  const KnownLicence licence = find_licence(store, o.name);
  const KeptDocument document = read_document(store, licence);
  if (o.list) {
    for (const LicenceField& field : licence_fields(document.terms)) {
      std::printf("%s\n", field.path.c_str());
    }
    return exit_ok;
  }
  if (o.field.empty() || o.out.empty()) {
    throw Error(Errc::usage, "disclose: give --field and --out, or --list");
  }
  Disclosure disclosure = disclose_field(document.salt, document.terms, o.field);
  disclosure.record = store.record_bytes(licence.seq);
  disclosure.proof = parse_tlog_proof(store.prove(licence.seq));
  verify_disclosure(disclosure, store.log_key());
  write_file(o.out, format_disclosure(disclosure));
  std::printf("%s: %s of licence %s, for whoever gets this file: %s\n", o.out.c_str(),
              disclosure.field.path.c_str(), licence.ref.c_str(), disclosure.field.value.c_str());
  return exit_ok;
}

int disclosed(const ProofOptions& o) {
  return first_trusted(o, [](const std::string& text, const VerifierKey& key) {
    const DisclosedField d = verify_disclosure(parse_disclosure(text), key);
    std::printf("licence %s@%u between %s and %s says\n  %s: %s\n",
                printable(d.licence.id()).c_str(), d.licence.version(),
                printable(d.licence.licensor()).c_str(), printable(d.licence.licensee()).c_str(),
                printable(d.field.path).c_str(), printable(d.field.value).c_str());
    std::printf("record %llu of %s, taken %s; tree head %llu %s\n", number(d.seq),
                printable(d.head.origin).c_str(), format_time(d.at_us).c_str(), number(d.head.size),
                to_hex(d.head.root).c_str());
  });
}

int prove_record(const ProofOptions& o) {
  const Store store(o.ledger, Access::read);
  const uint64_t seq = find_record(store, o.name);
  write_file(o.out, store.prove(seq));
  write_file(o.out + ".record", store.record_bytes(seq));
  std::printf("%s: proof that record %llu is in the log %s\n%s.record: the record itself\n",
              o.out.c_str(), number(seq), store.origin().c_str(), o.out.c_str());
  return exit_ok;
}

// What the state under the newest head says of the subject; `present` as it is.
SubjectProof subject_proof(const Store& store, const SubjectName& subject) {
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
  out.proof = parse_tlog_proof(store.prove(state.state_seq));
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
  const Store store(o.ledger, Access::read);
  const SubjectProof proof = subject_proof(store, subject);
  if (proof.present != present) {
    std::fprintf(stderr, "ledger: %s: %s\n", o.ledger.c_str(), printable(sentence(proof)).c_str());
    return exit_no;
  }
  verify_subject_proof(proof, store.log_key());
  write_file(o.out, format_subject_proof(proof));
  std::printf("%s: proof that at %llu records of %s %s\n", o.out.c_str(), number(proof.proof.index),
              store.origin().c_str(), printable(sentence(proof)).c_str());
  return exit_ok;
}

int prove(const ProofOptions& o) {
  const int ways = !o.name.empty() + !o.present.empty() + !o.absent.empty();
  if (ways != 1) throw Error(Errc::usage, "prove: name a record, or give --present or --absent");
  if (o.approval) return prove_approved(o.ledger, o.name, o.out);
  return o.name.empty() ? prove_subject(o) : prove_record(o);
}

// Proofs that carry their records, in a file of their own or on a page of `ledger impact`.
int proven_records(const ProofOptions& o, const std::string& text) {
  const auto keys = trusted_logs(o.trust);
  std::vector<TlogProof> proofs;
  std::string why;
  try {
    proofs = parse_shard_proofs(text);
  } catch (const Error& error) {
    why = error.what();
  }
  if (proofs.empty() && why.empty()) why = "it holds no proof";
  for (const TlogProof& proof : proofs) {
    const bool good =
        proof.extra && std::any_of(keys.begin(), keys.end(), [&](const VerifierKey& key) {
          return verify_tlog_proof(proof, as_bytes(*proof.extra), key);
        });
    if (!good && why.empty()) why = "record " + std::to_string(proof.index) + " is not proven";
  }
  if (!why.empty()) {
    std::fprintf(stderr, "ledger: %s: does not verify: %s\n", printable(o.file).c_str(),
                 printable(why).c_str());
    return exit_no;
  }
  const TreeHead head = parse_tree_head(parse_note(proofs.front().head).text);
  std::printf("%zu records are in the log %s; tree head %llu %s\n", proofs.size(),
              printable(head.origin).c_str(), number(head.size), to_hex(head.root).c_str());
  return exit_ok;
}

int proven(const ProofOptions& o) {
  const std::string file = read_file(o.file, kMaxPageBytes);
  if (file.starts_with("<!doctype html>")) return proven_records(o, block_of(file, "proofs"));
  if (file.starts_with("c2sp.org/tlog-proof@v1\nextra ")) return proven_records(o, file);
  if (file.starts_with("c2sp.org/tlog-proof@v1\n")) {
    throw Error(Errc::usage, "proven ", o.file,
                ": this is the proof of a record, which tools/tlog-verify checks; proven checks "
                "those of --present and --absent");
  }
  return first_trusted(o, [](const std::string& text, const VerifierKey& key) {
    const SubjectProof proof = parse_subject_proof(text);
    const ProvenSubject p = verify_subject_proof(proof, key);
    std::printf("at %llu records of %s, as of %s, %s\n", number(p.size),
                printable(p.head.origin).c_str(), format_time(p.at_us).c_str(),
                printable(sentence(proof)).c_str());
  });
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

void print_loss(const KnownLicence& licence, const Loss& loss, const char* tense) {
  std::printf(
      "%s: %s for ever: its document (%llu bytes) and salt; no term can be read, disclosed or "
      "checked again\n"
      "cleared no more: %llu sources, %llu clips, %llu shards\n"
      "what stays: the public facts and two digests in record %llu, and every copy that is not in "
      "this file: backups, the delivered note, disclosures made before\n",
      licence.ref.c_str(), tense, number(loss.bytes), number(loss.sources), number(loss.clips),
      number(loss.shards), number(licence.seq));
}

int erase(const ProofOptions& o) {
  if (o.reason.empty() == o.note.empty()) {
    throw Error(Errc::usage, "erase: give --reason, or a signed --note that has it");
  }
  Store store(o.ledger, Access::append);
  const KnownLicence licence = find_licence(store, o.name);
  const std::string note = erasure_note(o, licence.ref);
  std::string reason = o.reason;
  if (!o.note.empty()) {
    reason = parse_noted<ErasureText>(parse_note(note), o.note).erasure().reason();
  }
  if (!o.out.empty()) {
    if (note.empty()) throw Error(Errc::usage, "erase: --out needs --key");
    write_file(o.out, note);
    std::printf("%s: to be signed by others with ledger sign, then given as --note\n",
                o.out.c_str());
    return exit_ok;
  }
  const Loss loss = loss_of(store, licence);
  if (o.dry_run) {
    print_loss(licence, loss, "would be lost");
    return exit_ok;
  }
  const Store::Appended done = store.erase_document(licence.ref, reason, note);
  if (done.added == 0) {
    std::printf("%s: erased before\n", licence.ref.c_str());
    return exit_ok;
  }
  print_loss(licence, loss, "lost");
  std::printf("erased %s: record %llu\n", licence.ref.c_str(), number(done.first));
  LedgerOptions signing;
  signing.log_key = o.log_key;
  sign_if_possible(store, signing);
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
  erasing->add_option("--reason", o.reason, "in a few words; public");
  erasing->add_option("--key", o.key, "private key to sign with, where the policy asks for it");
  erasing->add_option("--out", o.out, "write the signed note for others to sign; erase nothing");
  erasing->add_option("--note", o.note, "note that all have signed");
  erasing->add_option("--log-key", o.log_key, "the log's private key, to sign the new tree head");
  erasing->add_flag("--dry-run", o.dry_run, "say what would be lost, and erase nothing");
}

}  // namespace

void add_proof_commands(CLI::App& app, ProofOptions& o) {
  CLI::App* proving =
      command(app, o, "prove", "write a proof of a record, or that there is none", prove);
  proving->add_option("LEDGER", o.ledger, "the ledger file")->required();
  proving->add_option("WHAT", o.name,
                      "number, digest, path, key or name of a record: its C2SP tlog-proof goes to "
                      "OUT, the record to OUT.record");
  proving->add_option("--present", o.present, "KIND ID: a record about this is in the state")
      ->expected(2);
  proving
      ->add_option("--absent", o.absent,
                   "KIND ID: no record is about this. KIND: " + subject_kinds())
      ->expected(2);
  proving
      ->add_flag("--approval", o.approval, "that WHAT, a clip or sample, was approved, and by whom")
      ->needs("WHAT");
  proving->add_option("--out", o.out, "where the proof goes")->required();

  CLI::App* checking =
      command(app, o, "proven", "check a proof of --present or --absent, without a ledger", proven);
  checking->add_option("FILE", o.file, "the proof")->required();
  checking->add_option("--trust", o.trust, "public key file with the log's key")->required();

  CLI::App* disclosing =
      command(app, o, "disclose", "disclose one field of a confidential licence", disclose);
  disclosing->add_option("LEDGER", o.ledger, "the ledger file")->required();
  disclosing->add_option("LICENCE", o.name, "id@version, or id for its newest version")->required();
  disclosing->add_option("--field", o.field, "path of the field, as pay[0].rate_micros");
  disclosing->add_option("--out", o.out, "where the disclosure goes");
  disclosing->add_flag("--list", o.list, "list the paths of its fields");

  CLI::App* reading = command(
      app, o, "disclosed", "check a disclosure and print its field, without a ledger", disclosed);
  reading->add_option("FILE", o.file, "the disclosure")->required();
  reading->add_option("--trust", o.trust, "public key file with the log's key")->required();

  add_erase(app, o);
}

}  // namespace cleared::tools
