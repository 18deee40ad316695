// A proof that records stand in a log one after another, as one text file with the records in it
// (docs/formats/proof.md): all of a shard's samples, or whatever else was recorded together, with
// at most 2 log2 n digests instead of log2 n for each. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/base/bytes.h"
#include "ledger/note.h"

namespace cleared::ledger {

constexpr std::string_view kRangeHeader = "cleared range proof v1";  // its first line

struct RangeProof {
  uint64_t begin = 0;                // number of the first record
  std::vector<std::string> records;  // at least one
  std::vector<Digest> path;          // ledger/merkle.h: range_path
  std::string head;                  // the tree head: a signed note, verbatim
};

// Error{corrupt} with the line unless `text` is exactly what format_range_proof writes and its head
// is a note whose text is a tree head. Signatures and path are not looked at yet.
RangeProof parse_range_proof(std::string_view text);
std::string format_range_proof(const RangeProof& proof);

// True when `log_key` signed the head, the head's origin is the key's name, and the records are at
// `begin` and the places after it. All else is false, a malformed head too.
[[nodiscard]] bool verify_range_proof(const RangeProof& proof, const VerifierKey& log_key);

}  // namespace cleared::ledger
