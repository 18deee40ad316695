#include "tools/gather.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>
#include <thread>

#include "ledger/base/clock.h"
#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/cosignature.h"
#include "ledger/tree_head.h"

namespace cleared::tools {
using namespace cleared::ledger;
namespace {

constexpr size_t kAtATime = 16;

// Where a witness takes heads: its URL is the submission prefix, with or without a last slash.
std::string add_checkpoint_url(std::string prefix) {
  while (prefix.ends_with('/')) prefix.pop_back();
  return prefix + "/add-checkpoint";
}

uint64_t size_known_to(const VerifierKey& witness, const std::string& previous) {
  if (previous.empty()) return 0;
  const Note note = parse_note(previous);
  return cosigned_at(note, witness) ? parse_tree_head(note.text).size : 0;
}

AskedWitness ask(const WitnessPolicy::Witness& witness, const Note& head,
                 const ConsistencyProver& prove, const GatherOptions& options) {
  if (witness.url.empty()) return {{}, 0, false, "the policy names no URL for it"};
  try {
    const AskWitness how{witness.key, size_known_to(witness.key, options.previous),
                         now_us() / 1'000'000};
    const std::string url = add_checkpoint_url(witness.url);
    return add_checkpoint(head, how, prove, [&](const std::string& body) {
      HttpAnswer answer = http_post(url, body, "text/plain; charset=utf-8", options.limits);
      return WitnessAnswer{answer.status, answer.content_type, std::move(answer.body)};
    });
  } catch (const std::exception& error) {
    return {{}, 0, false, error.what()};
  }
}

}  // namespace

WitnessPolicy policy_about(const Store& store, const std::string& text, const std::string& where) {
  WitnessPolicy policy = parse_witness_policy(text, where);
  const auto keys = store.authority().keys_of("log", store.size());
  for (const auto& log : policy.logs) {
    if (std::find(keys.begin(), keys.end(), log.key) != keys.end()) return policy;
  }
  throw Error(Errc::config, where, ": names no key that this log has now; add the line: log ",
              format_verifier_key(keys.at(0)));
}

std::optional<WitnessPolicy> policy_for(const Store& store, const std::string& path) {
  if (!path.empty()) return policy_about(store, read_file(path, kMaxPolicyBytes), path);
  Statement table(store.db(), "SELECT 1 FROM sqlite_master WHERE name = 'witness_policy'");
  if (!table.next()) return std::nullopt;
  Statement newest(store.db(), "SELECT text FROM witness_policy ORDER BY seq DESC LIMIT 1");
  if (!newest.next()) return std::nullopt;
  return policy_about(store, newest.text(0), store.path().string() + ": its witness policy");
}

Gathered gather_cosignatures(const WitnessPolicy& policy, const Note& head,
                             const ConsistencyProver& prove, const GatherOptions& options) {
  std::mutex proving;
  const ConsistencyProver one_at_a_time = [&](uint64_t old_size, uint64_t new_size) {
    const std::lock_guard lock(proving);
    return prove(old_size, new_size);
  };
  std::vector<std::optional<AskedWitness>> asked(policy.witnesses.size());
  std::atomic<size_t> next = 0;
  const auto work = [&] {
    for (size_t i = next++; i < asked.size(); i = next++) {
      const WitnessPolicy::Witness& witness = policy.witnesses[i];
      if (!cosigned_at(head, witness.key)) asked[i] = ask(witness, head, one_at_a_time, options);
    }
  };
  {
    std::vector<std::jthread> threads;
    for (size_t i = 0; i < std::min(kAtATime, asked.size()); ++i) threads.emplace_back(work);
  }
  Gathered out{head, {}, {}};
  for (size_t i = 0; i < asked.size(); ++i) {
    if (!asked[i]) continue;
    if (asked[i]->cosignature) {
      add_signature(out.note, *asked[i]->cosignature);
    } else {
      out.failures.push_back({policy.witnesses[i].name, asked[i]->why, asked[i]->contradicts});
    }
  }
  out.quorum = quorum_met(policy, out.note);
  return out;
}

void require_quorum(const Gathered& gathered) {
  if (gathered.quorum.met) return;
  const TreeHead head = parse_tree_head(gathered.note.text);
  std::string why;
  bool contradicts = false;
  for (const auto& failure : gathered.failures) {
    why += "; " + failure.witness + ": " + failure.why;
    contradicts |= failure.contradicts;
  }
  for (const std::string& bad : gathered.quorum.bad) why += "; " + bad + ": a bad signature";
  if (gathered.quorum.log.empty()) why += "; no log of the policy signed it";
  throw Error(contradicts ? Errc::corrupt : Errc::busy, "tree head ", head.size, " of ",
              head.origin, ": the quorum of witnesses is not met, ",
              gathered.quorum.cosigned.size(), " cosigned", why);
}

}  // namespace cleared::tools
