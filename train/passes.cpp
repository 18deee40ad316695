#include "train/passes.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/bundle.h"
#include "ledger/digest.h"
#include "ledger/gate.h"
#include "ledger/merkle.h"
#include "ledger/notes.pb.h"
#include "ledger/textproto.h"
#include "train/checkpoint.pb.h"
#include "train/outbox.h"
#include "train/run_folder.h"

namespace cleared::train {
namespace fs = std::filesystem;
namespace {

using Told = std::map<std::string, ToldReceipt>;

// The permit was made for what is left after these steps.
bool is_counted(const ledger::Permit& permit, const std::string& run, uint64_t end_step) {
  return permit.has_counted() && permit.counted().run() == run &&
         end_step <= permit.counted().end_step();
}

Digest digest_at(const std::string& name) {
  return ledger::parse_digest_name(name).value_or(Digest{});
}

// The gate's samples by where receipts say they are.
class Samples {
 public:
  explicit Samples(const ledger::Gate& gate) : gate_(gate) {
    for (uint64_t i = gate.samples().size(); i-- > 0;) {
      const auto& its = gate.samples()[i];
      const auto& root = gate.permit().shard(static_cast<int>(its.shard)).root();
      if (its.index == 0) first_of_[std::string(digest_at(root).text())] = i;
    }
  }
  // Adds what the record says; false: it is about a shard that the gate does not have.
  bool add(const ledger::ConsumedShardRecord& consumed, Totals& to) const {
    const auto first = first_of_.find(consumed.shard());
    if (first == first_of_.end()) return false;
    for (int i = 0; i < consumed.passes_size(); ++i) {
      const uint64_t sample = first->second + consumed.index() + static_cast<uint64_t>(i);
      if (sample >= gate_.samples().size()) return false;
      const auto& its = gate_.samples()[sample];
      to.try_emplace(its.digest, Total{0, its.clip}).first->second.passes += consumed.passes(i);
    }
    return true;
  }

 private:
  const ledger::Gate& gate_;
  std::map<std::string, uint64_t> first_of_;  // by the root of the shard, as records have it
};

// Adds what the receipt signed for; false: its bundle does not say that, or not of these samples.
bool add_signed(const ToldReceipt& receipt, const Samples& samples, Totals& to) {
  std::vector<Digest> leaves;
  for (const ledger::Fact& fact : ledger::read_bundle(receipt.bundle)) {
    if (!fact.has_consumed_shard()) continue;
    if (!samples.add(fact.consumed_shard(), to)) return false;
    const std::string record = fact.consumed_shard().SerializeAsString();
    leaves.push_back(ledger::leaf_digest(as_bytes(record)));
  }
  return ledger::digest_name(ledger::root_digest(leaves)) == receipt.consumed_root;
}

// What was consumed since the steps that the permit has counted; none: nothing leads back to them.
std::optional<Totals> since_counted(const ledger::Permit& permit, const Told& told,
                                    const Samples& samples, const State& at) {
  Totals since;
  if (is_counted(permit, at.run(), at.step())) return since;
  for (auto receipt = told.find(at.receipt()); receipt != told.end();
       receipt = told.find(receipt->second.previous)) {
    if (is_counted(permit, receipt->second.run, receipt->second.end_step)) return since;
    if (!add_signed(receipt->second, samples, since)) break;
  }
  return {};
}

Totals passes_behind(const ledger::Gate& gate, const Told& told, const Samples& samples,
                     const State& at, const Totals& totals) {
  if (!gate.permit().has_counted()) return totals;
  return since_counted(gate.permit(), told, samples, at).value_or(totals);
}

// Receipts that lead to the checkpoints that are kept.
std::set<std::string> gone_on_from(const fs::path& run, uint64_t step, const Told& told) {
  std::set<std::string> out;
  for (const uint64_t before : checkpoint_steps(run)) {
    if (before > step) break;
    try {
      State state;
      const std::string path = (step_folder(run, before) / "state.textproto").string();
      ledger::parse_textproto(read_file(path), path, state);
      std::string receipt = state.receipt();
      while (told.contains(receipt) && out.insert(receipt).second) {
        receipt = told.at(receipt).previous;
      }
    } catch (const Error&) {
      continue;  // damaged: those after it lead to what was before it
    }
  }
  return out;
}

}  // namespace

Totals passes_behind(const ledger::Gate& gate, const fs::path& run, const State& at,
                     const Totals& totals) {
  return passes_behind(gate, told_receipts(run), Samples(gate), at, totals);
}

Totals passes_under(const ledger::Gate& gate, const fs::path& run, const State& at,
                    const Totals& totals) {
  const ledger::Permit& permit = gate.permit();
  const Told told = told_receipts(run);
  const Samples samples(gate);
  Totals all = passes_behind(gate, told, samples, at, totals);
  const auto behind = gone_on_from(run, at.step(), told);
  const auto permits = gate.permits();
  for (const auto& [digest, receipt] : told) {
    // What the run did after the steps that are counted was on no record, whatever it was under.
    const bool under =
        std::find(permits.begin(), permits.end(), digest_at(receipt.permit)) != permits.end() ||
        (permit.has_counted() && permit.counted().run() == receipt.run);
    if (!under || behind.contains(digest)) continue;
    if (is_counted(permit, receipt.run, receipt.end_step)) continue;
    for (const ledger::Fact& fact : ledger::read_bundle(receipt.bundle)) {
      if (fact.has_consumed_shard()) samples.add(fact.consumed_shard(), all);
    }
  }
  return all;
}

}  // namespace cleared::train
