#include "train/agree.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/full.h>

#include "train/model/dist.h"
#include "train/model/memory.h"

namespace cleared::train {
namespace {

constexpr char kSeparator = '\x1f';  // ASCII unit separator: in no message

std::string encode(const Outcome& outcome) {
  return std::to_string(static_cast<int>(outcome.kind)) + kSeparator +
         std::to_string(static_cast<int>(outcome.code)) + kSeparator + outcome.verdict.rule +
         kSeparator + outcome.verdict.fact + kSeparator + outcome.text;
}

Outcome decode(std::string_view text) {
  const auto next = [&] {
    const size_t end = text.find(kSeparator);
    const std::string part(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    return part;
  };
  Outcome outcome;
  outcome.kind = static_cast<Outcome::Kind>(std::stoi(next()));
  outcome.code = static_cast<Errc>(std::stoi(next()));
  outcome.verdict.rule = next();
  outcome.verdict.fact = next();
  outcome.text = next();
  return outcome;
}

}  // namespace

Outcome outcome_of(const std::function<void()>& body) {
  Outcome outcome;
  try {
    with_memory(body);
  } catch (const ledger::Refused& refused) {
    outcome.kind = Outcome::Kind::refused;
    outcome.verdict = refused.verdict();
  } catch (const Error& error) {
    outcome.kind = Outcome::Kind::failed;
    outcome.code = error.code();
    outcome.text = error.what();
  }
  return outcome;
}

Outcome agree(World& world, const Outcome& mine) {
  const Tensor troubles = at::full({1}, mine.kind == Outcome::Kind::good ? 0 : 1, at::kLong);
  world.all_reduce(troubles);
  if (troubles.item<int64_t>() == 0) return mine;
  Outcome worst;
  for (const std::string& text : world.all_gather(encode(mine))) {
    const Outcome outcome = decode(text);
    if (outcome.kind > worst.kind) worst = outcome;
  }
  return worst;
}

void agree_or_throw(World& world, const std::function<void()>& body) {
  const Outcome outcome = agree(world, outcome_of(body));
  if (outcome.kind == Outcome::Kind::refused) throw ledger::Refused(outcome.verdict);
  if (outcome.kind == Outcome::Kind::failed) throw AgreedError(outcome);
}

}  // namespace cleared::train
