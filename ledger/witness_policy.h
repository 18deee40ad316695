// Which logs are trusted, which witnesses watch them, and how many of those must have cosigned a
// tree head before it counts: C2SP tlog-policy (https://c2sp.org/tlog-policy),
// docs/formats/witness-policy.md. Pure but for reading the file; any thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/note.h"

namespace cleared::ledger {

constexpr std::string_view kNoQuorum = "none";

struct WitnessPolicy {
  struct Log {
    VerifierKey key;
    std::string url;  // may be empty
  };
  struct Witness {
    std::string name;  // in this policy; its key has a name of its own
    VerifierKey key;   // type 04
    std::string url;   // may be empty; where tree heads are submitted
  };
  struct Group {
    std::string name;
    size_t threshold = 0;              // of the members, [1, members.size()]
    std::vector<std::string> members;  // witnesses and groups defined before
  };
  std::vector<Log> logs;
  std::vector<Witness> witnesses;
  std::vector<Group> groups;  // in the order of the file: members come before
  std::string quorum;         // name of a witness or a group, or kNoQuorum
};

// Error with "line N": corrupt when it is not a policy, unsupported for a key of a type not known
// here. Takes files up to 1 MB and 1,000 logs, witnesses and groups each.
WitnessPolicy parse_witness_policy(std::string_view text);
// The same, with `where` or the path before what is wrong.
WitnessPolicy parse_witness_policy(std::string_view text, std::string_view where);
WitnessPolicy read_witness_policy(const std::filesystem::path& path);

// What a policy says of a signed tree head.
struct QuorumAnswer {
  struct Cosigned {
    std::string witness;  // name in the policy
    uint64_t unix_seconds = 0;
  };
  bool met = false;
  std::string log;                 // key name of the log of the policy that signed; empty: none
  std::vector<Cosigned> cosigned;  // in the order of the policy
  std::vector<std::string> bad;    // witnesses and log keys with a line that does not verify
};

// Fails closed: `met` only when the note's text is a tree head, a log of the policy, whose key name
// is the origin, signed it (a policy without logs leaves that to the caller), the quorum cosigned,
// and no line of a key of the policy fails to verify. Times are for the caller to judge.
[[nodiscard]] QuorumAnswer quorum_met(const WitnessPolicy& policy, const Note& note);

}  // namespace cleared::ledger
