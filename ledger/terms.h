// A licence in plain words, what may be wrong with it, and what an amendment changes. For people
// who read before they sign; the gate (ledger/gate.h) never asks here. Pure; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ledger/licence.pb.h"

namespace cleared::ledger {

// Sentences, each beginning with a capital: who gives what to whom, for what, until when, how
// often.
std::vector<std::string> explain_licence(const LicenceText& terms);

// What a careful reader would ask about on this day ("2026-01-31"). A licence with warnings is
// valid; one that is not does not get so far.
std::vector<std::string> warn_of(const LicenceText& terms, std::string_view day);

// "0.25", "3": without zeros at the end.
std::string short_number(double value);

// One field that differs between two versions.
struct TermChange {
  std::string path;           // "allows.use", "limits.max_passes"
  std::string before, after;  // "" where it is not set; elements of a list in order, ", " between
  enum class Effect { stricter, looser, both, other } effect = Effect::other;
};
// Sorted by path. A list that only gains elements is looser, and stricter where it excludes.
std::vector<TermChange> compare_terms(const LicenceText& before, const LicenceText& after);
std::string_view effect_word(TermChange::Effect effect);

}  // namespace cleared::ledger
