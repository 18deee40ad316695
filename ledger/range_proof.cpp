#include "ledger/range_proof.h"

#include "ledger/base/error.h"
#include "ledger/merkle.h"
#include "ledger/proof_lines.h"
#include "ledger/tree_head.h"

namespace cleared::ledger {
RangeProof parse_range_proof(std::string_view text) {
  RangeProof out;
  FieldLines lines(text, "range proof");
  if (lines.line() != kRangeHeader) lines.bad("is not \"" + std::string(kRangeHeader) + "\"");
  out.begin = lines.number("begin");
  do {
    out.records.push_back(lines.bytes("record"));
  } while (lines.next_is("record"));
  while (lines.next_is("sibling")) out.path.push_back(lines.digest("sibling"));
  if (!lines.line().empty()) lines.bad("is not empty");
  out.head = lines.rest();
  try {
    parse_tree_head(parse_note(out.head).text);
  } catch (const Error& error) {
    throw Error(Errc::corrupt, "range proof: ", error.what());
  }
  return out;
}

std::string format_range_proof(const RangeProof& proof) {
  std::string out(kRangeHeader);
  out += "\nbegin " + std::to_string(proof.begin) + "\n";
  for (const std::string& record : proof.records) {
    out.append("record ").append(to_base64(as_bytes(record))).append("\n");
  }
  for (const Digest& digest : proof.path) {
    out.append("sibling ").append(to_base64(digest.bytes)).append("\n");
  }
  return out + '\n' + proof.head;
}

bool verify_range_proof(const RangeProof& proof, const VerifierKey& log_key) {
  std::vector<Digest> leaves;
  leaves.reserve(proof.records.size());
  for (const std::string& record : proof.records) leaves.push_back(leaf_digest(as_bytes(record)));
  try {
    const Note note = parse_note(proof.head);
    const TreeHead head = parse_tree_head(note.text);
    return signed_by(note, log_key) && head.origin == log_key.name &&
           verify_range(leaves, proof.begin, head.size, proof.path, head.root);
  } catch (const Error&) {
    return false;
  }
}

}  // namespace cleared::ledger
