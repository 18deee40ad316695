// The gate: one rule engine, a pure function from terms, state, declared act and time to a verdict
// that names the rule. What the terms do not list is refused.
//
// Two users. On the ledger's side, `Rights` (ledger/rights.h) feeds it from the log at ingest,
// approval and permit. On a training node, `Gate` below works from a permit and public keys alone,
// and is the only maker of ClearedSample. judge() is safe from any thread; a Gate belongs to one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/base/bytes.h"
#include "ledger/key.h"
#include "ledger/licence.pb.h"
#include "ledger/notes.pb.h"
#include "ledger/shard.h"

namespace cleared::ledger {

// An ordinary answer. `rule` is one of rules() in gate.cpp, or "cleared"; `fact` is what decided,
// in words, naming the licence, the shard or the sample.
struct Verdict {
  bool cleared = false;
  std::string rule;
  std::string fact;
};

// The bytes of one sample, which the gate has read, hashed and found cleared. Only a Gate makes
// one, so no path leads from an uncleared file to the model.
class ClearedSample {
 public:
  const std::string& key() const { return key_; }
  const Digest& digest() const { return digest_; }
  const Digest& clip() const { return clip_; }
  uint64_t duration_us() const { return duration_us_; }
  const std::string& member(const std::string& extension) const;  // Error{corrupt} when missing

 private:
  friend class Gate;
  ClearedSample() = default;
  std::string key_;
  Digest digest_, clip_;
  uint64_t duration_us_ = 0;
  std::map<std::string, std::string> members_;
};

// One sample that the permit lists, by position: what the data order is a function of.
struct PermittedSample {
  size_t shard = 0;  // index into Gate::permit().shard
  size_t index = 0;  // in its manifest
  std::string key;
  Digest digest;
  Digest clip;
  uint64_t duration_us = 0;
};

struct GateOptions {
  std::filesystem::path permit;   // signed note
  std::filesystem::path trust;    // public keys, "role vkey" lines: an approver's is needed
  std::filesystem::path shards;   // folder of tars and manifests
  std::filesystem::path notices;  // folder of signed revocations, *.revocation; must exist
  std::string run;                // name, as in the permit
  Digest config_digest;           // of the run's config file
  Purpose purpose;                // what the run declares
};

// A training node's gate. Every refusal is Error{refused} whose message is "rule: fact".
class Gate {
 public:
  // Checks signature, expiry, run, config and purpose, then the root of every manifest.
  explicit Gate(const GateOptions& options);

  const Permit& permit() const { return permit_; }
  const Digest& permit_digest() const { return permit_digest_; }  // of the note, byte for byte
  const std::vector<PermittedSample>& samples() const { return samples_; }

  // Does the permit still hold now: expiry, dates of every shard, and revocation notices that have
  // arrived. Called by every rank before every step; costs two system calls when nothing changed.
  [[nodiscard]] Verdict holds();

  // Reads the sample once, hashes it in memory and hands out those very bytes. `passes` is how
  // often this run will have consumed it, this time included; the permit's limit is checked against
  // it.
  ClearedSample clear(size_t sample, uint64_t passes);

 private:
  Permit permit_;
  Digest permit_digest_;
  std::vector<PermittedSample> samples_;
};

}  // namespace cleared::ledger
