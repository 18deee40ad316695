#include "ledger/authority.h"

#include <algorithm>
#include <sstream>

#include "ledger/base/error.h"
#include "ledger/trust.h"

namespace cleared::ledger {
namespace {

void sort_unique(std::vector<std::string>& names) {
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
}

[[noreturn]] void refuse(const Note& note, std::string_view what, const std::string& wanted) {
  std::ostringstream lines;
  for (const NoteSignature& s : note.signatures) lines << ' ' << s.name;
  throw Error(Errc::permission, what, ": not signed by ", wanted,
              " whose key is in the ledger and not retired (signature lines:", lines.str(), ")");
}

}  // namespace

void Authority::add(uint64_t seq, const KeyRecord& record) {
  if (record.retired()) {
    for (KnownKey& known : keys_) {
      if (known.valid_at(seq) && format_verifier_key(known.key) == record.vkey()) {
        known.retired_seq = seq;
      }
    }
    return;
  }
  keys_.push_back({parse_verifier_key(record.vkey()), record.role(), seq, UINT64_MAX});
}

void Authority::add(uint64_t seq, const Policy& policy) {
  policies_.emplace_back(seq, policy);
}

std::vector<std::string> Authority::signers(const Note& note, std::string_view role, uint64_t seq,
                                            std::string_view name) const {
  std::vector<VerifierKey> signed_with;
  for (const KnownKey& known : keys_) {
    if ((!role.empty() && known.role != role) || !known.valid_at(seq)) continue;
    if (!name.empty() && known.key.name != name) continue;
    if (signed_by(note, known.key)) signed_with.push_back(known.key);
  }
  return voters(signed_with);
}

std::vector<std::string> Authority::signers(const Envelope& envelope, std::string_view role,
                                            uint64_t seq) const {
  std::vector<VerifierKey> signed_with;
  for (const KnownKey& known : keys_) {
    if ((!role.empty() && known.role != role) || !known.valid_at(seq)) continue;
    if (signed_by(envelope, known.key)) signed_with.push_back(known.key);
  }
  return voters(signed_with);
}

const Policy* Authority::policy_at(uint64_t seq) const {
  const Policy* found = nullptr;
  for (const auto& [from, policy] : policies_) {
    if (from < seq) found = &policy;
  }
  return found;
}

uint32_t Authority::policy_version(uint64_t seq) const {
  const Policy* policy = policy_at(seq);
  return policy == nullptr ? 0 : policy->version();
}

bool Authority::has_rule(Policy::Act act, uint64_t seq) const {
  const Policy* policy = policy_at(seq);
  return policy != nullptr && std::any_of(policy->rule().begin(), policy->rule().end(),
                                          [&](const auto& rule) { return rule.act() == act; });
}

std::vector<Authority::Need> Authority::needs(Policy::Act act, uint64_t seq) const {
  std::vector<Need> out;
  if (const Policy* policy = policy_at(seq)) {
    for (const auto& rule : policy->rule()) {
      if (rule.act() == act) out.push_back({rule.role(), rule.need()});
    }
  }
  if (out.empty()) out.push_back({"approver", 1});
  return out;
}

std::vector<std::string> Authority::require(const Note& note, Policy::Act act, uint64_t seq,
                                            std::string_view what) const {
  std::vector<std::string> all;
  for (const Need& need : needs(act, seq)) {
    const auto names = signers(note, need.role, seq);
    if (names.size() < need.count) {
      refuse(
          note, what,
          need.count == 1 ? "any " + need.role : missing_names(need.count, need.role, names) + ",");
    }
    all.insert(all.end(), names.begin(), names.end());
  }
  sort_unique(all);
  return all;
}

std::vector<std::string> Authority::require(const Note& note, std::string_view role,
                                            std::string_view name, uint64_t seq,
                                            std::string_view what) const {
  auto names = signers(note, role, seq, name);
  if (names.empty()) {
    refuse(
        note, what,
        name.empty() ? "any " + std::string(role) : std::string(name) + " as " + std::string(role));
  }
  return names;
}

std::vector<VerifierKey> Authority::keys_of(std::string_view role, uint64_t seq) const {
  std::vector<VerifierKey> out;
  for (const KnownKey& known : keys_) {
    if (known.role == role && known.valid_at(seq)) out.push_back(known.key);
  }
  return out;
}

size_t Authority::names_of(std::string_view role, uint64_t seq, std::string_view without) const {
  std::vector<VerifierKey> keys = keys_of(role, seq);
  std::erase_if(keys, [&](const VerifierKey& key) { return format_verifier_key(key) == without; });
  return voters(keys).size();
}

std::string Authority::problem_of(const Policy& policy, uint64_t seq) const {
  if (policy.version() != policy_version(seq) + 1) {
    return "must have version " + std::to_string(policy_version(seq) + 1);
  }
  for (const auto& rule : policy.rule()) {
    if (!is_role(rule.role()) || rule.role() == "log" || rule.need() < 1) {
      return describe(rule) + ": no such role, or none needed";
    }
    const size_t names = names_of(rule.role(), seq);
    if (names < rule.need()) {
      return describe(rule) + ": the ledger has keys of " + std::to_string(names) +
             " names of that role, so nobody could ever meet it";
    }
    const auto same = [&](const auto& other) {
      return other.act() == rule.act() && other.role() == rule.role();
    };
    if (std::count_if(policy.rule().begin(), policy.rule().end(), same) > 1) {
      return describe(rule) + ": there are two rules for this act and role";
    }
  }
  return "";
}

std::string Authority::rule_that_needs(const KnownKey& key, uint64_t seq) const {
  const Policy* policy = policy_at(seq);
  if (policy == nullptr) return "";
  const std::string vkey = format_verifier_key(key.key);
  for (const auto& rule : policy->rule()) {
    if (rule.role() == key.role && names_of(key.role, seq, vkey) < rule.need()) {
      return describe(rule);
    }
  }
  return "";
}

const KnownKey* Authority::find(std::string_view vkey, uint64_t seq) const {
  for (const KnownKey& known : keys_) {
    if (known.valid_at(seq) && format_verifier_key(known.key) == vkey) return &known;
  }
  return nullptr;
}

std::string act_word(Policy::Act act) {
  std::string out = Policy::Act_Name(act);
  for (char& c : out) c = c == '_' ? '-' : static_cast<char>(c - 'A' + 'a');
  return out;
}

std::string describe(const Policy::Rule& rule) {
  return act_word(rule.act()) + " needs " + std::to_string(rule.need()) + " " + rule.role();
}

std::string joined(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ", ") + name;
  return out;
}

}  // namespace cleared::ledger
