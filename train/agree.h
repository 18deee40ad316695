// How the ranks stop at the same step: each says how it fares, and all of them learn the worst of
// it. One thread per rank, the same calls in the same order.
#pragma once

#include <functional>
#include <string>

#include "ledger/base/error.h"
#include "ledger/gate.h"
#include "train/model/dist.h"

namespace cleared::train {

struct Outcome {
  // From good to bad; of several ranks the worst counts, and of equals the lowest rank's.
  // `refresh`: good, and a newer permit has arrived.
  enum class Kind { good, refresh, interrupted, failed, refused };
  Kind kind = Kind::good;
  ledger::Verdict verdict;  // refused
  Errc code = Errc::io;     // failed
  std::string text;
};

// Calls `body` and turns what it throws into an outcome.
Outcome outcome_of(const std::function<void()>& body);

// The same answer on every rank. Costs one small reduction when all is good.
Outcome agree(World& world, const Outcome& mine);

// What every rank throws when one of them failed: the same line everywhere.
class AgreedError : public SharedError {
 public:
  explicit AgreedError(const Outcome& outcome) : SharedError(outcome.code, outcome.text) {}
};

// As agree, for where only good lets the work go on: throws AgreedError or ledger::Refused on every
// rank.
void agree_or_throw(World& world, const std::function<void()>& body);

}  // namespace cleared::train
