#include "ledger/subject_proof.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "ledger/base/error.h"
#include "ledger/digest.h"
#include "ledger/projection.h"
#include "ledger/proof_lines.h"
#include "ledger/run_name.h"

namespace cleared::ledger {
namespace {

constexpr std::string_view kSubjectHeader = "cleared state proof v1";
constexpr size_t kIntervalBytes = 72;

enum class IdPart { digest, name, number, version, vkey, licence, licence_or_digest, run };

struct SubjectKind {
  std::string_view name;
  std::string_view words;  // before the id
  std::vector<IdPart> parts;
  // Not empty: the log may say the same thing under another id, so that the absence of one is no
  // answer.
  std::string_view no_absence = "";
};
constexpr std::string_view kWordsOfItsOwn =
    "records say in words of their own what was refused, so that none has these words says nothing";
constexpr std::string_view kConsumedOtherwise =
    "a receipt names what was consumed by sample or by shard, from places of its choice, so that "
    "none has this id says nothing; prove the absence of the sample, the shard or the run";
constexpr std::string_view kFramesOfItsChoice =
    "a record begins at a frame of its choice, so that none has this id says nothing; prove the "
    "absence of the source";
constexpr std::string_view kMeasureOfItsOwn =
    "records name in words of their own what was measured, so that none has these words says "
    "nothing; prove the absence of the source";
constexpr std::string_view kOtherWayRound =
    "the pair may be on record the other way round, so that none has this id says nothing; prove "
    "the absence of the source";

const std::vector<SubjectKind>& kinds() {
  using enum IdPart;
  static const std::vector<SubjectKind> kKinds = {
      {"approval", "approval of the batch", {digest}},
      {"approved", "approval of shard", {digest}},
      {"checkpoint", "checkpoint of", {run, number}},
      {"clearance", "clearances of clip", {digest}},
      {"clip", "clip", {digest}},
      {"consumed", "consumption of", {run, number, digest}, kConsumedOtherwise},
      {"consumed_shard",
       "consumption of the shard of",
       {run, number, digest, number},
       kConsumedOtherwise},
      {"deletion", "deletion of", {digest}},
      {"duplicate", "duplicate of", {digest, digest}, kOtherWayRound},
      {"erasure", "erasure of licence", {licence}},
      {"fingerprint", "fingerprint of", {digest, number}, kFramesOfItsChoice},
      {"key", "key", {vkey}},
      {"licence", "licence", {licence}},
      {"mark", "marks of file", {digest}},
      {"measure", "measure of", {digest, name}, kMeasureOfItsOwn},
      {"permit", "permit", {digest}},
      {"permit_list", "list of shards of permits with root", {digest, number}},
      {"policy", "policy of version", {version}},
      {"protection", "protection by the fingerprint file", {digest}},
      {"receipt", "receipt of", {run, number}},
      {"refusal", "refusal with the subject", {name}, kWordsOfItsOwn},
      {"release", "release", {digest}},
      {"retirement", "retirement of key", {vkey}},
      {"review", "review", {digest}},
      {"review_list", "list of decisions of reviews with root", {digest, number}},
      {"revocation", "revocation of", {licence_or_digest}},
      {"run", "run", {run}},
      {"sample", "sample", {digest}},
      {"shard", "shard", {digest}},
      {"source", "source", {digest}},
  };
  return kKinds;
}

const SubjectKind& kind_of(const SubjectName& name) {
  for (const SubjectKind& kind : kinds()) {
    if (kind.name == name.kind) return kind;
  }
  throw Error(Errc::usage, "\"", name.kind, "\" is no kind of subject; it is one of ",
              subject_kinds());
}

[[noreturn]] void unfit_id(const SubjectName& name, std::string_view why) {
  throw Error(Errc::usage, name.kind, " \"", name.id, "\": ", why);
}

// The id at its last '@' signs: names may have some of their own.
std::vector<std::string> split_id(const SubjectName& name, size_t parts) {
  std::vector<std::string> out(parts);
  std::string rest = name.id;
  for (size_t i = parts; i-- > 1;) {
    const size_t at = rest.rfind('@');
    if (at == std::string::npos) {
      unfit_id(name, "must have " + std::to_string(parts) + " parts with @ between them");
    }
    out[i] = rest.substr(at + 1);
    rest.resize(at);
  }
  out[0] = rest;
  return out;
}

std::string big_endian_bytes(uint64_t value) {
  std::string out(8, '\0');
  for (size_t i = 8; i-- > 0; value >>= 8) out[i] = static_cast<char>(value & 0xFFU);
  return out;
}

bool is_verifier_key(const std::string& text) {
  try {
    return format_verifier_key(parse_verifier_key(text)) == text;
  } catch (const Error&) {
    return false;
  }
}

uint64_t read_number(const SubjectName& name, std::string_view text) {
  uint64_t value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc() || end != text.data() + text.size() || std::to_string(value) != text) {
    unfit_id(name, "\"" + std::string(text) + "\" is not a decimal number");
  }
  return value;
}

struct ReadPart {
  std::string key;   // its bytes in the subject's key
  std::string text;  // spelled out
};

ReadPart read_part(const SubjectName& name, const std::string& text, IdPart part) {
  const auto control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; };
  if (text.empty() || std::any_of(text.begin(), text.end(), control)) {
    unfit_id(name, "has an empty part, or a control character");
  }
  // What is not of the form that records have would name nothing, and its absence would say
  // nothing.
  switch (part) {
    case IdPart::name:
      return {text, text};
    case IdPart::number:
      return {big_endian_bytes(read_number(name, text)), text};
    case IdPart::version:
      read_number(name, text);
      return {text, text};
    case IdPart::vkey:
      if (!is_verifier_key(text)) unfit_id(name, "must be the whole verifier key, name+id+key");
      return {text, text};
    case IdPart::licence: {
      const size_t at = text.rfind('@');
      if (at == std::string::npos || at == 0)
        unfit_id(name, "must be one version of a licence, as LIC-1@1");
      read_number(name, std::string_view(text).substr(at + 1));
      return {text, text};
    }
    case IdPart::run:
      if (config_of_run(text).empty())
        unfit_id(name, "must be a run's whole name, as nano-0123456789abcdef");
      return {text, text};
    case IdPart::licence_or_digest:
      if (!text.starts_with("sha256:") && !parse_digest(text)) {
        if (text.find('@') != std::string::npos) {
          unfit_id(name, "a revocation is of a licence's id, for every version of it");
        }
        return {text, text};
      }
      [[fallthrough]];
    case IdPart::digest: {
      const auto bare = parse_digest(text);
      const auto digest = bare ? bare : parse_digest_name(text);
      if (!digest) unfit_id(name, "\"" + text + "\" is not a digest of 64 hex digits");
      return {std::string(digest->text()), digest_name(*digest)};
    }
  }
  unfit_id(name, "cannot be read");
}

