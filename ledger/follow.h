// Following somebody's log from outside, with its public key and no ledger: is every tree head that
// it publishes signed, an extension of the last one seen, and cosigned as the policy asks? Whoever
// shows two followers, or one follower twice, trees that do not extend one another has signed the
// evidence. Cost: at most two tiles a level for a new head, whatever the size. One thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "ledger/note.h"
#include "ledger/tile_reader.h"
#include "ledger/tree_head.h"
#include "ledger/witness_policy.h"

namespace cleared::ledger {

struct FollowOptions {
  Fetch fetch;
  std::vector<VerifierKey> log_keys;  // of one name; each head is signed by one of them
  // The last tree head taken, as the signed note it came in. Only ever replaced by an extension.
  // Beside it, a link followed, lie a lock, STATE.lock, and after a bad answer both heads: every
  // pair that the log signed and that contradicts itself, 99 at most, as STATE.evidence,
  // STATE.evidence.2, ...; the newest answer of another kind as STATE.refused, or STATE.unsigned
  // where the log has not signed the head.
  std::filesystem::path state;
  const WitnessPolicy* policy = nullptr;  // a head counts only with its quorum
  // When not empty: a copy of the published log, every record proven. Can be served as it is.
  std::filesystem::path mirror;
  std::function<void(uint64_t done, uint64_t records)> progress = [](uint64_t, uint64_t) {};
};

enum class FollowAnswer {
  first,  // the first head seen: taken on trust, nothing to compare it with
  same,   // nothing new
  grown,  // a proven extension
  no,     // fork, rollback, signature, quorum or proof: `reason` says which, the state stays
};

struct FollowReport {
  FollowAnswer answer = FollowAnswer::no;
  std::string reason;
  TreeHead before, now;               // sizes 0 where there is none
  std::string before_note, now_note;  // as signed; both are in the evidence
  uint64_t tiles = 0;                 // fetched for the proof
  uint64_t mirrored = 0;              // records
  bool forked = false;                // the log signed both, and they contradict each other
  std::filesystem::path evidence;     // after a `no`; empty when 99 others are there
};

// Error{corrupt}: something does not parse, the state included; Error{io}: it could not be had, or
// the log does not serve what its head needs; Error{not_found}: there is no log; Error{busy}:
// another follower uses the state. The state stays after every one of them.
FollowReport follow(const FollowOptions& options);

}  // namespace cleared::ledger
