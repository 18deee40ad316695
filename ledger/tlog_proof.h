// A proof that a record is in a log, for people who have nothing else of it: the index, the
// siblings and the signed tree head in one text file, C2SP tlog-proof
// (https://c2sp.org/tlog-proof, docs/formats/proof.md). Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/base/bytes.h"
#include "ledger/note.h"

namespace cleared::ledger {

struct TlogProof {
  std::optional<std::string> extra;  // bytes for the application; nobody signed them
  uint64_t index = 0;                // of the record in the log, from 0
  std::vector<Digest> path;          // siblings, nearest to the leaf first
  std::string head;                  // the tree head: a signed note, verbatim
};

// Error{corrupt} with the line unless `text` is exactly what format_tlog_proof writes and its head
// is a note whose text is a tree head. Signatures and path are not looked at yet.
TlogProof parse_tlog_proof(std::string_view text);
std::string format_tlog_proof(const TlogProof& proof);

// True when `log_key` signed the head (a cosignature does not count), the head's origin is the
// key's name, and `record` is at `index` of the tree. All else is false, a malformed head too.
[[nodiscard]] bool verify_tlog_proof(const TlogProof& proof, ByteView record,
                                     const VerifierKey& log_key);

}  // namespace cleared::ledger