std::vector<ReadPart> read_parts(const SubjectName& name) {
  const SubjectKind& kind = kind_of(name);
  std::vector<ReadPart> out;
  const auto texts = split_id(name, kind.parts.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    out.push_back(read_part(name, texts[i], kind.parts[i]));
  }
  return out;
}

std::string format_run(uint64_t number, const StateMap::RunProof& run) {
  std::string out = "run " + std::to_string(number) + "\nindex " + std::to_string(run.index) +
                    "\nleaf " + to_base64(as_bytes(interval_bytes(run.low, run.high))) + "\n";
  for (const Digest& digest : run.path) out += "sibling " + to_base64(digest.bytes) + "\n";
  return out;
}

StateMap::RunProof parse_run(FieldLines& lines) {
  StateMap::RunProof run;
  run.index = lines.number("index");
  const std::string leaf = lines.bytes("leaf");
  if (leaf.size() != kIntervalBytes) lines.bad("is not a leaf of 72 bytes");
  run.low.key = *digest_from_raw(std::string_view(leaf).substr(0, 32));
  for (size_t i = 32; i < 40; ++i) {
    run.low.seq = run.low.seq << 8 | static_cast<unsigned char>(leaf[i]);
  }
  run.high = *digest_from_raw(std::string_view(leaf).substr(40));
  while (lines.next_is("sibling")) run.path.push_back(lines.digest("sibling"));
  return run;
}

[[noreturn]] void refuse_state(std::string_view why) {
  throw Error(Errc::corrupt, "state proof: ", why);
}

}  // namespace

std::string subject_kinds() {
  std::string out;
  for (const SubjectKind& kind : kinds()) out.append(out.empty() ? "" : " ").append(kind.name);
  return out;
}

