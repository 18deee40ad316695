// What the state map says of one subject, as a file that verifies by itself
// (docs/formats/state.md): "record 17 is about this clip", or "no record is about this licence's
// revocation". It holds intervals of the map's runs, the state record with their roots, and that
// record's proof as the last one under a signed tree head. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/base/bytes.h"
#include "ledger/note.h"
#include "ledger/record.pb.h"
#include "ledger/state_map.h"
#include "ledger/tlog_proof.h"
#include "ledger/tree_head.h"

namespace cleared::ledger {

// A subject as people write it. `kind` is one of docs/formats/state.md; `id` is a digest
// ("sha256:" and 64 hex digits), a name of the very form that records of the kind have, or several
// of these with '@' between them.
struct SubjectName {
  std::string kind;
  std::string id;
};
// The key of the map. Error{usage} for an unknown kind or an id that is not of its form.
Digest key_of(const SubjectName& name);
// With "sha256:" before a bare digest, as proofs write it. Same errors.
SubjectName spelled_out(const SubjectName& name);
// Error{usage} for a kind of which the log may say the same under another id, which a stranger
// cannot know, so that an absence proof would say nothing.
void require_absence_says(const SubjectName& name);
// "revocation of licence LIC-1", for sentences.
std::string in_words(const SubjectName& name);
// The kinds, for help texts: "approval approved checkpoint ...".
std::string subject_kinds();

struct SubjectProof {
  SubjectName subject;  // spelled out
  bool present = false;
  uint64_t seq = 0;  // present: the record
  uint64_t run = 0;  // present: the run that has it, from 0
  // Present: one, of `run`. Absent: one for each run.
  std::vector<StateMap::RunProof> runs;
  std::string record;  // the state record's bytes
  TlogProof proof;     // of that record, without extra data
};

// Error{corrupt} with the line unless `text` is exactly what format_subject_proof writes.
SubjectProof parse_subject_proof(std::string_view text);
std::string format_subject_proof(const SubjectProof& proof);

struct ProvenSubject {
  uint64_t size = 0;  // records that the state speaks of
  uint64_t at_us = 0;
  TreeHead head;
};
// Error{corrupt} saying what is wrong unless `log_key` signed a tree head whose last record is the
// state, and that state says what the proof says.
ProvenSubject verify_subject_proof(const SubjectProof& proof, const VerifierKey& log_key);

}  // namespace cleared::ledger
