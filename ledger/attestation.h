// What a checkpoint says of itself to outsiders: an in-toto Statement v1
// (https://in-toto.io/Statement/v1) in a DSSE envelope (secure-systems-lab/dsse, protocol.md),
// signed with Ed25519. Both are JSON that foreign software reads. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/base/bytes.h"
#include "ledger/note.h"
#include "ledger/tree_head.h"

namespace cleared::ledger {

constexpr std::string_view kStatementPayloadType = "application/vnd.in-toto+json";
constexpr std::string_view kTrainingPredicateType = "urn:cleared:training-checkpoint:v1";

// The subject files, by name and digest, and what made them (docs/formats/statement.md).
struct TrainingStatement {
  struct File {
    std::string name;
    Digest digest;
  };
  std::vector<File> subjects;  // the weights first
  std::string run;
  uint64_t step = 0;
  uint64_t seed = 0;
  uint32_t ranks = 1;
  uint32_t threads = 1;  // per rank: bits depend on it
  std::string code_version;
  std::string machine;  // CPU features that change bits
  Digest config;
  Digest permit;       // of the permit note
  TreeHead tree_head;  // of the ledger when the permit was issued
  Digest receipt;      // of the run receipt's note
  Digest steps_root;   // over the steps of that receipt
  std::string parent;  // hex digest of the weights it continued from; empty: from the seed
  std::string vae;     // hex digest of the weights that its autoencoder is from; empty: it has none
  std::string text_encoder;  // hex digest of the weights that its text encoder began with; empty:
                             // the seed's, or the parent's
  std::vector<File> foreign_weights;
};
std::string format_statement(const TrainingStatement& statement);
// Error{corrupt} when it is not a statement of this predicate type or a field is missing.
TrainingStatement parse_statement(std::string_view json);

// The envelope of `payload`, signed over DSSE's pre-authentication encoding.
std::string seal_envelope(std::string_view payload_type, std::string_view payload,
                          const SignerKey& key);

struct Envelope {
  std::string payload_type;
  std::string payload;
  struct Signature {
    std::string key_id;  // "name+id" of the verifier key
    std::string signature;
  };
  std::vector<Signature> signatures;
};
Envelope parse_envelope(std::string_view json);
// As seal_envelope writes it: parse_envelope takes it with other blanks, order or members, too.
std::string format_envelope(const Envelope& envelope);
[[nodiscard]] bool signed_by(const Envelope& envelope, const VerifierKey& key);

}  // namespace cleared::ledger
