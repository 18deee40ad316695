#include "ledger/approval_proof.h"

#include <charconv>

#include "ledger/base/error.h"
#include "ledger/digest.h"
#include "ledger/merkle.h"
#include "ledger/textproto.h"

namespace cleared::ledger {
namespace {

constexpr std::string_view kTitle = "cleared approval proof v1";
constexpr std::string_view kNoPolicy = "none";

// The lines of a proof and the words of the present one.
class ApprovalLines {
 public:
  explicit ApprovalLines(std::string_view text) : rest_(text) {}

  std::string_view next() {
    ++number_;
    const size_t end = rest_.find('\n');
    if (end == std::string_view::npos) bad("is missing or cut short");
    line_ = rest_.substr(0, end);
    rest_.remove_prefix(end + 1);
    return line_;
  }
  std::string_view word() {
    const std::string_view out = line_.substr(0, line_.find(' '));
    line_.remove_prefix(std::min(line_.size(), out.size() + 1));
    return out;
  }
  void name(std::string_view expected) {
    next();
    if (word() != expected) bad("does not begin with \"" + std::string(expected) + "\"");
  }
  uint64_t number() {
    const std::string_view digits = word();
    uint64_t value = 0;
    const auto [end, problem] =
        std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (problem != std::errc() || end != digits.data() + digits.size() ||
        std::to_string(value) != digits) {
      bad("has \"" + std::string(digits) + "\" where a decimal number should be");
    }
    return value;
  }
  // The lines of a path; the next line after it becomes the present one.
  std::vector<Digest> path() {
    std::vector<Digest> out;
    for (std::string_view line = next(); line.size() == 44; line = next()) {
      const auto raw = parse_base64(line);
      const auto digest = raw ? digest_from_raw(*raw) : std::nullopt;
      if (!digest || out.size() == 64) bad("is not one of at most 64 siblings in base64");
      out.push_back(*digest);
    }
    return out;
  }
  std::string_view rest() const { return rest_; }
  [[noreturn]] void bad(const std::string& what) const {
    throw Error(Errc::corrupt, "approval proof: line ", number_, " ", what);
  }

 private:
  std::string_view rest_, line_;
  int number_ = 0;
};

void append_path(std::string& out, const std::vector<Digest>& path) {
  for (const Digest& digest : path) out.append(to_base64(digest.bytes)).append("\n");
}

// What the rules of a policy ask for an approval and the note does not have, or nothing.
std::string policy_problem(const ApprovalProof& proof, const Note& approval, const Trust& trust,
                           ApprovalAnswer& answer) {
  const Note note = parse_note(proof.policy);
  PolicyText text;
  parse_textproto(note.text, "policy", text);
  answer.policy_version = text.policy().version();
  if (trust.signers(note, "").empty()) return "its policy is signed by nobody who is trusted here";
  for (const auto& rule : text.policy().rule()) {
    if (rule.act() != Policy::APPROVE) continue;
    const auto names = trust.signers(approval, rule.role());
    if (names.size() < rule.need()) {
      return "the policy in force asks for " + missing_names(rule.need(), rule.role(), names);
    }
  }
  return "";
}

std::string path_problem(const ApprovalProof& proof, const Approval& approval) {
  if (!verify_inclusion(leaf_digest(as_bytes(sample_line(proof.sample))), proof.sample_index,
                        proof.samples, proof.sample_path, proof.shard)) {
    return "the sample is not under the root of the shard";
  }
  const Digest batch = require_digest_name(approval.root(), "approval.root");
  if (approval.shards() != proof.shards ||
      !verify_inclusion(leaf_digest(proof.shard.bytes), proof.shard_index, proof.shards,
                        proof.shard_path, batch)) {
    return "the shard is not under the root that was approved";
  }
  return "";
}

}  // namespace

ApprovalProof parse_approval_proof(std::string_view text) {
  ApprovalProof out;
  ApprovalLines lines(text);
  if (lines.next() != kTitle) lines.bad("is not \"" + std::string(kTitle) + "\"");
  out.sample = parse_sample_line(std::string(lines.next()) + "\n", "approval proof");
  lines.name("sample");
  out.sample_index = lines.number();
  out.samples = lines.number();
  out.sample_path = lines.path();
  if (lines.word() != "shard") lines.bad("does not begin with \"shard\"");
  const auto shard = parse_digest(lines.word());
  if (!shard) lines.bad("has no root of 64 hex digits");
  out.shard = *shard;
  out.shard_index = lines.number();
  out.shards = lines.number();
  out.shard_path = lines.path();
  if (lines.word() != "policy") lines.bad("does not begin with \"policy\"");
  const std::string_view policy = lines.word();
  if (policy != kNoPolicy) {
    const auto note = parse_base64(policy);
    if (!note) lines.bad("has a policy that is not base64");
    out.policy = *note;
  }
  if (!lines.next().empty()) lines.bad("should be empty");
  out.approval = lines.rest();
  try {
    if (policy != kNoPolicy) parse_note(out.policy);
    parse_note(out.approval);
  } catch (const Error& error) {
    throw Error(Errc::corrupt, "approval proof: ", error.what());
  }
  // What the words above let through, such as a word too many, is not what we write.
  if (format_approval_proof(out) != text) {
    throw Error(Errc::corrupt, "approval proof: is not in the form that proofs are written in");
  }
  return out;
}

std::string format_approval_proof(const ApprovalProof& proof) {
  std::string out(kTitle);
  out += "\n" + sample_line(proof.sample) + "sample " + std::to_string(proof.sample_index) + " " +
         std::to_string(proof.samples) + "\n";
  append_path(out, proof.sample_path);
  out += "shard " + to_hex(proof.shard) + " " + std::to_string(proof.shard_index) + " " +
         std::to_string(proof.shards) + "\n";
  append_path(out, proof.shard_path);
  out += "policy ";
  out += proof.policy.empty() ? std::string(kNoPolicy) : to_base64(as_bytes(proof.policy));
  return out + "\n\n" + proof.approval;
}

ApprovalAnswer check_approval_proof(const ApprovalProof& proof, const Trust& trust) {
  ApprovalAnswer out;
  try {
    const Note note = parse_note(proof.approval);
    ApprovalText text;
    parse_textproto(note.text, "approval", text);
    out.approval = text.approval();
    out.problem = path_problem(proof, out.approval);
    const Trust::Answer asked = trust.ask(note, "approve");
    out.signers = asked.names;
    if (out.problem.empty() && !asked.missing.empty()) out.problem = "it needs " + asked.missing;
    if (out.problem.empty() && !proof.policy.empty()) {
      out.problem = policy_problem(proof, note, trust, out);
    }
  } catch (const Error& error) {
    out.problem = error.what();
  }
  return out;
}

}  // namespace cleared::ledger
