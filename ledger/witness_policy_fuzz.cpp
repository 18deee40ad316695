// A policy parses, and then decides about a head that nobody signed, or throws Error{corrupt} or
// Error{unsupported}.
#include <cstddef>
#include <cstdint>

#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "ledger/tree_head.h"
#include "ledger/witness_policy.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    using namespace cleared::ledger;
    const WitnessPolicy policy = parse_witness_policy(text);
    for (const auto& group : policy.groups) {
      CLEARED_CHECK(group.threshold >= 1 && group.threshold <= group.members.size());
    }
    const Note unsigned_head{format_tree_head({"example.com/log", 1, {}}), {}};
    const QuorumAnswer answer = quorum_met(policy, unsigned_head);
    CLEARED_CHECK(answer.met == (policy.logs.empty() && policy.quorum == kNoQuorum));
  } catch (const cleared::Error& error) {
    CLEARED_CHECK(error.code() == cleared::Errc::corrupt ||
                  error.code() == cleared::Errc::unsupported);
  }
  return 0;
}
