// The gate's yes for finished weights as a signed note, for places that have weights and no ledger:
// `train sample` asks it. Who has the ledger writes it (ledger/rights.h: judge_checkpoint). Any
// thread.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "ledger/footage.h"
#include "ledger/gate.h"

namespace cleared::ledger {

struct ReleaseOptions {
  std::filesystem::path release;  // the note
  std::filesystem::path
      trust;  // ledger/trust.h; as many approvers must have signed as a permit needs
  std::filesystem::path notices;  // folder of signed revocations; must exist
  Digest weights = {};            // of the file that is used
  Use use = GENERATE_INTERNAL;
  std::vector<std::string> foreign = {};  // digests of foreign weights that the checkpoint names
};

// `cleared`, or the rule that says no: signatures, weights, use, foreign weights, times,
// revocations. Error for
// files that are not there or do not parse; a notice that does not verify is `notice_unverified`.
Verdict check_release(const ReleaseOptions& options);

// What clips must be compared with before anybody sees them, by a release that says yes; none where
// no licence limits it. Throws Refused where check_release() says no, and `release_other_footage`
// where the file beside the release is not the one that it names.
std::optional<SimilarityLimit> similarity_limit(const ReleaseOptions& options);

}  // namespace cleared::ledger
