#include "ledger/shard_proof.h"

#include <algorithm>

#include "ledger/digest.h"
#include "ledger/merkle.h"
#include "ledger/record.pb.h"
#include "ledger/tree_head.h"

namespace cleared::ledger {
namespace {

constexpr std::string_view kNextProof = "\nc2sp.org/tlog-proof@v1\n";

// What is wrong with a tree head as the one that the permit names, or nothing.
std::string head_problem(const std::string& head, const Permit& permit, const Trust& trust) {
  const Note note = parse_note(head);
  const TreeHead named{permit.origin(),
                       permit.tree_size(),
                       require_digest_name(permit.tree_root(), "permit.tree_root"),
                       {}};
  if (note.text != format_tree_head(named)) return "its tree head is not the one the permit names";
  const auto keys = trust.keys_of("log");
  const bool is_signed = std::any_of(keys.begin(), keys.end(), [&](const VerifierKey& key) {
    return key.name == named.origin && signed_by(note, key);
  });
  return is_signed
             ? ""
             : "its tree head is signed by no key of log " + named.origin + " that is trusted here";
}

// What is wrong with a proof of `shard` under a head that is known to be good, or nothing.
std::string proof_problem(const TlogProof& proof, const Permit& permit,
                          const Permit::Shard& shard) {
  Record record;
  Fact fact;
  if (!proof.extra || !record.ParseFromString(*proof.extra) ||
      !fact.ParseFromString(record.fact()) || !fact.has_shard()) {
    return "it holds no record of a shard";
  }
  const auto root = digest_from_raw(fact.shard().root());
  if (!root || digest_name(*root) != shard.root()) return "its record is of another shard";
  if (fact.shard().samples() != shard.samples()) {
    return "its record says " + std::to_string(fact.shard().samples()) + " samples, the permit " +
           std::to_string(shard.samples());
  }
  const Digest tree_root = require_digest_name(permit.tree_root(), "permit.tree_root");
  return verify_inclusion(leaf_digest(as_bytes(*proof.extra)), proof.index, permit.tree_size(),
                          proof.path, tree_root)
             ? ""
             : "its record is not under the tree head";
}

}  // namespace

std::filesystem::path proofs_path(const std::filesystem::path& permit) {
  return permit.string() + ".proofs";
}

std::string format_shard_proofs(std::span<const TlogProof> proofs) {
  std::string out;
  for (const TlogProof& proof : proofs) out += format_tlog_proof(proof);
  return out;
}

std::vector<TlogProof> parse_shard_proofs(std::string_view text) {
  std::vector<TlogProof> out;
  while (!text.empty()) {
    const size_t next = text.find(kNextProof);
    const std::string_view one = text.substr(0, next == std::string_view::npos ? next : next + 1);
    out.push_back(parse_tlog_proof(one));
    text.remove_prefix(one.size());
  }
  return out;
}

Verdict check_shard_proofs(std::string_view text, const Permit& permit, const Trust& trust) {
  try {
    const std::vector<TlogProof> proofs = parse_shard_proofs(text);
    if (proofs.size() != static_cast<size_t>(permit.shard_size())) {
      return no("shard_unproven", "there are " + std::to_string(proofs.size()) + " proofs for " +
                                      std::to_string(permit.shard_size()) + " shards");
    }
    const std::string* good_head = nullptr;  // checked once: as a rule all are the same
    for (size_t i = 0; i < proofs.size(); ++i) {
      const Permit::Shard& shard = permit.shard(static_cast<int>(i));
      std::string problem;
      if (good_head == nullptr || proofs[i].head != *good_head) {
        problem = head_problem(proofs[i].head, permit, trust);
        good_head = &proofs[i].head;
      }
      if (problem.empty()) problem = proof_problem(proofs[i], permit, shard);
      if (!problem.empty()) {
        return no("shard_unproven", "the proof of shard " + shard.root() + ": " + problem);
      }
    }
    return yes();
  } catch (const Error& error) {
    return no("shard_unproven", error.what());
  }
}

}  // namespace cleared::ledger
