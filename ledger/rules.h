// The rules of the gate as data: their names, their order, what each asks and what helps. The terms
// of a licence are judged by walking this table, docs/gate-rules.md is printed from it, and
// tests/ledger/rules_test.cpp holds the two together. Pure; any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace cleared::ledger {

// What a rule looks at; also the order in which a permit is judged.
enum class RuleStage { footage, terms, limits, shards, permits, clips };

struct GateRule {
  RuleStage stage = RuleStage::footage;
  std::string_view name;      // what a verdict names
  std::string_view question;  // must be answered with yes
  std::string_view fact;      // the fact it looks at: a field of the licence, or of the record
  std::string_view helps;     // after a no
};

constexpr uint64_t kMaxPermitHours = 168;  // from its issue; of a release, too

// A closed vocabulary, in the order in which they are asked.
std::span<const GateRule> rules();
// Null for a word that is no rule. "cleared" is none: it is the absence of a no.
const GateRule* find_rule(std::string_view name);

// docs/gate-rules.md, to the byte.
std::string rules_markdown();

}  // namespace cleared::ledger
