// What the ledger says about footage: which licences cover a source and what they allow. A snapshot
// taken once per command; judge() is pure. One thread.
#pragma once

#include <string>
#include <vector>

#include "ledger/gate.h"
#include "ledger/store.h"

namespace cleared::ledger {

struct SourceVerdict {
  Verdict verdict;
  std::vector<std::string> licences;  // "id@version" of every licence that covers it
  std::vector<std::string> licensors;
};

class Rights {
 public:
  explicit Rights(const Store& store);

  // May this file, as delivered, be used for `use` now? `path` is its path in the delivery.
  // Refusals: no_licence, expired, not_yet_valid, revoked, use_not_allowed, clearance_unknown, ...
  SourceVerdict judge_source(std::string_view path, const Digest& digest, Use use) const;
};

}  // namespace cleared::ledger
