// What a run waits for before its first step: a permit for one shard whose record is proven to be
// in a log of a million, with two approvers' signatures. For `ledger bench`; one thread.
#pragma once

#include <filesystem>
#include <string>

#include "ledger/gate.h"
#include "ledger/key.h"
#include "ledger/shard.h"
#include "tools/bench_folder.h"

namespace cleared::tools {

// A training node's folder: the shard's manifest, the permit, its proofs and the keys to check
// them.
class BenchNode {
 public:
  BenchNode(const std::string& parent, size_t samples);

  ledger::GateOptions options() const;
  uint64_t proof_bytes() const;

 private:
  void write_permit(const ledger::Manifest& manifest);
  Digest write_proofs(const ledger::Manifest& manifest, const ledger::SignerKey& log);

  BenchFolder folder_;
};

// The work that no gate can save: hashing so many lines of a manifest and the tree over them.
void hash_manifest_lines(size_t samples);

}  // namespace cleared::tools
