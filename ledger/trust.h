// Whom somebody without the ledger believes: a file of public keys by role, and of how many of them
// must have signed what (docs/formats/policy.md). A training node has one, and so has whoever
// checks an approval offline. It is its owner's word; the ledger's policy binds the ledger.
//
// Pure but for reading the file; any thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/key.h"

namespace cleared::ledger {

struct Trust {
  struct Need {
    std::string act;  // "approve" or "permit"
    uint32_t count = 1;
    std::string role;
  };
  std::vector<PublicKey> keys;
  std::vector<Need> needs;  // an act that none is for needs one approver
  // Greatest ages, in hours, of a permit and of the newest record under its tree head; 0: any.
  uint64_t fresh_permit_h = 0, fresh_head_h = 0;
  // The worst contact class of foreign weights that may be started from or sampled, as a
  // Foreign::Contact; 0: none may.
  uint32_t foreign = 0;

  // The names, sorted, each once, of the keys that signed the note; `role` empty: of any role. Two
  // keys of one name are one vote, so that a key can be replaced while the old one still signs.
  std::vector<std::string> signers(const Note& note, std::string_view role) const;

  struct Answer {
    std::vector<std::string> names;  // sorted: who of the roles asked for has signed
    std::string missing;             // in words; empty when the act has what it needs
  };
  Answer ask(const Note& note, std::string_view act) const;

  std::vector<VerifierKey> keys_of(std::string_view role) const;
};

// Lines "role vkey", "need ACT COUNT ROLE", "fresh permit|head HOURS" and "foreign CLASS"; empty
// ones and comments (#) are skipped. Error{corrupt} with file and line for anything else, for a
// need given twice, and for one that the keys of the file could never meet.
Trust parse_trust(std::string_view text, std::string_view where);
Trust read_trust(const std::filesystem::path& path);

// The names, sorted, that count among keys that signed: each once, and of a key that stands under
// two names the first one alone.
std::vector<std::string> voters(const std::vector<VerifierKey>& keys);

// "2 different names of role approver, it has 1 (a)": what is wanted and what is there.
std::string missing_names(uint32_t count, std::string_view role,
                          const std::vector<std::string>& names);

}  // namespace cleared::ledger