Digest key_of(const SubjectName& name) {
  const auto parts = read_parts(name);
  std::vector<std::string_view> keys;
  for (const ReadPart& part : parts) keys.push_back(part.key);
  return subject_key(name.kind, keys);
}

SubjectName spelled_out(const SubjectName& name) {
  SubjectName out{name.kind, ""};
  for (const ReadPart& part : read_parts(name)) out.id += (out.id.empty() ? "" : "@") + part.text;
  return out;
}

void require_absence_says(const SubjectName& name) {
  if (const auto why = kind_of(name).no_absence; !why.empty()) unfit_id(name, why);
}

std::string in_words(const SubjectName& name) {
  const SubjectKind& kind = kind_of(name);
  std::string out(kind.words);
  if (kind.name == "revocation") {
    out += name.id.starts_with("sha256:") ? " shard" : " licence";
  }
  if (kind.parts == std::vector{IdPart::run, IdPart::number}) {  // of another step there may be one
    const auto parts = split_id(name, 2);
    return out + " " + parts[0] + " that ends at step " + parts[1];
  }
  return out + " " + name.id;
}

std::string format_subject_proof(const SubjectProof& proof) {
  std::string out(kSubjectHeader);
  out += std::string("\n") + (proof.present ? "present " : "absent ") + proof.subject.kind +
         "\nid " + proof.subject.id + "\n";
  if (proof.present) out += "seq " + std::to_string(proof.seq) + "\n";
  uint64_t number = proof.present ? proof.run : 0;
  for (const auto& run : proof.runs) out += format_run(number++, run);
  return out + "state " + to_base64(as_bytes(proof.record)) + "\n\n" +
         format_tlog_proof(proof.proof);
}

SubjectProof parse_subject_proof(std::string_view text) {
  SubjectProof out;
  FieldLines lines(text, "state proof");
  if (lines.line() != kSubjectHeader) lines.bad("is not \"" + std::string(kSubjectHeader) + "\"");
  out.present = lines.next_is("present");
  out.subject.kind = lines.value(out.present ? "present" : "absent");
  out.subject.id = lines.value("id");
  bool spelled = false;
  try {
    spelled = spelled_out(out.subject).id == out.subject.id;
    if (!out.present) require_absence_says(out.subject);
  } catch (const Error& error) {
    lines.bad(error.what());
  }
  if (!spelled) lines.bad("is not the id spelled out");
  if (out.present) out.seq = lines.number("seq");
  while (lines.next_is("run")) {
    const uint64_t number = lines.number("run");
    if (out.present && out.runs.empty()) out.run = number;
    if (out.present ? !out.runs.empty() : number != out.runs.size()) {
      lines.bad("is not the run that comes here");
    }
    out.runs.push_back(parse_run(lines));
  }
  if (out.present && out.runs.empty()) refuse_state("it has no run");
  out.record = lines.bytes("state");
  if (!lines.line().empty()) lines.bad("is not empty");
  out.proof = parse_tlog_proof(lines.rest());
  if (out.proof.extra) refuse_state("its tlog-proof has extra data, which nobody signed");
  return out;
}

ProvenSubject verify_subject_proof(const SubjectProof& proof, const VerifierKey& log_key) {
  ProvenSubject out;
  if (!verify_tlog_proof(proof.proof, as_bytes(proof.record), log_key)) {
    refuse_state("the state is not under a tree head that " + log_key.name + " signed");
  }
  out.head = parse_tree_head(parse_note(proof.proof.head).text);
  const RecordView view = parse_record(proof.record);
  Fact fact;
  if (!fact.ParseFromArray(view.fact.data(), static_cast<int>(view.fact.size())) ||
      !fact.has_state()) {
    refuse_state("the record is no state");
  }
  const StateRecord& state = fact.state();
  // An older state would speak of the past, under a head that looks new.
  if (state.size() != proof.proof.index || out.head.size != proof.proof.index + 1) {
    refuse_state("the state is not the last record under the tree head");
  }
  const Digest key = key_of(proof.subject);
  const bool proven = proof.present
                          ? proof.runs.size() == 1 &&
                                verify_presence(key, proof.seq, proof.run, proof.runs[0], state)
                          : verify_absence(key, proof.runs, state);
  if (!proven) refuse_state("its intervals do not show it");
  out.size = state.size();
  out.at_us = view.at_us;
  return out;
}

}  // namespace cleared::ledger
