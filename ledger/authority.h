// Who may sign what at a point of the log: the keys that are on record and not retired there, and
// the policy in force, which says how many names of which role each act needs. A pure function of
// the records before that point. One thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/attestation.h"
#include "ledger/note.h"
#include "ledger/notes.pb.h"
#include "ledger/record.pb.h"

namespace cleared::ledger {

struct KnownKey {
  VerifierKey key;
  std::string role;
  uint64_t from_seq = 0;              // its record
  uint64_t retired_seq = UINT64_MAX;  // the record from which on it counts no more
  bool valid_at(uint64_t seq) const { return from_seq < seq && seq <= retired_seq; }
};

class Authority {
 public:
  void add(uint64_t seq, const KeyRecord& key);  // an enrolment or a retirement
  void add(uint64_t seq, const Policy& policy);

  // The names, sorted, each once, of the keys of `role` (empty: any) that are valid at `seq` and
  // signed the note.
  // `name` not empty: only that name. Two keys of one name are one vote, so that a key can be
  // replaced while the old one still signs.
  std::vector<std::string> signers(const Note& note, std::string_view role, uint64_t seq,
                                   std::string_view name = {}) const;
  std::vector<std::string> signers(const Envelope& envelope, std::string_view role,
                                   uint64_t seq) const;

  struct Need {
    std::string role;
    uint32_t count = 1;
  };
  // The rules of the policy in force for this act; without a policy, or a rule: one approver.
  std::vector<Need> needs(Policy::Act act, uint64_t seq) const;
  bool has_rule(Policy::Act act, uint64_t seq) const;

  // The names that signed `note`, when they meet what `act` needs at `seq`; Error{permission}
  // naming what is missing when they do not.
  std::vector<std::string> require(const Note& note, Policy::Act act, uint64_t seq,
                                   std::string_view what) const;
  // The same for one signature of `role`, by `name` if it is not empty.
  std::vector<std::string> require(const Note& note, std::string_view role, std::string_view name,
                                   uint64_t seq, std::string_view what) const;

  const std::vector<KnownKey>& keys() const { return keys_; }
  std::vector<VerifierKey> keys_of(std::string_view role, uint64_t seq) const;
  // How many names have a valid key of `role` at `seq`, not counting the key `without`.
  size_t names_of(std::string_view role, uint64_t seq, std::string_view without = {}) const;

  // What is wrong with a policy that is to be in force after `seq`, in words, or nothing: its
  // version, a role that is none, a rule that nobody could ever meet.
  std::string problem_of(const Policy& policy, uint64_t seq) const;
  // The first rule of the policy in force that could not be met without this key, or nothing.
  std::string rule_that_needs(const KnownKey& key, uint64_t seq) const;
  const KnownKey* find(std::string_view vkey, uint64_t seq) const;
  uint32_t policy_version(uint64_t seq) const;
  const Policy* policy_at(uint64_t seq) const;  // null: there is none yet

 private:
  std::vector<KnownKey> keys_;
  std::vector<std::pair<uint64_t, Policy>> policies_;
};

// "approve needs 2 approver".
std::string describe(const Policy::Rule& rule);
// "approve", "permit", "revoke", "change-policy", "enrol-key", "erase", "retire-key", "review".
std::string act_word(Policy::Act act);

// "a, b": how tables show who signed.
std::string joined(const std::vector<std::string>& names);

}  // namespace cleared::ledger
